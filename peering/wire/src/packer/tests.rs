use crate::{
    AsPath, Community, DecodeContext, EncodeContext, EncodedAttributes, Family, FamilySet,
    MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Message, NextHop, Origin, PathAttributes, Prefix, Update,
    UpdatePacker, decode, encode_end_of_rib,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const CONTEXT: EncodeContext = EncodeContext {
    four_octet_as: true,
    max_message: MAX_MESSAGE,
};

/// ORIGIN (4 octets), AS_PATH of one AS number (9) and, for IPv4, NEXT_HOP (7).
fn attributes(next_hop: &str) -> PathAttributes {
    PathAttributes {
        origin: Some(Origin::Igp),
        as_path: Some(AsPath::sequence(vec![65001])),
        next_hop: Some(NextHop::from(next_hop.parse::<IpAddr>().unwrap())),
        ..PathAttributes::default()
    }
}

fn host_v4(n: u32) -> Prefix {
    Prefix::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

fn host_v6(n: u32) -> Prefix {
    Prefix::host(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n)).into())
}

/// Packs until the packer says that it is full.
fn fill(mut packer: UpdatePacker<'_>, prefix: fn(u32) -> Prefix) -> usize {
    for n in 0.. {
        if !packer.push(&prefix(n)) {
            break;
        }
    }
    packer.finish()
}

fn decoded(frame: &[u8]) -> Update {
    let context = DecodeContext {
        four_octet_as: true,
        families: FamilySet::ALL,
        extended_next_hop: FamilySet::ALL,
        ebgp: true,
        max_message: MAX_EXTENDED_MESSAGE,
    };
    let Message::Update(update) = decode(frame, &context).unwrap() else {
        panic!("not an UPDATE");
    };
    assert_eq!(update.defects, []);
    *update
}

#[test]
fn a_message_holds_810_ipv4_host_routes() {
    let encoded = EncodedAttributes::new(Family::Ipv4Unicast, &attributes("192.0.2.1"), &CONTEXT);
    let mut out = Vec::new();

    let count = fill(UpdatePacker::announce(&encoded, &CONTEXT, &mut out), host_v4);

    assert_eq!(count, 810);
    assert_eq!(out.len(), 19 + 2 + 2 + 20 + 810 * 5);
    let update = decoded(&out);
    assert_eq!(update.announced, (0..810).map(host_v4).collect::<Vec<_>>());
    assert_eq!(update.attributes, attributes("192.0.2.1"));
}

#[test]
fn a_message_holds_237_ipv6_host_routes() {
    let encoded = EncodedAttributes::new(Family::Ipv6Unicast, &attributes("2001:db8::1"), &CONTEXT);
    let mut out = Vec::new();

    let count = fill(UpdatePacker::announce(&encoded, &CONTEXT, &mut out), host_v6);

    assert_eq!(count, 237);
    assert!(out.len() > MAX_MESSAGE - 17);
    let update = decoded(&out);
    assert_eq!(update.announced, (0..237).map(host_v6).collect::<Vec<_>>());
    assert_eq!(update.attributes, attributes("2001:db8::1"));
}

#[test]
fn an_extended_message_is_filled_to_65535_octets() {
    let context = EncodeContext {
        max_message: MAX_EXTENDED_MESSAGE,
        ..CONTEXT
    };
    let encoded = EncodedAttributes::new(Family::Ipv4Unicast, &attributes("192.0.2.1"), &context);
    let mut out = Vec::new();

    let count = fill(UpdatePacker::announce(&encoded, &context, &mut out), host_v4);

    assert_eq!(count, (65535 - 43) / 5);
    assert_eq!(decoded(&out).announced.len(), count);
}

#[test]
fn every_octet_of_the_limit_is_used() {
    // 810 of 5 octets leave 3 of the 4053: room for a /16.
    let encoded = EncodedAttributes::new(Family::Ipv4Unicast, &attributes("192.0.2.1"), &CONTEXT);
    let mut out = Vec::new();
    let mut packer = UpdatePacker::announce(&encoded, &CONTEXT, &mut out);
    while packer.push(&host_v4(1)) {}
    assert!(packer.push(&"10.0.0.0/16".parse().unwrap()));
    assert!(!packer.push(&"0.0.0.0/0".parse().unwrap()));

    assert_eq!(packer.finish(), 811);
    assert_eq!(out.len(), MAX_MESSAGE);
}

#[test]
fn withdrawals_fill_the_message_too() {
    let mut out = Vec::new();
    let count = fill(
        UpdatePacker::withdraw(Family::Ipv4Unicast, &CONTEXT, &mut out),
        host_v4,
    );
    assert_eq!(count, (4096 - 23) / 5);
    assert_eq!(decoded(&out).withdrawn.len(), count);

    out.clear();
    let count = fill(
        UpdatePacker::withdraw(Family::Ipv6Unicast, &CONTEXT, &mut out),
        host_v6,
    );
    assert_eq!(count, (4096 - 23 - 4 - 3) / 17);
    assert_eq!(decoded(&out).withdrawn.len(), count);
}

#[test]
fn ipv4_over_an_ipv6_next_hop_is_mp_reach_placed_first() {
    let encoded = EncodedAttributes::new(Family::Ipv4Unicast, &attributes("2001:db8::1"), &CONTEXT);
    let mut out = Vec::new();
    let mut packer = UpdatePacker::announce(&encoded, &CONTEXT, &mut out);
    assert!(packer.push(&host_v4(1)));
    assert_eq!(packer.finish(), 1);

    // RFC 7606 section 5.1: flags 0x90 (optional, extended length), type 14 behind the two length fields.
    assert_eq!(out[23..25], [0x90, 14]);
    assert_eq!(out[27..31], [0, 1, 1, 16]);
    let update = decoded(&out);
    assert_eq!(update.announced, [host_v4(1)]);
    assert_eq!(update.attributes, attributes("2001:db8::1"));
}

#[test]
fn the_bytes_of_a_small_announcement() {
    let encoded = EncodedAttributes::new(Family::Ipv4Unicast, &attributes("192.0.2.1"), &CONTEXT);
    let mut out = Vec::new();
    let mut packer = UpdatePacker::announce(&encoded, &CONTEXT, &mut out);
    assert!(packer.push(&"10.1.0.0/16".parse().unwrap()));
    assert_eq!(packer.finish(), 1);

    let mut expected = vec![0xff; 16];
    expected.extend([0, 46, 2, 0, 0, 0, 20]);
    expected.extend([0x40, 1, 1, 0]);
    expected.extend([0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9]);
    expected.extend([0x40, 3, 4, 192, 0, 2, 1]);
    expected.extend([16, 10, 1]);
    assert_eq!(out, expected);
}

#[test]
fn an_empty_message_is_taken_back() {
    let encoded = EncodedAttributes::new(Family::Ipv6Unicast, &attributes("2001:db8::1"), &CONTEXT);
    let mut out = vec![1, 2, 3];

    assert_eq!(UpdatePacker::announce(&encoded, &CONTEXT, &mut out).finish(), 0);
    let withdraw = UpdatePacker::withdraw(Family::Ipv4Unicast, &CONTEXT, &mut out);
    assert_eq!(withdraw.finish(), 0);

    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn messages_follow_each_other_in_one_buffer() {
    let encoded = EncodedAttributes::new(Family::Ipv4Unicast, &attributes("192.0.2.1"), &CONTEXT);
    let mut out = Vec::new();
    let first = fill(UpdatePacker::announce(&encoded, &CONTEXT, &mut out), host_v4);
    let boundary = out.len();
    let second = fill(
        UpdatePacker::withdraw(Family::Ipv4Unicast, &CONTEXT, &mut out),
        host_v4,
    );

    assert_eq!(decoded(&out[..boundary]).announced.len(), first);
    assert_eq!(decoded(&out[boundary..]).withdrawn.len(), second);
}

#[test]
fn attributes_larger_than_the_message_hold_nothing() {
    for (octets, limit) in [(5_000, MAX_MESSAGE), (70_000, MAX_EXTENDED_MESSAGE)] {
        let attributes = PathAttributes {
            communities: vec![Community::NO_EXPORT; octets / 4],
            ..attributes("192.0.2.1")
        };
        let context = EncodeContext {
            max_message: limit,
            ..CONTEXT
        };
        let encoded = EncodedAttributes::new(Family::Ipv4Unicast, &attributes, &context);
        let mut out = Vec::new();
        let mut packer = UpdatePacker::announce(&encoded, &context, &mut out);

        assert!(!packer.push(&host_v4(1)));
        assert_eq!(packer.finish(), 0);
        assert_eq!(out, []);
    }
}

#[test]
fn nothing_is_announced_without_a_usable_next_hop() {
    let without = PathAttributes {
        next_hop: None,
        ..attributes("192.0.2.1")
    };
    for (family, attributes, prefix) in [
        (Family::Ipv4Unicast, &without, host_v4(1)),
        (Family::Ipv6Unicast, &without, host_v6(1)),
        (Family::Ipv6Unicast, &attributes("192.0.2.1"), host_v6(1)),
    ] {
        let encoded = EncodedAttributes::new(family, attributes, &CONTEXT);
        let mut out = Vec::new();
        let mut packer = UpdatePacker::announce(&encoded, &CONTEXT, &mut out);
        assert!(!packer.push(&prefix));
        assert_eq!(packer.finish(), 0);
    }
}

#[test]
fn a_prefix_of_the_other_family_is_refused() {
    let encoded = EncodedAttributes::new(Family::Ipv4Unicast, &attributes("192.0.2.1"), &CONTEXT);
    let mut out = Vec::new();
    let mut packer = UpdatePacker::announce(&encoded, &CONTEXT, &mut out);
    assert!(!packer.push(&host_v6(1)));
    assert!(packer.push(&host_v4(1)));
    assert_eq!(packer.finish(), 1);
}

#[test]
fn mandatory_attributes_are_always_there() {
    let bare = PathAttributes {
        next_hop: attributes("192.0.2.1").next_hop,
        ..PathAttributes::default()
    };
    let encoded = EncodedAttributes::new(Family::Ipv4Unicast, &bare, &CONTEXT);
    let mut out = Vec::new();
    let mut packer = UpdatePacker::announce(&encoded, &CONTEXT, &mut out);
    assert!(packer.push(&host_v4(1)));
    assert_eq!(packer.finish(), 1);

    let update = decoded(&out);
    assert_eq!(update.attributes.origin, Some(Origin::Igp));
    assert_eq!(update.attributes.as_path, Some(AsPath::default()));
}

#[test]
fn end_of_rib_markers() {
    // RFC 4724 section 2: an UPDATE of the minimum length; MP_UNREACH_NLRI with no prefixes.
    let mut out = Vec::new();
    encode_end_of_rib(Family::Ipv4Unicast, &mut out);
    assert_eq!(out[16..], [0, 23, 2, 0, 0, 0, 0]);
    assert_eq!(decoded(&out).end_of_rib, Some(Family::Ipv4Unicast.afi_safi()));

    out.clear();
    encode_end_of_rib(Family::Ipv6Unicast, &mut out);
    assert_eq!(out[16..], [0, 29, 2, 0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1]);
    assert_eq!(decoded(&out).end_of_rib, Some(Family::Ipv6Unicast.afi_safi()));
}
