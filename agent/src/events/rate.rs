use std::time::Duration;
use tokio::time::Instant;

/// How many Events may come at once after a quiet time.
const BURST: u32 = 10;

/// How long it takes until one more may come.
const PACE: Duration = Duration::from_secs(1);

/// A token bucket: forty speakers that find the same thousand problems must not be what keeps an API server busy.
#[derive(Debug)]
pub(super) struct Rate {
    /// When the bucket would be full if nothing more was taken.
    full_at: Instant,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one; when it may be used.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        self.full_at = self.full_at.max(now) + PACE;
        let at = self.full_at.checked_sub(PACE * BURST);
        at.map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_a_pace() {
        let start = Instant::now() + PACE * 100;
        let mut rate = Rate::new(start);
        let at: Vec<_> = (0..BURST + 3).map(|_| rate.next(start) - start).collect();
        assert!(at[..10].iter().all(Duration::is_zero), "{at:?}");
        assert_eq!(at[10..], [PACE, PACE * 2, PACE * 3]);
        // A quiet time fills the bucket again, and not beyond its brim.
        let later = start + PACE * 1000;
        let free = (0..20).filter(|_| rate.next(later) == later).count();
        assert_eq!(free, 10);
    }
}
