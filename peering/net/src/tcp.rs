//! Outgoing connections, and the options of accepted ones.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpStream as StdTcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::error::{Operation, SocketError};
use crate::options::{TcpOptions, Ttl, may_name_device};
use crate::sys;

/// DSCP CS6 in the position of the TOS octet and the traffic class: network control, RFC 4594 section 3.2.
const NETWORK_CONTROL: u32 = 0xc0;

/// Starts a connection to `peer` and returns at once, with the handshake under way.
///
/// Register the stream for writability and then ask [`finish_connect`]. Key, TTL and minimum TTL are in place
/// before the SYN leaves (RFC 2385 section 2.0 and RFC 5082 section 3 cover the SYN too). An IPv4-mapped peer is
/// taken as IPv4. A link-local peer without a scope takes the scope of [`TcpOptions::device`].
///
/// # Errors
///
/// Anything that was asked for and could not be had: interface, source address, key, TTL; no route to the peer.
/// No connection without it is tried.
pub fn connect(peer: SocketAddr, options: &TcpOptions) -> Result<TcpStream, SocketError> {
    let peer = canonical(peer);
    let error = |operation| SocketError::kernel(operation, peer);
    if options.ttl == Ttl::Multihop(0) {
        return Err(SocketError::ZeroTtl { peer });
    }
    let peer = with_scope(peer, options.device.as_deref())?;
    let source = options
        .source
        .map(|source| local_address(source, peer))
        .transpose()?;

    let socket = Socket::new(
        Domain::for_address(peer),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )
    .map_err(error(Operation::Open))?;
    if let Some(device) = &options.device {
        bind_device(&socket, device).map_err(error(Operation::Device(device.clone())))?;
    }
    set_options(&socket, peer, options)?;
    if let Some(source) = source {
        socket
            .bind(&source.into())
            .map_err(error(Operation::Source(source.ip())))?;
    }

    match socket.connect(&peer.into()) {
        Ok(()) => {}
        Err(cause) if cause.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(cause) => return Err(SocketError::kernel(Operation::Connect, peer)(cause)),
    }
    Ok(TcpStream::from_std(StdTcpStream::from(socket)))
}

/// Tells whether the handshake that [`connect`] started is over; call it when the stream is writable.
///
/// `Ok(false)` means not yet: keep waiting.
///
/// # Errors
///
/// Why the connection failed, e.g. refused, timed out, unreachable. The stream is then of no use.
pub fn finish_connect(stream: &TcpStream) -> Result<bool, io::Error> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Puts an accepted connection under the options of the session it belongs to: TTL, minimum TTL, key, DSCP,
/// `TCP_NODELAY`, user timeout, buffers, device. [`TcpOptions::source`] has no effect.
///
/// The SYN was seen before the session was known, so the minimum TTL holds from here on (RFC 5082 section 3);
/// [`Listener::set_minimum_ttl`](crate::Listener::set_minimum_ttl) covers the SYN where every peer uses GTSM.
/// The connection has the key of the [`Listener`](crate::Listener) already; setting the session's key again makes
/// a connection that came in without one, or with another one, go silent rather than be trusted.
///
/// # Errors
///
/// An option could not be set, or the connection is gone already. Drop the stream then.
pub fn adopt(stream: &TcpStream, options: &TcpOptions) -> Result<(), SocketError> {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let peer = stream
        .peer_addr()
        .map_err(SocketError::kernel(Operation::Adopt, unknown))?;
    if options.ttl == Ttl::Multihop(0) {
        return Err(SocketError::ZeroTtl { peer });
    }
    let socket = SockRef::from(stream);
    if let Some(device) = &options.device {
        bind_device(&socket, device).map_err(SocketError::kernel(Operation::Device(device.clone()), peer))?;
    }
    set_options(&socket, peer, options)
}

/// Changes [`TcpOptions::user_timeout`] of a connection that is up.
///
/// # Errors
///
/// The connection is gone.
pub fn set_user_timeout(stream: &TcpStream, timeout: Option<Duration>) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(timeout)
}

/// Holds the socket to one interface.
pub(crate) fn bind_device(socket: &Socket, device: &str) -> io::Result<()> {
    if !may_name_device(device) {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    socket.bind_device(Some(device.as_bytes()))
}

/// Marks what the socket sends as network control, RFC 4594 section 3.2 (CS6).
pub(crate) fn set_dscp(socket: &Socket, v6: bool) -> io::Result<()> {
    match v6 {
        false => socket.set_tos_v4(NETWORK_CONTROL),
        true => socket.set_tclass_v6(NETWORK_CONTROL),
    }
}

/// An IPv4-mapped address as the IPv4 address it means, so that one peer has one spelling and its key, its TTL
/// and its listener are those of IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::from((v4, address.port())),
        IpAddr::V6(_) => address,
    }
}

/// Everything that outgoing and accepted connections have in common.
fn set_options(socket: &Socket, peer: SocketAddr, options: &TcpOptions) -> Result<(), SocketError> {
    let error = |operation| SocketError::kernel(operation, peer);
    let v6 = peer.is_ipv6();

    sys::set_outgoing_ttl(socket.as_fd(), v6, options.ttl.outgoing()).map_err(error(Operation::Ttl))?;
    sys::set_minimum_ttl(socket.as_fd(), v6, options.ttl.minimum()).map_err(error(Operation::Ttl))?;
    set_dscp(socket, v6).map_err(error(Operation::Dscp))?;
    socket
        .set_tcp_nodelay(true)
        .map_err(error(Operation::Option("TCP_NODELAY")))?;
    socket
        .set_tcp_user_timeout(options.user_timeout)
        .map_err(error(Operation::Option("TCP_USER_TIMEOUT")))?;
    if let Some(octets) = options.send_buffer {
        socket
            .set_send_buffer_size(octets)
            .map_err(error(Operation::Option("SO_SNDBUF")))?;
    }
    if let Some(octets) = options.recv_buffer {
        socket
            .set_recv_buffer_size(octets)
            .map_err(error(Operation::Option("SO_RCVBUF")))?;
    }
    if let Some(key) = &options.md5 {
        sys::set_md5(socket.as_fd(), peer, key.octets()).map_err(error(Operation::Md5))?;
    }
    Ok(())
}

/// Gives a link-local peer without a scope the scope of the interface it is to be reached over.
fn with_scope(peer: SocketAddr, device: Option<&str>) -> Result<SocketAddr, SocketError> {
    let SocketAddr::V6(v6) = peer else { return Ok(peer) };
    let Some(device) = device else { return Ok(peer) };
    if v6.scope_id() != 0 || !v6.ip().is_unicast_link_local() {
        return Ok(peer);
    }

    let scope = nix::net::if_::if_nametoindex(device)
        .map_err(|errno| SocketError::kernel(Operation::Device(device.to_owned()), peer)(errno.into()))?;
    Ok(SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), scope).into())
}

/// The address to bind an outgoing connection to; a link-local one is on the link of the peer.
fn local_address(source: IpAddr, peer: SocketAddr) -> Result<SocketAddr, SocketError> {
    let source = source.to_canonical();
    match (source, peer) {
        (IpAddr::V4(v4), SocketAddr::V4(_)) => Ok((v4, 0).into()),
        (IpAddr::V6(v6), SocketAddr::V6(peer)) if v6.is_unicast_link_local() => {
            Ok(SocketAddrV6::new(v6, 0, 0, peer.scope_id()).into())
        }
        (IpAddr::V6(v6), SocketAddr::V6(_)) => Ok((v6, 0).into()),
        (IpAddr::V4(_), SocketAddr::V6(_)) | (IpAddr::V6(_), SocketAddr::V4(_)) => Err(SocketError::Family {
            operation: Operation::Connect,
            local: source,
            peer: peer.ip(),
        }),
    }
}
