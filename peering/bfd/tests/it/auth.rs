//! Authentication between two ends.

use std::time::Duration;

use bfd::{Auth, AuthType, Discard, Key, SessionConfig, State};

use crate::pair::{A, B, Link, MS, Pair, S, config};

const OLD: &[u8] = b"old secret";
const NEW: &[u8] = b"new secret";

fn auth(auth_type: AuthType, id: u8, secret: &[u8]) -> Auth {
    Auth::new(auth_type, Key::new(id, secret)).unwrap()
}

fn with(discriminator: u32, auth: Auth) -> SessionConfig {
    config(discriminator, 50 * MS, 50 * MS, 3).with_auth(auth)
}

#[test]
fn every_type_comes_up_and_stays_up_over_a_bad_link() {
    for auth_type in AuthType::ALL {
        let mut pair = Pair::up(
            with(1, auth(auth_type, 1, OLD)),
            with(2, auth(auth_type, 1, OLD)),
            1,
        );
        pair.links = [Link {
            loss: 5,
            ..Link::default()
        }; 2];
        pair.run_for(5 * S);
        assert!(pair.ends[A].session.counters().received > 50, "{auth_type:?}");
        assert_eq!(
            pair.ends[A].session.counters().discarded_total(),
            0,
            "{auth_type:?}"
        );
    }
}

#[test]
fn a_wrong_key_never_comes_up() {
    for auth_type in AuthType::ALL {
        let mut pair = Pair::new(
            with(1, auth(auth_type, 1, OLD)),
            with(2, auth(auth_type, 1, NEW)),
            2,
        );

        pair.run_for(20 * S);

        assert_eq!((pair.state(A), pair.state(B)), (State::Down, State::Down));
        assert!(pair.ends[A].session.counters().discarded(Discard::AuthDigest) > 15);
        assert_eq!(pair.ends[A].session.remote().discriminator, None);
    }
}

#[test]
fn one_end_without_authentication_never_comes_up() {
    let mut pair = Pair::new(
        with(1, auth(AuthType::KeyedSha1, 1, OLD)),
        config(2, 50 * MS, 50 * MS, 3),
        3,
    );

    pair.run_for(20 * S);

    assert_eq!((pair.state(A), pair.state(B)), (State::Down, State::Down));
    assert!(pair.ends[A].session.counters().discarded(Discard::AuthMissing) > 15);
    assert!(pair.ends[B].session.counters().discarded(Discard::AuthUnexpected) > 15);
}

#[test]
fn keys_roll_over_without_a_flap() {
    for auth_type in AuthType::ALL {
        let old = auth(auth_type, 1, OLD);
        let mut pair = Pair::up(with(1, old.clone()), with(2, old.clone()), 4);
        let accept_both = old.accepting(Key::new(2, NEW)).unwrap();
        let send_new = auth(auth_type, 2, NEW).accepting(Key::new(1, OLD)).unwrap();
        let only_new = auth(auth_type, 2, NEW);
        for step in [accept_both, send_new, only_new] {
            for end in [A, B] {
                pair.session(end).0.set_auth(Some(step.clone()));
                pair.run_for(S);
            }
        }

        assert!(
            pair.ends.iter().all(|end| end.changes().is_empty()),
            "{auth_type:?}"
        );
        assert!(
            pair.ends
                .iter()
                .all(|end| end.session.counters().discarded_total() == 0),
            "{auth_type:?}"
        );
    }
}

/// A recorded packet, played again and again, never extends the life of a session: a meticulous type refuses it.
#[test]
fn a_replay_is_refused() {
    for auth_type in [AuthType::MeticulousKeyedMd5, AuthType::MeticulousKeyedSha1] {
        let secret = auth(auth_type, 1, OLD);
        let mut pair = Pair::up(with(1, secret.clone()), with(2, secret.clone()), 5);
        let clock = pair.ends[B].clock(pair.now);
        let mut recorded = [0; bfd::MAX_PACKET_LEN];
        let len = pair.ends[B]
            .session
            .poll_transmit(clock + 50 * MS, &mut recorded)
            .unwrap();
        pair.inject(A, &recorded[..len]);
        pair.run_for(Duration::ZERO);
        let deadline = pair.ends[A].session.detection_deadline();
        assert_eq!(pair.ends[A].session.counters().discarded_total(), 0);
        pair.cut(B, true);

        for _ in 1..=14 {
            pair.run_for(10 * MS);
            let discarded = |pair: &Pair| pair.ends[A].session.counters().discarded(Discard::AuthSequence);
            // A packet that was under way when the recorded one was made is a replay by its number, too.
            let before = discarded(&pair);
            pair.inject(A, &recorded[..len]);
            assert_eq!(discarded(&pair), before + 1);
            assert_eq!(pair.ends[A].session.detection_deadline(), deadline);
        }
        pair.run_for(10 * MS);
        assert_eq!(pair.state(A), State::Down);
    }
}

/// A peer that restarts numbers its packets anew (RFC 5880 §6.8.1): accepted once the old numbers are forgotten, after
/// twice the Detection Time.
#[test]
fn a_restarted_peer_is_accepted_after_twice_the_detection_time() {
    let secret = auth(AuthType::MeticulousKeyedSha1, 1, OLD);
    for seed in 0..20 {
        let mut pair = Pair::up(with(1, secret.clone()), with(2, secret.clone()), seed);
        let clock = pair.ends[B].clock(pair.now);
        pair.ends[B].session = bfd::Session::new(with(3, secret.clone()), clock, seed + 100);

        pair.run_for(100 * MS);
        assert!(pair.ends[A].session.counters().discarded(Discard::AuthSequence) > 0);

        assert!(pair.run_until(6 * S, Pair::is_up), "seed {seed}");
    }
}
