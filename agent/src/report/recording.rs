//! The flight recorder of a BFD session, decoded.

use super::bfd::plane_of;
use fabric::PlaneStatus;
use jiff::Timestamp;
use net::bfd::{Packet, Recorded, RecordedPacket, RecordedWhat, Recording, StateChange};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The answer of `/api/v1/bfd/{peer}/recording`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingReport {
    /// The switch.
    pub peer: IpAddr,
    /// Its plane.
    pub plane: Option<String>,
    /// Our address.
    pub local: Option<IpAddr>,
    /// The port that we send from.
    pub source_port: Option<u16>,
    /// The port that both ends listen on.
    pub port: u16,
    /// What led to the last failure, then what came after it as far as it is still known; oldest first.
    pub entries: Vec<Entry>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When; for a received packet, when the kernel received it.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: EventReport,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventReport {
    /// A packet arrived.
    Received {
        /// Who sent it.
        from: SocketAddr,
        /// TTL or hop limit.
        ttl: u8,
        /// Why it was not used.
        dropped: Option<String>,
        /// How many more were dropped for the same reason in a row.
        repeated: u32,
        /// What it says; `None` if it cannot be read.
        packet: Option<PacketReport>,
    },
    /// A packet left.
    Sent {
        /// Whether the kernel took it.
        taken: bool,
        /// What it says.
        packet: Option<PacketReport>,
    },
    /// The session changed its state.
    State {
        /// The state left: `admin_down`, `down`, `init` or `up`.
        from: String,
        /// The state entered.
        to: String,
        /// What made it change.
        cause: String,
        /// Whether it was a failure, and not somebody's wish.
        failure: bool,
        /// Our diagnostic after the change.
        diag: String,
        /// The diagnostic that the switch sent last.
        remote_diag: String,
    },
    /// The switch turned BFD off.
    RemoteDisabled,
    /// The switch turned BFD on again.
    RemoteEnabled,
    /// The switch knows our new intervals.
    PollCompleted,
    /// This process did not run.
    LocalStall {
        /// For so long, in microseconds.
        stalled_us: u64,
    },
    /// Silence was forgiven for one detection time.
    Grace,
}

/// The mandatory section of a Control packet. What authenticates it is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketReport {
    /// The state of the sender.
    pub state: String,
    /// Why the sender's session last left Up.
    pub diag: String,
    /// The sender asks for an answer.
    pub poll: bool,
    /// This is such an answer.
    pub is_final: bool,
    /// The multiplier of the sender.
    pub detect_multiplier: u8,
    /// The discriminator of the sender.
    pub my_discriminator: u32,
    /// The discriminator of the receiver; 0 if the sender does not know it.
    pub your_discriminator: u32,
    /// The interval at which the sender would like to send, µs.
    pub desired_min_tx_us: u32,
    /// The shortest interval that the sender can take, µs.
    pub required_min_rx_us: u32,
}

impl RecordingReport {
    /// From the recorder. The planes tell which one the switch belongs to.
    #[must_use]
    pub fn new(recording: &Recording, planes: &[PlaneStatus]) -> Self {
        let entry = |recorded: &Recorded| Entry {
            at: Timestamp::try_from(recording.time_of(recorded.at)).unwrap_or_default(),
            event: EventReport::new(&recorded.what),
        };
        Self {
            peer: recording.peer,
            plane: plane_of(recording.peer, planes),
            local: recording.local,
            source_port: recording.source_port,
            port: recording.port,
            entries: recording.story().iter().map(entry).collect(),
        }
    }
}

impl EventReport {
    fn new(what: &RecordedWhat) -> Self {
        match what {
            RecordedWhat::Received {
                packet,
                from,
                ttl,
                discard,
                repeated,
            } => Self::Received {
                from: *from,
                ttl: *ttl,
                dropped: discard.map(|reason| reason.to_string()),
                repeated: *repeated,
                packet: PacketReport::new(packet),
            },
            RecordedWhat::Sent { packet, taken } => Self::Sent {
                taken: *taken,
                packet: PacketReport::new(packet),
            },
            RecordedWhat::State(change) => Self::state(change),
            RecordedWhat::RemoteDisabled => Self::RemoteDisabled,
            RecordedWhat::RemoteEnabled => Self::RemoteEnabled,
            RecordedWhat::PollCompleted => Self::PollCompleted,
            RecordedWhat::LocalStall { stalled } => Self::LocalStall {
                stalled_us: micros(*stalled),
            },
            RecordedWhat::Grace => Self::Grace,
        }
    }

    fn state(change: &StateChange) -> Self {
        Self::State {
            from: change.from.label().to_owned(),
            to: change.to.label().to_owned(),
            cause: change.cause.label().to_owned(),
            failure: change.is_failure(),
            diag: change.local_diag.label().to_owned(),
            remote_diag: change.remote_diag.label().to_owned(),
        }
    }
}

impl PacketReport {
    fn new(packet: &RecordedPacket) -> Option<Self> {
        let control = Packet::decode(packet.octets()).ok()?.control;
        Some(Self {
            state: control.state.label().to_owned(),
            diag: control.diag.label().to_owned(),
            poll: control.poll,
            is_final: control.is_final,
            detect_multiplier: control.detect_mult.get(),
            my_discriminator: control.my_discriminator.get(),
            your_discriminator: control.your_discriminator.map_or(0, Into::into),
            desired_min_tx_us: control.desired_min_tx,
            required_min_rx_us: control.required_min_rx,
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
