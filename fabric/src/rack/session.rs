//! One session to one switch: its peer, its link, and what may hold it back.

use super::SessionId;
use crate::config::NeighborConfig;
use crate::coupling::{Coupling, Permit};
use crate::next_hop::NextHops;
use crate::plan::Settings;
use crate::status::{FamilyStatus, PendingStatus, SessionStatus};
use bgp::{ClassId, GracefulRestartConfig, Peer, PeerConfig, State};
use net::bfd::{BfdSpec, Hop};
use net::netlink::PathToPeer;
use net::{TcpOptions, Ttl};
use std::net::IpAddr;
use std::time::Instant;
use wire::{Family, FamilySet};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) settings: Settings,
    pub(super) peer: Peer,
    pub(super) path: Option<PathToPeer>,
    /// The last path that can be the link of the plane: outlives a loss of the route.
    pub(super) link: Option<Link>,
    pub(super) next_hops: NextHops,
    pub(super) coupling: Option<Coupling>,
    pub(super) blocked: Option<String>,
    pub(super) pending: Option<PendingStatus>,
}

/// Our end of a plane's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) source: IpAddr,
    pub(super) interface: Option<String>,
}

impl Session {
    /// A stopped session with nothing to announce.
    pub(super) fn new(id: SessionId, settings: Settings, seed: u64) -> Self {
        let bfd = settings.neighbor.bfd.as_ref();
        let coupling = bfd.map(|bfd| Coupling::new(bfd.strict.is_some()));
        Self {
            id,
            peer: Peer::new(peer_config(&settings), seed),
            settings,
            path: None,
            link: None,
            next_hops: NextHops::default(),
            coupling,
            blocked: None,
            pending: None,
        }
    }

    /// Takes other settings over. A session that is up goes on with what it has negotiated.
    pub(super) fn take_settings(&mut self, settings: Settings, now: Instant) {
        let former = std::mem::replace(&mut self.settings, settings);
        self.peer.reconfigure(peer_config(&self.settings), now);
        self.pending = None;
        let (former, wanted) = (&former.neighbor, &self.settings.neighbor);
        let elsewhere = former.target() != wanted.target();
        if elsewhere {
            self.path = None;
            self.link = None;
        }
        // What BFD said is of no use for another BFD session.
        let role = |neighbor: &NeighborConfig| {
            let bfd = neighbor.bfd.as_ref();
            bfd.map(|bfd| (bfd.passive, bfd.min_ttl))
        };
        let same_bfd = !elsewhere && former.ttl == wanted.ttl && role(former) == role(wanted);
        match (&wanted.bfd, &mut self.coupling) {
            (None, coupling) => *coupling = None,
            (Some(profile), Some(coupling)) if same_bfd => coupling.set_strict(profile.strict.is_some()),
            (Some(profile), coupling) => *coupling = Some(Coupling::new(profile.strict.is_some())),
        }
        self.announce_as_configured();
    }

    /// The families that announcements flow in now.
    pub(super) fn carried(&self) -> FamilySet {
        let negotiated = self.peer.negotiated();
        negotiated.map_or_else(FamilySet::default, |negotiated| negotiated.families)
    }

    /// Whether the switch has been told everything of a family, as far as it is known what that is.
    pub(super) fn serves(&self, family: Family, complete: bool) -> bool {
        self.carried().contains(family) && (!complete || self.peer.adj_out().end_of_rib_sent(family))
    }

    /// Our present address on the session.
    pub(super) fn present_source(&self) -> Option<IpAddr> {
        let by_session = self.peer.addresses().map(|(local, _)| local.ip());
        by_session.or_else(|| self.path.as_ref().and_then(|path| path.source))
    }

    /// Notes the kernel's way to the switch. While the link of a direct neighbour is down, the kernel may offer a
    /// detour over another plane: that is a route, but not the link, and its source is no next hop here.
    pub(super) fn take_path(&mut self, path: &PathToPeer) {
        let detour = self.is_direct() && !path.on_link;
        if let Some(source) = path.source.filter(|_| !detour) {
            self.link = Some(Link {
                source,
                interface: path.interface.clone(),
            });
        }
        self.path = Some(path.clone());
    }

    pub(super) fn is_strict(&self) -> bool {
        self.settings
            .neighbor
            .bfd
            .as_ref()
            .is_some_and(|bfd| bfd.strict.is_some())
    }

    pub(super) fn is_direct(&self) -> bool {
        matches!(
            self.settings.neighbor.ttl,
            Ttl::Direct | Ttl::Security { hops: 0 | 1 }
        )
    }

    /// Our address towards the switch: the configured one, else what the kernel would use on the link, else that of
    /// the session.
    pub(super) fn own_address(&self) -> Option<IpAddr> {
        let by_route = || self.link.as_ref().map(|link| link.source);
        let by_session = || self.peer.addresses().map(|(local, _)| local.ip());
        self.settings
            .neighbor
            .source
            .or_else(by_route)
            .or_else(by_session)
    }

    /// Gives the announcements the attributes that the configuration and the link ask for.
    pub(super) fn announce_as_configured(&mut self) {
        let attributes = self.settings.neighbor.steering.attributes(self.next_hops);
        let defined = self.peer.adj_out_mut().define(ClassId::DEFAULT, attributes);
        if let Err(error) = defined {
            let (plane, peer) = (self.settings.neighbor.plane, self.settings.neighbor.address);
            tracing::warn!(%plane, %peer, %error, "the announcements keep their former attributes");
        }
    }

    /// The BFD session there should be; `None` also while the link was never known: it has no source yet.
    pub(super) fn bfd_spec(&self, key: u64) -> Option<BfdSpec> {
        let profile = self.settings.neighbor.bfd.as_ref()?;
        let link = self.link.as_ref()?;
        let hop = self.bfd_hop();
        let of_link = || link.interface.clone().filter(|_| hop == Hop::Single);
        Some(BfdSpec {
            key,
            peer: self.settings.neighbor.address,
            local: Some(link.source),
            device: self.settings.neighbor.device.clone().or_else(of_link),
            desired_min_tx: profile.min_tx,
            required_min_rx: profile.min_rx,
            detect_mult: profile.multiplier,
            hop,
            passive: profile.passive,
            auth: profile.auth.clone(),
            control_plane_independent: false,
        })
    }

    /// How many hops away BFD expects the switch (RFC 5881 section 5, RFC 5883 section 4.2).
    pub(super) fn bfd_hop(&self) -> Hop {
        let floor = self.settings.neighbor.bfd.as_ref().and_then(|bfd| bfd.min_ttl);
        match self.settings.neighbor.ttl {
            Ttl::Multihop(hops) | Ttl::Security { hops } if hops > 1 => Hop::Multi {
                min_ttl: floor.unwrap_or(255 - (hops - 1)),
            },
            Ttl::Direct | Ttl::System | Ttl::Multihop(_) | Ttl::Security { .. } => Hop::Single,
        }
    }

    /// Why our own address forbids the session: it is not there, or it is not allowed.
    pub(super) fn forbidden(&self) -> Option<String> {
        self.lacks_source().or_else(|| self.has_forbidden_source())
    }

    fn lacks_source(&self) -> Option<String> {
        let source = self.settings.neighbor.source?;
        let neighbor = self.settings.neighbor.address;
        match &self.path {
            None => Some(format!(
                "whether the source address {source} for {neighbor} is on this host is not known yet"
            )),
            Some(path) if path.source != Some(source) => Some(format!(
                "the source address {source} for {neighbor} is not on this host (or not usable yet); the session \
                 waits until it is"
            )),
            Some(_) => None,
        }
    }

    fn has_forbidden_source(&self) -> Option<String> {
        let allowed = &self.settings.neighbor.allowed_sources;
        if allowed.is_empty() {
            return None;
        }
        let neighbor = self.settings.neighbor.address;
        match self.path.as_ref().map(|path| path.source) {
            None => Some(format!("the route to {neighbor} is not known yet")),
            Some(None) => Some(format!(
                "route lookup for BGP neighbor {neighbor} returned no source address"
            )),
            Some(Some(source)) if allowed.contains(&source) => None,
            Some(Some(source)) => Some(format!(
                "selected local address {source} for BGP neighbor {neighbor} is not in allowed source address list \
                 {allowed:?}; the session waits until route lookup selects an allowed source address"
            )),
        }
    }

    pub(super) fn held_back_by_bfd(&self, alone: bool, now: Instant) -> Option<String> {
        let neighbor = self.settings.neighbor.address;
        match self.coupling.as_ref()?.permit(alone, now) {
            Permit::Granted => None,
            Permit::AwaitsFirstUp => Some(format!("strict mode: BFD with {neighbor} has to come up first")),
            Permit::AwaitsRecovery => Some(format!("BFD with {neighbor} is down")),
            // A session that was let through because it was alone stays when it is not alone any more.
            Permit::HeldDown(_) if self.blocked.is_none() && self.peer.state() != State::Idle => None,
            Permit::HeldDown(_) => Some(format!(
                "BFD with {neighbor} is up again but failed too often lately"
            )),
        }
    }

    pub(super) fn tcp_options(&self) -> TcpOptions {
        let pinned = !self.settings.neighbor.allowed_sources.is_empty();
        let selected = || self.path.as_ref().and_then(|path| path.source).filter(|_| pinned);
        TcpOptions {
            source: self.settings.neighbor.source.or_else(selected),
            device: self.settings.neighbor.device.clone(),
            ttl: self.settings.neighbor.ttl,
            md5: self.settings.neighbor.password.clone(),
            user_timeout: self.settings.neighbor.user_timeout,
            ..TcpOptions::default()
        }
    }

    pub(super) fn next_hop(&self, family: Family) -> Option<IpAddr> {
        let hop = match family {
            Family::Ipv4Unicast => self.next_hops.v4,
            Family::Ipv6Unicast => self.next_hops.v6,
        };
        hop.map(|hop| hop.addr())
    }

    pub(super) fn status(&self, now: Instant) -> SessionStatus {
        let counters = self.peer.counters();
        let negotiated = self.peer.negotiated();
        let families = self.peer.config().families;
        SessionStatus {
            neighbor: self.settings.neighbor.address,
            remote_as: self.settings.neighbor.remote_as,
            remote_id: negotiated.map(|negotiated| negotiated.remote_id),
            state: format!("{:?}", self.peer.state()),
            uptime_seconds: self
                .peer
                .established_at()
                .map(|since| now.saturating_duration_since(since).as_secs()),
            hold_time: negotiated.map(|negotiated| negotiated.hold_time),
            local_address: self.peer.addresses().map(|(local, _)| local.ip()),
            interface: self.path.as_ref().and_then(|path| path.interface.clone()),
            blocked: self.blocked.clone(),
            pending: self.pending.clone(),
            last_error: self.peer.last_down().map(|(_, reason)| reason.to_string()),
            established_count: counters.established,
            messages_sent: counters.sent[0],
            messages_received: counters.received[0],
            families: families
                .iter()
                .map(|family| FamilyStatus {
                    family: family.to_string(),
                    next_hop: self.next_hop(family),
                    desired: self.peer.adj_out().desired_len(family),
                    sent: self.peer.adj_out().sent_len(family),
                    received: self.peer.adj_in().len_of(family),
                    end_of_rib: self.peer.adj_out().end_of_rib_sent(family),
                })
                .collect(),
        }
    }
}

fn peer_config(settings: &Settings) -> PeerConfig {
    let neighbor = &settings.neighbor;
    PeerConfig {
        hold_time: neighbor.hold_time,
        passive: neighbor.passive,
        extended_next_hop: neighbor.extended_next_hop,
        host_name: settings.host_name.clone(),
        graceful_restart: neighbor.graceful_restart.map(|restart| GracefulRestartConfig {
            restart_time: restart.restart_time,
        }),
        bfd_strict: neighbor
            .bfd
            .as_ref()
            .and_then(|bfd| bfd.strict)
            .map(|strict| strict.hold_time),
        ..PeerConfig::new(
            settings.local_as,
            settings.router_id,
            neighbor.remote_as,
            neighbor.families,
        )
    }
}
