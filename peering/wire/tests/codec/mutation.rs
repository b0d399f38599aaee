//! Valid messages with random damage: decoding never panics, what it returns is bounded by the size of the message,
//! and what it accepts says the same once encoded and decoded again.

use crate::strategies::{decode_context, encode_context};
use fastrand::Rng;
use rustbgpd_wire::attribute::MalformedAttribute;
use rustbgpd_wire::update::RevisedParsedUpdate;
use rustbgpd_wire::validate::ErrorDisposition as TheirDisposition;
use rustbgpd_wire::{DecodeError, Message as TheirMessage, decode_message};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wire::{
    Aggregator, AsPath, AsSegment, Capability, Community, DecodeContext, Disposition, EncodeContext,
    EncodedAttributes, Family, FamilySet, GracefulRestart, GracefulRestartFamily, LargeCommunity,
    LongLivedFamily, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Message, NextHop, Notification, Open, Origin,
    PathAttributes, Prefix, RawAttribute, RefreshKind, RouteRefresh, Update, UpdatePacker, decode,
    encode_end_of_rib, encode_keepalive, encode_notification, encode_open, encode_route_refresh,
    encode_update,
};

const MUTANTS: usize = 200_000;

/// Fixed, so that a failure can be repeated; it is printed with the number of the mutant. `WIRE_SEED` sets another
/// one, in decimal.
fn seed() -> u64 {
    let given = std::env::var("WIRE_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(20_260_101)
}

#[test]
fn mutants() {
    let corpus = corpus();
    let contexts = contexts();
    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    let mut accepted = 0;
    let mut frame = Vec::new();
    for number in 0..MUTANTS {
        mutate(&corpus, &mut rng, &mut frame);
        let context = &contexts[rng.usize(..contexts.len())];

        let outcome = catch_unwind(AssertUnwindSafe(|| check(&frame, context)));

        match outcome {
            Ok(Ok(decoded)) => accepted += usize::from(decoded),
            Ok(Err(what)) => panic!("mutant {number} of seed {seed}: {what}\n{context:?}\n{frame:02x?}"),
            Err(_) => panic!("mutant {number} of seed {seed} panicked\n{context:?}\n{frame:02x?}"),
        }
    }
    // A mutation that never leaves anything valid would test little behind the header.
    assert!(accepted > MUTANTS / 10, "only {accepted} of {MUTANTS} accepted");
}

#[test]
fn the_corpus_is_valid() {
    let context = decode_context(true);
    for frame in corpus() {
        let message = decode(&frame, &context);
        if let Ok(Message::Update(update)) = &message {
            assert_eq!(update.defects, []);
        }
        assert!(message.is_ok(), "{message:?}");
    }
}

/// The two codecs class damage alike, with the exceptions named in [`may_differ`].
#[test]
fn mutants_are_classed_as_by_rustbgpd() {
    let corpus: Vec<_> = corpus().into_iter().filter(|frame| frame[18] == 2).collect();
    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    let mut frame = Vec::new();
    let mut agreed = [0; 4];
    for number in 0..MUTANTS / 4 {
        mutate(&corpus, &mut rng, &mut frame);
        let ebgp = rng.bool();
        let context = DecodeContext {
            ebgp,
            ..decode_context(true)
        };
        let ours = decode(&frame, &context);
        let mut octets = bytes::Bytes::copy_from_slice(&frame);
        let Ok(TheirMessage::Update(theirs)) = decode_message(&mut octets, u16::MAX) else {
            let update = matches!(ours, Ok(Message::Update(_)));
            assert!(!update, "mutant {number} of seed {seed}: {ours:?}\n{frame:02x?}");
            continue;
        };
        if !octets.is_empty() {
            // It takes the first message of a buffer, we take a buffer of one message.
            continue;
        }
        let theirs = theirs.parse_revised(true, !ebgp, false, &[]);
        let class = our_class(&ours);
        if class == their_class(&theirs) {
            agreed[class as usize] += 1;
            continue;
        }
        assert!(
            may_differ(&ours, &theirs),
            "mutant {number} of seed {seed}: {ours:?}, but {theirs:?}\n{frame:02x?}"
        );
    }
    let [clean, discard, withdraw, reset] = agreed;
    assert!(
        clean > 1000 && discard > 10 && withdraw > 1000 && reset > 1000,
        "in agreement: {agreed:?}"
    );
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Clean,
    Discard,
    Withdraw,
    Reset,
}

fn our_class(result: &Result<Message, Notification>) -> Class {
    let Ok(Message::Update(update)) = result else {
        return Class::Reset;
    };
    let worst = update.defects.iter().map(|defect| match defect.disposition {
        Disposition::AttributeDiscard => Class::Discard,
        Disposition::TreatAsWithdraw => Class::Withdraw,
    });
    worst.max().unwrap_or(Class::Clean)
}

fn their_class(result: &Result<RevisedParsedUpdate, DecodeError>) -> Class {
    let Ok(parsed) = result else {
        return Class::Reset;
    };
    let worst = parsed.malformed.iter().map(class_of).max();
    worst.unwrap_or(Class::Clean)
}

fn class_of(malformed: &MalformedAttribute) -> Class {
    match malformed.disposition {
        TheirDisposition::AttributeDiscard => Class::Discard,
        TheirDisposition::TreatAsWithdraw => Class::Withdraw,
        TheirDisposition::SessionReset => Class::Reset,
    }
}

fn may_differ(
    ours: &Result<Message, Notification>,
    theirs: &Result<RevisedParsedUpdate, DecodeError>,
) -> bool {
    let update = match ours {
        // An unknown well-known attribute, and a defect without a route to withdraw (RFC 7606 section 5.2), it leaves
        // to the caller.
        Err(reset) => return (reset.code, reset.subcode) == (3, 2) || their_class(theirs) == Class::Withdraw,
        Ok(Message::Update(update)) => update,
        Ok(_) => return false,
    };
    // It takes the Partial bit for an error where it means nothing; RFC 7606 section 3(c) is of the other two.
    let partial = ["2", "3", "6", "7", "a", "b", "e", "f"];
    let text = format!("{theirs:?}");
    if partial
        .into_iter()
        .any(|nibble| text.contains(&format!("flags 0x{nibble}")))
    {
        return true;
    }
    let has = |what: &str| update.defects.iter().any(|defect| defect.what.contains(what));
    let parsed = match theirs {
        Ok(parsed) => parsed,
        // It parses every family that it knows and refuses those that it does not know; we skip both.
        Err(DecodeError::UpdateAttributeError { data, .. }) => return is_of_foreign_family(data),
        Err(_) => return false,
    };
    let leaves_to_caller = [
        // What must be there, and whether a next hop is the address of a host.
        "mandatory attribute is missing",
        "not the address of a host",
        // Repeated attributes it drops in silence, and does not report families that it does not know.
        "more than once",
        "not negotiated",
        // RFC 7606 section 3(f) for the aggregation attributes: it takes 3(c).
        "flags conflict",
        // What a session must not carry, RFC 7606 sections 7.5, 7.9, 7.10, RFC 6793 section 6, it reads nevertheless.
        "not allowed from",
    ];
    if leaves_to_caller.into_iter().any(has) {
        return true;
    }
    // It knows no confederation segments, and RFC 9774 well.
    let sequences_only = update
        .attributes
        .as_path
        .iter()
        .flat_map(|path| &path.0)
        .all(|segment| matches!(segment, AsSegment::Sequence(_)));
    // It looks into attributes that we keep as they came.
    let kept_raw = |code| update.attributes.unknown.iter().any(|raw| raw.code == code);
    let class = our_class(ours);
    let mut worse = parsed
        .malformed
        .iter()
        .filter(|malformed| class_of(malformed) > class);
    worse.all(|malformed| kept_raw(malformed.type_code) || malformed.type_code == 2 && !sequences_only)
}

/// Whether this is an MP attribute of a family other than the two.
fn is_of_foreign_family(attribute: &[u8]) -> bool {
    let value = match attribute {
        [flags, 14 | 15, _, value @ ..] if flags & 0x10 == 0 => value,
        [_, 14 | 15, _, _, value @ ..] => value,
        _ => return false,
    };
    matches!(value, [high, low, safi, ..] if (*high, *low, *safi) != (0, 1, 1) && (*high, *low, *safi) != (0, 2, 1))
}

/// `Err` says what is wrong with the result; `Ok` whether the mutant was accepted.
fn check(frame: &[u8], context: &DecodeContext) -> Result<bool, String> {
    let message = match decode(frame, context) {
        Ok(message) => message,
        Err(notification) if notification.data.len() <= frame.len() => return Ok(false),
        Err(notification) => return Err(format!("too much data in {notification:?}")),
    };
    let mut out = Vec::new();
    let expected = match message {
        Message::Update(update) => return check_update(*update, frame, context).map(|()| true),
        Message::Open(open) => {
            encode_open(&open, &mut out);
            Message::Open(encodable_open(open))
        }
        Message::Notification(notification) => {
            encode_notification(&notification, &mut out);
            Message::Notification(notification)
        }
        Message::RouteRefresh(refresh) => {
            encode_route_refresh(&refresh, &mut out);
            Message::RouteRefresh(refresh)
        }
        Message::Keepalive => {
            encode_keepalive(&mut out);
            Message::Keepalive
        }
    };
    let again = decode(&out, context);
    if again.as_ref() != Ok(&expected) {
        return Err(format!("decoded as {expected:?}, then as {again:?}"));
    }
    Ok(true)
}

fn check_update(mut update: Update, frame: &[u8], context: &DecodeContext) -> Result<(), String> {
    check_bounds(&update, frame)?;
    update.defects.clear();
    let nothing_left = update == Update::default();
    if nothing_left {
        // All of it was discarded; encoded again it would be End-of-RIB.
        return Ok(());
    }
    let context = DecodeContext {
        families: FamilySet::ALL,
        extended_next_hop: FamilySet::ALL,
        max_message: MAX_EXTENDED_MESSAGE,
        ..*context
    };
    let mut out = Vec::new();
    if !encode_update(&update, &encode_context(context.four_octet_as), &mut out) {
        return Err(format!("cannot be encoded: {update:?}"));
    }
    let again = match decode(&out, &context) {
        Ok(Message::Update(again)) => *again,
        other => return Err(format!("decoded as {update:?}, then as {other:?}")),
    };
    let (update, again) = (
        comparable(update, context.four_octet_as),
        comparable(again, context.four_octet_as),
    );
    if update != again {
        return Err(format!("decoded as {update:?}, then as {again:?}"));
    }
    Ok(())
}

/// Nothing in the result is larger than the octets it was made of.
fn check_bounds(update: &Update, frame: &[u8]) -> Result<(), String> {
    let attributes = &update.attributes;
    let unknown: usize = attributes.unknown.iter().map(|raw| raw.value.len() + 3).sum();
    let asns = attributes.as_path.iter().flat_map(AsPath::asns).count();
    let sizes = [
        update.announced.len() + update.withdrawn.len(),
        update.defects.len(),
        unknown,
        attributes.communities.len() * 4,
        attributes.extended_communities.len() * 8,
        attributes.large_communities.len() * 12,
        attributes.cluster_list.len() * 4,
        // AS_PATH and AS4_PATH, the shorter encoding of the two.
        asns * 2,
    ];
    if let Some(size) = sizes.into_iter().find(|size| *size > frame.len()) {
        return Err(format!("{size} from {} octets: {update:?}", frame.len()));
    }
    Ok(())
}

/// What is the same after a round trip: prefixes without the order of the fields they came in, attributes in the
/// order of their types, and, towards a 2-octet peer, AS numbers without confederation segments, which AS4_PATH
/// cannot carry where they do not lead.
fn comparable(mut update: Update, four_octet_as: bool) -> Update {
    update.withdrawn.sort();
    update.announced.sort();
    update.attributes.unknown.sort_by_key(|raw| raw.code);
    if !four_octet_as && let Some(path) = &mut update.attributes.as_path {
        path.0.retain(|segment| match segment {
            AsSegment::Sequence(_) | AsSegment::Set(_) => true,
            AsSegment::ConfedSequence(_) | AsSegment::ConfedSet(_) => false,
        });
    }
    update
}

/// What can be said of an OPEN again: the two names of a host share one value of 255 octets.
fn encodable_open(mut open: Open) -> Open {
    for capability in &mut open.capabilities {
        if let Capability::Fqdn { host, domain } = capability {
            host.truncate(host.floor_char_boundary(253));
            domain.truncate(domain.floor_char_boundary(253 - host.len()));
        }
    }
    open
}

/// Puts a damaged message in `frame`: one to four changes, after which the Length field is mostly right again.
fn mutate(corpus: &[Vec<u8>], rng: &mut Rng, frame: &mut Vec<u8>) {
    frame.clear();
    frame.extend_from_slice(&corpus[rng.usize(..corpus.len())]);
    for _ in 0..rng.usize(1..=4) {
        change(corpus, rng, frame);
    }
    if rng.u8(..) < 250
        && let Ok(len) = u16::try_from(frame.len())
        && let Some(field) = frame.get_mut(16..18)
    {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

fn change(corpus: &[Vec<u8>], rng: &mut Rng, frame: &mut Vec<u8>) {
    // The header is left alone for the most part: a wrong marker is soon found.
    let first = if rng.u8(..) < 8 { 0 } else { 19 };
    if frame.len() <= first {
        frame.push(rng.u8(..));
        return;
    }
    let at = rng.usize(first..frame.len());
    let end = (at + rng.usize(1..=24)).min(frame.len());
    match rng.u8(..8) {
        0 => frame[at] ^= 1 << rng.u8(..8),
        1 => frame[at] = rng.u8(..),
        2 => {
            frame[at] = *rng
                .choice(&[0, 1, 2, 4, 0x40, 0x80, 0xc0, 32, 33, 128, 129, 255])
                .unwrap()
        }
        3 => frame[at] = frame[at].wrapping_add(*rng.choice(&[1, 2, 255, 254]).unwrap()),
        4 => frame.insert(at, rng.u8(..)),
        5 => drop(frame.drain(at..end)),
        6 => {
            let copy = frame[at..end].to_vec();
            let to = rng.usize(first..=frame.len());
            frame.splice(to..to, copy);
        }
        _ => {
            let other = &corpus[rng.usize(..corpus.len())];
            let from = rng.usize(..other.len());
            let piece = &other[from..(from + 24).min(other.len())];
            frame.splice(at..end, piece.iter().copied());
        }
    }
}

fn contexts() -> Vec<DecodeContext> {
    let mut contexts = vec![DecodeContext::default()];
    for four_octet_as in [true, false] {
        for ebgp in [true, false] {
            contexts.push(DecodeContext {
                ebgp,
                ..decode_context(four_octet_as)
            });
        }
    }
    contexts.push(DecodeContext {
        families: FamilySet::only(Family::Ipv6Unicast),
        max_message: MAX_MESSAGE,
        ..decode_context(true)
    });
    contexts
}

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    let mut add = |encode: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        encode(&mut out);
        corpus.push(out);
    };
    add(&encode_keepalive);
    add(&|out| encode_notification(&Notification::cease(2, "maintenance"), out));
    for kind in [RefreshKind::Request, RefreshKind::Begin, RefreshKind::End] {
        let family = Family::Ipv4Unicast.afi_safi();
        add(&|out| encode_route_refresh(&RouteRefresh { family, kind }, out));
    }
    for capabilities in [
        vec![],
        capabilities(),
        [capabilities(), capabilities(), capabilities()].concat(),
    ] {
        let open = Open {
            asn: 65001,
            hold_time: 9,
            bgp_id: [192, 0, 2, 1].into(),
            capabilities,
        };
        add(&|out| encode_open(&open, out));
    }
    for family in Family::ALL {
        add(&|out| encode_end_of_rib(family, out));
    }
    for update in updates() {
        add(&|out| assert!(encode_update(&update, &encode_context(true), out)));
    }
    let context = EncodeContext {
        four_octet_as: true,
        max_message: MAX_MESSAGE,
    };
    for (family, next_hop) in [
        (Family::Ipv4Unicast, V4),
        (Family::Ipv4Unicast, v6()),
        (Family::Ipv6Unicast, v6()),
    ] {
        let encoded = EncodedAttributes::new(family, &attributes(next_hop), &context);
        add(&|out| {
            let mut packer = UpdatePacker::announce(&encoded, &context, out);
            for prefix in prefixes(family) {
                assert!(packer.push(&prefix));
            }
            packer.finish();
        });
        add(&|out| {
            let mut packer = UpdatePacker::withdraw(family, &context, out);
            for prefix in prefixes(family) {
                assert!(packer.push(&prefix));
            }
            packer.finish();
        });
    }
    corpus
}

const V4: NextHop = NextHop::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn v6() -> NextHop {
    NextHop::V6 {
        global: "2001:db8::1".parse().unwrap(),
        link_local: Some("fe80::1".parse().unwrap()),
    }
}

fn prefixes(family: Family) -> Vec<Prefix> {
    let texts = match family {
        Family::Ipv4Unicast => ["10.1.2.3/32", "10.2.0.0/16", "10.0.0.0/9"],
        Family::Ipv6Unicast => ["2001:db8::7/128", "2001:db8::/32", "2001:db8:1::/49"],
    };
    texts.map(|text| text.parse().unwrap()).to_vec()
}

fn attributes(next_hop: NextHop) -> PathAttributes {
    PathAttributes {
        origin: Some(Origin::Igp),
        as_path: Some(AsPath::sequence(vec![65001, 4_200_000_000])),
        next_hop: Some(next_hop),
        ..PathAttributes::default()
    }
}

fn updates() -> Vec<Update> {
    let full = PathAttributes {
        as_path: Some(AsPath(vec![
            AsSegment::ConfedSequence(vec![65100]),
            AsSegment::Sequence(vec![65001, 70000]),
            AsSegment::Sequence(vec![7]),
        ])),
        med: Some(10),
        local_pref: Some(100),
        atomic_aggregate: true,
        aggregator: Some(Aggregator {
            asn: 70000,
            addr: [192, 0, 2, 7].into(),
        }),
        communities: vec![Community::GRACEFUL_SHUTDOWN, Community(0xfde9_0064)],
        extended_communities: vec![[0, 2, 0xfd, 0xe9, 0, 0, 0, 5]],
        large_communities: vec![LargeCommunity {
            global: 65001,
            local1: 1,
            local2: 2,
        }],
        originator_id: Some([192, 0, 2, 9].into()),
        cluster_list: vec![[192, 0, 2, 10].into(), [192, 0, 2, 11].into()],
        unknown: vec![RawAttribute {
            flags: 0xc0,
            code: 200,
            value: vec![1, 2, 3],
        }],
        ..attributes(V4)
    };
    let both = Update {
        announced: [prefixes(Family::Ipv4Unicast), prefixes(Family::Ipv6Unicast)].concat(),
        withdrawn: [prefixes(Family::Ipv4Unicast), prefixes(Family::Ipv6Unicast)].concat(),
        attributes: attributes(v6()),
        classic_next_hop: Some(V4),
        ..Update::default()
    };
    let ipv4 = Update {
        announced: prefixes(Family::Ipv4Unicast),
        attributes: full.clone(),
        ..Update::default()
    };
    let ipv6 = Update {
        announced: prefixes(Family::Ipv6Unicast),
        attributes: PathAttributes {
            // Without confederation segments, of which one of the oracles knows nothing.
            as_path: attributes(V4).as_path,
            next_hop: Some(v6()),
            ..full
        },
        ..Update::default()
    };
    vec![both, ipv4, ipv6]
}

fn capabilities() -> Vec<Capability> {
    let family = Family::Ipv4Unicast.afi_safi();
    vec![
        Capability::Multiprotocol(family),
        Capability::Multiprotocol(Family::Ipv6Unicast.afi_safi()),
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedMessage,
        Capability::ExtendedNextHop(vec![(family, 2)]),
        Capability::FourOctetAs(65001),
        Capability::GracefulRestart(GracefulRestart {
            restarting: true,
            notification: true,
            restart_time: 120,
            families: vec![GracefulRestartFamily {
                family,
                forwarding: true,
            }],
        }),
        Capability::LongLivedGracefulRestart(vec![LongLivedFamily {
            family,
            forwarding: true,
            stale_time: 3600,
        }]),
        Capability::Fqdn {
            host: "node-1".to_owned(),
            domain: "rack.example".to_owned(),
        },
        Capability::BfdStrictMode,
        Capability::Unknown {
            code: 150,
            value: vec![0; 20],
        },
    ]
}
