//! A recording as a capture file.
//!
//! The file is pcapng (draft-ietf-opsawg-pcapng) with one interface of type `LINKTYPE_RAW`. The recorder keeps
//! payloads, so the headers below are made up again from what is known: addresses, ports and TTL are true, the rest
//! (identification, DSCP of received packets) is not.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use bfd::TRANSMIT_TTL;

use super::recorder::{Recorded, RecordedWhat, Recording};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;

/// Raw IPv4 or IPv6, told apart by the version.
const LINKTYPE_RAW: u16 = 101;
/// Time stamps count nanoseconds.
const NANOSECONDS: u8 = 9;

const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
/// DSCP CS6, as our packets carry it.
const NETWORK_CONTROL: u8 = 0xc0;

impl Recording {
    /// What led to the last failure, then what came after it as far as it is still known; oldest first.
    #[must_use]
    pub fn story(&self) -> Vec<Recorded> {
        let older = self.failure.iter().filter(|entry| !self.latest.contains(entry));
        older.chain(&self.latest).copied().collect()
    }

    /// Writes [`Self::story`] as a pcapng file that tshark and Wireshark read. What is not a packet (a change of
    /// state, a stall) becomes a comment of the packet before it.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn write_pcapng(&self, out: &mut impl Write) -> io::Result<()> {
        let story = self.story();
        let is_packet = |entry: &&Recorded| {
            matches!(
                entry.what,
                RecordedWhat::Received { .. } | RecordedWhat::Sent { .. }
            )
        };
        let before_any_packet = story.iter().take_while(|entry| !is_packet(entry)).count();
        let (head, rest) = story.split_at(before_any_packet);

        let mut title = format!("BFD session {} with {}", self.key, self.peer);
        for entry in head {
            title.push('\n');
            title.push_str(&entry.comment());
        }
        out.write_all(&section(&title))?;
        out.write_all(&interface())?;

        let mut rest = rest.iter().peekable();
        while let Some(entry) = rest.next() {
            let Some(frame) = self.frame(entry) else { continue };
            let mut comment = entry.comment();
            while let Some(event) = rest.next_if(|entry| !is_packet(entry)) {
                if !comment.is_empty() {
                    comment.push('\n');
                }
                comment.push_str(&event.comment());
            }
            out.write_all(&packet(self.time_of(entry.at), &frame, &comment))?;
        }
        Ok(())
    }

    fn frame(&self, entry: &Recorded) -> Option<Frame> {
        let unknown = match self.peer.to_canonical() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let local = self.local.unwrap_or(unknown);
        match &entry.what {
            RecordedWhat::Received {
                packet, from, ttl, ..
            } => Some(Frame {
                direction: INBOUND,
                octets: datagram(*from, (local, self.port).into(), *ttl, 0, packet.octets()),
            }),
            RecordedWhat::Sent { packet, .. } => {
                let source = (local, self.source_port.unwrap_or(0)).into();
                let target = (self.peer.to_canonical(), self.port).into();
                Some(Frame {
                    direction: OUTBOUND,
                    octets: datagram(source, target, TRANSMIT_TTL, NETWORK_CONTROL, packet.octets()),
                })
            }
            RecordedWhat::State(_)
            | RecordedWhat::RemoteDisabled
            | RecordedWhat::RemoteEnabled
            | RecordedWhat::PollCompleted
            | RecordedWhat::LocalStall { .. }
            | RecordedWhat::Grace => None,
        }
    }
}

impl Recorded {
    /// What is to be said about it beyond the octets of a packet; empty if nothing is.
    #[must_use]
    pub fn comment(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = match &self.what {
            RecordedWhat::Received {
                discard: Some(reason),
                repeated,
                ..
            } => {
                let _ = write!(text, "dropped: {reason}");
                match repeated {
                    0 => Ok(()),
                    more => write!(text, "; {more} more like it follow"),
                }
            }
            RecordedWhat::Sent { taken: false, .. } => write!(text, "not sent: the system refused it"),
            RecordedWhat::Received { .. } | RecordedWhat::Sent { .. } => Ok(()),
            RecordedWhat::State(change) => write!(
                text,
                "state {} -> {}: {} (diagnostic {}, remote diagnostic {})",
                change.from.label(),
                change.to.label(),
                change.cause.label(),
                change.local_diag.label(),
                change.remote_diag.label(),
            ),
            RecordedWhat::RemoteDisabled => write!(text, "the other end has turned BFD off"),
            RecordedWhat::RemoteEnabled => write!(text, "the other end has turned BFD on"),
            RecordedWhat::PollCompleted => write!(text, "the other end knows the new intervals"),
            RecordedWhat::LocalStall { stalled } => {
                write!(text, "local stall: this process did not run for {stalled:.1?}")
            }
            RecordedWhat::Grace => write!(text, "silence is forgiven for one detection time"),
        };
        text
    }
}

struct Frame {
    direction: u32,
    octets: Vec<u8>,
}

fn section(comment: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0x1a2b_3c4d_u32.to_le_bytes());
    body.extend(1_u16.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    // The length of the section is not given.
    body.extend(u64::MAX.to_le_bytes());
    option(&mut body, SECTION_APPLICATION, b"twintor");
    text_option(&mut body, comment);
    end_options(&mut body);
    block(SECTION_HEADER, &body)
}

fn interface() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(LINKTYPE_RAW.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    // No limit on the length of a packet.
    body.extend(0_u32.to_le_bytes());
    option(&mut body, INTERFACE_RESOLUTION, &[NANOSECONDS]);
    end_options(&mut body);
    block(INTERFACE, &body)
}

fn packet(time: SystemTime, frame: &Frame, comment: &str) -> Vec<u8> {
    let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    let length = frame.octets.len() as u32;
    let mut body = Vec::new();
    body.extend(0_u32.to_le_bytes());
    body.extend(((nanos >> 32) as u32).to_le_bytes());
    body.extend((nanos as u32).to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(&frame.octets);
    pad(&mut body);
    option(&mut body, PACKET_FLAGS, &frame.direction.to_le_bytes());
    if !comment.is_empty() {
        text_option(&mut body, comment);
    }
    end_options(&mut body);
    block(ENHANCED_PACKET, &body)
}

/// `body` has a multiple of four octets.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

fn text_option(body: &mut Vec<u8>, text: &str) {
    let end = (0..=text.len().min(usize::from(u16::MAX)))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    let text = text.get(..end.unwrap_or(0)).unwrap_or_default();
    option(body, COMMENT, text.as_bytes());
}

/// `value` has at most 65535 octets.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn end_options(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A UDP datagram in an IP packet. Source and target are of one family, or the packet says nothing of the source.
fn datagram(source: SocketAddr, target: SocketAddr, ttl: u8, dscp: u8, payload: &[u8]) -> Vec<u8> {
    let length = (UDP_HEADER + payload.len()) as u16;
    let mut udp = Vec::with_capacity(length.into());
    udp.extend(source.port().to_be_bytes());
    udp.extend(target.port().to_be_bytes());
    udp.extend(length.to_be_bytes());
    udp.extend([0; 2]);
    udp.extend(payload);
    match (source.ip().to_canonical(), target.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(target)) => ipv4(source, target, ttl, dscp, udp),
        (IpAddr::V6(source), IpAddr::V6(target)) => ipv6(source, target, ttl, dscp, udp),
        (IpAddr::V4(_), IpAddr::V6(target)) => ipv6(Ipv6Addr::UNSPECIFIED, target, ttl, dscp, udp),
        (IpAddr::V6(_), IpAddr::V4(target)) => ipv4(Ipv4Addr::UNSPECIFIED, target, ttl, dscp, udp),
    }
}

fn ipv4(source: Ipv4Addr, target: Ipv4Addr, ttl: u8, dscp: u8, mut udp: Vec<u8>) -> Vec<u8> {
    let (from, to) = (source.octets(), target.octets());
    let length = (20 + udp.len() as u16).to_be_bytes();
    let head = [0x45, dscp, length[0], length[1], 0, 0, 0, 0, ttl, UDP];
    let sum = checksum([&head[..], &from, &to]).to_be_bytes();
    put_checksum(&mut udp, &from, &to);
    [&head[..], &sum, &from, &to, &udp].concat()
}

fn ipv6(source: Ipv6Addr, target: Ipv6Addr, ttl: u8, dscp: u8, mut udp: Vec<u8>) -> Vec<u8> {
    let (from, to) = (source.octets(), target.octets());
    let length = (udp.len() as u16).to_be_bytes();
    let head = [0x60 | dscp >> 4, dscp << 4, 0, 0, length[0], length[1], UDP, ttl];
    put_checksum(&mut udp, &from, &to);
    [&head[..], &from, &to, &udp].concat()
}

/// RFC 768, RFC 8200 §8.1. Of the pseudo-headers of both families, the parts that count are the same.
fn put_checksum(udp: &mut [u8], from: &[u8], to: &[u8]) {
    let length = (udp.len() as u16).to_be_bytes();
    let sum = match checksum([from, to, &[0, UDP], &length, udp]) {
        // Zero means that there is none.
        0 => u16::MAX,
        sum => sum,
    };
    if let Some(slot) = udp.get_mut(6..8) {
        slot.copy_from_slice(&sum.to_be_bytes());
    }
}

/// RFC 1071. Every part but the last has an even number of octets.
fn checksum<const N: usize>(parts: [&[u8]; N]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| {
            let high = word.first().copied().unwrap_or(0);
            let low = word.get(1).copied().unwrap_or(0);
            u32::from(u16::from_be_bytes([high, low]))
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
#[path = "pcapng_tests.rs"]
mod tests;
