//! A stream of small packets that shows what a user would feel.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::netns::Netns;

/// Where the echo listens.
pub const PORT: u16 = 7007;

const FLOWS: usize = 16;
const PACE: Duration = Duration::from_millis(4);
const GRACE: Duration = Duration::from_millis(500);

/// Answers every packet, until dropped.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Sends packets on many flows and notes which come back.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    thread: JoinHandle<Report>,
}

/// What became of the packets.
#[derive(Debug, Clone)]
pub struct Report {
    sent: Vec<(Instant, bool)>,
}

impl Echo {
    /// Starts answering on an address inside a namespace.
    pub fn start(netns: &Netns, address: IpAddr) -> Result<Self> {
        let socket = netns.enter(|| UdpSocket::bind((address, PORT)).context("bind the echo"))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 64];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    // A lost answer is a lost packet, and the probe counts it.
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Probe {
    /// Starts sending from an address inside a namespace. Many source ports, so that every path of an ECMP route is used.
    pub fn start(netns: &Netns, from: IpAddr, to: IpAddr) -> Result<Self> {
        let sockets = netns.enter(|| (0..FLOWS).map(|_| flow(from, to)).collect::<Result<Vec<_>>>())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let thread = thread::spawn(move || stream(&sockets, &stopped, &counted));
        Ok(Self { stop, sent, thread })
    }

    /// How many packets were sent so far.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops sending, waits a moment for the last answers, and reports.
    pub fn finish(self) -> Result<Report> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the probe panicked"))
    }
}

impl Report {
    /// How many packets were sent.
    pub fn sent(&self) -> usize {
        self.sent.len()
    }

    /// How many did not come back.
    pub fn lost(&self) -> usize {
        self.sent.iter().filter(|(_, answered)| !answered).count()
    }

    /// How many of those sent at or after a moment did not come back.
    pub fn lost_since(&self, moment: Instant) -> usize {
        self.sent
            .iter()
            .filter(|(at, answered)| *at >= moment && !answered)
            .count()
    }

    /// How many of those sent between two moments did not come back.
    pub fn lost_between(&self, from: Instant, to: Instant) -> usize {
        self.sent
            .iter()
            .filter(|(at, answered)| (from..to).contains(at) && !answered)
            .count()
    }

    /// How many were sent at or after a moment.
    pub fn sent_since(&self, moment: Instant) -> usize {
        self.sent.iter().filter(|(at, _)| *at >= moment).count()
    }

    /// From the first to the last packet that was lost.
    pub fn disturbance(&self) -> Duration {
        let mut lost = self
            .sent
            .iter()
            .filter(|(_, answered)| !answered)
            .map(|(at, _)| *at);
        let Some(first) = lost.next() else {
            return Duration::ZERO;
        };
        lost.next_back().unwrap_or(first) - first + PACE
    }
}

fn flow(from: IpAddr, to: IpAddr) -> Result<UdpSocket> {
    let socket =
        UdpSocket::bind(SocketAddr::new(from, 0)).with_context(|| format!("bind a flow to {from}"))?;
    socket
        .connect((to, PORT))
        .with_context(|| format!("connect a flow to {to}"))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn stream(sockets: &[UdpSocket], stop: &AtomicBool, count: &AtomicUsize) -> Report {
    let mut sent = Vec::new();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let number = sent.len();
        // An unreachable network is an error here and a lost packet for the user.
        let _ = sockets[number % sockets.len()].send(&(number as u64).to_be_bytes());
        sent.push((Instant::now(), false));
        count.store(sent.len(), Ordering::Relaxed);
        collect(sockets, &mut sent);
        next += PACE;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let end = Instant::now() + GRACE;
    while Instant::now() < end && sent.iter().any(|(_, answered)| !answered) {
        collect(sockets, &mut sent);
        thread::sleep(PACE);
    }
    Report { sent }
}

fn collect(sockets: &[UdpSocket], sent: &mut [(Instant, bool)]) {
    let mut buffer = [0; 8];
    for socket in sockets {
        loop {
            match socket.recv(&mut buffer) {
                Ok(_) => {
                    let number = usize::try_from(u64::from_be_bytes(buffer)).unwrap_or(usize::MAX);
                    if let Some((_, answered)) = sent.get_mut(number) {
                        *answered = true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A refused connection is reported once per packet; the next packet may still be an answer.
                Err(_) => {}
            }
        }
    }
}
