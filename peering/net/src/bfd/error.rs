//! Why a socket of the thread does not work.

use std::fmt;
use std::io;

use thiserror::Error;

/// Why a socket of the thread does not work. It is tried again for as long as it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cannot {attempt}: {}{}", io::Error::from_raw_os_error(*errno), Remedy { attempt: *attempt, errno: *errno })]
pub struct BfdSocketError {
    /// What was being attempted.
    pub attempt: BfdAttempt,
    /// What the kernel said, as in `errno(3)`.
    pub errno: i32,
}

impl BfdSocketError {
    pub(super) fn at(attempt: BfdAttempt) -> impl Fn(io::Error) -> Self {
        move |error| Self {
            attempt,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        }
    }
}

/// What was being attempted with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BfdAttempt {
    /// Create a socket.
    Open,
    /// Set an option, named as in `socket(7)`, `ip(7)` and `ipv6(7)`.
    Option(&'static str),
    /// Find the interface of a session, or bind to it.
    Device,
    /// Bind to the source address of a session.
    Source,
    /// Find a source port from 49152 to 65535 that nobody else has.
    SourcePort,
    /// Find a way to the peer.
    Connect,
    /// Listen on the port of BFD.
    Listen,
    /// Send a packet.
    Send,
}

impl fmt::Display for BfdAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open a UDP socket"),
            Self::Option(name) => write!(f, "set {name}"),
            Self::Device => f.write_str("bind to the interface"),
            Self::Source => f.write_str("bind to the source address"),
            Self::SourcePort => f.write_str("find a free source port"),
            Self::Connect => f.write_str("find a way to the peer"),
            Self::Listen => f.write_str("listen"),
            Self::Send => f.write_str("send"),
        }
    }
}

/// What an operator can do about it; prints nothing where nothing is known.
struct Remedy {
    attempt: BfdAttempt,
    errno: i32,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.attempt, self.errno) {
            (BfdAttempt::Listen, libc::EADDRINUSE) => {
                "; another BFD daemon runs on this host (see `ss -lunp`): stop it, or BFD here stays Down"
            }
            (BfdAttempt::Device, libc::ENODEV | libc::ENXIO) => {
                "; there is no interface of that name here (yet)"
            }
            (BfdAttempt::Device, libc::EPERM) => "; the process needs CAP_NET_RAW",
            (BfdAttempt::Source, libc::EADDRNOTAVAIL) => {
                "; the address is not on this host (or, for IPv6, not usable yet)"
            }
            (BfdAttempt::Connect | BfdAttempt::Send, libc::ENETUNREACH) => "; no route to the peer",
            (BfdAttempt::Send, libc::EPERM) => "; a packet filter of this host forbids it",
            (BfdAttempt::Send, libc::EINVAL) => "; the source address has left this host",
            _ => "",
        })
    }
}
