//! The racks themselves, with FRR in the node's place: if these fail, no other scenario means anything.

use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::Frr;

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
