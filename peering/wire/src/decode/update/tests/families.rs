//! MP_REACH_NLRI and MP_UNREACH_NLRI, next hops, and families that were not negotiated.

use super::{
    AS_PATH, EBGP, MP_REACH, MP_UNREACH, NEXT_HOP, NLRI, ORIGIN, decoded, decoded_in, defects, prefixes,
};
use crate::test_support::update;
use crate::{DecodeContext, Disposition, Family, FamilySet, NextHop, Notification, Update};
use std::net::Ipv6Addr;

const GLOBAL: [u8; 16] = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets();
const LINK_LOCAL: [u8; 16] = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets();

/// An MP_REACH_NLRI of this family, next hop and NLRI field.
fn mp_reach(afi: u8, safi: u8, next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let next_hop_len = u8::try_from(next_hop.len()).unwrap();
    let len = 5 + next_hop_len + u8::try_from(nlri.len()).unwrap();
    let head = [0x80, 14, len, 0, afi, safi, next_hop_len];
    [&head[..], next_hop, &[0], nlri].concat()
}

/// Decodes an UPDATE of this attribute and the two that go with it.
fn decoded_with(attribute: &[u8], context: &DecodeContext) -> Result<Update, Notification> {
    decoded_in(&update(&[], &[attribute, ORIGIN, AS_PATH], &[]), context)
}

#[test]
fn ipv6_next_hops() {
    let (global, link_local) = (Ipv6Addr::from(GLOBAL), Ipv6Addr::from(LINK_LOCAL));
    let table = [
        (GLOBAL.to_vec(), global, None),
        ([GLOBAL, LINK_LOCAL].concat(), global, Some(link_local)),
        // Not RFC 2545, but seen: the second address is no link-local one, or the first one is, or there is no first.
        ([GLOBAL, GLOBAL].concat(), global, None),
        (LINK_LOCAL.to_vec(), link_local, None),
        (
            [[0; 16], LINK_LOCAL].concat(),
            Ipv6Addr::UNSPECIFIED,
            Some(link_local),
        ),
    ];
    for (octets, global, link_local) in table {
        let update = decoded_with(&mp_reach(2, 1, &octets, &[16, 0x20, 1]), &EBGP).unwrap();
        assert_eq!(update.defects, []);
        assert_eq!(
            update.attributes.next_hop,
            Some(NextHop::V6 { global, link_local })
        );
        assert_eq!(update.announced, prefixes(&["2001::/16"]));
    }
}

#[test]
fn a_next_hop_of_a_wrong_length_resets() {
    // RFC 7606 section 7.11: the prefixes behind it cannot be found.
    for (afi, len) in [
        (2, 0),
        (2, 4),
        (2, 15),
        (2, 17),
        (2, 24),
        (2, 33),
        (2, 48),
        (1, 0),
        (1, 3),
        (1, 16),
        (1, 32),
    ] {
        let attribute = mp_reach(afi, 1, &vec![1; len], &[8, 10]);
        assert_eq!(
            decoded_with(&attribute, &EBGP),
            Err(Notification::with_data(3, 9, attribute.clone()))
        );
    }
}

#[test]
fn ipv4_in_mp_reach() {
    let update = decoded_with(&mp_reach(1, 1, &[192, 0, 2, 1], &[8, 10]), &EBGP).unwrap();
    assert_eq!(update.announced, prefixes(&["10.0.0.0/8"]));
    assert_eq!(
        update.attributes.next_hop,
        Some(NextHop::V4([192, 0, 2, 1].into()))
    );
}

#[test]
fn ipv4_with_an_ipv6_next_hop_needs_the_capability() {
    let context = DecodeContext {
        extended_next_hop: FamilySet::only(Family::Ipv4Unicast),
        ..EBGP
    };
    for next_hop in [GLOBAL.to_vec(), [GLOBAL, LINK_LOCAL].concat()] {
        let attribute = mp_reach(1, 1, &next_hop, &[8, 10]);

        let update = decoded_with(&attribute, &context).unwrap();
        assert_eq!(update.announced, prefixes(&["10.0.0.0/8"]));
        assert_eq!(update.attributes.next_hop.unwrap().addr(), Ipv6Addr::from(GLOBAL));
        assert!(decoded_with(&attribute, &EBGP).is_err());
    }
}

#[test]
fn an_ipv6_next_hop_that_is_no_host_withdraws() {
    let multicast = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets();
    for octets in [[0; 16], Ipv6Addr::LOCALHOST.octets(), multicast] {
        let update = decoded_with(&mp_reach(2, 1, &octets, &[16, 0x20, 1]), &EBGP).unwrap();
        assert_eq!(defects(&update), [(14, Disposition::TreatAsWithdraw)]);
        assert_eq!(update.withdrawn, prefixes(&["2001::/16"]));
    }
}

#[test]
fn malformed_mp_attributes_reset() {
    // RFC 7606 section 5.3
    let malformed = [
        // A prefix of 129 bits, one that is cut, and an IPv4 one of 33 bits
        mp_reach(2, 1, &GLOBAL, &[&[129][..], &[0; 17]].concat()),
        mp_reach(2, 1, &GLOBAL, &[48, 0x20, 1]),
        mp_reach(1, 1, &[192, 0, 2, 1], &[33, 1, 2, 3, 4, 5]),
        // Too short for a family, for a next hop, for the reserved octet
        vec![0x80, 14, 2, 0, 2],
        vec![0x80, 14, 3, 0, 2, 1],
        vec![0x80, 14, 4, 0, 2, 1, 16],
        vec![0x80, 14, 4, 0, 2, 1, 0],
        [&[0x80, 14, 20, 0, 2, 1, 16][..], &GLOBAL].concat(),
        // Flags
        [&[0xc0], &MP_REACH[1..]].concat(),
        [&[0x40], &MP_REACH[1..]].concat(),
        // The same for MP_UNREACH_NLRI
        vec![0x80, 15, 2, 0, 2],
        vec![0x80, 15, 6, 0, 2, 1, 48, 0x20, 1],
        [&[0x80, 15, 21, 0, 2, 1, 129][..], &[0; 17]].concat(),
        [&[0xc0], &MP_UNREACH[1..]].concat(),
    ];
    for attribute in malformed {
        assert_eq!(
            decoded_with(&attribute, &EBGP),
            Err(Notification::with_data(3, 9, attribute.clone()))
        );
    }
}

#[test]
fn the_reserved_octet_is_ignored() {
    let mut attribute = MP_REACH.to_vec();
    attribute[23] = 0xff;
    assert_eq!(decoded_with(&attribute, &EBGP).unwrap().defects, []);
}

#[test]
fn other_families_are_skipped_whatever_they_hold() {
    let ipv4_only = DecodeContext {
        families: FamilySet::only(Family::Ipv4Unicast),
        ..EBGP
    };
    let skipped: [(&[u8], &DecodeContext); 6] = [
        (MP_REACH, &ipv4_only),
        (MP_UNREACH, &ipv4_only),
        (&[0x80, 14, 5, 0, 25, 70, 200, 1], &EBGP),
        (&[0x80, 14, 3, 0, 1, 133], &EBGP),
        (&[0x80, 15, 4, 0, 2, 128, 255], &EBGP),
        (&[0xc0, 15, 4, 0, 2, 128, 255], &EBGP),
    ];
    for (attribute, context) in skipped {
        let frame = update(&[], &[attribute, ORIGIN, AS_PATH, NEXT_HOP], NLRI);
        let update = decoded_in(&frame, context).unwrap();
        assert_eq!(defects(&update), [(attribute[1], Disposition::AttributeDiscard)]);
        assert_eq!(update.announced, prefixes(&["10.1.0.0/16"]));
        assert_eq!(update.withdrawn, []);
        assert_eq!(
            update.attributes.next_hop,
            Some(NextHop::V4([192, 0, 2, 1].into()))
        );
    }
}

#[test]
fn classic_prefixes_are_skipped_without_ipv4() {
    let context = DecodeContext {
        families: FamilySet::only(Family::Ipv6Unicast),
        ..EBGP
    };
    let frame = update(&[8, 11], &[MP_REACH, ORIGIN, AS_PATH, NEXT_HOP], NLRI);
    let update = decoded_in(&frame, &context).unwrap();

    assert_eq!(update.announced, prefixes(&["2001:db8:1::/48"]));
    assert_eq!(update.withdrawn, []);
    let discard = (0, Disposition::AttributeDiscard);
    assert_eq!(defects(&update), [discard, discard]);
}

#[test]
fn a_next_hop_beside_mp_reach_alone_is_kept_apart() {
    let update = decoded(&update(&[], &[MP_REACH, ORIGIN, AS_PATH, NEXT_HOP], &[])).unwrap();
    assert_eq!(update.defects, []);
    assert_eq!(update.attributes.next_hop.unwrap().addr(), Ipv6Addr::from(GLOBAL));
    assert_eq!(update.classic_next_hop, Some(NextHop::V4([192, 0, 2, 1].into())));
}
