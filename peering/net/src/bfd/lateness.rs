//! How late the thread wakes up.

use std::fmt;
use std::time::Duration;

/// Buckets per doubling.
const STEPS: u32 = 4;
/// From 1 µs to about 67 s.
const BUCKETS: usize = 26 * STEPS as usize;

/// A histogram of how much later than planned the thread came to act on a deadline.
#[derive(Clone, PartialEq, Eq)]
pub struct Lateness {
    buckets: [u64; BUCKETS],
    count: u64,
    max: Duration,
}

impl Default for Lateness {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            count: 0,
            max: Duration::ZERO,
        }
    }
}

impl fmt::Debug for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lateness")
            .field("count", &self.count)
            .field("p50", &self.percentile(50.0))
            .field("p99", &self.percentile(99.0))
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl Lateness {
    /// Deadlines that were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The greatest lateness so far.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The lateness that `percent` of the deadlines did not exceed; at most 19 % too large, because it is the upper
    /// bound of a bucket, and never more than [`Self::max`]. Zero without deadlines.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        let wanted = (self.count as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return upper_bound(index).min(self.max);
            }
        }
        self.max
    }

    /// Upper bound and count of every bucket that is not empty, shortest first: the raw material of a metric.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let all = self.buckets.iter().enumerate();
        all.filter(|(_, count)| **count > 0)
            .map(|(index, count)| (upper_bound(index), *count))
    }

    pub(super) fn record(&mut self, late: Duration) {
        self.count = self.count.wrapping_add(1);
        self.max = self.max.max(late);
        if let Some(slot) = self.buckets.get_mut(bucket(late)) {
            *slot = slot.wrapping_add(1);
        }
    }
}

/// The first bucket whose upper bound is not below `late`.
fn bucket(late: Duration) -> usize {
    let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
    let doubling = (nanos.max(1).div_ceil(1_000)).max(1).ilog2();
    let start = (doubling.saturating_sub(1) * STEPS) as usize;
    (start..BUCKETS)
        .find(|index| upper_bound(*index) >= late)
        .unwrap_or(BUCKETS - 1)
}

fn upper_bound(index: usize) -> Duration {
    let doubling = index / STEPS as usize;
    // The fourth roots of 2, in nanoseconds per microsecond.
    let step = match index % STEPS as usize {
        0 => 1_000,
        1 => 1_189,
        2 => 1_414,
        _ => 1_682,
    };
    Duration::from_nanos(step << doubling)
}

#[cfg(test)]
#[path = "lateness_tests.rs"]
mod tests;
