//! The ways to the peers, followed.

use std::marker::PhantomData;
use std::time::Duration;

use rtnetlink::MulticastGroup;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::events::Events;
use super::{Netlink, NetlinkError, PathToPeer, Target};

/// First and longest wait before the sockets are opened again after an error.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Updates that may wait for the receiver beyond one per peer. When it is full the watch waits, and asks again.
const SPARE_UPDATES: usize = 16;

/// When a watch asks the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Least time from one recomputation to the next one that events ask for.
    pub least: Duration,
    /// What that time grows to, by doubling, for route changes that keep coming and change nothing here.
    pub under_flood: Duration,
    /// When to ask once more after the last event, ascending. The kernel announces that a link or an address is
    /// gone *before* it takes the routes over it away, and does the latter without a word.
    pub settle: &'static [Duration],
}

impl Default for Pacing {
    /// 20 ms, 320 ms, and 40 and 400 ms after the last event.
    fn default() -> Self {
        Self {
            least: Duration::from_millis(20),
            under_flood: Duration::from_millis(320),
            settle: const { &[Duration::from_millis(40), Duration::from_millis(400)] },
        }
    }
}

/// Watches the ways to peers.
#[derive(Debug)]
pub struct PathWatch(PhantomData<()>);

impl PathWatch {
    /// Starts a task that sends the path of every peer at once, and then each path that changed.
    ///
    /// `peers` are addresses, or anything else that names a [`Target`] and serves the receiver as a key. The
    /// sockets belong to the network namespace of the thread that polls the task first. Ends when the receiver
    /// is dropped, or by `abort`. Needs a tokio runtime with I/O and time.
    ///
    /// # Cost
    ///
    /// Idle, nothing. The first event acts at once; after that there is at most one recomputation in 20 ms, and
    /// two more, 40 and 400 ms after the last event. A recomputation is one route lookup per peer and two
    /// questions per interface. While somebody installs routes that do not matter here the pace falls to one in
    /// 320 ms, for route changes only: link, address and rule changes keep their 20 ms. Route messages are thrown
    /// away by the kernel as they come and never decoded, so the rate of the flood does not matter.
    ///
    /// # Errors
    ///
    /// None: the task logs what goes wrong and opens its sockets again, after 100 ms at first and 5 s at most,
    /// without sending again what did not change.
    pub fn spawn<K>(peers: Vec<K>) -> (mpsc::Receiver<(K, PathToPeer)>, JoinHandle<()>)
    where
        K: Clone + Into<Target> + Send + Sync + 'static,
    {
        Self::spawn_paced(peers, Pacing::default())
    }

    /// [`PathWatch::spawn`] with another pace.
    pub fn spawn_paced<K>(peers: Vec<K>, pacing: Pacing) -> (mpsc::Receiver<(K, PathToPeer)>, JoinHandle<()>)
    where
        K: Clone + Into<Target> + Send + Sync + 'static,
    {
        let (updates, receiver) = mpsc::channel(peers.len() + SPARE_UPDATES);
        let targets = peers.iter().cloned().map(Into::into).collect();
        let known = vec![None; peers.len()];
        let task = Task {
            peers,
            targets,
            known,
            updates,
            pacing,
        };
        (receiver, tokio::spawn(task.run()))
    }
}

struct Task<K> {
    peers: Vec<K>,
    targets: Vec<Target>,
    /// What the receiver was told last, by peer.
    known: Vec<Option<PathToPeer>>,
    updates: mpsc::Sender<(K, PathToPeer)>,
    pacing: Pacing,
}

/// Why a watch over one set of sockets ended.
enum End {
    Closed,
    Failed(NetlinkError),
}

impl From<NetlinkError> for End {
    fn from(error: NetlinkError) -> Self {
        Self::Failed(error)
    }
}

impl<K: Clone> Task<K> {
    async fn run(mut self) {
        let (mut wait, longest) = BACK_OFF;
        loop {
            let started = Instant::now();
            let error = match self.watch().await {
                End::Closed => return,
                End::Failed(error) => error,
            };
            if started.elapsed() > longest {
                wait = BACK_OFF.0;
            }
            tracing::warn!(%error, retry_ms = wait.as_millis(), "lost sight of routes and links, trying again");

            tokio::select! {
                () = self.updates.closed() => return,
                () = sleep(wait) => {}
            }
            wait = (wait * 2).min(longest);
        }
    }

    /// Follows the changes until something breaks.
    async fn watch(&mut self) -> End {
        match self.try_watch().await {
            Ok(()) => End::Closed,
            Err(end) => end,
        }
    }

    async fn try_watch(&mut self) -> Result<(), End> {
        // Subscribed before the first question, so that no change falls between the two.
        let near = Events::subscribe(&NEAR).map_err(NetlinkError::Open)?;
        let routes = Events::subscribe(&ROUTES).map_err(NetlinkError::Open)?;
        let netlink = Netlink::open()?;
        self.tell_changes(&netlink).await?;

        let mut pace = Pace::new(self.pacing.clone(), Instant::now());
        loop {
            let settle = pace.settle_at();
            let cause = tokio::select! {
                () = self.updates.closed() => return Ok(()),
                result = after(pace.near_at, near.changed()) => result.map(|()| Cause::Near),
                result = after(pace.routes_at, routes.changed()) => result.map(|()| Cause::Routes),
                () = sleep_until(settle.unwrap_or(pace.near_at)), if settle.is_some() => Ok(Cause::Settle),
            };
            let cause = cause.map_err(NetlinkError::Events)?;
            let changed = self.tell_changes(&netlink).await?;
            pace.asked(cause, changed, Instant::now());
        }
    }

    /// Asks for every peer and sends what is new; tells whether anything was.
    async fn tell_changes(&mut self, netlink: &Netlink) -> Result<bool, End> {
        let paths = netlink.paths_to(&self.targets).await?;
        let mut changed = false;
        for ((peer, known), path) in self.peers.iter().zip(&mut self.known).zip(paths) {
            if known.as_ref() == Some(&path) {
                continue;
            }
            self.updates
                .send((peer.clone(), path.clone()))
                .await
                .map_err(|_| End::Closed)?;
            *known = Some(path);
            changed = true;
        }
        Ok(changed)
    }
}

const NEAR: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
    MulticastGroup::Nexthop,
];

const ROUTES: [MulticastGroup; 2] = [MulticastGroup::Ipv4Route, MulticastGroup::Ipv6Route];

/// Why the kernel was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// A link, an address, a rule or a nexthop object changed.
    Near,
    /// A route changed.
    Routes,
    /// Some time after the last event.
    Settle,
}

/// When the kernel may be asked again, and why.
#[derive(Debug)]
struct Pace {
    pacing: Pacing,
    near_at: Instant,
    routes_at: Instant,
    routes_pace: Duration,
    last_event: Instant,
    /// How many of the times to settle have passed since the last event.
    settled: usize,
}

impl Pace {
    fn new(pacing: Pacing, now: Instant) -> Self {
        let routes_pace = pacing.least;
        // The events of the time before the first question count as one event.
        Self {
            pacing,
            near_at: now,
            routes_at: now,
            routes_pace,
            last_event: now,
            settled: 0,
        }
    }

    /// When to ask without any event, if at all. Changes with [`Pace::asked`].
    fn settle_at(&self) -> Option<Instant> {
        self.pacing
            .settle
            .get(self.settled)
            .map(|after| self.last_event + *after)
    }

    /// The kernel has just been asked; `changed` says whether an answer was new.
    fn asked(&mut self, cause: Cause, changed: bool, now: Instant) {
        match cause {
            Cause::Settle => self.settled += 1,
            Cause::Near | Cause::Routes => {
                self.last_event = now;
                self.settled = 0;
            }
        }

        self.routes_pace = match cause {
            Cause::Near => self.routes_pace,
            Cause::Routes if changed => self.pacing.least,
            Cause::Routes => (self.routes_pace * 2).min(self.pacing.under_flood),
            Cause::Settle if self.settle_at().is_none() => self.pacing.least,
            Cause::Settle => self.routes_pace,
        };
        self.near_at = now + self.pacing.least;
        self.routes_at = match cause {
            Cause::Routes => now + self.routes_pace,
            Cause::Near | Cause::Settle => self.routes_at.max(self.near_at),
        };
    }
}

/// Does not begin to wait before `start`; what comes until then queues up in the kernel.
async fn after<T>(start: Instant, then: impl Future<Output = T>) -> T {
    sleep_until(start).await;
    then.await
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
