//! What a session counts.

use crate::Discard;

/// Counters of a session since it was made. They wrap at 2^64, that is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that were used.
    pub received: u64,
    /// Packets that were sent, of every kind.
    pub transmitted: u64,
    /// Of these, answers with the Final bit.
    pub finals_transmitted: u64,
    /// How often the session came Up.
    pub ups: u64,
    /// How often the session left Up because of a failure ([`StateChange::is_failure`](crate::StateChange::is_failure)).
    pub failures: u64,
    /// Of these, how often the Detection Time expired; the others were signalled by the remote system.
    pub detection_expirations: u64,
    /// How often the session left Up because an administrator wanted it to, at either end.
    pub admin_downs: u64,
    /// Poll Sequences that ended with a Final.
    pub polls_completed: u64,
    /// Grace periods granted after a local stall.
    pub graces: u64,
    /// Events dropped because the owner did not fetch them.
    pub events_lost: u64,
    discards: [u64; Discard::ALL.len()],
}

impl Counters {
    /// Packets that were dropped for this reason.
    #[must_use]
    pub fn discarded(&self, reason: Discard) -> u64 {
        self.discards.get(reason as usize).copied().unwrap_or_default()
    }

    /// Packets that were dropped.
    #[must_use]
    pub fn discarded_total(&self) -> u64 {
        self.discards.iter().sum()
    }

    pub(crate) fn count_discard(&mut self, reason: Discard) {
        if let Some(slot) = self.discards.get_mut(reason as usize) {
            *slot = slot.wrapping_add(1);
        }
    }
}
