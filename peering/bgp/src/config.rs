use std::net::Ipv4Addr;
use std::time::Duration;
use wire::FamilySet;

/// How one peer is spoken to. Plain data; [`crate::Peer::new`] takes it as checked by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Our AS number, 1 to 4294967294.
    pub local_as: u32,
    /// The peer's AS number; equal to `local_as` makes the session iBGP.
    pub remote_as: u32,
    /// Our BGP identifier (RFC 6286: any non-zero value).
    pub local_id: Ipv4Addr,
    /// Proposed hold time in seconds: 0 (no keepalives) or 3 to 65535.
    pub hold_time: u16,
    /// Never dial, only accept.
    pub passive: bool,
    /// The families to negotiate; at least one.
    pub families: FamilySet,
    /// Offer RFC 8950: IPv4 prefixes may carry an IPv6 next hop.
    pub extended_next_hop: bool,
    /// Delay between attempts to connect.
    pub connect_retry: RetryPolicy,
    /// Delay in Idle after a session or an OPEN exchange failed (RFC 4271 section 8.1.1, DampPeerOscillations).
    pub idle_hold: RetryPolicy,
    /// Wait this long for the peer's OPEN before sending ours (RFC 4271 section 8.1.1, DelayOpen).
    pub delay_open: Option<Duration>,
    /// Close the session when nothing could be written for this long (RFC 9687); `None` means the greater of 8
    /// minutes and twice the hold time.
    pub send_hold: Option<Duration>,
    /// How many received prefixes are remembered; the rest is counted as over the limit.
    pub max_prefixes: usize,
    /// Host name for the FQDN capability; not offered when `None`.
    pub host_name: Option<String>,
    /// Offer graceful restart (RFC 4724).
    pub graceful_restart: Option<GracefulRestartConfig>,
    /// BFD strict mode (draft-ietf-idr-bgp-bfd-strict-mode): offer the capability, and answer no OPEN with a KEEPALIVE
    /// before [`crate::Input::Bfd`] says that BFD is ready; so also towards a peer that lacks the capability. The value
    /// is the BfdHoldTime of the draft: how long that may take where the negotiated hold time is 0. `None`: BFD is not
    /// waited for.
    pub bfd_strict: Option<Duration>,
}

/// What we say about graceful restart (RFC 4724 section 3). The N bit (RFC 8538) is always set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GracefulRestartConfig {
    /// Restart time in seconds, 1 to 4095: how long the peer waits for us to come back.
    pub restart_time: u16,
}

/// What became of our last run, as the peer is told with each OPEN until its End-of-RIB was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartState {
    /// R bit: we have restarted, and the peer need not wait for anything from us before it sends its routes.
    pub restarting: bool,
    /// F bit of each family: forwarding went on meanwhile, so routes of the former session may stay in use.
    pub forwarding: bool,
}

impl Default for RestartState {
    /// Only the session was lost, not this process: nothing is restarted, and forwarding goes on.
    fn default() -> Self {
        Self {
            restarting: false,
            forwarding: true,
        }
    }
}

/// A delay that grows by doubling from `min` to `max` with each failure. Each use is shortened by up to a quarter
/// at random (RFC 4271 section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// First delay.
    pub min: Duration,
    /// Largest delay.
    pub max: Duration,
}

impl RetryPolicy {
    /// Connect retry: the first try again within 2 s, and never more than 3 s apart, so that a switch that is back
    /// is found quickly even if it does not dial.
    pub const CONNECT: Self = Self {
        min: Duration::from_secs(1),
        max: Duration::from_secs(3),
    };
    /// Idle hold: a peer that rejects us is not hammered.
    pub const IDLE_HOLD: Self = Self {
        min: Duration::from_secs(1),
        max: Duration::from_secs(15),
    };

    pub(crate) fn delay(&self, failures: u32, rng: &mut fastrand::Rng) -> Duration {
        let doubled = self.min.saturating_mul(1 << failures.min(16));
        jitter(doubled.min(self.max), rng)
    }
}

/// The duration times a random factor from 0.75 to 1 (RFC 4271 section 10).
pub(crate) fn jitter(duration: Duration, rng: &mut fastrand::Rng) -> Duration {
    duration.mul_f64(0.75 + rng.f64() / 4.0)
}

impl PeerConfig {
    /// A configuration with the defaults of this crate: hold time 90 s, active, 10,000 prefixes remembered.
    pub fn new(local_as: u32, local_id: Ipv4Addr, remote_as: u32, families: FamilySet) -> Self {
        Self {
            local_as,
            remote_as,
            local_id,
            hold_time: 90,
            passive: false,
            families,
            extended_next_hop: false,
            connect_retry: RetryPolicy::CONNECT,
            idle_hold: RetryPolicy::IDLE_HOLD,
            delay_open: None,
            send_hold: None,
            max_prefixes: 10_000,
            host_name: None,
            graceful_restart: None,
            bfd_strict: None,
        }
    }

    /// Whether the peer is in another AS.
    pub fn is_ebgp(&self) -> bool {
        self.local_as != self.remote_as
    }
}
