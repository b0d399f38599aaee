use super::*;
use serde_json::{Value, json};

pub(in crate::show) fn peer() -> Value {
    json!({
        "multihop": false, "peer": "10.1.1.1", "local": "10.1.1.2", "vrf": "default", "interface": "eth1",
        "id": 3, "remote-id": 4, "passive-mode": false, "status": "up", "uptime": 65,
        "diagnostic": "ok", "remote-diagnostic": "ok",
        "receive-interval": 50, "transmit-interval": 50, "transmit-interval-actual": 300, "detection-timeout": 900,
        "echo-receive-interval": 0, "echo-transmit-interval": 0, "detect-multiplier": 3,
        "remote-receive-interval": 300, "remote-transmit-interval": 300, "remote-echo-receive-interval": 0,
        "remote-detect-multiplier": 3, "rtt-min": 0, "rtt-avg": 0, "rtt-max": 0,
        "counters": {
            "control-packet-input": 11, "control-packet-output": 12, "echo-packet-input": 0, "echo-packet-output": 0,
            "session-up": 2, "session-down": 1, "zebra-notifications": 0, "tx-fail-packet": 5,
            "rx-discard": {"ttl": 6}
        },
        "twintor": {
            "plane": "a", "running": true, "send-error": null, "silent-for": 40,
            "last-down-cause": "detection_expired", "last-down-ago": 90_061, "last-down-local-stall": true
        }
    })
}

fn report(peer: Value) -> BfdReport {
    serde_json::from_value(json!({"peers": [peer], "thread": null})).expect("a report")
}

/// Line for line FRR 8.4, from "ID:" to the timers of the other end.
#[test]
fn text_is_that_of_frr() {
    assert_eq!(
        text(&report(peer())),
        "\
BFD Peers:
\tpeer 10.1.1.1 local-address 10.1.1.2 vrf default interface eth1
\t\tID: 3
\t\tRemote ID: 4
\t\tActive mode
\t\tStatus: up
\t\tUptime: 1 minute(s), 5 second(s)
\t\tDiagnostics: ok
\t\tRemote diagnostics: ok
\t\tPeer Type: configured
\t\tRTT min/avg/max: 0/0/0 usec
\t\tLocal timers:
\t\t\tDetect-multiplier: 3
\t\t\tReceive interval: 50ms
\t\t\tTransmission interval: 50ms
\t\t\tEcho receive interval: disabled
\t\t\tEcho transmission interval: disabled
\t\tRemote timers:
\t\t\tDetect-multiplier: 3
\t\t\tReceive interval: 300ms
\t\t\tTransmission interval: 300ms
\t\t\tEcho receive interval: disabled
\t\tIn force:
\t\t\tPlane: a
\t\t\tTransmission interval: 300ms
\t\t\tDetection time: 900ms
\t\t\tLast down: 1 day(s), 1 hour(s), 1 minute(s), 1 second(s) ago, detection_expired, after a local stall

"
    );
}

#[test]
fn several_hops_shut_down_and_deaf() {
    let mut peer = peer();
    peer["multihop"] = true.into();
    peer["minimum-ttl"] = 250.into();
    peer["status"] = "shutdown".into();
    peer["uptime"] = Value::Null;
    peer["passive-mode"] = true.into();
    peer["interface"] = Value::Null;
    peer["twintor"]["running"] = false.into();
    peer["twintor"]["send-error"] = "cannot send".into();
    let text = text(&report(peer));
    assert!(
        text.contains("\tpeer 10.1.1.1 multihop local-address 10.1.1.2 vrf default\n"),
        "{text}"
    );
    assert!(
        text.contains("Passive mode\n\t\tMinimum TTL: 250\n\t\tStatus: shutdown\n\t\tDiagnostics"),
        "{text}"
    );
    assert!(text.contains("Nothing can be received"), "{text}");
    assert!(text.contains("Sending: cannot send"), "{text}");
}

#[test]
fn counters_are_those_of_frr() {
    let report = report(peer());
    assert_eq!(
        counters_text(&report),
        "\
BFD Peers:
\tpeer 10.1.1.1 local-address 10.1.1.2 vrf default interface eth1
\t\tControl packet input: 11 packets
\t\tControl packet output: 12 packets
\t\tEcho packet input: 0 packets
\t\tEcho packet output: 0 packets
\t\tSession up events: 2
\t\tSession down events: 1
\t\tZebra notifications: 0
\t\tTx fail packet: 5
\t\tRx discard, ttl: 6

"
    );
    assert_eq!(
        serde_json::to_string(&counters(&report)).expect("JSON"),
        r#"[{"multihop":false,"peer":"10.1.1.1","local":"10.1.1.2","vrf":"default","interface":"eth1","control-packet-input":11,"control-packet-output":12,"echo-packet-input":0,"echo-packet-output":0,"session-up":2,"session-down":1,"zebra-notifications":0,"tx-fail-packet":5,"rx-discard":{"ttl":6}}]"#
    );
    let peers = serde_json::to_value(peers(&report)).expect("JSON");
    assert!(peers[0].get("counters").is_none() && peers[0]["id"] == 3);
}
