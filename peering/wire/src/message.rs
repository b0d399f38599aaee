use crate::{AfiSafi, Capability, Family, FamilySet, GracefulRestart, Notification, Update};
use std::net::Ipv4Addr;

/// The 2-octet stand-in for an AS number above 65535 (RFC 6793 section 2).
pub const AS_TRANS: u16 = 23456;

/// Message types (RFC 4271 section 4.1, RFC 2918).
pub(crate) mod message_type {
    pub(crate) const OPEN: u8 = 1;
    pub(crate) const UPDATE: u8 = 2;
    pub(crate) const NOTIFICATION: u8 = 3;
    pub(crate) const KEEPALIVE: u8 = 4;
    pub(crate) const ROUTE_REFRESH: u8 = 5;
}

/// One BGP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 1.
    Open(Open),
    /// Type 2. Boxed: it is many times the size of the others.
    Update(Box<Update>),
    /// Type 3.
    Notification(Notification),
    /// Type 4.
    Keepalive,
    /// Type 5, RFC 2918.
    RouteRefresh(RouteRefresh),
}

/// An OPEN message (RFC 4271 section 4.2), version 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The AS number of the sender: from the 4-octet AS capability where present, else the 2-octet field.
    pub asn: u32,
    /// Proposed hold time in seconds: 0, or 3 and more.
    pub hold_time: u16,
    /// BGP identifier (RFC 6286: any non-zero value).
    pub bgp_id: Ipv4Addr,
    /// Capabilities in the order of the wire. [`Capability::FourOctetAs`] is among them when the sender has it.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// Whether the sender has the 4-octet AS capability.
    pub fn four_octet_as(&self) -> bool {
        self.capabilities
            .iter()
            .any(|c| matches!(c, Capability::FourOctetAs(_)))
    }

    /// The families we know among those the sender offers; without any multiprotocol capability this is IPv4
    /// unicast (RFC 4760 section 8).
    pub fn families(&self) -> FamilySet {
        let mut offered = self.capabilities.iter().filter_map(|capability| {
            if let Capability::Multiprotocol(pair) = capability {
                Some(*pair)
            } else {
                None
            }
        });
        let Some(first) = offered.next() else {
            return FamilySet::only(Family::Ipv4Unicast);
        };
        std::iter::once(first)
            .chain(offered)
            .filter_map(Family::from_afi_safi)
            .collect()
    }

    /// The graceful restart capability, if present; of several, the last one (RFC 4724 section 3).
    pub fn graceful_restart(&self) -> Option<&GracefulRestart> {
        self.capabilities.iter().rev().find_map(|capability| {
            if let Capability::GracefulRestart(value) = capability {
                Some(value)
            } else {
                None
            }
        })
    }

    /// Whether a capability equal to this one is present (for those without a value).
    pub fn has(&self, capability: &Capability) -> bool {
        self.capabilities.contains(capability)
    }

    /// Whether NLRI of the family may carry an IPv6 next hop towards the sender (RFC 8950 section 4).
    pub fn extended_next_hop(&self, family: Family) -> bool {
        let pair = (family.afi_safi(), 2);
        self.capabilities.iter().any(
            |capability| matches!(capability, Capability::ExtendedNextHop(pairs) if pairs.contains(&pair)),
        )
    }
}

/// A ROUTE-REFRESH message (RFC 2918, RFC 7313).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// The family asked for or framed.
    pub family: AfiSafi,
    /// Request, or one of the two markers.
    pub kind: RefreshKind,
}

/// The subtype of a ROUTE-REFRESH (RFC 7313 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshKind {
    /// 0: please send the Adj-RIB-Out again.
    Request,
    /// 1: beginning of a refresh (BoRR).
    Begin,
    /// 2: end of a refresh (EoRR).
    End,
    /// Another subtype, to be ignored.
    Other(u8),
}

#[cfg(test)]
mod tests;
