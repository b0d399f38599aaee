mod reload;
mod restart;

use super::*;
use crate::config::{ListenConfig, NodeIps, Steering};
use crate::coupling::BfdProfile;
use net::Ttl;
use std::time::Duration;
use wire::{Community, Family, FamilySet, LargeCommunity};

fn neighbor(plane: usize, address: &str) -> NeighborConfig {
    let address: IpAddr = address.parse().unwrap();
    let family = if address.is_ipv4() {
        Family::Ipv4Unicast
    } else {
        Family::Ipv6Unicast
    };
    NeighborConfig {
        plane: PlaneId(plane),
        address,
        port: 179,
        remote_as: 65030,
        hold_time: 9,
        passive: false,
        ttl: Ttl::Direct,
        password: None,
        families: FamilySet::only(family),
        extended_next_hop: false,
        allowed_sources: Vec::new(),
        source: None,
        device: None,
        steering: Steering::default(),
        bfd: None,
        graceful_restart: None,
        user_timeout: None,
    }
}

fn rack(neighbors: Vec<NeighborConfig>) -> (Rack, Instant) {
    let now = Instant::now();
    let config = RackConfig {
        local_as: 65000,
        router_id: "10.0.0.1".parse().unwrap(),
        host_name: None,
        neighbors,
        listen: ListenConfig::default(),
        node_ips: NodeIps::default(),
        return_path: None,
    };
    (Rack::new(config, 1, now), now)
}

fn to(peer: &str) -> Target {
    Target::from(peer.parse::<IpAddr>().unwrap())
}

fn path(source: &str, interface: &str) -> PathToPeer {
    PathToPeer {
        source: Some(source.parse().unwrap()),
        interface: Some(interface.to_owned()),
        if_index: 7,
        on_link: true,
        if_addresses: vec![source.parse().unwrap()],
        up: true,
    }
}

fn next_hops_of(rack: &mut Rack) -> Vec<(usize, Option<String>, Option<String>)> {
    let mut actions = Vec::new();
    rack.poll_actions(&mut actions, Instant::now());
    let show = |hop: Option<wire::NextHop>| hop.map(|hop| hop.addr().to_string());
    actions
        .into_iter()
        .filter_map(|action| {
            let Action::NextHops { session, next_hops } = action else {
                return None;
            };
            Some((session.0, show(next_hops.v4), show(next_hops.v6)))
        })
        .collect()
}

#[test]
fn each_switch_gets_the_next_hop_of_its_own_link() {
    let (mut rack, now) = rack(vec![neighbor(0, "10.1.1.1"), neighbor(1, "10.1.2.1")]);
    rack.set_path(&to("10.1.1.1"), &path("10.1.1.2", "eth1"), now);
    rack.set_path(&to("10.1.2.1"), &path("10.1.2.2", "eth2"), now);
    assert_eq!(
        next_hops_of(&mut rack),
        [
            (0, Some("10.1.1.2".to_owned()), None),
            (1, Some("10.1.2.2".to_owned()), None)
        ]
    );
    rack.set_path(&to("10.1.1.1"), &path("10.1.1.2", "eth1"), now);
    assert_eq!(next_hops_of(&mut rack), [], "nothing has changed");
    rack.set_path(&to("10.1.1.1"), &path("10.1.1.9", "eth1"), now);
    assert_eq!(next_hops_of(&mut rack), [(0, Some("10.1.1.9".to_owned()), None)]);
}

#[test]
fn a_route_without_a_source_leaves_the_last_next_hop() {
    let (mut rack, now) = rack(vec![neighbor(0, "10.1.1.1")]);
    rack.set_path(&to("10.1.1.1"), &path("10.1.1.2", "eth1"), now);
    next_hops_of(&mut rack);
    rack.set_path(&to("10.1.1.1"), &PathToPeer::default(), now);
    assert_eq!(next_hops_of(&mut rack), []);
    assert_eq!(
        rack.status(now).planes[0].sessions[0].families[0].next_hop,
        Some("10.1.1.2".parse().unwrap())
    );
}

#[test]
fn ipv6_prefixes_over_an_ipv4_session_use_the_address_of_the_sister_session() {
    let mut v4 = neighbor(0, "10.1.1.1");
    v4.families = FamilySet::ALL;
    v4.extended_next_hop = true;
    let mut v6 = neighbor(0, "2001:db8:1::1");
    v6.families = FamilySet::ALL;
    v6.extended_next_hop = true;
    let other_plane = neighbor(1, "2001:db8:2::1");
    let (mut rack, now) = rack(vec![v4, v6, other_plane]);
    rack.set_path(&to("2001:db8:2::1"), &path("2001:db8:2::2", "eth2"), now);
    rack.set_path(&to("10.1.1.1"), &path("10.1.1.2", "eth1"), now);
    rack.set_path(&to("2001:db8:1::1"), &path("2001:db8:1::2", "eth1"), now);
    let last: Vec<_> = next_hops_of(&mut rack);
    let of = |session: usize| {
        last.iter()
            .rev()
            .find(|entry| entry.0 == session)
            .cloned()
            .unwrap()
    };
    let v6 = || Some("2001:db8:1::2".to_owned());
    assert_eq!(of(0), (0, Some("10.1.1.2".to_owned()), v6()));
    assert_eq!(of(1), (1, v6(), v6()));
}

#[test]
fn the_nodes_address_replaces_the_pods_own() {
    let node_ips = NodeIps {
        pod_v4: Some("10.16.0.4".parse().unwrap()),
        node_v4: Some("10.1.1.2".parse().unwrap()),
        ..NodeIps::default()
    };
    let hops = next_hops("10.16.0.4".parse().unwrap(), &[], &node_ips);
    assert_eq!(hops.v4.unwrap().addr().to_string(), "10.1.1.2");
    let hops = next_hops("10.16.0.5".parse().unwrap(), &[], &node_ips);
    assert_eq!(
        hops.v4.unwrap().addr().to_string(),
        "10.16.0.5",
        "not our own address"
    );
}

#[test]
fn a_source_that_is_not_allowed_holds_its_session_back_and_only_that() {
    let mut first = neighbor(0, "10.1.1.1");
    first.allowed_sources = vec!["10.1.1.2".parse().unwrap()];
    let (mut rack, now) = rack(vec![first, neighbor(1, "10.1.2.1")]);
    let mut actions = Vec::new();
    let mut dialed = |rack: &mut Rack| {
        actions.clear();
        rack.poll_actions(&mut actions, Instant::now());
        let dials = actions.iter().filter_map(|action| {
            let Action::Dial { session, options, .. } = action else {
                return None;
            };
            Some((session.0, options.source))
        });
        dials.collect::<Vec<_>>()
    };
    assert_eq!(dialed(&mut rack), [(1, None)]);
    rack.set_path(&to("10.1.1.1"), &path("10.1.1.77", "eth1"), now);
    assert_eq!(dialed(&mut rack), []);
    let status = rack.status(now);
    assert_eq!(status.planes[0].gate, Gate::Closed);
    let blocked = status.planes[0].sessions[0].blocked.clone().unwrap();
    assert!(
        blocked.contains("10.1.1.77 for BGP neighbor 10.1.1.1 is not in allowed source address list"),
        "{blocked}"
    );
    rack.set_path(&to("10.1.1.1"), &path("10.1.1.2", "eth1"), now);
    assert_eq!(
        dialed(&mut rack),
        [(0, Some("10.1.1.2".parse().unwrap()))],
        "bound to the allowed address"
    );
    assert_eq!(rack.status(now).planes[0].gate, Gate::Warming);
}

#[test]
fn a_route_is_shown_on_the_sessions_of_its_family_only() {
    let (mut rack, now) = rack(vec![neighbor(0, "10.1.1.1"), neighbor(0, "2001:db8:1::1")]);
    let prefix: Prefix = "10.16.0.5".parse().unwrap();
    rack.apply(&[RouteChange {
        prefix,
        announced: true,
    }]);
    assert_eq!(rack.route(&prefix).len(), 1);
    assert_eq!(rack.route(&prefix)[0].stage, "desired");
    assert_eq!(rack.status(now).pair, PairState::Isolated);
    rack.apply(&[RouteChange {
        prefix,
        announced: false,
    }]);
    assert_eq!(rack.route(&prefix), []);
}

#[test]
fn plane_names_are_letters() {
    assert_eq!(PlaneId(0).to_string(), "a");
    assert_eq!(PlaneId(1).to_string(), "b");
    assert_eq!(PlaneId(26).to_string(), "p26");
}

#[test]
fn a_stopped_rack_does_not_start_a_session_again() {
    let (mut rack, now) = rack(vec![neighbor(0, "10.1.1.1")]);
    rack.stop("maintenance", now);
    rack.set_path(
        &to("10.1.1.1"),
        &path("10.1.1.2", "eth1"),
        now + Duration::from_secs(1),
    );
    assert_eq!(rack.status(now).planes[0].sessions[0].state, "Idle");
}

/// Brings a session up and forgets what was asked for on the way.
fn establish(rack: &mut Rack, session: usize, now: Instant) {
    exchange(rack, session, now);
    rack.poll_actions(&mut Vec::new(), now);
    assert_eq!(rack.sessions[session].peer.state(), State::Established);
}

/// The switch does its part of bringing a session up.
fn exchange(rack: &mut Rack, session: usize, now: Instant) {
    let connection = ConnectionId(session as u64 + 1);
    let (local, remote) = ("10.1.1.2:50000".parse().unwrap(), "10.1.1.1:179".parse().unwrap());
    rack.handle(
        SessionId(session),
        Input::Connected {
            connection,
            local,
            remote,
        },
        now,
    );
    let mut octets = Vec::new();
    let open = wire::Open {
        asn: 65030,
        hold_time: 9,
        bgp_id: "10.0.0.9".parse().unwrap(),
        capabilities: vec![wire::Capability::FourOctetAs(65030)],
    };
    wire::encode_open(&open, &mut octets);
    wire::encode_keepalive(&mut octets);
    rack.handle(
        SessionId(session),
        Input::Received {
            connection,
            data: &octets,
        },
        now,
    );
}

fn words(rack: &mut Rack, now: Instant) -> Vec<String> {
    let mut actions = Vec::new();
    rack.poll_actions(&mut actions, now);
    let mut words = Vec::new();
    for action in actions {
        words.push(match action {
            Action::Dial { session, .. } => format!("{} dial", session.0),
            Action::Peer {
                session,
                event: Event::Close { last, .. },
            } => {
                let (code, subcode) = (last[last.len() - 2], last[last.len() - 1]);
                format!("{} close {code}/{subcode}", session.0)
            }
            Action::Peer {
                session,
                event: Event::Down(_),
            } => format!("{} down", session.0),
            Action::Peer {
                session,
                event: Event::Established { .. },
            } => format!("{} up", session.0),
            Action::Blocked { session, reason } => {
                format!(
                    "{} {}",
                    session.0,
                    if reason.is_some() { "blocked" } else { "released" }
                )
            }
            Action::Reconfigured { session, verdict } => format!("{} {verdict}", session.0),
            Action::Removed { session, .. } => format!("{} removed", session.0),
            Action::Pending { session, .. } => format!("{} pending", session.0),
            Action::Peer { .. } | Action::NextHops { .. } => continue,
        });
    }
    words
}

fn with_bfd(strict: bool) -> (Rack, Instant) {
    let profile = BfdProfile {
        min_tx: Duration::from_millis(50),
        min_rx: Duration::from_millis(50),
        multiplier: std::num::NonZeroU8::new(3).unwrap(),
        passive: false,
        min_ttl: None,
        auth: None,
        strict: strict.then_some(crate::coupling::BfdStrict::DEFAULT),
    };
    let with = |plane, address| NeighborConfig {
        bfd: Some(profile.clone()),
        ..neighbor(plane, address)
    };
    rack(vec![with(0, "10.1.1.1"), with(1, "10.1.2.1")])
}

#[test]
fn a_bfd_failure_closes_its_own_session_with_its_own_subcode_and_dials_again_when_bfd_is_back() {
    let (mut rack, now) = with_bfd(false);
    establish(&mut rack, 0, now);
    establish(&mut rack, 1, now);
    rack.bfd_news(SessionId(0), BfdNews::Up, now);
    rack.bfd_news(SessionId(0), BfdNews::Failed, now);
    assert_eq!(words(&mut rack, now), ["0 close 6/10", "0 down", "0 blocked"]);
    assert_eq!(rack.sessions[1].peer.state(), State::Established);
    rack.handle_timeout(now + Duration::from_secs(5));
    assert_eq!(
        words(&mut rack, now),
        Vec::<String>::new(),
        "no dialling while BFD is down"
    );
    rack.bfd_news(SessionId(0), BfdNews::Up, now + Duration::from_secs(5));
    assert_eq!(words(&mut rack, now), ["0 dial", "0 released"]);
}

/// Advances to the moments that the rack asks for, until it has something to say.
fn words_of_the_next_timeout(rack: &mut Rack, mut now: Instant) -> (Vec<String>, Instant) {
    loop {
        now = rack.poll_timeout().expect("a timeout").max(now);
        rack.handle_timeout(now);
        let words = words(rack, now);
        if !words.is_empty() {
            return (words, now);
        }
    }
}

#[test]
fn bgp_does_not_wait_for_ever_for_bfd_that_does_not_come_back() {
    let (mut rack, now) = with_bfd(false);
    establish(&mut rack, 0, now);
    rack.bfd_news(SessionId(0), BfdNews::Up, now);
    rack.bfd_news(SessionId(0), BfdNews::Failed, now);
    rack.bfd_news(SessionId(1), BfdNews::Up, now);
    rack.bfd_news(SessionId(1), BfdNews::Failed, now);
    words(&mut rack, now);
    let (words, at) = words_of_the_next_timeout(&mut rack, now);
    assert!(words.contains(&"0 released".to_owned()), "{words:?}");
    assert_eq!(at - now, Duration::from_secs(30));
}

#[test]
fn a_plane_that_is_held_down_is_released_when_its_time_is_over() {
    let (mut rack, now) = with_bfd(false);
    establish(&mut rack, 0, now);
    establish(&mut rack, 1, now);
    for _ in 0..3 {
        rack.bfd_news(SessionId(0), BfdNews::Failed, now);
        rack.bfd_news(SessionId(0), BfdNews::Up, now);
    }
    words(&mut rack, now);
    assert_eq!(rack.sessions[0].peer.state(), State::Idle);
    let (words, at) = words_of_the_next_timeout(&mut rack, now);
    assert_eq!(words, ["0 dial", "0 released"]);
    assert_eq!(at - now, Duration::from_secs(1));
}

#[test]
fn admin_down_of_the_switch_leaves_the_session_alone() {
    let (mut rack, now) = with_bfd(false);
    establish(&mut rack, 0, now);
    rack.bfd_news(SessionId(0), BfdNews::Up, now);
    rack.bfd_news(SessionId(0), BfdNews::RemoteAdminDown, now);
    assert_eq!(words(&mut rack, now), Vec::<String>::new());
    assert_eq!(rack.sessions[0].peer.state(), State::Established);
}

#[test]
fn strict_mode_connects_but_waits_for_bfd() {
    let (mut rack, now) = with_bfd(true);
    assert_eq!(
        words(&mut rack, now),
        ["0 dial", "1 dial", "0 blocked", "1 blocked"]
    );
    exchange(&mut rack, 1, now);
    assert_eq!(rack.sessions[1].peer.state(), State::OpenSent);
    assert!(rack.sessions[1].peer.awaits_bfd());
    assert_eq!(rack.status(now).planes[1].gate, Gate::Closed);
    rack.bfd_news(SessionId(1), BfdNews::Up, now);
    assert_eq!(words(&mut rack, now), ["1 up", "1 released"]);
    assert_eq!(rack.sessions[1].peer.state(), State::Established);
}

#[test]
fn in_strict_mode_a_failure_closes_bgp_and_damping_holds_it_in_open_sent() {
    let (mut rack, now) = with_bfd(true);
    for session in [0, 1] {
        rack.bfd_news(SessionId(session), BfdNews::Up, now);
        establish(&mut rack, session, now);
    }
    words(&mut rack, now);
    rack.bfd_news(SessionId(0), BfdNews::Failed, now);
    let said = words(&mut rack, now);
    assert!(said.contains(&"0 close 6/10".to_owned()), "{said:?}");
    assert!(said.contains(&"0 dial".to_owned()), "{said:?}");
    for _ in 0..2 {
        rack.bfd_news(SessionId(0), BfdNews::Up, now);
        rack.bfd_news(SessionId(0), BfdNews::Failed, now);
    }
    rack.bfd_news(SessionId(0), BfdNews::Up, now);
    words(&mut rack, now);
    exchange(&mut rack, 0, now);
    assert!(rack.sessions[0].peer.awaits_bfd(), "held down");
    let (said, at) = words_of_the_next_timeout(&mut rack, now);
    assert!(said.contains(&"0 up".to_owned()), "{said:?}");
    assert_eq!(at - now, Duration::from_secs(1));
}

#[test]
fn the_profile_of_a_plane_reaches_its_bfd_session() {
    let auth = net::bfd::Auth::new(
        net::bfd::AuthType::KeyedSha1,
        net::bfd::Key::new(7, b"correct horse"),
    )
    .unwrap();
    let profile = BfdProfile {
        min_tx: Duration::from_millis(50),
        min_rx: Duration::from_millis(60),
        multiplier: std::num::NonZeroU8::MIN,
        passive: true,
        min_ttl: Some(200),
        auth: Some(auth.clone()),
        strict: None,
    };
    assert!(!format!("{profile:?}").contains("horse"));
    let with = |ttl| NeighborConfig {
        ttl,
        bfd: Some(profile.clone()),
        ..neighbor(0, "10.1.1.1")
    };
    for (ttl, hop) in [
        (Ttl::Multihop(3), net::bfd::Hop::Multi { min_ttl: 200 }),
        (Ttl::Direct, net::bfd::Hop::Single),
    ] {
        let (mut rack, now) = rack(vec![with(ttl)]);
        rack.set_path(&to("10.1.1.1"), &path("10.1.1.2", "eth1"), now);
        let specs = rack.bfd_specs();
        assert_eq!(specs[0].hop, hop);
        assert_eq!(specs[0].auth.as_ref(), Some(&auth));
        assert!(specs[0].passive);
        assert_eq!(specs[0].required_min_rx, profile.min_rx);
    }
}

#[test]
fn the_last_usable_plane_is_never_held_down() {
    let (mut rack, now) = with_bfd(false);
    establish(&mut rack, 0, now);
    establish(&mut rack, 1, now);
    for _ in 0..6 {
        rack.bfd_news(SessionId(0), BfdNews::Failed, now);
        rack.bfd_news(SessionId(0), BfdNews::Up, now);
    }
    words(&mut rack, now);
    assert_eq!(
        rack.sessions[0].peer.state(),
        State::Idle,
        "held down while the other plane is usable"
    );
    rack.handle(
        SessionId(1),
        Input::Closed {
            connection: ConnectionId(2),
            reason: "reset".to_owned(),
        },
        now,
    );
    assert_eq!(words(&mut rack, now), ["1 down", "0 released"]);
    assert_eq!(words(&mut rack, now), ["0 dial"]);
}

/// What a session sends now, decoded: the attributes of each UPDATE that announces something.
fn announcements(rack: &mut Rack, session: usize) -> Vec<wire::PathAttributes> {
    let mut out = Vec::new();
    rack.poll_transmit(
        SessionId(session),
        ConnectionId(session as u64 + 1),
        1 << 20,
        &mut out,
    );
    let context = wire::DecodeContext {
        four_octet_as: true,
        ..wire::DecodeContext::default()
    };
    let mut rest = out.as_slice();
    let mut found = Vec::new();
    while let Some(len) = wire::frame_len(rest, wire::MAX_MESSAGE).unwrap() {
        let (frame, tail) = rest.split_at(len);
        rest = tail;
        if let wire::Message::Update(update) = wire::decode(frame, &context).unwrap()
            && !update.announced.is_empty()
        {
            found.push(update.attributes);
        }
    }
    found
}

#[test]
fn every_plane_has_its_own_steering() {
    let mut first = neighbor(0, "10.1.1.1");
    first.steering = Steering {
        communities: vec![
            Community::NO_EXPORT,
            Community(65000 << 16 | 1),
            Community::NO_EXPORT,
        ],
        large_communities: vec![LargeCommunity {
            global: 65000,
            local1: 1,
            local2: 2,
        }],
        med: Some(50),
        prepend: 2,
        local_pref: None,
    };
    let (mut rack, now) = rack(vec![first, neighbor(1, "10.1.2.1")]);
    for (session, peer, source) in [(0, "10.1.1.1", "10.1.1.2"), (1, "10.1.2.1", "10.1.2.2")] {
        rack.set_path(&to(peer), &path(source, "eth1"), now);
        establish(&mut rack, session, now);
    }
    rack.apply(&[RouteChange {
        prefix: "10.16.0.5".parse().unwrap(),
        announced: true,
    }]);
    rack.set_complete();
    let steered = announcements(&mut rack, 0);
    assert_eq!(steered.len(), 1);
    assert_eq!(
        steered[0].communities,
        [Community(65000 << 16 | 1), Community::NO_EXPORT]
    );
    assert_eq!(steered[0].large_communities.len(), 1);
    assert_eq!(steered[0].med, Some(50));
    assert_eq!(
        steered[0].as_path.as_ref().unwrap().asns().collect::<Vec<_>>(),
        [65000; 3]
    );
    assert_eq!(steered[0].local_pref, None, "the other AS does not want to know");
    let plain = announcements(&mut rack, 1);
    assert_eq!(plain.len(), 1);
    assert_eq!((plain[0].med, plain[0].communities.len()), (None, 0));
    assert_eq!(
        plain[0].as_path.as_ref().unwrap().asns().collect::<Vec<_>>(),
        [65000]
    );
}

#[test]
fn a_session_with_a_source_waits_until_this_host_has_it() {
    let mut pinned = neighbor(0, "10.1.1.1");
    let source: IpAddr = "10.250.0.1".parse().unwrap();
    pinned.source = Some(source);
    pinned.device = Some("eth1".to_owned());
    let target = Target {
        peer: pinned.address,
        interface: pinned.device.clone(),
        source: Some(source),
    };
    let (mut rack, now) = rack(vec![pinned]);
    let blocked = |rack: &Rack| rack.status(now).planes[0].sessions[0].blocked.clone();
    assert_eq!(words(&mut rack, now), ["0 blocked"]);
    let absent = PathToPeer {
        source: None,
        ..path("10.1.1.2", "eth1")
    };
    rack.set_path(&target, &absent, now);
    assert!(
        blocked(&rack)
            .unwrap()
            .contains("source address 10.250.0.1 for 10.1.1.1 is not on this host"),
        "{:?}",
        blocked(&rack)
    );
    rack.set_path(&to("10.1.1.1"), &path("10.1.1.2", "eth1"), now);
    assert!(blocked(&rack).is_some(), "the answer to another question");
    words(&mut rack, now);

    rack.set_path(&target, &path("10.250.0.1", "eth1"), now);
    assert_eq!(blocked(&rack), None);
    let mut actions = Vec::new();
    rack.poll_actions(&mut actions, now);
    let dialed = actions.iter().find_map(|action| {
        let Action::Dial { options, .. } = action else {
            return None;
        };
        Some((options.source, options.device.clone()))
    });
    assert_eq!(dialed, Some((Some(source), Some("eth1".to_owned()))));
    assert_eq!(
        rack.status(now).planes[0].sessions[0].families[0].next_hop,
        Some(source)
    );

    rack.set_path(&target, &absent, now);
    assert!(blocked(&rack).is_some(), "it has gone");
}
