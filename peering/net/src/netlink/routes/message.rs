//! Route messages: what is asked of the kernel, and what it tells.

use std::net::IpAddr;
use std::num::NonZeroU8;

use ipnet::IpNet;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NlasIterator, Parseable, parse_u32,
};

use super::{PROTOCOL, RouteHop};

/// Octets of `struct rtmsg`.
const HEADER: usize = 12;

const RTA_DST: u16 = 1;
const RTA_PRIORITY: u16 = 6;
const RTA_TABLE: u16 = 15;

/// What the kernel tells routes apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) destination: IpNet,
    pub(super) table: u32,
    pub(super) metric: u32,
}

/// A route in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) key: Key,
    pub(super) protocol: u8,
    /// Only read of our own routes; empty if they cannot be made sense of.
    pub(super) hops: Vec<RouteHop>,
}

/// Installs or changes a route, as `flags` (`NLM_F_CREATE`, `NLM_F_EXCL`, `NLM_F_REPLACE`) say.
///
/// A single next hop is sent as a list of one too: IPv6 replaces like by like only.
pub(super) fn install(key: &Key, hops: &[RouteHop], flags: u16) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut route = ours(key);
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route.attributes.push(multipath(key, hops));
    request(
        RouteNetlinkMessage::NewRoute(route),
        NLM_F_REQUEST | NLM_F_ACK | flags,
    )
}

/// Removes a route of ours, and nothing else. Of an IPv6 route the hops are named one by one, because others may
/// have appended theirs.
pub(super) fn remove(key: &Key, hops: &[RouteHop]) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut route = ours(key);
    route.header.scope = RouteScope::NoWhere;
    route.header.kind = RouteType::Unicast;
    if matches!(key.destination, IpNet::V6(_)) && !hops.is_empty() {
        route.attributes.push(multipath(key, hops));
    }
    request(RouteNetlinkMessage::DelRoute(route), NLM_F_REQUEST | NLM_F_ACK)
}

/// Lists routes. A kernel older than Linux 4.20 ignores the filters.
pub(super) fn list(
    v6: bool,
    table: Option<u32>,
    protocol: Option<u8>,
) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut route = RouteMessage::default();
    route.header.address_family = family(v6);
    route.header.protocol = protocol.map_or(RouteProtocol::Unspec, RouteProtocol::from);
    route.attributes.extend(table.map(RouteAttribute::Table));
    request(RouteNetlinkMessage::GetRoute(route), NLM_F_REQUEST | NLM_F_DUMP)
}

/// Reads the payload of a route message; `None` for what is no plain IP route, or cut off.
pub(super) fn seen(payload: &[u8]) -> Option<Seen> {
    let header = RouteHeader::parse(payload).ok()?;
    let v6 = header.address_family == AddressFamily::Inet6;
    if !v6 && header.address_family != AddressFamily::Inet {
        return None;
    }
    // Routes by type of service or by source are other routes, and cached ones are none.
    let is_cached = header.flags.contains(RouteFlags::Cloned);
    if header.tos != 0 || header.source_prefix_length != 0 || is_cached {
        return None;
    }

    let mut address: Option<IpAddr> = None;
    let (mut table, mut metric) = (u32::from(header.table), 0);
    for attribute in NlasIterator::new(payload.get(HEADER..)?) {
        let attribute = attribute.ok()?;
        match attribute.kind() {
            RTA_DST if v6 => address = Some(<[u8; 16]>::try_from(attribute.value()).ok()?.into()),
            RTA_DST => address = Some(<[u8; 4]>::try_from(attribute.value()).ok()?.into()),
            RTA_PRIORITY => metric = parse_u32(attribute.value()).ok()?,
            RTA_TABLE => table = parse_u32(attribute.value()).ok()?,
            _ => {}
        }
    }
    let address = address.unwrap_or(match v6 {
        false => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        true => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    });
    let protocol = u8::from(header.protocol);
    Some(Seen {
        key: Key {
            destination: IpNet::new(address, header.destination_prefix_length)
                .ok()?
                .trunc(),
            table,
            metric,
        },
        protocol,
        hops: match protocol {
            PROTOCOL => hops(payload),
            _ => Vec::new(),
        },
    })
}

/// Whether what the kernel has is what is wanted. It chooses an interface where none was asked for, tells no
/// weight of a single hop, and may list hops in another order.
pub(super) fn is_same(found: &[RouteHop], wanted: &[RouteHop]) -> bool {
    found.len() == wanted.len() && contains(found, wanted)
}

/// Whether the kernel has what is wanted, and perhaps more.
pub(super) fn contains(found: &[RouteHop], wanted: &[RouteHop]) -> bool {
    let single = found.len() == 1;
    let matches = |found: &RouteHop, wanted: &RouteHop| {
        found.gateway == wanted.gateway
            && (wanted.if_index == 0 || found.if_index == wanted.if_index)
            && (single || found.weight == wanted.weight)
    };
    wanted
        .iter()
        .all(|wanted| found.iter().any(|found| matches(found, wanted)))
}

fn ours(key: &Key) -> RouteMessage {
    let mut route = RouteMessage::default();
    let destination = key.destination;
    route.header.address_family = family(matches!(destination, IpNet::V6(_)));
    route.header.destination_prefix_length = destination.prefix_len();
    route.header.protocol = RouteProtocol::from(PROTOCOL);
    route.attributes = vec![
        RouteAttribute::Destination(destination.network().into()),
        RouteAttribute::Table(key.table),
        RouteAttribute::Priority(key.metric),
    ];
    route
}

fn multipath(key: &Key, hops: &[RouteHop]) -> RouteAttribute {
    let v4 = matches!(key.destination, IpNet::V4(_));
    let next_hop = |hop: &RouteHop| {
        let mut next_hop = RouteNextHop::default();
        next_hop.interface_index = hop.if_index;
        next_hop.hops = hop.weight.get() - 1;
        if hop.on_link {
            next_hop.flags = RouteNextHopFlags::Onlink;
        }
        next_hop.attributes.push(match hop.gateway {
            IpAddr::V6(gateway) if v4 => RouteAttribute::Via(RouteVia::Inet6(gateway)),
            gateway @ (IpAddr::V4(_) | IpAddr::V6(_)) => RouteAttribute::Gateway(gateway.into()),
        });
        next_hop
    };
    RouteAttribute::MultiPath(hops.iter().map(next_hop).collect())
}

fn request(message: RouteNetlinkMessage, flags: u16) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = flags;
    request
}

fn family(v6: bool) -> AddressFamily {
    match v6 {
        false => AddressFamily::Inet,
        true => AddressFamily::Inet6,
    }
}

fn hops(payload: &[u8]) -> Vec<RouteHop> {
    let Ok(route) = RouteMessage::parse(payload) else {
        return Vec::new();
    };
    let multipath = route.attributes.iter().find_map(|attribute| {
        let RouteAttribute::MultiPath(hops) = attribute else {
            return None;
        };
        Some(hops)
    });
    let Some(multipath) = multipath else {
        return hop(&route.attributes, None, NonZeroU8::MIN).into_iter().collect();
    };
    let each = |next: &RouteNextHop| {
        let weight = NonZeroU8::MIN.saturating_add(next.hops);
        let mut found = hop(&next.attributes, Some(next.interface_index), weight)?;
        found.on_link = next.flags.contains(RouteNextHopFlags::Onlink);
        Some(found)
    };
    multipath.iter().filter_map(each).collect()
}

fn hop(attributes: &[RouteAttribute], if_index: Option<u32>, weight: NonZeroU8) -> Option<RouteHop> {
    let (mut gateway, mut interface): (Option<IpAddr>, u32) = (None, 0);
    for attribute in attributes {
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "thirty attributes, five of interest"
        )]
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(v4)) | RouteAttribute::Via(RouteVia::Inet(v4)) => {
                gateway = Some((*v4).into());
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(v6)) | RouteAttribute::Via(RouteVia::Inet6(v6)) => {
                gateway = Some((*v6).into());
            }
            RouteAttribute::Oif(index) => interface = *index,
            _ => {}
        }
    }
    Some(RouteHop {
        gateway: gateway?,
        if_index: if_index.unwrap_or(interface),
        weight,
        on_link: false,
    })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
