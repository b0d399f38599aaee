//! An agent that reads a real API server, seen from the switches.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests: what cannot go on has failed"
)]

use std::time::Duration;

use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::daemons::twintor;
use lab::kube::{Cluster, TWINTOR, objects};
use lab::manifests::BGP;

const WEB: &str = "10.16.0.10/32";
const OTHER: &str = "10.16.0.11/32";

/// What the agent may do, and nothing else: no get, no write.
const ROLE: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: list-and-watch}
rules:
- {apiGroups: [""], resources: [pods, services], verbs: [list, watch]}
- {apiGroups: [kubeovn.io], resources: [subnets, iptables-eips], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: list-and-watch}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: list-and-watch}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccount:kube-system:twintor"}
"#;

/// A rack, a cluster with a subnet and two pods, and an agent on node1 that reads it.
struct World {
    lab: Lab,
    cluster: Cluster,
}

impl World {
    fn up() -> Self {
        let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
        let cluster = Cluster::start().unwrap();
        cluster.wire(&lab.netns("node1")).unwrap();
        cluster.apply(ROLE).unwrap();
        let subnet = objects::subnet("ovn-default", "10.16.0.0/16", None);
        cluster.create(&subnet).unwrap();
        for (name, address) in [("web", "10.16.0.10"), ("other", "10.16.0.11")] {
            cluster
                .create(&objects::pod(name, "node1", address, None))
                .unwrap();
        }
        let kubeconfig = cluster.kubeconfig(TWINTOR).unwrap();
        let args = [
            "run",
            &format!("--kubeconfig={}", kubeconfig.display()),
            "--node-name=node1",
            "--cluster-as=65000",
            "--neighbor-as=65030",
            "--router-id=10.1.1.2",
            "--neighbor-address=10.1.1.1,10.1.2.1",
            "--holdtime=90s",
            "-v2",
        ];
        let binary = twintor::binary().unwrap();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        lab.start("node1", twintor::DAEMON, &binary.to_string_lossy(), args)
            .unwrap();
        Self { lab, cluster }
    }

    /// Both switches come to have the route, each over its own link.
    fn both_have(&self, prefix: &str) {
        for (tor, hop) in [("tor1", "10.1.1.2"), ("tor2", "10.1.2.2")] {
            let tor = Frr::of(&self.lab, tor);
            tor.wait_installed(prefix, &[hop]).unwrap();
        }
    }

    fn both_lose(&self, prefix: &str) {
        for tor in ["tor1", "tor2"] {
            let tor = Frr::of(&self.lab, tor);
            tor.wait_installed(prefix, &[]).unwrap();
        }
    }

    /// Whether both switches have the route at this moment.
    fn have_now(&self, prefix: &str) -> bool {
        ["tor1", "tor2"]
            .iter()
            .all(|tor| !Frr::of(&self.lab, tor).installed(prefix).unwrap().is_empty())
    }

    /// Cuts the node off the API.
    fn cut(&self) {
        self.cluster.cut(&self.lab.netns("node1")).unwrap();
    }

    fn heal(&self) {
        self.cluster.heal(&self.lab.netns("node1")).unwrap();
    }

    fn mark(&self, pod: &str, value: &str) {
        let mark = format!("{BGP}{value}");
        self.cluster
            .kubectl(&["annotate", "--overwrite", "pod", pod, &mark])
            .unwrap();
    }
}

#[test]
fn kubectl_decides_what_the_switches_have() {
    let world = World::up();
    world.mark("web", "=true");
    world.both_have(WEB);
    world.mark("other", "=local");
    world.both_have(OTHER);
    world.mark("web", "-");
    world.both_lose(WEB);
    world.cluster.delete("Pod", "default", "other").unwrap();
    world.both_lose(OTHER);
}

#[test]
fn an_outage_of_the_api_withdraws_nothing_and_the_end_of_it_what_is_gone() {
    let world = World::up();
    world.mark("web", "=true");
    world.mark("other", "=true");
    world.both_have(WEB);
    world.both_have(OTHER);
    let sessions = |tor: &str, peer: &str| Frr::of(&world.lab, tor).session(peer).unwrap();
    let before = [sessions("tor1", "10.1.1.2"), sessions("tor2", "10.1.2.2")];

    world.cluster.kill_api().unwrap();
    // Longer than any wait of the client, and each moment counts.
    let until = std::time::Instant::now() + Duration::from_secs(12);
    while std::time::Instant::now() < until {
        assert!(world.have_now(WEB) && world.have_now(OTHER));
        std::thread::sleep(Duration::from_millis(200));
    }

    // The agent must not see it go.
    world.cut();
    world.cluster.start_api().unwrap();
    world.cluster.delete("Pod", "default", "other").unwrap();
    world.heal();
    world.both_lose(OTHER);
    assert!(world.have_now(WEB));
    let after = [sessions("tor1", "10.1.1.2"), sessions("tor2", "10.1.2.2")];
    for (after, before) in after.iter().zip(&before) {
        assert_eq!(after.established, before.established);
        // FRR tells whole seconds of uptime, so the moment derived from it may differ by one.
        assert!(
            after.since.abs_diff(before.since) <= 1,
            "the session is another one"
        );
    }
}

#[test]
fn a_store_that_comes_back_empty_is_not_believed_at_once() {
    let world = World::up();
    // Enough of them for an empty answer to be implausible.
    for number in 20..32 {
        let (name, address) = (format!("pod{number}"), format!("10.16.0.{number}"));
        let pod = objects::pod(&name, "node1", &address, Some("true"));
        world.cluster.create(&pod).unwrap();
    }
    world.both_have("10.16.0.31/32");
    world.cluster.kill_api().unwrap();
    world.cut();
    world.cluster.start_api().unwrap();
    world.cluster.delete("Subnet", "", "ovn-default").unwrap();
    world.heal();
    let doubt = || {
        let log = world.lab.log("node1", twintor::DAEMON);
        Ok(log.contains("nothing is withdrawn until a second list"))
    };
    lab::wait::until_true("the agent doubts", lab::wait::PATIENCE, doubt).unwrap();
    assert!(world.have_now("10.16.0.20/32") && world.have_now("10.16.0.31/32"));
    world.both_lose("10.16.0.31/32");
}
