//! Settings that no session can have.

use super::Settings;
use crate::config::{NeighborConfig, Steering};
use crate::next_hop::NextHops;
use net::Ttl;
use net::bfd::BfdSpec;
use std::net::{IpAddr, Ipv6Addr};
use wire::NextHop;

/// The longest name of an interface (`IFNAMSIZ` without its final zero), in octets.
const DEVICE_NAME_MAX: usize = 15;

/// What is wrong with the settings of a session, and what to do about it.
pub(super) fn fault(settings: &Settings) -> Option<String> {
    let neighbor = &settings.neighbor;
    of_the_rack(settings)
        .or_else(|| of_the_session(neighbor))
        .or_else(|| of_the_source(neighbor))
        .or_else(|| of_the_steering(settings))
        .or_else(|| of_bfd(neighbor))
}

fn of_the_rack(settings: &Settings) -> Option<String> {
    if matches!(settings.local_as, 0 | u32::MAX) {
        return Some(format!("local AS {}: use 1 to 4294967294", settings.local_as));
    }
    settings
        .router_id
        .is_unspecified()
        .then(|| "router id 0.0.0.0: use any other value (RFC 6286)".to_owned())
}

fn of_the_session(neighbor: &NeighborConfig) -> Option<String> {
    if matches!(neighbor.remote_as, 0 | u32::MAX) {
        return Some(format!("AS {}: use 1 to 4294967294", neighbor.remote_as));
    }
    if matches!(neighbor.hold_time, 1 | 2) {
        return Some(format!(
            "hold time {} s: use 0, or 3 s and more (RFC 4271 section 4.2)",
            neighbor.hold_time
        ));
    }
    if neighbor.port == 0 {
        return Some("port 0: use 1 to 65535, normally 179".to_owned());
    }
    if neighbor.ttl == Ttl::Multihop(0) {
        return Some("TTL multihop 0: use 1 to 255".to_owned());
    }
    if neighbor.families.is_empty() {
        return Some("no address family: name at least one".to_owned());
    }
    None
}

fn of_the_source(neighbor: &NeighborConfig) -> Option<String> {
    if let Some(device) = &neighbor.device
        && !(1..=DEVICE_NAME_MAX).contains(&device.len())
    {
        return Some(format!(
            "device {device:?}: the name of an interface has 1 to {DEVICE_NAME_MAX} octets"
        ));
    }
    let source = neighbor.source?;
    if source.is_ipv4() != neighbor.address.is_ipv4() {
        return Some(format!(
            "source {source}: it has to be of the same family as the switch {}",
            neighbor.address
        ));
    }
    if source.is_unspecified() || source.is_multicast() {
        return Some(format!("source {source}: it has to be an address of this host"));
    }
    let allowed = &neighbor.allowed_sources;
    (!allowed.is_empty() && !allowed.contains(&source)).then(|| {
        format!("source {source}: it is not in the list of allowed sources; add it there or take it out here")
    })
}

fn of_the_steering(settings: &Settings) -> Option<String> {
    let steering = &settings.neighbor.steering;
    let external = settings.local_as != settings.neighbor.remote_as;
    if steering.prepend > Steering::MAX_PREPEND {
        return Some(format!(
            "prepend {}: use at most {}",
            steering.prepend,
            Steering::MAX_PREPEND
        ));
    }
    if external && steering.local_pref.is_some() {
        return Some(
            "local preference: a switch in another AS does not take it; use MED or prepend there".to_owned(),
        );
    }
    if !external && steering.prepend > 0 {
        return Some(
            "prepend: inside one AS there is no path to make longer; use local preference there".to_owned(),
        );
    }
    let longest = NextHop::V6 {
        global: Ipv6Addr::LOCALHOST,
        link_local: Some(Ipv6Addr::LOCALHOST),
    };
    let next_hops = NextHops {
        v4: Some(longest),
        v6: Some(longest),
    };
    let fits = steering.attributes(next_hops).check();
    fits.err().map(|_| {
        let count = steering.communities.len() + steering.large_communities.len();
        format!("steering: {count} communities leave no room for a prefix in a message; use fewer")
    })
}

fn of_bfd(neighbor: &NeighborConfig) -> Option<String> {
    let profile = neighbor.bfd.as_ref()?;
    if let Some(least) = profile.min_ttl {
        let is_multihop = matches!(neighbor.ttl, Ttl::Multihop(hops) | Ttl::Security { hops } if hops > 1);
        if least == 0 || !is_multihop {
            return Some(format!(
                "BFD least TTL {least}: use 1 to 255, and only over several hops; on the same link it is always 255 (RFC \
                 5881 section 5)"
            ));
        }
    }
    let link_local = |address: IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let spec = BfdSpec {
        key: 0,
        peer: neighbor.address,
        local: neighbor.source,
        // The route names one in time.
        device: link_local(neighbor.address).then(|| "any".to_owned()),
        desired_min_tx: profile.min_tx,
        required_min_rx: profile.min_rx,
        detect_mult: profile.multiplier,
        hop: net::bfd::Hop::Single,
        passive: profile.passive,
        auth: profile.auth.clone(),
        control_plane_independent: false,
    };
    spec.check().err().map(|refusal| format!("BFD: {refusal}"))
}
