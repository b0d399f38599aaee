use std::time::Duration;

/// The first wait, before jitter.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait, before jitter.
const LONGEST: Duration = Duration::from_secs(5);

/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// How long to wait after each failure in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// Begins anew: something worked.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next wait: between a half and all of twice the last one, and not less than what the server asks for.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(LONGEST);
        wait.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_limit_and_begins_anew() {
        let mut backoff = Backoff::new();
        let mut full = FIRST;
        for _ in 0..20 {
            let wait = backoff.next(None);
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
            full = (full * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
    }

    #[test]
    fn the_server_may_ask_for_more_but_not_for_ever() {
        let asked = Duration::from_secs(7);
        assert_eq!(Backoff::new().next(Some(asked)), asked);
        assert_eq!(Backoff::new().next(Some(Duration::MAX)), LONGEST_ASKED);
    }
}
