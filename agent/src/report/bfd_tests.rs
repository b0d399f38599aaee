use super::*;
use fabric::Gate;
use net::bfd::{Cause, InterfaceName, LastDown, Remote};
use std::num::{NonZeroU8, NonZeroU32};

fn session() -> BfdSessionStatus {
    BfdSessionStatus {
        key: 0,
        peer: "10.9.0.2".parse().expect("an address"),
        local: None,
        source_port: Some(50_000),
        device: InterfaceName::new("v0").ok(),
        hop: Hop::Single,
        passive: false,
        enabled: true,
        leaving: false,
        running: true,
        local_discriminator: NonZeroU32::MIN,
        state: State::Down,
        state_for: Duration::from_millis(1_900),
        diag: Diag::ControlDetectionTimeExpired,
        remote: Remote {
            discriminator: None,
            state: State::Down,
            diag: Diag::None,
            required_min_rx: Duration::from_micros(1),
            desired_min_tx: Duration::ZERO,
            detect_mult: None,
            demand: false,
            control_plane_independent: false,
        },
        remote_disabled: false,
        desired_min_tx: Duration::from_millis(50),
        required_min_rx: Duration::from_millis(300),
        detect_mult: NonZeroU8::MIN,
        transmit_interval: Some(Duration::from_secs(1)),
        detection_time: None,
        poll_pending: false,
        silent_for: Some(Duration::from_millis(2_050)),
        counters: Counters::default(),
        send_failures: 4,
        refusals: 0,
        send_error: None,
        last_down: Some(LastDown {
            cause: Cause::DetectionExpired,
            diag: Diag::ControlDetectionTimeExpired,
            local_stall: true,
            ago: Duration::from_millis(1_900),
        }),
    }
}

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

/// Key for key what bfdd of FRR 8.4 prints for a session over one hop that is down, and for one over several hops that
/// is shut down.
const FRR_SINGLE_HOP: &str = "multihop peer vrf interface id remote-id passive-mode status downtime diagnostic \
    remote-diagnostic receive-interval transmit-interval echo-receive-interval echo-transmit-interval \
    detect-multiplier remote-receive-interval remote-transmit-interval remote-echo-receive-interval \
    remote-detect-multiplier rtt-min rtt-avg rtt-max";
const FRR_MULTIHOP: &str = "multihop peer local vrf id remote-id passive-mode minimum-ttl status diagnostic \
    remote-diagnostic receive-interval transmit-interval echo-receive-interval echo-transmit-interval \
    detect-multiplier remote-receive-interval remote-transmit-interval remote-echo-receive-interval \
    remote-detect-multiplier rtt-min rtt-avg rtt-max";
/// Of later versions of FRR.
const FRR_10: &str = "transmit-interval-actual detection-timeout";
const FRR_COUNTERS: &str = "control-packet-input control-packet-output echo-packet-input echo-packet-output \
    session-up session-down zebra-notifications";

#[test]
fn keys_are_those_of_frr() {
    let mut peer = BfdPeer::new(&session(), &[]);
    check_keys(&peer, FRR_SINGLE_HOP);
    peer = BfdPeer::new(
        &BfdSessionStatus {
            local: Some("10.9.0.1".parse().expect("an address")),
            device: None,
            hop: Hop::Multi { min_ttl: 254 },
            state: State::AdminDown,
            ..session()
        },
        &[],
    );
    check_keys(&peer, FRR_MULTIHOP);
}

fn check_keys(peer: &BfdPeer, frr: &str) {
    let value = serde_json::to_value(peer).expect("JSON");
    let found = keys(&value);
    for key in frr.split_whitespace().chain(FRR_10.split_whitespace()) {
        assert!(found.contains(&key), "{key} is missing");
    }
    for key in &found {
        let known = frr.split_whitespace().chain(FRR_10.split_whitespace());
        let known = known.chain(["counters", "twintor"]).any(|known| known == *key);
        assert!(known, "{key} is none of FRR's");
    }
    let counters = keys(&value["counters"]);
    for key in FRR_COUNTERS.split_whitespace() {
        assert!(counters.contains(&key), "{key} is missing");
    }
}

#[test]
fn values_have_the_units_of_frr() {
    let planes = [PlaneStatus {
        name: "b".to_owned(),
        gate: Gate::Open,
        usable: false,
        sessions: Vec::new(),
    }];
    let peer = BfdPeer::new(&session(), &planes);
    assert_eq!(
        (peer.status, peer.uptime, peer.downtime),
        (BfdStatus::Down, None, Some(1))
    );
    assert_eq!((peer.receive_interval, peer.transmit_interval), (300, 50));
    assert_eq!((peer.transmit_interval_actual, peer.detection_timeout), (1000, 0));
    assert_eq!((peer.remote_id, peer.remote_detect_multiplier), (0, 0));
    assert_eq!(peer.diagnostic, "control detection time expired");
    assert_eq!(peer.extra.plane, None);
    assert_eq!(peer.extra.silent_for, Some(2050));
    assert_eq!(peer.extra.last_down_cause.as_deref(), Some("detection_expired"));
    assert!(peer.extra.last_down_local_stall);
    let up = BfdSessionStatus {
        state: State::Up,
        ..session()
    };
    let peer = BfdPeer::new(&up, &planes);
    assert_eq!(
        (peer.status.word(), peer.uptime, peer.downtime),
        ("up", Some(1), None)
    );
}

#[test]
fn what_is_written_can_be_read() {
    let snapshot = BfdSnapshot {
        sessions: vec![session()],
        ..BfdSnapshot::default()
    };
    let report = BfdReport::new(&snapshot, &[]);
    let text = serde_json::to_string(&report).expect("JSON");
    let read: BfdReport = serde_json::from_str(&text).expect("readable");
    assert_eq!(serde_json::to_string(&read).expect("JSON"), text);
    assert_eq!(report.complaints(), ["BFD with 10.9.0.2 is down"]);
}
