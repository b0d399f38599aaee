//! Everything that can break between a node and its switch.

use lab::capture::Capture;
use lab::daemons::frr::Frr;
use lab::daemons::twintor;
use lab::wait::{self, PATIENCE};
use nix::sys::signal::Signal;

use crate::support::{
    NODE, NODE6, SWITCH, SWITCH6, agent_log, assert_reset_by_bfd, enable_bfd, frr_bfd, start_agent, story,
    wait_logged, wait_lost, wait_up, with_frr,
};

const CEASE_BFD_DOWN: &str = "bgp.notify.major_error == 6 && bgp.notify.minor_error_cease == 10";

#[test]
fn every_cut_of_the_link_takes_bgp_down_at_both_ends_and_both_come_back() {
    let lab = with_frr();
    let frr = Frr::of(&lab, "tor1");
    enable_bfd(&frr, &[NODE, NODE6]);
    start_agent(&lab, &[SWITCH, SWITCH6], &[]);
    wait_up(&frr, &[NODE, NODE6]);
    let link = lab.link("tor1", "node1").unwrap();
    let before = || [NODE, NODE6].map(|node| (node, frr.session(node).unwrap()));
    let lost = |before: &[(&str, _)]| before.iter().for_each(|(node, then)| wait_lost(&frr, node, then));

    // Silent: neither end sees the link go down, and nobody can tell the other anything.
    let then = before();
    link.cut_silently().unwrap();
    lost(&then);
    wait_logged(&lab, &["BFD is down", SWITCH]);
    assert_reset_by_bfd(&frr, NODE);
    assert_eq!(story(&lab, SWITCH)["fired_first"], "local");
    link.heal().unwrap();
    wait_up(&frr, &[NODE, NODE6]);

    // What the switch sends is lost: we notice, and the Cease arrives.
    let capture = Capture::start(&lab, "node1").unwrap();
    let then = before();
    link.cut_from("tor1").unwrap();
    lost(&then);
    link.heal().unwrap();
    wait_up(&frr, &[NODE, NODE6]);
    let pcap = capture.finish().unwrap();
    for source in [format!("ip.src == {NODE}"), format!("ipv6.src == {NODE6}")] {
        assert!(
            pcap.count(&format!("{source} && {CEASE_BFD_DOWN}")).unwrap() > 0,
            "{source} sent no Cease/BFD Down\n{}",
            agent_log(&lab)
        );
    }
    let told = story(&lab, SWITCH);
    assert_eq!(
        (&told["fired_first"], &told["cause"]),
        (&"local".into(), &"detection_expired".into())
    );

    // What we send is lost: the switch notices and says so.
    let then = before();
    link.cut_from("node1").unwrap();
    lost(&then);
    wait_logged(&lab, &["remote_down", SWITCH]);
    let told = story(&lab, SWITCH);
    assert_eq!(told["fired_first"], "remote");
    assert_eq!(told["remote_diag"], "control_detection_time_expired");
    link.heal().unwrap();
    wait_up(&frr, &[NODE, NODE6]);

    let then = before();
    link.cut_loudly().unwrap();
    lost(&then);
    link.heal().unwrap();
    wait_up(&frr, &[NODE, NODE6]);
}

/// A filter that passes BGP but not BFD is a failure too, until BGP has waited long enough for BFD.
#[test]
fn bfd_packets_that_a_filter_drops_take_bgp_down_with_the_right_reason() {
    let lab = with_frr();
    let frr = Frr::of(&lab, "tor1");
    enable_bfd(&frr, &[NODE]);
    start_agent(&lab, &[SWITCH], &[]);
    wait_up(&frr, &[NODE]);
    let then = frr.session(NODE).unwrap();
    let capture = Capture::start(&lab, "tor1").unwrap();
    nft(
        &lab,
        "add table ip filter; add chain ip filter input { type filter hook input priority 0; }; \
         add rule ip filter input udp dport 3784 drop",
    );
    wait_lost(&frr, NODE, &then);
    nft(&lab, "delete table ip filter");
    wait_up(&frr, &[NODE]);
    let pcap = capture.finish().unwrap();
    let ceased = pcap
        .count(&format!("ip.src == {NODE} && {CEASE_BFD_DOWN}"))
        .unwrap();
    assert!(ceased > 0, "{}", agent_log(&lab));
}

#[test]
fn a_switch_that_stands_still_or_dies_is_noticed() {
    let lab = with_frr();
    let frr = Frr::of(&lab, "tor1");
    enable_bfd(&frr, &[NODE]);
    start_agent(&lab, &[SWITCH], &[]);
    wait_up(&frr, &[NODE]);

    // vtysh hangs with a daemon that stands still, so the switch is asked afterwards.
    let then = frr.session(NODE).unwrap();
    lab.signal("tor1", "bfdd", Signal::SIGSTOP).unwrap();
    wait_logged(&lab, &["BFD is down: silence", SWITCH]);
    lab.signal("tor1", "bfdd", Signal::SIGCONT).unwrap();
    wait_lost(&frr, NODE, &then);
    let told = story(&lab, SWITCH);
    assert_eq!(told["cause"], "detection_expired");
    assert_eq!(told["local_stall_us"], serde_json::Value::Null, "{told}");
    wait_up(&frr, &[NODE]);

    // BGP alone dies: the kernel tells us, and BFD has nothing against a new session.
    frr.kill_bgpd().unwrap();
    wait_logged(&lab, &["session down", SWITCH]);
    frr.start_bgpd().unwrap();
    enable_bfd(&frr, &[NODE]);
    wait_up(&frr, &[NODE]);

    // BFD alone dies.
    let then = frr.session(NODE).unwrap();
    lab.stop("tor1", "bfdd", Signal::SIGKILL).unwrap();
    wait_lost(&frr, NODE, &then);
    assert_eq!(story(&lab, SWITCH)["cause"], "detection_expired");
}

/// The switch is right to give up a speaker that stands still; the speaker must not blame the switch.
#[test]
fn an_agent_that_stood_still_says_so_and_blames_nobody() {
    let lab = with_frr();
    let frr = Frr::of(&lab, "tor1");
    enable_bfd(&frr, &[NODE]);
    start_agent(&lab, &[SWITCH], &[]);
    wait_up(&frr, &[NODE]);
    let then = frr.session(NODE).unwrap();
    lab.signal("node1", twintor::DAEMON, Signal::SIGSTOP).unwrap();
    wait::until_true("the switch gives up", PATIENCE, || {
        Ok(frr_bfd(&frr, NODE)? == "down")
    })
    .unwrap();
    lab.signal("node1", twintor::DAEMON, Signal::SIGCONT).unwrap();
    wait_lost(&frr, NODE, &then);
    wait_up(&frr, &[NODE]);
    wait_logged(&lab, &["this process did not run for"]);
    let told = story(&lab, SWITCH);
    assert_eq!(told["fired_first"], "remote", "{told}");
    assert!(told["local_stall_us"].as_u64().is_some(), "{told}");
    let verdict = told["verdict"].as_str().unwrap();
    assert!(verdict.contains("not the switch's"), "{verdict}");
    let blamed = agent_log(&lab);
    let blamed = blamed.lines().filter(|line| line.contains("BFD is down"));
    for line in blamed {
        assert!(line.contains("after a stall of this process"), "{line}");
    }
}

fn nft(lab: &lab::Lab, rules: &str) {
    lab.exec("node1", &["nft", rules]).unwrap();
}
