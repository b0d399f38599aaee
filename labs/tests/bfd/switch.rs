//! What a switch decides about BFD, and what we tell it.

use lab::capture::Capture;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::daemons::twintor;
use lab::wait::{self, PATIENCE};
use nix::sys::signal::Signal;

use crate::support::{
    NODE, SWITCH, ask, assert_reset_by_bfd, enable_bfd, frr_bfd, session, start_agent, wait_logged, wait_up,
    with_frr,
};

#[test]
fn admin_down_of_the_switch_takes_nothing_down() {
    let lab = with_frr();
    let frr = Frr::of(&lab, "tor1");
    enable_bfd(&frr, &[NODE]);
    start_agent(&lab, &[SWITCH], &[]);
    wait_up(&frr, &[NODE]);
    let then = frr.session(NODE).unwrap();

    frr.vtysh_all(&["configure", "bfd", "profile fast", "shutdown"])
        .unwrap();
    wait_logged(&lab, &["the other end has turned BFD off", SWITCH]);
    wait::until_true("our BFD is down", PATIENCE, || {
        Ok(session(&lab, SWITCH)?["status"] == "down")
    })
    .unwrap();
    // Two more of our slow packets mean that many detection times have passed.
    let sent = || {
        session(&lab, SWITCH).unwrap()["counters"]["control-packet-output"]
            .as_u64()
            .unwrap()
    };
    let before = sent();
    wait::until_true("time passes", PATIENCE, || Ok(sent() >= before + 2)).unwrap();
    assert!(frr.session(NODE).unwrap().is_still(&then));

    frr.vtysh_all(&["configure", "bfd", "profile fast", "no shutdown"])
        .unwrap();
    wait_up(&frr, &[NODE]);
    assert!(
        frr.session(NODE).unwrap().is_still(&then),
        "{:?}",
        frr.session(NODE)
    );
}

/// FRR takes AdminDown for a failure: it has to have taken the Cease before.
#[test]
fn a_planned_stop_says_why_before_it_says_admin_down() {
    let lab = with_frr();
    let frr = Frr::of(&lab, "tor1");
    enable_bfd(&frr, &[NODE]);
    start_agent(&lab, &[SWITCH], &[]);
    wait_up(&frr, &[NODE]);
    let capture = Capture::start_with(&lab, "node1", "tcp port 179 or udp port 3784").unwrap();
    lab.stop("node1", twintor::DAEMON, Signal::SIGTERM).unwrap();
    let pcap = capture.finish().unwrap();

    let ours = format!("ip.src == {NODE}");
    let number = |filter: &str| -> Vec<u64> {
        let lines = pcap.lines(filter, &["frame.number"]).unwrap();
        lines.iter().map(|line| line.parse().unwrap()).collect()
    };
    let cease = number(&format!(
        "{ours} && bgp.notify.major_error == 6 && bgp.notify.minor_error_cease == 2"
    ));
    let closed = number(&format!("ip.src == {SWITCH} && tcp.flags.fin == 1"));
    let admin_down = number(&format!("{ours} && bfd.sta == 0"));
    assert_eq!(cease.len(), 1);
    assert!(
        !closed.is_empty() && !admin_down.is_empty(),
        "{closed:?} {admin_down:?}"
    );
    assert!(
        cease[0] < closed[0] && closed[0] < admin_down[0],
        "Cease {cease:?}, closed by the switch {closed:?}, AdminDown {admin_down:?}"
    );
    let log = lab.log("tor1", "bgpd");
    let reasons: Vec<_> = log
        .lines()
        .filter(|line| line.contains("ADJCHANGE") && line.contains("Down"))
        .collect();
    assert!(
        reasons
            .last()
            .is_some_and(|line| line.contains("BGP Notification received")),
        "{reasons:?}"
    );
}

#[test]
fn over_several_hops_the_session_is_on_4784() {
    let lab = with_frr();
    let frr = Frr::of(&lab, "tor1");
    frr.vtysh_all(&[
        "configure",
        "router bgp 65030",
        &format!("neighbor {NODE} ebgp-multihop 3"),
    ])
    .unwrap();
    enable_bfd(&frr, &[NODE]);
    start_agent(&lab, &[SWITCH], &["--ebgp-multihop=3"]);
    wait_up(&frr, &[NODE]);
    let peers = frr.json("show bfd peers json").unwrap();
    assert_eq!(peers[0]["multihop"], true, "{peers}");
    let ours = session(&lab, SWITCH).unwrap();
    assert_eq!(
        (&ours["multihop"], &ours["minimum-ttl"]),
        (&true.into(), &253.into()),
        "{ours}"
    );

    let then = frr.session(NODE).unwrap();
    lab.link("tor1", "node1").unwrap().cut_silently().unwrap();
    crate::support::wait_lost(&frr, NODE, &then);
    assert_reset_by_bfd(&frr, NODE);
}

/// bgpd makes its BFD session anew when its first session tells it the source address, and closes BGP for that itself.
/// It is no flap of the path: nothing is held down for it.
#[test]
fn a_bfd_session_that_the_switch_makes_anew_is_no_flap() {
    let lab = lab::Lab::builder("dual-tor")
        .wires()
        .without(Role::Twintor)
        .up()
        .unwrap();
    for (switch, node) in [("tor1", "10.1.1.2"), ("tor2", "10.1.2.2")] {
        enable_bfd(&Frr::of(&lab, switch), &[node]);
    }
    // BFD comes up before BGP.
    let block = "add table ip hold; add chain ip hold input { type filter hook input priority 0; }; \
                 add rule ip hold input tcp dport 179 drop; add rule ip hold input tcp sport 179 drop";
    lab.exec("node1", &["nft", block]).unwrap();
    start_agent(&lab, &["10.1.1.1", "10.1.2.1"], &[]);
    for (switch, node) in [("tor1", "10.1.1.2"), ("tor2", "10.1.2.2")] {
        let frr = Frr::of(&lab, switch);
        wait::until_true("BFD is up", PATIENCE, || Ok(frr_bfd(&frr, node)? == "up")).unwrap();
    }
    lab.exec("node1", &["nft", "delete table ip hold"]).unwrap();
    for (switch, node) in [("tor1", "10.1.1.2"), ("tor2", "10.1.2.2")] {
        wait_up(&Frr::of(&lab, switch), &[node]);
    }
    wait_logged(&lab, &["neighbor_signaled_session_down"]);
    let status = ask(&lab, &["status"]).unwrap();
    assert_eq!(
        status["rack"]["pair"]
            .as_str()
            .or_else(|| status["pair"].as_str()),
        Some("both"),
        "{status}"
    );
    let log = lab.log("node1", twintor::DAEMON);
    assert!(!log.contains("failed too often"), "{log}");
}
