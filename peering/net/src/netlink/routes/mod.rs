//! Routes of our own in the kernel, kept as wanted: the node's way back into the fabric.
//!
//! ```text
//!   set(routes) ──mailbox──> [ thread: RouteTable ──RTM_NEWROUTE──> kernel ]
//!   status()    <──mailbox──          ^───── links, addresses, routes ───'
//! ```
//!
//! * A change of next hops is one message: the kernel never has less than one of the two sets.
//! * What carries the protocol number [`PROTOCOL`] is ours, everything else is not: a destination at which
//!   somebody else has a route with the same table and metric is refused and left alone.
//! * One process per network namespace keeps routes. It holds a lock (an abstract Unix socket) that ends with it,
//!   so what the lock's holder finds with the protocol number is left over from an earlier one.
//! * What others or the kernel take away comes back: at once when the kernel says so, else soon after the next
//!   change of a link or an address, because the kernel drops IPv4 routes without a word.
//!
//! A hop that others append to our IPv6 route (`ip -6 route append`) is merged into it by the kernel and goes with
//! the next change.

mod error;
mod events;
mod hash_policy;
mod keeper;
mod lock;
mod message;
mod socket;
mod table;

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use ipnet::IpNet;

pub use error::{Refusal, RouteError};
pub use hash_policy::{HashPolicies, advice};
pub use keeper::{RouteKeeper, spawn};

/// What marks a route as ours (`ip route`: `proto 179`), in every table. The number is not in `rt_protos` of
/// iproute2 and not used by FRR or BIRD.
pub const PROTOCOL: u8 = 179;

/// The main routing table.
pub const MAIN_TABLE: u32 = 254;

/// Which routes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteKeeperConfig {
    /// The destinations that may be kept. Of others nothing is installed.
    pub destinations: Vec<IpNet>,
    /// The routing table, e.g. [`MAIN_TABLE`].
    pub table: u32,
    /// The metric (priority); the lower one wins. Zero would mean "any" to the kernel.
    pub metric: NonZeroU32,
}

/// A route as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to; one of [`RouteKeeperConfig::destinations`].
    pub destination: IpNet,
    /// The next hops. Without any, whatever is there stays: an earlier process may have left a route that works.
    pub hops: Vec<RouteHop>,
}

/// One next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteHop {
    /// The router. An IPv4 route may have an IPv6 one (RFC 8950), not the other way round.
    pub gateway: IpAddr,
    /// The interface; 0 lets the kernel look up the gateway.
    pub if_index: u32,
    /// Share of the flows, relative to the others.
    pub weight: NonZeroU8,
    /// The gateway is on the link, whatever the addresses there say (`onlink`).
    pub on_link: bool,
}

/// How the routes fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteKeeperStatus {
    /// Why no route can be kept at all: no permission, no socket, or another process keeps them.
    pub trouble: Option<String>,
    /// By destination, in the order of the configuration.
    pub routes: Vec<KeptRoute>,
    /// How often next hops were changed as asked.
    pub moves: u64,
    /// How often a route had to be installed again because it was gone or changed.
    pub restored: u64,
    /// From the cause given with the last change until the kernel had acknowledged all of it.
    pub last_move: Option<Duration>,
    /// The longest of these.
    pub slowest_move: Option<Duration>,
    /// How the kernel spreads flows.
    pub hash_policies: HashPolicies,
}

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRoute {
    /// Where to.
    pub destination: IpNet,
    /// Our next hops in the kernel, as far as is known; empty if there is no route of ours.
    pub hops: Vec<RouteHop>,
    /// The kernel has what is wanted.
    pub installed: bool,
    /// Why not.
    pub error: Option<String>,
}
