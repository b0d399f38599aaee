//! Why a socket could not be made as asked.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

/// Why a socket could not be made as asked. The text names the attempt, the address, the reason of the kernel
/// and, where it is known, what to do about it.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The kernel refused.
    #[error("cannot {operation} {address}: {cause}{}", Remedy { operation, cause, address })]
    Kernel {
        /// What was being attempted.
        operation: Operation,
        /// The peer, or the address of the listener.
        address: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A local address and a peer, or a listener and a peer, are of different address families.
    #[error("cannot {operation} {peer} with {local}: the addresses are of different families")]
    Family {
        /// What was being attempted.
        operation: Operation,
        /// The local address.
        local: IpAddr,
        /// The peer.
        peer: IpAddr,
    },
    /// `Multihop(0)`: nothing sent with it would leave the host.
    #[error("cannot connect {peer} with a multihop TTL of 0: it has to be in the range 1 to 255")]
    ZeroTtl {
        /// The peer.
        peer: SocketAddr,
    },
}

impl SocketError {
    /// What the kernel said, if it was the kernel that refused.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Kernel { cause, .. } => Some(cause),
            Self::Family { .. } | Self::ZeroTtl { .. } => None,
        }
    }

    /// Makes the error of one attempt.
    pub(crate) fn kernel(operation: Operation, address: SocketAddr) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Kernel {
            operation,
            address,
            cause,
        }
    }
}

/// What was being attempted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Create the socket.
    Open,
    /// Bind to an interface.
    Device(String),
    /// Bind an outgoing connection to a source address.
    Source(IpAddr),
    /// Bind the listener.
    Listen,
    /// Install or remove a TCP MD5 key.
    Md5,
    /// Set TTL or hop limit, sent or accepted.
    Ttl,
    /// Set the DSCP.
    Dscp,
    /// Set another option, named as in `tcp(7)` and `socket(7)`.
    Option(&'static str),
    /// Start the connection.
    Connect,
    /// Put an accepted connection under the options of its session.
    Adopt,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open a TCP socket for"),
            Self::Device(device) => write!(f, "bind to interface {device} for"),
            Self::Source(source) => write!(f, "use source address {source} towards"),
            Self::Listen => f.write_str("listen on"),
            Self::Md5 => f.write_str("set the TCP MD5 key for"),
            Self::Ttl => f.write_str("set the TTL policy for"),
            Self::Dscp => f.write_str("set the DSCP for"),
            Self::Option(name) => write!(f, "set {name} for"),
            Self::Connect => f.write_str("connect"),
            Self::Adopt => f.write_str("take over the connection from"),
        }
    }
}

/// What an operator can do about a refusal; prints nothing where nothing is known.
struct Remedy<'a> {
    operation: &'a Operation,
    address: &'a SocketAddr,
    cause: &'a io::Error,
}

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(errno) = self.cause.raw_os_error() else {
            return Ok(());
        };
        let port = self.address.port();
        match (self.operation, errno) {
            (Operation::Listen, libc::EADDRINUSE) => write!(
                f,
                "; port in use: another process listens on port {port} (see `ss -ltnp 'sport = :{port}'`), \
                 stop it or choose another port or address"
            ),
            (Operation::Listen, libc::EACCES | libc::EPERM) if port < 1024 => {
                write!(
                    f,
                    "; port {port} is privileged: the process needs CAP_NET_BIND_SERVICE"
                )
            }
            (Operation::Device(_), libc::EPERM | libc::EACCES) => {
                f.write_str("; the process needs CAP_NET_RAW")
            }
            (Operation::Device(_), libc::ENODEV) => f.write_str("; there is no interface of that name here"),
            (Operation::Source(_) | Operation::Listen, libc::EADDRNOTAVAIL) => {
                f.write_str("; the address is not on this host (or, for IPv6, not usable yet)")
            }
            (Operation::Connect, libc::EADDRNOTAVAIL) => {
                f.write_str("; no source address or no free local port")
            }
            (Operation::Connect, libc::ENETUNREACH | libc::EHOSTUNREACH) => {
                f.write_str("; no route to the peer")
            }
            (Operation::Connect | Operation::Source(_), libc::EINVAL) if link_local(self.address) => {
                f.write_str("; a link-local peer needs an interface")
            }
            (Operation::Md5, libc::ENOPROTOOPT) => f.write_str("; this kernel lacks CONFIG_TCP_MD5SIG"),
            (Operation::Md5, libc::ENOMEM) => f.write_str("; raise sysctl net.core.optmem_max"),
            _ => Ok(()),
        }
    }
}

fn link_local(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local())
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
