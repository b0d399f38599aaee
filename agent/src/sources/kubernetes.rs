//! Objects from an API server, followed by list and watch.
//!
//! ```text
//! one task per kind:   list (pages) ──▶ watch (lines) ──▶ decode ──▶ Batch ──▶ the index
//!                        ▲                  │
//!                        └── 410, doubt ◀───┘
//! ```
//!
//! - Nothing is kept here but the version to go on from: the index is the only store. What an object does not say about
//!   announcements is dropped while it is read.
//! - What is heard is delivered at once; what is ready in the same moment goes into the same batch.
//! - Trouble never withdraws anything. A watch goes on from where it was; only a complete list tells what was deleted
//!   meanwhile, and one that would delete most of what is known has to be confirmed by a second one.
//! - One object that cannot be read is reported and keeps its last good state; everything else goes on.
//! - Works with API servers from 1.20: no field selectors, no streaming lists.

mod backoff;
mod connect;
mod decode;
mod follow;
mod lines;
mod startup;
mod trouble;
mod watched;

#[cfg(test)]
mod decode_tests;
#[cfg(test)]
mod follow_tests;
#[cfg(test)]
pub(crate) mod scripted;

pub use connect::{ConnectError, connect};
pub use watched::{Watched, watched};

use super::Batch;
use follow::Follower;
use kube::Client;
use startup::StartUp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The running tasks. Dropping it stops them.
#[derive(Debug)]
pub struct KubernetesSource {
    _tasks: JoinSet<()>,
}

/// Starts to follow these kinds. The batch with [`complete`](Batch::complete) comes after the first full list of every
/// kind; a kind that the server refuses to list holds it back for half a minute only, provided that another kind was
/// listed. The tasks end with the source or with the receiver.
pub fn spawn(client: &Client, kinds: Vec<Watched>, batches: &mpsc::Sender<Batch>) -> KubernetesSource {
    let mut tasks = JoinSet::new();
    // Each follower says little, and waits for nobody but the start-up task.
    let (standings, heard) = mpsc::channel(16);
    let start_up = StartUp::new(kinds.iter().map(|watched| watched.kind));
    tasks.spawn(startup::run(start_up, heard, batches.clone()));
    for watched in kinds {
        let follower = Follower::new(client.clone(), watched, batches.clone(), standings.clone());
        tasks.spawn(follower.run());
    }
    KubernetesSource { _tasks: tasks }
}
