//! What one session is told to do.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use thiserror::Error;

use crate::Auth;

/// The intervals of RFC 7419 §3 that every implementation should support, shortest first.
pub const COMMON_INTERVALS: [Duration; 6] = [
    Duration::from_micros(3_300),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_secs(1),
];

/// The interval of [`COMMON_INTERVALS`] to use for `wanted`: the next longer one (RFC 7419 §3). What is longer than
/// the longest stays as it is.
#[must_use]
pub fn common_interval(wanted: Duration) -> Duration {
    COMMON_INTERVALS
        .into_iter()
        .find(|common| *common >= wanted)
        .unwrap_or(wanted)
}

/// Who speaks first (RFC 5880 §6.1). At least one end of a session must be active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Sends whether or not the remote system was heard.
    #[default]
    Active,
    /// Sends nothing until the remote system was heard, and falls mute again when it falls silent.
    Passive,
}

/// How far away the remote system is; decides which TTL or hop limit a received packet must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hop {
    /// On the same link (RFC 5881): exactly 255 is accepted (§5).
    #[default]
    Single,
    /// Behind routers (RFC 5883): `min_ttl` and above is accepted. 255 minus the number of routers in between is a
    /// good floor; 0 accepts everything.
    Multi {
        /// The lowest TTL or hop limit that is accepted.
        min_ttl: u8,
    },
}

impl Hop {
    /// Whether a packet that arrived with this TTL or hop limit may be looked at.
    #[must_use]
    pub fn accepts(self, ttl: u8) -> bool {
        match self {
            Self::Single => ttl == 255,
            Self::Multi { min_ttl } => ttl >= min_ttl,
        }
    }
}

/// Which interval a [`ConfigError`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Desired Min TX Interval.
    DesiredMinTx,
    /// Required Min RX Interval.
    RequiredMinRx,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DesiredMinTx => "desired minimum transmit interval",
            Self::RequiredMinRx => "required minimum receive interval",
        })
    }
}

/// Why a configuration was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Below one microsecond, the unit of the protocol.
    #[error(
        "{field} of {given:?} is too short: use at least 1 µs (50 ms is a usual value, 10 ms a practical floor)"
    )]
    TooShort {
        /// The interval that was refused.
        field: Field,
        /// What was given.
        given: Duration,
    },
    /// Does not fit the 32-bit field of the packet.
    #[error("{field} of {given:?} is too long: use at most 4294.967295 s, what a packet can carry")]
    TooLong {
        /// The interval that was refused.
        field: Field,
        /// What was given.
        given: Duration,
    },
}

/// The settings of a session. A value of this type is valid.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    pub(crate) local_discriminator: NonZeroU32,
    /// Microseconds, as in the packet.
    pub(crate) desired_min_tx: u32,
    /// Microseconds, as in the packet.
    pub(crate) required_min_rx: u32,
    pub(crate) detect_mult: NonZeroU8,
    pub(crate) role: Role,
    pub(crate) hop: Hop,
    pub(crate) auth: Option<Auth>,
    pub(crate) control_plane_independent: bool,
}

impl SessionConfig {
    /// An active single-hop session without authentication.
    ///
    /// `local_discriminator` must be unique on this system (RFC 5880 §6.3; [`Demux`](crate::Demux) finds one).
    /// `desired_min_tx` is how often to send once the session is Up (a remote system may ask for less),
    /// `required_min_rx` how often packets can be received; both from 1 µs to 4294.967295 s, and a fraction of a
    /// microsecond is rounded up. `detect_mult` is how many of our packets may be lost before the remote system
    /// declares the session down.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an interval outside of the range; its text says what to use instead.
    pub fn new(
        local_discriminator: NonZeroU32,
        desired_min_tx: Duration,
        required_min_rx: Duration,
        detect_mult: NonZeroU8,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            local_discriminator,
            desired_min_tx: micros(Field::DesiredMinTx, desired_min_tx)?,
            required_min_rx: micros(Field::RequiredMinRx, required_min_rx)?,
            detect_mult,
            role: Role::default(),
            hop: Hop::default(),
            auth: None,
            control_plane_independent: false,
        })
    }

    /// Takes this role.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Expects the remote system at this distance.
    #[must_use]
    pub fn with_hop(mut self, hop: Hop) -> Self {
        self.hop = hop;
        self
    }

    /// Authenticates packets in both directions.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Sets the C bit: true only if BFD keeps running when the control plane (the routing daemon) is restarted
    /// (RFC 5880 §4.1, RFC 5882 §4.3).
    #[must_use]
    pub fn with_control_plane_independent(mut self, independent: bool) -> Self {
        self.control_plane_independent = independent;
        self
    }

    /// Rounds both intervals up to [`COMMON_INTERVALS`], which hardware at the other end is sure to support
    /// (RFC 7419 §3).
    #[must_use]
    pub fn with_common_intervals(mut self) -> Self {
        self.desired_min_tx = common_micros(self.desired_min_tx);
        self.required_min_rx = common_micros(self.required_min_rx);
        self
    }

    /// The local discriminator.
    #[must_use]
    pub fn local_discriminator(&self) -> NonZeroU32 {
        self.local_discriminator
    }

    /// The transmit interval asked for in the Up state.
    #[must_use]
    pub fn desired_min_tx(&self) -> Duration {
        Duration::from_micros(self.desired_min_tx.into())
    }

    /// The shortest interval at which packets can be received.
    #[must_use]
    pub fn required_min_rx(&self) -> Duration {
        Duration::from_micros(self.required_min_rx.into())
    }

    /// The detect multiplier.
    #[must_use]
    pub fn detect_mult(&self) -> NonZeroU8 {
        self.detect_mult
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The distance.
    #[must_use]
    pub fn hop(&self) -> Hop {
        self.hop
    }
}

/// The interval in whole microseconds, rounded up: slower is always safe.
pub(crate) fn micros(field: Field, given: Duration) -> Result<u32, ConfigError> {
    if given < Duration::from_micros(1) {
        return Err(ConfigError::TooShort { field, given });
    }
    u32::try_from(given.as_nanos().div_ceil(1_000)).map_err(|_| ConfigError::TooLong { field, given })
}

fn common_micros(wanted: u32) -> u32 {
    let common = common_interval(Duration::from_micros(wanted.into()));
    u32::try_from(common.as_micros()).unwrap_or(wanted)
}

#[cfg(test)]
mod tests;
