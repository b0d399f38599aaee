//! Coming up, going down on purpose, roles, demand, hops.

use bfd::{Cause, Diag, Discard, Event, Hop, Role, State};

use crate::pair::{A, B, Link, MS, Pair, S, config};

#[test]
fn a_pair_comes_up_within_three_seconds() {
    for seed in 0..100 {
        let mut pair = Pair::new(
            config(1, 50 * MS, 50 * MS, 3),
            config(2, 300 * MS, 300 * MS, 5),
            seed,
        );

        assert!(pair.run_until(3 * S, Pair::is_up), "seed {seed}");

        pair.run_for(2 * S);
        for (end, other) in [(A, B), (B, A)] {
            let session = &pair.ends[end].session;
            assert_eq!(
                session.remote().discriminator,
                Some(pair.ends[other].session.config().local_discriminator())
            );
            assert_eq!(session.transmit_interval(), Some(300 * MS));
            assert!(!session.is_poll_pending());
            assert_eq!(session.diagnostic(), Diag::None);
        }
        // RFC 5880 §6.8.4: the remote multiplier counts.
        assert_eq!(pair.ends[A].session.detection_time(), Some(1_500 * MS));
        assert_eq!(pair.ends[B].session.detection_time(), Some(900 * MS));
    }
}

#[test]
fn a_pair_comes_up_over_a_bad_link() {
    for seed in 0..50 {
        let mut pair = Pair::new(
            config(1, 50 * MS, 50 * MS, 20),
            config(2, 50 * MS, 50 * MS, 20),
            seed,
        );
        pair.links = [Link {
            latency: 20 * MS,
            spread: 30 * MS,
            loss: 30,
            ..Link::default()
        }; 2];

        assert!(pair.run_until(30 * S, Pair::is_up), "seed {seed}");
        pair.forget();
        pair.run_for(20 * S);

        assert!(
            pair.ends.iter().all(|end| end.changes().is_empty()),
            "seed {seed}: flapped"
        );
    }
}

#[test]
fn packets_are_slow_until_up_and_fast_afterwards() {
    let mut pair = Pair::new(config(1, 50 * MS, 50 * MS, 3), config(2, 50 * MS, 50 * MS, 3), 1);
    pair.cut(A, true);
    pair.cut(B, true);
    pair.run_for(60 * S);
    // One packet in 750 to 1000 ms and end.
    assert!((120..=162).contains(&pair.sent.len()), "{}", pair.sent.len());
    assert!(
        pair.sent
            .iter()
            .all(|sent| sent.control.desired_min_tx >= 1_000_000)
    );

    pair.links = [Link::default(); 2];
    assert!(pair.run_until(3 * S, Pair::is_up));
    pair.run_for(S);
    pair.forget();
    pair.run_for(10 * S);
    assert!((400..=534).contains(&pair.sent.len()), "{}", pair.sent.len());
}

#[test]
fn an_admin_down_takes_nothing_down_for_the_client() {
    let mut pair = Pair::up(config(1, 50 * MS, 50 * MS, 3), config(2, 50 * MS, 50 * MS, 3), 2);
    let (session, clock) = pair.session(A);
    session.admin_down(Diag::AdministrativelyDown, clock);
    pair.run_for(10 * MS);

    let changes = pair.ends[B].changes();
    assert_eq!(changes.len(), 1);
    let (at, change) = changes[0];
    assert!(at <= pair.now && change.cause == Cause::RemoteAdminDown && !change.is_failure());
    assert_eq!(change.remote_diag, Diag::AdministrativelyDown);
    assert_eq!(
        pair.ends[B].session.diagnostic(),
        Diag::NeighborSignaledSessionDown
    );
    let clock = pair.ends[A].clock(pair.now);
    assert!(pair.ends[A].session.is_safe_to_remove(clock));

    // It stays so for as long as the administrator wants, and comes back afterwards.
    pair.run_for(60 * S);
    assert_eq!((pair.state(A), pair.state(B)), (State::AdminDown, State::Down));
    let (session, clock) = pair.session(A);
    session.enable(clock);
    assert!(pair.run_until(3 * S, Pair::is_up));
    assert!(
        pair.ends[B]
            .events
            .iter()
            .any(|(_, event)| *event == Event::RemoteEnabled)
    );
    assert_eq!(pair.ends[B].session.counters().failures, 0);
}

#[test]
fn a_restarted_peer_is_noticed_at_once() {
    let mut pair = Pair::up(
        config(1, 300 * MS, 300 * MS, 3),
        config(2, 300 * MS, 300 * MS, 3),
        3,
    );
    let now = pair.now;
    let clock = pair.ends[B].clock(now);
    pair.ends[B].session = bfd::Session::new(config(3, 300 * MS, 300 * MS, 3), clock, 9);

    pair.run_for(10 * MS);

    let changes = pair.ends[A].changes();
    assert_eq!(changes[0].1.cause, Cause::RemoteDown);
    assert!(changes[0].1.is_failure());
    assert!(pair.run_until(3 * S, Pair::is_up));
}

#[test]
fn one_passive_end_waits_and_two_wait_for_ever() {
    let passive = || config(2, 50 * MS, 50 * MS, 3).with_role(Role::Passive);
    let mut pair = Pair::new(config(1, 50 * MS, 50 * MS, 3), passive(), 4);
    assert!(pair.run_until(3 * S, Pair::is_up));
    assert_eq!(pair.sent[0].from, A);

    let mut pair = Pair::new(config(1, MS, MS, 3).with_role(Role::Passive), passive(), 5);
    pair.run_for(100 * S);
    assert!(pair.sent.is_empty());
}

#[test]
fn multihop_accepts_what_is_above_the_floor() {
    let multi =
        |discriminator, min_ttl| config(discriminator, 50 * MS, 50 * MS, 3).with_hop(Hop::Multi { min_ttl });
    let mut pair = Pair::new(multi(1, 252), multi(2, 252), 6);
    pair.links = [Link {
        ttl: 252,
        ..Link::default()
    }; 2];
    assert!(pair.run_until(3 * S, Pair::is_up));
    pair.run_for(2 * S);

    // The path grows longer than the floor allows.
    pair.links[B].ttl = 251;
    pair.run_for(S);

    assert_eq!(
        pair.ends[A].session.diagnostic(),
        Diag::ControlDetectionTimeExpired
    );
    assert!(pair.ends[A].session.counters().discarded(Discard::Ttl) > 0);
}

#[test]
fn one_hop_never_accepts_a_forwarded_packet() {
    let mut pair = Pair::new(config(1, 50 * MS, 50 * MS, 3), config(2, 50 * MS, 50 * MS, 3), 7);
    pair.links = [Link {
        ttl: 254,
        ..Link::default()
    }; 2];

    pair.run_for(30 * S);

    assert_eq!((pair.state(A), pair.state(B)), (State::Down, State::Down));
    assert_eq!(pair.ends[A].session.counters().received, 0);
}

/// A peer that goes down and comes back without end: every change is reported, packets stay bounded, and nothing
/// grows.
#[test]
fn a_flap_storm_is_survived() {
    let mut pair = Pair::up(config(1, 50 * MS, 50 * MS, 3), config(2, 50 * MS, 50 * MS, 3), 8);
    for _ in 0..2_000 {
        let (session, clock) = pair.session(B);
        session.admin_down(Diag::AdministrativelyDown, clock);
        pair.run_for(3 * MS);
        let (session, clock) = pair.session(B);
        session.enable(clock);
        pair.run_for(10 * MS);
    }
    let counters = *pair.ends[A].session.counters();
    assert!(
        counters.admin_downs >= 2_000 && counters.failures == 0,
        "{counters:?}"
    );
    assert_eq!(counters.events_lost, 0);
    // Fewer than one packet for each one received, and the periodic ones.
    let from_a = pair.sent.iter().filter(|sent| sent.from == A).count() as u64;
    assert!(
        from_a <= counters.received + 100,
        "{from_a} for {}",
        counters.received
    );
    pair.run_for(5 * S);
    assert!(pair.is_up());
}
