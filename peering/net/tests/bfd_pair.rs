//! Two BFD threads against each other over a wire.

mod bfd_support;

use std::time::Duration;

use bfd_support::{LEFT, LEFT6, RIGHT, RIGHT6, Speaker, Wire, ip, mult, spec, wait_for};
use net::bfd::{BfdEvent, BfdSpec, Cause, Diag, Hop, Reaction, State};

/// Beyond the Detection Time; generous, because the machine may be busy.
const SLACK: Duration = Duration::from_secs(2);

fn pair(wire: &Wire) -> (Speaker, Speaker) {
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT)]);
    let mut right = Speaker::start(&wire.right, &[spec(2, LEFT)]);
    left.wait_up(1);
    right.wait_up(2);
    (left, right)
}

#[test]
fn sessions_come_up_and_stay_up() {
    let wire = Wire::new();
    let specs = |to: [&str; 3], device: &str| {
        let [v4, v6, link] = to;
        let link = BfdSpec {
            device: Some(device.to_owned()),
            ..spec(3, link)
        };
        [spec(1, v4), spec(2, v6), link]
    };
    let mut left = Speaker::start(&wire.left, &specs([RIGHT, RIGHT6, "fe80::2"], "west0"));
    let mut right = Speaker::start(&wire.right, &specs([LEFT, LEFT6, "fe80::1"], "east0"));
    wait_for("all sessions up", || {
        let up = (1..=3).all(|key| left.is_up(key) && right.is_up(key));
        up.then_some(())
    });

    for key in 1..=3 {
        left.wait_packets(key, 30);
        let session = left.session(key);
        assert_eq!(session.transmit_interval, Some(Duration::from_millis(50)));
        assert_eq!(session.detection_time, Some(Duration::from_millis(150)));
        assert!((49_152..=65_535).contains(&session.source_port.expect("port")));
    }
    assert_eq!(left.session(1).local, Some(ip(LEFT)));
    left.assert_no_down();
    right.assert_no_down();
    assert!(left.snapshot().thread.lateness.count() > 0);
}

#[test]
fn silent_cut_is_noticed_at_both_ends() {
    let wire = Wire::new();
    let (mut left, mut right) = pair(&wire);

    wire.cut();

    for (speaker, key) in [(&mut left, 1), (&mut right, 2)] {
        let down = speaker.wait_down(key);
        assert_eq!(down.cause, Cause::DetectionExpired);
        assert_eq!(down.diag, Diag::ControlDetectionTimeExpired);
        assert_eq!(
            down.reaction,
            Reaction::TearDown {
                abort_graceful_restart: false
            }
        );
        let detection = down.detection_time.expect("detection time");
        let silent = down.silent_for.expect("silence");
        assert_eq!(detection, Duration::from_millis(150));
        assert!(silent >= detection && silent < detection + SLACK, "{silent:?}");
    }
    wire.heal();
    left.wait_up(1);
    right.wait_up(2);
}

#[test]
fn one_way_cut_takes_both_ends_down() {
    let wire = Wire::new();
    let (mut left, mut right) = pair(&wire);

    wire.right.exec("iptables -A INPUT -p udp --dport 3784 -j DROP");

    assert_eq!(right.wait_down(2).cause, Cause::DetectionExpired);
    let down = left.wait_down(1);
    assert_eq!(down.cause, Cause::RemoteDown);
    assert_eq!(down.remote_diag, Diag::ControlDetectionTimeExpired);
}

#[test]
fn admin_down_is_no_failure() {
    let wire = Wire::new();
    let (mut left, mut right) = pair(&wire);

    left.handle().admin_down(Some(1));

    assert_eq!(left.wait_down(1).reaction, Reaction::Ignore);
    let down = right.wait_down(2);
    assert_eq!(
        (down.cause, down.reaction),
        (Cause::RemoteAdminDown, Reaction::Ignore)
    );
    assert!(right.events.contains(&BfdEvent::RemoteAdminDown { key: 2 }));

    left.handle().enable(Some(1));
    left.wait_up(1);
    right.wait_up(2);
}

#[test]
fn removed_session_says_good_bye_and_vanishes() {
    let wire = Wire::new();
    let (mut left, mut right) = pair(&wire);

    left.handle().set(Vec::new());

    left.wait("Removed", |event| {
        (*event == BfdEvent::Removed { key: 1 }).then_some(())
    });
    assert_eq!(right.wait_down(2).cause, Cause::RemoteAdminDown);
    assert!(left.snapshot().sessions.is_empty());
}

#[test]
fn stop_says_good_bye() {
    let wire = Wire::new();
    let (left, mut right) = pair(&wire);

    left.stop();

    assert_eq!(right.wait_down(2).cause, Cause::RemoteAdminDown);
}

#[test]
fn last_handle_stops_the_thread_and_no_earlier_one() {
    let wire = Wire::new();
    let (left, mut right) = pair(&wire);

    drop(left.handle().clone());
    right.wait_packets(2, 5);
    right.assert_no_down();

    drop(left);
    assert_eq!(right.wait_down(2).cause, Cause::RemoteAdminDown);
}

#[test]
fn intervals_change_without_a_flap() {
    let wire = Wire::new();
    let (mut left, mut right) = pair(&wire);

    for (millis, multiplier) in [(200, 3), (20, 5), (50, 3)] {
        left.handle().set(vec![BfdSpec {
            desired_min_tx: Duration::from_millis(millis),
            required_min_rx: Duration::from_millis(millis),
            detect_mult: mult(multiplier),
            ..spec(1, RIGHT)
        }]);
        let slower = Duration::from_millis(millis.max(50));
        wait_for("new intervals", || {
            let (left, right) = (left.session(1), right.session(2));
            let settled = !left.poll_pending
                && left.transmit_interval == Some(slower)
                && left.detection_time == Some(slower * 3)
                && right.detection_time == Some(slower * u32::from(multiplier));
            settled.then_some(())
        });
        left.wait_packets(1, 10);
    }

    left.assert_no_down();
    right.assert_no_down();
}

#[test]
fn address_and_interface_may_come_late() {
    let wire = Wire::new();
    wire.left.ip("link set west0 down");
    wire.left.ip("link set west0 name later0");
    wire.left.ip("address flush dev later0");
    let late = BfdSpec {
        local: Some(ip(LEFT)),
        device: Some("west0".to_owned()),
        ..spec(1, RIGHT)
    };
    let mut left = Speaker::start(&wire.left, &[late]);
    let mut right = Speaker::start(&wire.right, &[spec(2, LEFT)]);
    let text = left.wait_text("SendFailed", |event| {
        matches!(event, BfdEvent::SendFailed { key: 1, .. })
    });
    assert!(text.contains("there is no interface of that name"), "{text}");

    wire.left.ip("link set later0 name west0");
    wire.left.ip("link set west0 up");
    let text = left.wait_text("another reason", |event| {
        matches!(event, BfdEvent::SendFailed { key: 1, .. })
    });
    assert!(text.contains("the address is not on this host"), "{text}");

    wire.left.ip("address add 10.8.0.1/24 dev west0");
    left.wait_up(1);
    right.wait_up(2);
}

#[test]
fn session_survives_that_its_address_was_away() {
    let wire = Wire::new();
    let (mut left, mut right) = pair(&wire);

    wire.left.ip("address del 10.8.0.1/24 dev west0");
    assert_eq!(right.wait_down(2).cause, Cause::DetectionExpired);
    wire.left.ip("address add 10.8.0.1/24 dev west0");

    left.wait_up(1);
    right.wait_up(2);
}

#[test]
fn multihop_uses_its_own_port_and_looks_at_the_ttl() {
    let wire = Wire::new();
    let multi = |key, peer, local, min_ttl| BfdSpec {
        hop: Hop::Multi { min_ttl },
        local: Some(ip(local)),
        ..spec(key, peer)
    };
    let mut left = Speaker::start(
        &wire.left,
        &[multi(1, RIGHT, LEFT, 254), multi(2, RIGHT6, LEFT6, 254)],
    );
    let mut right = Speaker::start(
        &wire.right,
        &[multi(1, LEFT, RIGHT, 255), multi(2, LEFT6, RIGHT6, 255)],
    );
    wait_for("both sessions up", || {
        (left.is_up(1) && left.is_up(2) && right.is_up(1) && right.is_up(2)).then_some(())
    });

    let ports: Vec<u16> = left
        .snapshot()
        .thread
        .listeners
        .iter()
        .map(|listener| listener.address.port())
        .collect();
    assert_eq!(ports, [4784, 4784]);
    left.assert_no_down();
    right.assert_no_down();
}

#[test]
fn port_in_use_is_told_and_tried_again() {
    let wire = Wire::new();
    let squatter = wire
        .left
        .run(|| std::net::UdpSocket::bind("0.0.0.0:3784"))
        .expect("bind");
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT)]);
    let mut right = Speaker::start(&wire.right, &[spec(2, LEFT)]);
    let text = left.wait_text("ListenFailed", |event| {
        matches!(event, BfdEvent::ListenFailed { .. })
    });
    assert!(text.contains("another BFD daemon runs on this host"), "{text}");
    assert!(!left.session(1).running);

    // It must not speak while it cannot hear: the owner of the port may have a session with the same peer.
    assert_eq!(left.session(1).counters.transmitted, 0);
    assert_eq!(left.session(1).state, State::Down);

    drop(squatter);
    left.wait_up(1);
    right.wait_up(2);
}
