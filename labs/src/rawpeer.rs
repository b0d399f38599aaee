//! A BGP peer made of bytes: says exactly what a test wants, keeps no table and forgives nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::netns::Netns;
use crate::wait::{self, PATIENCE};

/// Message types (RFC 4271 §4.1).
pub const OPEN: u8 = 1;
/// See [`OPEN`].
pub const UPDATE: u8 = 2;
/// See [`OPEN`].
pub const NOTIFICATION: u8 = 3;
/// See [`OPEN`].
pub const KEEPALIVE: u8 = 4;

const HEADER: usize = 19;
const MARKER: [u8; 16] = [0xff; 16];

/// A connection to the BGP speaker under test.
#[derive(Debug)]
pub struct RawPeer {
    stream: TcpStream,
}

/// What came from the speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message: its type and its body.
    Message(u8, Vec<u8>),
    /// The end of the connection.
    Closed,
}

/// The parts of an OPEN that a test may want to be wrong.
#[derive(Debug, Clone)]
pub struct OpenMessage {
    /// The AS, in the capability and, if it fits, in the header.
    pub asn: u32,
    /// The hold time in seconds.
    pub hold: u16,
    /// The BGP identifier.
    pub id: Ipv4Addr,
    /// The address families as AFI and SAFI; none means no multiprotocol capability at all.
    pub families: Vec<(u16, u8)>,
}

/// A port on which the speaker under test is awaited.
#[derive(Debug)]
pub struct RawListener {
    listener: TcpListener,
}

impl RawListener {
    /// Listens on the BGP port of an address inside a namespace.
    pub fn bind(netns: &Netns, address: IpAddr) -> Result<Self> {
        let listener = netns.enter(|| TcpListener::bind((address, 179)).context("listen on port 179"))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// Waits for a connection.
    pub fn accept(&self) -> Result<RawPeer> {
        let stream = wait::until("the speaker connects", PATIENCE, || {
            match self.listener.accept() {
                Ok((stream, _)) => Ok(Some(stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error.into()),
            }
        })?;
        stream.set_nonblocking(false)?;
        Ok(RawPeer { stream })
    }
}

impl RawPeer {
    /// Connects to the BGP port from inside a namespace; retries while nothing listens.
    pub fn connect(netns: &Netns, to: IpAddr) -> Result<Self> {
        let to = SocketAddr::new(to, 179);
        let stream = wait::until("the BGP port accepts", PATIENCE, || {
            netns.enter(|| Ok(TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()))
        })?;
        Ok(Self { stream })
    }

    /// Connects and establishes a session, trying again while the speaker refuses; says when the connection stood.
    pub fn session(netns: &Netns, to: IpAddr, open: &OpenMessage) -> Result<(Self, Instant)> {
        wait::until(&format!("a session with {to}"), PATIENCE, || {
            let mut peer = Self::connect(netns, to)?;
            let connected = Instant::now();
            peer.establish(open)?;
            Ok(Some((peer, connected)))
        })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("send")
    }

    /// Sends a message with a proper header.
    pub fn send_message(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        self.send(&message(kind, body)?)
    }

    /// The next message or the end, however long it takes within reason.
    pub fn hear(&mut self) -> Result<Heard> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let mut header = [0; HEADER];
        match self.stream.read_exact(&mut header) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(Heard::Closed);
            }
            Err(error) => return Err(error).context("hear a message"),
        }
        ensure!(header[..16] == MARKER, "a header without marker: {header:02x?}");
        let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
        ensure!(length >= HEADER, "a message of {length} bytes");
        let mut body = vec![0; length - HEADER];
        self.stream
            .read_exact(&mut body)
            .context("hear the rest of a message")?;
        Ok(Heard::Message(header[18], body))
    }

    /// Passes over other messages until a NOTIFICATION comes; returns its body: code, subcode, data.
    pub fn hear_notification(&mut self) -> Result<Vec<u8>> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            match self.hear()? {
                Heard::Message(NOTIFICATION, body) => return Ok(body),
                Heard::Message(..) => {}
                Heard::Closed => bail!("closed without a NOTIFICATION"),
            }
        }
        bail!("no NOTIFICATION within {PATIENCE:?}")
    }

    /// Exchanges OPEN and KEEPALIVE, and returns the speaker's OPEN body.
    pub fn establish(&mut self, open: &OpenMessage) -> Result<Vec<u8>> {
        self.send(&open.encode()?)?;
        let theirs = loop {
            match self.hear()? {
                Heard::Message(OPEN, body) => break body,
                Heard::Message(KEEPALIVE, _) => {}
                other @ (Heard::Message(..) | Heard::Closed) => bail!("instead of an OPEN: {other:02x?}"),
            }
        };
        self.send_message(KEEPALIVE, &[])?;
        match self.hear()? {
            Heard::Message(KEEPALIVE, _) => Ok(theirs),
            other @ (Heard::Message(..) | Heard::Closed) => bail!("instead of a KEEPALIVE: {other:02x?}"),
        }
    }

    /// Gives up the connection itself.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl OpenMessage {
    /// The whole message.
    pub fn encode(&self) -> Result<Vec<u8>> {
        const AS_TRANS: u16 = 23456;
        let mut capabilities = vec![2, 0];
        for (afi, safi) in &self.families {
            let [high, low] = afi.to_be_bytes();
            capabilities.extend([1, 4, high, low, 0, *safi]);
        }
        capabilities.extend([65, 4]);
        capabilities.extend(self.asn.to_be_bytes());
        let mut body = vec![4];
        body.extend(u16::try_from(self.asn).unwrap_or(AS_TRANS).to_be_bytes());
        body.extend(self.hold.to_be_bytes());
        body.extend(self.id.octets());
        let mut parameters = vec![2, u8::try_from(capabilities.len())?];
        parameters.extend(capabilities);
        body.push(u8::try_from(parameters.len())?);
        body.extend(parameters);
        message(OPEN, &body)
    }
}

/// A message with a proper header.
pub fn message(kind: u8, body: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = MARKER.to_vec();
    bytes.extend(u16::try_from(HEADER + body.len())?.to_be_bytes());
    bytes.push(kind);
    bytes.extend(body);
    Ok(bytes)
}
