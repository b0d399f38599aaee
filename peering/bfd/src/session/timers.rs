//! Intervals and jitter (RFC 5880 §6.8.2 to §6.8.4, §6.8.7).

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use crate::State;

/// The least Desired Min TX Interval of a session that is not Up, in microseconds (RFC 5880 §6.8.3).
pub(crate) const SLOW_TX: u32 = 1_000_000;

/// The local intervals, in microseconds: what the packets say, and what is in force here already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intervals {
    /// bfd.DesiredMinTxInterval, as sent.
    pub(crate) desired_min_tx: u32,
    /// bfd.RequiredMinRxInterval, as sent.
    pub(crate) required_min_rx: u32,
    /// What our own transmissions are computed with.
    pub(crate) tx_in_force: u32,
    /// What the Detection Time is computed with.
    pub(crate) rx_in_force: u32,
}

impl Intervals {
    pub(crate) fn new(configured_tx: u32, configured_rx: u32) -> Self {
        let tx = configured_tx.max(SLOW_TX);
        Self {
            desired_min_tx: tx,
            required_min_rx: configured_rx,
            tx_in_force: tx,
            rx_in_force: configured_rx,
        }
    }

    /// Takes over the configured values for a session in `state`. True if what the packets say has changed, so that
    /// a Poll Sequence is due (RFC 5880 §6.8.3).
    pub(crate) fn apply(&mut self, state: State, configured_tx: u32, configured_rx: u32) -> bool {
        // RFC 5880 §6.8.3: not less than one second while the session is not Up.
        let tx = if state == State::Up {
            configured_tx
        } else {
            configured_tx.max(SLOW_TX)
        };
        let changed = (tx, configured_rx) != (self.desired_min_tx, self.required_min_rx);
        self.desired_min_tx = tx;
        self.required_min_rx = configured_rx;
        if state == State::Up {
            // RFC 5880 §6.8.3: in Up, a longer transmit interval and a shorter Detection Time wait for the end of
            // the Poll Sequence; the other direction is safe at once.
            self.tx_in_force = self.tx_in_force.min(tx);
            self.rx_in_force = self.rx_in_force.max(configured_rx);
        } else {
            self.settle();
        }
        changed
    }

    /// The remote system knows the values: they come into force.
    pub(crate) fn settle(&mut self) {
        self.tx_in_force = self.desired_min_tx;
        self.rx_in_force = self.required_min_rx;
    }
}

/// The time between two packets, with the jitter of RFC 5880 §6.8.7, which cuts 0 to 25 % off `interval`, or 10 to 25 %
/// with a multiplier of 1, where a full interval would come too close to the remote system's Detection Time.
///
/// We cut 5 % at least: the packet leaves a little after its time, however good the clock, and with the full interval
/// the gap on the wire would exceed what the remote system was promised.
pub(crate) fn jittered(interval: Duration, detect_mult: NonZeroU8, rng: &mut fastrand::Rng) -> Duration {
    let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    let least_cut = nanos.div_ceil(if detect_mult == NonZeroU8::MIN { 10 } else { 20 });
    let most_cut = (nanos / 4).max(least_cut);
    Duration::from_nanos(nanos - rng.u64(least_cut..=most_cut))
}

/// The least time between two packets, before any jitter goes below it (RFC 5880 §6.8.7).
pub(crate) fn shortest(interval: Duration) -> Duration {
    interval - interval / 4
}

/// `instant + duration`, or `instant` where the clock cannot express it: the caller is woken too early then, never a
/// panic.
pub(crate) fn after(instant: Instant, duration: Duration) -> Instant {
    instant.checked_add(duration).unwrap_or(instant)
}

#[cfg(test)]
mod tests;
