use crate::{AfiSafi, Family, FamilySet};

#[test]
fn numbers_on_the_wire() {
    for family in Family::ALL {
        assert_eq!(Family::from_afi_safi(family.afi_safi()), Some(family));
    }
    for (afi, safi) in [(0, 0), (1, 2), (1, 128), (2, 2), (3, 1), (25, 70), (257, 1)] {
        assert_eq!(Family::from_afi_safi(AfiSafi { afi, safi }), None);
    }
}

#[test]
fn names() {
    assert_eq!(Family::Ipv4Unicast.to_string(), "ipv4-unicast");
    assert_eq!(Family::Ipv6Unicast.to_string(), "ipv6-unicast");
}

#[test]
fn sets() {
    let ipv4 = FamilySet::only(Family::Ipv4Unicast);
    let ipv6 = FamilySet::only(Family::Ipv6Unicast);
    let mut both = ipv4;
    both.insert(Family::Ipv6Unicast);

    assert_eq!(both, FamilySet::ALL);
    assert_eq!(Family::ALL.into_iter().collect::<FamilySet>(), FamilySet::ALL);
    assert!(ipv4.contains(Family::Ipv4Unicast) && !ipv4.contains(Family::Ipv6Unicast));
    assert_eq!(both.intersection(ipv6), ipv6);
    assert!(ipv4.intersection(ipv6).is_empty());
    assert_eq!(FamilySet::default(), FamilySet::EMPTY);
    assert_eq!(both.iter().collect::<Vec<_>>(), Family::ALL);
    assert_eq!(ipv6.iter().collect::<Vec<_>>(), [Family::Ipv6Unicast]);
}
