//! Both directions against `netgauze-bgp-pkt`: what we write it reads as we meant it, and what it then writes we
//! read as we meant it.
//!
//! Where the two differ on purpose:
//! - It keeps AS4_PATH and AS4_AGGREGATOR apart, we merge them (RFC 6793 section 4.2.3).
//! - It knows no confederation segments, and refuses a path that has them.
//! - It does not read the extended optional parameters of RFC 9072.
//! - It wants the BGP identifier to be a unicast address, as RFC 4271 does; RFC 6286 allows anything but zero.
//! - It has no dispositions: a malformed attribute is an error of the message, or, where told so, left out.

use crate::strategies::{decode_context, encode_context, open, update};
use ipnet::IpNet;
use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::path_attribute::{Aggregator as TheirAggregator, PathAttributeValue};
use netgauze_bgp_pkt::path_attribute::{AsPath as TheirAsPath, AsPathSegmentType, MpReach, MpUnreach};
use netgauze_bgp_pkt::update::BgpUpdateMessage;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;
use proptest::prelude::*;
use std::net::IpAddr;
use wire::{
    Aggregator, AsPath, AsSegment, Community, LargeCommunity, Message, NextHop, Origin, Prefix, Update,
    decode, encode_open, encode_update,
};

fn read(frame: &[u8], four_octet_as: bool) -> BgpMessage {
    let mut context = BgpParsingContext::asn2_default();
    context.set_asn4(four_octet_as);
    BgpMessage::parse(&mut SliceReader::new(frame), &mut context).unwrap()
}

fn written(message: &BgpMessage) -> Vec<u8> {
    let mut out = Vec::new();
    message.write(&mut out).unwrap();
    out
}

fn v6(global: std::net::Ipv6Addr, link_local: Option<std::net::Ipv6Addr>) -> NextHop {
    NextHop::V6 { global, link_local }
}

/// What it read, in our words: prefixes and next hops, and the attributes that say something of their own.
fn translated(update: &BgpUpdateMessage) -> Update {
    let mut ours = Update::default();
    let mut mp_next_hop = None;
    let mut classic_next_hop = None;
    for entry in update.withdraw_routes() {
        ours.withdrawn
            .push(Prefix::from(IpNet::V4(entry.network().address())));
    }
    for entry in update.nlri() {
        ours.announced
            .push(Prefix::from(IpNet::V4(entry.network().address())));
    }
    for attribute in update.path_attributes() {
        let attributes = &mut ours.attributes;
        match attribute.value() {
            PathAttributeValue::Origin(origin) => {
                attributes.origin = Some(match *origin as u8 {
                    0 => Origin::Igp,
                    1 => Origin::Egp,
                    _ => Origin::Incomplete,
                });
            }
            PathAttributeValue::AsPath(TheirAsPath::As4PathSegments(segments)) => {
                let segments = segments.iter().map(|segment| {
                    let asns = segment.as_numbers().to_vec();
                    match segment.segment_type() {
                        AsPathSegmentType::AsSet => AsSegment::Set(asns),
                        AsPathSegmentType::AsSequence => AsSegment::Sequence(asns),
                    }
                });
                attributes.as_path = Some(AsPath(segments.collect()));
            }
            PathAttributeValue::NextHop(hop) => classic_next_hop = Some(NextHop::V4(hop.next_hop())),
            PathAttributeValue::MultiExitDiscriminator(med) => attributes.med = Some(med.metric()),
            PathAttributeValue::LocalPreference(value) => attributes.local_pref = Some(value.metric()),
            PathAttributeValue::AtomicAggregate(_) => attributes.atomic_aggregate = true,
            PathAttributeValue::Aggregator(TheirAggregator::As4Aggregator(value)) => {
                attributes.aggregator = Some(Aggregator {
                    asn: *value.asn(),
                    addr: value.origin(),
                });
            }
            PathAttributeValue::Communities(values) => {
                let values = values.communities().iter().map(|value| Community(value.value()));
                attributes.communities = values.collect();
            }
            PathAttributeValue::LargeCommunities(values) => {
                let values = values.communities().iter().map(|value| LargeCommunity {
                    global: value.global_admin(),
                    local1: value.local_data1(),
                    local2: value.local_data2(),
                });
                attributes.large_communities = values.collect();
            }
            PathAttributeValue::Originator(id) => attributes.originator_id = Some(id.id()),
            PathAttributeValue::ClusterList(list) => {
                attributes.cluster_list = list.cluster_list().iter().map(|id| id.id()).collect();
            }
            PathAttributeValue::MpReach(MpReach::Ipv4Unicast {
                next_hop,
                next_hop_local,
                nlri,
            }) => {
                mp_next_hop = Some(match next_hop {
                    IpAddr::V4(addr) => NextHop::V4(*addr),
                    IpAddr::V6(global) => v6(*global, *next_hop_local),
                });
                let prefixes = nlri
                    .iter()
                    .map(|entry| Prefix::from(IpNet::V4(entry.network().address())));
                ours.announced.extend(prefixes);
            }
            PathAttributeValue::MpReach(MpReach::Ipv6Unicast {
                next_hop_global,
                next_hop_local,
                nlri,
            }) => {
                mp_next_hop = Some(v6(*next_hop_global, *next_hop_local));
                let prefixes = nlri
                    .iter()
                    .map(|entry| Prefix::from(IpNet::V6(entry.network().address())));
                ours.announced.extend(prefixes);
            }
            PathAttributeValue::MpUnreach(MpUnreach::Ipv6Unicast { nlri }) => {
                let prefixes = nlri
                    .iter()
                    .map(|entry| Prefix::from(IpNet::V6(entry.network().address())));
                ours.withdrawn.extend(prefixes);
            }
            // Compared octet for octet on the way back.
            PathAttributeValue::ExtendedCommunities(_) | PathAttributeValue::UnknownAttribute(_) => {}
            other => panic!("we did not write {other:?}"),
        }
    }
    if mp_next_hop.is_some() {
        ours.attributes.next_hop = mp_next_hop;
        ours.classic_next_hop = classic_next_hop;
    } else {
        ours.attributes.next_hop = classic_next_hop;
    }
    ours
}

/// The update without what [`translated`] leaves to the way back.
fn comparable(mut update: Update) -> Update {
    update.attributes.extended_communities.clear();
    update.attributes.unknown.clear();
    update.end_of_rib = None;
    update
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn updates(update in update()) {
        let mut out = Vec::new();
        prop_assert!(encode_update(&update, &encode_context(true), &mut out));

        let theirs = read(&out, true);
        let BgpMessage::Update(parsed) = &theirs else { panic!("not an UPDATE") };
        prop_assert_eq!(parsed.end_of_rib().is_some(), update.end_of_rib.is_some());
        prop_assert_eq!(translated(parsed), comparable(update.clone()));

        let again = decode(&written(&theirs), &decode_context(true));
        prop_assert_eq!(again, Ok(Message::Update(Box::new(update))));
    }

    #[test]
    fn two_octet_updates(update in update()) {
        let mut out = Vec::new();
        prop_assert!(encode_update(&update, &encode_context(false), &mut out));

        // It keeps AS_PATH and AS4_PATH as they came, so what it writes is merged by us once more.
        let again = decode(&written(&read(&out, false)), &decode_context(false));
        prop_assert_eq!(again, Ok(Message::Update(Box::new(update))));
    }

    #[test]
    fn opens(mut open in open(), id in 1..224_u8) {
        open.bgp_id = [id, 0, 2, 1].into();
        let mut out = Vec::new();
        encode_open(&open, &mut out);
        let extended = out[28..].starts_with(&[255, 255]);
        prop_assume!(!extended);

        let theirs = read(&out, true);
        let BgpMessage::Open(parsed) = &theirs else { panic!("not an OPEN") };
        prop_assert_eq!(parsed.my_asn4(), open.asn);
        prop_assert_eq!(parsed.hold_time(), open.hold_time);
        prop_assert_eq!(parsed.bgp_id(), open.bgp_id);
        prop_assert_eq!(parsed.capabilities().len(), open.capabilities.len());

        let again = decode(&written(&theirs), &decode_context(true));
        prop_assert_eq!(again, Ok(Message::Open(open)));
    }
}
