//! RFC 7606, attribute by attribute.

use super::{
    AS_PATH, EBGP, IBGP, MP_REACH, MP_UNREACH, NEXT_HOP, NLRI, ORIGIN, decoded, decoded_in, defects, prefixes,
};
use crate::test_support::update;
use crate::{DecodeContext, Disposition, Notification, PathAttributes};

const DISCARD: Disposition = Disposition::AttributeDiscard;
const WITHDRAW: Disposition = Disposition::TreatAsWithdraw;

const TWO_OCTET: DecodeContext = DecodeContext {
    four_octet_as: false,
    ..EBGP
};

/// The session in which it arrives, the malformed attribute, what becomes of it, and the subcode for the case that
/// there is no route to withdraw.
type Case = (DecodeContext, &'static [u8], Disposition, u8);

#[rustfmt::skip]
const CASES: &[Case] = &[
    // 3(c): Optional or Transitive bit in conflict with the type
    (EBGP, &[0xc0, 1, 1, 0], WITHDRAW, 4),
    (EBGP, &[0x00, 1, 1, 0], WITHDRAW, 4),
    (EBGP, &[0x80, 2, 0], WITHDRAW, 4),
    (EBGP, &[0x80, 3, 4, 192, 0, 2, 1], WITHDRAW, 4),
    (EBGP, &[0x40, 4, 4, 0, 0, 0, 1], WITHDRAW, 4),
    (EBGP, &[0xc0, 4, 4, 0, 0, 0, 1], WITHDRAW, 4),
    (IBGP, &[0x80, 5, 4, 0, 0, 0, 1], WITHDRAW, 4),
    (EBGP, &[0x80, 8, 4, 0, 0, 0, 1], WITHDRAW, 4),
    (IBGP, &[0xc0, 9, 4, 0, 0, 0, 1], WITHDRAW, 4),
    (IBGP, &[0xc0, 10, 4, 0, 0, 0, 1], WITHDRAW, 4),
    (EBGP, &[0x80, 16, 8, 0, 0, 0, 0, 0, 0, 0, 0], WITHDRAW, 4),
    (TWO_OCTET, &[0x80, 17, 6, 2, 1, 0, 0, 0, 1], WITHDRAW, 4),
    (EBGP, &[0x40, 32, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], WITHDRAW, 4),
    // 3(f): the same for the aggregation attributes
    (EBGP, &[0xc0, 6, 0], DISCARD, 0),
    (EBGP, &[0x40, 7, 8, 0, 0, 0, 1, 192, 0, 2, 1], DISCARD, 0),
    // 7.1 ORIGIN
    (EBGP, &[0x40, 1, 0], WITHDRAW, 5),
    (EBGP, &[0x40, 1, 2, 0, 0], WITHDRAW, 5),
    (EBGP, &[0x40, 1, 1, 3], WITHDRAW, 6),
    // 7.2 AS_PATH: unknown segment, overrun, underrun, empty segment
    (EBGP, &[0x40, 2, 6, 9, 1, 0, 0, 0, 1], WITHDRAW, 11),
    (EBGP, &[0x40, 2, 6, 2, 2, 0, 0, 0, 1], WITHDRAW, 11),
    (EBGP, &[0x40, 2, 7, 2, 1, 0, 0, 0, 1, 2], WITHDRAW, 11),
    (EBGP, &[0x40, 2, 2, 2, 0], WITHDRAW, 11),
    // RFC 7607: AS 0
    (EBGP, &[0x40, 2, 6, 2, 1, 0, 0, 0, 0], WITHDRAW, 11),
    // RFC 5065 section 5: a confederation segment from outside
    (EBGP, &[0x40, 2, 6, 3, 1, 0, 0, 0, 1], WITHDRAW, 11),
    // 7.3 NEXT_HOP
    (EBGP, &[0x40, 3, 0], WITHDRAW, 5),
    (EBGP, &[0x40, 3, 5, 192, 0, 2, 1, 0], WITHDRAW, 5),
    // 7.4 MULTI_EXIT_DISC
    (EBGP, &[0x80, 4, 3, 0, 0, 0], WITHDRAW, 5),
    (EBGP, &[0x80, 4, 0], WITHDRAW, 5),
    // 7.5 LOCAL_PREF
    (EBGP, &[0x40, 5, 4, 0, 0, 0, 1], DISCARD, 0),
    (EBGP, &[0x80, 5, 1, 0], DISCARD, 0),
    (IBGP, &[0x40, 5, 3, 0, 0, 0], WITHDRAW, 5),
    // 7.6 ATOMIC_AGGREGATE
    (EBGP, &[0x40, 6, 1, 0], DISCARD, 0),
    // 7.7 AGGREGATOR
    (EBGP, &[0xc0, 7, 6, 0, 1, 192, 0, 2, 1], DISCARD, 0),
    (EBGP, &[0xc0, 7, 0], DISCARD, 0),
    (TWO_OCTET, &[0xc0, 7, 8, 0, 0, 0, 1, 192, 0, 2, 1], DISCARD, 0),
    (EBGP, &[0xc0, 7, 8, 0, 0, 0, 0, 192, 0, 2, 1], DISCARD, 0),
    // 7.8 COMMUNITIES
    (EBGP, &[0xc0, 8, 0], WITHDRAW, 5),
    (EBGP, &[0xc0, 8, 5, 0, 0, 0, 0, 0], WITHDRAW, 5),
    // 7.9 ORIGINATOR_ID
    (EBGP, &[0x80, 9, 4, 192, 0, 2, 1], DISCARD, 0),
    (IBGP, &[0x80, 9, 3, 192, 0, 2], WITHDRAW, 5),
    // 7.10 CLUSTER_LIST
    (EBGP, &[0x80, 10, 4, 192, 0, 2, 1], DISCARD, 0),
    (IBGP, &[0x80, 10, 0], WITHDRAW, 5),
    (IBGP, &[0x80, 10, 6, 192, 0, 2, 1, 0, 0], WITHDRAW, 5),
    // 7.14 EXTENDED COMMUNITIES
    (EBGP, &[0xc0, 16, 0], WITHDRAW, 5),
    (EBGP, &[0xc0, 16, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0], WITHDRAW, 5),
    // RFC 8092 section 6
    (EBGP, &[0xc0, 32, 0], WITHDRAW, 5),
    (EBGP, &[0xc0, 32, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], WITHDRAW, 5),
    // RFC 6793 section 6
    (EBGP, &[0xc0, 17, 6, 2, 1, 0, 0, 0, 1], DISCARD, 0),
    (EBGP, &[0xc0, 18, 8, 0, 0, 0, 1, 192, 0, 2, 1], DISCARD, 0),
    (TWO_OCTET, &[0xc0, 17, 0], DISCARD, 0),
    (TWO_OCTET, &[0xc0, 17, 4, 2, 1, 0, 1], DISCARD, 0),
    (TWO_OCTET, &[0xc0, 17, 6, 7, 1, 0, 0, 0, 1], DISCARD, 0),
    (TWO_OCTET, &[0xc0, 17, 6, 2, 1, 0, 0, 0, 0], DISCARD, 0),
    (TWO_OCTET, &[0xc0, 18, 6, 0, 1, 192, 0, 2, 1], DISCARD, 0),
    (TWO_OCTET, &[0xc0, 18, 8, 0, 0, 0, 0, 192, 0, 2, 1], DISCARD, 0),
];

/// ORIGIN, AS_PATH and NEXT_HOP, but the malformed attribute in the place of the one of its type.
fn attributes_with(case: &Case) -> Vec<&'static [u8]> {
    let (context, malformed, _, _) = case;
    let as_path: &[u8] = if context.four_octet_as {
        AS_PATH
    } else {
        &[0x40, 2, 4, 2, 1, 0xfd, 0xe9]
    };
    let mut list = vec![ORIGIN, as_path, NEXT_HOP];
    list.retain(|attribute| attribute[1] != malformed[1]);
    list.push(malformed);
    list
}

#[test]
fn each_malformed_attribute() {
    for case in CASES {
        let (context, malformed, disposition, _) = case;
        let frame = update(&[8, 11], &attributes_with(case), NLRI);

        let update = decoded_in(&frame, context).unwrap();

        assert_eq!(defects(&update), [(malformed[1], *disposition)], "{malformed:?}");
        match disposition {
            Disposition::AttributeDiscard => {
                assert_eq!(update.announced, prefixes(&["10.1.0.0/16"]));
                assert_eq!(update.withdrawn, prefixes(&["11.0.0.0/8"]));
                let mandatory_only = PathAttributes {
                    origin: update.attributes.origin,
                    as_path: update.attributes.as_path.clone(),
                    next_hop: update.attributes.next_hop,
                    ..PathAttributes::default()
                };
                assert_eq!(update.attributes, mandatory_only, "{malformed:?}");
            }
            Disposition::TreatAsWithdraw => {
                assert_eq!(update.announced, []);
                assert_eq!(update.withdrawn, prefixes(&["11.0.0.0/8", "10.1.0.0/16"]));
                assert_eq!(update.attributes, PathAttributes::default());
            }
        }
    }
}

#[test]
fn each_malformed_attribute_without_a_route_to_withdraw() {
    // RFC 7606 section 5.2
    for case in CASES {
        let (context, malformed, disposition, subcode) = case;
        let frame = update(&[8, 11], &attributes_with(case), &[]);

        let result = decoded_in(&frame, context);

        match disposition {
            Disposition::AttributeDiscard => {
                assert_eq!(defects(&result.unwrap()), [(malformed[1], DISCARD)]);
            }
            Disposition::TreatAsWithdraw => {
                let expected = Notification::with_data(3, *subcode, malformed.to_vec());
                assert_eq!(result, Err(expected));
            }
        }
    }
}

#[test]
fn withdraw_moves_the_prefixes_of_both_fields() {
    let frame = update(&[], &[MP_REACH, MP_UNREACH, AS_PATH, NEXT_HOP], NLRI);
    let update = decoded(&frame).unwrap();

    assert_eq!(defects(&update), [(1, WITHDRAW)]);
    assert_eq!(update.announced, []);
    assert_eq!(
        update.withdrawn,
        prefixes(&["2001:db8:2::/48", "10.1.0.0/16", "2001:db8:1::/48"])
    );
    assert_eq!(update.classic_next_hop, None);
}

#[test]
fn missing_mandatory_attributes() {
    // 3(d)
    let classic = decoded(&update(&[], &[], NLRI)).unwrap();
    assert_eq!(defects(&classic), [(1, WITHDRAW), (2, WITHDRAW), (3, WITHDRAW)]);

    // NEXT_HOP is not mandatory beside MP_REACH_NLRI (RFC 4760 section 3), but with the classic field it is.
    let mp = decoded(&update(&[], &[MP_REACH], &[])).unwrap();
    assert_eq!(defects(&mp), [(1, WITHDRAW), (2, WITHDRAW)]);
    let both = decoded(&update(&[], &[MP_REACH, ORIGIN, AS_PATH], NLRI)).unwrap();
    assert_eq!(defects(&both), [(3, WITHDRAW)]);

    // Nothing is mandatory where nothing is announced.
    let nothing = decoded(&update(&[8, 11], &[ORIGIN], &[])).unwrap();
    assert_eq!(defects(&nothing), []);
}

#[test]
fn of_duplicates_the_first_one_counts() {
    // 3(g)
    let second_origin: &[u8] = &[0x40, 1, 1, 2];
    let malformed: &[u8] = &[0x40, 3, 0];
    let unknown: &[u8] = &[0xc0, 99, 0];
    let list = [
        ORIGIN,
        second_origin,
        AS_PATH,
        NEXT_HOP,
        malformed,
        unknown,
        unknown,
    ];
    let update = decoded(&update(&[], &list, NLRI)).unwrap();

    assert_eq!(defects(&update), [(1, DISCARD), (3, DISCARD), (99, DISCARD)]);
    assert_eq!(update.attributes.origin, Some(crate::Origin::Igp));
    assert_eq!(update.attributes.unknown.len(), 1);
    assert_eq!(update.announced, prefixes(&["10.1.0.0/16"]));
}

#[test]
fn a_repeated_mp_attribute_resets() {
    // 3(g)
    let reach = update(&[], &[MP_REACH, MP_REACH, ORIGIN, AS_PATH], &[]);
    assert_eq!(decoded(&reach), Err(Notification::new(3, 1)));
    let unreach = update(&[], &[MP_UNREACH, MP_UNREACH], &[]);
    assert_eq!(decoded(&unreach), Err(Notification::new(3, 1)));
}

#[test]
fn the_strongest_disposition_decides() {
    // 3(h)
    let list = [ORIGIN, AS_PATH, NEXT_HOP, &[0x40, 6, 1, 0], &[0xc0, 8, 0]];
    let update = decoded(&update(&[], &list, NLRI)).unwrap();
    assert_eq!(defects(&update), [(6, DISCARD), (8, WITHDRAW)]);
    assert_eq!(update.withdrawn, prefixes(&["10.1.0.0/16"]));
}

#[test]
fn an_attribute_list_that_does_not_add_up() {
    // Section 4: the last attribute is too long, or there are octets left that can be none.
    let too_long: &[u8] = &[0xc0, 8, 8, 0, 0, 0, 1];
    let list = [ORIGIN, AS_PATH, NEXT_HOP, too_long];
    let result = decoded(&update(&[], &list, NLRI)).unwrap();
    assert_eq!(defects(&result), [(8, WITHDRAW)]);
    assert_eq!(result.withdrawn, prefixes(&["10.1.0.0/16"]));

    let leftovers: [&[u8]; 4] = [&[0x40], &[0x40, 1], &[0x50, 1], &[0x50, 1, 0]];
    for leftover in leftovers {
        let list = [ORIGIN, AS_PATH, NEXT_HOP, leftover];
        let result = decoded(&update(&[], &list, NLRI)).unwrap();
        assert_eq!(defects(&result), [(0, WITHDRAW)]);
        assert_eq!(result.withdrawn, prefixes(&["10.1.0.0/16"]));
    }

    // Section 5.2: without a route to withdraw, the routes may be in the broken part.
    let without = decoded(&update(&[8, 11], &[MP_UNREACH, too_long], &[]));
    assert_eq!(without, Err(Notification::with_data(3, 5, too_long.to_vec())));
    let without = decoded(&update(&[8, 11], &[MP_UNREACH, &[0x40]], &[]));
    assert_eq!(without, Err(Notification::with_data(3, 1, vec![0x40])));
}

#[test]
fn an_mp_attribute_that_is_cut_resets() {
    // 3(j): its prefixes cannot be found.
    for len in 2..MP_REACH.len() {
        let cut = &MP_REACH[..len];
        let result = decoded(&update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, cut], NLRI));
        assert_eq!(result, Err(Notification::with_data(3, 9, cut.to_vec())));
    }
}

#[test]
fn a_next_hop_that_is_no_host() {
    // RFC 4271 section 6.3, 3(e)
    for addr in [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255; 4],
    ] {
        let next_hop = [&[0x40, 3, 4][..], &addr].concat();
        let classic = decoded(&update(&[], &[ORIGIN, AS_PATH, &next_hop], NLRI)).unwrap();
        assert_eq!(defects(&classic), [(3, WITHDRAW)]);
        assert_eq!(classic.withdrawn, prefixes(&["10.1.0.0/16"]));

        // RFC 4760 section 3: beside MP_REACH_NLRI alone, NEXT_HOP is ignored.
        let mp = decoded(&update(&[], &[MP_REACH, ORIGIN, AS_PATH, &next_hop], &[])).unwrap();
        assert_eq!(defects(&mp), [(3, DISCARD)]);
        assert_eq!(mp.announced, prefixes(&["2001:db8:1::/48"]));
        assert_eq!(mp.classic_next_hop, None);
    }
}

#[test]
fn an_unknown_well_known_attribute_resets() {
    // RFC 4271 section 6.3
    for flags in [0x40, 0x00, 0x60] {
        let unknown = [flags, 99, 1, 7];
        let result = decoded(&update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &unknown], NLRI));
        assert_eq!(result, Err(Notification::with_data(3, 2, unknown.to_vec())));
    }
}

#[test]
fn confederation_segments_from_an_internal_peer_are_fine() {
    let path: &[u8] = &[0x40, 2, 6, 3, 1, 0, 0, 0, 1];
    let update = decoded_in(&update(&[], &[ORIGIN, path, NEXT_HOP], NLRI), &IBGP).unwrap();
    assert_eq!(update.defects, []);
}
