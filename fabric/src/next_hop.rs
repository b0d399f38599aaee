//! Which next hop a session announces.

use crate::config::NodeIps;
use std::net::{IpAddr, Ipv6Addr};
use wire::NextHop;

/// The next hops of one session, by the family of the prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextHops {
    /// For IPv4 prefixes; an IPv6 one only goes out where RFC 8950 was negotiated.
    pub v4: Option<NextHop>,
    /// For IPv6 prefixes.
    pub v6: Option<NextHop>,
}

/// Derives the next hops of a session from `own`, our address on its link, and `other`, our addresses of the other
/// family on the same plane.
///
/// A prefix of the session's own family gets `own`; IPv4 over an IPv6 session gets the IPv6 address (RFC 8950
/// section 3); IPv6 over an IPv4 session needs an IPv6 address of the plane. An address that is our pod's own is
/// replaced by the node's (`--node-ips`).
pub fn next_hops(own: IpAddr, other: &[IpAddr], node_ips: &NodeIps) -> NextHops {
    match replace(own, node_ips) {
        own @ IpAddr::V4(_) => {
            let v6 = other
                .iter()
                .copied()
                .find(|addr| matches!(addr, IpAddr::V6(v6) if is_global(*v6)));
            NextHops {
                v4: Some(own.into()),
                v6: v6.map(|addr| replace(addr, node_ips).into()),
            }
        }
        own @ IpAddr::V6(_) => NextHops {
            v4: Some(own.into()),
            v6: Some(own.into()),
        },
    }
}

fn replace(addr: IpAddr, node_ips: &NodeIps) -> IpAddr {
    match addr {
        IpAddr::V4(v4) if node_ips.pod_v4 == Some(v4) => node_ips.node_v4.map_or(addr, IpAddr::V4),
        IpAddr::V6(v6) if node_ips.pod_v6 == Some(v6) => node_ips.node_v6.map_or(addr, IpAddr::V6),
        IpAddr::V4(_) | IpAddr::V6(_) => addr,
    }
}

fn is_global(addr: Ipv6Addr) -> bool {
    !addr.is_loopback() && !addr.is_unspecified() && !addr.is_unicast_link_local()
}
