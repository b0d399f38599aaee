//! An announcer that remembers: it keeps the desired set in the state file, and lets the set of the last run stand in
//! while nothing is known yet.

use super::format::{Identity, Snapshot};
use super::writer::Writer;
use super::{Boot, StateFile};
use crate::index::Change;
use crate::run::{Announcer, Farewell};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wire::{Family, Prefix, PrefixMap};

/// How many batches of changes may wait; more slow the index down, as a slow rack does.
const COMMANDS: usize = 16;

/// Passes everything on to another announcer. A task of its own holds the set, so that neither its timers nor its
/// writes are in the way of a change.
#[derive(Debug)]
pub struct Remembering {
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
enum Command {
    Apply(Vec<Change>),
    OpenEarly,
    Complete,
    ShutDown(Farewell, oneshot::Sender<()>),
}

impl Remembering {
    /// Starts the task. `last` is the set of the last run, to be announced when nothing is complete within
    /// [`StateFile::wait`].
    pub fn start<A: Announcer + 'static>(
        inner: A,
        file: &StateFile,
        identity: Identity,
        boot: &Boot,
        last: Option<PrefixMap<()>>,
    ) -> Self {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let memory = Memory {
            inner,
            identity,
            boot_id: boot.id.clone(),
            desired: PrefixMap::new(),
            last: last.filter(|set| !set.is_empty()),
            stands_in: false,
            complete: false,
            writer: Writer::new(file.path.clone(), file.max_age),
        };
        let deadline = Instant::now() + file.wait;
        tokio::spawn(memory.run(receiver, deadline));
        Self { commands }
    }
}

impl Announcer for Remembering {
    async fn apply(&mut self, changes: Vec<Change>) {
        // The task ends at the shutdown only.
        let _ = self.commands.send(Command::Apply(changes)).await;
    }

    async fn open_early(&mut self) {
        let _ = self.commands.send(Command::OpenEarly).await;
    }

    async fn sync_complete(&mut self) {
        let _ = self.commands.send(Command::Complete).await;
    }

    async fn shut_down(&mut self, farewell: Farewell) {
        let (done, ended) = oneshot::channel();
        let _ = self.commands.send(Command::ShutDown(farewell, done)).await;
        let _ = ended.await;
    }
}

struct Memory<A> {
    inner: A,
    identity: Identity,
    boot_id: String,
    desired: PrefixMap<()>,
    /// Of the last run, what this one has not seen yet.
    last: Option<PrefixMap<()>>,
    /// Whether `last` is announced.
    stands_in: bool,
    complete: bool,
    writer: Writer,
}

impl<A: Announcer> Memory<A> {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, deadline: Instant) {
        loop {
            let waits = !self.complete && !self.stands_in && self.last.is_some();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Apply(changes)) => self.apply(changes).await,
                    Some(Command::OpenEarly) => self.inner.open_early().await,
                    Some(Command::Complete) => self.sync_complete().await,
                    Some(Command::ShutDown(farewell, done)) => {
                        self.shut_down(farewell).await;
                        // Whoever waited may have given up.
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                () = tokio::time::sleep_until(deadline), if waits => self.stand_in().await,
                () = at(self.writer.due()) => {
                    let snapshot = self.snapshot();
                    self.writer.write(&snapshot);
                }
                () = self.writer.written() => {}
            }
        }
    }

    async fn apply(&mut self, changes: Vec<Change>) {
        for change in &changes {
            if change.announced {
                self.desired.insert(change.prefix, ());
            } else {
                self.desired.remove(&change.prefix);
            }
            // What is known now need not be remembered: a deleted object is withdrawn at once.
            if let Some(last) = &mut self.last {
                last.remove(&change.prefix);
            }
        }
        self.inner.apply(changes).await;
        if self.complete {
            self.writer.changed();
        }
    }

    /// Announces what the last run has announced.
    async fn stand_in(&mut self) {
        let Some(last) = &self.last else { return };
        self.stands_in = true;
        tracing::warn!(
            prefixes = last.len(),
            reason = "the objects are not known yet",
            "announcing what the last run has announced, from the state file"
        );
        let changes = as_changes(last, true);
        self.inner.apply(changes).await;
        self.inner.open_early().await;
    }

    /// Everything is known: what stood in and is not asked for any more goes, then End-of-RIB may follow.
    async fn sync_complete(&mut self) {
        self.complete = true;
        let gone = self.last.take().filter(|_| self.stands_in);
        if let Some(gone) = gone {
            tracing::info!(
                withdrawn = gone.len(),
                "the objects are known; the state file does not stand in any more"
            );
            self.inner.apply(as_changes(&gone, false)).await;
        }
        self.inner.sync_complete().await;
        self.writer.complete();
    }

    /// First the switches: in the sidecar of a NAT gateway there is no time for more.
    async fn shut_down(mut self, farewell: Farewell) {
        self.inner.shut_down(farewell).await;
        if self.complete {
            let snapshot = self.snapshot();
            self.writer.finish(&snapshot).await;
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            identity: self.identity.clone(),
            boot_id: self.boot_id.clone(),
            written_at: Timestamp::now(),
            prefixes: self.desired.clone(),
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn as_changes(set: &PrefixMap<()>, announced: bool) -> Vec<Change> {
    let prefixes = Family::ALL.map(|family| set.after(family, None).map(|(prefix, ())| prefix));
    let of = |prefix: Prefix| Change { prefix, announced };
    prefixes.into_iter().flatten().map(of).collect()
}
