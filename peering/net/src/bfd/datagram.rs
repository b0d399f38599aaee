//! A received datagram with what the kernel says about it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use super::sys::RawDatagram;

/// A received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) payload: &'a [u8],
    pub(super) source: SocketAddr,
    /// The address it was sent to.
    pub(super) destination: Option<IpAddr>,
    /// The interface it arrived on.
    pub(super) interface: Option<NonZeroU32>,
    /// TTL or hop limit.
    pub(super) ttl: Option<u8>,
    /// When the kernel received it, since 1970 by the wall clock.
    pub(super) stamp: Option<Duration>,
    /// Datagrams that this socket has dropped since it was made; absent while there are none.
    pub(super) dropped: Option<u32>,
}

impl<'a> Datagram<'a> {
    /// Reads name and control messages; `None` for a source that is no internet address.
    pub(super) fn read(raw: RawDatagram<'a>) -> Option<Self> {
        let mut datagram = Self {
            payload: raw.payload,
            source: source(raw.name)?,
            destination: None,
            interface: None,
            ttl: None,
            stamp: None,
            dropped: None,
        };
        let mut rest = raw.control;
        while let Some((level, kind, data, next)) = first_message(rest) {
            datagram.take(level, kind, data);
            rest = next;
        }
        Some(datagram)
    }

    fn take(&mut self, level: i32, kind: i32, data: &[u8]) {
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                self.ttl = int(data, 0).and_then(|ttl| u8::try_from(ttl).ok());
            }
            // struct in_pktinfo: interface, local address, destination address.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                self.interface = int(data, 0).and_then(interface);
                let address = octets::<4>(data, 8).map(Ipv4Addr::from);
                self.destination = address.map(IpAddr::V4);
            }
            // struct in6_pktinfo: destination address, interface.
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                self.interface = int(data, 16).and_then(interface);
                let address = octets::<16>(data, 0).map(Ipv6Addr::from);
                self.destination = address.map(IpAddr::V6);
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                let seconds = octets(data, 0).map(i64::from_ne_bytes);
                let nanos = octets(data, 8).map(i64::from_ne_bytes);
                self.stamp = seconds.zip(nanos).and_then(since_epoch);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                self.dropped = octets(data, 0).map(u32::from_ne_bytes);
            }
            _ => {}
        }
    }
}

/// The first control message of a buffer and what comes after it (`CMSG_FIRSTHDR`, `CMSG_NXTHDR`).
fn first_message(buffer: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    const HEADER: usize = 16;
    let length = usize::from_ne_bytes(octets(buffer, 0)?);
    let level = int(buffer, 8)?;
    let kind = int(buffer, 12)?;
    let data = buffer.get(HEADER..length)?;
    let next = buffer.get(length.next_multiple_of(8)..).unwrap_or_default();
    Some((level, kind, data, next))
}

fn source(name: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(octets(name, 0)?));
    let port = u16::from_be_bytes(octets(name, 2)?);
    match family {
        libc::AF_INET => Some((Ipv4Addr::from(octets::<4>(name, 4)?), port).into()),
        libc::AF_INET6 => Some((Ipv6Addr::from(octets::<16>(name, 8)?), port).into()),
        _ => None,
    }
}

fn since_epoch((seconds, nanos): (i64, i64)) -> Option<Duration> {
    let seconds = u64::try_from(seconds).ok()?;
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

fn interface(index: i32) -> Option<NonZeroU32> {
    u32::try_from(index).ok().and_then(NonZeroU32::new)
}

fn int(data: &[u8], at: usize) -> Option<i32> {
    octets(data, at).map(i32::from_ne_bytes)
}

fn octets<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
#[path = "datagram_tests.rs"]
mod tests;
