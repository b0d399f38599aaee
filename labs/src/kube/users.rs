//! Who may talk to an API server of the lab, and the files that let them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

/// The user who may do everything.
pub const ADMIN: &str = "admin";

/// The account that Kube-OVN's own speaker runs as.
pub const OVN: &str = "system:serviceaccount:kube-system:ovn";

/// The account of a VPC NAT gateway.
pub const VPC_NAT_GW: &str = "system:serviceaccount:kube-system:vpc-nat-gw";

/// The account of a `twintor` of its own.
pub const TWINTOR: &str = "system:serviceaccount:kube-system:twintor";

/// Somebody without any role.
pub const STRANGER: &str = "stranger";

/// Somebody the API server knows.
#[derive(Debug, Clone)]
pub struct User {
    pub(super) name: String,
    pub(super) token: String,
    groups: String,
}

impl User {
    /// A user of this name in no group.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            token: std::iter::repeat_with(fastrand::alphanumeric).take(32).collect(),
            groups: String::new(),
        }
    }

    /// A service account, by its full name (`system:serviceaccount:NAMESPACE:NAME`).
    pub fn account(name: &str) -> Self {
        let namespace = name.split(':').nth(2).unwrap_or_default();
        Self {
            groups: format!("system:serviceaccounts,system:serviceaccounts:{namespace}"),
            ..Self::named(name)
        }
    }

    pub(super) fn known() -> Vec<Self> {
        let admin = Self {
            groups: "system:masters".to_owned(),
            ..Self::named(ADMIN)
        };
        let accounts = [OVN, VPC_NAT_GW, TWINTOR].map(Self::account);
        [admin, Self::named(STRANGER)]
            .into_iter()
            .chain(accounts)
            .collect()
    }
}

/// What `--token-auth-file` reads.
pub(super) fn token_file(users: &[User]) -> String {
    let mut file = String::new();
    for User { name, token, groups } in users {
        let _ = writeln!(file, "{token},{name},{name},\"{groups}\"");
    }
    file
}

/// Writes a kubeconfig. A server without TLS has no certificate authority.
pub(super) fn write_kubeconfig(
    path: &Path,
    server: &str,
    authority: Option<&Path>,
    user: &User,
) -> Result<PathBuf> {
    let mut cluster = json!({ "server": server });
    if let Some(authority) = authority {
        cluster["certificate-authority"] = json!(authority);
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "lab", "cluster": cluster }],
        "users": [{ "name": user.name, "user": { "token": user.token } }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": user.name } }],
        "current-context": "lab",
    });
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let text = serde_json::to_string_pretty(&config)?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path.to_owned())
}
