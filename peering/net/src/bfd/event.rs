//! What the thread tells.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bfd::{Cause, Diag, Reaction};

use super::error::BfdSocketError;
use super::spec::Refusal;

/// Something that happened. Its text is a log line without the peer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BfdEvent {
    /// The session is Up.
    Up {
        /// The session.
        key: u64,
        /// When.
        at: Instant,
    },
    /// The session was Up and is not any more.
    Down(BfdDown),
    /// The other end says AdminDown: its silence means nothing from now on (RFC 5882 §3.2). If the session was Up, a
    /// [`BfdEvent::Down`] with [`Reaction::Ignore`] follows.
    RemoteAdminDown {
        /// The session.
        key: u64,
    },
    /// The other end has ended its AdminDown.
    RemoteEnabled {
        /// The session.
        key: u64,
    },
    /// A session that was taken from the list is gone: the other end knows, or had a Detection Time to notice.
    Removed {
        /// The session.
        key: u64,
    },
    /// A [`BfdSpec`](crate::bfd::BfdSpec) was not taken.
    Refused {
        /// Its key.
        key: u64,
        /// Why.
        refusal: Refusal,
    },
    /// The session cannot send. It is tried again at least once in a second.
    SendFailed {
        /// The session.
        key: u64,
        /// Why.
        error: BfdSocketError,
    },
    /// The session can send again.
    SendRecovered {
        /// The session.
        key: u64,
    },
    /// Nothing can be received on a port: the sessions that need it neither send nor come up. Tried again every few
    /// seconds. It is told again only when the reason changes.
    ListenFailed {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: BfdSocketError,
    },
    /// The port is open.
    Listening {
        /// The address.
        address: SocketAddr,
    },
    /// *We* were not running for longer than the Detection Time of a session, here or at the other end. What
    /// follows from it is not the fault of the other end.
    LocalStall {
        /// For how long the thread acted on nothing.
        stalled: Duration,
        /// When it went on.
        at: Instant,
    },
}

/// A session left Up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdDown {
    /// The session.
    pub key: u64,
    /// What made it leave Up.
    pub cause: Cause,
    /// Our diagnostic.
    pub diag: Diag,
    /// The diagnostic last received.
    pub remote_diag: Diag,
    /// What a client is to do (RFC 5882).
    pub reaction: Reaction,
    /// We did not run for so long, a moment before, that it is probably our fault.
    pub local_stall: bool,
    /// From the arrival of the last packet until the session was declared down.
    pub silent_for: Option<Duration>,
    /// The Detection Time then in force.
    pub detection_time: Option<Duration>,
    /// When.
    pub at: Instant,
}

impl BfdEvent {
    /// The session it is about.
    #[must_use]
    pub fn key(&self) -> Option<u64> {
        match self {
            Self::Up { key, .. }
            | Self::RemoteAdminDown { key }
            | Self::RemoteEnabled { key }
            | Self::Removed { key }
            | Self::Refused { key, .. }
            | Self::SendFailed { key, .. }
            | Self::SendRecovered { key } => Some(*key),
            Self::Down(down) => Some(down.key),
            Self::ListenFailed { .. } | Self::Listening { .. } | Self::LocalStall { .. } => None,
        }
    }

    /// Whether somebody should look.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Down(down) => matches!(down.reaction, Reaction::TearDown { .. }),
            Self::Refused { .. }
            | Self::SendFailed { .. }
            | Self::ListenFailed { .. }
            | Self::LocalStall { .. } => true,
            Self::Up { .. }
            | Self::RemoteAdminDown { .. }
            | Self::RemoteEnabled { .. }
            | Self::Removed { .. }
            | Self::SendRecovered { .. }
            | Self::Listening { .. } => false,
        }
    }

    /// A later event with the same topic makes an earlier one obsolete.
    fn topic(&self) -> Topic {
        match self {
            Self::Up { key, .. } | Self::Removed { key } | Self::Refused { key, .. } => Topic::State(*key),
            Self::Down(down) => Topic::State(down.key),
            Self::RemoteAdminDown { key } | Self::RemoteEnabled { key } => Topic::Remote(*key),
            Self::SendFailed { key, .. } | Self::SendRecovered { key } => Topic::Sending(*key),
            Self::ListenFailed { address, .. } | Self::Listening { address } => Topic::Listening(*address),
            Self::LocalStall { .. } => Topic::Stall,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    State(u64),
    Remote(u64),
    Sending(u64),
    Listening(SocketAddr),
    Stall,
}

impl fmt::Display for BfdEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up { .. } => f.write_str("BFD is up"),
            Self::Down(down) => down.fmt(f),
            Self::RemoteAdminDown { .. } => f.write_str("the other end has turned BFD off"),
            Self::RemoteEnabled { .. } => f.write_str("the other end has turned BFD on"),
            Self::Removed { .. } => f.write_str("BFD session removed"),
            Self::Refused { refusal, .. } => write!(f, "BFD session refused: {refusal}"),
            Self::SendFailed { error, .. } => write!(f, "BFD {error}"),
            Self::SendRecovered { .. } => f.write_str("BFD can send again"),
            Self::ListenFailed { address, error } => write!(f, "BFD on {address}: {error}"),
            Self::Listening { address } => write!(f, "BFD listens on {address}"),
            Self::LocalStall { stalled, .. } => write!(
                f,
                "this process did not run for {stalled:.1?}: BFD sessions may fail because of it"
            ),
        }
    }
}

impl fmt::Display for BfdDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cause, self.silent_for, self.detection_time) {
            (Cause::DetectionExpired, Some(silent), Some(detection)) => {
                write!(
                    f,
                    "BFD is down: silence for {silent:.1?}, detection time {detection:.1?}"
                )?;
            }
            (cause, _, _) => write!(f, "BFD is down: {}", cause.label())?,
        }
        if self.remote_diag != Diag::None {
            write!(f, ", the other end reports {}", self.remote_diag.label())?;
        }
        if self.local_stall {
            f.write_str(", after a stall of this process")?;
        }
        Ok(())
    }
}

/// Events that wait for somebody. It never grows beyond its capacity and never loses the last word on a topic: when
/// it is full, what a later event has made obsolete goes.
#[derive(Debug)]
pub(super) struct News {
    events: VecDeque<BfdEvent>,
    topics: Vec<(Topic, usize)>,
    capacity: usize,
    lost: u64,
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Topic")
    }
}

impl News {
    /// `sessions` is how many keys there can be at a time.
    pub(super) fn new(sessions: usize) -> Self {
        // A session has three topics, and there are four addresses and the stalls; as many again as room to gather.
        let capacity = 2 * (3 * sessions + 5);
        Self {
            events: VecDeque::with_capacity(capacity),
            topics: Vec::with_capacity(capacity),
            capacity,
            lost: 0,
        }
    }

    pub(super) fn push(&mut self, event: BfdEvent) {
        if self.events.len() >= self.capacity {
            self.compact();
        }
        // Only if keys came and went without anybody listening.
        if self.events.len() >= self.capacity {
            self.events.pop_front();
            self.lost += 1;
        }
        self.events.push_back(event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Events that were dropped, obsolete ones included.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Moves everything to `other`.
    pub(super) fn drain_to(&mut self, mut other: impl FnMut(BfdEvent)) {
        for event in self.events.drain(..) {
            other(event);
        }
    }

    /// Keeps the last event of each topic.
    fn compact(&mut self) {
        self.topics.clear();
        let numbered = self.events.iter().enumerate();
        self.topics
            .extend(numbered.map(|(at, event)| (event.topic(), at)));
        self.topics.sort_unstable();
        let mut at = 0;
        let topics = &self.topics;
        let before = self.events.len();
        self.events.retain(|event| {
            let next = topics.partition_point(|entry| *entry <= (event.topic(), at));
            let obsolete = topics.get(next).is_some_and(|(topic, _)| *topic == event.topic());
            at += 1;
            !obsolete
        });
        self.lost += (before - self.events.len()) as u64;
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
