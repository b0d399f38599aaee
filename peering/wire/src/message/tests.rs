use crate::{AfiSafi, Capability, Family, FamilySet, Open};

fn open(capabilities: Vec<Capability>) -> Open {
    Open {
        asn: 65001,
        hold_time: 90,
        bgp_id: [192, 0, 2, 1].into(),
        capabilities,
    }
}

#[test]
fn families_offered() {
    // RFC 4760 section 8
    assert_eq!(open(vec![]).families(), FamilySet::only(Family::Ipv4Unicast));
    let ipv6 = Capability::Multiprotocol(Family::Ipv6Unicast.afi_safi());
    let evpn = Capability::Multiprotocol(AfiSafi { afi: 25, safi: 70 });
    assert_eq!(
        open(vec![evpn.clone(), ipv6]).families(),
        FamilySet::only(Family::Ipv6Unicast)
    );
    assert!(open(vec![evpn]).families().is_empty());
}

#[test]
fn extended_next_hop_is_by_family_and_next_hop() {
    let ipv4 = Family::Ipv4Unicast.afi_safi();
    let offered = open(vec![Capability::ExtendedNextHop(vec![(ipv4, 2)])]);
    assert!(offered.extended_next_hop(Family::Ipv4Unicast));
    assert!(!offered.extended_next_hop(Family::Ipv6Unicast));
    let other = open(vec![Capability::ExtendedNextHop(vec![(ipv4, 1)])]);
    assert!(!other.extended_next_hop(Family::Ipv4Unicast));
}

#[test]
fn capabilities_without_a_value() {
    let offered = open(vec![Capability::RouteRefresh]);
    assert!(offered.has(&Capability::RouteRefresh));
    assert!(!offered.has(&Capability::ExtendedMessage));
    assert!(!offered.four_octet_as());
}
