//! What a rack tells about itself. Serialised as it is for the status API.

use crate::plan::{SettingChange, Verdict};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// Whether a plane may receive announcements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// It may.
    Open,
    /// Not yet: the desired set is not complete.
    Warming,
    /// Not: it is told nothing until the cause is gone.
    Closed,
}

/// The state of all planes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PairState {
    /// Every plane is usable.
    Both,
    /// At least one is usable, at least one is not.
    Degraded,
    /// None is usable.
    Isolated,
}

/// The rack as this node sees it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RackStatus {
    /// Our AS number.
    pub local_as: u32,
    /// Our BGP identifier.
    pub router_id: Ipv4Addr,
    /// The pair.
    pub pair: PairState,
    /// Whether the first complete desired set has arrived.
    pub complete: bool,
    /// The planes in order.
    pub planes: Vec<PlaneStatus>,
    /// The return path; `None` where it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_path: Option<ReturnPathStatus>,
}

/// The node's own routes into the fabric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnPathStatus {
    /// The routing table.
    pub table: u32,
    /// The metric.
    pub metric: u32,
    /// The number that marks the routes as ours (`ip route`: `proto`).
    pub protocol: u8,
    /// Why no route can be kept at all.
    pub trouble: Option<String>,
    /// The routes.
    pub routes: Vec<ReturnRouteStatus>,
    /// How often next hops were changed.
    pub moves: u64,
    /// How often a route had to be installed again, because others or the kernel had taken it away.
    pub restored: u64,
    /// Microseconds from the cause of the last change (e.g. BFD Down) until the kernel had acknowledged it.
    pub last_move_micros: Option<u64>,
    /// The longest of these.
    pub slowest_move_micros: Option<u64>,
    /// What is to be set so that the kernel spreads flows better.
    pub advice: Vec<String>,
}

/// One of these routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnRouteStatus {
    /// Where it leads.
    pub prefix: String,
    /// The planes that it is to use.
    pub planes: Vec<String>,
    /// The next hops that the kernel has.
    pub gateways: Vec<IpAddr>,
    /// Whether the kernel has what is wanted.
    pub installed: bool,
    /// Why not.
    pub error: Option<String>,
}

/// One plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaneStatus {
    /// `a`, `b`, …
    pub name: String,
    /// Whether it may receive announcements.
    pub gate: Gate,
    /// Whether a session is up.
    pub usable: bool,
    /// Its sessions.
    pub sessions: Vec<SessionStatus>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The switch.
    pub neighbor: IpAddr,
    /// Its AS number.
    pub remote_as: u32,
    /// Its BGP identifier, while the session is up.
    pub remote_id: Option<Ipv4Addr>,
    /// The name of the state in RFC 4271.
    pub state: String,
    /// Seconds since the session came up.
    pub uptime_seconds: Option<u64>,
    /// Negotiated hold time in seconds.
    pub hold_time: Option<u16>,
    /// Our address on the session.
    pub local_address: Option<IpAddr>,
    /// The interface towards the switch.
    pub interface: Option<String>,
    /// Why the session cannot even be tried.
    pub blocked: Option<String>,
    /// What of a reload still waits, and why: the session has its former settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingStatus>,
    /// Why the last session or attempt ended.
    pub last_error: Option<String>,
    /// How often the session came up.
    pub established_count: u64,
    /// Messages sent and received.
    pub messages_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// By family.
    pub families: Vec<FamilyStatus>,
}

/// What of a reload a session still waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStatus {
    /// What will be done with the session: `reset` or `removed`.
    pub verdict: Verdict,
    /// The settings that will change.
    pub changes: Vec<SettingChange>,
    /// What it waits for.
    pub reason: String,
}

/// One family on one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyStatus {
    /// `ipv4-unicast` or `ipv6-unicast`.
    pub family: String,
    /// The next hop announced.
    pub next_hop: Option<IpAddr>,
    /// Prefixes to announce.
    pub desired: usize,
    /// Prefixes announced.
    pub sent: usize,
    /// Prefixes received (validated and counted, never imported).
    pub received: usize,
    /// Whether End-of-RIB was sent.
    pub end_of_rib: bool,
}

/// One prefix on one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteStatus {
    /// The plane.
    pub plane: String,
    /// The switch.
    pub neighbor: IpAddr,
    /// `desired`, `sent` or `withdrawing`.
    pub stage: &'static str,
    /// The next hop announced.
    pub next_hop: Option<IpAddr>,
}
