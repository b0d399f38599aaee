//! The Poll Sequence (RFC 5880 §6.5).

use std::time::{Duration, Instant};

use super::timers::after;

/// After this long, a Final that answers an earlier Poll is not under way any more: "at least a round trip time
/// since the last Poll was transmitted" (RFC 5880 §6.8.3), with the slow transmit interval as a generous bound.
const ROUND_TRIP: Duration = Duration::from_secs(1);

/// How far the Poll Sequence has got.
///
/// The Final bit does not say which Poll it answers. Therefore parameters that change during a sequence wait for
/// another one, and that one starts only after a packet with the Final bit clear, or a round trip later (RFC 5880
/// §6.8.3, second and third choice).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Poll {
    /// Nothing to tell.
    #[default]
    Idle,
    /// The next packet carries the Poll bit.
    Scheduled,
    /// A packet with the Poll bit has left.
    Sent {
        /// When the last one left.
        at: Instant,
        /// Parameters have changed since the first one.
        again: bool,
    },
    /// The sequence has ended, but a late Final may still come.
    Settling {
        /// From when on none can come.
        until: Instant,
        /// Another sequence is wanted.
        again: bool,
    },
}

impl Poll {
    /// Parameters have changed: the remote system must be told.
    pub(crate) fn start(&mut self) {
        *self = match *self {
            Self::Idle | Self::Scheduled => Self::Scheduled,
            Self::Sent { at, .. } => Self::Sent { at, again: true },
            Self::Settling { until, .. } => Self::Settling { until, again: true },
        };
    }

    /// The remote system fell silent: no Final is under way, and what was being told must be told anew.
    pub(crate) fn remote_lost(&mut self) {
        *self = match *self {
            Self::Idle | Self::Settling { again: false, .. } => Self::Idle,
            Self::Scheduled | Self::Sent { .. } | Self::Settling { again: true, .. } => Self::Scheduled,
        };
    }

    /// Whether the Poll bit is to be set in the packet that leaves now.
    pub(crate) fn on_transmit(&mut self, now: Instant) -> bool {
        match *self {
            Self::Idle | Self::Settling { .. } => false,
            Self::Scheduled => {
                *self = Self::Sent {
                    at: now,
                    again: false,
                };
                true
            }
            Self::Sent { again, .. } => {
                *self = Self::Sent { at: now, again };
                true
            }
        }
    }

    /// A packet was received. True if it ended a sequence and nothing more has to be told: what was deferred comes
    /// into force.
    pub(crate) fn on_receive(&mut self, is_final: bool) -> bool {
        match *self {
            Self::Sent { at, again } if is_final => {
                *self = Self::Settling {
                    until: after(at, ROUND_TRIP),
                    again,
                };
                !again
            }
            Self::Settling { again, .. } if !is_final => {
                *self = if again { Self::Scheduled } else { Self::Idle };
                false
            }
            Self::Idle | Self::Scheduled | Self::Sent { .. } | Self::Settling { .. } => false,
        }
    }

    /// When [`Self::on_timeout`] has something to do: only if another sequence waits.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        match *self {
            Self::Settling { until, again: true } => Some(until),
            Self::Idle | Self::Scheduled | Self::Sent { .. } | Self::Settling { again: false, .. } => None,
        }
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        if self.timeout().is_some_and(|until| until <= now) {
            *self = Self::Scheduled;
        }
    }

    /// Whether a sequence is being transmitted: keeps packets flowing towards a remote system in Demand mode.
    pub(crate) fn is_transmitting(&self) -> bool {
        match self {
            Self::Scheduled | Self::Sent { .. } => true,
            Self::Idle | Self::Settling { .. } => false,
        }
    }

    /// Whether the remote system may not know the current parameters yet.
    pub(crate) fn is_pending(&self) -> bool {
        match self {
            Self::Scheduled | Self::Sent { .. } | Self::Settling { again: true, .. } => true,
            Self::Idle | Self::Settling { again: false, .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
