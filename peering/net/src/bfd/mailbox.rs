//! What the thread and the rest of the process say to each other.
//!
//! Both directions are a mutex that the BFD thread only ever *tries* to take: while somebody else holds it, even
//! somebody whom the scheduler has put aside in the middle, the thread goes on and comes back a moment later. What
//! it takes or leaves is moved in one step, and was allocated by the others.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::event::{BfdEvent, News};
use super::recorder::Recording;
use super::spec::Wanted;
use super::status::BfdSnapshot;

/// Questions that may wait at a time. Each has a thread behind it that waits for the answer.
const QUESTIONS: usize = 64;

/// Shared by the thread and the handles.
#[derive(Debug)]
pub(super) struct Mailbox {
    inbox: Mutex<Inbox>,
    outbox: Mutex<News>,
    pub(super) wake: EventFd,
}

/// For the thread.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The sessions that there should be now; a later list replaces an earlier one.
    pub(super) wanted: Option<Vec<Wanted>>,
    pub(super) questions: Vec<Question>,
    pub(super) stop: bool,
    /// What the thread has done with: freeing memory may block, so others do it.
    pub(super) spent: Vec<Wanted>,
}

/// Something to be answered.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) what: Asked,
    pub(super) reply: Arc<Reply>,
}

#[derive(Debug)]
pub(super) enum Asked {
    /// To be filled in, up to its capacity.
    Snapshot(Box<BfdSnapshot>),
    /// To be filled in for the session with its key.
    Recording(Box<Recording>),
}

#[derive(Debug)]
pub(super) enum Answer {
    Snapshot(Box<BfdSnapshot>),
    Recording { recording: Box<Recording>, found: bool },
}

/// Where the answer goes.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) answer: OnceLock<Answer>,
    pub(super) asker: Thread,
}

impl Mailbox {
    pub(super) fn new(sessions: usize) -> nix::Result<Self> {
        Ok(Self {
            inbox: Mutex::new(Inbox {
                questions: Vec::with_capacity(QUESTIONS),
                ..Inbox::default()
            }),
            outbox: Mutex::new(News::new(sessions)),
            wake: EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?,
        })
    }

    /// For everybody but the thread: changes the inbox and wakes the thread.
    pub(super) fn tell<T>(&self, change: impl FnOnce(&mut Inbox) -> T) -> T {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = std::mem::take(&mut inbox.spent);
        let result = change(&mut inbox);
        drop(inbox);
        drop(spent);
        // Fails only if the counter is at its maximum, and then the thread is awake.
        let _ = self.wake.write(1);
        result
    }

    /// For everybody but the thread: false if too many ask already.
    pub(super) fn ask(&self, question: Question) -> bool {
        self.tell(|inbox| {
            let room = inbox.questions.len() < QUESTIONS;
            if room {
                inbox.questions.push(question);
            }
            room
        })
    }

    /// For everybody but the thread: takes the events.
    pub(super) fn take_events(&self, events: &mut Vec<BfdEvent>) {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.drain_to(|event| events.push(event));
    }

    /// For everybody but the thread: adds an event of one's own.
    pub(super) fn add_event(&self, event: BfdEvent) {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.push(event);
    }

    /// For the thread: the inbox, if nobody else has it.
    pub(super) fn try_inbox(&self) -> Option<MutexGuard<'_, Inbox>> {
        try_lock(&self.inbox)
    }

    /// For the thread: the outbox, if nobody else has it.
    pub(super) fn try_outbox(&self) -> Option<MutexGuard<'_, News>> {
        try_lock(&self.outbox)
    }
}

impl Reply {
    /// For the thread: wakes the one who asked.
    pub(super) fn give(&self, answer: Answer) {
        // There is only one answer to a question.
        let _ = self.answer.set(answer);
        self.asker.unpark();
    }
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
