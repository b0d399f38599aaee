//! Two switches, as they are meant to be used.

use std::time::Duration;

use lab::Lab;
use lab::capture::Capture;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::manifests::Manifests;
use lab::wait::{self, PATIENCE};

use crate::support::{Agent, WEB, WEB_V4, WEB_V6, assert_well_formed};

/// node1's side of its two planes in `dual-tor`: the switch, its address, the node's address.
const PLANES: [(&str, &str, &str); 2] = [("tor1", "10.1.1.1", "10.1.1.2"), ("tor2", "10.1.2.1", "10.1.2.2")];

/// What is promised to the owner of a rack: a switch that is back is used again within this time.
const BACK_IN_USE: Duration = Duration::from_secs(5);

/// `dual-tor` with an agent on node1 that announces the web pod, both switches having installed it.
fn announced() -> (Lab, Manifests) {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let manifests = Agent::new(&["10.1.1.1", "10.1.2.1"]).start(&lab);
    manifests.pod(&WEB).unwrap();
    for (switch, _, node) in PLANES {
        Frr::of(&lab, switch).wait_installed(WEB_V4, &[node]).unwrap();
    }
    (lab, manifests)
}

fn assert_used_by_both_nodes(lab: &Lab, prefix: &str, switches: [(&str, [&str; 2]); 2]) {
    for (switch, hops) in switches {
        let frr = Frr::of(lab, switch);
        frr.wait_installed(prefix, &hops).unwrap();
        let paths = frr.bgp_paths(prefix).unwrap();
        assert_eq!(paths.len(), 2, "{switch}: {paths:?}");
        for path in paths {
            assert!(path.valid && path.multipath, "{switch}: {path:?}");
            assert_eq!(
                path.next_hop, path.peer,
                "{switch}: not the address of that plane's own link"
            );
            assert_eq!(path.as_path, "65000", "{switch}");
        }
    }
}

#[test]
fn each_switch_gets_the_next_hop_of_its_own_link() {
    let lab = Lab::builder("dual-tor").up().unwrap();
    let switches = [
        ("tor1", ["10.1.1.2", "10.2.1.2"]),
        ("tor2", ["10.1.2.2", "10.2.2.2"]),
    ];
    assert_used_by_both_nodes(&lab, WEB_V4, switches);
}

#[test]
fn each_switch_gets_the_next_hop_of_its_own_link_in_both_families() {
    let lab = Lab::builder("dual-tor-v6").up().unwrap();
    let switches = [
        ("tor1", ["10.1.1.2", "10.2.1.2"]),
        ("tor2", ["10.1.2.2", "10.2.2.2"]),
    ];
    assert_used_by_both_nodes(&lab, WEB_V4, switches);
    let switches = [
        ("tor1", ["fd00:1:1::2", "fd00:2:1::2"]),
        ("tor2", ["fd00:1:2::2", "fd00:2:2::2"]),
    ];
    assert_used_by_both_nodes(&lab, WEB_V6, switches);
}

#[test]
fn switches_on_one_subnet_get_the_same_next_hop() {
    let lab = Lab::builder("dual-tor-shared-l2").up().unwrap();
    let hops = ["10.1.0.11", "10.1.0.12"];
    assert_used_by_both_nodes(&lab, WEB_V4, [("tor1", hops), ("tor2", hops)]);
}

#[test]
fn a_restarted_switch_is_used_again_while_the_other_notices_nothing() {
    let (lab, _manifests) = announced();
    let (tor1, tor2) = (Frr::of(&lab, "tor1"), Frr::of(&lab, "tor2"));
    let before = tor2.session("10.1.2.2").unwrap();
    tor1.kill_bgpd().unwrap();
    tor1.start_bgpd().unwrap();
    wait::until_true("tor1 has the session and the route again", BACK_IN_USE, || {
        let session = tor1.session("10.1.1.2")?;
        Ok(session.state == "Established" && session.prefixes == 1)
    })
    .unwrap();
    tor1.wait_installed(WEB_V4, &["10.1.1.2"]).unwrap();
    assert!(
        tor2.session("10.1.2.2").unwrap().is_still(&before),
        "the other plane was disturbed"
    );
}

#[test]
fn a_new_source_address_moves_the_next_hop_without_a_reset() {
    let (lab, _manifests) = announced();
    let capture = Capture::start(&lab, "node1").unwrap();
    second_subnet(&lab);
    let tor1 = Frr::of(&lab, "tor1");
    let tor2 = Frr::of(&lab, "tor2");
    let sessions = || {
        [
            tor1.session("10.1.1.2").unwrap(),
            tor2.session("10.1.2.2").unwrap(),
        ]
    };
    let before = sessions();
    lab.netns("node1")
        .ip("route replace 10.1.1.1/32 dev eth1 src 10.1.3.2")
        .unwrap();
    tor1.wait_installed(WEB_V4, &["10.1.3.2"]).unwrap();
    lab.netns("node1").ip("route del 10.1.1.1/32 dev eth1").unwrap();
    tor1.wait_installed(WEB_V4, &["10.1.1.2"]).unwrap();
    for (after, before) in sessions().iter().zip(&before) {
        assert!(
            after.is_still(before),
            "a session was reset: {before:?}, then {after:?}"
        );
    }
    tor2.wait_installed(WEB_V4, &["10.1.2.2"]).unwrap();
    let pcap = capture.finish().unwrap();
    assert_eq!(
        pcap.count("ip.src == 10.1.2.2 && bgp.type == 2").unwrap(),
        0,
        "tor2 was told something"
    );
    assert_eq!(pcap.faults("10.1.1.2").unwrap(), [] as [String; 0]);
}

#[test]
fn node_ips_replace_the_pods_own_address_as_next_hop() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    second_subnet(&lab);
    let manifests = crate::support::manifests(&lab);
    manifests.pod(&WEB).unwrap();
    let agent = Agent::new(&["10.1.1.1", "10.1.2.1"]).extra(&["--node-ips=10.1.3.2"]);
    agent.start_with(&lab, &manifests, &[("POD_IPS", "10.1.1.2")]);
    Frr::of(&lab, "tor1")
        .wait_installed(WEB_V4, &["10.1.3.2"])
        .unwrap();
    // On the other plane the source is not the pod's own address, so nothing is replaced there.
    Frr::of(&lab, "tor2")
        .wait_installed(WEB_V4, &["10.1.2.2"])
        .unwrap();
}

#[test]
fn a_local_pod_is_announced_by_its_own_node_only() {
    let lab = Lab::builder("dual-tor").up().unwrap();
    let manifests = Manifests::at(lab::daemons::twintor::manifests(&lab)).unwrap();
    let (tor1, tor2) = (Frr::of(&lab, "tor1"), Frr::of(&lab, "tor2"));
    let pod = lab::manifests::Pod {
        name: "db",
        addresses: "10.16.0.20",
        node: "node2",
        policy: Some("local"),
    };
    manifests.pod(&pod).unwrap();
    tor1.wait_installed("10.16.0.20/32", &["10.2.1.2"]).unwrap();
    tor2.wait_installed("10.16.0.20/32", &["10.2.2.2"]).unwrap();
    manifests
        .pod(&lab::manifests::Pod { node: "node1", ..pod })
        .unwrap();
    tor1.wait_installed("10.16.0.20/32", &["10.1.1.2"]).unwrap();
    tor2.wait_installed("10.16.0.20/32", &["10.1.2.2"]).unwrap();
}

#[test]
fn what_is_sent_in_a_busy_life_is_well_formed() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let capture = Capture::start(&lab, "node1").unwrap();
    let manifests = Agent::new(&["10.1.1.1", "10.1.2.1"]).start(&lab);
    let prefixes = |count: u64| {
        for (switch, _, node) in PLANES {
            wait::until_true(&format!("{switch} has {count} prefixes"), PATIENCE, || {
                let session = Frr::of(&lab, switch).session(node)?;
                Ok(session.state == "Established" && session.prefixes == count)
            })
            .unwrap();
        }
    };
    let addresses = (0..1500)
        .map(|n| format!("10.16.{}.{}", n / 250, n % 250))
        .collect::<Vec<_>>()
        .join(",");
    let many = lab::manifests::Pod {
        name: "many",
        addresses: &addresses,
        node: "node1",
        policy: Some("true"),
    };
    manifests.pod(&many).unwrap();
    prefixes(1500);
    manifests.remove("many").unwrap();
    prefixes(0);
    lab.stop(
        "node1",
        lab::daemons::twintor::DAEMON,
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    let pcap = capture.finish().unwrap();
    assert_well_formed(&pcap, "10.1.1.2");
    assert_well_formed(&pcap, "10.1.2.2");
}

/// A second subnet on the link node1 - tor1, so that node1 has two addresses there that tor1 can reach.
fn second_subnet(lab: &Lab) {
    lab.netns("tor1").ip("addr add 10.1.3.1/30 dev eth1").unwrap();
    lab.netns("node1").ip("addr add 10.1.3.2/30 dev eth1").unwrap();
}
