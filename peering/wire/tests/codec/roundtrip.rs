//! What is encoded is decoded as it was.

use crate::strategies::{announcement, decode_context, encode_context, open, prefix_v4, prefix_v6, update};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::{
    AfiSafi, EncodeContext, EncodedAttributes, Family, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Message,
    Notification, Prefix, RefreshKind, RouteRefresh, Update, UpdatePacker, decode, encode_notification,
    encode_open, encode_route_refresh, encode_update, frame_len,
};

fn decoded_update(frame: &[u8], four_octet_as: bool) -> Update {
    match decode(frame, &decode_context(four_octet_as)) {
        Ok(Message::Update(update)) => *update,
        other => panic!("not an UPDATE: {other:?}"),
    }
}

/// The messages of a buffer.
fn frames(mut octets: &[u8], max_message: usize) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some(len) = frame_len(octets, max_message).unwrap() {
        let (frame, rest) = octets.split_at(len);
        frames.push(frame);
        octets = rest;
    }
    assert_eq!(octets, []);
    frames
}

/// Packs all prefixes, announcing or withdrawing, in as many messages as that takes.
fn pack(
    prefixes: &[Prefix],
    family: Family,
    attributes: Option<&EncodedAttributes>,
    context: &EncodeContext,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut left = prefixes;
    while !left.is_empty() {
        let mut packer = match attributes {
            Some(attributes) => UpdatePacker::announce(attributes, context, &mut out),
            None => UpdatePacker::withdraw(family, context, &mut out),
        };
        for prefix in left {
            if !packer.push(prefix) {
                break;
            }
        }
        let packed = packer.finish();
        assert_ne!(packed, 0);
        left = &left[packed..];
    }
    out
}

/// Octets of a prefix as NLRI.
fn size(prefix: &Prefix) -> usize {
    1 + usize::from(prefix.len().div_ceil(8))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn updates(update in update(), four_octet_as: bool) {
        let mut out = Vec::new();
        prop_assert!(encode_update(&update, &encode_context(four_octet_as), &mut out));
        prop_assert_eq!(decoded_update(&out, four_octet_as), update);
    }

    #[test]
    fn packed_announcements(
        (family, attributes) in announcement(),
        v4 in vec(prefix_v4(), 1..1500),
        v6 in vec(prefix_v6(), 1..1500),
        four_octet_as: bool,
        extended: bool,
    ) {
        let max_message = if extended { MAX_EXTENDED_MESSAGE } else { MAX_MESSAGE };
        let context = EncodeContext { four_octet_as, max_message };
        let prefixes = match family {
            Family::Ipv4Unicast => v4,
            Family::Ipv6Unicast => v6,
        };
        let encoded = EncodedAttributes::new(family, &attributes, &context);
        let out = pack(&prefixes, family, Some(&encoded), &context);

        let mut announced = Vec::new();
        for frame in frames(&out, max_message) {
            let update = decoded_update(frame, four_octet_as);
            prop_assert_eq!(&update.defects, &[]);
            prop_assert_eq!(&update.attributes, &attributes);
            announced.extend(update.announced);
            if let Some(next) = prefixes.get(announced.len()) {
                prop_assert!(frame.len() + size(next) > max_message);
            }
        }
        prop_assert_eq!(announced, prefixes);
    }

    #[test]
    fn packed_withdrawals(v4 in vec(prefix_v4(), 1..1500), v6 in vec(prefix_v6(), 1..1500)) {
        let context = EncodeContext { four_octet_as: true, max_message: MAX_MESSAGE };
        for (family, prefixes) in [(Family::Ipv4Unicast, v4), (Family::Ipv6Unicast, v6)] {
            let out = pack(&prefixes, family, None, &context);

            let mut withdrawn = Vec::new();
            for frame in frames(&out, MAX_MESSAGE) {
                withdrawn.extend(decoded_update(frame, true).withdrawn);
                if let Some(next) = prefixes.get(withdrawn.len()) {
                    prop_assert!(frame.len() + size(next) > MAX_MESSAGE);
                }
            }
            prop_assert_eq!(withdrawn, prefixes);
        }
    }

    #[test]
    fn opens(open in open()) {
        let mut out = Vec::new();
        encode_open(&open, &mut out);
        let decoded = decode(&out, &decode_context(true));
        prop_assert_eq!(decoded, Ok(Message::Open(open)));
    }

    #[test]
    fn notifications(code: u8, subcode: u8, data in vec(any::<u8>(), 0..100)) {
        let notification = Notification::with_data(code, subcode, data);
        let mut out = Vec::new();
        encode_notification(&notification, &mut out);
        let decoded = decode(&out, &decode_context(true));
        prop_assert_eq!(decoded, Ok(Message::Notification(notification)));
    }

    #[test]
    fn route_refreshes(afi: u16, safi: u8, subtype: u8) {
        let kind = match subtype {
            0 => RefreshKind::Request,
            1 => RefreshKind::Begin,
            2 => RefreshKind::End,
            other => RefreshKind::Other(other),
        };
        let refresh = RouteRefresh { family: AfiSafi { afi, safi }, kind };
        let mut out = Vec::new();
        encode_route_refresh(&refresh, &mut out);
        let decoded = decode(&out, &decode_context(true));
        prop_assert_eq!(decoded, Ok(Message::RouteRefresh(refresh)));
    }
}
