//! The cases of kube-ovn's own end-to-end suite for its speaker: exact sets of peers and next hops on both switches of a
//! rack with two nodes, an agent on each, driven by kubectl.

use lab::daemons::frr::Frr;
use lab::kube::objects;

use crate::support::{BOTH, NODE1, NODE2, World, assert_same_sessions, sessions, tables, wait_tables};

const SUBNET: &str = "10.16.0.0/16";
const WEB: &str = "10.16.0.10/32";
const OTHER: &str = "10.16.0.11/32";

#[test]
fn the_cases_of_the_incumbents_own_suite() {
    let world = World::up("dual-tor", BOTH, &["--announce-cluster-ip=true"]);
    let cluster = &world.cluster;
    cluster
        .create(&objects::subnet("ovn-default", SUBNET, None))
        .unwrap();
    cluster
        .create(&objects::pod("web", "node1", "10.16.0.10", None))
        .unwrap();
    cluster
        .create(&objects::pod("other", "node2", "10.16.0.11", None))
        .unwrap();
    world.annotate("subnet", "ovn-default", "=local");
    world.exact(&[(WEB, &[NODE1]), (OTHER, &[NODE2])]);
    let before = sessions(&world.lab, BOTH);
    let agents = BOTH
        .iter()
        .map(|node| world.lab.pid(node.name, "twintor").unwrap())
        .collect::<Vec<_>>();

    a_pod_of_node2_is_announced_by_node2_until_it_is_deleted(&world);
    another_source_address_is_the_next_hop(&world);
    a_subnet_becomes_cluster_and_local_again(&world);
    a_service_is_announced_by_both_nodes_while_it_is_annotated(&world);

    assert_same_sessions(&world.lab, BOTH, &before);
    for (node, pid) in BOTH.iter().zip(agents) {
        assert!(world.lab.running(node.name, "twintor").unwrap());
        assert_eq!(world.lab.pid(node.name, "twintor").unwrap(), pid);
    }
}

fn a_pod_of_node2_is_announced_by_node2_until_it_is_deleted(world: &World) {
    world.cluster.delete("Pod", "default", "other").unwrap();
    world.exact(&[(WEB, &[NODE1])]);
}

fn another_source_address_is_the_next_hop(world: &World) {
    let lab = &world.lab;
    // A second subnet on the link, so that the switch can reach the address.
    lab.netns("tor1").ip("addr add 10.1.3.1/30 dev eth1").unwrap();
    lab.netns("node1").ip("addr add 10.1.3.2/30 dev eth1").unwrap();
    lab.netns("node1")
        .ip("route replace 10.1.1.1/32 dev eth1 src 10.1.3.2")
        .unwrap();
    let [one, other] = tables(&[(WEB, &[NODE1])]);
    let moved = one.into_iter().map(|mut path| {
        path.next_hop = "10.1.3.2".to_owned();
        path
    });
    wait_tables(lab, &[moved.collect(), other]);
    Frr::of(lab, "tor1").wait_installed(WEB, &["10.1.3.2"]).unwrap();
    lab.netns("node1").ip("route del 10.1.1.1/32 dev eth1").unwrap();
    world.exact(&[(WEB, &[NODE1])]);
}

fn a_subnet_becomes_cluster_and_local_again(world: &World) {
    world.annotate("subnet", "ovn-default", "=cluster");
    world.exact(&[(WEB, BOTH), (SUBNET, BOTH)]);
    world.annotate("subnet", "ovn-default", "=local");
    world.exact(&[(WEB, &[NODE1])]);
}

fn a_service_is_announced_by_both_nodes_while_it_is_annotated(world: &World) {
    let service = objects::service("web", "10.96.0.80", None);
    world.cluster.create(&service).unwrap();
    world.annotate("service", "web", "=true");
    world.exact(&[(WEB, &[NODE1]), ("10.96.0.80/32", BOTH)]);
    world.annotate("service", "web", "-");
    world.exact(&[(WEB, &[NODE1])]);
    let path = "/api/v1/namespaces/default/services/web";
    let left = world.cluster.client().unwrap().get(path).unwrap().ok().unwrap();
    assert_eq!(left["spec"]["clusterIP"], "10.96.0.80");
}
