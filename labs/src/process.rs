//! Processes that a lab starts, and how it knows them again.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::netns::Netns;
use crate::wait;

/// A process, safe against the reuse of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcId {
    /// The number.
    pub pid: i32,
    /// When it was started, in the kernel's ticks.
    pub start: u64,
}

/// How to start a daemon, again if need be.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Where it lives.
    pub netns: Netns,
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Additions to its environment.
    pub env: Vec<(String, String)>,
    /// Where its output goes.
    pub log: PathBuf,
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    recipe: Recipe,
    child: Child,
    id: ProcId,
}

impl ProcId {
    /// This process.
    pub fn own() -> Self {
        let pid = std::process::id().cast_signed();
        Self {
            pid,
            start: start_time(pid).unwrap_or_default(),
        }
    }

    /// The process of this number, as long as it lives.
    pub fn of(pid: i32) -> Option<Self> {
        start_time(pid).map(|start| Self { pid, start })
    }

    /// Whether it still runs (a zombie does not).
    pub fn alive(self) -> bool {
        start_time(self.pid) == Some(self.start)
    }

    /// Sends a signal, unless the process is gone.
    pub fn signal(self, signal: Signal) -> Result<()> {
        if !self.alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("send {signal} to {}", self.pid)),
        }
    }
}

impl Recipe {
    /// Starts the daemon. Its output is appended to the log.
    pub fn start(self) -> Result<Daemon> {
        let log = self.open_log()?;
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", self.program))?;
        let pid = child.id().cast_signed();
        let id = ProcId::of(pid).with_context(|| format!("{} ended at once", self.program))?;
        Ok(Daemon {
            recipe: self,
            child,
            id,
        })
    }

    fn command(&self) -> Command {
        let mut command = self.netns.command(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    fn open_log(&self) -> Result<File> {
        if let Some(dir) = self.log.parent() {
            fs::create_dir_all(dir)?;
        }
        let open = OpenOptions::new().create(true).append(true).open(&self.log);
        open.with_context(|| format!("open {}", self.log.display()))
    }
}

impl Daemon {
    /// The process.
    pub fn id(&self) -> ProcId {
        self.id
    }

    /// How it was started.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.id.signal(signal)
    }

    /// Ends it with this signal, by force if it does not obey, and waits until it is gone.
    pub fn stop(&mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        let obeyed = wait::until_true("the daemon ends", Duration::from_secs(5), || Ok(!self.running()));
        if obeyed.is_err() {
            self.signal(Signal::SIGKILL)?;
            self.child.wait()?;
        }
        Ok(())
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        read_lossy(&self.recipe.log)
    }
}

/// A file as text, empty when it is not there.
pub fn read_lossy(path: &Path) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so the fields are counted from its end.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
