//! The sending half of one session.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bfd::{SourcePorts, TRANSMIT_TTL};
use socket2::{Domain, Protocol, Socket, Type};

use super::error::{BfdAttempt, BfdSocketError};
use super::slot::{Binding, Port};
use super::spec::{InterfaceName, Wanted};
use super::sys::is_bound_to;
use super::table::Sending;

/// DSCP CS6 in the position of the TOS octet and the traffic class: network control, RFC 4594 section 3.2.
const NETWORK_CONTROL: u32 = 0xc0;

/// `TC_PRIO_INTERACTIVE`: the first band of the default queue, and the highest that needs no privilege.
const PRIORITY: u32 = 6;

/// First and longest wait before a socket is opened again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Ports that are tried in one attempt, if other programs hold them.
const PORT_TRIES: usize = 16;

/// Sends the packets of one session: from its own source port (RFC 5881 §4), over its device, with TTL 255.
///
/// What goes wrong is tried again, sooner at first, then once in a second.
#[derive(Debug)]
pub(super) struct Transmitter {
    /// [`Slot::id`](super::slot::Slot::id) of the session it belongs to.
    pub(super) id: u64,
    socket: Option<Socket>,
    source_port: Option<u16>,
    retry_at: Option<Instant>,
    wait: Duration,
}

impl Transmitter {
    /// Wants to be opened at once.
    pub(super) fn new(id: u64, now: Instant) -> Self {
        Self {
            id,
            socket: None,
            source_port: None,
            retry_at: Some(now),
            wait: BACK_OFF.0,
        }
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Gives the source port back.
    pub(super) fn close(&mut self, ports: &mut SourcePorts) {
        self.socket = None;
        self.retry_at = None;
        if let Some(port) = self.source_port.take() {
            ports.release(port);
        }
    }

    /// Whether the interface that the socket is bound to has been replaced by another one of the same name. A session
    /// that sends would find out by itself, but a passive one waits for packets from an interface that is no more.
    pub(super) fn check_device(&mut self, device: Option<InterfaceName>, now: Instant) {
        let Some((socket, device)) = self.socket.as_ref().zip(device) else {
            return;
        };
        if !is_bound_to(socket.as_fd(), device.as_str()) {
            self.socket = None;
            self.retry_at = Some(now);
        }
    }

    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// What is missing; it is tried again at [`Self::retry_at`].
    pub(super) fn open(
        &mut self,
        wanted: &Wanted,
        ports: &mut SourcePorts,
        now: Instant,
    ) -> Result<Binding, BfdSocketError> {
        self.socket = None;
        self.retry_at = None;
        let opened = self.try_open(wanted, ports);
        if opened.is_err() {
            self.retry_later(now);
        }
        opened
    }

    /// Sends a packet. A socket that breaks is opened again at [`Self::retry_at`].
    pub(super) fn send(&mut self, packet: &[u8], now: Instant) -> Sending {
        let Some(socket) = &self.socket else {
            return Sending::Failed;
        };
        // An answer to an earlier packet (port unreachable) is reported instead of sending this one.
        let first = socket.send(packet);
        let refused = first.as_ref().is_err_and(is_refusal);
        let result = if refused { socket.send(packet) } else { first };
        match result {
            Ok(_) => {
                self.wait = BACK_OFF.0;
                match refused {
                    true => Sending::TakenAfterRefusal,
                    false => Sending::Taken,
                }
            }
            Err(error) if is_refusal(&error) || is_passing(&error) => Sending::Failed,
            Err(error) => {
                self.socket = None;
                self.retry_later(now);
                Sending::Broken(BfdSocketError::at(BfdAttempt::Send)(error))
            }
        }
    }

    fn retry_later(&mut self, now: Instant) {
        self.retry_at = Some(now + self.wait);
        self.wait = (self.wait * 2).min(BACK_OFF.1);
    }

    fn try_open(&mut self, wanted: &Wanted, ports: &mut SourcePorts) -> Result<Binding, BfdSocketError> {
        let at = BfdSocketError::at;
        let spec = &wanted.spec;
        let peer = spec.peer.to_canonical();
        let v6 = peer.is_ipv6();
        let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))
            .map_err(at(BfdAttempt::Open))?;
        let interface = match wanted.device {
            Some(device) => bind_device(&socket, device.as_str()).map_err(at(BfdAttempt::Device))?,
            None => None,
        };
        set_options(&socket, v6)?;
        let scope = interface.map_or(0, NonZeroU32::get);
        let source_port = self.bind(&socket, spec.local, peer, scope, ports)?;
        let peer = scoped(peer, Port::of(peer, spec.hop).number(), scope);
        socket.connect(&peer.into()).map_err(at(BfdAttempt::Connect))?;
        let local = socket.local_addr().map_err(at(BfdAttempt::Connect))?;
        let local = local.as_socket().map_or(spec.peer, |local| local.ip());
        self.socket = Some(socket);
        Ok(Binding {
            local,
            source_port,
            interface,
        })
    }

    /// RFC 5881 §4: the same port for all packets of the session, and no other session has it. So it is kept over a
    /// reopening.
    fn bind(
        &mut self,
        socket: &Socket,
        local: Option<IpAddr>,
        peer: IpAddr,
        scope: u32,
        ports: &mut SourcePorts,
    ) -> Result<u16, BfdSocketError> {
        let unspecified = match peer {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let local = local.map_or(unspecified, |local| local.to_canonical());
        for _ in 0..PORT_TRIES {
            let Some(port) = self.source_port.or_else(|| ports.allocate()) else {
                break;
            };
            match socket.bind(&scoped(local, port, scope).into()) {
                Ok(()) => {
                    self.source_port = Some(port);
                    return Ok(port);
                }
                // Somebody else's: not to be given back, so that the next attempt takes another one.
                Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => self.source_port = None,
                Err(error) => {
                    self.source_port = Some(port);
                    return Err(BfdSocketError::at(BfdAttempt::Source)(error));
                }
            }
        }
        Err(BfdSocketError {
            attempt: BfdAttempt::SourcePort,
            errno: libc::EADDRINUSE,
        })
    }
}

fn set_options(socket: &Socket, v6: bool) -> Result<(), BfdSocketError> {
    let option = |name| BfdSocketError::at(BfdAttempt::Option(name));
    // RFC 5881 §5: all packets leave with 255.
    if v6 {
        socket
            .set_unicast_hops_v6(TRANSMIT_TTL.into())
            .map_err(option("IPV6_UNICAST_HOPS"))?;
        socket
            .set_tclass_v6(NETWORK_CONTROL)
            .map_err(option("IPV6_TCLASS"))?;
    } else {
        socket.set_ttl_v4(TRANSMIT_TTL.into()).map_err(option("IP_TTL"))?;
        socket.set_tos_v4(NETWORK_CONTROL).map_err(option("IP_TOS"))?;
    }
    // After IP_TOS, which changes it.
    socket.set_priority(PRIORITY).map_err(option("SO_PRIORITY"))
}

/// Finds the index by way of the socket: `if_nametoindex` may make the kernel wait for a module to be loaded.
fn bind_device(socket: &Socket, device: &str) -> io::Result<Option<NonZeroU32>> {
    socket.bind_device(Some(device.as_bytes()))?;
    socket.device_index_v4()
}

fn scoped(address: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, port, 0, scope).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(address, port),
    }
}

/// The other host, or the last router, has answered that it does not take packets; the socket is good.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::EPROTO | libc::ENOPROTOOPT | libc::EACCES)
    )
}

/// Another socket would not do better.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR | libc::EPERM)
    )
}
