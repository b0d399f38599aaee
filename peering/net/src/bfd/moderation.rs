//! How often a socket is read that is full of junk.

use std::time::{Duration, Instant};

/// Junk is counted over this long.
const WINDOW: Duration = Duration::from_millis(100);

/// More junk than this in a window is a flood: ten packets in a millisecond.
const FLOOD: u32 = 1_000;

/// Between two readings during a flood. Packets wait for so long and no longer, and their timestamps tell when they
/// came; a thread that gets up for every packet of a flood does nothing else.
const PAUSE: Duration = Duration::from_micros(500);

/// Counts junk, and says when the socket should be left alone for a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moderation {
    window_ends: Instant,
    junk: u32,
    /// The window before had a flood.
    flooded: bool,
}

impl Moderation {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            window_ends: now + WINDOW,
            junk: 0,
            flooded: false,
        }
    }

    /// Takes in how many packets of the last reading were of no use, and says until when not to read again.
    pub(super) fn after_reading(&mut self, junk: u32, now: Instant) -> Option<Instant> {
        if self.window_ends <= now {
            // A window that ended long ago says nothing about the present.
            self.flooded = self.junk > FLOOD && now < self.window_ends + WINDOW;
            self.window_ends = now + WINDOW;
            self.junk = 0;
        }
        self.junk = self.junk.saturating_add(junk);
        (self.flooded || self.junk > FLOOD).then(|| now + PAUSE)
    }
}

#[cfg(test)]
#[path = "moderation_tests.rs"]
mod tests;
