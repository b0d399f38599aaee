//! The agent under test, from outside: a binary, its arguments, its manifests directory.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::Lab;
use crate::clab::Node;
use crate::state;

/// The name that the agent's process has in a lab.
pub const DAEMON: &str = "twintor";

/// The built binary: `$TWINTOR_BIN`, else what `cargo build -p twintor` left.
pub fn binary() -> Result<PathBuf> {
    let path = match env::var_os("TWINTOR_BIN") {
        Some(path) => PathBuf::from(path),
        None => state::target_dir()?.join("debug/twintor"),
    };
    ensure!(
        path.exists(),
        "{} is not there: cargo build -p twintor",
        path.display()
    );
    fs::canonicalize(&path).with_context(|| format!("find {}", path.display()))
}

/// Starts an agent node of a topology. What it has bound is copied into the lab, so that a lab may change its manifests.
pub fn start_node(lab: &Lab, name: &str, node: &Node) -> Result<()> {
    let mut moved = Vec::new();
    for bind in node.binds()? {
        let here = lab.dir().join("binds").join(bind.host);
        copy(&lab.file().dir.join(bind.host), &here)?;
        moved.push((bind.container.to_owned(), here));
    }
    let words = node.cmd.as_deref().unwrap_or_default().split_whitespace();
    let args = words.map(|word| relocate(word, &moved)).collect();
    start(lab, name, args)
}

/// Starts an agent in a node with these arguments.
pub fn start(lab: &Lab, node: &str, args: Vec<String>) -> Result<()> {
    lab.start(node, DAEMON, &binary()?.to_string_lossy(), args)
}

/// The manifests directory that a lab's agents of the topology share: it stands in for the API server.
pub fn manifests(lab: &Lab) -> PathBuf {
    lab.dir().join("binds").join(&lab.file().name).join("manifests")
}

/// Replaces a path inside the container by the path it is bound to.
fn relocate(word: &str, moved: &[(String, PathBuf)]) -> String {
    let (prefix, value) = word.split_at(word.find('=').map_or(0, |position| position + 1));
    for (container, here) in moved {
        if let Ok(rest) = Path::new(value).strip_prefix(container) {
            let mut path = here.clone();
            path.extend(rest.components());
            return format!("{prefix}{}", path.display());
        }
    }
    word.to_owned()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir)?;
        }
        return fs::copy(from, to)
            .map(drop)
            .with_context(|| format!("copy {}", from.display()));
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
