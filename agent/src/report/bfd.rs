//! BFD sessions in the words of FRR's `show bfd peers json`.

use fabric::PlaneStatus;
use net::bfd::{
    BfdListenerStatus, BfdSessionStatus, BfdSnapshot, BfdThreadStatus, Counters, Diag, Discard, Hop, State,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The answer of `/api/v1/bfd`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BfdReport {
    /// The sessions in the order of the configuration.
    pub peers: Vec<BfdPeer>,
    /// The thread that runs them; `None` where no switch has BFD.
    pub thread: Option<BfdThread>,
}

/// One session. Names and units are FRR's; what FRR does not have is in [`Self::extra`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BfdPeer {
    /// Over several hops (RFC 5883).
    pub multihop: bool,
    /// The switch.
    pub peer: IpAddr,
    /// Our address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// Always `default`.
    pub vrf: String,
    /// The interface the session is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Our discriminator.
    pub id: u32,
    /// The discriminator of the switch; 0 if it is not known.
    pub remote_id: u32,
    /// Waits for the switch to speak first.
    pub passive_mode: bool,
    /// The lowest TTL that is accepted; only over several hops.
    #[serde(rename = "minimum-ttl", default, skip_serializing_if = "Option::is_none")]
    pub minimum_ttl: Option<u8>,
    /// Our state.
    pub status: BfdStatus,
    /// Seconds since the session came up; only while it is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// Seconds since the session went down; only while it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime: Option<u64>,
    /// Why the session last left Up, as we see it.
    pub diagnostic: String,
    /// The same as the switch sees it.
    pub remote_diagnostic: String,
    /// Configured shortest interval of received packets, ms.
    pub receive_interval: u64,
    /// Configured shortest interval of sent packets, ms.
    pub transmit_interval: u64,
    /// The interval of sent packets now, ms; 0 if none are sent.
    pub transmit_interval_actual: u64,
    /// The silence after which the switch is taken as lost, ms; 0 if it was not heard.
    pub detection_timeout: u64,
    /// Always 0: Echo is not used.
    pub echo_receive_interval: u64,
    /// Always 0: Echo is not used.
    pub echo_transmit_interval: u64,
    /// Packets that may be missed.
    pub detect_multiplier: u8,
    /// The shortest interval of packets that the switch takes, ms.
    pub remote_receive_interval: u64,
    /// The shortest interval at which the switch sends, ms.
    pub remote_transmit_interval: u64,
    /// Always 0: Echo is not used.
    pub remote_echo_receive_interval: u64,
    /// The multiplier of the switch; 0 if it was not heard.
    pub remote_detect_multiplier: u8,
    /// Always 0: needs Echo.
    pub rtt_min: u64,
    /// Always 0: needs Echo.
    pub rtt_avg: u64,
    /// Always 0: needs Echo.
    pub rtt_max: u64,
    /// FRR's `show bfd peers counters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<BfdCounters>,
    /// What FRR does not say.
    #[serde(rename = "twintor", default)]
    pub extra: BfdExtra,
}

/// The state of a session, in FRR's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BfdStatus {
    /// AdminDown.
    Shutdown,
    /// Down.
    Down,
    /// Init: the switch was heard, but does not say that it hears us.
    Init,
    /// Up.
    Up,
}

/// Counters of a session since it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BfdCounters {
    /// Packets that were used.
    pub control_packet_input: u64,
    /// Packets that were sent.
    pub control_packet_output: u64,
    /// Always 0: Echo is not used.
    pub echo_packet_input: u64,
    /// Always 0: Echo is not used.
    pub echo_packet_output: u64,
    /// How often the session came up.
    pub session_up: u64,
    /// How often it left Up, for whatever reason.
    pub session_down: u64,
    /// Always 0: there is no zebra.
    pub zebra_notifications: u64,
    /// Packets that the kernel did not take.
    pub tx_fail_packet: u64,
    /// Packets that were received and not used, by reason.
    pub rx_discard: BTreeMap<String, u64>,
}

/// What FRR does not say of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BfdExtra {
    /// The plane of the switch.
    pub plane: Option<String>,
    /// Whether packets can be received at all.
    pub running: bool,
    /// What is wrong with the sending socket.
    pub send_error: Option<String>,
    /// Milliseconds since the last valid packet.
    pub silent_for: Option<u64>,
    /// What made the session leave Up last.
    pub last_down_cause: Option<String>,
    /// Seconds since then.
    pub last_down_ago: Option<u64>,
    /// Whether that came after a stall of this process.
    pub last_down_local_stall: bool,
}

/// The thread that runs the sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BfdThread {
    /// Runs in `SCHED_FIFO`.
    pub realtime: bool,
    /// Deadlines that were acted on.
    pub deadlines: u64,
    /// Lateness that half of them did not exceed, µs.
    pub lateness_p50_us: u64,
    /// Lateness that 99 % of them did not exceed, µs.
    pub lateness_p99_us: u64,
    /// The greatest lateness, µs.
    pub lateness_max_us: u64,
    /// Stalls of this process longer than a detection time.
    pub local_stalls: u64,
    /// The longest of them, ms.
    pub longest_stall: u64,
    /// Packets that belonged to no session, by reason.
    pub rx_discard: BTreeMap<String, u64>,
    /// The sender of the last packet from a peer that nobody configured.
    pub last_unknown: Option<SocketAddr>,
    /// Packets that the kernel dropped before they were read.
    pub kernel_drops: u64,
    /// The sockets that receive.
    pub listeners: Vec<BfdListener>,
}

/// A socket that receives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdListener {
    /// Where.
    pub address: SocketAddr,
    /// What is wrong with it.
    pub error: Option<String>,
    /// Datagrams read.
    pub received: u64,
}

impl BfdReport {
    /// From the snapshot of the BFD thread. The planes tell which switch belongs to which.
    #[must_use]
    pub fn new(snapshot: &BfdSnapshot, planes: &[PlaneStatus]) -> Self {
        let peers = snapshot
            .sessions
            .iter()
            .map(|session| BfdPeer::new(session, planes));
        Self {
            peers: peers.collect(),
            thread: Some(BfdThread::new(&snapshot.thread)),
        }
    }

    /// What an operator should look at, one line each.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let down = self.peers.iter().filter(|peer| peer.status != BfdStatus::Up);
        let down = down.map(|peer| format!("BFD with {} is {}", peer.peer, peer.status.word()));
        let threads = self.thread.iter();
        let deaf = threads
            .flat_map(|thread| &thread.listeners)
            .filter_map(|listener| {
                let error = listener.error.as_ref()?;
                Some(format!("BFD on {}: {error}", listener.address))
            });
        down.chain(deaf).collect()
    }
}

impl BfdStatus {
    /// FRR's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }
}

impl BfdPeer {
    fn new(session: &BfdSessionStatus, planes: &[PlaneStatus]) -> Self {
        let status = match session.state {
            State::AdminDown => BfdStatus::Shutdown,
            State::Down => BfdStatus::Down,
            State::Init => BfdStatus::Init,
            State::Up => BfdStatus::Up,
        };
        let state_for = session.state_for.as_secs();
        let remote = session.remote;
        Self {
            multihop: session.hop != Hop::Single,
            peer: session.peer,
            local: session.local,
            vrf: "default".to_owned(),
            interface: session.device.map(|device| device.to_string()),
            id: session.local_discriminator.get(),
            remote_id: remote.discriminator.map_or(0, Into::into),
            passive_mode: session.passive,
            minimum_ttl: match session.hop {
                Hop::Single => None,
                Hop::Multi { min_ttl } => Some(min_ttl),
            },
            status,
            uptime: (status == BfdStatus::Up).then_some(state_for),
            downtime: (status == BfdStatus::Down).then_some(state_for),
            diagnostic: diagnostic(session.diag).to_owned(),
            remote_diagnostic: diagnostic(remote.diag).to_owned(),
            receive_interval: millis(session.required_min_rx),
            transmit_interval: millis(session.desired_min_tx),
            transmit_interval_actual: session.transmit_interval.map_or(0, millis),
            detection_timeout: session.detection_time.map_or(0, millis),
            echo_receive_interval: 0,
            echo_transmit_interval: 0,
            detect_multiplier: session.detect_mult.get(),
            remote_receive_interval: millis(remote.required_min_rx),
            remote_transmit_interval: millis(remote.desired_min_tx),
            remote_echo_receive_interval: 0,
            remote_detect_multiplier: remote.detect_mult.map_or(0, Into::into),
            rtt_min: 0,
            rtt_avg: 0,
            rtt_max: 0,
            counters: Some(BfdCounters::new(&session.counters, session.send_failures)),
            extra: BfdExtra {
                plane: plane_of(session.peer, planes),
                running: session.running,
                send_error: session.send_error.map(|error| error.to_string()),
                silent_for: session.silent_for.map(millis),
                last_down_cause: session.last_down.map(|down| down.cause.label().to_owned()),
                last_down_ago: session.last_down.map(|down| down.ago.as_secs()),
                last_down_local_stall: session.last_down.is_some_and(|down| down.local_stall),
            },
        }
    }
}

impl BfdCounters {
    fn new(counters: &Counters, send_failures: u64) -> Self {
        Self {
            control_packet_input: counters.received,
            control_packet_output: counters.transmitted,
            echo_packet_input: 0,
            echo_packet_output: 0,
            session_up: counters.ups,
            session_down: counters.failures.saturating_add(counters.admin_downs),
            zebra_notifications: 0,
            tx_fail_packet: send_failures,
            rx_discard: discards(|reason| counters.discarded(reason)),
        }
    }
}

impl BfdThread {
    fn new(thread: &BfdThreadStatus) -> Self {
        Self {
            realtime: thread.realtime,
            deadlines: thread.lateness.count(),
            lateness_p50_us: micros(thread.lateness.percentile(50.0)),
            lateness_p99_us: micros(thread.lateness.percentile(99.0)),
            lateness_max_us: micros(thread.lateness.max()),
            local_stalls: thread.local_stalls,
            longest_stall: millis(thread.longest_stall),
            rx_discard: discards(|reason| thread.unattributed.of(reason)),
            last_unknown: thread.last_unknown.map(|(address, _)| address),
            kernel_drops: thread.kernel_drops,
            listeners: thread.listeners.iter().map(BfdListener::new).collect(),
        }
    }
}

impl BfdListener {
    fn new(listener: &BfdListenerStatus) -> Self {
        Self {
            address: listener.address,
            error: listener.error.map(|error| error.to_string()),
            received: listener.received,
        }
    }
}

/// The plane that a switch belongs to.
pub(super) fn plane_of(peer: IpAddr, planes: &[PlaneStatus]) -> Option<String> {
    let has_it = |plane: &&PlaneStatus| plane.sessions.iter().any(|session| session.neighbor == peer);
    planes.iter().find(has_it).map(|plane| plane.name.clone())
}

/// FRR's text for a diagnostic.
fn diagnostic(diag: Diag) -> &'static str {
    match diag {
        Diag::None => "ok",
        Diag::ControlDetectionTimeExpired => "control detection time expired",
        Diag::EchoFunctionFailed => "echo function failed",
        Diag::NeighborSignaledSessionDown => "neighbor signaled session down",
        Diag::ForwardingPlaneReset => "forwarding plane reset",
        Diag::PathDown => "path down",
        Diag::ConcatenatedPathDown => "concatenated path down",
        Diag::AdministrativelyDown => "administratively down",
        Diag::ReverseConcatenatedPathDown => "reverse concatenated path down",
        Diag::MisConnectivityDefect | Diag::Unassigned(_) => "unknown",
    }
}

fn discards(of: impl Fn(Discard) -> u64) -> BTreeMap<String, u64> {
    let counted = Discard::ALL
        .iter()
        .map(|reason| (reason.label().to_owned(), of(*reason)));
    counted.filter(|(_, count)| *count > 0).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "bfd_tests.rs"]
mod tests;
