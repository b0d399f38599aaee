//! The node's own way back into the fabric: which planes its multipath routes use. Pure.
//!
//! The rules, for each address family by itself:
//!
//! 1. A plane is used while its session is established and its gate is open.
//! 2. A plane in use stays while its gate is warming; one that is not waits until the gate opens.
//! 3. Where that leaves no plane, established ones whose gate is warming are used, and where there is none of them
//!    either, but there was a route, every plane that still forwards: drained, closed, or without a session but with
//!    BFD up. A detour over a switch that is about to go is better than none.
//! 4. Where nothing forwards, the last choice stays: a next hop that comes back by itself beats no route, and a route
//!    of others with a worse metric would lead nowhere either.

#[cfg(test)]
mod tests;

use crate::config::PlaneId;
use crate::status::Gate;
use net::netlink::routes::{MAIN_TABLE, Route, RouteHop, RouteKeeperConfig};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU8, NonZeroU32};
use wire::{Family, Prefix};

/// The return path as configured. Plain data, checked by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnPathConfig {
    /// Where the routes lead, e.g. `0.0.0.0/0` and `::/0`; each once.
    pub prefixes: Vec<Prefix>,
    /// The routing table, 254 for the main one.
    pub table: u32,
    /// The metric of the routes.
    pub metric: NonZeroU32,
    /// What differs from the defaults, by plane.
    pub planes: BTreeMap<PlaneId, ReturnHopConfig>,
    /// Leave the routes in place when the agent ends.
    pub leave_on_exit: bool,
}

/// The way over one plane as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnHopConfig {
    /// The gateway of IPv4 routes, of either family; `None`: the switch's IPv4 address.
    pub gateway_v4: Option<IpAddr>,
    /// The gateway of IPv6 routes; `None`: the switch's IPv6 address.
    pub gateway_v6: Option<Ipv6Addr>,
    /// Share of the flows, relative to the other planes.
    pub weight: NonZeroU8,
    /// The gateway is on the link although no address of ours there says so.
    pub on_link: bool,
}

impl ReturnPathConfig {
    /// The metric unless another one is configured: it beats the routes of DHCP clients and router advertisements
    /// (100 and 1024, by default of the usual network managers), and loses against one set by hand without a metric.
    pub const METRIC: NonZeroU32 = NonZeroU32::new(50).expect("not zero");

    /// The default routes of both families, in the main table.
    pub fn default_routes() -> Self {
        let v4 = Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let v6 = Prefix::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        Self {
            prefixes: v4.into_iter().chain(v6).collect(),
            table: MAIN_TABLE,
            metric: Self::METRIC,
            planes: BTreeMap::new(),
            leave_on_exit: false,
        }
    }

    /// What is to be kept, whatever the planes do.
    pub(crate) fn keeper(&self) -> RouteKeeperConfig {
        RouteKeeperConfig {
            destinations: self.prefixes.iter().map(Prefix::net).collect(),
            table: self.table,
            metric: self.metric,
        }
    }

    /// The next hop over a plane; `None` while neither configuration nor link names one. `switch` is the switch's
    /// address of that family, `link` the interface that it is reached by without a gateway.
    pub(crate) fn hop(
        &self,
        plane: PlaneId,
        family: Family,
        switch: Option<IpAddr>,
        link: Option<u32>,
    ) -> Option<RouteHop> {
        let configured = self.planes.get(&plane);
        let gateway = configured.and_then(|hop| match family {
            Family::Ipv4Unicast => hop.gateway_v4,
            Family::Ipv6Unicast => hop.gateway_v6.map(IpAddr::V6),
        });
        // A switch that is routed to is no next hop: the way to it may lead over another plane.
        let by_default = || switch.filter(|_| link.is_some());
        let gateway = gateway.or_else(by_default)?;
        Some(RouteHop {
            gateway,
            if_index: link.unwrap_or_default(),
            weight: configured.map_or(NonZeroU8::MIN, |hop| hop.weight),
            on_link: configured.is_some_and(|hop| hop.on_link),
        })
    }
}

/// For the plan of a reload: everything that can differ.
impl fmt::Display for ReturnPathConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            prefixes,
            table,
            metric,
            planes,
            leave_on_exit,
        } = self;
        let prefixes: Vec<String> = prefixes.iter().map(Prefix::to_string).collect();
        write!(f, "{}, table {table}, metric {metric}", prefixes.join(" "))?;
        for (plane, hop) in planes {
            write!(f, ", plane {plane} weight {}", hop.weight)?;
            for gateway in hop.gateway_v4.into_iter().chain(hop.gateway_v6.map(IpAddr::V6)) {
                write!(f, " via {gateway}")?;
            }
            f.write_str(if hop.on_link { " onlink" } else { "" })?;
        }
        f.write_str(if *leave_on_exit { ", left on exit" } else { "" })
    }
}

impl Default for ReturnHopConfig {
    fn default() -> Self {
        Self {
            gateway_v4: None,
            gateway_v6: None,
            weight: NonZeroU8::MIN,
            on_link: false,
        }
    }
}

/// What is known of a plane that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    /// BFD has failed, or neither BFD nor BGP is up.
    Down,
    /// BFD is up, BGP is not.
    Forwarding,
    /// BGP is up, and BFD has not failed.
    Established,
}

/// The way over one plane, for one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) plane: PlaneId,
    pub(crate) health: Health,
    pub(crate) gate: Gate,
    /// `None`: not known.
    pub(crate) hop: Option<RouteHop>,
}

/// Which planes are in use.
#[derive(Debug)]
pub(crate) struct ReturnPath {
    config: ReturnPathConfig,
    v4: Choice,
    v6: Choice,
}

/// Of one family: the planes in use and their hops, in the order of the planes. Empty until there was one.
type Choice = Vec<(PlaneId, RouteHop)>;

impl ReturnPath {
    pub(crate) fn new(config: ReturnPathConfig) -> Self {
        Self {
            config,
            v4: Choice::new(),
            v6: Choice::new(),
        }
    }

    pub(crate) fn config(&self) -> &ReturnPathConfig {
        &self.config
    }

    /// Chooses again; returns the routes of the family if that changes anything. `ways` are in the order of planes.
    pub(crate) fn update(&mut self, family: Family, ways: &[Way]) -> Option<Vec<Route>> {
        let current = match family {
            Family::Ipv4Unicast => &mut self.v4,
            Family::Ipv6Unicast => &mut self.v6,
        };
        let next = choose(current, ways)?;
        if next == *current {
            return None;
        }
        current.clone_from(&next);

        let hops: Vec<RouteHop> = next.into_iter().map(|(_, hop)| hop).collect();
        let of_family = self
            .config
            .prefixes
            .iter()
            .filter(|prefix| prefix.family() == family);
        let route = |prefix: &Prefix| Route {
            destination: prefix.net(),
            hops: hops.clone(),
        };
        Some(of_family.map(route).collect())
    }

    /// The planes in use for a family.
    pub(crate) fn planes(&self, family: Family) -> impl Iterator<Item = PlaneId> {
        let current = match family {
            Family::Ipv4Unicast => &self.v4,
            Family::Ipv6Unicast => &self.v6,
        };
        current.iter().map(|(plane, _)| *plane)
    }
}

/// How good a way is; only the best ones are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Rules 1 and 2.
    Good,
    /// Rule 3, first half.
    Warming,
    /// Rule 3, second half.
    LastResort,
}

/// `None`: as before.
fn choose(current: &Choice, ways: &[Way]) -> Option<Choice> {
    let in_use = |way: &Way| current.iter().any(|(plane, _)| *plane == way.plane);
    let rank = |way: &Way| match (way.health, way.gate) {
        (Health::Established, Gate::Open) => Some(Rank::Good),
        (Health::Established, Gate::Warming) if in_use(way) => Some(Rank::Good),
        (Health::Established, Gate::Warming) => Some(Rank::Warming),
        (Health::Established | Health::Forwarding, _) => Some(Rank::LastResort),
        (Health::Down, _) => None,
    };
    let ranked = |way: &Way| Some((rank(way)?, (way.plane, way.hop?)));

    let best = ways.iter().filter_map(ranked).map(|(rank, _)| rank).min()?;
    if best == Rank::LastResort && current.is_empty() {
        return None;
    }
    let chosen = ways
        .iter()
        .filter_map(ranked)
        .filter(|(rank, _)| *rank == best)
        .map(|(_, chosen)| chosen);
    Some(chosen.collect())
}
