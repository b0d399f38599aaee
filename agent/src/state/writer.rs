//! When the file is written: soon after a change, never often, now and then without one.

use super::file::replace;
use super::format::Snapshot;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The least time between two writes.
const PAUSE: Duration = Duration::from_secs(5);
/// A write that takes long is done less often: at most this share of the time goes into writing.
const SHARE: u32 = 50;
/// Without a change the file is written as often as this, so that its age is the time nobody looked after it.
const HEARTBEAT: Duration = Duration::from_secs(300);

/// Writes the file on a thread of the runtime's pool, one write at a time.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    heartbeat: Duration,
    next: Option<Instant>,
    not_before: Instant,
    running: Option<(Instant, JoinHandle<std::io::Result<()>>)>,
    failing: bool,
}

impl Writer {
    pub(super) fn new(path: PathBuf, max_age: Duration) -> Self {
        Self {
            path,
            heartbeat: HEARTBEAT.min(max_age / 4).max(PAUSE),
            next: None,
            not_before: Instant::now(),
            running: None,
            failing: false,
        }
    }

    /// The set has changed.
    pub(super) fn changed(&mut self) {
        self.wish(Instant::now() + PAUSE);
    }

    /// The set is complete for the first time.
    pub(super) fn complete(&mut self) {
        self.wish(Instant::now());
    }

    fn wish(&mut self, at: Instant) {
        let at = self.next.map_or(at, |next| next.min(at));
        self.next = Some(at.max(self.not_before));
    }

    /// When [`Self::write`] is to be called; `None` also while a write runs.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next.filter(|_| self.running.is_none())
    }

    /// Begins to write.
    pub(super) fn write(&mut self, snapshot: &Snapshot) {
        let octets = snapshot.encode();
        let path = self.path.clone();
        let task = tokio::task::spawn_blocking(move || replace(&path, &octets));
        self.next = None;
        self.running = Some((Instant::now(), task));
    }

    /// Waits for the write that runs; for ever if there is none.
    pub(super) async fn written(&mut self) {
        let Some((began, task)) = &mut self.running else {
            return std::future::pending().await;
        };
        let began = *began;
        let result = task.await;
        self.running = None;
        self.not_before = began + (began.elapsed() * SHARE).max(PAUSE);
        let next = self.next.unwrap_or(began + self.heartbeat);
        self.next = Some(next.max(self.not_before));
        let result = result.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        self.tell(result);
    }

    /// Writes a last time, after the write that may run.
    pub(super) async fn finish(mut self, snapshot: &Snapshot) {
        if self.running.is_some() {
            self.written().await;
        }
        self.write(snapshot);
        self.written().await;
    }

    fn tell(&mut self, result: std::io::Result<()>) {
        let path = self.path.display();
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(%path, "the state file is written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%path, %error, "the state file cannot be written; a restart without the API server has nothing to announce");
                }
            }
        }
    }
}
