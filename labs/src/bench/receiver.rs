//! A receiver that counts and forgets, so that it is never the slow side.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::netns::Netns;
use crate::rawpeer::{KEEPALIVE, NOTIFICATION, OpenMessage, RawPeer, UPDATE, message};

const HEADER: usize = 19;
const LARGEST: usize = 4096;
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);

/// One session of a receiver.
#[derive(Debug)]
pub(super) struct Receiver {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The unread part of the buffer.
    unread: std::ops::Range<usize>,
    last_keepalive: Instant,
    tally: Tally,
    keeps: bool,
    table: HashSet<Ipv4Addr>,
}

/// What a receiver has counted.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// When the TCP connection stood.
    pub(super) connected: Instant,
    /// When the first UPDATE with a prefix was there.
    pub(super) first: Option<Instant>,
    /// When the last UPDATE so far was there.
    pub(super) last: Instant,
    /// Announced prefixes.
    pub(super) prefixes: u64,
    /// Withdrawn prefixes.
    pub(super) withdrawn: u64,
    /// UPDATE messages with announcements.
    pub(super) updates: u64,
    /// Bytes of all UPDATE messages.
    pub(super) bytes: u64,
    /// The most prefixes that fit beside these path attributes.
    pub(super) fit: u64,
}

impl Receiver {
    /// Connects to the speaker from inside a namespace and establishes a session. Speakers may refuse for a while.
    pub(super) fn connect(netns: &Netns, to: IpAddr, open: &OpenMessage) -> Result<Self> {
        let (peer, connected) = RawPeer::session(netns, to, open)?;
        Ok(Self::new(peer.into_stream(), connected))
    }

    /// Reads until this many prefixes have been announced.
    pub(super) fn receive(&mut self, prefixes: u64, deadline: Duration) -> Result<Tally> {
        let end = Instant::now() + deadline;
        while self.tally.prefixes < prefixes {
            ensure!(
                Instant::now() < end,
                "{} of {prefixes} prefixes within {deadline:?}",
                self.tally.prefixes
            );
            self.step()?;
        }
        Ok(self.tally.clone())
    }

    /// Reads until a prefix more has been announced or withdrawn, and says when it was there.
    pub(super) fn next_change(&mut self, deadline: Duration) -> Result<Instant> {
        let before = (self.tally.prefixes, self.tally.withdrawn);
        let end = Instant::now() + deadline;
        while (self.tally.prefixes, self.tally.withdrawn) == before {
            ensure!(Instant::now() < end, "nothing within {deadline:?}");
            self.step()?;
        }
        Ok(self.tally.last)
    }

    /// Keeps the host routes from now on, instead of only counting them.
    pub(super) fn keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// The host routes that were announced and not withdrawn, if it keeps them.
    pub(super) fn table(&self) -> &HashSet<Ipv4Addr> {
        &self.table
    }

    /// Reads until the host routes satisfy a condition.
    pub(super) fn until(
        &mut self,
        deadline: Duration,
        mut holds: impl FnMut(&HashSet<Ipv4Addr>) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + deadline;
        while !holds(&self.table) {
            ensure!(Instant::now() < end, "not within {deadline:?}");
            self.step()?;
        }
        Ok(())
    }

    fn new(stream: TcpStream, connected: Instant) -> Self {
        let tally = Tally {
            connected,
            first: None,
            last: connected,
            prefixes: 0,
            withdrawn: 0,
            updates: 0,
            bytes: 0,
            fit: 0,
        };
        Self {
            stream,
            buffer: vec![0; 1 << 20],
            unread: 0..0,
            last_keepalive: connected,
            tally,
            keeps: false,
            table: HashSet::new(),
        }
    }

    /// Reads what there is and counts what is complete.
    fn step(&mut self) -> Result<()> {
        if self.last_keepalive.elapsed() > KEEPALIVE_EVERY {
            self.stream.write_all(&message(KEEPALIVE, &[])?)?;
            self.last_keepalive = Instant::now();
        }
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        self.stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        match self.stream.read(&mut self.buffer[self.unread.end..]) {
            Ok(0) => bail!("the speaker closed the connection"),
            Ok(read) => self.unread.end += read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(());
            }
            Err(error) => return Err(error).context("receive"),
        }
        let now = Instant::now();
        while let Some(length) = self.complete()? {
            let (kind, body) = (self.buffer[self.unread.start + 18], self.unread.start + HEADER);
            let end = self.unread.start + length;
            match kind {
                UPDATE => {
                    self.tally.count(&self.buffer[body..end], now)?;
                    if self.keeps {
                        keep(&mut self.table, &self.buffer[body..end])?;
                    }
                }
                NOTIFICATION => bail!("a NOTIFICATION: {:02x?}", &self.buffer[body..end]),
                _ => {}
            }
            self.unread.start = end;
        }
        Ok(())
    }

    /// The length of the first message if all of it is there.
    fn complete(&self) -> Result<Option<usize>> {
        let bytes = &self.buffer[self.unread.clone()];
        let [_, high, low] = [0, 16, 17].map(|position| bytes.get(position).copied());
        let (Some(high), Some(low)) = (high, low) else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        ensure!(
            (HEADER..=LARGEST).contains(&length),
            "a message of {length} bytes"
        );
        Ok((bytes.len() >= length).then_some(length))
    }
}

impl Tally {
    fn count(&mut self, body: &[u8], now: Instant) -> Result<()> {
        self.last = now;
        self.bytes += (HEADER + body.len()) as u64;
        let (withdrawn, rest) = field(body).context("the withdrawn routes")?;
        let (attributes, nlri) = field(rest).context("the path attributes")?;
        self.withdrawn += prefixes(withdrawn);
        let announced = prefixes(nlri);
        if announced > 0 {
            self.first.get_or_insert(now);
            self.prefixes += announced;
            self.updates += 1;
            // Host prefixes: one byte of length, four of address.
            self.fit = ((LARGEST - HEADER - 4 - attributes.len()) / 5) as u64;
        }
        Ok(())
    }
}

/// A field that is preceded by its length in two bytes, and what follows it.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn keep(table: &mut HashSet<Ipv4Addr>, body: &[u8]) -> Result<()> {
    let (withdrawn, rest) = field(body).context("the withdrawn routes")?;
    let (_, nlri) = field(rest).context("the path attributes")?;
    for address in hosts(withdrawn) {
        table.remove(&address?);
    }
    for address in hosts(nlri) {
        table.insert(address?);
    }
    Ok(())
}

fn hosts(bytes: &[u8]) -> impl Iterator<Item = Result<Ipv4Addr>> + '_ {
    bytes.chunks(5).map(|chunk| match chunk {
        [32, a, b, c, d] => Ok(Ipv4Addr::new(*a, *b, *c, *d)),
        other => bail!("not a host route: {other:02x?}"),
    })
}

fn prefixes(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((bits, rest)) = bytes.split_first() {
        bytes = rest.get(usize::from(bits.div_ceil(8))..).unwrap_or_default();
        count += 1;
    }
    count
}
