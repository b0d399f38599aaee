//! The node's own routes back into the fabric, with real switches.

use std::time::Instant;

use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::daemons::twintor;
use lab::probe::{Echo, Probe};
use lab::wait::{self, PATIENCE};
use nix::sys::signal::Signal;

use crate::support::{WEB, enable_bfd, http, start_agent};

const SWITCHES: [&str; 4] = ["10.1.1.1", "10.1.2.1", "fd00:1:1::1", "fd00:1:2::1"];
const BOTH: [[&str; 2]; 2] = [["10.1.1.1", "10.1.2.1"], ["fd00:1:1::1", "fd00:1:2::1"]];
const ONLY_TOR2: [[&str; 1]; 2] = [["10.1.2.1"], ["fd00:1:2::1"]];

const CONFIG: &str = "apiVersion: twintor.io/v1alpha1\nkind: SpeakerConfig\nreturnPath: {}\n";

/// Two switches with BFD. The client sends over tor2 only, so that what is lost is lost on the way back; and for that
/// node1 has nothing but a default route of somebody else, over node2.
fn rack() -> Lab {
    let lab = Lab::builder("dual-tor-v6")
        .wires()
        .without(Role::Twintor)
        .up()
        .unwrap();
    enable_bfd(&Frr::of(&lab, "tor1"), &["10.1.1.2", "fd00:1:1::2"]);
    enable_bfd(&Frr::of(&lab, "tor2"), &["10.1.2.2", "fd00:1:2::2"]);
    lab.netns("client")
        .ip("route add 10.16.0.0/16 via 10.9.2.1 src 10.99.0.1")
        .unwrap();
    let node = lab.netns("node1");
    node.ip("route del 10.99.0.1/32").unwrap();
    node.ip("-6 route del fd00:99::1/128").unwrap();
    node.ip("route add default via 10.200.0.2 metric 1000").unwrap();
    node.ip("-6 route add default via fd00:200::2 metric 1000")
        .unwrap();
    lab
}

fn start(lab: &Lab) {
    let config = lab.write("node1", "config.yaml", CONFIG).unwrap();
    start_agent(lab, &SWITCHES, &[&format!("--config={}", config.display())]);
}

fn routes(lab: &Lab, family: &str, of: &str) -> String {
    let text = lab
        .netns("node1")
        .ip(&format!("{family} route show default {of}"))
        .unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The default routes of others, in both families.
fn foreign(lab: &Lab) -> [String; 2] {
    ["-4", "-6"].map(|family| routes(lab, family, "metric 1000"))
}

fn gateways(lab: &Lab, family: &str) -> Vec<String> {
    let text = routes(lab, family, "proto 179");
    assert!(text.matches("default").count() <= 1, "one route: {text}");
    let words: Vec<&str> = text.split(' ').collect();
    let mut gateways: Vec<String> = words
        .windows(2)
        .filter(|pair| pair[0] == "via")
        .map(|pair| pair[1].to_owned())
        .collect();
    gateways.sort();
    gateways
}

fn wait_gateways(lab: &Lab, what: &str, wanted: [&[&str]; 2]) {
    wait::until_true(what, PATIENCE, || {
        Ok(gateways(lab, "-4") == wanted[0] && gateways(lab, "-6") == wanted[1])
    })
    .unwrap();
}

/// Packets that node1 has sent to each switch.
fn sent(lab: &Lab) -> [u64; 2] {
    ["eth1", "eth2"].map(|link| {
        let text = lab.netns("node1").ip(&format!("-s -j link show {link}")).unwrap();
        let links: serde_json::Value = serde_json::from_str(&text).unwrap();
        links[0]["stats64"]["tx"]["packets"].as_u64().unwrap()
    })
}

#[test]
fn the_way_back_moves_with_bfd_and_returns_with_the_session() {
    let lab = rack();
    let before = foreign(&lab);
    start(&lab);
    wait_gateways(&lab, "both planes", [&BOTH[0], &BOTH[1]]);
    let (tor1, tor2) = (Frr::of(&lab, "tor1"), Frr::of(&lab, "tor2"));
    tor1.wait_installed(WEB, &["10.1.1.2"]).unwrap();
    tor2.wait_installed(WEB, &["10.1.2.2"]).unwrap();

    let pod = "10.16.0.10".parse().unwrap();
    let _echo = Echo::start(&lab.netns("pod1"), pod).unwrap();
    let idle = sent(&lab);
    let probe = Probe::start(&lab.netns("client"), "10.99.0.1".parse().unwrap(), pod).unwrap();
    wait::until_true("answers over both planes", PATIENCE, || {
        let now = sent(&lab);
        Ok(now.iter().zip(idle).all(|(now, idle)| *now > idle + 200))
    })
    .unwrap();
    let cut_at = Instant::now();
    lab.link("tor1", "node1").unwrap().cut_silently().unwrap();
    wait_gateways(&lab, "the other plane alone", [&ONLY_TOR2[0], &ONLY_TOR2[1]]);
    let moved_after = cut_at.elapsed();
    let quiet_from = Instant::now();
    let so_far = probe.sent();
    wait::until_true("more packets", PATIENCE, || Ok(probe.sent() > so_far + 500)).unwrap();
    let report = probe.finish().unwrap();
    assert_eq!(report.lost_between(Instant::now() - PATIENCE, cut_at), 0);
    assert_eq!(
        report.lost_since(quiet_from),
        0,
        "the way back still leads to tor1"
    );

    lab.link("tor1", "node1").unwrap().heal().unwrap();
    wait_gateways(&lab, "both planes again", [&BOTH[0], &BOTH[1]]);
    for (switch, node) in [(&tor1, "10.1.1.2"), (&tor1, "fd00:1:1::2")] {
        switch.wait_established(node).unwrap();
    }
    assert_eq!(foreign(&lab), before);

    let status = http(&lab, "/api/v1/status").unwrap();
    let path = &status["return_path"];
    println!(
        "next hop gone {moved_after:?} after the cut, lost {:?}, last move {} us, slowest {} us",
        report.disturbance(),
        path["last_move_micros"],
        path["slowest_move_micros"]
    );
    assert_eq!(path["restored"], 0, "{path}");
    assert!(path["slowest_move_micros"].as_u64().is_some(), "{path}");
    for route in path["routes"].as_array().unwrap() {
        assert_eq!(route["installed"], true, "{path}");
        assert_eq!(route["planes"], serde_json::json!(["a", "b"]), "{path}");
    }

    lab.stop("node1", twintor::DAEMON, Signal::SIGTERM).unwrap();
    wait_gateways(&lab, "none of ours", [&[], &[]]);
    assert_eq!(foreign(&lab), before, "exactly ours are removed");
}

#[test]
fn what_a_killed_agent_leaves_is_taken_over() {
    let lab = rack();
    start(&lab);
    wait_gateways(&lab, "both planes", [&BOTH[0], &BOTH[1]]);
    lab.stop("node1", twintor::DAEMON, Signal::SIGKILL).unwrap();
    wait_gateways(&lab, "left behind", [&BOTH[0], &BOTH[1]]);

    start(&lab);
    wait::until_true("the new agent keeps them", PATIENCE, || {
        let status = http(&lab, "/api/v1/status")?;
        let routes = status["return_path"]["routes"].as_array().cloned();
        let routes = routes.unwrap_or_default();
        Ok(!routes.is_empty() && routes.iter().all(|route| route["installed"] == true))
    })
    .unwrap();
    wait_gateways(&lab, "both planes, not twice", [&BOTH[0], &BOTH[1]]);
    lab.stop("node1", twintor::DAEMON, Signal::SIGTERM).unwrap();
    wait_gateways(&lab, "none of ours", [&[], &[]]);
}
