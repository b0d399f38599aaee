//! Network namespaces and the few `ip` commands the lab needs.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

/// A named network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns {
    name: String,
}

/// Runs a command to its end and returns what it printed; its error output is the error.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let also = String::from_utf8_lossy(&output.stdout);
        bail!("{command:?}: {}: {} {}", output.status, said.trim(), also.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `ip` with a line of arguments.
pub fn ip(line: &str) -> Result<String> {
    run(Command::new("ip").args(line.split_whitespace()))
}

impl Netns {
    /// A handle to a namespace that exists, or will.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Makes the namespace, with its loopback up.
    pub fn create(&self) -> Result<()> {
        ip(&format!("netns add {}", self.name))?;
        self.ip("link set lo up").map(drop)
    }

    /// Its name as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Takes the name away; the namespace goes with its last process.
    pub fn delete(&self) -> Result<()> {
        if !self.exists() {
            return Ok(());
        }
        match ip(&format!("netns del {}", self.name)) {
            Err(error) if self.exists() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Runs `ip` inside.
    pub fn ip(&self, line: &str) -> Result<String> {
        ip(&format!("-n {} {line}", self.name))
    }

    /// A command that will run inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a closure on a thread of its own inside the namespace. Sockets made there stay there.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = File::open(self.path()).with_context(|| format!("open namespace {}", self.name))?;
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&file, CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("enter namespace {}", self.name))?;
                work()
            });
            inside
                .join()
                .map_err(|_| anyhow!("a thread in namespace {} panicked", self.name))?
        })
    }

    /// Sets a kernel parameter of the namespace.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        self.enter(|| std::fs::write(&path, value).with_context(|| format!("set {key}={value}")))
    }

    /// The processes inside.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let list = ip(&format!("netns pids {}", self.name))?;
        Ok(list.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }
}
