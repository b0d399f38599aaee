//! What a lab leaves on disk so that it can always be taken away again.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::netns::Netns;
use crate::process::ProcId;

/// The record of one lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The lab's short name; all its namespaces start with `tl<id>-`.
    pub id: String,
    /// The topology it realises.
    pub topology: String,
    /// The process that takes it down at its end; none for a lab that stays up.
    pub owner: Option<ProcId>,
    /// Its namespaces.
    pub namespaces: Vec<String>,
    /// Directories outside the state directory that go with it.
    pub run_dirs: Vec<PathBuf>,
}

/// The root of the workspace.
pub fn workspace() -> Result<PathBuf> {
    let start = match env::var_os("CARGO_MANIFEST_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => env::current_dir()?,
    };
    let root = start.ancestors().find(|dir| dir.join("labs/topologies").is_dir());
    root.map(Path::to_owned)
        .with_context(|| format!("no labs/topologies above {}", start.display()))
}

/// Where labs keep their state: `$TWINTOR_LAB_DIR`, else `target/lab`.
pub fn root() -> Result<PathBuf> {
    match env::var_os("TWINTOR_LAB_DIR") {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => Ok(target_dir()?.join("lab")),
    }
}

/// Cargo's target directory.
pub fn target_dir() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => Ok(workspace()?.join(dir)),
        None => Ok(workspace()?.join("target")),
    }
}

/// All recorded labs.
pub fn list() -> Result<Vec<Record>> {
    let entries = match fs::read_dir(root()?) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("read the state directory"),
    };
    let mut labs = Vec::new();
    for entry in entries {
        let file = entry?.path().join("lab.json");
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let record = serde_json::from_str(&text).with_context(|| format!("parse {}", file.display()))?;
        labs.push(record);
    }
    labs.sort_by(|left: &Record, right: &Record| left.id.cmp(&right.id));
    Ok(labs)
}

/// Takes down the labs whose owner died without doing it, and names them.
pub fn sweep() -> Result<Vec<String>> {
    let mut swept = Vec::new();
    for record in list()? {
        if record.stale() {
            record.remove()?;
            swept.push(record.id);
        }
    }
    Ok(swept)
}

impl Record {
    /// The lab's directory.
    pub fn dir(&self) -> Result<PathBuf> {
        Ok(root()?.join(&self.id))
    }

    /// Claims the name: fails if a lab of that name is recorded.
    pub fn claim(&self) -> Result<PathBuf> {
        let dir = self.dir()?;
        fs::create_dir_all(root()?)?;
        match fs::create_dir(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!(
                    "a lab named {} exists already; `cargo lab down {0}` removes it",
                    self.id
                )
            }
            Err(error) => return Err(error).with_context(|| format!("make {}", dir.display())),
        }
        self.save()?;
        Ok(dir)
    }

    /// Writes the record.
    pub fn save(&self) -> Result<()> {
        let file = self.dir()?.join("lab.json");
        let text = serde_json::to_string_pretty(self)?;
        let fresh = file.with_extension("new");
        fs::write(&fresh, text).with_context(|| format!("write {}", fresh.display()))?;
        fs::rename(&fresh, &file).with_context(|| format!("write {}", file.display()))
    }

    /// Whether its owner died without taking it down.
    pub fn stale(&self) -> bool {
        self.owner.is_some_and(|owner| !owner.alive())
    }

    /// Ends every process in the lab's namespaces, then removes namespaces and directories.
    ///
    /// Whatever runs in a namespace of ours is ours, also what a daemon forked and what no pid file knows.
    pub fn remove(&self) -> Result<()> {
        for name in &self.namespaces {
            let netns = Netns::named(name.as_str());
            if !netns.exists() {
                continue;
            }
            for pid in netns.pids()? {
                let Some(process) = ProcId::of(pid) else { continue };
                process.signal(Signal::SIGKILL)?;
            }
            netns.delete()?;
        }
        for dir in self.run_dirs.iter().chain([&self.dir()?]) {
            match fs::remove_dir_all(dir) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("remove {}", dir.display())),
            }
        }
        Ok(())
    }
}
