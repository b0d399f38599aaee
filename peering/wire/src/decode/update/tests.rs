mod classification;
mod families;

use crate::test_support::{EBGP, IBGP, message, update};
use crate::{
    Aggregator, AsPath, AsSegment, Community, DecodeContext, Disposition, Family, LargeCommunity, Message,
    NextHop, Notification, Origin, Prefix, RawAttribute, Update, decode,
};

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
/// MP_REACH_NLRI: 2001:db8:1::/48 by 2001:db8::1.
const MP_REACH: &[u8] = &[
    0x80, 14, 28, 0, 2, 1, 16, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 48, 0x20, 1, 0x0d,
    0xb8, 0, 1,
];
/// MP_UNREACH_NLRI: 2001:db8:2::/48.
const MP_UNREACH: &[u8] = &[0x80, 15, 10, 0, 2, 1, 48, 0x20, 1, 0x0d, 0xb8, 0, 2];
/// 10.1.0.0/16
const NLRI: &[u8] = &[16, 10, 1];

fn decoded_in(frame: &[u8], context: &DecodeContext) -> Result<Update, Notification> {
    let Message::Update(update) = decode(frame, context)? else {
        panic!("not an UPDATE");
    };
    Ok(*update)
}

fn decoded(frame: &[u8]) -> Result<Update, Notification> {
    decoded_in(frame, &EBGP)
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Attribute and disposition of each defect.
fn defects(update: &Update) -> Vec<(u8, Disposition)> {
    update
        .defects
        .iter()
        .map(|defect| (defect.attribute, defect.disposition))
        .collect()
}

#[test]
fn a_clean_announcement() {
    let update = decoded(&update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], NLRI)).unwrap();

    assert_eq!(update.announced, prefixes(&["10.1.0.0/16"]));
    assert_eq!(update.withdrawn, []);
    assert_eq!(update.defects, []);
    assert_eq!(update.end_of_rib, None);
    assert_eq!(update.classic_next_hop, None);
    let attributes = update.attributes;
    assert_eq!(attributes.origin, Some(Origin::Igp));
    assert_eq!(attributes.as_path, Some(AsPath::sequence(vec![65001])));
    assert_eq!(attributes.next_hop, Some(NextHop::V4([192, 0, 2, 1].into())));
}

#[test]
fn every_attribute() {
    #[rustfmt::skip]
    let attributes: [&[u8]; 14] = [
        &[0x40, 1, 1, 2],
        &[0x50, 2, 0, 12, 2, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0],
        NEXT_HOP,
        &[0x80, 4, 4, 0, 0, 0, 100],
        &[0x40, 5, 4, 0, 0, 0, 200],
        &[0x40, 6, 0],
        &[0xc0, 7, 8, 0, 1, 0, 0, 192, 0, 2, 7],
        &[0xc0, 8, 8, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 1],
        &[0x80, 9, 4, 192, 0, 2, 9],
        &[0x80, 10, 8, 192, 0, 2, 10, 192, 0, 2, 11],
        &[0xc0, 16, 8, 0, 2, 0xfd, 0xe9, 0, 0, 0, 5],
        &[0xc0, 32, 24, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
        &[0xe0, 99, 2, 1, 2],
        &[0x8f, 98, 0],
    ];
    let update = decoded_in(&update(&[], &attributes, NLRI), &IBGP).unwrap();

    assert_eq!(update.defects, []);
    let attributes = update.attributes;
    assert_eq!(attributes.origin, Some(Origin::Incomplete));
    assert_eq!(
        attributes.as_path,
        Some(AsPath(vec![
            AsSegment::Sequence(vec![1]),
            AsSegment::Set(vec![65536])
        ]))
    );
    assert_eq!(attributes.med, Some(100));
    assert_eq!(attributes.local_pref, Some(200));
    assert!(attributes.atomic_aggregate);
    let aggregator = Aggregator {
        asn: 65536,
        addr: [192, 0, 2, 7].into(),
    };
    assert_eq!(attributes.aggregator, Some(aggregator));
    assert_eq!(
        attributes.communities,
        [Community::GRACEFUL_SHUTDOWN, Community::NO_EXPORT]
    );
    assert_eq!(attributes.originator_id, Some([192, 0, 2, 9].into()));
    assert_eq!(attributes.cluster_list.len(), 2);
    assert_eq!(attributes.extended_communities, [[0, 2, 0xfd, 0xe9, 0, 0, 0, 5]]);
    // RFC 8092 section 3: the second one is redundant.
    let large = LargeCommunity {
        global: 1,
        local1: 2,
        local2: 3,
    };
    assert_eq!(attributes.large_communities, [large]);
    let unknown = [
        RawAttribute {
            flags: 0xe0,
            code: 99,
            value: vec![1, 2],
        },
        RawAttribute {
            flags: 0x80,
            code: 98,
            value: vec![],
        },
    ];
    assert_eq!(attributes.unknown, unknown);
}

#[test]
fn classic_and_mp_in_one_message() {
    let frame = update(&[8, 11], &[MP_REACH, MP_UNREACH, ORIGIN, AS_PATH, NEXT_HOP], NLRI);
    let update = decoded(&frame).unwrap();

    assert_eq!(update.announced, prefixes(&["10.1.0.0/16", "2001:db8:1::/48"]));
    assert_eq!(update.withdrawn, prefixes(&["11.0.0.0/8", "2001:db8:2::/48"]));
    assert_eq!(
        update.attributes.next_hop.map(|hop| hop.addr().to_string()),
        Some("2001:db8::1".to_owned())
    );
    assert_eq!(update.classic_next_hop, Some(NextHop::V4([192, 0, 2, 1].into())));
}

#[test]
fn withdrawals_need_no_attributes() {
    let update = decoded(&update(&[8, 10, 0, 32, 1, 2, 3, 4], &[], &[])).unwrap();
    assert_eq!(
        update.withdrawn,
        prefixes(&["10.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32"])
    );
    assert_eq!(update.end_of_rib, None);
}

#[test]
fn bits_behind_the_prefix_are_cleared() {
    let update = decoded(&update(&[9, 10, 0xff], &[], &[])).unwrap();
    assert_eq!(update.withdrawn, prefixes(&["10.128.0.0/9"]));
}

#[test]
fn end_of_rib_of_any_family() {
    let ipv4 = decoded(&update(&[], &[], &[])).unwrap();
    assert_eq!(ipv4.end_of_rib, Some(Family::Ipv4Unicast.afi_safi()));

    for (octets, afi, safi) in [
        ([0x80, 15, 3, 0, 2, 1], 2, 1),
        ([0x80, 15, 3, 0, 1, 1], 1, 1),
        ([0x80, 15, 3, 0, 25, 70], 25, 70),
    ] {
        let update = decoded(&update(&[], &[&octets], &[])).unwrap();
        let pair = update.end_of_rib.unwrap();
        assert_eq!((pair.afi, pair.safi), (afi, safi));
        assert_eq!(update.defects, []);
    }
}

#[test]
fn what_looks_like_end_of_rib_but_is_not() {
    const EMPTY_UNREACH: &[u8] = &[0x80, 15, 3, 0, 2, 1];
    let look_alikes = [
        update(&[8, 10], &[EMPTY_UNREACH], &[]),
        update(&[], &[EMPTY_UNREACH, ORIGIN], &[]),
        update(&[], &[EMPTY_UNREACH, ORIGIN, AS_PATH, NEXT_HOP], NLRI),
        update(&[], &[ORIGIN], &[]),
        update(&[], &[&[0xc0, 99, 0]], &[]),
        update(&[], &[MP_UNREACH], &[]),
    ];
    for frame in look_alikes {
        assert_eq!(decoded(&frame).unwrap().end_of_rib, None);
    }
}

#[test]
fn lengths_that_exceed_the_message_reset() {
    // RFC 7606 section 3(b)
    let bodies: [&[u8]; 5] = [
        &[0, 1, 0, 0],
        &[0xff, 0xff, 0, 0],
        &[0, 0, 0, 1],
        &[0, 0, 0xff, 0xff],
        &[0, 2, 8, 10],
    ];
    for body in bodies {
        assert_eq!(decoded(&message(2, body)), Err(Notification::new(3, 1)));
    }
}

#[test]
fn classic_prefixes_that_cannot_be_parsed_reset() {
    // RFC 7606 sections 3(i), 3(j) and 5.3
    for field in [&[33, 10, 0, 0, 0, 0][..], &[24, 10, 0], &[255], &[8]] {
        let expected = Err(Notification::new(3, 10));
        assert_eq!(decoded(&update(field, &[], &[])), expected);
        let announced = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], field);
        assert_eq!(decoded(&announced), expected);
    }
}

#[test]
fn four_octet_numbers_from_a_two_octet_peer() {
    let context = DecodeContext {
        four_octet_as: false,
        ..EBGP
    };
    // AS_PATH 64512 23456, AGGREGATOR 23456, AS4_PATH 70000, AS4_AGGREGATOR 70000
    let as_path: &[u8] = &[0x40, 2, 6, 2, 2, 0xfc, 0, 0x5b, 0xa0];
    let as4_path: &[u8] = &[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70];
    let as4_aggregator: &[u8] = &[0xc0, 18, 8, 0, 1, 0x11, 0x70, 192, 0, 2, 7];
    let aggregator = |high, low| [0xc0, 7, 6, high, low, 192, 0, 2, 8];
    let read = |aggregator: &[u8]| {
        let list = [ORIGIN, as_path, NEXT_HOP, aggregator, as4_path, as4_aggregator];
        decoded_in(&update(&[], &list, NLRI), &context).unwrap()
    };

    // RFC 6793 section 4.2.3: all is taken from the AS4 attributes,
    let merged = read(&aggregator(0x5b, 0xa0));
    assert_eq!(merged.defects, []);
    assert_eq!(
        merged.attributes.as_path,
        Some(AsPath::sequence(vec![64512, 70000]))
    );
    assert_eq!(merged.attributes.aggregator.map(|a| a.asn), Some(70000));

    // or, where somebody else aggregated since, nothing;
    let stale = read(&aggregator(0xfd, 0xe9));
    assert_eq!(
        stale.attributes.as_path,
        Some(AsPath::sequence(vec![64512, 23456]))
    );
    assert_eq!(stale.attributes.aggregator.map(|a| a.asn), Some(65001));

    // without AGGREGATOR, only the path.
    let no_aggregator = read(&[]);
    assert_eq!(
        no_aggregator.attributes.as_path,
        Some(AsPath::sequence(vec![64512, 70000]))
    );
    assert_eq!(no_aggregator.attributes.aggregator, None);
}

#[test]
fn as4_attributes_before_as_path() {
    let context = DecodeContext {
        four_octet_as: false,
        ..EBGP
    };
    let as4_path: &[u8] = &[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70];
    let as_path: &[u8] = &[0x40, 2, 4, 2, 1, 0x5b, 0xa0];
    let frame = update(&[], &[as4_path, ORIGIN, as_path, NEXT_HOP], NLRI);

    let update = decoded_in(&frame, &context).unwrap();
    assert_eq!(update.attributes.as_path, Some(AsPath::sequence(vec![70000])));
}
