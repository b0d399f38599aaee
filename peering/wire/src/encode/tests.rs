use crate::test_support::{EBGP, open};
use crate::{
    AfiSafi, Aggregator, AsPath, AsSegment, Capability, DecodeContext, EncodeContext, Family,
    GracefulRestart, GracefulRestartFamily, LongLivedFamily, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Message,
    NextHop, Notification, Open, Origin, PathAttributes, RawAttribute, RefreshKind, RouteRefresh, Update,
    decode, encode_keepalive, encode_notification, encode_open, encode_route_refresh, encode_update,
};

const FOUR_OCTET: EncodeContext = EncodeContext {
    four_octet_as: true,
    max_message: MAX_MESSAGE,
};
const TWO_OCTET: EncodeContext = EncodeContext {
    four_octet_as: false,
    ..FOUR_OCTET
};

fn open_with(capabilities: Vec<Capability>) -> Open {
    Open {
        asn: 65001,
        hold_time: 90,
        bgp_id: [192, 0, 2, 1].into(),
        capabilities,
    }
}

fn encoded_open(open: &Open) -> Vec<u8> {
    let mut out = Vec::new();
    encode_open(open, &mut out);
    out
}

fn reopened(open: &Open) -> Open {
    match decode(&encoded_open(open), &EBGP) {
        Ok(Message::Open(open)) => open,
        other => panic!("not an OPEN: {other:?}"),
    }
}

fn announcement(as_path: AsPath) -> Update {
    Update {
        announced: vec!["10.1.0.0/16".parse().unwrap()],
        attributes: PathAttributes {
            origin: Some(Origin::Igp),
            as_path: Some(as_path),
            next_hop: Some(NextHop::V4([192, 0, 2, 1].into())),
            ..PathAttributes::default()
        },
        ..Update::default()
    }
}

/// The path attributes field.
fn attributes_of(update: &Update, context: &EncodeContext) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(encode_update(update, context, &mut out));
    let length_at = |at: usize| usize::from(u16::from_be_bytes([out[at], out[at + 1]]));
    let attributes = 19 + 2 + length_at(19);
    out[attributes + 2..][..length_at(attributes)].to_vec()
}

fn reread(update: &Update, context: &EncodeContext) -> Update {
    let mut out = Vec::new();
    assert!(encode_update(update, context, &mut out));
    let context = DecodeContext {
        four_octet_as: context.four_octet_as,
        max_message: context.max_message,
        ebgp: false,
        ..EBGP
    };
    match decode(&out, &context) {
        Ok(Message::Update(update)) => *update,
        other => panic!("not an UPDATE: {other:?}"),
    }
}

#[test]
fn small_messages_byte_for_byte() {
    let mut out = Vec::new();
    encode_keepalive(&mut out);
    assert_eq!(out, [&[0xff; 16][..], &[0, 19, 4]].concat());

    out.clear();
    encode_notification(&Notification::with_data(6, 2, vec![1, b'x']), &mut out);
    assert_eq!(out[16..], [0, 23, 3, 6, 2, 1, b'x']);

    out.clear();
    let refresh = RouteRefresh {
        family: AfiSafi { afi: 2, safi: 1 },
        kind: RefreshKind::End,
    };
    encode_route_refresh(&refresh, &mut out);
    assert_eq!(out[16..], [0, 23, 5, 0, 2, 2, 1]);
}

#[test]
fn a_notification_is_cut_to_4096_octets() {
    let mut out = Vec::new();
    encode_notification(&Notification::with_data(3, 1, vec![7; 70_000]), &mut out);
    assert_eq!(out.len(), MAX_MESSAGE);
    assert!(decode(&out, &EBGP).is_ok());
}

#[test]
fn open_byte_for_byte() {
    assert_eq!(encoded_open(&open_with(vec![])), open(&[0]));

    let capabilities = vec![
        Capability::Multiprotocol(Family::Ipv6Unicast.afi_safi()),
        Capability::RouteRefresh,
        Capability::FourOctetAs(65001),
    ];
    let expected = open(&[16, 2, 14, 1, 4, 0, 2, 0, 1, 2, 0, 65, 4, 0, 0, 0xfd, 0xe9]);
    assert_eq!(encoded_open(&open_with(capabilities)), expected);
}

#[test]
fn a_large_as_number_is_as_trans_in_the_fixed_field() {
    let mut open = open_with(vec![Capability::FourOctetAs(4_200_000_000)]);
    open.asn = 4_200_000_000;
    let out = encoded_open(&open);
    assert_eq!(out[20..22], 23456_u16.to_be_bytes());
    assert_eq!(reopened(&open), open);
}

#[test]
fn extended_parameters_begin_where_the_classic_ones_end() {
    let value = |len| Capability::Unknown {
        code: 200,
        value: vec![0; len],
    };
    // 253 octets of capabilities and their parameter are what a length of 255 can say.
    let classic = open_with(vec![value(251)]);
    assert_eq!(encoded_open(&classic)[28..31], [255, 2, 253]);
    assert_eq!(reopened(&classic), classic);

    let extended = open_with(vec![value(252)]);
    assert_eq!(encoded_open(&extended)[28..35], [255, 255, 1, 1, 2, 0, 254]);
    assert_eq!(reopened(&extended), extended);
}

#[test]
fn an_open_never_exceeds_4096_octets() {
    let value = Capability::Unknown {
        code: 200,
        value: vec![0; 255],
    };
    let open = open_with(vec![value; 100]);
    let out = encoded_open(&open);
    assert!(out.len() <= MAX_MESSAGE);
    assert_eq!(reopened(&open).capabilities.len(), 15);
}

#[test]
fn capabilities_larger_than_their_value_are_cut_at_an_entry() {
    let family = Family::Ipv4Unicast.afi_safi();
    let open = open_with(vec![
        Capability::ExtendedNextHop(vec![(family, 2); 100]),
        Capability::GracefulRestart(GracefulRestart {
            restart_time: 9999,
            families: vec![
                GracefulRestartFamily {
                    family,
                    forwarding: true
                };
                100
            ],
            ..GracefulRestart::default()
        }),
        Capability::LongLivedGracefulRestart(vec![
            LongLivedFamily {
                family,
                forwarding: true,
                stale_time: u32::MAX
            };
            100
        ]),
        Capability::Fqdn {
            host: "ü".repeat(200),
            domain: "d".repeat(200),
        },
        Capability::Unknown {
            code: 200,
            value: vec![1; 300],
        },
    ]);
    let capabilities = reopened(&open).capabilities;

    let [
        Capability::ExtendedNextHop(pairs),
        Capability::GracefulRestart(restart),
        Capability::LongLivedGracefulRestart(long_lived),
        Capability::Fqdn { host, domain },
        Capability::Unknown { value, .. },
    ] = capabilities.as_slice()
    else {
        panic!("not the same capabilities: {capabilities:?}");
    };
    assert_eq!(pairs.len(), 42);
    assert_eq!(restart.restart_time, 4095);
    assert_eq!(restart.families.len(), 63);
    assert_eq!(long_lived.len(), 36);
    assert_eq!(long_lived[0].stale_time, 0x00ff_ffff);
    assert_eq!(*host, "ü".repeat(126));
    assert_eq!(*domain, "d");
    assert_eq!(value.len(), 255);
}

#[test]
fn attributes_are_in_ascending_order_and_unknown_ones_among_them() {
    let raw = |code| RawAttribute {
        flags: 0xff,
        code,
        value: vec![code],
    };
    let mut update = announcement(AsPath::sequence(vec![1]));
    // 2 and 14 have a place of their own; the second 40 is a duplicate.
    update.attributes.unknown = vec![raw(200), raw(40), raw(2), raw(14), raw(40), raw(25)];
    update.attributes.large_communities = vec![crate::LargeCommunity {
        global: 1,
        local1: 2,
        local2: 3,
    }];

    let reread = reread(&update, &FOUR_OCTET);

    assert_eq!(reread.defects, []);
    let codes: Vec<_> = reread
        .attributes
        .unknown
        .iter()
        .map(|raw| (raw.code, raw.flags))
        .collect();
    assert_eq!(codes, [(25, 0xe0), (40, 0xe0), (200, 0xe0)]);
    let octets = attributes_of(&update, &FOUR_OCTET);
    let large = octets.windows(2).position(|pair| pair == [0xc0, 32]).unwrap();
    let after = octets.windows(2).position(|pair| pair == [0xe0, 40]).unwrap();
    assert!(large < after);
}

#[test]
fn the_length_is_extended_only_above_255() {
    for (octets, head) in [(255, &[0xc0, 99, 255, 1][..]), (256, &[0xd0, 99, 1, 0, 1][..])] {
        let update = Update {
            attributes: PathAttributes {
                unknown: vec![RawAttribute {
                    flags: 0xc0,
                    code: 99,
                    value: vec![1; octets],
                }],
                ..PathAttributes::default()
            },
            ..Update::default()
        };
        assert!(attributes_of(&update, &FOUR_OCTET).starts_with(head));
        assert_eq!(reread(&update, &FOUR_OCTET), update);
    }
}

#[test]
fn a_long_path_is_several_segments() {
    let asns: Vec<u32> = (1..=600).collect();
    let update = announcement(AsPath::sequence(asns.clone()));
    let path = reread(&update, &FOUR_OCTET).attributes.as_path.unwrap();

    assert_eq!(path.0.len(), 3);
    assert_eq!(path.asns().collect::<Vec<_>>(), asns);
}

#[test]
fn a_segment_without_as_numbers_is_left_out() {
    let update = announcement(AsPath(vec![AsSegment::Sequence(vec![])]));
    let reread = reread(&update, &FOUR_OCTET);
    assert_eq!(reread.defects, []);
    assert_eq!(reread.attributes.as_path, Some(AsPath::default()));
}

#[test]
fn two_octet_peers_get_as_trans_and_as4_path() {
    // RFC 6793 section 4.2.2
    let mut update = announcement(AsPath::sequence(vec![65001, 70000]));
    update.attributes.aggregator = Some(Aggregator {
        asn: 70000,
        addr: [192, 0, 2, 7].into(),
    });
    let octets = attributes_of(&update, &TWO_OCTET);
    let expected: [&[u8]; 6] = [
        &[0x40, 1, 1, 0],
        &[0x40, 2, 6, 2, 2, 0xfd, 0xe9, 0x5b, 0xa0],
        &[0x40, 3, 4, 192, 0, 2, 1],
        &[0xc0, 7, 6, 0x5b, 0xa0, 192, 0, 2, 7],
        &[0xc0, 17, 10, 2, 2, 0, 0, 0xfd, 0xe9, 0, 1, 0x11, 0x70],
        &[0xc0, 18, 8, 0, 1, 0x11, 0x70, 192, 0, 2, 7],
    ];
    assert_eq!(octets, expected.concat());
    assert_eq!(reread(&update, &TWO_OCTET), update);
}

#[test]
fn no_as4_attributes_where_all_numbers_fit() {
    let mut update = announcement(AsPath::sequence(vec![65001, 65535]));
    update.attributes.aggregator = Some(Aggregator {
        asn: 65535,
        addr: [192, 0, 2, 7].into(),
    });
    let octets = attributes_of(&update, &TWO_OCTET);
    assert!(
        !octets
            .windows(2)
            .any(|pair| pair == [0xc0, 17] || pair == [0xc0, 18])
    );
    assert_eq!(reread(&update, &TWO_OCTET), update);
}

#[test]
fn confederation_segments_are_not_in_as4_path() {
    let update = announcement(AsPath(vec![
        AsSegment::ConfedSequence(vec![65100]),
        AsSegment::Sequence(vec![70000]),
    ]));
    let octets = attributes_of(&update, &TWO_OCTET);
    assert!(octets.ends_with(&[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70]));
    assert_eq!(reread(&update, &TWO_OCTET), update);
}

#[test]
fn both_families_and_withdrawals_in_one_message() {
    let mut update = announcement(AsPath::sequence(vec![65001]));
    update.announced.push("2001:db8::/32".parse().unwrap());
    update.withdrawn = vec!["11.0.0.0/8".parse().unwrap(), "2001:db9::/32".parse().unwrap()];
    update.classic_next_hop = update.attributes.next_hop;
    update.attributes.next_hop = Some(NextHop::V6 {
        global: "2001:db8::1".parse().unwrap(),
        link_local: Some("fe80::1".parse().unwrap()),
    });

    let octets = attributes_of(&update, &FOUR_OCTET);

    // RFC 7606 section 5.1: MP_REACH_NLRI, then MP_UNREACH_NLRI, then the rest.
    assert_eq!(octets[..2], [0x80, 14]);
    let unreach = 3 + usize::from(octets[2]);
    assert_eq!(octets[unreach..unreach + 2], [0x80, 15]);
    assert_eq!(reread(&update, &FOUR_OCTET), update);
}

#[test]
fn end_of_rib_of_another_family() {
    let update = Update {
        end_of_rib: Some(AfiSafi { afi: 25, safi: 70 }),
        ..Update::default()
    };
    assert_eq!(reread(&update, &FOUR_OCTET), update);
}

#[test]
fn what_does_not_fit_or_has_no_next_hop_is_not_written() {
    let mut too_long = announcement(AsPath::default());
    too_long.announced = vec!["10.1.2.3/32".parse().unwrap(); 900];
    let mut no_next_hop = announcement(AsPath::default());
    no_next_hop.attributes.next_hop = None;
    let mut wrong_family = announcement(AsPath::default());
    wrong_family.announced.push("2001:db8::/32".parse().unwrap());
    let mut no_mp_next_hop = announcement(AsPath::default());
    no_mp_next_hop.classic_next_hop = no_mp_next_hop.attributes.next_hop.take();

    for update in [&too_long, &no_next_hop, &wrong_family, &no_mp_next_hop] {
        let mut out = vec![1, 2, 3];
        assert!(!encode_update(update, &FOUR_OCTET, &mut out));
        assert_eq!(out, [1, 2, 3]);
    }
    let extended = EncodeContext {
        max_message: MAX_EXTENDED_MESSAGE,
        ..FOUR_OCTET
    };
    assert_eq!(reread(&too_long, &extended), too_long);
}
