//! The socket of one family and one port, on which the packets of many sessions arrive.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::clock::{Clocks, StampClock};
use super::datagram::Datagram;
use super::error::{BfdAttempt, BfdSocketError};
use super::slot::Port;
use super::status::BfdListenerStatus;
use super::sys::{BATCH, Batch, drops};
use super::table::Table;

/// How often a port that somebody else has is tried again.
const RETRY: Duration = Duration::from_secs(3);

/// Batches that are read in a turn before the other sockets, and what is to be sent, get theirs.
const BATCHES_PER_TURN: usize = 8;

/// One socket that receives.
pub(super) struct Receiver {
    port: Port,
    socket: Option<Socket>,
    error: Option<BfdSocketError>,
    retry_at: Option<Instant>,
    stamps: StampClock,
    /// Everything that arrived before has been read.
    drained: Instant,
    /// The last reading of the kernel's counter.
    dropped: u32,
    received: u64,
    kernel_drops: u64,
}

impl Receiver {
    pub(super) fn new(port: Port) -> Self {
        let clocks = Clocks::read();
        Self {
            port,
            socket: None,
            error: None,
            retry_at: None,
            stamps: StampClock::new(clocks),
            drained: clocks.monotonic,
            dropped: 0,
            received: 0,
            kernel_drops: 0,
        }
    }

    pub(super) fn port(&self) -> Port {
        self.port
    }

    pub(super) fn address(&self) -> SocketAddr {
        let number = self.port.number();
        if self.port.is_v6() {
            (Ipv6Addr::UNSPECIFIED, number).into()
        } else {
            (Ipv4Addr::UNSPECIFIED, number).into()
        }
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Everything that arrived before this has been read. Without a socket there is nothing to read.
    pub(super) fn drained(&self, now: Instant) -> Instant {
        if self.socket.is_some() { self.drained } else { now }
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(super) fn kernel_drops(&self) -> u64 {
        self.kernel_drops
    }

    /// `None` if the socket is not wanted.
    pub(super) fn status(&self) -> Option<BfdListenerStatus> {
        (self.socket.is_some() || self.error.is_some()).then(|| BfdListenerStatus {
            address: self.address(),
            error: self.error,
            received: self.received,
            filtering: false,
        })
    }

    pub(super) fn close(&mut self) {
        self.socket = None;
        self.error = None;
        self.retry_at = None;
    }

    /// Opens the socket if it is not open and it is time to try.
    ///
    /// `None`: nothing has changed; otherwise whether it is open now, or why not. The same reason is told once.
    pub(super) fn open(&mut self, buffer: usize, now: Instant) -> Option<Result<(), BfdSocketError>> {
        if self.socket.is_some() || self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        match self.try_open(buffer) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.error = None;
                self.retry_at = None;
                self.dropped = 0;
                self.drained = now;
                Some(Ok(()))
            }
            Err(error) => {
                self.retry_at = Some(now + RETRY);
                let news = self.error.replace(error) != Some(error);
                news.then_some(Err(error))
            }
        }
    }

    /// Hands what waits in the socket to `table`, but not more than a turn's worth. True if there may be more.
    pub(super) fn drain(&mut self, batch: &mut Batch, table: &mut Table) -> bool {
        for _ in 0..BATCHES_PER_TURN {
            let Some(socket) = &self.socket else { return false };
            let before = Instant::now();
            // An error that is not about the call itself belongs to no packet; the next turn reads on.
            let count = batch.receive(socket.as_fd()).unwrap_or(0);
            if count > 0 {
                self.hand_in(batch, count, table);
            }
            if count < BATCH {
                self.drained = self.drained.max(before);
                return false;
            }
        }
        true
    }

    /// Asks the kernel whether it had to drop packets; to be called before a session is judged.
    pub(super) fn look_for_drops(&mut self, table: &mut Table, now: Instant) {
        let Some(socket) = &self.socket else { return };
        if let Ok(dropped) = drops(socket.as_fd()) {
            self.note_drops(dropped, table, now);
        }
    }

    fn hand_in(&mut self, batch: &Batch, count: usize, table: &mut Table) {
        let clocks = Clocks::read();
        self.stamps.advance(clocks);
        self.received = self.received.wrapping_add(count as u64);
        let mut newest = self.drained;
        for index in 0..count {
            let Some(datagram) = Datagram::read(batch.get(index)) else {
                continue;
            };
            if let Some(dropped) = datagram.dropped {
                self.note_drops(dropped, table, clocks.monotonic);
            }
            let arrival = self.stamps.arrival(datagram.stamp, self.drained);
            newest = newest.max(arrival);
            table.receive(self.port, &datagram, arrival, clocks.monotonic);
        }
        // The queue is in the order of arrival, so what is still in it is not older.
        self.drained = newest;
    }

    fn note_drops(&mut self, dropped: u32, table: &mut Table, now: Instant) {
        let more = dropped.wrapping_sub(self.dropped);
        if more == 0 {
            return;
        }
        self.dropped = dropped;
        self.kernel_drops = self.kernel_drops.wrapping_add(more.into());
        table.overflowed(self.port, now);
    }

    /// Without `SO_REUSEADDR`: two daemons on one port would take packets from each other without a word.
    fn try_open(&self, buffer: usize) -> Result<Socket, BfdSocketError> {
        let v6 = self.port.is_v6();
        let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))
            .map_err(BfdSocketError::at(BfdAttempt::Open))?;
        set_options(&socket, v6, buffer)?;
        socket
            .bind(&self.address().into())
            .map_err(BfdSocketError::at(BfdAttempt::Listen))?;
        Ok(socket)
    }
}

fn set_options(socket: &Socket, v6: bool, buffer: usize) -> Result<(), BfdSocketError> {
    let option = |name| move |errno: nix::Error| BfdSocketError::at(BfdAttempt::Option(name))(errno.into());
    if v6 {
        socket
            .set_only_v6(true)
            .map_err(BfdSocketError::at(BfdAttempt::Option("IPV6_V6ONLY")))?;
        setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true).map_err(option("IPV6_RECVHOPLIMIT"))?;
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true).map_err(option("IPV6_RECVPKTINFO"))?;
    } else {
        setsockopt(socket, sockopt::Ipv4RecvTtl, &true).map_err(option("IP_RECVTTL"))?;
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true).map_err(option("IP_PKTINFO"))?;
    }
    setsockopt(socket, sockopt::ReceiveTimestampns, &true).map_err(option("SO_TIMESTAMPNS"))?;
    setsockopt(socket, sockopt::RxqOvfl, &1).map_err(option("SO_RXQ_OVFL"))?;
    // Beyond the limit of the system only with CAP_NET_ADMIN; a smaller buffer is no reason to stay deaf.
    if setsockopt(socket, sockopt::RcvBufForce, &buffer).is_err() {
        socket
            .set_recv_buffer_size(buffer)
            .map_err(BfdSocketError::at(BfdAttempt::Option("SO_RCVBUF")))?;
    }
    Ok(())
}
