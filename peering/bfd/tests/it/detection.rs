//! Noticing that the path is broken, and not noticing what is not.

use std::time::Duration;

use bfd::{Cause, Diag, Event};
use proptest::prelude::*;

use crate::pair::{A, B, Link, MS, Pair, S, config};

/// RFC 5880 §6.8.4: after a silent cut, at the last packet received plus the Detection Time, neither earlier nor
/// later.
#[test]
fn a_cut_is_detected_in_time() {
    for (interval, mult) in [
        (10 * MS, 3),
        (50 * MS, 3),
        (50 * MS, 1),
        (100 * MS, 3),
        (300 * MS, 5),
    ] {
        let detection = interval * u32::from(mult);
        for seed in 0..40 {
            let mut pair = Pair::up(
                config(1, interval, interval, mult),
                config(2, interval, interval, mult),
                seed,
            );
            pair.run_for(interval + MS * u32::try_from(seed).unwrap());
            let cut_at = pair.now;
            let last_from_b = pair.sent.iter().rev().find(|sent| sent.from == B).unwrap().at;
            pair.cut(A, true);
            pair.cut(B, true);

            pair.run_for(2 * S);

            let (at, change) = pair.ends[A].changes()[0];
            assert_eq!(
                (change.cause, change.local_diag),
                (Cause::DetectionExpired, Diag::ControlDetectionTimeExpired)
            );
            assert!(change.is_failure());
            assert_eq!(
                at,
                last_from_b + MS + detection,
                "{interval:?} x {mult} seed {seed}"
            );
            assert!(at - cut_at <= detection + MS);
        }
    }
}

/// The end that still hears is told by the other one, long before its own Detection Time.
#[test]
fn a_one_way_cut_takes_both_ends_down() {
    let mut pair = Pair::up(config(1, 50 * MS, 50 * MS, 3), config(2, 50 * MS, 50 * MS, 3), 1);
    pair.cut(A, true);
    let cut_at = pair.now;

    pair.run_for(200 * MS);

    let (at_b, change_b) = pair.ends[B].changes()[0];
    let (at_a, change_a) = pair.ends[A].changes()[0];
    assert_eq!(change_b.cause, Cause::DetectionExpired);
    assert_eq!(
        (change_a.cause, change_a.remote_diag),
        (Cause::RemoteDown, Diag::ControlDetectionTimeExpired)
    );
    assert_eq!(at_a, at_b + MS);
    assert!(at_a <= cut_at + 152 * MS);

    // Half a path never comes up; a whole one does.
    pair.forget();
    pair.run_for(30 * S);
    let ups = pair
        .ends
        .iter()
        .flat_map(|end| end.changes())
        .filter(|(_, change)| change.to == bfd::State::Up);
    assert_eq!(ups.count(), 0);
    pair.cut(A, false);
    assert!(pair.run_until(3 * S, Pair::is_up));
}

/// A stall of our own, shorter or longer than the Detection Time, is not the peer's fault: the packets that waited
/// in the socket carry the time of their arrival.
#[test]
fn a_local_stall_does_not_blame_the_peer() {
    for stall in [100 * MS, 200 * MS, S, 10 * S] {
        let mut pair = Pair::up(
            config(1, 300 * MS, 50 * MS, 200),
            config(2, 50 * MS, 300 * MS, 3),
            2,
        );
        pair.stall(A, stall);

        pair.run_for(stall + S);

        assert!(pair.ends[A].changes().is_empty(), "stall of {stall:?}");
        assert!(pair.is_up());
    }
}

/// The peer dies during our stall: noticed as soon as we run again, because the last arrival is known.
#[test]
fn a_death_during_a_stall_is_noticed() {
    let mut pair = Pair::up(
        config(1, 50 * MS, 50 * MS, 200),
        config(2, 50 * MS, 50 * MS, 3),
        3,
    );
    pair.stall(A, S);
    pair.run_for(100 * MS);
    pair.cut(B, true);
    let woken = pair.now + 900 * MS;

    pair.run_for(2 * S);

    let (at, change) = pair.ends[A].changes()[0];
    assert_eq!((at, change.cause), (woken, Cause::DetectionExpired));
}

#[test]
fn loss_below_the_multiplier_is_forgiven() {
    let mut pair = Pair::up(config(1, 50 * MS, 50 * MS, 3), config(2, 50 * MS, 50 * MS, 3), 4);
    for _ in 0..100 {
        // Packets are 37.5 ms apart at least, so that 74 ms hold two at the most; the third comes within 150 ms.
        pair.cut(B, true);
        pair.run_for(74 * MS);
        pair.cut(B, false);
        pair.run_for(60 * MS);
    }
    assert!(pair.ends[A].changes().is_empty());
}

/// With a multiplier of one, jitter ends at 90 %: a steady link never flaps.
#[test]
fn a_multiplier_of_one_is_steady() {
    let mut pair = Pair::up(
        config(1, 100 * MS, 100 * MS, 1),
        config(2, 100 * MS, 100 * MS, 1),
        5,
    );
    pair.links = [Link {
        spread: 9 * MS,
        ..Link::default()
    }; 2];

    pair.run_for(600 * S);

    assert!(pair.ends.iter().all(|end| end.changes().is_empty()));
}

#[test]
fn a_lossy_reordering_link_recovers_whatever_happens() {
    for seed in 0..10 {
        let mut pair = Pair::new(
            config(1, 20 * MS, 20 * MS, 3),
            config(2, 30 * MS, 10 * MS, 2),
            seed,
        );
        pair.links = [Link {
            latency: 5 * MS,
            spread: 100 * MS,
            loss: 40,
            ..Link::default()
        }; 2];
        pair.run_for(120 * S);
        pair.links = [Link::default(); 2];

        assert!(pair.run_until(6 * S, |pair| pair.is_up()
            && !pair.ends[A].session.is_poll_pending()));

        pair.run_for(2 * S);
        pair.forget();
        pair.run_for(20 * S);
        assert!(
            pair.ends.iter().all(|end| end.changes().is_empty()),
            "seed {seed}"
        );
        assert_eq!(pair.ends[A].session.transmit_interval(), Some(20 * MS));
        assert_eq!(pair.ends[B].session.transmit_interval(), Some(30 * MS));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Clocks that differ in what they show and in how fast they run (by up to 1 %, far more than any quartz): up, no
    /// false alarm, and a cut is noticed within the Detection Time as the slower clock counts it.
    #[test]
    fn skewed_clocks_do_not_matter(
        ppm in prop::array::uniform2(-10_000_i64..10_000),
        tx in prop::array::uniform2(10_u32..300),
        rx in prop::array::uniform2(10_u32..300),
        mult in prop::array::uniform2(2_u8..6),
        seed: u64,
    ) {
        let a = config(1, tx[A] * MS, rx[A] * MS, mult[A]);
        let b = config(2, tx[B] * MS, rx[B] * MS, mult[B]);
        let mut pair = Pair::with_skew(a, b, ppm, seed);
        prop_assert!(pair.run_until(4 * S, Pair::is_up));
        pair.run_for(3 * S);
        pair.forget();
        pair.run_for(20 * S);
        prop_assert!(pair.ends.iter().all(|end| end.changes().is_empty()));
        let expected = rx[A].max(tx[B]) * u32::from(mult[B]) * MS;
        prop_assert_eq!(pair.ends[A].session.detection_time(), Some(expected));

        // RFC 5880 §6.8.7, seen from the wire: 75 to 100 % of the interval, in the sender's time.
        for (end, interval) in [(A, tx[A].max(rx[B]) * MS), (B, tx[B].max(rx[A]) * MS)] {
            let sent: Vec<Duration> = pair.sent.iter().filter(|sent| sent.from == end).map(|sent| sent.at).collect();
            for gap in sent.windows(2).map(|pair| pair[1] - pair[0]) {
                let slack = interval / 50;
                prop_assert!(gap + slack >= interval * 3 / 4 && gap <= interval + slack, "{gap:?} {interval:?}");
            }
        }

        pair.cut(A, true);
        pair.cut(B, true);
        let cut_at = pair.now;
        pair.run_for(3 * S);
        let (at, change) = pair.ends[A].changes()[0];
        prop_assert_eq!(change.cause, Cause::DetectionExpired);
        prop_assert!(at - cut_at <= expected.mul_f64(1.011) + MS);
        prop_assert!(!matches!(pair.ends[A].events[0].1, Event::RemoteDisabled));
    }
}
