//! A running lab.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::build::LabBuilder;
use crate::clab::ClabFile;
use crate::netns::{Netns, run};
use crate::process::{Daemon, Recipe, read_lossy};
use crate::state::{self, Record};
use crate::wait::{self, Hopeless, PATIENCE};
use crate::wires::Link;

/// A running lab. Dropping it takes everything down, unless it was built detached.
#[derive(Debug)]
pub struct Lab {
    record: Record,
    dir: PathBuf,
    file: ClabFile,
    links: Vec<Link>,
    daemons: Mutex<BTreeMap<String, Daemon>>,
}

impl Lab {
    /// Starts describing a lab.
    pub fn builder(topology: &str) -> LabBuilder {
        LabBuilder::new(topology)
    }

    pub(crate) fn new(record: Record, dir: PathBuf, file: ClabFile) -> Self {
        Self {
            record,
            dir,
            file,
            links: Vec::new(),
            daemons: Mutex::default(),
        }
    }

    pub(crate) fn add_link(&mut self, link: Link) {
        self.links.push(link);
    }

    /// Its short name.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A directory for short-lived sockets, whose path is short enough for them.
    pub fn run_dir(&self) -> Result<PathBuf> {
        let dir = Path::new("/run/twintor-lab").join(self.id());
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(dir)
    }

    /// The file it realises.
    pub fn file(&self) -> &ClabFile {
        &self.file
    }

    /// The names of its namespaces.
    pub fn namespaces(&self) -> &[String] {
        &self.record.namespaces
    }

    /// The namespace of a node, also of one that shares another's.
    pub fn netns(&self, node: &str) -> Netns {
        let shared = self.file.topology.nodes.get(node).and_then(|node| node.shares());
        Netns::named(format!("tl{}-{}", self.id(), shared.unwrap_or(node)))
    }

    /// The link between two nodes.
    pub fn link(&self, left: &str, right: &str) -> Result<&Link> {
        let link = self.links.iter().find(|link| link.connects(left, right));
        link.with_context(|| format!("no link between {left} and {right}"))
    }

    /// Runs a command in a node and returns what it printed.
    pub fn exec(&self, node: &str, words: &[&str]) -> Result<String> {
        let (program, args) = words.split_first().context("no command")?;
        run(self.netns(node).command(program).args(args))
    }

    /// Writes a file of a node's own and returns its path.
    pub fn write(&self, node: &str, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.join(node).join(name);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Starts a daemon in a node under the name `NODE/DAEMON`.
    pub fn start(&self, node: &str, daemon: &str, program: &str, args: Vec<String>) -> Result<()> {
        self.start_with(node, daemon, program, args, Vec::new())
    }

    /// Like [`Lab::start`], with additions to the environment.
    pub fn start_with(
        &self,
        node: &str,
        daemon: &str,
        program: &str,
        args: Vec<String>,
        env: Vec<(String, String)>,
    ) -> Result<()> {
        let recipe = Recipe {
            netns: self.netns(node),
            program: program.to_owned(),
            args,
            env,
            log: self.log_path(node, daemon),
        };
        self.insert(format!("{node}/{daemon}"), recipe)
    }

    /// Starts a stopped daemon again as it was started before.
    pub fn start_again(&self, node: &str, daemon: &str) -> Result<()> {
        let name = format!("{node}/{daemon}");
        let recipe = self.with_daemon(&name, |daemon| Ok(daemon.recipe().clone()))?;
        self.insert(name, recipe)
    }

    /// Ends a daemon with a signal and waits until it is gone.
    pub fn stop(&self, node: &str, daemon: &str, signal: Signal) -> Result<()> {
        self.with_daemon(&format!("{node}/{daemon}"), |daemon| daemon.stop(signal))
    }

    /// Sends a signal to a daemon.
    pub fn signal(&self, node: &str, daemon: &str, signal: Signal) -> Result<()> {
        self.with_daemon(&format!("{node}/{daemon}"), |daemon| daemon.signal(signal))
    }

    /// Whether a daemon runs.
    pub fn running(&self, node: &str, daemon: &str) -> Result<bool> {
        self.with_daemon(&format!("{node}/{daemon}"), |daemon| Ok(daemon.running()))
    }

    /// Waits until a freshly started daemon answers a question; when it has ended instead, says what it printed.
    pub fn wait_for(
        &self,
        node: &str,
        daemon: &str,
        mut answers: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let asked = wait::until_true(&format!("{daemon} on {node} answers"), PATIENCE, || {
            if !self.running(node, daemon)? {
                bail!(Hopeless("it has ended".into()));
            }
            answers()
        });
        asked.with_context(|| format!("its log: {}", self.log(node, daemon)))
    }

    /// The number of a daemon's process.
    pub fn pid(&self, node: &str, daemon: &str) -> Result<i32> {
        self.with_daemon(&format!("{node}/{daemon}"), |daemon| Ok(daemon.id().pid))
    }

    /// What a daemon has printed so far.
    pub fn log(&self, node: &str, daemon: &str) -> String {
        read_lossy(&self.log_path(node, daemon))
    }

    /// Where a daemon's output goes.
    pub fn log_path(&self, node: &str, daemon: &str) -> PathBuf {
        self.dir.join("log").join(format!("{node}-{daemon}.log"))
    }

    fn insert(&self, name: String, recipe: Recipe) -> Result<()> {
        let daemon = recipe.start().with_context(|| format!("start {name}"))?;
        if let Some(mut before) = self.daemons().insert(name, daemon) {
            before.stop(Signal::SIGKILL)?;
        }
        Ok(())
    }

    fn with_daemon<T>(&self, name: &str, work: impl FnOnce(&mut Daemon) -> Result<T>) -> Result<T> {
        let mut daemons = self.daemons();
        let daemon = daemons
            .get_mut(name)
            .with_context(|| format!("no daemon {name}"))?;
        work(daemon).with_context(|| format!("daemon {name}"))
    }

    fn daemons(&self) -> MutexGuard<'_, BTreeMap<String, Daemon>> {
        self.daemons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A test that fails keeps its logs: without them its message is often a riddle.
    fn keep_logs(&self) -> Result<PathBuf> {
        let kept = state::root()?.join(format!("failed-{}", self.id()));
        fs::rename(&self.dir, &kept)?;
        fs::remove_file(kept.join("lab.json"))?;
        Ok(kept)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.record.owner.is_none() && !thread::panicking() {
            return;
        }
        for daemon in self.daemons().values_mut() {
            let _ = daemon.signal(Signal::SIGKILL);
        }
        for daemon in self.daemons().values_mut() {
            let _ = daemon.stop(Signal::SIGKILL);
        }
        if thread::panicking()
            && let Ok(kept) = self.keep_logs()
        {
            eprint(&format!("the lab's files are kept in {}", kept.display()));
        }
        if let Err(error) = self.record.remove() {
            eprint(&format!("taking down lab {}: {error:#}", self.id()));
        }
    }
}

#[expect(clippy::print_stderr, reason = "a destructor has nowhere else to report to")]
fn eprint(line: &str) {
    eprintln!("{line}");
}
