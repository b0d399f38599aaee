use crate::{PeerConfig, RestartState};
use std::net::Ipv4Addr;
use wire::{
    Capability, DecodeContext, EncodeContext, Family, FamilySet, GracefulRestart, GracefulRestartFamily,
    MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Notification, Open, code, subcode,
};

/// What both sides agreed on with their OPENs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The peer's AS number.
    pub remote_as: u32,
    /// The peer's BGP identifier.
    pub remote_id: Ipv4Addr,
    /// The smaller of both hold times in seconds; 0 means no keepalives.
    pub hold_time: u16,
    /// The families both sides have.
    pub families: FamilySet,
    /// Families whose NLRI may carry an IPv6 next hop towards the peer (RFC 8950).
    pub extended_next_hop: FamilySet,
    /// RFC 6793 on both sides.
    pub four_octet_as: bool,
    /// RFC 8654 on both sides.
    pub extended_message: bool,
    /// RFC 7313 on both sides.
    pub enhanced_refresh: bool,
    /// RFC 2918 on both sides.
    pub route_refresh: bool,
    /// The peer's graceful restart capability, if we offered ours too.
    pub graceful_restart: Option<GracefulRestart>,
    /// BFD strict mode on both sides (draft-ietf-idr-bgp-bfd-strict-mode section 6).
    pub bfd_strict: bool,
    /// The peer's OPEN as it came, for display.
    pub remote_open: Open,
}

impl Negotiated {
    /// What both OPENs have in common.
    ///
    /// # Errors
    /// The NOTIFICATION to send: Bad Peer AS, Bad BGP Identifier (RFC 6286 section 2.1: equal identifiers inside one
    /// AS), or Unsupported Capability where there is no common family (RFC 5492 section 3; the data lists the
    /// multiprotocol capabilities we asked for).
    pub fn new(config: &PeerConfig, theirs: Open) -> Result<Self, Notification> {
        if theirs.asn != config.remote_as {
            return Err(Notification::new(code::OPEN, subcode::BAD_PEER_AS));
        }
        if !config.is_ebgp() && theirs.bgp_id == config.local_id {
            return Err(Notification::new(code::OPEN, subcode::BAD_BGP_ID));
        }
        let families = config.families.intersection(theirs.families());
        if families.is_empty() {
            let data = config.families.iter().flat_map(multiprotocol_octets).collect();
            return Err(Notification::with_data(
                code::OPEN,
                subcode::UNSUPPORTED_CAPABILITY,
                data,
            ));
        }
        let ours = open(config, RestartState::default());
        let both = |capability: Capability| ours.has(&capability) && theirs.has(&capability);
        Ok(Self {
            remote_as: theirs.asn,
            remote_id: theirs.bgp_id,
            hold_time: config.hold_time.min(theirs.hold_time),
            families,
            extended_next_hop: families
                .iter()
                .filter(|family| ours.extended_next_hop(*family) && theirs.extended_next_hop(*family))
                .collect(),
            four_octet_as: theirs.four_octet_as(),
            extended_message: both(Capability::ExtendedMessage),
            enhanced_refresh: both(Capability::EnhancedRouteRefresh),
            route_refresh: both(Capability::RouteRefresh),
            graceful_restart: ours
                .graceful_restart()
                .and_then(|_| theirs.graceful_restart().cloned()),
            bfd_strict: both(Capability::BfdStrictMode),
            remote_open: theirs,
        })
    }

    /// Whether a NOTIFICATION leaves our routes in place, unless it is a Hard Reset (RFC 8538 section 2: the N bit on
    /// both sides; ours is always set).
    pub fn notification_restarts(&self) -> bool {
        self.graceful_restart
            .as_ref()
            .is_some_and(|theirs| theirs.notification)
    }

    /// How to read the peer's messages from now on.
    pub fn decode_context(&self, config: &PeerConfig) -> DecodeContext {
        DecodeContext {
            four_octet_as: self.four_octet_as,
            families: self.families,
            extended_next_hop: self.extended_next_hop,
            ebgp: config.is_ebgp(),
            max_message: self.max_message(),
        }
    }

    /// How to write messages to the peer.
    pub fn encode_context(&self) -> EncodeContext {
        EncodeContext {
            four_octet_as: self.four_octet_as,
            max_message: self.max_message(),
        }
    }

    fn max_message(&self) -> usize {
        if self.extended_message {
            MAX_EXTENDED_MESSAGE
        } else {
            MAX_MESSAGE
        }
    }
}

/// How to read messages before the OPENs were exchanged.
pub(crate) fn initial_decode_context(config: &PeerConfig) -> DecodeContext {
    DecodeContext {
        four_octet_as: false,
        families: FamilySet::EMPTY,
        extended_next_hop: FamilySet::EMPTY,
        ebgp: config.is_ebgp(),
        max_message: MAX_MESSAGE,
    }
}

/// Our OPEN.
pub(crate) fn open(config: &PeerConfig, state: RestartState) -> Open {
    let mut capabilities: Vec<Capability> = config
        .families
        .iter()
        .map(|family| Capability::Multiprotocol(family.afi_safi()))
        .collect();
    capabilities.extend([
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedMessage,
        Capability::FourOctetAs(config.local_as),
    ]);
    if config.extended_next_hop && config.families.contains(Family::Ipv4Unicast) {
        capabilities.push(Capability::ExtendedNextHop(vec![(
            Family::Ipv4Unicast.afi_safi(),
            2,
        )]));
    }
    if let Some(restart) = &config.graceful_restart {
        capabilities.push(Capability::GracefulRestart(GracefulRestart {
            restarting: state.restarting,
            notification: true,
            restart_time: restart.restart_time,
            families: config
                .families
                .iter()
                .map(|family| GracefulRestartFamily {
                    family: family.afi_safi(),
                    forwarding: state.forwarding,
                })
                .collect(),
        }));
    }
    if config.bfd_strict.is_some() {
        capabilities.push(Capability::BfdStrictMode);
    }
    if let Some(host) = &config.host_name {
        capabilities.push(Capability::Fqdn {
            host: host.clone(),
            domain: String::new(),
        });
    }
    Open {
        asn: config.local_as,
        hold_time: config.hold_time,
        bgp_id: config.local_id,
        capabilities,
    }
}

fn multiprotocol_octets(family: Family) -> [u8; 6] {
    let pair = family.afi_safi();
    let [high, low] = pair.afi.to_be_bytes();
    [1, 4, high, low, 0, pair.safi]
}
