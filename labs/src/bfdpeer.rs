//! A BFD peer made of bytes: answers like a good one, and sends besides whatever a test wants.

use std::net::{IpAddr, UdpSocket};
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
const DISCRIMINATOR: u32 = 0x5c12_7e01;

const DOWN: u8 = 1;
const INIT: u8 = 2;
const UP: u8 = 3;

/// What the peer says of itself, and keeps.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The interval that it promises and wants; it sends a little faster.
    pub interval: Duration,
    /// Its multiplier.
    pub multiplier: u8,
}

impl Default for Timing {
    /// Slow enough for a busy machine, and the multiplier forgives the rest.
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            multiplier: 10,
        }
    }
}

/// A running peer. It stops, without a word, when dropped.
#[derive(Debug)]
pub struct BfdPeer {
    /// For what a test sends, so that the regular packets are not touched by its TTL.
    aside: UdpSocket,
    remote: Arc<AtomicU32>,
    silent: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BfdPeer {
    /// Starts it on one hop, in a namespace.
    pub fn start(netns: &Netns, local: IpAddr, node: IpAddr) -> Result<Self> {
        Self::start_with(netns, local, node, Timing::default())
    }

    /// Starts it with other intervals.
    pub fn start_with(netns: &Netns, local: IpAddr, node: IpAddr, timing: Timing) -> Result<Self> {
        let (sender, aside, receiver) = netns.enter(|| {
            let bound = |port: u16| -> Result<UdpSocket> {
                let socket = UdpSocket::bind((local, port)).context("bind a source port")?;
                socket.connect((node, PORT))?;
                Ok(socket)
            };
            let receiver = UdpSocket::bind((local, PORT)).context("listen for BFD")?;
            receiver.set_read_timeout(Some((timing.interval / 8).max(Duration::from_millis(1))))?;
            Ok((bound(SOURCE)?, bound(SOURCE + 1)?, receiver))
        })?;
        set_ttl(&sender, 255)?;
        let (remote, done, silent) = (Arc::default(), Arc::default(), Arc::default());
        let shared = Shared {
            timing,
            remote: Arc::clone(&remote),
            silent: Arc::clone(&silent),
            done: Arc::clone(&done),
        };
        let thread = thread::spawn(move || shared.answer(&sender, &receiver));
        Ok(Self {
            aside,
            remote,
            silent,
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

    /// From now on it says nothing, or it does again.
    pub fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
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
    timed_packet(Timing::default(), state, mine, yours)
}

fn timed_packet(timing: Timing, state: u8, mine: u32, yours: u32) -> Vec<u8> {
    let interval = u32::try_from(timing.interval.as_micros()).unwrap_or(u32::MAX);
    let mut octets = vec![0x20, state << 6, timing.multiplier, 24];
    octets.extend(mine.to_be_bytes());
    octets.extend(yours.to_be_bytes());
    octets.extend(interval.to_be_bytes());
    octets.extend(interval.to_be_bytes());
    octets.extend(0_u32.to_be_bytes());
    octets
}

/// What the thread has in common with its owner.
struct Shared {
    timing: Timing,
    remote: Arc<AtomicU32>,
    silent: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
}

impl Shared {
    fn answer(&self, sender: &UdpSocket, receiver: &UdpSocket) {
        let mut state = DOWN;
        let mut buf = [0; 256];
        let mut due = Instant::now();
        while !self.done.load(Ordering::Relaxed) {
            let heard = receiver.recv_from(&mut buf).map(|(len, _)| len);
            let silent = self.silent.load(Ordering::Relaxed);
            if silent {
                state = DOWN;
            }
            if let Some((theirs, poll)) = self.heard_state(&heard, &buf).filter(|_| !silent) {
                state = match (state, theirs) {
                    (DOWN, DOWN) => INIT,
                    (DOWN, INIT) | (INIT, INIT | UP) => UP,
                    (UP, DOWN) => DOWN,
                    (state, _) => state,
                };
                if poll {
                    let mut fin = self.packet(state);
                    fin[1] |= 0x10;
                    let _ = sender.send(&fin);
                }
            }
            let now = Instant::now();
            if due <= now && !silent {
                due = (due + self.timing.interval.mul_f64(0.75)).max(now);
                // A refusal only means that nobody listens yet.
                let _ = sender.send(&self.packet(state));
            }
        }
    }

    fn packet(&self, state: u8) -> Vec<u8> {
        timed_packet(
            self.timing,
            state,
            DISCRIMINATOR,
            self.remote.load(Ordering::Relaxed),
        )
    }

    /// The state that was heard, and whether the Poll bit was set.
    fn heard_state(&self, heard: &std::io::Result<usize>, buf: &[u8]) -> Option<(u8, bool)> {
        // Nothing came, or the other host refuses packets: either way there is nothing to read.
        let len = heard.as_ref().ok()?;
        if *len < 24 {
            return None;
        }
        let theirs = u32::from_be_bytes([buf[4], buf[5], buf[6], buf[7]]);
        self.remote.store(theirs, Ordering::Relaxed);
        Some((buf[1] >> 6, buf[1] & 0x20 != 0))
    }
}

fn set_ttl(socket: &UdpSocket, ttl: u8) -> Result<()> {
    if socket.local_addr()?.is_ipv4() {
        return socket.set_ttl(ttl.into()).context("set the TTL");
    }
    setsockopt(socket, sockopt::Ipv6Ttl, &i32::from(ttl)).context("set the hop limit")
}
