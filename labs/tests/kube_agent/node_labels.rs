//! One configuration file for racks with AS numbers of their own: the labels of the Node objects tell them apart.

use std::fs;

use lab::daemons::frr::Frr;
use lab::daemons::twintor;
use lab::kube::{TWINTOR, objects};
use lab::wait::{self, PATIENCE};
use serde_json::{Value, json};

use crate::support::{BOTH, NODE1, NODE2, TORS, World, assert_same_sessions, sessions, updates};

const FILE: &str = "apiVersion: twintor.io/v1alpha1
kind: SpeakerConfig
nodes:
- match: {labels: {topology.kubernetes.io/rack: r2}}
  localAs: 65001
- match: {labels: {twintor.io/steer: away}}
  defaults: {communities: [65000:7]}
";

const RACK: &str = "topology.kubernetes.io/rack";

/// The switches take node2 for a speaker of AS 65001, as those of its rack would.
fn expect_other_as(world: &World) {
    for (tor, name) in TORS.iter().enumerate() {
        let peer = NODE2.peer(tor, "");
        let commands = [
            "configure terminal",
            "router bgp 65030",
            &format!("no neighbor {peer}"),
            &format!("neighbor {peer} remote-as 65001"),
            &format!("neighbor {peer} timers connect 2"),
            "address-family ipv4 unicast",
            &format!("neighbor {peer} activate"),
        ];
        Frr::of(&world.lab, name).vtysh_all(&commands).unwrap();
    }
}

fn node_object(name: &str, rack: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {RACK: rack}}})
}

#[test]
fn one_file_serves_racks_with_their_own_as_numbers_by_the_labels_of_the_nodes() {
    let world = World::without_agents("dual-tor", BOTH);
    expect_other_as(&world);
    world
        .cluster
        .create(&objects::subnet("ovn-default", "10.16.0.0/16", None))
        .unwrap();
    world
        .cluster
        .create(&objects::pod("web", "node1", "10.16.0.10", Some("true")))
        .unwrap();
    let file = world.lab.dir().join("config.yaml");
    fs::write(&file, FILE).unwrap();
    let kubeconfig = world.cluster.kubeconfig(TWINTOR).unwrap();
    for node in BOTH {
        let mut args = vec![
            "run".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--config={}", file.display()),
        ];
        args.extend(node.args(false));
        twintor::start(&world.lab, node.name, args).unwrap();
    }

    // With the AS number of another rack it would be refused at best, so nothing is tried before the labels are known.
    for node in BOTH {
        world.wait_log(
            *node,
            "no session is started before the labels of the node are known",
        );
    }
    for node in BOTH {
        assert_eq!(updates(&world.lab, *node), [0, 0]);
    }
    world.cluster.create(&node_object("node1", "r1")).unwrap();
    world.cluster.create(&node_object("node2", "r2")).unwrap();
    world.exact(&[("10.16.0.10/32", BOTH)]);
    let paths = Frr::of(&world.lab, "tor1").bgp_paths("10.16.0.10/32").unwrap();
    let mut as_paths: Vec<_> = paths.iter().map(|path| path.as_path.as_str()).collect();
    as_paths.sort_unstable();
    assert_eq!(as_paths, ["65000", "65001"]);

    // A label that changes is a reload: soft here, and nobody loses a session.
    let before = sessions(&world.lab, BOTH);
    world
        .cluster
        .kubectl(&["label", "node", "node1", "twintor.io/steer=away"])
        .unwrap();
    let tor1 = Frr::of(&world.lab, "tor1");
    wait::until_true("tor1 sees the community of node1 alone", PATIENCE, || {
        let answer = tor1.json("show bgp ipv4 unicast 10.16.0.10/32 json")?;
        let paths = answer["paths"].as_array().cloned().unwrap_or_default();
        let marked = paths
            .iter()
            .filter(|path| path["community"]["string"] == "65000:7");
        let peers: Vec<_> = marked.map(|path| path["peer"]["peerId"].clone()).collect();
        Ok(peers == [json!(NODE1.peer(0, ""))])
    })
    .unwrap();
    assert_same_sessions(&world.lab, BOTH, &before);

    // A Node that is gone takes nothing away.
    world.cluster.delete("Node", "", "node2").unwrap();
    world.wait_log(NODE2, "there is no Node node2");
    world.exact(&[("10.16.0.10/32", BOTH)]);
    assert_same_sessions(&world.lab, BOTH, &before);
}
