//! What a receiver ends up with must be what is desired, whatever happened on the way.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::{
    Community, DecodeContext, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Message, NextHop, Open, RefreshKind, decode,
    frame_len,
};

const LOCAL_AS: u32 = 65000;

fn negotiated(families: FamilySet, extended_message: bool) -> Negotiated {
    Negotiated {
        remote_as: 65030,
        remote_id: Ipv4Addr::new(10, 0, 0, 1),
        hold_time: 90,
        families,
        extended_next_hop: FamilySet::EMPTY,
        four_octet_as: true,
        extended_message,
        enhanced_refresh: true,
        route_refresh: true,
        graceful_restart: None,
        bfd_strict: false,
        remote_open: Open {
            asn: 65030,
            hold_time: 90,
            bgp_id: Ipv4Addr::new(10, 0, 0, 1),
            capabilities: vec![],
        },
    }
}

fn attributes(last_octet: u8) -> ExportAttributes {
    ExportAttributes {
        next_hop_v4: Some(NextHop::V4(Ipv4Addr::new(10, 1, 1, last_octet))),
        next_hop_v6: Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last_octet.into())).into()),
        ..ExportAttributes::default()
    }
}

fn prefix(number: u32) -> Prefix {
    if number.is_multiple_of(4) {
        Prefix::host(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number)).into())
    } else {
        Prefix::host(Ipv4Addr::from_bits(0x0a10_0000 + number).into())
    }
}

/// The other end: what it believes, and what it saw.
#[derive(Default)]
struct Receiver {
    routes: BTreeMap<Prefix, IpAddr>,
    updates: usize,
    announced: usize,
    withdrawn: usize,
    log: Vec<String>,
    largest: usize,
}

impl Receiver {
    fn read(&mut self, mut octets: &[u8]) {
        let context = DecodeContext {
            four_octet_as: true,
            families: FamilySet::ALL,
            extended_next_hop: FamilySet::EMPTY,
            ebgp: true,
            max_message: MAX_EXTENDED_MESSAGE,
        };
        while let Some(len) = frame_len(octets, context.max_message).unwrap() {
            self.largest = self.largest.max(len);
            match decode(&octets[..len], &context).unwrap() {
                Message::Update(update) => {
                    assert!(update.defects.is_empty(), "{:?}", update.defects);
                    self.updates += 1;
                    self.announced += update.announced.len();
                    self.withdrawn += update.withdrawn.len();
                    if let Some(family) = update.end_of_rib {
                        self.log.push(format!("eor {}", family.afi));
                    }
                    for prefix in &update.withdrawn {
                        assert!(
                            self.routes.remove(prefix).is_some(),
                            "withdrew {prefix}, which was not there"
                        );
                    }
                    for prefix in &update.announced {
                        self.routes
                            .insert(*prefix, update.attributes.next_hop.unwrap().addr());
                    }
                }
                Message::RouteRefresh(refresh) => self.log.push(match refresh.kind {
                    RefreshKind::Begin => "borr".to_owned(),
                    RefreshKind::End => "eorr".to_owned(),
                    other @ (RefreshKind::Request | RefreshKind::Other(_)) => format!("{other:?}"),
                }),
                other @ (Message::Open(_) | Message::Notification(_) | Message::Keepalive) => {
                    panic!("{other:?}")
                }
            }
            octets = &octets[len..];
        }
    }
}

fn drain(adj_out: &mut AdjRibOut, receiver: &mut Receiver) {
    let mut out = Vec::new();
    while adj_out.fill(&mut out, 4096) {
        receiver.read(&out);
        out.clear();
    }
    assert!(!adj_out.has_pending());
}

fn up(adj_out: &mut AdjRibOut, families: FamilySet) {
    adj_out.session_up(&negotiated(families, false), true, LOCAL_AS);
}

#[test]
fn nothing_leaves_before_the_gate_opens_and_no_end_of_rib_before_completion() {
    let mut adj_out = AdjRibOut::new();
    let mut receiver = Receiver::default();
    adj_out.define(ClassId::DEFAULT, attributes(2)).unwrap();
    up(&mut adj_out, FamilySet::ALL);
    adj_out.set(prefix(1), Some(ClassId::DEFAULT));
    drain(&mut adj_out, &mut receiver);
    assert_eq!(
        (receiver.updates, adj_out.stage(&prefix(1))),
        (0, Some(Stage::Desired))
    );

    adj_out.set_open(true);
    drain(&mut adj_out, &mut receiver);
    assert_eq!((receiver.routes.len(), receiver.log.len()), (1, 0));

    adj_out.set_complete();
    drain(&mut adj_out, &mut receiver);
    assert_eq!(receiver.log, ["eor 1", "eor 2"]);
    assert_eq!(adj_out.stage(&prefix(1)), Some(Stage::Sent));
}

#[test]
fn a_change_that_is_superseded_is_never_sent() {
    let mut adj_out = ready(FamilySet::ALL);
    let mut receiver = Receiver::default();
    drain(&mut adj_out, &mut receiver);
    for _ in 0..1000 {
        adj_out.set(prefix(1), Some(ClassId::DEFAULT));
        adj_out.set(prefix(1), None);
    }
    drain(&mut adj_out, &mut receiver);
    assert_eq!((receiver.announced, receiver.withdrawn), (0, 0));
    assert_eq!(adj_out.stage(&prefix(1)), None);
}

fn ready(families: FamilySet) -> AdjRibOut {
    let mut adj_out = AdjRibOut::new();
    adj_out.define(ClassId::DEFAULT, attributes(2)).unwrap();
    adj_out.set_open(true);
    adj_out.set_complete();
    up(&mut adj_out, families);
    adj_out
}

#[test]
fn a_large_table_fills_its_messages() {
    let mut adj_out = ready(FamilySet::ALL);
    for number in 0..100_000 {
        adj_out.set(
            Prefix::host(Ipv4Addr::from_bits(0x0a00_0000 + number).into()),
            Some(ClassId::DEFAULT),
        );
    }
    let mut receiver = Receiver::default();
    drain(&mut adj_out, &mut receiver);
    assert_eq!(receiver.routes.len(), 100_000);
    // 810 prefixes of five octets beside 20 octets of attributes, and two End-of-RIB
    assert_eq!(receiver.updates, 100_000usize.div_ceil(810) + 2);
    assert!(receiver.largest <= MAX_MESSAGE);
}

#[test]
fn a_new_next_hop_is_announced_once_for_each_prefix_without_a_withdrawal() {
    let mut adj_out = ready(FamilySet::ALL);
    for number in 0..5000 {
        adj_out.set(prefix(number), Some(ClassId::DEFAULT));
    }
    let mut receiver = Receiver::default();
    drain(&mut adj_out, &mut receiver);
    receiver.announced = 0;
    adj_out.define(ClassId::DEFAULT, attributes(9)).unwrap();
    drain(&mut adj_out, &mut receiver);
    assert_eq!((receiver.announced, receiver.withdrawn), (5000, 0));
    assert!(
        receiver
            .routes
            .values()
            .all(|hop| *hop == "10.1.1.9".parse::<IpAddr>().unwrap()
                || *hop == "2001:db8::9".parse::<IpAddr>().unwrap())
    );

    adj_out.define(ClassId::DEFAULT, attributes(9)).unwrap();
    assert!(!adj_out.has_pending(), "the same attributes again are no change");
}

#[test]
fn a_lost_next_hop_withdraws_its_family_only() {
    let mut adj_out = ready(FamilySet::ALL);
    for number in 0..100 {
        adj_out.set(prefix(number), Some(ClassId::DEFAULT));
    }
    let mut receiver = Receiver::default();
    drain(&mut adj_out, &mut receiver);
    adj_out
        .define(
            ClassId::DEFAULT,
            ExportAttributes {
                next_hop_v6: None,
                ..attributes(2)
            },
        )
        .unwrap();
    drain(&mut adj_out, &mut receiver);
    assert_eq!((receiver.routes.len(), receiver.withdrawn), (75, 25));
    assert_eq!(adj_out.sent_len(Family::Ipv6Unicast), 0);
    assert_eq!(adj_out.desired_len(Family::Ipv6Unicast), 25);
}

#[test]
fn a_closed_gate_withdraws_everything_and_an_open_one_announces_it_again() {
    let mut adj_out = ready(FamilySet::ALL);
    for number in 0..3000 {
        adj_out.set(prefix(number), Some(ClassId::DEFAULT));
    }
    let mut receiver = Receiver::default();
    drain(&mut adj_out, &mut receiver);
    adj_out.set_open(false);
    drain(&mut adj_out, &mut receiver);
    assert_eq!(
        (receiver.routes.len(), adj_out.desired_len(Family::Ipv4Unicast)),
        (0, 2250)
    );
    adj_out.set_open(true);
    drain(&mut adj_out, &mut receiver);
    assert_eq!(receiver.routes.len(), 3000);
}

#[test]
fn a_refresh_sends_everything_between_its_markers() {
    let mut adj_out = ready(FamilySet::only(Family::Ipv4Unicast));
    for number in 0..3000 {
        adj_out.set(prefix(number), Some(ClassId::DEFAULT));
    }
    let mut receiver = Receiver::default();
    drain(&mut adj_out, &mut receiver);
    assert_eq!(receiver.log, ["eor 1"]);
    receiver.announced = 0;
    adj_out.refresh(Family::Ipv4Unicast);
    adj_out.refresh(Family::Ipv4Unicast);
    adj_out.refresh(Family::Ipv6Unicast);
    drain(&mut adj_out, &mut receiver);
    assert_eq!((receiver.announced, receiver.withdrawn), (2250, 0));
    assert_eq!(receiver.log, ["eor 1", "borr", "eorr"]);
}

#[test]
fn a_refresh_during_a_refresh_leaves_nothing_out() {
    let mut adj_out = ready(FamilySet::only(Family::Ipv4Unicast));
    for number in 0..40_000 {
        adj_out.set(prefix(number), Some(ClassId::DEFAULT));
    }
    let mut receiver = Receiver::default();
    drain(&mut adj_out, &mut receiver);
    adj_out.refresh(Family::Ipv4Unicast);
    let mut out = Vec::new();
    adj_out.fill(&mut out, 20_000);
    receiver.read(&out);
    adj_out.refresh(Family::Ipv4Unicast);
    receiver.announced = 0;
    drain(&mut adj_out, &mut receiver);
    assert!(receiver.announced >= 30_000, "{}", receiver.announced);
    assert_eq!(receiver.log, ["eor 1", "borr", "eorr"]);
}

#[test]
fn a_new_session_gets_everything_again() {
    let mut adj_out = ready(FamilySet::ALL);
    for number in 0..100 {
        adj_out.set(prefix(number), Some(ClassId::DEFAULT));
    }
    drain(&mut adj_out, &mut Receiver::default());
    adj_out.set(prefix(1), None);
    adj_out.session_down();
    assert_eq!(
        (adj_out.stage(&prefix(1)), adj_out.sent_len(Family::Ipv4Unicast)),
        (None, 0)
    );
    up(&mut adj_out, FamilySet::only(Family::Ipv4Unicast));
    let mut receiver = Receiver::default();
    drain(&mut adj_out, &mut receiver);
    assert_eq!(receiver.routes.len(), 74);
    assert_eq!(
        adj_out.stage(&prefix(4)),
        Some(Stage::Desired),
        "its family was not negotiated"
    );
}

#[test]
fn attributes_that_leave_no_room_are_refused() {
    let mut adj_out = ready(FamilySet::ALL);
    let communities = (0..1100).map(Community).collect();
    let error = adj_out.define(
        ClassId::DEFAULT,
        ExportAttributes {
            communities,
            ..attributes(2)
        },
    );
    assert_eq!(
        error,
        Err(DefineError {
            class: 1,
            max: MAX_MESSAGE
        })
    );
    adj_out.set(prefix(1), Some(ClassId::DEFAULT));
    let mut receiver = Receiver::default();
    drain(&mut adj_out, &mut receiver);
    assert_eq!(receiver.routes.len(), 1);
}

#[test]
fn a_check_foretells_what_a_definition_will_say() {
    let with = |count: u32| ExportAttributes {
        communities: (0..count).map(Community).collect(),
        ..attributes(2)
    };
    assert_eq!(with(900).check(), Ok(()));
    assert!(with(1100).check().is_err());
    for count in 900..1100 {
        let (checked, defined) = (
            with(count).check(),
            ready(FamilySet::ALL).define(ClassId::DEFAULT, with(count)),
        );
        assert!(checked.is_err() || defined.is_ok(), "{count}");
    }
}

#[test]
fn a_family_is_listed_and_cleared_alone() {
    let mut adj_out = ready(FamilySet::ALL);
    for number in 0..20 {
        adj_out.set(prefix(number), Some(ClassId::DEFAULT));
    }
    let v4: Vec<_> = adj_out.desired(Family::Ipv4Unicast).collect();
    assert_eq!(v4.len(), adj_out.desired_len(Family::Ipv4Unicast));
    assert!(
        v4.iter()
            .all(|(prefix, class)| { prefix.family() == Family::Ipv4Unicast && *class == ClassId::DEFAULT })
    );
    adj_out.clear(Family::Ipv4Unicast);
    assert_eq!(adj_out.desired(Family::Ipv4Unicast).count(), 0);
    assert_eq!(adj_out.desired_len(Family::Ipv6Unicast), 20 - v4.len());
}

#[test]
fn more_redefinitions_than_identifiers_lose_nothing() {
    let mut adj_out = ready(FamilySet::only(Family::Ipv4Unicast));
    for number in 0..4000 {
        adj_out.set(prefix(number), Some(ClassId::DEFAULT));
    }
    let mut receiver = Receiver::default();
    let mut out = Vec::new();
    for round in 0..600u32 {
        let med = Some(round);
        adj_out
            .define(
                ClassId::DEFAULT,
                ExportAttributes {
                    med,
                    ..attributes((round % 200) as u8)
                },
            )
            .unwrap();
        // One message of each: prefixes with ever more attribute sets are on their way.
        adj_out.fill(&mut out, 1);
        receiver.read(&out);
        out.clear();
    }
    adj_out.define(ClassId::DEFAULT, attributes(77)).unwrap();
    drain(&mut adj_out, &mut receiver);
    assert_eq!(receiver.routes.len(), 3000);
    assert!(receiver.routes.values().all(|hop| hop.to_string() == "10.1.1.77"));
}

#[derive(Clone, Debug)]
enum Step {
    Set(u32, Option<u8>),
    SetMany(u32, Option<u8>),
    Define(u8, u8),
    Fill(usize),
    Gate(bool),
    Refresh(bool),
    Reconnect(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let class = proptest::option::weighted(0.6, 1u8..4);
    prop_oneof![
        6 => (0u32..40, class.clone()).prop_map(|(n, c)| Step::Set(n, c)),
        1 => (0u32..4, class).prop_map(|(n, c)| Step::SetMany(n, c)),
        2 => (1u8..4, 1u8..9).prop_map(|(c, a)| Step::Define(c, a)),
        4 => (1usize..6000).prop_map(Step::Fill),
        1 => any::<bool>().prop_map(Step::Gate),
        1 => any::<bool>().prop_map(Step::Refresh),
        1 => any::<bool>().prop_map(Step::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// A plain model, and a receiver that is told by messages only: after any sequence both agree.
    #[test]
    fn the_receiver_ends_with_the_desired_set(steps in prop::collection::vec(step(), 1..60)) {
        let mut adj_out = ready(FamilySet::ALL);
        let mut receiver = Receiver::default();
        let mut wanted: BTreeMap<Prefix, u8> = BTreeMap::new();
        let mut hops: BTreeMap<u8, u8> = BTreeMap::from([(1, 2)]);
        let mut gate = true;
        let mut families = FamilySet::ALL;
        for step in steps {
            let mut set = |number: u32, class: Option<u8>| {
                adj_out.set(prefix(number), class.and_then(ClassId::new));
                match class {
                    Some(class) => wanted.insert(prefix(number), class),
                    None => wanted.remove(&prefix(number)),
                };
            };
            match step {
                Step::Set(number, class) => set(number, class),
                Step::SetMany(block, class) => (0..3000).for_each(|n| set(1000 + block * 3000 + n, class)),
                Step::Define(class, octet) => {
                    adj_out.define(ClassId::new(class).unwrap(), attributes(octet)).unwrap();
                    hops.insert(class, octet);
                }
                Step::Fill(budget) => {
                    let mut out = Vec::new();
                    adj_out.fill(&mut out, budget);
                    receiver.read(&out);
                }
                Step::Gate(open) => {
                    adj_out.set_open(open);
                    gate = open;
                }
                Step::Refresh(v6) => {
                    adj_out.refresh(if v6 { Family::Ipv6Unicast } else { Family::Ipv4Unicast });
                }
                Step::Reconnect(both) => {
                    families = if both { FamilySet::ALL } else { FamilySet::only(Family::Ipv4Unicast) };
                    adj_out.session_down();
                    receiver.routes.clear();
                    up(&mut adj_out, families);
                }
            }
        }
        drain(&mut adj_out, &mut receiver);
        let expected: BTreeMap<Prefix, IpAddr> = wanted
            .iter()
            .filter(|(prefix, _)| gate && families.contains(prefix.family()))
            .filter_map(|(prefix, class)| {
                let attributes = attributes(*hops.get(class)?);
                let hop = match prefix.family() {
                    Family::Ipv4Unicast => attributes.next_hop_v4,
                    Family::Ipv6Unicast => attributes.next_hop_v6,
                };
                Some((*prefix, hop?.addr()))
            })
            .collect();
        prop_assert_eq!(&receiver.routes, &expected);
        for family in Family::ALL {
            let sent = expected.keys().filter(|prefix| prefix.family() == family).count();
            prop_assert_eq!(adj_out.sent_len(family), sent);
            let desired = wanted.keys().filter(|prefix| prefix.family() == family).count();
            prop_assert_eq!(adj_out.desired_len(family), desired);
        }
    }
}
