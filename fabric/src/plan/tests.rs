use super::*;
use crate::config::{ListenConfig, PlaneId, Steering};
use crate::coupling::{BfdProfile, BfdStrict};
use net::{Md5Key, Ttl};
use std::num::NonZeroU8;
use std::time::Duration;
use wire::{Community, Family, FamilySet, LargeCommunity};

/// A change, and what its line says.
type Case<T> = (fn(&mut T), &'static str);

fn neighbor(plane: usize, address: &str) -> NeighborConfig {
    NeighborConfig {
        plane: PlaneId(plane),
        address: address.parse().unwrap(),
        port: 179,
        remote_as: 65030,
        hold_time: 90,
        passive: false,
        ttl: Ttl::Direct,
        source: None,
        device: None,
        password: None,
        families: FamilySet::only(Family::Ipv4Unicast),
        extended_next_hop: false,
        allowed_sources: Vec::new(),
        steering: Steering::default(),
        bfd: None,
        graceful_restart: None,
        user_timeout: None,
    }
}

fn profile() -> BfdProfile {
    BfdProfile {
        min_tx: Duration::from_millis(300),
        min_rx: Duration::from_millis(300),
        multiplier: NonZeroU8::new(3).unwrap(),
        passive: false,
        min_ttl: None,
        auth: None,
        strict: None,
    }
}

fn rack() -> RackConfig {
    RackConfig {
        local_as: 65000,
        router_id: "10.0.0.1".parse().unwrap(),
        host_name: Some("node".to_owned()),
        neighbors: vec![neighbor(0, "10.1.1.1"), neighbor(1, "10.1.2.1")],
        listen: ListenConfig::default(),
        node_ips: NodeIps::default(),
        return_path: None,
    }
}

fn key(text: &str) -> Option<Md5Key> {
    Some(Md5Key::new(text.to_owned().into()).unwrap())
}

/// The plan after a change of the rack, as its sessions' lines.
fn lines(current: &RackConfig, change: impl FnOnce(&mut RackConfig)) -> Vec<String> {
    let mut new = current.clone();
    change(&mut new);
    let plan = plan(current, &new, &BTreeMap::new());
    plan.sessions.iter().map(ToString::to_string).collect()
}

/// The line of the first switch after a change of it; the other one has to be untouched.
fn line(current: &RackConfig, change: impl FnOnce(&mut NeighborConfig)) -> String {
    let mut lines = lines(current, |rack| change(&mut rack.neighbors[0]));
    assert_eq!(lines.pop().unwrap(), "b 10.1.2.1: unchanged");
    lines.pop().unwrap().replacen("a 10.1.1.1: ", "", 1)
}

#[test]
fn nothing_changed_is_no_change() {
    let plan = plan(&rack(), &rack(), &BTreeMap::new());
    assert!(plan.is_empty());
    assert_eq!(plan.to_string(), "a 10.1.1.1: unchanged; b 10.1.2.1: unchanged");
}

#[test]
fn every_setting_of_a_session_is_compared() {
    let plain = rack();
    let cases: [Case<NeighborConfig>; 19] = [
        (|n| n.plane = PlaneId(2), "soft: plane a -> c"),
        (|n| n.port = 1179, "reset: port 179 -> 1179"),
        (|n| n.remote_as = 65031, "reset: AS 65030 -> 65031"),
        (|n| n.hold_time = 30, "reset: hold time 90 s -> 30 s"),
        (|n| n.passive = true, "soft: passive false -> true"),
        (
            |n| n.ttl = Ttl::Security { hops: 1 },
            "reset: TTL 1 -> security over 1 hops",
        ),
        (
            |n| n.source = Some("10.1.1.9".parse().unwrap()),
            "reset: source none -> 10.1.1.9",
        ),
        (
            |n| n.device = Some("eth1".to_owned()),
            "reset: device none -> eth1",
        ),
        (
            |n| n.families = FamilySet::ALL,
            "reset: families ipv4-unicast -> ipv4-unicast ipv6-unicast",
        ),
        (
            |n| n.extended_next_hop = true,
            "reset: extended next hop false -> true",
        ),
        (
            |n| n.allowed_sources = vec!["10.1.1.9".parse().unwrap()],
            "soft: allowed sources none -> 10.1.1.9",
        ),
        (
            |n| n.steering.communities = vec![Community::NO_EXPORT, Community(65000 << 16 | 1)],
            "soft: communities none -> 65000:1 no-export",
        ),
        (
            |n| {
                n.steering.large_communities = vec![LargeCommunity {
                    global: 65000,
                    local1: 1,
                    local2: 2,
                }];
            },
            "soft: large communities none -> 65000:1:2",
        ),
        (|n| n.steering.med = Some(10), "soft: MED none -> 10"),
        (|n| n.steering.prepend = 3, "soft: prepend 0 -> 3"),
        (|n| n.bfd = Some(profile()), "soft: BFD off -> on"),
        (
            |n| {
                n.bfd = Some(BfdProfile {
                    strict: Some(BfdStrict::DEFAULT),
                    ..profile()
                });
            },
            "reset: BFD off -> on",
        ),
        (
            |n| n.user_timeout = Some(Duration::from_secs(9)),
            "soft: TCP user timeout none -> 9s",
        ),
        (
            |n| {
                n.remote_as = 65031;
                n.steering.med = Some(1);
            },
            "reset: AS 65030 -> 65031, MED none -> 1",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(line(&plain, change), expected);
    }

    let mut internal = rack();
    internal.local_as = 65030;
    assert_eq!(
        line(&internal, |n| n.steering.local_pref = Some(200)),
        "soft: local preference none -> 200"
    );

    let mut with_bfd = rack();
    with_bfd.neighbors[0].bfd = Some(profile());
    let cases: [Case<BfdProfile>; 6] = [
        (
            |p| p.min_tx = Duration::from_millis(50),
            "soft: BFD transmit interval 300ms -> 50ms",
        ),
        (
            |p| p.min_rx = Duration::from_millis(50),
            "soft: BFD receive interval 300ms -> 50ms",
        ),
        (|p| p.multiplier = NonZeroU8::MIN, "soft: BFD multiplier 3 -> 1"),
        (|p| p.passive = true, "soft: BFD passive role false -> true"),
        (
            |p| {
                let key = net::bfd::Key::new(1, b"secret");
                p.auth = net::bfd::Auth::new(net::bfd::AuthType::KeyedSha1, key).ok();
            },
            "soft: BFD authentication none -> KeyedSha1",
        ),
        (
            |p| p.strict = Some(BfdStrict::DEFAULT),
            "reset: BFD strict mode off -> on, BFD hold time 30s",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(line(&with_bfd, |n| n.bfd.iter_mut().for_each(change)), expected);
    }
    assert_eq!(line(&with_bfd, |n| n.bfd = None), "soft: BFD on -> off");

    with_bfd.neighbors[0].ttl = Ttl::Multihop(9);
    let floored = line(&with_bfd, |n| {
        n.bfd.iter_mut().for_each(|p| p.min_ttl = Some(247));
    });
    assert_eq!(floored, "soft: BFD least TTL none -> 247");
}

#[test]
fn settings_of_the_rack_concern_every_session() {
    let plain = rack();
    let cases: [Case<RackConfig>; 4] = [
        (|rack| rack.local_as = 65001, "reset: local AS 65000 -> 65001"),
        (
            |rack| rack.router_id = "10.0.0.2".parse().unwrap(),
            "reset: router id 10.0.0.1 -> 10.0.0.2",
        ),
        (|rack| rack.host_name = None, "soft: host name node -> none"),
        (
            |rack| rack.node_ips.node_v4 = Some("10.9.9.9".parse().unwrap()),
            "soft: node IPs none for none, none for none -> 10.9.9.9 for none, none for none",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(
            lines(&plain, change),
            [
                format!("a 10.1.1.1: {expected}"),
                format!("b 10.1.2.1: {expected}")
            ]
        );
    }
}

#[test]
fn a_new_listener_touches_no_session() {
    let mut new = rack();
    new.listen.addresses = vec!["0.0.0.0:179".parse().unwrap()];
    let plan = plan(&rack(), &new, &BTreeMap::new());
    assert!(!plan.is_empty());
    assert_eq!(
        plan.to_string(),
        "a 10.1.1.1: unchanged; b 10.1.2.1: unchanged; listen addresses none -> 0.0.0.0:179"
    );
}

#[test]
fn a_password_is_never_shown() {
    let mut current = rack();
    current.neighbors[0].password = key("correct horse");
    let mut new = current.clone();
    new.neighbors[0].password = key("battery staple");
    new.neighbors[1].password = key("battery staple");
    let plan = plan(&current, &new, &BTreeMap::new());
    assert_eq!(
        plan.to_string(),
        "a 10.1.1.1: reset: password changed; b 10.1.2.1: reset: password changed"
    );
    for shown in [
        plan.to_string(),
        format!("{plan:?}"),
        serde_json::to_string(&plan).unwrap(),
    ] {
        assert!(!shown.contains("horse") && !shown.contains("staple"), "{shown}");
    }
    assert_eq!(line(&current, |_| {}), "unchanged", "the same password");
}

#[test]
fn order_and_repetition_mean_nothing_in_a_set() {
    let mut current = rack();
    let (one, two) = (Community(1), Community(2));
    current.neighbors[0].steering.communities = vec![one, two];
    current.neighbors[0].allowed_sources = vec!["10.1.1.2".parse().unwrap(), "10.1.1.3".parse().unwrap()];
    let same = line(&current, |n| {
        n.steering.communities = vec![two, one, two];
        n.allowed_sources.reverse();
    });
    assert_eq!(same, "unchanged");
}

#[test]
fn allowed_sources_that_exclude_the_present_one_take_a_reset() {
    let (current, mut new) = (rack(), rack());
    new.neighbors[0].allowed_sources = vec!["10.1.1.2".parse().unwrap()];
    let verdict = |source: &str| {
        let sources = BTreeMap::from([(current.neighbors[0].address, source.parse().unwrap())]);
        plan(&current, &new, &sources).sessions[0].verdict
    };
    assert_eq!(verdict("10.1.1.2"), Verdict::Soft);
    assert_eq!(verdict("10.1.1.3"), Verdict::Reset);
}

#[test]
fn sessions_come_and_go_by_the_address_of_their_switch() {
    let mut new = rack();
    new.neighbors.remove(0);
    new.neighbors.insert(0, neighbor(0, "10.1.1.9"));
    new.neighbors.reverse();
    let plan = plan(&rack(), &new, &BTreeMap::new());
    assert_eq!(
        plan.to_string(),
        "b 10.1.2.1: unchanged; a 10.1.1.9: added; a 10.1.1.1: removed"
    );
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["sessions"][1]["verdict"], "added");
    assert_eq!(serde_json::from_value::<ReloadPlan>(json).unwrap(), plan);
}

#[test]
fn settings_that_cannot_work_are_refused_with_a_remedy() {
    let cases: [Case<NeighborConfig>; 15] = [
        (|n| n.remote_as = 0, "AS 0"),
        (|n| n.hold_time = 2, "hold time 2 s: use 0, or 3 s"),
        (|n| n.port = 0, "port 0"),
        (|n| n.ttl = Ttl::Multihop(0), "TTL multihop 0"),
        (|n| n.families = FamilySet::default(), "no address family"),
        (
            |n| n.device = Some("sixteen-letters-".to_owned()),
            "1 to 15 octets",
        ),
        (|n| n.device = Some(String::new()), "1 to 15 octets"),
        (
            |n| n.source = Some("2001:db8::1".parse().unwrap()),
            "the same family as the switch 10.1.1.1",
        ),
        (
            |n| n.source = Some("0.0.0.0".parse().unwrap()),
            "an address of this host",
        ),
        (
            |n| {
                n.source = Some("10.1.1.2".parse().unwrap());
                n.allowed_sources = vec!["10.1.1.3".parse().unwrap()];
            },
            "not in the list of allowed sources",
        ),
        (|n| n.steering.prepend = 17, "use at most 16"),
        (|n| n.steering.local_pref = Some(1), "another AS does not take it"),
        (
            |n| n.steering.communities = (0..2000).map(Community).collect(),
            "2000 communities leave no room",
        ),
        (
            |n| {
                n.bfd = Some(BfdProfile {
                    min_tx: Duration::ZERO,
                    ..profile()
                });
            },
            "BFD: desired minimum transmit interval of 0ns is too short",
        ),
        (
            |n| {
                n.bfd = Some(BfdProfile {
                    min_ttl: Some(250),
                    ..profile()
                });
            },
            "BFD least TTL 250: use 1 to 255, and only over several hops",
        ),
    ];
    for (change, expected) in cases {
        let line = line(&rack(), change);
        assert!(line.starts_with("refused: ") && line.contains(expected), "{line}");
    }
    let mut internal = rack();
    internal.local_as = 65030;
    let line = line(&internal, |n| n.steering.prepend = 1);
    assert!(line.contains("inside one AS"), "{line}");
    for (change, expected) in [
        ((|rack| rack.local_as = 0) as fn(&mut RackConfig), "local AS 0"),
        (|rack| rack.router_id = Ipv4Addr::UNSPECIFIED, "router id 0.0.0.0"),
    ] {
        for line in lines(&rack(), change) {
            assert!(line.contains("refused: ") && line.contains(expected), "{line}");
        }
    }
    let twice = lines(&rack(), |rack| rack.neighbors.push(neighbor(1, "10.1.1.1")));
    assert_eq!(
        twice[2],
        "b 10.1.1.1: refused: the switch 10.1.1.1 is there twice: it can have one session"
    );
}

#[test]
fn every_well_known_community_can_be_announced() {
    let mut new = rack();
    new.neighbors[0].steering.communities = vec![Community::GRACEFUL_SHUTDOWN];
    let plan = plan(&rack(), &new, &BTreeMap::new());
    assert_eq!(
        plan.sessions[0].to_string(),
        "a 10.1.1.1: soft: communities none -> graceful-shutdown"
    );
}
