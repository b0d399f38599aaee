//! Against FRR's `bfdd` and BIRD.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod bfd_support;

use std::time::Duration;

use bfd_support::foreign::{Bird, Frr};
use bfd_support::{LEFT, LEFT6, RIGHT, RIGHT6, Speaker, Wire, ip, spec, wait_for};
use net::bfd::{Auth, AuthType, BfdEvent, BfdSpec, Cause, Diag, Hop, Key, Reaction};
use nix::sys::signal::Signal;

const MILLIS_50: Duration = Duration::from_millis(50);
const MILLIS_100: Duration = Duration::from_millis(100);

const FRR_TIMERS: &str = "  receive-interval 50\n  transmit-interval 50\n  detect-multiplier 3\n";

/// One session for each way to reach the other end: IPv4, IPv6, link-local, and both families over several hops.
fn all_kinds(min_ttl: u8) -> [BfdSpec; 5] {
    let multi = |key, peer, local| BfdSpec {
        hop: Hop::Multi { min_ttl },
        local: Some(ip(local)),
        ..spec(key, peer)
    };
    [
        spec(1, RIGHT),
        spec(2, RIGHT6),
        BfdSpec {
            device: Some("west0".to_owned()),
            ..spec(3, "fe80::2")
        },
        multi(4, RIGHT, LEFT),
        multi(5, RIGHT6, LEFT6),
    ]
}

fn frr_config(peers: &[&str]) -> String {
    let peer = |peer: &&str| format!(" peer {peer}\n{FRR_TIMERS}  no shutdown\n !\n");
    let peers: String = peers.iter().map(peer).collect();
    format!("bfd\n{peers}!\n")
}

fn all_up(speaker: &Speaker, keys: impl IntoIterator<Item = u64>) {
    let keys: Vec<u64> = keys.into_iter().collect();
    wait_for("all sessions up", || {
        keys.iter().all(|key| speaker.is_up(*key)).then_some(())
    });
}

#[test]
fn frr_over_every_kind_of_path() {
    let wire = Wire::new();
    let frr = Frr::start(
        &wire.right,
        &frr_config(&[
            "10.8.0.1",
            "fd08::1 local-address fd08::2",
            "fe80::1 local-address fe80::2 interface east0",
            "10.8.0.1 multihop local-address 10.8.0.2",
            "fd08::1 multihop local-address fd08::2",
        ]),
    );
    let mut left = Speaker::start(&wire.left, &all_kinds(255));
    all_up(&left, 1..=5);

    for key in 1..=5 {
        left.wait_packets(key, 60);
        let session = left.session(key);
        assert_eq!(session.transmit_interval, Some(MILLIS_50), "{key}");
        assert_eq!(session.detection_time, Some(3 * MILLIS_50), "{key}");
        assert_eq!(session.counters.discarded_total(), 0, "{key}");
    }
    for (peer, multihop) in [
        (LEFT, false),
        (LEFT6, false),
        ("fe80::1", false),
        (LEFT, true),
        (LEFT6, true),
    ] {
        let seen = frr.peer("show bfd peers json", peer, multihop);
        assert_eq!(seen["status"], "up", "{peer}");
        assert_eq!(seen["remote-receive-interval"], 50, "{peer}");
        assert_eq!(seen["remote-transmit-interval"], 50, "{peer}");
        assert_eq!(seen["remote-detect-multiplier"], 3, "{peer}");
        let counted = frr.peer("show bfd peers counters json", peer, multihop);
        assert_eq!(counted["session-down"], 0, "{peer}");
    }
    left.assert_no_down();
}

#[test]
fn frr_intervals_change_at_either_end_without_a_flap() {
    let wire = Wire::new();
    let frr = Frr::start(&wire.right, &frr_config(&["10.8.0.1"]));
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT)]);
    all_up(&left, [1]);

    frr.vtysh(&[
        "configure",
        "bfd",
        "peer 10.8.0.1",
        "transmit-interval 100",
        "receive-interval 100",
    ]);
    wait_for("FRR's new intervals", || {
        let session = left.session(1);
        let taken =
            session.detection_time == Some(3 * MILLIS_100) && session.transmit_interval == Some(MILLIS_100);
        taken.then_some(())
    });
    left.wait_packets(1, 30);

    let slow = Duration::from_millis(200);
    left.handle().set(vec![BfdSpec {
        desired_min_tx: slow,
        required_min_rx: slow,
        ..spec(1, RIGHT)
    }]);
    wait_for("our new intervals", || {
        let session = left.session(1);
        let seen = frr.peer("show bfd peers json", LEFT, false);
        let taken = !session.poll_pending
            && session.transmit_interval == Some(slow)
            && session.detection_time == Some(3 * slow)
            && seen["remote-transmit-interval"] == 200;
        taken.then_some(())
    });
    left.wait_packets(1, 15);

    left.assert_no_down();
    let counted = frr.peer("show bfd peers counters json", LEFT, false);
    assert_eq!(counted["session-down"], 0);
}

#[test]
fn frr_admin_down_is_no_failure_in_either_direction() {
    let wire = Wire::new();
    let frr = Frr::start(&wire.right, &frr_config(&["10.8.0.1"]));
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT)]);
    left.wait_up(1);

    frr.vtysh(&["configure", "bfd", "peer 10.8.0.1", "shutdown"]);
    assert_eq!(left.wait_down(1).reaction, Reaction::Ignore);
    assert!(left.events.contains(&BfdEvent::RemoteAdminDown { key: 1 }));
    frr.vtysh(&["configure", "bfd", "peer 10.8.0.1", "no shutdown"]);
    left.wait_up(1);

    left.handle().admin_down(Some(1));
    wait_for("FRR to hear of it", || {
        let seen = frr.peer("show bfd peers json", LEFT, false);
        let heard = seen["status"] == "down" && seen["remote-diagnostic"] == "administratively down";
        heard.then_some(())
    });
    left.handle().enable(None);
    left.wait_up(1);
}

#[test]
fn frr_and_we_notice_a_cut() {
    let wire = Wire::new();
    let frr = Frr::start(&wire.right, &frr_config(&["10.8.0.1"]));
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT)]);
    left.wait_up(1);

    wire.cut();
    let down = left.wait_down(1);
    assert_eq!(down.cause, Cause::DetectionExpired);
    assert!(down.silent_for.unwrap() >= 3 * MILLIS_50);
    wait_for("FRR to notice", || {
        (frr.status(LEFT, false) == "down").then_some(())
    });

    wire.heal();
    left.wait_up(1);

    wire.right.exec("iptables -A INPUT -p udp --dport 3784 -j DROP");
    let down = left.wait_down(1);
    assert_eq!(
        (down.cause, down.remote_diag),
        (Cause::RemoteDown, Diag::ControlDetectionTimeExpired)
    );
}

#[test]
fn frr_that_stands_still_or_dies_is_noticed() {
    let wire = Wire::new();
    let frr = Frr::start(&wire.right, &frr_config(&["10.8.0.1"]));
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT)]);
    left.wait_up(1);

    frr.bfdd.signal(Signal::SIGSTOP);
    assert_eq!(left.wait_down(1).cause, Cause::DetectionExpired);
    frr.bfdd.signal(Signal::SIGCONT);
    left.wait_up(1);

    frr.bfdd.signal(Signal::SIGKILL);
    assert_eq!(left.wait_down(1).cause, Cause::DetectionExpired);
    // The other host answers that nobody listens, and we go on.
    wait_for("refusals", || (left.session(1).refusals > 0).then_some(()));
    assert_eq!(left.session(1).send_error, None);
}

const BIRD_INTERFACE: &str = "interface \"east0\" { min rx interval 50 ms; min tx interval 50 ms; \
                              idle tx interval 1 s; multiplier 3; };\n\
                              multihop { min rx interval 50 ms; min tx interval 50 ms; \
                              idle tx interval 1 s; multiplier 3; };\n";

#[test]
fn bird_over_every_kind_of_path() {
    let wire = Wire::new();
    let bird = Bird::start(
        &wire.right,
        &format!(
            "{BIRD_INTERFACE}
            neighbor 10.8.0.1 dev \"east0\" local 10.8.0.2;
            neighbor fd08::1 dev \"east0\" local fd08::2;
            neighbor fe80::1 dev \"east0\" local fe80::2;
            neighbor 10.8.0.1 local 10.8.0.2 multihop yes;
            neighbor fd08::1 local fd08::2 multihop yes;"
        ),
    );
    // BIRD sends with 64 over several hops.
    let mut left = Speaker::start(&wire.left, &all_kinds(64));
    all_up(&left, 1..=5);

    for key in 1..=5 {
        left.wait_packets(key, 60);
        let session = left.session(key);
        assert_eq!(session.transmit_interval, Some(MILLIS_50), "{key}");
        assert_eq!(session.detection_time, Some(3 * MILLIS_50), "{key}");
        assert_eq!(session.counters.discarded_total(), 0, "{key}");
    }
    for peer in [LEFT, LEFT6, "fe80::1"] {
        assert!(bird.is_up(peer), "{peer}");
    }
    left.assert_no_down();

    bird.daemon.signal(Signal::SIGSTOP);
    assert_eq!(left.wait_down(1).cause, Cause::DetectionExpired);
    bird.daemon.signal(Signal::SIGCONT);
    left.wait_up(1);

    wire.cut();
    left.wait_down(1);
    wait_for("BIRD to notice", || (!bird.is_up(LEFT)).then_some(()));
}

#[test]
fn bird_with_every_type_of_authentication() {
    let wire = Wire::new();
    for (kind, auth_type) in [
        ("simple", AuthType::SimplePassword),
        ("keyed md5", AuthType::KeyedMd5),
        ("meticulous keyed md5", AuthType::MeticulousKeyedMd5),
        ("keyed sha1", AuthType::KeyedSha1),
        ("meticulous keyed sha1", AuthType::MeticulousKeyedSha1),
    ] {
        let _bird = Bird::start(
            &wire.right,
            &format!(
                "interface \"east0\" {{ min rx interval 50 ms; min tx interval 50 ms; \
                 authentication {kind}; password \"correct horse\" {{ id 7; }}; }};\n\
                 neighbor 10.8.0.1 dev \"east0\" local 10.8.0.2;"
            ),
        );
        let with = |secret: &[u8]| BfdSpec {
            auth: Some(Auth::new(auth_type, Key::new(7, secret)).unwrap()),
            ..spec(1, RIGHT)
        };
        let mut left = Speaker::start(&wire.left, &[with(b"correct horse")]);
        left.wait_up(1);
        left.wait_packets(1, 60);
        left.assert_no_down();

        left.handle().set(vec![with(b"wrong horse")]);
        assert_eq!(left.wait_down(1).cause, Cause::DetectionExpired, "{kind}");
    }
}
