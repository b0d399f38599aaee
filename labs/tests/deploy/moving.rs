//! The move of docs/migration.md, there and back, with traffic on it. gobgpd stands in for the incumbent, which is built
//! on GoBGP: same AS, same router ID, it only dials, and it says nothing when it ends.

use std::time::Instant;

use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::daemons::gobgp::Gobgp;
use lab::daemons::twintor;
use lab::manifests::{Manifests, Pod};
use lab::probe::{Echo, Probe};
use nix::sys::signal::Signal;

const WEB: &str = "10.16.0.10/32";

/// A node: its name, and its address on the link to each switch, with that of the switch.
const NODES: [(&str, [(&str, &str); 2]); 2] = [
    ("node1", [("10.1.1.2", "10.1.1.1"), ("10.1.2.2", "10.1.2.1")]),
    ("node2", [("10.2.1.2", "10.2.1.1"), ("10.2.2.2", "10.2.2.1")]),
];

struct World {
    lab: Lab,
    manifests: Manifests,
}

impl World {
    fn up() -> Self {
        let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
        let manifests = Manifests::at(twintor::manifests(&lab)).unwrap();
        let world = Self { lab, manifests };
        let web = Pod {
            name: "web",
            addresses: "10.16.0.10",
            node: "node1",
            policy: Some("true"),
        };
        world
            .manifests
            .subnet("ovn-default", "10.16.0.0/16", None)
            .unwrap();
        world.manifests.pod(&web).unwrap();
        world
    }

    fn start_incumbent(&self, node: usize) {
        let (name, links) = NODES[node];
        let mut config = format!(
            "[global.config]\n as = 65000\n router-id = \"{}\"\n port = -1\n",
            links[0].0
        );
        for (_, switch) in links {
            config.push_str(&format!(
                "[[neighbors]]\n[neighbors.config]\n neighbor-address = \"{switch}\"\n peer-as = 65030\n"
            ));
        }
        let gobgp = Gobgp::start_with(&self.lab, name, &config).unwrap();
        gobgp.cli(&format!("global rib add {WEB} origin igp")).unwrap();
    }

    fn start_twintor(&self, node: usize) {
        let (name, links) = NODES[node];
        let args = vec![
            "run".to_owned(),
            format!("--manifests={}", self.manifests.dir().display()),
            format!("--node-name={name}"),
            "--cluster-as=65000".to_owned(),
            "--neighbor-as=65030".to_owned(),
            format!("--neighbor-address={},{}", links[0].1, links[1].1),
            format!("--router-id={}", links[0].0),
        ];
        twintor::start(&self.lab, name, args).unwrap();
    }

    /// Waits until the switches have the pod through these nodes and no others.
    fn through(&self, nodes: &[usize]) {
        for (side, tor) in ["tor1", "tor2"].into_iter().enumerate() {
            let hops = nodes.iter().map(|node| NODES[*node].1[side].0);
            let tor = Frr::of(&self.lab, tor);
            tor.wait_installed(WEB, &hops.collect::<Vec<_>>()).unwrap();
        }
    }

    /// Stops a node's speaker, waits for the switches to have seen it, and starts the other one.
    fn replace(&self, node: usize, speaker: &str, start: impl Fn(usize)) {
        self.lab.stop(NODES[node].0, speaker, Signal::SIGTERM).unwrap();
        self.through(&[1 - node]);
        start(node);
        self.through(&[0, 1]);
    }
}

#[test]
fn node_by_node_nothing_is_lost_there_and_back() {
    let world = World::up();
    for node in 0..2 {
        world.start_incumbent(node);
    }
    world.through(&[0, 1]);
    let (client, pod) = ("10.99.0.1".parse().unwrap(), "10.16.0.10".parse().unwrap());
    let _echo = Echo::start(&world.lab.netns("pod1"), pod).unwrap();
    let probe = Probe::start(&world.lab.netns("client"), client, pod).unwrap();

    for node in [1, 0] {
        world.replace(node, "gobgpd", |node| world.start_twintor(node));
    }
    for node in [1, 0] {
        world.replace(node, twintor::DAEMON, |node| world.start_incumbent(node));
    }

    let moved = Instant::now();
    for (name, _) in NODES {
        world.lab.stop(name, "gobgpd", Signal::SIGTERM).unwrap();
    }
    world.through(&[]);
    let sent = probe.sent();
    let enough = || Ok(probe.sent() > sent + 100);
    lab::wait::until_true("packets go on", lab::wait::PATIENCE, enough).unwrap();
    let report = probe.finish().unwrap();
    let before = report.sent() - report.sent_since(moved);
    let lost = report.lost() - report.lost_since(moved);
    assert_eq!(lost, 0, "of {before} packets while moving");
    assert!(before > 1000, "{before}");
    assert!(
        report.lost_since(moved) > 0,
        "without any speaker packets are lost"
    );
}
