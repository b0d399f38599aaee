use crate::coupling::BfdProfile;
use crate::next_hop::NextHops;
use crate::return_path::ReturnPathConfig;
use bgp::ExportAttributes;
use net::netlink::Target;
use net::{Md5Key, Ttl};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use wire::{Community, FamilySet, LargeCommunity};

/// A plane of the rack: the switch named first for each address family is plane `a`, the next one `b`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaneId(pub usize);

impl fmt::Display for PlaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u8::try_from(self.0) {
            Ok(index) if index < 26 => write!(f, "{}", char::from(b'a' + index)),
            _ => write!(f, "p{}", self.0),
        }
    }
}

/// What a node knows of its rack. Plain data, checked by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RackConfig {
    /// Our AS number.
    pub local_as: u32,
    /// Our BGP identifier, not 0.0.0.0.
    pub router_id: Ipv4Addr,
    /// Host name to tell the switches (FQDN capability).
    pub host_name: Option<String>,
    /// The switches, in any order; each names its plane.
    pub neighbors: Vec<NeighborConfig>,
    /// Where to listen; empty for active-only.
    pub listen: ListenConfig,
    /// Replacement next hops for an agent outside the host network.
    pub node_ips: NodeIps,
    /// Our own way back into the fabric; `None`: left to others.
    pub return_path: Option<ReturnPathConfig>,
}

/// Where the peers may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenConfig {
    /// Addresses and ports. One that cannot be bound is retried and warned about, never fatal.
    pub addresses: Vec<SocketAddr>,
}

/// `--node-ips`: where the next hop would be our own pod address, the node's address is announced instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeIps {
    /// Our own IPv4 address as the pod knows it.
    pub pod_v4: Option<Ipv4Addr>,
    /// Our own IPv6 address as the pod knows it.
    pub pod_v6: Option<Ipv6Addr>,
    /// The node's IPv4 address.
    pub node_v4: Option<Ipv4Addr>,
    /// The node's IPv6 address.
    pub node_v6: Option<Ipv6Addr>,
}

/// One session to one switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighborConfig {
    /// The plane it belongs to.
    pub plane: PlaneId,
    /// The switch's address.
    pub address: IpAddr,
    /// The switch's TCP port, normally 179.
    pub port: u16,
    /// The switch's AS number.
    pub remote_as: u32,
    /// Proposed hold time in seconds, 0 or 3 to 65535.
    pub hold_time: u16,
    /// Never dial.
    pub passive: bool,
    /// TTL policy.
    pub ttl: Ttl,
    /// Our address on the session: dialled from, and announced as the next hop of its family. The session waits
    /// while this host does not have it. `None`: the one that the kernel selects.
    pub source: Option<IpAddr>,
    /// The interface that TCP and BFD are bound to, 1 to 15 octets; `None`: the one that the route names.
    pub device: Option<String>,
    /// TCP MD5 key.
    pub password: Option<Md5Key>,
    /// The families to negotiate.
    pub families: FamilySet,
    /// Offer RFC 8950.
    pub extended_next_hop: bool,
    /// If not empty: the session is only opened from, and announces only, a source address of this list that the
    /// kernel selects for the switch.
    pub allowed_sources: Vec<IpAddr>,
    /// What is said of every announcement.
    pub steering: Steering,
    /// BFD towards the switch; `None`: off.
    pub bfd: Option<BfdProfile>,
    /// Graceful restart with the switch (RFC 4724); `None`: not offered.
    pub graceful_restart: Option<GracefulRestart>,
    /// Close the connection when sent data is not acknowledged for this long.
    pub user_timeout: Option<Duration>,
}

/// Graceful restart with a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// How long the switch keeps our routes while we are away, in seconds, 1 to 4095.
    pub restart_time: u16,
}

/// What a switch is told of every announcement, so that the fabric prefers, spreads or avoids this plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steering {
    /// COMMUNITIES (RFC 1997); order and repetition mean nothing.
    pub communities: Vec<Community>,
    /// LARGE_COMMUNITIES (RFC 8092); order and repetition mean nothing.
    pub large_communities: Vec<LargeCommunity>,
    /// MULTI_EXIT_DISC (RFC 4271 section 5.1.4): the lower one wins; `None`: not sent.
    pub med: Option<u32>,
    /// How often our own AS number is added once more in front of the path (eBGP only), 0 to
    /// [`Self::MAX_PREPEND`].
    pub prepend: u8,
    /// LOCAL_PREF (iBGP only): the higher one wins; `None`: 100.
    pub local_pref: Option<u32>,
}

impl Steering {
    /// The longest prepend: fabrics drop paths that are much longer.
    pub const MAX_PREPEND: u8 = 16;

    /// What is announced with these next hops. Each community is said once (RFC 8092 section 3).
    pub(crate) fn attributes(&self, next_hops: NextHops) -> ExportAttributes {
        let Self {
            communities,
            large_communities,
            med,
            prepend,
            local_pref,
        } = self;
        ExportAttributes {
            next_hop_v4: next_hops.v4,
            next_hop_v6: next_hops.v6,
            med: *med,
            local_pref: *local_pref,
            prepend: *prepend,
            communities: as_set(communities),
            large_communities: as_set(large_communities),
            ..ExportAttributes::default()
        }
    }
}

impl NeighborConfig {
    /// What to ask the kernel for the way to the switch.
    pub(crate) fn target(&self) -> Target {
        Target {
            peer: self.address,
            interface: self.device.clone(),
            source: self.source,
        }
    }
}

pub(crate) fn as_set<T: Clone + Ord>(values: &[T]) -> Vec<T> {
    let mut set = values.to_vec();
    set.sort_unstable();
    set.dedup();
    set
}
