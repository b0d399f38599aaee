//! What a session tells its owner.

use std::collections::VecDeque;
use std::time::Instant;

use crate::{Diag, State};

/// Something that happened in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The local session changed its state.
    StateChanged(StateChange),
    /// The remote system went AdminDown. If the session was Up, a [`Event::StateChanged`] follows.
    RemoteDisabled,
    /// The remote system was heard in another state after AdminDown; however long it was silent in between.
    RemoteEnabled,
    /// A Poll Sequence has ended: the remote system knows the intervals now in force (RFC 5880 §6.5).
    PollCompleted,
}

/// A change of the local session state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The state left.
    pub from: State,
    /// The state entered.
    pub to: State,
    /// What made it change.
    pub cause: Cause,
    /// bfd.LocalDiag after the change.
    pub local_diag: Diag,
    /// The diagnostic that the remote system sent last.
    pub remote_diag: Diag,
    /// Whether BFD is independent of the control plane at both ends (the C bits, RFC 5882 §4.3).
    pub control_plane_independent: bool,
    /// The `now` of the call that made the change.
    pub at: Instant,
}

impl StateChange {
    /// Whether the path is to be taken as broken: the session left Up, and nobody wanted it to. An AdminDown at
    /// either end is not a failure (RFC 5882 §3.2).
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.from == State::Up && matches!(self.cause, Cause::DetectionExpired | Cause::RemoteDown)
    }
}

/// What made the state change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The three-way handshake made progress.
    Handshake,
    /// Nothing was received for a Detection Time (diagnostic 1).
    DetectionExpired,
    /// The remote system said that its session is down (diagnostic 3).
    RemoteDown,
    /// An administrator at the remote system took the session down: not a failure (RFC 5882 §3.2).
    RemoteAdminDown,
    /// The owner called [`Session::admin_down`](crate::Session::admin_down).
    LocalAdminDown,
    /// The owner called [`Session::enable`](crate::Session::enable).
    LocalEnabled,
}

impl Cause {
    /// A short `snake_case` name, for a log field or a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::DetectionExpired => "detection_expired",
            Self::RemoteDown => "remote_down",
            Self::RemoteAdminDown => "remote_admin_down",
            Self::LocalAdminDown => "local_admin_down",
            Self::LocalEnabled => "local_enabled",
        }
    }
}

/// Events that wait to be fetched. Never grows: if the owner does not fetch, the oldest is dropped, so that the last
/// state it hears of is always the true one.
#[derive(Debug)]
pub(crate) struct EventQueue(VecDeque<Event>);

impl EventQueue {
    const CAPACITY: usize = 32;

    pub(crate) fn new() -> Self {
        Self(VecDeque::with_capacity(Self::CAPACITY))
    }

    /// False if an older event had to make room.
    pub(crate) fn push(&mut self, event: Event) -> bool {
        let full = self.0.len() >= Self::CAPACITY;
        if full {
            self.0.pop_front();
        }
        self.0.push_back(event);
        !full
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }
}
