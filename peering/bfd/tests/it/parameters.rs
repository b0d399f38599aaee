//! Changing intervals and multipliers while the session is Up.

use std::num::NonZeroU8;
use std::time::Duration;

use bfd::{Event, Role};
use proptest::prelude::*;

use crate::pair::{A, B, Link, MS, Pair, S, config};

fn polls_completed(pair: &Pair, end: usize) -> usize {
    pair.ends[end]
        .events
        .iter()
        .filter(|(_, event)| *event == Event::PollCompleted)
        .count()
}

fn flapped(pair: &Pair) -> bool {
    pair.ends.iter().any(|end| !end.changes().is_empty())
}

#[test]
fn a_longer_interval_is_taken_after_the_final_without_a_flap() {
    let mut pair = Pair::up(config(1, 20 * MS, 20 * MS, 3), config(2, 20 * MS, 20 * MS, 3), 1);
    pair.links = [Link {
        latency: 30 * MS,
        ..Link::default()
    }; 2];
    pair.run_for(S);
    pair.forget();
    let (session, clock) = pair.session(A);
    session.set_intervals(S, 20 * MS, clock).unwrap();
    assert_eq!(pair.ends[A].session.transmit_interval(), Some(20 * MS));

    assert!(pair.run_until(S, |pair| polls_completed(pair, A) == 1));

    assert_eq!(pair.ends[A].session.transmit_interval(), Some(S));
    assert_eq!(pair.ends[B].session.detection_time(), Some(3 * S));
    pair.run_for(20 * S);
    assert!(!flapped(&pair));
}

#[test]
fn a_shorter_detection_time_is_taken_after_the_final_without_a_flap() {
    let mut pair = Pair::up(config(1, 20 * MS, S, 3), config(2, 20 * MS, 20 * MS, 3), 2);
    assert_eq!(pair.ends[A].session.detection_time(), Some(3 * S));
    let (session, clock) = pair.session(A);
    session.set_intervals(20 * MS, 20 * MS, clock).unwrap();
    assert_eq!(pair.ends[A].session.detection_time(), Some(3 * S));

    assert!(pair.run_until(S, |pair| polls_completed(pair, A) == 1));

    assert_eq!(pair.ends[A].session.detection_time(), Some(60 * MS));
    pair.run_for(20 * S);
    assert!(!flapped(&pair));
}

#[test]
fn a_multiplier_is_told_at_once() {
    let mut pair = Pair::up(config(1, 50 * MS, 50 * MS, 3), config(2, 50 * MS, 50 * MS, 3), 3);
    let (session, clock) = pair.session(A);
    session.set_detect_mult(NonZeroU8::new(10).unwrap(), clock);

    pair.run_for(2 * MS);

    assert_eq!(pair.ends[B].session.detection_time(), Some(500 * MS));
    pair.run_for(10 * S);
    assert!(!flapped(&pair));
}

#[test]
fn a_poll_outlives_a_cut() {
    let mut pair = Pair::up(config(1, 50 * MS, 50 * MS, 3), config(2, 50 * MS, 50 * MS, 3), 4);
    pair.cut(A, true);
    pair.cut(B, true);
    let (session, clock) = pair.session(A);
    session.set_intervals(100 * MS, 30 * MS, clock).unwrap();
    pair.run_for(5 * S);
    pair.links = [Link::default(); 2];

    assert!(pair.run_until(5 * S, |pair| pair.is_up() && polls_completed(pair, A) > 0));
    pair.run_for(2 * S);

    assert_eq!(pair.ends[A].session.transmit_interval(), Some(100 * MS));
    assert!(!pair.ends[A].session.is_poll_pending() && !pair.ends[B].session.is_poll_pending());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any changes at either end, at any time, at any round trip below the Detection Time: never a flap, and both
    /// ends agree in the end.
    #[test]
    fn changes_while_up_never_flap(
        changes in prop::collection::vec((0_usize..2, 10_u32..1_500, 10_u32..1_500, 1_u32..400), 1..12),
        latency in 1_u32..8,
        passive: bool,
        seed: u64,
    ) {
        let role = if passive { Role::Passive } else { Role::Active };
        let a = config(1, 50 * MS, 50 * MS, 3).with_role(role);
        let mut pair = Pair::up(a, config(2, 50 * MS, 50 * MS, 3), seed);
        pair.links = [Link { latency: latency * MS, ..Link::default() }; 2];
        pair.run_for(100 * MS);
        let mut last = [(50 * MS, 50 * MS); 2];
        for (end, tx, rx, pause) in changes {
            last[end] = (tx * MS, rx * MS);
            let (session, clock) = pair.session(end);
            session.set_intervals(last[end].0, last[end].1, clock).unwrap();
            pair.run_for(pause * MS);
        }

        pair.run_for(15 * S);

        prop_assert!(!flapped(&pair));
        for (end, other) in [(A, B), (B, A)] {
            let session = &pair.ends[end].session;
            prop_assert!(!session.is_poll_pending());
            prop_assert_eq!(session.transmit_interval(), Some(last[end].0.max(last[other].1)));
            let detection: Duration = 3 * last[end].1.max(last[other].0);
            prop_assert_eq!(session.detection_time(), Some(detection));
        }
    }
}
