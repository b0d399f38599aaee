//! How the rest of the process talks to the thread.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::event::BfdEvent;
use super::mailbox::{Answer, Asked, Mailbox, Question, Reply};
use super::recorder::Recording;
use super::slot::Port;
use super::spec::{BfdLimits, BfdSpec, InterfaceName, Refusal, Wanted};
use super::status::BfdSnapshot;
use super::thread::Driver;

/// An answer takes microseconds; after this long, the thread has ended or the machine stands still.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// The BFD thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the BFD thread while {attempt}: {source}")]
pub struct BfdSpawnError {
    attempt: &'static str,
    source: io::Error,
}

/// Starts the thread. It belongs to the network namespace of the caller, and does nothing until it has sessions.
///
/// `waker` is called by the thread after events were queued. It must not block: write to an eventfd, for example.
///
/// # Errors
///
/// The system has no thread or no descriptor to give.
pub fn spawn(
    waker: impl Fn() + Send + 'static,
    limits: BfdLimits,
) -> Result<(BfdHandle, BfdThread), BfdSpawnError> {
    let at = |attempt| move |source| BfdSpawnError { attempt, source };
    let mailbox = Mailbox::new(limits.sessions).map_err(|errno| at("making its eventfd")(errno.into()))?;
    let mailbox = Arc::new(mailbox);
    let inside = Arc::clone(&mailbox);
    let thread = std::thread::Builder::new()
        .name("bfd".to_owned())
        .spawn(move || Driver::new(inside, waker, limits).run())
        .map_err(at("creating the thread"))?;
    let owner = Owner {
        mailbox,
        limits,
        desired: Mutex::new(Desired::default()),
    };
    Ok((BfdHandle(Arc::new(owner)), BfdThread(thread)))
}

/// The thread itself.
#[derive(Debug)]
pub struct BfdThread(JoinHandle<()>);

impl BfdThread {
    /// Waits for the end of the thread: see [`BfdHandle::stop`].
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the BFD thread has panicked");
        }
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Talks to the thread. Cheap to clone; the thread stops when the last clone goes.
///
/// No call waits for the thread, except [`Self::snapshot`] and [`Self::recording`].
#[derive(Clone, Debug)]
pub struct BfdHandle(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    mailbox: Arc<Mailbox>,
    limits: BfdLimits,
    desired: Mutex<Desired>,
}

/// What was asked for. The thread always gets all of it, so no order of calls can confuse it.
#[derive(Debug, Default)]
struct Desired {
    specs: Vec<BfdSpec>,
    /// Sessions without an entry in `admin_down` are held down.
    all_down: bool,
    admin_down: BTreeMap<u64, bool>,
}

impl BfdHandle {
    /// Makes the sessions exactly these.
    ///
    /// Sessions whose spec did not change are not touched; see [`BfdSpec`] for what a change does. Sessions that are
    /// not in the list any more go AdminDown, for one Detection Time or until the other end has noticed, and then
    /// vanish ([`BfdEvent::Removed`]). A spec that cannot be taken is left out ([`BfdEvent::Refused`]).
    pub fn set(&self, specs: Vec<BfdSpec>) {
        self.change(|desired| {
            let keys: BTreeSet<u64> = specs.iter().map(|spec| spec.key).collect();
            desired.admin_down.retain(|key, _| keys.contains(key));
            desired.specs = specs;
        });
    }

    /// Holds a session, or with `None` all present and future ones, in AdminDown (RFC 5880 §6.8.16), until
    /// [`Self::enable`]. The other end does not take that for a failure (RFC 5882 §3.2).
    pub fn admin_down(&self, key: Option<u64>) {
        self.hold(key, true);
    }

    /// Ends [`Self::admin_down`] for a session, or with `None` for all.
    pub fn enable(&self, key: Option<u64>) {
        self.hold(key, false);
    }

    /// Appends what has happened since the last call, oldest first.
    ///
    /// Nobody who is slow loses the last word on a session: when too much waits, only what later events have made
    /// obsolete is dropped.
    pub fn drain_events(&self, events: &mut Vec<BfdEvent>) {
        self.0.mailbox.take_events(events);
    }

    /// All sessions and the thread at this moment; `None` if the thread has ended. Waits for the next turn of the
    /// thread, usually some microseconds.
    #[must_use]
    pub fn snapshot(&self) -> Option<BfdSnapshot> {
        let mut snapshot = BfdSnapshot::default();
        snapshot.sessions.reserve(self.0.limits.sessions);
        snapshot.thread.listeners.reserve(Port::ALL.len());
        match self.ask(Asked::Snapshot(Box::new(snapshot)))? {
            Answer::Snapshot(mut snapshot) => {
                snapshot.sessions.shrink_to_fit();
                Some(*snapshot)
            }
            Answer::Recording { .. } => None,
        }
    }

    /// The flight recorder of a session; `None` if there is no such session, or the thread has ended. Waits like
    /// [`Self::snapshot`].
    #[must_use]
    pub fn recording(&self, key: u64) -> Option<Recording> {
        let asked = Asked::Recording(Box::new(Recording::reserve(key)));
        match self.ask(asked)? {
            Answer::Recording { recording, found } => found.then_some(*recording),
            Answer::Snapshot(_) => None,
        }
    }

    /// Removes all sessions as [`Self::set`] does, then ends the thread; see [`BfdThread::join`]. It takes one
    /// Detection Time at most, and never more than 10 s. Nothing can be set any more.
    pub fn stop(self) {
        self.0.mailbox.tell(|inbox| inbox.stop = true);
    }

    fn hold(&self, key: Option<u64>, down: bool) {
        self.change(|desired| match key {
            Some(key) => {
                desired.admin_down.insert(key, down);
            }
            None => {
                desired.all_down = down;
                desired.admin_down.clear();
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Desired)) {
        let owner = &*self.0;
        let mut desired = owner.desired.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut desired);
        let wanted = desired.wanted(|key, refusal| {
            owner.mailbox.add_event(BfdEvent::Refused { key, refusal });
        });
        // Under the lock, so that the lists arrive in the order in which they were made.
        let replaced = owner.mailbox.tell(|inbox| inbox.wanted.replace(wanted));
        drop(desired);
        drop(replaced);
    }

    fn ask(&self, what: Asked) -> Option<Answer> {
        let reply = Arc::new(Reply {
            answer: OnceLock::new(),
            asker: std::thread::current(),
        });
        let question = Question {
            what,
            reply: Arc::clone(&reply),
        };
        if !self.0.mailbox.ask(question) {
            return None;
        }
        let deadline = Instant::now() + ANSWER_WITHIN;
        while reply.answer.get().is_none() {
            let left = deadline.checked_duration_since(Instant::now())?;
            std::thread::park_timeout(left);
        }
        // The thread lets go of its half right after it has answered.
        let mut reply = reply;
        loop {
            match Arc::try_unwrap(reply) {
                Ok(reply) => return reply.answer.into_inner(),
                Err(shared) => reply = shared,
            }
            std::thread::yield_now();
        }
    }
}

impl Desired {
    fn wanted(&self, mut refuse: impl FnMut(u64, Refusal)) -> Vec<Wanted> {
        let mut keys = BTreeSet::new();
        let mut wanted = Vec::with_capacity(self.specs.len());
        for spec in &self.specs {
            let check = spec
                .check()
                .and_then(|()| spec.device.as_deref().map(InterfaceName::new).transpose());
            let device = match check {
                Ok(_) if !keys.insert(spec.key) => {
                    refuse(spec.key, Refusal::DuplicateKey);
                    continue;
                }
                Ok(device) => device,
                Err(refusal) => {
                    refuse(spec.key, refusal);
                    continue;
                }
            };
            let down = self.admin_down.get(&spec.key).copied().unwrap_or(self.all_down);
            wanted.push(Wanted {
                spec: spec.clone(),
                device,
                enabled: !down,
            });
        }
        wanted
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.mailbox.tell(|inbox| inbox.stop = true);
    }
}
