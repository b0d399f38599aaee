//! Where peers connect to.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::AsFd;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token, event};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::error::{Operation, SocketError};
use crate::options::Md5Key;
use crate::sys;
use crate::tcp::{bind_device, canonical, set_dscp};

/// Connections that may wait to be accepted. A rack has two switches; the rest is for reconnect storms.
const BACKLOG: i32 = 128;

/// Connections that are given up on in one call of [`Listener::accept`] because the peer reset them while they waited.
const ABORTED_MAX: usize = BACKLOG as usize;

/// A listening socket of one address family. Register it with `mio` for readability.
///
/// Its handshakes leave with TTL 255, for every peer: a peer with GTSM drops a SYN-ACK that carries less
/// (RFC 5082 section 3), and to any other peer the value means nothing. [`adopt`](crate::adopt) then gives each
/// connection the TTL of its session.
///
/// A listener for IPv6 takes no IPv4 (`IPV6_V6ONLY`), so that the key and the TTL of a peer always live on the
/// listener of its own family.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `addr`, and on one interface only if `device` is given.
    ///
    /// Port 0 takes a free port, see [`Listener::local_addr`].
    ///
    /// # Errors
    ///
    /// The port is in use, privileged, the address is not on this host, the interface does not exist.
    pub fn bind(addr: SocketAddr, device: Option<&str>) -> Result<Self, SocketError> {
        let addr = canonical(addr);
        let error = |operation| SocketError::kernel(operation, addr);
        let v6 = addr.is_ipv6();

        let socket = Socket::new(
            Domain::for_address(addr),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )
        .map_err(error(Operation::Open))?;
        if v6 {
            socket
                .set_only_v6(true)
                .map_err(error(Operation::Option("IPV6_V6ONLY")))?;
        }
        socket
            .set_reuse_address(true)
            .map_err(error(Operation::Option("SO_REUSEADDR")))?;
        if let Some(device) = device {
            bind_device(&socket, device).map_err(error(Operation::Device(device.to_owned())))?;
        }
        // RFC 5082 section 3: the SYN-ACK too has to leave with 255.
        sys::set_outgoing_ttl(socket.as_fd(), v6, 255).map_err(error(Operation::Ttl))?;
        set_dscp(&socket, v6).map_err(error(Operation::Dscp))?;
        socket.bind(&addr.into()).map_err(error(Operation::Listen))?;
        socket.listen(BACKLOG).map_err(error(Operation::Listen))?;

        let socket = TcpListener::from_std(StdTcpListener::from(socket));
        let address = socket.local_addr().map_err(error(Operation::Listen))?;
        Ok(Self { socket, address })
    }

    /// The address listened on, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Installs, replaces or (with `None`) removes the TCP MD5 key of a peer, RFC 2385.
    ///
    /// Do it before the peer can connect: with a key, only signed segments of that peer get in; without one,
    /// only unsigned ones. Connections that exist already keep the key they have. The key of a link-local peer
    /// holds on every interface of the listener; where two peers share a link-local address, bind one listener
    /// to each interface.
    ///
    /// # Errors
    ///
    /// The peer is of the other family, the kernel lacks TCP MD5 or has no memory for one more key.
    pub fn set_md5(&self, peer: IpAddr, key: Option<&Md5Key>) -> Result<(), SocketError> {
        let peer = peer.to_canonical();
        if peer.is_ipv6() != self.address.is_ipv6() {
            let local = self.address.ip();
            return Err(SocketError::Family {
                operation: Operation::Md5,
                local,
                peer,
            });
        }

        let peer = SocketAddr::from((peer, 0));
        let key = key.map_or(&[][..], Md5Key::octets);
        sys::set_md5(SockRef::from(&self.socket).as_fd(), peer, key)
            .map_err(SocketError::kernel(Operation::Md5, peer))
    }

    /// Sets the lowest TTL or hop limit of a SYN that gets an answer; 0 answers all (the default).
    ///
    /// Only for a listener whose every peer uses GTSM (RFC 5082 section 3); with 255, nobody off the link can
    /// even start a handshake. Accepted connections begin with the same minimum.
    ///
    /// # Errors
    ///
    /// The kernel refuses the option.
    pub fn set_minimum_ttl(&self, minimum: u8) -> Result<(), SocketError> {
        sys::set_minimum_ttl(
            SockRef::from(&self.socket).as_fd(),
            self.address.is_ipv6(),
            minimum,
        )
        .map_err(SocketError::kernel(Operation::Ttl, self.address))
    }

    /// Takes the next connection that is waiting, non-blocking; `None` when there is none.
    ///
    /// Readiness comes once per arrival (`mio` is edge-triggered): call it until it answers `None`. What the
    /// peer itself broke while waiting is passed over.
    ///
    /// # Errors
    ///
    /// The host is short of descriptors or memory (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`). Connections are
    /// still waiting then: call again later, no new readiness will tell.
    pub fn accept(&self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        for _ in 0..ABORTED_MAX {
            match self.socket.accept() {
                Ok((stream, peer)) => return Ok(Some((stream, canonical(peer)))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

impl event::Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }
}

/// `accept(2)`: errors pending on the new connection are reported by the call and are no fault of the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINTR
                | libc::ECONNABORTED
                | libc::EPERM
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
        )
    )
}
