//! A running rack takes another configuration.

use super::*;
use crate::plan::ReloadPlan;

/// Both planes up, everything told, and the configuration they have.
fn pair() -> (Rack, RackConfig, Instant) {
    let neighbors = vec![neighbor(0, "10.1.1.1"), neighbor(1, "10.1.2.1")];
    let (mut rack, now) = rack(neighbors);
    for (session, peer, source) in [(0, "10.1.1.1", "10.1.1.2"), (1, "10.1.2.1", "10.1.2.2")] {
        rack.set_path(&to(peer), &path(source, "eth1"), now);
        establish(&mut rack, session, now);
    }
    rack.apply(&[route("10.16.0.5"), route("10.16.0.6")]);
    rack.set_complete();
    for session in [0, 1] {
        assert!(says(&mut rack, session, now) > 0);
    }
    words(&mut rack, now);
    let config = rack.config.clone();
    (rack, config, now)
}

fn route(prefix: &str) -> RouteChange {
    RouteChange {
        prefix: prefix.parse().unwrap(),
        announced: true,
    }
}

/// Writes everything that a session has to say. Returns how many octets that were.
fn says(rack: &mut Rack, session: usize, now: Instant) -> usize {
    let (id, connection) = (SessionId(session), ConnectionId(session as u64 + 1));
    let mut out = Vec::new();
    while rack.poll_transmit(id, connection, 1 << 16, &mut out) {}
    rack.written(id, connection, 0, true, now);
    out.len()
}

fn pending(rack: &Rack) -> Vec<Option<String>> {
    let status = rack.status(Instant::now());
    let sessions = status.planes.into_iter().flat_map(|plane| plane.sessions);
    sessions
        .map(|session| session.pending.map(|pending| pending.reason))
        .collect()
}

fn with_all(config: &RackConfig, change: impl Fn(&mut NeighborConfig)) -> RackConfig {
    let mut new = config.clone();
    new.neighbors.iter_mut().for_each(change);
    new
}

fn verdicts(plan: &ReloadPlan) -> Vec<Verdict> {
    plan.sessions.iter().map(|session| session.verdict).collect()
}

#[test]
fn invariant_11_a_session_whose_settings_did_not_change_is_not_reset() {
    let (mut rack, config, now) = pair();
    let mut new = config.clone();
    new.neighbors[0].hold_time = 30;
    new.neighbors.push(neighbor(2, "10.1.3.1"));
    new.listen.addresses = vec!["0.0.0.0:179".parse().unwrap()];
    let plan = rack.reconfigure(&new, false, now);
    assert_eq!(
        verdicts(&plan),
        [Verdict::Reset, Verdict::Unchanged, Verdict::Added]
    );
    assert_eq!(
        words(&mut rack, now),
        ["0 close 6/6", "0 down", "0 dial", "2 dial", "2 added", "0 reset"]
    );
    assert_eq!(says(&mut rack, 1, now), 0, "not an octet");
    assert_eq!(rack.sessions[1].peer.counters().established, 1);
    assert_eq!(
        rack.reconfigure(&new, false, now).to_string(),
        rack.plan(&new).to_string()
    );
    assert!(rack.plan(&new).is_empty());
    assert_eq!(
        words(&mut rack, now),
        Vec::<String>::new(),
        "the same again is nothing"
    );
}

#[test]
fn invariant_10_planes_are_reset_one_after_the_other() {
    let (mut rack, config, now) = pair();
    let new = with_all(&config, |neighbor| neighbor.hold_time = 30);
    let plan = rack.reconfigure(&new, false, now);
    assert_eq!(verdicts(&plan), [Verdict::Reset, Verdict::Reset]);
    assert_eq!(
        words(&mut rack, now),
        ["0 close 6/6", "0 down", "0 dial", "0 reset"]
    );
    let reason = pending(&rack)[1].clone().unwrap();
    assert!(
        reason.contains("plane a was changed first and is not usable again yet"),
        "{reason}"
    );
    establish(&mut rack, 0, now);
    assert_eq!(words(&mut rack, now), Vec::<String>::new());
    assert!(pending(&rack)[1].is_some(), "plane a was not told everything yet");
    assert!(says(&mut rack, 0, now) > 0);
    assert_eq!(
        words(&mut rack, now),
        ["1 close 6/6", "1 down", "1 dial", "1 reset"]
    );
    assert_eq!(pending(&rack), [None, None]);
    assert_eq!(rack.sessions[1].peer.config().hold_time, 30);
}

#[test]
fn invariant_10_the_last_usable_plane_keeps_its_settings_while_the_first_does_not_come_back() {
    let (mut rack, config, now) = pair();
    let new = with_all(&config, |neighbor| neighbor.remote_as = 64999);
    rack.reconfigure(&new, false, now);
    words(&mut rack, now);
    let mut at = now;
    let mut warnings = 0;
    while at < now + Duration::from_secs(120) {
        at = rack.poll_timeout().unwrap().max(at + Duration::from_millis(1));
        rack.handle(SessionId(0), Input::ConnectFailed, at);
        rack.handle_timeout(at);
        let said = words(&mut rack, at);
        warnings += said.iter().filter(|word| word.contains("pending")).count();
        assert!(!said.iter().any(|word| word.contains("close")), "{said:?}");
        // The switch of plane b keeps its session alive.
        let mut keepalive = Vec::new();
        wire::encode_keepalive(&mut keepalive);
        let connection = ConnectionId(2);
        rack.handle(
            SessionId(1),
            Input::Received {
                connection,
                data: &keepalive,
            },
            at,
        );
        says(&mut rack, 1, at);
    }
    assert_eq!(warnings, 1, "one WARN");
    assert_eq!(rack.sessions[1].peer.state(), State::Established);
    assert_eq!(rack.sessions[1].peer.config().remote_as, 65030);

    // A later configuration that changes it back clears it.
    rack.reconfigure(&config, false, at);
    assert_eq!(pending(&rack), [None, None]);
    assert_eq!(rack.sessions[0].peer.config().remote_as, 65030);
    assert_eq!(rack.sessions[1].peer.counters().established, 1);

    rack.reconfigure(&new, false, at);
    assert_eq!(rack.sessions[1].peer.config().remote_as, 65030);
    rack.reconfigure(&new, true, at);
    assert_eq!(rack.sessions[1].peer.config().remote_as, 64999, "forced");
    assert_eq!(pending(&rack), [None, None]);
}

#[test]
fn invariant_10_the_only_plane_waits_until_another_is_usable() {
    let (mut rack, config, now) = pair();
    rack.handle(
        SessionId(1),
        Input::Closed {
            connection: ConnectionId(2),
            reason: "reset".to_owned(),
        },
        now,
    );
    words(&mut rack, now);
    let mut new = config.clone();
    new.neighbors.remove(0);
    rack.reconfigure(&new, false, now);
    assert_eq!(
        words(&mut rack, now),
        ["0 pending"],
        "said at once, for nothing is on its way"
    );
    let status = rack.status(now).planes[0].sessions[0].pending.clone().unwrap();
    assert_eq!(status.verdict, Verdict::Removed);
    assert!(status.reason.contains("last usable plane"), "{}", status.reason);

    rack.handle_timeout(now + Duration::from_secs(2));
    establish(&mut rack, 1, now + Duration::from_secs(2));
    assert_eq!(rack.sessions.len(), 2);
    says(&mut rack, 1, now);
    assert_eq!(words(&mut rack, now), ["0 close 6/3", "0 down", "0 removed"]);
    assert_eq!(rack.status(now).planes.len(), 1);
}

#[test]
fn steering_is_changed_in_place() {
    let (mut rack, config, now) = pair();
    let mut new = config.clone();
    new.neighbors[0].steering.communities = vec![Community::GRACEFUL_SHUTDOWN];
    new.neighbors[0].steering.prepend = 1;
    let plan = rack.reconfigure(&new, false, now);
    assert_eq!(verdicts(&plan), [Verdict::Soft, Verdict::Unchanged]);
    assert_eq!(words(&mut rack, now), ["0 soft"]);
    let steered = announcements(&mut rack, 0);
    assert_eq!(steered.len(), 1, "both prefixes in one message");
    assert_eq!(steered[0].communities, [Community::GRACEFUL_SHUTDOWN]);
    assert_eq!(steered[0].as_path.as_ref().unwrap().asns().count(), 2);
    assert_eq!(announcements(&mut rack, 1).len(), 0);
    assert_eq!(rack.sessions[0].peer.counters().established, 1);

    rack.reconfigure(&config, false, now);
    assert_eq!(announcements(&mut rack, 0)[0].communities, []);
}

#[test]
fn bfd_follows_in_place_under_the_same_key() {
    let (mut rack, config, now) = pair();
    let profile = BfdProfile {
        min_tx: Duration::from_millis(300),
        min_rx: Duration::from_millis(300),
        multiplier: std::num::NonZeroU8::new(3).unwrap(),
        passive: false,
        min_ttl: None,
        auth: None,
        strict: None,
    };
    let on = with_all(&config, |neighbor| neighbor.bfd = Some(profile.clone()));
    let plan = rack.reconfigure(&on, false, now);
    assert_eq!(verdicts(&plan), [Verdict::Soft, Verdict::Soft]);
    let keys = |rack: &Rack| -> Vec<(u64, Duration)> {
        let specs = rack.bfd_specs();
        specs.iter().map(|spec| (spec.key, spec.desired_min_tx)).collect()
    };
    let at = Duration::from_millis;
    assert_eq!(keys(&rack), [(0, at(300)), (1, at(300))]);
    let mut faster = on.clone();
    faster.neighbors[1].bfd = Some(BfdProfile {
        min_tx: at(50),
        ..profile
    });
    rack.reconfigure(&faster, false, now);
    assert_eq!(keys(&rack), [(0, at(300)), (1, at(50))]);
    rack.bfd_news(SessionId(0), BfdNews::Up, now);
    rack.reconfigure(&config, false, now);
    assert_eq!(keys(&rack), []);
    rack.bfd_news(SessionId(0), BfdNews::Failed, now);
    assert_eq!(
        words(&mut rack, now),
        ["0 soft", "1 soft", "1 soft", "0 soft", "1 soft"]
    );
    assert_eq!(
        rack.sessions[0].peer.state(),
        State::Established,
        "late news mean nothing"
    );
}

#[test]
fn turning_strict_mode_on_keeps_what_bfd_has_said() {
    let (mut rack, config, now) = pair();
    let profile = BfdProfile {
        min_tx: Duration::from_millis(300),
        min_rx: Duration::from_millis(300),
        multiplier: std::num::NonZeroU8::new(3).unwrap(),
        passive: false,
        min_ttl: None,
        auth: None,
        strict: None,
    };
    let mut on = config.clone();
    on.neighbors[0].bfd = Some(profile.clone());
    rack.reconfigure(&on, false, now);
    rack.bfd_news(SessionId(0), BfdNews::Up, now);
    words(&mut rack, now);
    on.neighbors[0].bfd = Some(BfdProfile {
        strict: Some(crate::coupling::BfdStrict::DEFAULT),
        ..profile
    });
    rack.reconfigure(&on, false, now);
    assert_eq!(
        words(&mut rack, now),
        ["0 close 6/6", "0 down", "0 dial", "0 reset"],
        "not held back: BFD is up"
    );
}

#[test]
fn a_new_session_gets_the_whole_desired_set() {
    let (mut rack, config, now) = pair();
    let mut new = config.clone();
    new.neighbors.push(neighbor(2, "10.1.3.1"));
    rack.reconfigure(&new, false, now);
    rack.set_path(&to("10.1.3.1"), &path("10.1.3.2", "eth3"), now);
    words(&mut rack, now);
    establish(&mut rack, 2, now);
    assert_eq!(
        rack.sessions[2].peer.adj_out().desired_len(Family::Ipv4Unicast),
        2
    );
    assert_eq!(announcements(&mut rack, 2).len(), 1);
    rack.apply(&[route("10.16.0.7")]);
    assert_eq!(announcements(&mut rack, 2).len(), 1);
}

#[test]
fn what_no_session_carries_is_kept_for_the_next_one() {
    let (mut rack, config, now) = pair();
    rack.apply(&[route("2001:db8::5"), route("2001:db8::6")]);
    let mut gone = route("2001:db8::6");
    gone.announced = false;
    rack.apply(&[gone]);
    let mut new = config.clone();
    new.neighbors[0].families = FamilySet::ALL;
    new.neighbors.push(neighbor(1, "2001:db8:2::1"));
    rack.reconfigure(&new, false, now);
    let v6 = |rack: &Rack, index: usize| {
        rack.sessions[index]
            .peer
            .adj_out()
            .desired_len(Family::Ipv6Unicast)
    };
    assert_eq!([v6(&rack, 0), v6(&rack, 1), v6(&rack, 2)], [1, 0, 1]);

    // The last sessions of the family go, and one comes back.
    rack.reconfigure(&config, true, now);
    assert_eq!(rack.sessions.len(), 2);
    assert_eq!(v6(&rack, 0), 0);
    rack.reconfigure(&new, true, now);
    assert_eq!([v6(&rack, 0), v6(&rack, 2)], [1, 1]);
    assert_eq!(rack.sessions[2].id, SessionId(3), "a number is not given twice");
}

#[test]
fn a_reset_for_another_source_asks_for_the_way_again() {
    let (mut rack, config, now) = pair();
    let mut new = config.clone();
    let source: IpAddr = "10.250.0.1".parse().unwrap();
    new.neighbors[0].source = Some(source);
    rack.reconfigure(&new, false, now);
    assert_eq!(
        words(&mut rack, now),
        ["0 close 6/6", "0 down", "0 reset", "0 blocked"]
    );
    let target = rack.targets()[0].clone();
    assert_eq!(target.source, Some(source));
    rack.set_path(&to("10.1.1.1"), &path("10.1.1.2", "eth1"), now);
    assert_eq!(
        words(&mut rack, now),
        Vec::<String>::new(),
        "an answer to the former question"
    );
    rack.set_path(&target, &path("10.250.0.1", "eth1"), now);
    assert_eq!(words(&mut rack, now), ["0 dial", "0 released"]);
    assert_eq!(rack.sessions[0].next_hops.v4.unwrap().addr(), source);
}

#[test]
fn what_is_refused_stays_as_it_is_and_the_rest_goes_on() {
    let (mut rack, config, now) = pair();
    let mut new = config.clone();
    new.neighbors[0].hold_time = 1;
    new.neighbors[1].steering.med = Some(7);
    let plan = rack.reconfigure(&new, false, now);
    assert_eq!(verdicts(&plan), [Verdict::Refused, Verdict::Soft]);
    assert_eq!(words(&mut rack, now), ["1 soft"]);
    assert_eq!(rack.sessions[0].settings.neighbor.hold_time, 9);

    new.local_as = 0;
    let plan = rack.reconfigure(&new, false, now);
    assert_eq!(verdicts(&plan), [Verdict::Refused, Verdict::Refused]);
    assert_eq!(rack.status(now).local_as, 65000);
}

#[test]
fn a_password_reset_dials_with_the_new_key() {
    let (mut rack, config, now) = pair();
    let mut new = config.clone();
    new.neighbors[0].password = Some(net::Md5Key::new("new".to_owned().into()).unwrap());
    rack.reconfigure(&new, false, now);
    let mut actions = Vec::new();
    rack.poll_actions(&mut actions, now);
    let keyed = actions.iter().any(|action| {
        matches!(action, Action::Dial { session: SessionId(0), options, .. } if options.md5.is_some())
    });
    assert!(keyed, "{actions:?}");
}
