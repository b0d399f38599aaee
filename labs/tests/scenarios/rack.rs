//! The racks themselves, with FRR in the node's place: if these fail, no other scenario means anything.

use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::daemons::switch::{Family, Kind, PeerConfig, SwitchConfig};

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
            assert!(route.usable, "{kind}: {route:?}");
            assert_eq!(route.next_hop, address, "{kind}");
            assert_eq!(route.as_path, [65000], "{kind}");
        }
    }
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
