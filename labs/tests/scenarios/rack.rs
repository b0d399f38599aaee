//! The racks themselves, with FRR in the node's place: if these fail, no other scenario means anything.

use lab::Lab;
use lab::capture::Capture;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::daemons::switch::{Family, Kind, PeerConfig, SwitchConfig};
use lab::probe::{Echo, Probe};
use lab::rawpeer::{OpenMessage, RawPeer, UPDATE};
use lab::wait::{self, PATIENCE};

const NODE: &str = "
router bgp 65000
 no bgp ebgp-requires-policy
 no bgp network import-check
 timers bgp 3 9
 bgp router-id ROUTER_ID
NEIGHBORS
 address-family ipv4 unicast
  network 10.16.0.10/32
 exit-address-family
";

fn node_config(router_id: &str, switches: &[&str]) -> String {
    let lines = switches.iter().map(|switch| {
        format!(" neighbor {switch} remote-as 65030\n neighbor {switch} timers connect 2\n neighbor {switch} advertisement-interval 0\n")
    });
    NODE.replace("ROUTER_ID", router_id)
        .replace("NEIGHBORS", &lines.collect::<String>())
}

#[test]
fn dual_tor_carries_ecmp_to_both_switches() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let daemons = ["bgpd".to_owned()];
    Frr::start(
        &lab,
        "node1",
        &node_config("10.1.1.2", &["10.1.1.1", "10.1.2.1"]),
        &daemons,
    )
    .unwrap();
    Frr::start(
        &lab,
        "node2",
        &node_config("10.2.1.2", &["10.2.1.1", "10.2.2.1"]),
        &daemons,
    )
    .unwrap();
    Frr::of(&lab, "tor1")
        .wait_installed("10.16.0.10/32", &["10.1.1.2", "10.2.1.2"])
        .unwrap();
    Frr::of(&lab, "tor2")
        .wait_installed("10.16.0.10/32", &["10.1.2.2", "10.2.2.2"])
        .unwrap();
}

/// The drivers of all switches agree about a node that is known to be good.
#[test]
fn every_switch_sees_what_frr_announces() {
    for kind in Kind::ALL {
        let lab = Lab::builder("single-tor")
            .without(Role::Twintor)
            .without(Role::Frr)
            .up()
            .unwrap();
        let peer = |local: &str, remote: &str| PeerConfig {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            asn: 65000,
            families: vec![Family::of(remote)],
            password: None,
            ttl_security: false,
            passive: false,
        };
        let peers = vec![peer("10.1.1.1", "10.1.1.2"), peer("fd00:1:1::1", "fd00:1:1::2")];
        let config = SwitchConfig {
            asn: 65030,
            router_id: "10.255.0.1".into(),
            peers,
        };
        let switch = kind.start(&lab, "tor1", &config).unwrap();
        Frr::start(&lab, "node1", DUAL_STACK_NODE, &["bgpd".to_owned()]).unwrap();
        for (peer, prefix) in [
            ("10.1.1.2", "10.16.0.10/32"),
            ("fd00:1:1::2", "fd00:10:16::10/128"),
        ] {
            let address = peer.parse().unwrap();
            let routes = switch.wait_prefixes(address, Family::of(peer), &[prefix]);
            let [route] = &routes.unwrap_or_else(|error| panic!("{kind}: {error:#}"))[..] else {
                panic!("{kind}: more than one route");
            };

            assert_eq!(route.next_hop, address, "{kind}");
            assert_eq!(route.as_path, [65000], "{kind}");
        }
    }
}

/// Every way to cut a link stops the packets that it should stop, and the ends see what they should see.
#[test]
fn a_link_can_be_cut_in_three_ways() {
    let lab = Lab::builder("single-tor")
        .wires()
        .without(Role::Twintor)
        .without(Role::Frr)
        .up()
        .unwrap();
    lab.netns("tor1")
        .ip("route add 10.16.0.10/32 via 10.1.1.2")
        .unwrap();
    let pod = "10.16.0.10".parse().unwrap();
    let _echo = Echo::start(&lab.netns("pod1"), pod).unwrap();
    let link = lab.link("tor1", "node1").unwrap();
    let carrier = || {
        let up = |node: &str| {
            !lab.netns(node)
                .ip("link show eth1")
                .unwrap()
                .contains("NO-CARRIER")
        };
        (up("tor1"), up("node1"))
    };
    // Until an answer comes, or at least this many packets were lost in vain.
    let passes = || {
        let probe = Probe::start(&lab.netns("client"), "10.99.0.1".parse().unwrap(), pod).unwrap();
        wait::until_true("enough packets", PATIENCE, || Ok(probe.sent() >= 50)).unwrap();
        let report = probe.finish().unwrap();
        report.sent() - report.lost()
    };
    assert!(passes() > 0, "the link does not work at all");

    link.cut_silently().unwrap();
    assert_eq!(carrier(), (true, true));
    assert_eq!(passes(), 0, "silent cut");
    link.heal().unwrap();
    assert!(passes() > 0, "healed after a silent cut");

    let received = || {
        let text = lab.netns("node1").ip("-s -j link show eth1").unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()[0]["stats64"]["rx"]["packets"]
            .as_u64()
            .unwrap()
    };
    link.cut_from("node1").unwrap();
    assert_eq!(carrier(), (true, true));
    let before = received();
    assert_eq!(passes(), 0, "one-way cut");
    assert!(received() >= before + 50, "the other direction must go on");
    link.heal().unwrap();
    assert!(passes() > 0, "healed after a one-way cut");

    link.cut_loudly().unwrap();
    assert_eq!(carrier(), (false, false));
    assert_eq!(passes(), 0, "loud cut");
    link.heal().unwrap();
    wait::until_true("the link is healed after a loud cut", PATIENCE, || {
        Ok(passes() > 0)
    })
    .unwrap();
}

/// tshark finds what is wrong, so that a capture without findings means something.
#[test]
fn a_capture_shows_malformed_packets() {
    let lab = Lab::builder("single-tor").without(Role::Twintor).up().unwrap();
    let capture = Capture::start(&lab, "node1").unwrap();
    let open = OpenMessage {
        asn: 65000,
        hold: 9,
        id: [10, 1, 1, 2].into(),
        families: vec![(1, 1)],
    };
    let tor = "10.1.1.1".parse().unwrap();
    let (mut peer, _) = RawPeer::session(&lab.netns("node1"), tor, &open).unwrap();
    peer.send_message(UPDATE, &[0, 255, 0, 0]).unwrap();
    assert_eq!(
        peer.hear_notification().unwrap()[0],
        3,
        "FRR's opinion of the same bytes"
    );
    let pcap = capture.finish().unwrap();
    assert_ne!(pcap.faults("10.1.1.2").unwrap(), [] as [String; 0]);
    assert_eq!(pcap.faults("10.1.1.1").unwrap(), [] as [String; 0]);
}

const DUAL_STACK_NODE: &str = "
router bgp 65000
 bgp router-id 10.1.1.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 timers bgp 3 9
 neighbor 10.1.1.1 remote-as 65030
 neighbor 10.1.1.1 timers connect 2
 neighbor 10.1.1.1 advertisement-interval 0
 neighbor fd00:1:1::1 remote-as 65030
 neighbor fd00:1:1::1 timers connect 2
 neighbor fd00:1:1::1 advertisement-interval 0
 address-family ipv4 unicast
  network 10.16.0.10/32
 exit-address-family
 address-family ipv6 unicast
  network fd00:10:16::10/128
  neighbor fd00:1:1::1 activate
 exit-address-family
";
