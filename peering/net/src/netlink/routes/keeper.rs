//! The thread that keeps the routes as wanted.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::events::{Happened, RouteEvents};
use super::hash_policy::{HashPolicies, advice};
use super::lock::Lock;
use super::message::{contains, is_same};
use super::table::{Put, RouteTable};
use super::{KeptRoute, Route, RouteError, RouteHop, RouteKeeperConfig, RouteKeeperStatus};

const WAKER: Token = Token(0);
const EVENTS: Token = Token(1);

/// First and longest wait after an error.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Least time between two looks at our routes.
const PACE: Duration = Duration::from_millis(20);

/// When to look again after the last change of a link or an address: the kernel says that a link is gone before it
/// takes the routes over it away, and does the latter without a word.
const SETTLE: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(400)];

/// Keeps routes as wanted, on a thread of its own. Dropped without [`RouteKeeper::stop`], it leaves the routes.
#[derive(Debug)]
pub struct RouteKeeper {
    mailbox: Arc<Mailbox>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread, in the network namespace of this one. Until [`RouteKeeper::set`] nothing is changed.
///
/// `notify` is called on the thread when the status has changed. No permission, a lock held by another process and the like are told in the status and tried again.
///
/// # Errors
///
/// The operating system has no event queue or thread to give.
pub fn spawn(config: RouteKeeperConfig, notify: impl Fn() + Send + 'static) -> io::Result<RouteKeeper> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKER)?;
    let mailbox = Arc::new(Mailbox::default());
    let worker = Worker::new(config, poll, Arc::clone(&mailbox));
    let thread = std::thread::Builder::new()
        .name("return-path".to_owned())
        .spawn(move || worker.run(&notify))?;
    Ok(RouteKeeper {
        mailbox,
        waker,
        thread: Some(thread),
    })
}

impl RouteKeeper {
    /// Says which routes are wanted from now on; never waits. `cause` is when it was known that they are: the status
    /// tells how long it took from there.
    ///
    /// A destination that is left out, or has no hops, stays as it is.
    pub fn set(&self, routes: Vec<Route>, cause: Instant) {
        self.mailbox.with(|mail| {
            let order = mail.order.get_or_insert(Order {
                routes: Vec::new(),
                cause,
            });
            // A change that overtakes another one answers for the earlier cause.
            order.cause = order.cause.min(cause);
            let is_other = |known: &Route| routes.iter().all(|route| route.destination != known.destination);
            order.routes.retain(is_other);
            order.routes.extend(routes);
        });
        self.wake();
    }

    /// Whether the status has changed since this was asked last.
    pub fn take_news(&self) -> bool {
        self.mailbox.with(|mail| std::mem::take(&mut mail.is_new))
    }

    /// How the routes fare.
    pub fn status(&self) -> RouteKeeperStatus {
        self.mailbox.with(|mail| mail.status.clone())
    }

    /// Removes exactly our routes, unless they are to be left, and ends the thread.
    pub fn stop(mut self, leave: bool) {
        self.end(leave);
    }

    fn end(&mut self, leave: bool) {
        let Some(thread) = self.thread.take() else { return };
        self.mailbox.with(|mail| mail.end = Some(leave));
        self.wake();
        if thread.join().is_err() {
            tracing::error!("the return path thread has panicked");
        }
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake the return path thread");
        }
    }
}

impl Drop for RouteKeeper {
    fn drop(&mut self) {
        self.end(true);
    }
}

/// What passes between the thread and its owner. Held for as long as it takes to copy it.
#[derive(Debug, Default)]
struct Mailbox(Mutex<Mail>);

#[derive(Debug, Default)]
struct Mail {
    order: Option<Order>,
    /// To end, and whether to leave the routes.
    end: Option<bool>,
    status: RouteKeeperStatus,
    is_new: bool,
}

#[derive(Debug)]
struct Order {
    routes: Vec<Route>,
    cause: Instant,
}

impl Mailbox {
    fn with<T>(&self, work: impl FnOnce(&mut Mail) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the thread owns.
struct Worker {
    config: RouteKeeperConfig,
    poll: Poll,
    mailbox: Arc<Mailbox>,
    wanted: Vec<Wanted>,
    kernel: Option<Kernel>,
    /// When to try again to open `kernel`.
    opening: Retry,
    status: RouteKeeperStatus,
}

/// The open sockets and the lock.
struct Kernel {
    table: RouteTable,
    events: RouteEvents,
    /// What is known may be wrong, and whose routes there are as well.
    doubtful: bool,
    last_look: Instant,
    /// When to look at our routes, ascending.
    looks: Vec<Instant>,
    strays: bool,
    _lock: Lock,
}

struct Wanted {
    destination: IpNet,
    hops: Vec<RouteHop>,
    /// They are in force.
    installed: bool,
    /// They were in force before: that they are not is somebody else's doing.
    was_installed: bool,
    /// What is in force instead, while the kernel refuses some of them.
    partly: Vec<RouteHop>,
    /// The cause of a change that is not acknowledged yet.
    cause: Option<Instant>,
    retry: Retry,
}

/// When to try again what failed, and what was said of it.
#[derive(Debug, Default)]
struct Retry {
    at: Option<Instant>,
    tried: Option<Instant>,
    delay: Duration,
    error: Option<String>,
}

impl Retry {
    fn is_due(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| at <= now)
    }

    /// Notes a failure; returns whether it is news.
    fn failed(&mut self, error: &RouteError, now: Instant) -> bool {
        self.delay = (self.delay * 2).clamp(BACK_OFF.0, BACK_OFF.1);
        self.at = Some(now + self.delay);
        self.tried = Some(now);
        let text = error.to_string();
        let news = self.error.as_ref() != Some(&text);
        self.error = Some(text);
        news
    }

    /// Notes a success; returns whether something had been wrong.
    fn succeeded(&mut self) -> bool {
        let was_wrong = self.error.is_some();
        *self = Self::default();
        was_wrong
    }

    /// Circumstances have changed: no reason to wait for long.
    fn hurry(&mut self) {
        let soon = self.tried.map(|tried| tried + PACE);
        self.at = self.at.min(soon);
        self.delay = Duration::ZERO;
    }
}

impl Worker {
    fn new(config: RouteKeeperConfig, poll: Poll, mailbox: Arc<Mailbox>) -> Self {
        let wanted = config.destinations.iter().map(|destination| Wanted {
            destination: destination.trunc(),
            hops: Vec::new(),
            installed: false,
            was_installed: false,
            partly: Vec::new(),
            cause: None,
            retry: Retry::default(),
        });
        Self {
            wanted: wanted.collect(),
            config,
            poll,
            mailbox,
            kernel: None,
            opening: Retry::default(),
            status: RouteKeeperStatus::default(),
        }
    }

    fn run(mut self, notify: &dyn Fn()) {
        let mut events = Events::with_capacity(8);
        loop {
            let (order, end) = self.mailbox.with(|mail| (mail.order.take(), mail.end.take()));
            if let Some(order) = order {
                self.take(order);
            }
            let now = Instant::now();
            self.open(now);
            self.note_events(now);
            self.act(now);
            if let Some(leave) = end {
                self.finish(leave);
                return;
            }
            if self.publish() {
                notify();
            }

            let timeout = self
                .next_at()
                .map(|at| at.saturating_duration_since(Instant::now()));
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the event queue of the return path thread failed; the routes stay as they are");
                return;
            }
        }
    }

    fn take(&mut self, order: Order) {
        for route in order.routes {
            let destination = route.destination.trunc();
            let found = self
                .wanted
                .iter_mut()
                .find(|wanted| wanted.destination == destination);
            let Some(wanted) = found else {
                tracing::error!(%destination, "no route to this destination may be kept");
                continue;
            };
            if route.hops.is_empty() || route.hops == wanted.hops {
                continue;
            }
            wanted.hops = route.hops;
            wanted.installed = false;
            wanted.was_installed = false;
            wanted.partly.clear();
            wanted.cause = Some(wanted.cause.map_or(order.cause, |cause| cause.min(order.cause)));
            wanted.retry.at = None;
        }
    }

    /// Takes the lock and opens the sockets, where that is still to be done.
    fn open(&mut self, now: Instant) {
        if self.kernel.is_some() || !self.opening.is_due(now) {
            return;
        }
        match self.try_open(now) {
            Ok(kernel) => {
                self.kernel = Some(kernel);
                self.status.hash_policies = HashPolicies::read();
                if self.opening.succeeded() {
                    tracing::info!("the return path can be kept now");
                }
                self.advise();
            }
            Err(error) => {
                if self.opening.failed(&error, now) {
                    tracing::warn!(%error, "cannot keep the return path; trying again");
                }
            }
        }
    }

    fn try_open(&self, now: Instant) -> Result<Kernel, RouteError> {
        let lock = Lock::take()?;
        let lengths = self.config.destinations.iter().map(IpNet::prefix_len);
        // Subscribed before the first look, so that no change falls between the two.
        let events = RouteEvents::subscribe(lengths).map_err(RouteError::Open)?;
        self.poll
            .registry()
            .register(&mut SourceFd(&events.as_raw_fd()), EVENTS, Interest::READABLE)
            .map_err(RouteError::Open)?;
        let table = RouteTable::open(&self.config)?;
        Ok(Kernel {
            table,
            events,
            doubtful: false,
            last_look: now,
            looks: Vec::new(),
            strays: true,
            _lock: lock,
        })
    }

    fn advise(&self) {
        for v6 in [false, true] {
            let policy = match v6 {
                false => self.status.hash_policies.v4,
                true => self.status.hash_policies.v6,
            };
            let is_used = self
                .config
                .destinations
                .iter()
                .any(|destination| destination.addr().is_ipv6() == v6);
            if is_used && let Some(advice) = advice(v6, policy) {
                tracing::warn!("all flows between the same two addresses take the same plane back: {advice}");
            }
        }
    }

    fn note_events(&mut self, now: Instant) {
        let Some(kernel) = &mut self.kernel else { return };
        let happened = match kernel.events.drain(kernel.table.port()) {
            Ok(happened) => happened,
            Err(error) => {
                let error = RouteError::Open(error);
                tracing::warn!(%error, "cannot follow the changes of routes any more; opening the sockets again");
                self.opening.failed(&error, now);
                self.kernel = None;
                return;
            }
        };
        if happened == Happened::default() {
            return;
        }
        kernel.doubtful |= kernel.table.concerns(&happened);
        if happened.near || happened.lost {
            kernel.looks = vec![now.max(kernel.last_look + PACE)];
            kernel.looks.extend(SETTLE.map(|after| now + after));
        }
        if kernel.doubtful || happened.near {
            for wanted in &mut self.wanted {
                wanted.retry.hurry();
            }
        }
    }

    fn act(&mut self, now: Instant) {
        let Some(kernel) = &mut self.kernel else { return };
        if let Err(error) = kernel.look(now, self.wanted.iter().any(|wanted| wanted.is_contested(now))) {
            tracing::warn!(%error, "cannot read the routes; opening the socket again");
            self.opening.failed(&error, now);
            self.kernel = None;
            return;
        }

        for wanted in &mut self.wanted {
            match wanted.settle(&mut kernel.table, now) {
                Settled::Unchanged => {}
                Settled::Moved => self.status.moves += 1,
                Settled::Restored => self.status.restored += 1,
            }
            if wanted.installed
                && let Some(cause) = wanted.cause.take()
            {
                let took = cause.elapsed();
                self.status.last_move = Some(took);
                self.status.slowest_move = self.status.slowest_move.max(Some(took));
            }
        }
        let is_settled = |wanted: &Wanted| wanted.installed || wanted.hops.is_empty();
        if !self.wanted.iter().all(is_settled) {
            return;
        }
        // Only now: what an earlier process left may be all there is until then.
        if kernel.strays && self.wanted.iter().any(|wanted| wanted.installed) {
            kernel.strays = false;
            match kernel.table.remove_strays() {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "removed routes that an earlier process had left"),
                Err(error) => tracing::warn!(%error, "a route that an earlier process left stays"),
            }
        }
    }

    fn next_at(&self) -> Option<Instant> {
        let Some(kernel) = &self.kernel else {
            return self.opening.at;
        };
        let retries = self.wanted.iter().filter_map(|wanted| wanted.retry.at);
        retries.chain(kernel.looks.first().copied()).min()
    }

    /// Returns whether there is anything new.
    fn publish(&mut self) -> bool {
        let kept = |wanted: &Wanted| {
            let kernel = self.kernel.as_ref();
            let known = kernel.and_then(|kernel| kernel.table.known(&wanted.destination));
            KeptRoute {
                destination: wanted.destination,
                hops: known.and_then(|known| known.own.clone()).unwrap_or_default(),
                installed: kernel.is_some() && wanted.installed,
                error: wanted.retry.error.clone(),
            }
        };
        self.status.routes = self.wanted.iter().map(kept).collect();
        self.status.trouble.clone_from(&self.opening.error);
        self.mailbox.with(|mail| {
            let is_new = mail.status != self.status;
            if is_new {
                mail.status.clone_from(&self.status);
                mail.is_new = true;
            }
            is_new
        })
    }

    /// Without the lock there is nothing of ours to remove.
    fn finish(mut self, leave: bool) {
        let Some(kernel) = &mut self.kernel else { return };
        if leave {
            tracing::info!("the routes of the return path stay as they are");
            return;
        }
        match kernel.table.remove_all() {
            Ok(count) => tracing::info!(count, "removed the routes of the return path"),
            Err(error) => tracing::warn!(%error, "routes of the return path stay behind"),
        }
    }
}

impl Kernel {
    /// Looks at the routes where that is due; `contested`: at those of others too.
    fn look(&mut self, now: Instant, contested: bool) -> Result<(), RouteError> {
        let due = self.looks.iter().take_while(|at| **at <= now).count();
        if self.doubtful || contested {
            self.table.look()?;
        } else if due > 0 {
            self.table.verify()?;
        } else {
            return Ok(());
        }
        self.looks.drain(..due);
        self.doubtful = false;
        self.last_look = now;
        Ok(())
    }
}

impl Wanted {
    /// It is time to see whether somebody else's route is still in the way.
    fn is_contested(&self, now: Instant) -> bool {
        self.retry.at.is_some_and(|at| at <= now)
    }

    /// Makes the kernel's route the one that is wanted, where it is not and another try is due.
    fn settle(&mut self, table: &mut RouteTable, now: Instant) -> Settled {
        if self.hops.is_empty() {
            return Settled::Unchanged;
        }
        let known = table.known(&self.destination).cloned().unwrap_or_default();
        let own = known.own.unwrap_or_default();
        // What others have put into our IPv6 route is theirs, until the next change takes it along.
        let is_shared = self.was_installed && self.destination.addr().is_ipv6() && contains(&own, &self.hops);
        if known.foreign.is_none() && (is_shared || is_same(&own, &self.hops)) {
            // As an earlier process left it, or put back by others.
            let was = self.in_force();
            return if was { Settled::Unchanged } else { Settled::Moved };
        }
        self.installed = false;
        if !self.retry.is_due(now) {
            return Settled::Unchanged;
        }

        let route = Route {
            destination: self.destination,
            hops: self.hops.clone(),
        };
        let is_partly = !self.partly.is_empty() && is_same(&own, &self.partly);
        match table.put(&route, is_partly) {
            Ok(Put::Whole) if self.was_installed => {
                tracing::warn!(
                    destination = %self.destination,
                    "the route was changed or removed by others, or with its link; installed again"
                );
                self.in_force();
                Settled::Restored
            }
            Ok(Put::Whole) => {
                self.in_force();
                Settled::Moved
            }
            Ok(Put::Partly { accepted, error }) => {
                self.partly = accepted;
                self.complain(&error, now);
                Settled::Unchanged
            }
            Err(error) => {
                self.complain(&error, now);
                Settled::Unchanged
            }
        }
    }

    /// Notes that all is as wanted; returns whether it was so before.
    fn in_force(&mut self) -> bool {
        if self.retry.succeeded() {
            tracing::info!(destination = %self.destination, "the route is as wanted now");
        }
        self.partly.clear();
        self.installed = true;
        std::mem::replace(&mut self.was_installed, true)
    }

    fn complain(&mut self, error: &RouteError, now: Instant) {
        if self.retry.failed(error, now) {
            tracing::warn!(destination = %self.destination, %error, "the return path is not as wanted; trying again");
        }
    }
}

/// What has come of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// Nothing.
    Unchanged,
    /// It has what was asked for last.
    Moved,
    /// It has again what it had.
    Restored,
}
