//! What happens to links, addresses and the routes of interest.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkBuffer;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};
use socket2::{SockFilter, SockRef};

use super::PROTOCOL;
use super::message::{Seen, seen};

const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Longer than any message about a route of interest; of others only the type counts.
const RECEIVE: usize = 16 * 1024;

/// Messages read in a row.
const DRAIN_MAX: usize = 1024;

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
/// Offsets in a message: its type, and in `struct rtmsg` behind the header the prefix length and the protocol.
const TYPE: u32 = 4;
const PREFIX_LENGTH: u32 = 17;
const ROUTE_PROTOCOL: u32 = 21;

/// A subscription. Routes of other prefix lengths and protocols are thrown away by the kernel: whoever installs a
/// full table must not keep us busy.
#[derive(Debug)]
pub(super) struct RouteEvents {
    socket: Socket,
    buffer: Vec<u8>,
}

/// What has happened since the last question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened {
    /// A link or an address changed.
    pub(super) near: bool,
    /// Routes of interest were added, changed or removed by others than `own_port`.
    pub(super) routes: Vec<Seen>,
    /// Something was lost: anything may have happened.
    pub(super) lost: bool,
}

impl RouteEvents {
    /// Subscribes in the network namespace of this thread.
    pub(super) fn subscribe(lengths: impl Iterator<Item = u8>) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        SockRef::from(&socket).attach_filter(&filter(lengths))?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in GROUPS {
            socket.add_membership(group as u32)?;
        }
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(RECEIVE),
        })
    }

    /// Takes what is queued; never waits.
    ///
    /// # Errors
    ///
    /// The socket is broken.
    pub(super) fn drain(&mut self, own_port: u32) -> io::Result<Happened> {
        let mut happened = Happened::default();
        for _ in 0..DRAIN_MAX {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => happened.note(&self.buffer, own_port),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(happened),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => happened.lost = true,
                Err(error) => return Err(error),
            }
        }
        // More is queued than can be worth reading one by one; whoever polls for edges must not wait for the next.
        happened.lost = true;
        Ok(happened)
    }
}

impl AsRawFd for RouteEvents {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Happened {
    fn note(&mut self, octets: &[u8], own_port: u32) {
        let Ok(message) = NetlinkBuffer::new_checked(octets) else {
            self.lost = true;
            return;
        };
        match message.message_type() {
            RTM_NEWROUTE | RTM_DELROUTE if message.port_number() == own_port => {}
            RTM_NEWROUTE | RTM_DELROUTE => self.routes.extend(seen(message.payload())),
            _ => self.near = true,
        }
    }
}

/// Lets pass: what is no route; routes of ours; routes of the prefix lengths of interest.
fn filter(lengths: impl Iterator<Item = u8>) -> Vec<SockFilter> {
    const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const LOAD_OCTET: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // The filter loads in network byte order, the message has the host's.
    let of_type = |number: u16| u32::from(u16::from_be_bytes(number.to_ne_bytes()));
    let all = || SockFilter::new(RETURN, 0, 0, u32::MAX);

    let mut program = vec![
        SockFilter::new(LOAD_HALF, 0, 0, TYPE),
        SockFilter::new(JUMP_EQUAL, 2, 0, of_type(RTM_NEWROUTE)),
        SockFilter::new(JUMP_EQUAL, 1, 0, of_type(RTM_DELROUTE)),
        all(),
        SockFilter::new(LOAD_OCTET, 0, 0, ROUTE_PROTOCOL),
        SockFilter::new(JUMP_EQUAL, 0, 1, PROTOCOL.into()),
        all(),
        SockFilter::new(LOAD_OCTET, 0, 0, PREFIX_LENGTH),
    ];
    let mut lengths: Vec<u8> = lengths.collect();
    lengths.sort_unstable();
    lengths.dedup();
    for length in lengths {
        program.push(SockFilter::new(JUMP_EQUAL, 0, 1, length.into()));
        program.push(all());
    }
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program
}
