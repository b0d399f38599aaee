//! A BFD peer made of bytes: answers like a good one, and sends besides whatever a test wants.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};

use crate::netns::Netns;

const PORT: u16 = 3784;
/// The source port, from the range of RFC 5881 §4.
const SOURCE: u16 = 49152;
/// How often it sends. Slow enough for a busy machine, and its multiplier of 10 forgives the rest.
const INTERVAL: Duration = Duration::from_millis(60);
const DISCRIMINATOR: u32 = 0x5c12_7e01;

const DOWN: u8 = 1;
const INIT: u8 = 2;
const UP: u8 = 3;

/// A running peer. It stops, without a word, when dropped.
#[derive(Debug)]
pub struct BfdPeer {
    /// For what a test sends, so that the regular packets are not touched by its TTL.
    aside: UdpSocket,
    remote: Arc<AtomicU32>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BfdPeer {
    /// Starts it on one hop, in a namespace.
    pub fn start(netns: &Netns, local: IpAddr, node: IpAddr) -> Result<Self> {
        let (sender, aside, receiver) = netns.enter(|| {
            let bound = |port: u16| -> Result<UdpSocket> {
                let socket = UdpSocket::bind((local, port)).context("bind a source port")?;
                socket.connect((node, PORT))?;
                Ok(socket)
            };
            let receiver = UdpSocket::bind((local, PORT)).context("listen for BFD")?;
            receiver.set_read_timeout(Some(Duration::from_millis(20)))?;
            Ok((bound(SOURCE)?, bound(SOURCE + 1)?, receiver))
        })?;
        set_ttl(&sender, 255)?;
        let (remote, done) = (Arc::default(), Arc::default());
        let (theirs, end) = (Arc::clone(&remote), Arc::clone(&done));
        let thread = thread::spawn(move || answer(&sender, &receiver, &theirs, &end));
        Ok(Self {
            aside,
            remote,
            done,
            thread: Some(thread),
        })
    }

    /// Its discriminator.
    pub fn discriminator(&self) -> u32 {
        DISCRIMINATOR
    }

    /// The discriminator of the speaker under test, as last heard; 0 before.
    pub fn remote_discriminator(&self) -> u32 {
        self.remote.load(Ordering::Relaxed)
    }

    /// Sends octets as they are, with this TTL or hop limit.
    pub fn send(&self, octets: &[u8], ttl: u8) -> Result<()> {
        set_ttl(&self.aside, ttl)?;
        self.aside.send(octets).context("send").map(drop)
    }
}

impl Drop for BfdPeer {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already failed what waited for its packets.
            let _ = thread.join();
        }
    }
}

/// A Control packet of version 1 with 100 ms and a multiplier of 10 (RFC 5880 §4.1).
pub fn packet(state: u8, mine: u32, yours: u32) -> Vec<u8> {
    let mut octets = vec![0x20, state << 6, 10, 24];
    octets.extend(mine.to_be_bytes());
    octets.extend(yours.to_be_bytes());
    octets.extend(100_000_u32.to_be_bytes());
    octets.extend(100_000_u32.to_be_bytes());
    octets.extend(0_u32.to_be_bytes());
    octets
}

fn answer(sender: &UdpSocket, receiver: &UdpSocket, remote: &AtomicU32, done: &AtomicBool) {
    let mut state = DOWN;
    let mut buf = [0; 256];
    let mut due = Instant::now();
    while !done.load(Ordering::Relaxed) {
        let heard = receiver.recv_from(&mut buf);
        if let Some((theirs, poll)) = heard_state(&heard, &buf, remote) {
            state = match (state, theirs) {
                (DOWN, DOWN) => INIT,
                (DOWN, INIT) | (INIT, INIT | UP) => UP,
                (UP, DOWN) => DOWN,
                (state, _) => state,
            };
            if poll {
                let mut fin = packet(state, DISCRIMINATOR, remote.load(Ordering::Relaxed));
                fin[1] |= 0x10;
                let _ = sender.send(&fin);
            }
        }
        if due <= Instant::now() {
            due = Instant::now() + INTERVAL;
            // A refusal only means that nobody listens yet.
            let _ = sender.send(&packet(state, DISCRIMINATOR, remote.load(Ordering::Relaxed)));
        }
    }
}

fn heard_state(
    heard: &std::io::Result<(usize, SocketAddr)>,
    buf: &[u8],
    remote: &AtomicU32,
) -> Option<(u8, bool)> {
    match heard {
        Ok((len, _)) if *len >= 24 => {
            remote.store(
                u32::from_be_bytes([buf[4], buf[5], buf[6], buf[7]]),
                Ordering::Relaxed,
            );
            Some((buf[1] >> 6, buf[1] & 0x20 != 0))
        }
        Ok(_) => None,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(_) => None,
    }
}

fn set_ttl(socket: &UdpSocket, ttl: u8) -> Result<()> {
    if socket.local_addr()?.is_ipv4() {
        return socket.set_ttl(ttl.into()).context("set the TTL");
    }
    setsockopt(socket, sockopt::Ipv6Ttl, &i32::from(ttl)).context("set the hop limit")
}
