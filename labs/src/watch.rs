//! Watching a node's kernel routes as they change.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::netns::Netns;

/// A change of a route.
#[derive(Debug, Clone)]
pub struct Change {
    /// When it was seen.
    pub at: Instant,
    /// What `ip monitor` says, in one line.
    pub text: String,
}

/// Notes every change of a namespace's routes until dropped.
#[derive(Debug)]
pub struct RouteWatch {
    monitor: Child,
    changes: Arc<Changes>,
}

#[derive(Debug, Default)]
struct Changes {
    list: Mutex<Vec<Change>>,
    grown: Condvar,
}

impl RouteWatch {
    /// Starts watching.
    pub fn start(netns: &Netns) -> Result<Self> {
        let mut command = netns.command("ip");
        command
            .args(["-o", "monitor", "route"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut monitor = command.spawn().context("start ip monitor")?;
        let output = monitor.stdout.take().context("ip monitor has no output")?;
        let changes = Arc::new(Changes::default());
        let noted = Arc::clone(&changes);
        thread::spawn(move || note(output, &noted));
        let watch = Self { monitor, changes };
        watch.settle(netns)?;
        Ok(watch)
    }

    /// Waits for the first change since a moment that satisfies a condition.
    pub fn wait(&self, since: Instant, deadline: Duration, wanted: impl Fn(&str) -> bool) -> Result<Change> {
        let end = Instant::now() + deadline;
        let mut list = self.changes.lock();
        loop {
            if let Some(change) = list
                .iter()
                .find(|change| change.at >= since && wanted(&change.text))
            {
                return Ok(change.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no such change of a route within {deadline:?}");
            }
            let waited = self.changes.grown.wait_timeout(list, left);
            list = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// `ip monitor` does not say when it listens, so a route of no use is flapped until it is seen.
    fn settle(&self, netns: &Netns) -> Result<()> {
        const MARK: &str = "192.0.2.255";
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            netns.ip(&format!("route replace blackhole {MARK}/32"))?;
            netns.ip(&format!("route del blackhole {MARK}/32"))?;
            let short = Duration::from_millis(20);
            if self.wait(start, short, |text| text.contains(MARK)).is_ok() {
                return Ok(());
            }
        }
        bail!("ip monitor sees nothing in {}", netns.name())
    }
}

impl Drop for RouteWatch {
    fn drop(&mut self) {
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}

impl Changes {
    fn lock(&self) -> MutexGuard<'_, Vec<Change>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(output: ChildStdout, changes: &Changes) {
    for line in BufReader::new(output).lines() {
        let Ok(text) = line else { return };
        changes.lock().push(Change {
            at: Instant::now(),
            text,
        });
        changes.grown.notify_all();
    }
}
