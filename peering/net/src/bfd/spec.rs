//! What the thread is asked to do.

use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use bfd::{Auth, ConfigError, Hop, Role, SessionConfig};
use thiserror::Error;

/// One session.
///
/// The key is the caller's; everything else is as in [`SessionConfig`]. A changed interval, multiplier or key of
/// authentication is taken over by a session that runs, and it does not flap (RFC 5880 §6.8.3). Any other change
/// replaces the session: the old one goes AdminDown, which is no failure for the other end (RFC 5882 §3.2), and the
/// new one starts as soon as the old one has gone.
#[derive(Clone, Debug)]
pub struct BfdSpec {
    /// How the caller calls this session. Unique in the list.
    pub key: u64,
    /// The other end.
    pub peer: IpAddr,
    /// The address to send from; `None` leaves it to the kernel's route to the peer.
    pub local: Option<IpAddr>,
    /// The interface to send on, and on one hop to hear the first packets from. A link-local peer needs one.
    pub device: Option<String>,
    /// How often to send once the session is Up, 1 µs to 4294.967295 s.
    pub desired_min_tx: Duration,
    /// How often packets can be received, 1 µs to 4294.967295 s.
    pub required_min_rx: Duration,
    /// How many of our packets may be lost before the other end declares the session down.
    pub detect_mult: NonZeroU8,
    /// One hop (RFC 5881, port 3784) or several (RFC 5883, port 4784).
    pub hop: Hop,
    /// Says nothing until the other end was heard.
    pub passive: bool,
    /// Authentication of packets in both directions.
    pub auth: Option<Auth>,
    /// The C bit: whether BFD survives a restart of the BGP speaker. It does not in one process.
    pub control_plane_independent: bool,
}

impl BfdSpec {
    /// Whether a session can be made of it, the rest of the list aside.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] that would come as an event; its text says what to use instead.
    pub fn check(&self) -> Result<(), Refusal> {
        self.config(NonZeroU32::MIN)?;
        let device = self.device.as_deref().map(InterfaceName::new).transpose()?;
        if let Some(local) = self.local
            && local.to_canonical().is_ipv4() != self.peer.to_canonical().is_ipv4()
        {
            return Err(Refusal::Family);
        }
        let link_local =
            matches!(self.peer.to_canonical(), IpAddr::V6(address) if address.is_unicast_link_local());
        if link_local && device.is_none() {
            return Err(Refusal::LinkLocalWithoutDevice);
        }
        Ok(())
    }

    pub(super) fn config(&self, discriminator: NonZeroU32) -> Result<SessionConfig, ConfigError> {
        let (tx, rx) = (self.desired_min_tx, self.required_min_rx);
        let role = if self.passive { Role::Passive } else { Role::Active };
        let config = SessionConfig::new(discriminator, tx, rx, self.detect_mult)?
            .with_role(role)
            .with_hop(self.hop)
            .with_control_plane_independent(self.control_plane_independent);
        Ok(match &self.auth {
            Some(auth) => config.with_auth(auth.clone()),
            None => config,
        })
    }

    /// Whether a session with this spec can become one with `other` while it runs.
    pub(super) fn is_same_session(&self, other: &Self) -> bool {
        let Self {
            key,
            peer,
            local,
            device,
            desired_min_tx: _,
            required_min_rx: _,
            detect_mult: _,
            hop,
            passive,
            auth: _,
            control_plane_independent,
        } = self;
        *key == other.key
            && *peer == other.peer
            && *local == other.local
            && *device == other.device
            && *hop == other.hop
            && *passive == other.passive
            && *control_plane_independent == other.control_plane_independent
    }
}

/// Why a [`BfdSpec`] was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// An interval is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key is given twice.
    #[error("the key is given twice")]
    DuplicateKey,
    /// No interface can have this name.
    #[error("an interface name has 1 to 15 octets")]
    DeviceName,
    /// Local address and peer are of different families.
    #[error("the local address and the peer are of different families")]
    Family,
    /// A link-local peer without an interface.
    #[error("a link-local peer needs an interface")]
    LinkLocalWithoutDevice,
    /// More sessions than [`BfdLimits::sessions`].
    #[error("there are more sessions than the limit of {0}")]
    Limit(usize),
}

/// What the thread reserves when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdLimits {
    /// Sessions at most, those that are just leaving included. A session takes about 40 kB, from when it is made.
    pub sessions: usize,
    /// Priority in `SCHED_FIFO`, 1 to 99; `None` does not ask for it. If the system does not permit it, the thread
    /// runs in the normal class and says so once.
    pub realtime_priority: Option<NonZeroU8>,
    /// Octets of each receive buffer, before the kernel doubles it. Less is taken if the system permits less.
    pub receive_buffer: usize,
}

impl Default for BfdLimits {
    fn default() -> Self {
        Self {
            sessions: 1024,
            realtime_priority: NonZeroU8::new(10),
            receive_buffer: 1 << 20,
        }
    }
}

/// The name of an interface, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InterfaceName {
    octets: [u8; Self::MAX],
    len: usize,
}

impl InterfaceName {
    /// `IFNAMSIZ` without the final zero.
    const MAX: usize = 15;

    /// Takes a name.
    ///
    /// # Errors
    ///
    /// [`Refusal::DeviceName`] for a name that no interface can have.
    pub fn new(name: &str) -> Result<Self, Refusal> {
        let mut octets = [0; Self::MAX];
        let room = octets.get_mut(..name.len()).filter(|room| !room.is_empty());
        room.ok_or(Refusal::DeviceName)?.copy_from_slice(name.as_bytes());
        Ok(Self {
            octets,
            len: name.len(),
        })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let octets = self.octets.get(..self.len).unwrap_or_default();
        std::str::from_utf8(octets).unwrap_or_default()
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A [`BfdSpec`] that has passed [`BfdSpec::check`], and whether it may run.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) spec: BfdSpec,
    pub(super) device: Option<InterfaceName>,
    pub(super) enabled: bool,
}
