//! Receive timestamps of the kernel, on the clock of the sessions.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Apart from this, and from what a clock may be slewed by, both clocks advance alike.
const TOLERANCE: Duration = Duration::from_millis(1);

/// Both clocks, read at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// The monotonic clock, by which sessions live.
    pub(super) monotonic: Instant,
    /// The wall clock since 1970, by which the kernel stamps packets.
    pub(super) wall: Duration,
}

impl Clocks {
    pub(super) fn read() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }
}

/// Turns stamps into instants, and does not believe them when the wall clock has been set.
#[derive(Clone, Copy, Debug)]
pub(super) struct StampClock {
    last: Clocks,
    jumped: bool,
}

impl StampClock {
    pub(super) fn new(clocks: Clocks) -> Self {
        Self {
            last: clocks,
            jumped: false,
        }
    }

    /// To be called after packets were read and before their stamps are converted.
    pub(super) fn advance(&mut self, clocks: Clocks) {
        let monotonic = clocks.monotonic.saturating_duration_since(self.last.monotonic);
        let tolerance = TOLERANCE + monotonic / 1_000;
        self.jumped = match clocks.wall.checked_sub(self.last.wall) {
            Some(wall) => wall.abs_diff(monotonic) > tolerance,
            None => true,
        };
        self.last = clocks;
    }

    /// When a packet arrived that was read just now: never later than now, and never earlier than `earliest`, the
    /// instant at which its socket was last known to be empty. So even a wall clock that is set between arrival and
    /// reading cannot move a packet further than the thread was late.
    ///
    /// A packet without a stamp, or with one from before the wall clock was set, arrived now: that errs on the side
    /// of a session that lives.
    pub(super) fn arrival(&self, stamp: Option<Duration>, earliest: Instant) -> Instant {
        let now = self.last.monotonic;
        let Some(stamp) = stamp.filter(|_| !self.jumped) else {
            return now;
        };
        let age = self.last.wall.saturating_sub(stamp);
        let arrival = now.checked_sub(age).unwrap_or(earliest);
        arrival.max(earliest).min(now)
    }
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
