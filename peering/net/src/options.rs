//! What a session asks of its TCP connection.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// The longest TCP MD5 key, in octets (`TCP_MD5SIG_MAXKEYLEN` of Linux).
pub const MD5_KEY_MAX: usize = 80;

/// TTL (IPv4) or hop limit (IPv6) policy of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// Send 1: the custom of eBGP between neighbours on one link. What arrives is not checked.
    Direct,
    /// Send this many hops, 1 to 255 (`ebgp-multihop`). What arrives is not checked. 0 is refused.
    Multihop(u8),
    /// The Generalized TTL Security Mechanism, RFC 5082 section 3: send 255 and let the kernel drop every
    /// segment that has crossed more than `hops - 1` routers, i.e. accept TTL >= 255 - `hops` + 1.
    Security {
        /// Links between the two peers; 1 is a direct neighbour. 0 is taken as 1.
        hops: u8,
    },
    /// The default of the operating system (iBGP).
    #[default]
    System,
}

impl Ttl {
    /// The value to send, as `IP_TTL` and `IPV6_UNICAST_HOPS` take it; -1 is the default of the system.
    pub(crate) fn outgoing(self) -> i32 {
        match self {
            Self::Direct => 1,
            Self::Multihop(hops) => i32::from(hops),
            // RFC 5082 section 3: "the TTL SHOULD be set to 255".
            Self::Security { .. } => 255,
            Self::System => -1,
        }
    }

    /// The lowest value to accept, as `IP_MINTTL` and `IPV6_MINHOPCOUNT` take it; 0 is no check.
    pub(crate) fn minimum(self) -> u8 {
        match self {
            Self::Security { hops } => 255 - hops.saturating_sub(1),
            Self::Direct | Self::Multihop(_) | Self::System => 0,
        }
    }
}

/// What a session asks of its TCP connection, in either direction.
///
/// Two equal values give equal connections, so a reload that compares them knows which session to leave alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Local address of an outgoing connection; `None` lets the kernel choose. Same family as the peer.
    pub source: Option<IpAddr>,
    /// Interface that every segment has to use (`SO_BINDTODEVICE`). The handshake of an accepted connection is over
    /// by then: it takes [`Listener`](crate::Listener)s of their own to hold that to an interface too.
    pub device: Option<String>,
    /// TTL policy.
    pub ttl: Ttl,
    /// TCP MD5 key, RFC 2385.
    pub md5: Option<Md5Key>,
    /// `TCP_USER_TIMEOUT` (RFC 5482 in one direction): the connection is closed when sent data has not been
    /// acknowledged for that long. `None` keeps the system's retransmission limit (about 15 minutes).
    pub user_timeout: Option<Duration>,
    /// `SO_SNDBUF` in octets, before the kernel doubles it; `None` keeps auto-tuning.
    pub send_buffer: Option<usize>,
    /// `SO_RCVBUF` in octets, before the kernel doubles it; `None` keeps auto-tuning.
    pub recv_buffer: Option<usize>,
}

/// Whether the kernel can have an interface of that name.
///
/// For sockets it takes an empty name as "no interface" and cuts a long one to 15 octets, which may be the name of
/// another interface; for netlink it has errors of their own.
pub(crate) fn may_name_device(name: &str) -> bool {
    (1..libc::IFNAMSIZ).contains(&name.len())
}

/// A TCP MD5 key (RFC 2385 section 4.5): 1 to 80 octets, never printed, wiped when dropped.
#[derive(Clone)]
pub struct Md5Key(SecretString);

impl Md5Key {
    /// Takes a password as it stands in the configuration; nothing is trimmed.
    ///
    /// # Errors
    ///
    /// The key is empty (which would mean "no authentication" to the kernel) or longer than [`MD5_KEY_MAX`]
    /// octets (which would never match the peer's key).
    pub fn new(password: SecretString) -> Result<Self, Md5KeyError> {
        let octets = password.expose_secret().len();
        if octets == 0 {
            return Err(Md5KeyError::Empty);
        }
        if octets > MD5_KEY_MAX {
            return Err(Md5KeyError::TooLong { octets });
        }
        Ok(Self(password))
    }

    pub(crate) fn octets(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

impl fmt::Debug for Md5Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5Key(..)")
    }
}

impl PartialEq for Md5Key {
    fn eq(&self, other: &Self) -> bool {
        self.octets() == other.octets()
    }
}

impl Eq for Md5Key {}

/// Why a password cannot be a TCP MD5 key.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Md5KeyError {
    /// No octets at all.
    #[error("the TCP MD5 password is empty; leave it out to run without authentication")]
    Empty,
    /// More octets than the kernel takes.
    #[error("the TCP MD5 password has {octets} octets, at most {MD5_KEY_MAX} are possible")]
    TooLong {
        /// Length of the password.
        octets: usize,
    },
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
