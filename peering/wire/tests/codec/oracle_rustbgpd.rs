//! Both directions against `rustbgpd-wire`: what we write it reads as we meant it, and what it then writes we read
//! as we meant it.
//!
//! Where the two differ on purpose:
//! - It does not merge AS4_PATH and AS4_AGGREGATOR into AS_PATH and AGGREGATOR: for 2-octet sessions only the
//!   prefixes are compared.
//! - It knows no confederation segments, and refuses a path that has them.
//! - It treats AS_SET as RFC 9774 says, we accept it: there are none in what is compared.
//! - It drops unknown attributes that are not transitive (RFC 4271 section 9), we keep them for whoever looks at the
//!   Adj-RIB-In: there are none in what is compared.
//! - It refuses UPDATEs in families that it knows and that were not negotiated but are malformed; we skip those.

use crate::strategies::{decode_context, encode_context, open, update};
use bytes::Bytes;
use proptest::prelude::*;
use rustbgpd_wire::attribute::{AsPathSegment, PathAttribute};
use rustbgpd_wire::nlri::{NlriEntry, Prefix as TheirPrefix};
use rustbgpd_wire::{
    Afi, Ipv4UnicastMode, Message as TheirMessage, UpdateMessage, decode_message, encode_message_with_limit,
};
use std::net::IpAddr;
use wire::{
    Aggregator, AsPath, AsSegment, Community, LargeCommunity, MAX_EXTENDED_MESSAGE, Message, NextHop, Origin,
    PathAttributes, Prefix, RawAttribute, Update, decode, encode_open, encode_update,
};

const LIMIT: u16 = MAX_EXTENDED_MESSAGE as u16;

fn prefix(prefix: &TheirPrefix) -> Prefix {
    let (addr, len): (IpAddr, u8) = match prefix {
        TheirPrefix::V4(prefix) => (prefix.addr.into(), prefix.len),
        TheirPrefix::V6(prefix) => (prefix.addr.into(), prefix.len),
    };
    Prefix::new(addr, len).unwrap()
}

fn prefixes(entries: &[NlriEntry]) -> impl Iterator<Item = Prefix> {
    entries.iter().map(|entry| prefix(&entry.prefix))
}

/// What it read, in our words.
fn translated(update: &rustbgpd_wire::update::ParsedUpdate) -> Update {
    let mut ours = Update::default();
    let mut classic_next_hop = None;
    let mut mp_next_hop = None;
    for entry in &update.withdrawn {
        ours.withdrawn.push(prefix(&TheirPrefix::V4(entry.prefix)));
    }
    for entry in &update.announced {
        ours.announced.push(prefix(&TheirPrefix::V4(entry.prefix)));
    }
    for attribute in &update.attributes {
        match attribute {
            PathAttribute::NextHop(addr) => classic_next_hop = Some(NextHop::V4(*addr)),
            PathAttribute::MpReachNlri(reach) => {
                ours.announced.extend(prefixes(&reach.announced));
                mp_next_hop = Some(match reach.next_hop {
                    IpAddr::V4(addr) => NextHop::V4(addr),
                    IpAddr::V6(global) => NextHop::V6 {
                        global,
                        link_local: reach.link_local_next_hop,
                    },
                });
            }
            PathAttribute::MpUnreachNlri(unreach) => {
                if unreach.withdrawn.is_empty() && unreach.afi == Afi::Ipv6 {
                    ours.end_of_rib = Some(wire::Family::Ipv6Unicast.afi_safi());
                }
                ours.withdrawn.extend(prefixes(&unreach.withdrawn));
            }
            other => translate_attribute(other, &mut ours.attributes),
        }
    }
    if mp_next_hop.is_some() {
        ours.attributes.next_hop = mp_next_hop;
        ours.classic_next_hop = classic_next_hop;
    } else {
        ours.attributes.next_hop = classic_next_hop;
    }
    if update.attributes.is_empty() && update.withdrawn.is_empty() && update.announced.is_empty() {
        ours.end_of_rib = Some(wire::Family::Ipv4Unicast.afi_safi());
    }
    ours
}

fn translate_attribute(attribute: &PathAttribute, ours: &mut PathAttributes) {
    match attribute {
        PathAttribute::Origin(origin) => {
            ours.origin = Some(match *origin as u8 {
                0 => Origin::Igp,
                1 => Origin::Egp,
                _ => Origin::Incomplete,
            });
        }
        PathAttribute::AsPath(path) => {
            let segments = path.segments.iter().map(|segment| match segment {
                AsPathSegment::AsSequence(asns) => AsSegment::Sequence(asns.clone()),
                AsPathSegment::AsSet(asns) => AsSegment::Set(asns.clone()),
            });
            ours.as_path = Some(AsPath(segments.collect()));
        }
        PathAttribute::Med(med) => ours.med = Some(*med),
        PathAttribute::LocalPref(value) => ours.local_pref = Some(*value),
        PathAttribute::AtomicAggregate => ours.atomic_aggregate = true,
        PathAttribute::Aggregator(aggregator) => {
            ours.aggregator = Some(Aggregator {
                asn: aggregator.asn,
                addr: aggregator.router_id,
            });
        }
        PathAttribute::Communities(values) => {
            ours.communities = values.iter().copied().map(Community).collect();
        }
        PathAttribute::ExtendedCommunities(values) => {
            ours.extended_communities = values.iter().map(|value| value.as_u64().to_be_bytes()).collect();
        }
        PathAttribute::LargeCommunities(values) => {
            let values = values.iter().map(|value| LargeCommunity {
                global: value.global_admin,
                local1: value.local_data1,
                local2: value.local_data2,
            });
            ours.large_communities = values.collect();
        }
        PathAttribute::OriginatorId(id) => ours.originator_id = Some(*id),
        PathAttribute::ClusterList(ids) => ours.cluster_list.clone_from(ids),
        PathAttribute::Unknown(raw) => ours.unknown.push(RawAttribute {
            flags: raw.flags & 0xe0,
            code: raw.type_code,
            value: raw.data.to_vec(),
        }),
        other => panic!("we did not write {other:?}"),
    }
}

fn read(frame: &[u8]) -> TheirMessage {
    decode_message(&mut Bytes::copy_from_slice(frame), LIMIT).unwrap()
}

fn written(message: &TheirMessage) -> Vec<u8> {
    encode_message_with_limit(message, LIMIT).unwrap().to_vec()
}

/// It sets the Partial bit of unknown transitive attributes when it writes them, as who passes them on has to
/// (RFC 4271 section 9).
fn with_partial_bits(mut update: Update) -> Update {
    for attribute in &mut update.attributes.unknown {
        if attribute.flags & 0x40 != 0 {
            attribute.flags |= 0x20;
        }
    }
    update
}

/// Each AS_SET is made an AS_SEQUENCE, and unknown attributes that are not transitive are left out.
fn comparable(mut update: Update) -> Update {
    update
        .attributes
        .unknown
        .retain(|attribute| attribute.flags & 0x40 != 0);
    if let Some(path) = &mut update.attributes.as_path {
        for segment in &mut path.0 {
            if let AsSegment::Set(asns) = segment {
                *segment = AsSegment::Sequence(std::mem::take(asns));
            }
        }
    }
    update
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn updates(update in update().prop_map(comparable)) {
        let mut out = Vec::new();
        prop_assert!(encode_update(&update, &encode_context(true), &mut out));

        let TheirMessage::Update(theirs) = read(&out) else { panic!("not an UPDATE") };
        let parsed = theirs.parse_revised(true, true, false, &[]).unwrap();
        prop_assert_eq!(&parsed.malformed, &[]);
        let parsed = parsed.update;
        prop_assert_eq!(&translated(&parsed), &update);

        let rebuilt = UpdateMessage::try_build(
            &parsed.announced,
            &parsed.withdrawn,
            &parsed.attributes,
            true,
            false,
            Ipv4UnicastMode::Body,
        );
        let again = decode(&written(&TheirMessage::Update(rebuilt.unwrap())), &decode_context(true));
        let Ok(Message::Update(again)) = again else { panic!("not an UPDATE: {again:?}") };
        prop_assert_eq!(with_partial_bits(*again), with_partial_bits(update));
    }

    #[test]
    fn two_octet_updates(update in update().prop_map(comparable)) {
        let mut out = Vec::new();
        prop_assert!(encode_update(&update, &encode_context(false), &mut out));

        let TheirMessage::Update(theirs) = read(&out) else { panic!("not an UPDATE") };
        let parsed = theirs.parse(false, false, &[]).unwrap();
        let theirs = translated_prefixes(&parsed);
        prop_assert_eq!(theirs, (update.announced, update.withdrawn));
    }

    #[test]
    fn opens(open in open()) {
        let mut out = Vec::new();
        encode_open(&open, &mut out);

        let theirs = read(&out);
        let TheirMessage::Open(parsed) = &theirs else { panic!("not an OPEN") };
        prop_assert_eq!(parsed.four_byte_as(), open.asn);
        prop_assert_eq!(parsed.hold_time, open.hold_time);
        prop_assert_eq!(parsed.bgp_identifier, open.bgp_id);
        prop_assert_eq!(parsed.capabilities.len(), open.capabilities.len());

        let again = decode(&written(&theirs), &decode_context(true));
        prop_assert_eq!(again, Ok(Message::Open(open)));
    }
}

/// Announced and withdrawn prefixes, whatever the attributes.
fn translated_prefixes(update: &rustbgpd_wire::update::ParsedUpdate) -> (Vec<Prefix>, Vec<Prefix>) {
    let mut announced: Vec<_> = update
        .announced
        .iter()
        .map(|entry| prefix(&TheirPrefix::V4(entry.prefix)))
        .collect();
    let mut withdrawn: Vec<_> = update
        .withdrawn
        .iter()
        .map(|entry| prefix(&TheirPrefix::V4(entry.prefix)))
        .collect();
    for attribute in &update.attributes {
        match attribute {
            PathAttribute::MpReachNlri(reach) => announced.extend(prefixes(&reach.announced)),
            PathAttribute::MpUnreachNlri(unreach) => withdrawn.extend(prefixes(&unreach.withdrawn)),
            _ => {}
        }
    }
    (announced, withdrawn)
}
