use crate::{Community, LargeCommunity};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// ORIGIN (RFC 4271 section 5.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Origin {
    /// 0
    #[default]
    Igp,
    /// 1
    Egp,
    /// 2
    Incomplete,
}

/// One segment of an AS_PATH (RFC 4271 section 4.3, RFC 5065).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AsSegment {
    /// Type 2: ordered.
    Sequence(Vec<u32>),
    /// Type 1: unordered.
    Set(Vec<u32>),
    /// Type 3 (RFC 5065).
    ConfedSequence(Vec<u32>),
    /// Type 4 (RFC 5065).
    ConfedSet(Vec<u32>),
}

/// AS_PATH.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsPath(pub Vec<AsSegment>);

impl AsPath {
    /// A path of one AS_SEQUENCE; empty where `asns` is empty.
    pub fn sequence(asns: Vec<u32>) -> Self {
        if asns.is_empty() {
            Self::default()
        } else {
            Self(vec![AsSegment::Sequence(asns)])
        }
    }

    /// All AS numbers of all segments, in order.
    pub fn asns(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|segment| match segment {
            AsSegment::Sequence(asns)
            | AsSegment::Set(asns)
            | AsSegment::ConfedSequence(asns)
            | AsSegment::ConfedSet(asns) => asns.iter().copied(),
        })
    }

    /// The leftmost AS number of a leading AS_SEQUENCE: to an eBGP peer, the peer's own (RFC 4271 section 6.3).
    pub fn first(&self) -> Option<u32> {
        match self.0.first() {
            Some(AsSegment::Sequence(asns)) => asns.first().copied(),
            _ => None,
        }
    }
}

/// A next hop as it stands in NEXT_HOP or MP_REACH_NLRI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, optionally with the link-local one (RFC 2545 section 3).
    V6 {
        /// The global address.
        global: Ipv6Addr,
        /// The link-local address.
        link_local: Option<Ipv6Addr>,
    },
}

impl NextHop {
    /// The address (the global one of an IPv6 next hop).
    pub fn addr(&self) -> IpAddr {
        match self {
            Self::V4(addr) => IpAddr::V4(*addr),
            Self::V6 { global, .. } => IpAddr::V6(*global),
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(addr) => Self::V4(addr),
            IpAddr::V6(addr) => Self::V6 {
                global: addr,
                link_local: None,
            },
        }
    }
}

/// AGGREGATOR (RFC 4271 section 5.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aggregator {
    /// The AS that aggregated.
    pub asn: u32,
    /// The speaker that aggregated.
    pub addr: Ipv4Addr,
}

/// An attribute carried as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RawAttribute {
    /// Flag octet (RFC 4271 section 4.3); the extended-length bit is recomputed when encoding.
    pub flags: u8,
    /// Type code.
    pub code: u8,
    /// Value.
    pub value: Vec<u8>,
}

/// The path attributes of an announcement. `None` and empty mean absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathAttributes {
    /// ORIGIN; absent only in an UPDATE that announces nothing.
    pub origin: Option<Origin>,
    /// AS_PATH after the RFC 6793 merge with AS4_PATH.
    pub as_path: Option<AsPath>,
    /// NEXT_HOP, or the next hop of MP_REACH_NLRI.
    pub next_hop: Option<NextHop>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF (iBGP only).
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR after the RFC 6793 merge with AS4_AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES.
    pub communities: Vec<Community>,
    /// EXTENDED COMMUNITIES (RFC 4360), eight octets each.
    pub extended_communities: Vec<[u8; 8]>,
    /// LARGE_COMMUNITIES.
    pub large_communities: Vec<LargeCommunity>,
    /// ORIGINATOR_ID (RFC 4456, iBGP only).
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST (RFC 4456, iBGP only).
    pub cluster_list: Vec<Ipv4Addr>,
    /// Everything else, in the order of the wire.
    pub unknown: Vec<RawAttribute>,
}
