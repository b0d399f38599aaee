//! What users write wrongly: each mistake is named once, with its object and a remedy, and everything else goes on.

use lab::daemons::twintor;
use lab::kube::objects;
use serde_json::{Value, json};

use crate::support::{NODE1, World};

const GOOD: &str = "10.16.0.10/32";

fn pod(name: &str, addresses: &str, subnet: &str, policy: &str) -> Value {
    let mut pod = objects::pod(name, "node1", addresses, Some(policy));
    pod["metadata"]["annotations"]["ovn.kubernetes.io/logical_switch"] = subnet.into();
    pod
}

/// A real server takes no such address as the pod's own, but anything as an annotation.
fn odd_pod() -> Value {
    let mut pod = pod("odd", "10.16.0.300", "ovn-default", "true");
    pod["status"] = json!({ "phase": "Running" });
    pod
}

fn waiting_subnet() -> Value {
    let mut subnet = objects::subnet("waiting", "10.18.0.0/16", Some("true"));
    subnet["status"]["conditions"][0]["status"] = "False".into();
    subnet
}

#[test]
fn mistakes_are_named_and_everything_else_goes_on() {
    let world = World::up("dual-tor", &[NODE1], &["--announce-cluster-ip=true"]);
    let mistakes: [(Value, &[&str]); 8] = [
        (
            objects::subnet("typo", "10.17.0.0/16", Some("clutser")),
            &[
                "Subnet typo",
                "value \"clutser\" means nothing",
                "use true, cluster or local",
            ],
        ),
        (
            waiting_subnet(),
            &[
                "Subnet waiting",
                "is not Ready",
                "see the conditions in the status of the subnet",
            ],
        ),
        (
            objects::subnet("malformed", "10.19.0.0/33", Some("true")),
            &[
                "Subnet malformed",
                "\"10.19.0.0/33\" is no CIDR",
                "such as 10.16.0.0/16",
            ],
        ),
        (
            pod("six", "fd00:10:16::10", "ovn-default", "true"),
            &[
                "Pod default/six",
                "no peer is configured for it",
                "set --neighbor-ipv6-address",
            ],
        ),
        (
            pod("lost", "10.16.0.30", "nowhere", "true"),
            &[
                "Pod default/lost",
                "subnet nowhere does not exist",
                "create the subnet",
            ],
        ),
        (
            odd_pod(),
            &[
                "Pod default/odd",
                "\"10.16.0.300\" is no address",
                "write a plain unicast address",
            ],
        ),
        (
            pod("unsure", "10.16.0.31", "ovn-default", "maybe"),
            &["Pod default/unsure", "value \"maybe\" means nothing"],
        ),
        (
            objects::service("svc", "10.96.0.90", Some("local")),
            &["Service default/svc", "policy local is not possible", "use true"],
        ),
    ];
    let subnet = objects::subnet("ovn-default", "10.16.0.0/16", None);
    world.cluster.create(&subnet).unwrap();
    for (object, _) in &mistakes {
        world.cluster.create(object).unwrap();
    }
    let good = objects::pod("good", "node1", "10.16.0.10", Some("true"));
    world.cluster.create(&good).unwrap();

    world.exact(&[(GOOD, &[NODE1])]);
    for (object, _) in &mistakes {
        // Touched once more, to no purpose: it is not said again.
        let path = lab::kube::path_of(object).unwrap();
        let patch = json!({ "metadata": { "labels": { "touched": "yes" } } });
        world
            .cluster
            .client()
            .unwrap()
            .patch(&path, &patch)
            .unwrap()
            .ok()
            .unwrap();
    }
    world.annotate("pod", "good", "=local");
    let service = objects::service("last", "10.96.0.91", Some("true"));
    world.cluster.create(&service).unwrap();
    world.exact(&[(GOOD, &[NODE1]), ("10.96.0.91/32", &[NODE1])]);

    let log = world.lab.log("node1", twintor::DAEMON);
    for (object, words) in &mistakes {
        let lines = log
            .lines()
            .filter(|line| words.iter().all(|word| said(line, word)));
        assert_eq!(lines.count(), 1, "{words:?} for {} in {log}", object["metadata"]);
    }
}

/// Quotes within a field of the log are escaped.
fn said(line: &str, word: &str) -> bool {
    line.contains(word) || line.contains(&word.replace('"', "\\\""))
}
