//! Two families, several networks of a pod, and the first example of the user documentation.

use lab::kube::objects;
use lab::manifests::BGP;
use serde_json::Value;

use crate::support::{BOTH, NODE1, NODE2, World, tables, wait_tables};

const WEB: [&str; 2] = ["10.16.0.10/32", "fd00:10:16::10/128"];
const ATTACHED: [&str; 2] = ["10.17.0.5/32", "fd00:10:17::5/128"];

/// A pod on the default network and on one that is attached.
fn pod() -> Value {
    let mut pod = objects::pod("web", "node2", "10.16.0.10,fd00:10:16::10", None);
    let notes = &mut pod["metadata"]["annotations"];
    notes["storage.team.ovn.kubernetes.io/ip_address"] = "10.17.0.5,fd00:10:17::5".into();
    notes["storage.team.ovn.kubernetes.io/logical_switch"] = "storage".into();
    notes["storage.team.ovn.kubernetes.io/allocated"] = "true".into();
    pod
}

#[test]
fn both_families_and_attached_networks() {
    let world = World::up("dual-tor-v6", BOTH, &[]);
    let subnet = objects::subnet("ovn-default", "10.16.0.0/16,fd00:10:16::/112", None);
    assert_eq!(subnet["metadata"]["annotations"], serde_json::json!({}));
    world.cluster.create(&subnet).unwrap();
    let storage = objects::subnet("storage", "10.17.0.0/16,fd00:10:17::/112", None);
    world.cluster.create(&storage).unwrap();
    world.cluster.create(&pod()).unwrap();
    world
        .cluster
        .create(&objects::pod(
            "sample",
            "node1",
            "10.16.0.20,fd00:10:16::20",
            None,
        ))
        .unwrap();

    // The first example of the documentation: a pod on a subnet that has no annotations at all.
    world.annotate("pod", "sample", "=true");
    let sample: &[(&str, &[_])] = &[("10.16.0.20/32", BOTH), ("fd00:10:16::20/128", BOTH)];
    world.exact(sample);

    // The policy of an attached network's subnet is for the addresses on it.
    world.annotate("subnet", "storage", "=local");
    let mut wanted = sample.to_vec();
    wanted.extend(ATTACHED.map(|prefix| (prefix, &[NODE2][..])));
    world.exact(&wanted);

    // That of the pod is for all its networks.
    world.annotate("pod", "web", "=local");
    let mut all = wanted.clone();
    all.extend(WEB.map(|prefix| (prefix, &[NODE2][..])));
    world.exact(&all);
    world.annotate("pod", "web", "=false");
    world.exact(sample);

    // A pod that moves takes its addresses with it: deleted here, created there.
    world.cluster.delete("Pod", "default", "web").unwrap();
    let mut moved = pod();
    moved["spec"]["nodeName"] = "node1".into();
    moved["metadata"]["annotations"][BGP] = "local".into();
    world.cluster.create(&moved).unwrap();
    let mut wanted = sample.to_vec();
    wanted.extend(WEB.iter().chain(&ATTACHED).map(|prefix| (*prefix, &[NODE1][..])));
    wait_tables(&world.lab, &tables(&wanted));
    world.annotate("pod", "sample", "-");
    world.exact(&wanted[sample.len()..]);
}
