//! How BFD decides over BGP on one session (RFC 5882 section 4, RFC 9384). Pure; the clock is a parameter.

#[cfg(test)]
mod tests;

use net::bfd::Auth;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

/// What a plane's BFD is to do. Its `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdProfile {
    /// Desired minimum transmit interval, 1 µs to 4294.967295 s. Can be changed while BFD is up, without a flap.
    pub min_tx: Duration,
    /// Required minimum receive interval, likewise.
    pub min_rx: Duration,
    /// Detection multiplier: how many of our packets may be lost. Can be changed while BFD is up.
    pub multiplier: NonZeroU8,
    /// Say nothing until the switch was heard (RFC 5880 section 6.1). Never so at both ends.
    pub passive: bool,
    /// The lowest TTL or hop limit that is accepted over several hops, 1 to 255; `None` takes it from the session's
    /// [`net::Ttl`]. On one hop it is always 255 (RFC 5881 section 5).
    pub min_ttl: Option<u8>,
    /// Authentication of packets in both directions (RFC 5880 section 6.7): one type, the key to send with, and the
    /// keys that are accepted besides, for a rollover. Can be changed while BFD is up.
    pub auth: Option<Auth>,
    /// Hold BGP back until BFD is up; `None`: BGP does not wait for a BFD session that never was up.
    pub strict: Option<BfdStrict>,
}

/// Strict mode (draft-ietf-idr-bgp-bfd-strict-mode).
///
/// The capability is offered, and BGP sends no KEEPALIVE before BFD is up; so also towards a switch that does not
/// offer the capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdStrict {
    /// How long an OPEN that was accepted waits for BFD where the negotiated hold time is 0 (BfdHoldTime of the
    /// draft); otherwise it waits for the negotiated hold time.
    pub hold_time: Duration,
}

impl BfdStrict {
    /// With the hold time of the draft, 30 s.
    pub const DEFAULT: Self = Self {
        hold_time: Duration::from_secs(30),
    };
}

impl Default for BfdStrict {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What BFD says of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BfdNews {
    /// The session is up.
    Up,
    /// The session has failed: nothing arrived in time, or the switch says that nothing arrives there.
    Failed,
    /// The switch's session began anew: it says Down, but not that it lost us. As good as [`Self::Failed`] for BGP.
    /// Told within [`RECREATION`] of the establishment of BGP, it is not a flap of the path: FRR makes its session anew
    /// when BGP tells it the source address.
    Restarted,
    /// The switch has switched BFD off (AdminDown): no failure, and no reason to wait for it (RFC 5882 section 4.2).
    RemoteAdminDown,
}

/// After a failure BGP waits for BFD, but not for ever: the switch's operator may have taken BFD away meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);
/// Failures further apart than this have nothing to do with each other.
const CALM: Duration = Duration::from_secs(120);
/// The first hold-down, after the third failure without calm in between.
const HOLD_DOWN_MIN: Duration = Duration::from_secs(1);
/// The longest hold-down.
const HOLD_DOWN_MAX: Duration = Duration::from_secs(60);
/// A switch that makes its BFD session anew because of BGP does so within this time.
pub(crate) const RECREATION: Duration = Duration::from_secs(2);
/// Failures that cost no hold-down.
const FREE_FAILURES: u32 = 2;

/// Whether BGP may run on a session, as far as BFD is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// It may.
    Granted,
    /// Strict mode: BFD has to come up first.
    AwaitsFirstUp,
    /// BFD has failed and is not back.
    AwaitsRecovery,
    /// BFD is back, but it failed too often lately: wait until then.
    HeldDown(Instant),
}

/// Follows one BFD session.
#[derive(Debug)]
pub(crate) struct Coupling {
    strict: bool,
    state: State,
    failures: u32,
    last_failure: Option<Instant>,
    /// When a session that began anew was last not taken for a flap.
    last_forgiven: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NeverUp,
    Up,
    /// Until the time given, at most, BGP waits for BFD.
    Failed(Instant),
    RemoteAdminDown,
}

impl Coupling {
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            strict,
            state: State::NeverUp,
            failures: 0,
            last_failure: None,
            last_forgiven: None,
        }
    }

    /// Changes the mode; what BFD said so far stays.
    pub(crate) fn set_strict(&mut self, strict: bool) {
        self.strict = strict;
    }

    /// Whether BFD is up.
    pub(crate) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Takes news. Returns whether the BGP session has to be closed at once.
    pub(crate) fn take(&mut self, news: BfdNews, now: Instant) -> bool {
        match news {
            BfdNews::Up => {
                self.state = State::Up;
                false
            }
            BfdNews::RemoteAdminDown => {
                self.state = State::RemoteAdminDown;
                false
            }
            BfdNews::Restarted | BfdNews::Failed => {
                if news == BfdNews::Failed || !self.forgives(now) {
                    self.count_failure(now);
                }
                self.state = State::Failed(now + PATIENCE);
                true
            }
        }
    }

    /// Whether BGP may run now. `alone` says that no other plane is usable: then nothing is held down.
    pub(crate) fn permit(&self, alone: bool, now: Instant) -> Permit {
        match self.state {
            State::RemoteAdminDown => Permit::Granted,
            State::NeverUp if self.strict => Permit::AwaitsFirstUp,
            State::NeverUp => Permit::Granted,
            State::Failed(until) if self.strict || now < until => Permit::AwaitsRecovery,
            State::Failed(_) => Permit::Granted,
            State::Up => match self.held_down_until() {
                Some(until) if until > now && !alone => Permit::HeldDown(until),
                _ => Permit::Granted,
            },
        }
    }

    /// When [`Self::permit`] may change by itself.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let at = match self.state {
            State::Failed(until) if !self.strict => Some(until),
            State::Up => self.held_down_until(),
            State::NeverUp | State::Failed(_) | State::RemoteAdminDown => None,
        };
        at.filter(|at| *at > now)
    }

    /// Once in a while only, so that a switch that does nothing but begin anew is damped all the same.
    fn forgives(&mut self, now: Instant) -> bool {
        let recent = |last: Instant| now.saturating_duration_since(last) <= CALM;
        if self.last_forgiven.is_some_and(recent) {
            return false;
        }
        self.last_forgiven = Some(now);
        true
    }

    fn count_failure(&mut self, now: Instant) {
        let calm = |last: Instant| now.saturating_duration_since(last) > CALM;
        if self.last_failure.is_some_and(calm) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(now);
    }

    fn held_down_until(&self) -> Option<Instant> {
        let excess = self.failures.checked_sub(FREE_FAILURES + 1)?;
        let delay = HOLD_DOWN_MIN
            .saturating_mul(1 << excess.min(10))
            .min(HOLD_DOWN_MAX);
        self.last_failure.map(|last| last + delay)
    }
}
