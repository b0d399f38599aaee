//! The structured configuration, `--config FILE`: from its text, the flags and the node to the sessions.
//!
//! ```text
//! text ──parse──▶ ConfigFile ──fill(flags)──▶ ──merge(node)──▶ what holds here ──resolve──▶ Resolved
//! ```
//!
//! All of it is a function of the text, the flags, the node and the password files; nothing is remembered. Without
//! `--config` an empty file is filled with the flags, so that there is one way only.

mod bfd;
mod check;
mod error;
mod file;
mod labels;
mod layers;
mod live;
mod model;
mod parse;
mod password;
mod resolve;
mod return_path;
mod values;
mod watch;

#[cfg(test)]
mod bfd_tests;
#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use file::{ConfigText, directory_of};
pub use labels::{LabelMap, Labels, NodeSource};
pub use live::{Planner, Reloader, Resolver};
pub use model::{
    ApiVersion, BfdAuth, BfdKey, BfdSettings, ConfigFile, ConfigKind, GracefulRestartSettings, Listen,
    NodeEntry, NodeMatch, OneOrMore, Plane, SessionSettings, StateFileSettings,
};
pub use return_path::{ReturnPathSettings, ReturnPlane};
pub use values::{
    Asn, BfdAuthType, BfdHoldTime, BfdInterval, Device, FilePath, HoldTime, Host, NodePattern, PlaneName,
    RestartTime, RouterId, Span, Switch, Text, TtlChoice, Whole,
};

use crate::cli::Settings;
use crate::index::Policy;
use crate::state::StateFile;
use error::Problem;
use fabric::{ListenConfig, NeighborConfig, NodeIps, RackConfig, ReturnPathConfig};
use net::Md5Key;
use parse::Source;
use resolve::Surroundings;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::FamilySet;

/// The largest file that is read, in octets. One that serves ten thousand nodes is about this much.
pub const MAX_FILE: u64 = 4 << 20;

/// What a file is resolved for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The name of the node in lower case.
    pub name: Option<String>,
    /// The labels of its Node object; `None` where they are not known.
    pub labels: Option<BTreeMap<String, String>>,
}

/// A file to be resolved.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// What it is called in messages.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Where relative paths in it begin.
    pub directory: &'a Path,
}

/// What the speaker is to do on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Our AS number.
    pub local_as: u32,
    /// BGP identifier; `None`: our address towards the first IPv4 switch.
    pub router_id: Option<Ipv4Addr>,
    /// Replacement next hops.
    pub node_ips: NodeIps,
    /// Where to listen.
    pub listen: ListenConfig,
    /// The sessions: IPv4 before IPv6, each in the order of the planes.
    pub neighbors: Vec<NeighborConfig>,
    /// What is announced beyond the words of the annotations.
    pub announce: Policy,
    /// Our own way back into the fabric.
    pub return_path: Option<ReturnPathConfig>,
    /// Where the desired set is kept; `None`: nowhere.
    pub state_file: Option<StateFile>,
    /// What deserves a line in the log.
    pub warnings: Vec<String>,
    /// The files that were read beside the document, in order.
    pub password_files: Vec<PathBuf>,
}

impl Resolved {
    /// The families that some switch takes.
    pub fn families(&self) -> FamilySet {
        let all = self
            .neighbors
            .iter()
            .flat_map(|neighbor| neighbor.families.iter());
        all.collect()
    }

    /// The longest that a switch keeps our routes over a restart, zero where none does.
    pub fn restart_time(&self) -> Duration {
        let times = self
            .neighbors
            .iter()
            .filter_map(|neighbor| neighbor.graceful_restart);
        let seconds = times.map(|restart| restart.restart_time).max().unwrap_or(0);
        Duration::from_secs(seconds.into())
    }

    /// The rack, with this BGP identifier.
    pub fn rack(&self, router_id: Ipv4Addr, host_name: Option<String>) -> RackConfig {
        RackConfig {
            local_as: self.local_as,
            router_id,
            host_name,
            neighbors: self.neighbors.clone(),
            listen: self.listen.clone(),
            node_ips: self.node_ips,
            return_path: self.return_path.clone(),
        }
    }
}

/// Whether the labels of the node matter to a document. One that cannot be read asks for nothing.
pub fn wants_labels(document: Document<'_>) -> bool {
    let Document { name, text, .. } = document;
    let file = Source { name, text }.read();
    file.is_ok_and(|file| file.nodes.iter().any(|entry| entry.r#match.labels.is_some()))
}

/// Reads a document, fills it with the flags, takes what is meant for this node, and checks all of it. Without a
/// document the flags say everything.
///
/// # Errors
/// [`ConfigError`]; the first problem that is found.
pub fn resolve(
    document: Option<Document<'_>>,
    flags: &Settings,
    node: &NodeFacts,
) -> Result<Resolved, ConfigError> {
    let source = document.map_or(
        Source {
            name: "flags",
            text: "",
        },
        |Document { name, text, .. }| Source { name, text },
    );
    let directory = document.map_or_else(|| Path::new(""), |document| document.directory);
    let file = match document {
        Some(_) => source.read()?,
        None => ConfigFile::default(),
    };
    resolve_file(file, source, directory, flags, node).map_err(|problem| source.place(problem))
}

fn resolve_file(
    mut file: ConfigFile,
    source: Source<'_>,
    directory: &Path,
    flags: &Settings,
    node: &NodeFacts,
) -> Result<Resolved, Problem> {
    check::file(&file)?;
    layers::fill(&mut file, flags)?;
    let announce = announce(file.announce, source, flags)?;
    let state_file = state_file(file.state_file.as_ref(), directory)?;
    let merged = layers::merge(file, node)?;
    let password = flags.auth_password.clone().map(Md5Key::new).transpose();
    let password =
        password.map_err(|error| Problem::new("--auth-password", format!("cannot be used: {error}")))?;
    let port = merged.file.listen.as_ref().and_then(|listen| listen.port);
    let port = port
        .and_then(|port| u16::try_from(port.0).ok())
        .filter(|port| *port != 0);
    let around = Surroundings {
        directory,
        password,
        listens: port.is_some(),
        flags_bfd: flags.bfd,
        restarts_gracefully: flags.graceful_restart.is_some(),
    };
    let sessions = resolve::sessions(&merged, &around)?;
    let section = merged.file.return_path.as_ref();
    let return_path = section
        .map(|section| section.resolve(&sessions.neighbors))
        .transpose()?
        .flatten();
    let router_id = merged.file.router_id.map(|id| id.0);
    if router_id.is_none()
        && !sessions
            .neighbors
            .iter()
            .any(|neighbor| neighbor.address.is_ipv4())
    {
        return Err(Problem {
            fields: merged.fields("routerId"),
            message: "there is no IPv4 address to take as router id; set routerId (or --router-id) to one that no other \
                      speaker uses"
                .to_owned(),
            other_file: None,
        });
    }
    Ok(Resolved {
        local_as: merged.file.local_as.map_or(0, |asn| asn.0),
        router_id,
        node_ips: node_ips(merged.file.node_ips.as_deref().unwrap_or_default(), flags),
        listen: listen(&merged.file, port, &sessions.neighbors),
        return_path,
        neighbors: sessions.neighbors,
        announce,
        state_file,
        warnings: sessions.warnings,
        password_files: sessions.password_files,
    })
}

/// The flag and the file may both say something about Services.
fn announce(in_file: Option<Policy>, source: Source<'_>, flags: &Settings) -> Result<Policy, Problem> {
    let flag = "announce-cluster-ip";
    let field = "announce.services.clusterIPs";
    let Some(mut policy) = in_file else {
        return Ok(flags.announce);
    };
    let from_flag = flags.announce.services.cluster_ips;
    if !source.has(field) {
        policy.services.cluster_ips = from_flag;
    } else if flags.given.contains(flag) && policy.services.cluster_ips != from_flag {
        let found = policy.services.cluster_ips;
        return Err(Problem::new(
            field,
            format!("is {found} here, but --{flag} is {from_flag}; leave one of them out or make them equal"),
        ));
    }
    Ok(policy)
}

fn state_file(settings: Option<&StateFileSettings>, directory: &Path) -> Result<Option<StateFile>, Problem> {
    let Some(settings) = settings else { return Ok(None) };
    let path = settings
        .path
        .as_ref()
        .filter(|path| !path.0.as_os_str().is_empty());
    let Some(path) = path else { return Ok(None) };
    let max_age = settings.max_age.map_or(Duration::from_secs(3600), |span| span.0);
    if max_age < Duration::from_secs(1) {
        return Err(Problem::new(
            "stateFile.maxAge",
            "no file would ever be believed; write 1s or more (or --state-file-max-age)",
        ));
    }
    Ok(Some(StateFile {
        path: directory.join(&path.0),
        max_age,
        wait: settings.wait.map_or(Duration::from_secs(5), |span| span.0),
    }))
}

fn node_ips(addresses: &[Host], flags: &Settings) -> NodeIps {
    let mut ips = NodeIps {
        pod_v4: flags.pod_ips.v4,
        pod_v6: flags.pod_ips.v6,
        ..NodeIps::default()
    };
    for Host(address) in addresses {
        match address {
            IpAddr::V4(address) => ips.node_v4 = Some(*address),
            IpAddr::V6(address) => ips.node_v6 = Some(*address),
        }
    }
    ips
}

/// The addresses that are set, or all addresses of the families that have a switch.
fn listen(file: &ConfigFile, port: Option<u16>, neighbors: &[NeighborConfig]) -> ListenConfig {
    let Some(port) = port else {
        return ListenConfig::default();
    };
    let set = file.listen.as_ref().and_then(|listen| listen.addresses.as_ref());
    let mut addresses: Vec<_> = set.into_iter().flatten().map(|address| address.0).collect();
    if addresses.is_empty() {
        let has = |v4: bool| neighbors.iter().any(|neighbor| neighbor.address.is_ipv4() == v4);
        addresses.extend(has(true).then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        addresses.extend(has(false).then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
    }
    let sockets = addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, port));
    ListenConfig {
        addresses: sockets.collect(),
    }
}
