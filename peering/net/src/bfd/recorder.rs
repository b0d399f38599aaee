//! The flight recorder: the last packets and events of a session.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use bfd::{Discard, StateChange};

/// Entries that a recording has at most.
pub const RECORDING_LEN: usize = 128;

/// Octets kept of a packet. A Control packet with the longest authentication has 52.
pub const RECORDED_OCTETS: usize = 64;

/// One entry of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When; for a received packet, when the kernel received it.
    pub at: Instant,
    /// What.
    pub what: RecordedWhat,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedWhat {
    /// A packet was received.
    Received {
        /// The octets.
        packet: RecordedPacket,
        /// Who sent it.
        from: SocketAddr,
        /// TTL or hop limit.
        ttl: u8,
        /// Why it was not used, if it was not.
        discard: Option<Discard>,
        /// How many more came in a row that were not used for the same reason; they are not kept.
        repeated: u32,
    },
    /// A packet was sent.
    Sent {
        /// The octets.
        packet: RecordedPacket,
        /// Whether the kernel took it.
        taken: bool,
    },
    /// The session changed its state.
    State(StateChange),
    /// The other end went AdminDown.
    RemoteDisabled,
    /// The other end ended its AdminDown.
    RemoteEnabled,
    /// The other end knows our new intervals.
    PollCompleted,
    /// This process did not run.
    LocalStall {
        /// For how long.
        stalled: Duration,
    },
    /// Silence was forgiven once, because this process did not run, or because the kernel had to drop packets.
    Grace,
}

/// The first octets of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecordedPacket {
    octets: [u8; RECORDED_OCTETS],
    len: u8,
}

impl RecordedPacket {
    pub(super) fn new(packet: &[u8]) -> Self {
        let mut octets = [0; RECORDED_OCTETS];
        for (slot, octet) in octets.iter_mut().zip(packet) {
            *slot = *octet;
        }
        Self {
            octets,
            len: packet.len().min(RECORDED_OCTETS) as u8,
        }
    }

    /// The octets, at most [`RECORDED_OCTETS`].
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.len.into()).unwrap_or_default()
    }
}

impl std::fmt::Debug for RecordedPacket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for octet in self.octets() {
            write!(f, "{octet:02x}")?;
        }
        Ok(())
    }
}

/// What the flight recorder of a session holds, as of the moment of asking.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The session.
    pub key: u64,
    /// The other end.
    pub peer: IpAddr,
    /// The address that the session sends from, if it has one.
    pub local: Option<IpAddr>,
    /// The port that the session sends from, if it has one.
    pub source_port: Option<u16>,
    /// The port that both ends listen on: 3784 or 4784.
    pub port: u16,
    /// The last failure: what led to it, oldest first. The last entry is the failure itself.
    pub failure: Vec<Recorded>,
    /// The last entries, oldest first.
    pub latest: Vec<Recorded>,
    /// The same moment on both clocks, to turn the instants into times of day.
    pub clocks: (Instant, SystemTime),
}

impl Recording {
    /// Room for everything that a session can have.
    pub(super) fn reserve(key: u64) -> Self {
        Self {
            key,
            peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            local: None,
            source_port: None,
            port: 0,
            failure: Vec::with_capacity(RECORDING_LEN),
            latest: Vec::with_capacity(RECORDING_LEN),
            clocks: (Instant::now(), SystemTime::now()),
        }
    }

    /// The time of day of an entry.
    #[must_use]
    pub fn time_of(&self, at: Instant) -> SystemTime {
        let (instant, time) = self.clocks;
        match instant.checked_duration_since(at) {
            Some(ago) => time.checked_sub(ago).unwrap_or(time),
            None => time
                .checked_add(at.saturating_duration_since(instant))
                .unwrap_or(time),
        }
    }
}

/// A ring of the last entries, and what was in it at the last failure. Allocates only when it is made.
#[derive(Debug)]
pub(super) struct Recorder {
    ring: Ring,
    failure: Ring,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self {
            ring: Ring::new(),
            failure: Ring::new(),
        }
    }

    pub(super) fn record(&mut self, at: Instant, what: RecordedWhat) {
        if self.ring.repeats(&what) {
            return;
        }
        self.ring.push(Recorded { at, what });
    }

    /// Keeps what is in the ring now.
    pub(super) fn freeze(&mut self) {
        self.failure.copy_from(&self.ring);
    }

    /// Appends everything; does not allocate if there is room.
    pub(super) fn write_to(&self, recording: &mut Recording) {
        recording.failure.extend(self.failure.oldest_first());
        recording.latest.extend(self.ring.oldest_first());
    }
}

#[derive(Debug)]
struct Ring {
    entries: Vec<Recorded>,
    /// The oldest entry, once the ring is full.
    oldest: usize,
}

impl Ring {
    fn new() -> Self {
        Self {
            entries: Vec::with_capacity(RECORDING_LEN),
            oldest: 0,
        }
    }

    fn push(&mut self, entry: Recorded) {
        if self.entries.len() < RECORDING_LEN {
            self.entries.push(entry);
            return;
        }
        if let Some(slot) = self.entries.get_mut(self.oldest) {
            *slot = entry;
        }
        self.oldest = (self.oldest + 1) % RECORDING_LEN;
    }

    /// Whether `what` is one more packet dropped for the reason of the last one: it is only counted, so that junk
    /// does not push out what matters.
    fn repeats(&mut self, what: &RecordedWhat) -> bool {
        let RecordedWhat::Received {
            discard: Some(reason),
            ..
        } = what
        else {
            return false;
        };
        let last = (self.oldest + self.entries.len()).checked_sub(1);
        let last = last.map(|last| last % RECORDING_LEN.min(self.entries.len()).max(1));
        let Some(Recorded {
            what:
                RecordedWhat::Received {
                    discard: Some(last),
                    repeated,
                    ..
                },
            ..
        }) = last.and_then(|last| self.entries.get_mut(last))
        else {
            return false;
        };
        if last != reason {
            return false;
        }
        *repeated = repeated.saturating_add(1);
        true
    }

    fn copy_from(&mut self, other: &Self) {
        self.entries.clear();
        self.entries.extend_from_slice(&other.entries);
        self.oldest = other.oldest;
    }

    fn oldest_first(&self) -> impl Iterator<Item = Recorded> + '_ {
        let (newer, older) = self.entries.split_at(self.oldest.min(self.entries.len()));
        older.iter().chain(newer).copied()
    }
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
