//! What the thread shows of itself.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use bfd::{Cause, Counters, Diag, Discard, Hop, Remote, State};

use super::error::BfdSocketError;
use super::lateness::Lateness;
use super::spec::InterfaceName;

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub struct BfdSnapshot {
    /// The sessions, those that are just leaving included.
    pub sessions: Vec<BfdSessionStatus>,
    /// The thread itself.
    pub thread: BfdThreadStatus,
}

/// One session.
#[derive(Clone, Debug)]
pub struct BfdSessionStatus {
    /// The caller's key.
    pub key: u64,
    /// The other end.
    pub peer: IpAddr,
    /// The address that packets are sent from; `None` until the kernel has given one.
    pub local: Option<IpAddr>,
    /// The port that packets are sent from.
    pub source_port: Option<u16>,
    /// The interface the session is bound to.
    pub device: Option<InterfaceName>,
    /// One hop or several.
    pub hop: Hop,
    /// Waits for the other end to speak first.
    pub passive: bool,
    /// False while held in AdminDown.
    pub enabled: bool,
    /// Taken from the list, and about to go.
    pub leaving: bool,
    /// Whether packets can be received at all: the port is open, and no other session stands in the way.
    pub running: bool,
    /// What the other end calls Your Discriminator.
    pub local_discriminator: NonZeroU32,
    /// Our state.
    pub state: State,
    /// Time in this state: FRR's uptime or downtime.
    pub state_for: Duration,
    /// Why the session last left Up.
    pub diag: Diag,
    /// What is known of the other end: discriminator, state, diagnostic, intervals, multiplier.
    pub remote: Remote,
    /// The other end said AdminDown.
    pub remote_disabled: bool,
    /// Configured transmit interval.
    pub desired_min_tx: Duration,
    /// Configured receive interval.
    pub required_min_rx: Duration,
    /// Configured multiplier.
    pub detect_mult: NonZeroU8,
    /// The interval of our packets now, before jitter; `None` while there are none.
    pub transmit_interval: Option<Duration>,
    /// The Detection Time now; `None` if the other end was not heard.
    pub detection_time: Option<Duration>,
    /// The other end may not know our intervals yet.
    pub poll_pending: bool,
    /// Since the last valid packet; `None` if there was none.
    pub silent_for: Option<Duration>,
    /// Packets in and out, ups and downs, discards by reason.
    pub counters: Counters,
    /// Packets that the kernel did not take (FRR's `tx-fail-packet`).
    pub send_failures: u64,
    /// How often the other host answered that nobody listens there, or did not resolve.
    pub refusals: u64,
    /// What is wrong with the sending socket at present.
    pub send_error: Option<BfdSocketError>,
    /// The last failure.
    pub last_down: Option<LastDown>,
}

/// How a session last left Up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastDown {
    /// What made it.
    pub cause: Cause,
    /// Our diagnostic then.
    pub diag: Diag,
    /// After a stall of this process.
    pub local_stall: bool,
    /// How long ago.
    pub ago: Duration,
}

/// The thread itself.
#[derive(Clone, Debug, Default)]
pub struct BfdThreadStatus {
    /// Runs in `SCHED_FIFO`.
    pub realtime: bool,
    /// How late it woke up, since it started.
    pub lateness: Lateness,
    /// Stalls longer than a Detection Time.
    pub local_stalls: u64,
    /// The longest of them.
    pub longest_stall: Duration,
    /// Packets that belonged to no session, by reason; those of a session are in its own counters.
    pub unattributed: Discards,
    /// The sender of the last packet from a peer that nobody configured, with the interface it came in on.
    pub last_unknown: Option<(SocketAddr, Option<NonZeroU32>)>,
    /// Packets that the kernel dropped before they were read: the receive buffer was full, or junk was filtered.
    pub kernel_drops: u64,
    /// Events that were dropped because nobody fetched them; the last state of each session never is.
    pub events_lost: u64,
    /// The sockets that receive.
    pub listeners: Vec<BfdListenerStatus>,
}

/// A socket that receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdListenerStatus {
    /// Where.
    pub address: SocketAddr,
    /// What is wrong with it; `None` if it is open.
    pub error: Option<BfdSocketError>,
    /// Datagrams read.
    pub received: u64,
    /// Junk is being dropped in the kernel at present.
    pub filtering: bool,
}

/// Dropped packets by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discards([u64; Discard::ALL.len()]);

impl Discards {
    /// Packets dropped for this reason.
    #[must_use]
    pub fn of(&self, reason: Discard) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }

    /// All packets.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn count(&mut self, reason: Discard) {
        if let Some(slot) = self.0.get_mut(reason as usize) {
            *slot = slot.wrapping_add(1);
        }
    }
}
