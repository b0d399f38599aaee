//! What the scenarios share.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::{Frr, Session};
use lab::daemons::twintor;
use lab::kube::{Cluster, TWINTOR};
use lab::wait::{self, PATIENCE};

pub(crate) const TORS: [&str; 2] = ["tor1", "tor2"];

/// A node of the dual topologies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    /// The switches' addresses, and the node's on the same links.
    neighbors: [&'static str; 2],
    own: [&'static str; 2],
    neighbors6: [&'static str; 2],
    own6: [&'static str; 2],
}

pub(crate) const NODE1: Node = Node {
    name: "node1",
    neighbors: ["10.1.1.1", "10.1.2.1"],
    own: ["10.1.1.2", "10.1.2.2"],
    neighbors6: ["fd00:1:1::1", "fd00:1:2::1"],
    own6: ["fd00:1:1::2", "fd00:1:2::2"],
};

pub(crate) const NODE2: Node = Node {
    name: "node2",
    neighbors: ["10.2.1.1", "10.2.2.1"],
    own: ["10.2.1.2", "10.2.2.2"],
    neighbors6: ["fd00:2:1::1", "fd00:2:2::1"],
    own6: ["fd00:2:1::2", "fd00:2:2::2"],
};

pub(crate) const BOTH: &[Node] = &[NODE1, NODE2];

/// A path as a switch has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path {
    pub(crate) prefix: String,
    pub(crate) peer: String,
    pub(crate) next_hop: String,
}

/// All the paths of each switch.
pub(crate) type Tables = [BTreeSet<Path>; 2];

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} via {}", self.prefix, self.peer, self.next_hop)
    }
}

impl Node {
    /// The arguments of an agent of this node after those that say where its objects come from.
    pub(crate) fn args(&self, dual: bool) -> Vec<String> {
        let mut args = vec![
            format!("--node-name={}", self.name),
            "--cluster-as=65000".to_owned(),
            "--neighbor-as=65030".to_owned(),
            format!("--router-id={}", self.own[0]),
            format!("--neighbor-address={}", self.neighbors.join(",")),
            "--holdtime=90s".to_owned(),
            "-v2".to_owned(),
        ];
        if dual {
            args.push(format!("--neighbor-ipv6-address={}", self.neighbors6.join(",")));
        }
        args
    }

    /// How a switch names it in the family of a prefix.
    pub(crate) fn peer(&self, tor: usize, prefix: &str) -> &'static str {
        if prefix.contains(':') {
            self.own6[tor]
        } else {
            self.own[tor]
        }
    }
}

/// The tables with these prefixes, each from these nodes, with the next hop of its own link.
pub(crate) fn tables(wanted: &[(&str, &[Node])]) -> Tables {
    [0, 1].map(|tor| {
        let paths = wanted.iter().flat_map(|(prefix, nodes)| {
            nodes.iter().map(move |node| Path {
                prefix: (*prefix).to_owned(),
                peer: node.peer(tor, prefix).to_owned(),
                next_hop: node.peer(tor, prefix).to_owned(),
            })
        });
        paths.collect()
    })
}

/// What the switches of a lab have at this moment. A path that a switch cannot use is an error.
pub(crate) fn tables_now(lab: &Lab) -> Result<Tables> {
    let [one, other] = TORS.map(|tor| table_now(lab, tor));
    Ok([one?, other?])
}

fn table_now(lab: &Lab, tor: &str) -> Result<BTreeSet<Path>> {
    let frr = Frr::of(lab, tor);
    let mut paths = BTreeSet::new();
    let families: &[&str] = if is_dual(lab) {
        &["ipv4", "ipv6"]
    } else {
        &["ipv4"]
    };
    for family in families {
        let answer = frr.json(&format!("show bgp {family} unicast json"))?;
        let all = answer["routes"].as_object().into_iter().flatten();
        for (prefix, path) in all.flat_map(|(prefix, paths)| {
            let paths = paths.as_array().into_iter().flatten();
            // bgpd shows a withdrawn path until it has cleaned up.
            let present = paths.filter(|path| path["removed"] != true);
            present.map(move |path| (prefix, path))
        }) {
            ensure!(path["valid"] == true, "{tor} cannot use {path}");
            let hops = path["nexthops"].as_array().into_iter().flatten();
            let hop = hops
                .filter(|hop| hop["scope"] != "link-local")
                .find_map(|hop| hop["ip"].as_str());
            paths.insert(Path {
                prefix: prefix.clone(),
                peer: path["peerId"].as_str().context("a path without peer")?.to_owned(),
                next_hop: hop.context("a path without next hop")?.to_owned(),
            });
        }
    }
    Ok(paths)
}

/// Waits until the switches have exactly this.
pub(crate) fn wait_tables(lab: &Lab, wanted: &Tables) {
    wait_tables_for(lab, wanted, PATIENCE);
}

pub(crate) fn wait_tables_for(lab: &Lab, wanted: &Tables, patience: Duration) {
    wait::until_true("the switches have exactly what is asked for", patience, || {
        let now = tables_now(lab)?;
        for ((tor, now), wanted) in TORS.iter().zip(&now).zip(wanted) {
            let list = |paths: Vec<&Path>| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
            let missing = list(wanted.difference(now).collect());
            let extra = list(now.difference(wanted).collect());
            ensure!(
                missing.is_empty() && extra.is_empty(),
                "{tor}: missing {missing:?}, extra {extra:?}"
            );
        }
        Ok(true)
    })
    .unwrap();
}

/// Looks at the switches for some time: at each moment they have everything of `least`, and nothing but what is in `most`.
pub(crate) fn hold(lab: &Lab, time: Duration, least: &Tables, most: &Tables) {
    let end = Instant::now() + time;
    loop {
        let now = tables_now(lab).unwrap();
        for ((tor, now), (least, most)) in TORS.iter().zip(&now).zip(least.iter().zip(most)) {
            let lost = least.difference(now).map(ToString::to_string).collect::<Vec<_>>();
            let extra = now.difference(most).map(ToString::to_string).collect::<Vec<_>>();
            assert!(lost.is_empty(), "{tor} has lost {lost:?}");
            assert!(extra.is_empty(), "{tor} has, without being asked, {extra:?}");
        }
        if Instant::now() >= end {
            return;
        }
    }
}

/// How many UPDATEs the switches have had from a node, End-of-RIB included.
pub(crate) fn updates(lab: &Lab, node: Node) -> [u64; 2] {
    [0, 1].map(|tor| {
        let peer = node.peer(tor, "");
        let answer = Frr::of(lab, TORS[tor])
            .json(&format!("show bgp neighbors {peer} json"))
            .unwrap();
        answer[peer]["messageStats"]["updatesRecv"].as_u64().unwrap()
    })
}

pub(crate) fn wait_established(lab: &Lab, node: Node) {
    for (tor, name) in TORS.iter().enumerate() {
        Frr::of(lab, name).wait_established(node.peer(tor, "")).unwrap();
    }
}

/// The IPv4 sessions of some nodes with both switches.
pub(crate) fn sessions(lab: &Lab, nodes: &[Node]) -> Vec<Session> {
    let ends = nodes
        .iter()
        .flat_map(|node| [0, 1].map(|tor| (TORS[tor], node.peer(tor, ""))));
    ends.map(|(tor, peer)| Frr::of(lab, tor).session(peer).unwrap())
        .collect()
}

/// These are still the same sessions, whatever they carry.
pub(crate) fn assert_same_sessions(lab: &Lab, nodes: &[Node], before: &[Session]) {
    for (after, before) in sessions(lab, nodes).iter().zip(before) {
        let carrying = Session {
            prefixes: after.prefixes,
            ..before.clone()
        };
        assert_eq!(after.state, "Established");
        assert!(after.is_still(&carrying), "{before:?} became {after:?}");
    }
}

fn is_dual(lab: &Lab) -> bool {
    lab.file().name.ends_with("-v6")
}

/// A rack and a cluster.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) cluster: Cluster,
}

impl World {
    /// A rack without agents, and a cluster in which the shipped role is in force.
    pub(crate) fn without_agents(topology: &str, nodes: &[Node]) -> Self {
        let lab = Lab::builder(topology).without(Role::Twintor).up().unwrap();
        let cluster = Cluster::start().unwrap();
        for node in nodes {
            cluster.wire(&lab.netns(node.name)).unwrap();
        }
        cluster.apply_role().unwrap();
        Self { lab, cluster }
    }

    /// The same with an agent on each of these nodes.
    pub(crate) fn up(topology: &str, nodes: &[Node], extra: &[&str]) -> Self {
        let world = Self::without_agents(topology, nodes);
        let kubeconfig = world.cluster.kubeconfig(TWINTOR).unwrap();
        for node in nodes {
            let mut args = vec!["run".to_owned(), format!("--kubeconfig={}", kubeconfig.display())];
            args.extend(node.args(is_dual(&world.lab)));
            args.extend(extra.iter().map(|arg| (*arg).to_owned()));
            twintor::start(&world.lab, node.name, args).unwrap();
        }
        world
    }

    /// Waits until the switches have exactly these prefixes from these nodes, each with the next hop of its own link.
    pub(crate) fn exact(&self, wanted: &[(&str, &[Node])]) {
        wait_tables(&self.lab, &tables(wanted));
    }

    /// `kubectl annotate --overwrite KIND NAME KEY=VALUE` (or `KEY-`) with the key of announcements.
    pub(crate) fn annotate(&self, kind: &str, name: &str, value: &str) {
        let mark = format!("{}{value}", lab::manifests::BGP);
        self.cluster
            .kubectl(&["annotate", "--overwrite", kind, name, &mark])
            .unwrap();
    }

    pub(crate) fn wait_log(&self, node: Node, text: &str) {
        wait_log(&self.lab, node.name, text);
    }
}

pub(crate) fn wait_log(lab: &Lab, node: &str, text: &str) {
    wait::until_true(&format!("the agent says: {text}"), PATIENCE, || {
        Ok(lab.log(node, twintor::DAEMON).contains(text))
    })
    .unwrap();
}

/// Starts an agent as a container of a pod sees the world: with the account's directory where kubelet mounts it.
pub(crate) fn start_in_pod(
    lab: &Lab,
    node: &str,
    account: &std::path::Path,
    program: &std::path::Path,
    args: Vec<String>,
    env: Vec<(String, String)>,
) {
    // `ip netns exec` gives the process a mount namespace of its own.
    const MOUNT: &str = "mount -t tmpfs pod /run && mkdir -p /run/secrets/kubernetes.io/serviceaccount && \
                         mount --bind \"$0\" /run/secrets/kubernetes.io/serviceaccount && exec \"$@\"";
    let mut words = vec!["-c".to_owned(), MOUNT.to_owned()];
    words.extend([account, program].map(|path| path.to_string_lossy().into_owned()));
    words.extend(args);
    lab.start_with(node, twintor::DAEMON, "sh", words, env).unwrap();
}
