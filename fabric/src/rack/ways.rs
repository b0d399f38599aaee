//! The ways back into the fabric, as the rack knows them.

use super::Rack;
use super::session::Session;
use crate::config::PlaneId;
use crate::return_path::{Health, ReturnPathConfig, Way};
use bgp::State;
use std::net::IpAddr;
use wire::Family;

impl Rack {
    /// The return path as configured.
    pub(crate) fn return_path(&self) -> Option<&ReturnPathConfig> {
        self.config.return_path.as_ref()
    }

    /// The way over each plane for a family, in the order of the planes.
    pub(crate) fn ways(&self, family: Family, config: &ReturnPathConfig) -> Vec<Way> {
        let way = |plane| self.way(plane, family, config);
        self.plane_ids().into_iter().map(way).collect()
    }

    fn way(&self, plane: PlaneId, family: Family, config: &ReturnPathConfig) -> Way {
        let of_family = |session: &&Session| is_of(session.settings.neighbor.address, family);
        let of_plane: Vec<&Session> = self.sessions_of(plane).collect();
        // What counts is the session of that family; a plane that has none stands by the other one.
        let mut relevant: Vec<&Session> = of_plane.iter().copied().filter(of_family).collect();
        let switch = relevant.first().map(|session| session.settings.neighbor.address);
        if relevant.is_empty() {
            relevant = of_plane;
        }
        let health = relevant.iter().map(|session| health(session)).max();
        let link = relevant.iter().find_map(|session| link(session));
        Way {
            plane,
            health: health.unwrap_or(Health::Down),
            gate: self.gate(plane),
            hop: config.hop(plane, family, switch, link),
        }
    }
}

/// BGP is never established while BFD counts as failed: the coupling closes it at once.
fn health(session: &Session) -> Health {
    let has_carrier = session.path.as_ref().is_none_or(|path| path.up);
    if !has_carrier {
        return Health::Down;
    }
    if session.peer.state() == State::Established {
        return Health::Established;
    }
    match session.coupling.as_ref().is_some_and(|coupling| coupling.is_up()) {
        true => Health::Forwarding,
        false => Health::Down,
    }
}

/// The interface by which the switch is reached without a gateway, now.
fn link(session: &Session) -> Option<u32> {
    let path = session.path.as_ref()?;
    (path.on_link && path.has_route()).then_some(path.if_index)
}

fn is_of(address: IpAddr, family: Family) -> bool {
    match family {
        Family::Ipv4Unicast => address.is_ipv4(),
        Family::Ipv6Unicast => address.is_ipv6(),
    }
}
