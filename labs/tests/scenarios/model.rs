//! Random changes against a model that fits on a page.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use fastrand::Rng;
use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::manifests::{Manifests, Pod};
use lab::wait::{self, PATIENCE};

use crate::support::Agent;

const CHANGES: usize = 200;
const COMPARE_EVERY: usize = 25;
const PODS: usize = 12;
const POLICIES: [Option<&str>; 7] = [
    None,
    Some("true"),
    Some("cluster"),
    Some("yes"),
    Some("local"),
    Some("false"),
    Some(""),
];

/// What the cluster holds.
#[derive(Debug, Default)]
struct Model {
    /// The subnet's policy, if the subnet is there.
    subnet: Option<Option<&'static str>>,
    pods: BTreeMap<usize, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    addresses: Vec<String>,
    node: &'static str,
    policy: Option<&'static str>,
}

impl Model {
    /// What node1 should announce.
    fn announced(&self) -> BTreeSet<String> {
        let Some(subnet) = self.subnet else {
            return BTreeSet::new();
        };
        let mut prefixes = BTreeSet::new();
        if matches!(subnet, Some("true" | "cluster" | "yes")) {
            prefixes.insert("10.16.0.0/16".to_owned());
        }
        for pod in self.pods.values() {
            let policy = pod.policy.filter(|policy| !policy.is_empty()).or(subnet);
            let wanted = match policy {
                Some("true" | "cluster" | "yes") => true,
                Some("local") => pod.node == "node1",
                Some(_) | None => false,
            };
            if wanted {
                prefixes.extend(pod.addresses.iter().map(|address| format!("{address}/32")));
            }
        }
        prefixes
    }

    /// One random change, made in the model and in the directory.
    fn change(&mut self, rng: &mut Rng, manifests: &Manifests) {
        let number = rng.usize(..PODS);
        match rng.u8(..20) {
            0 => {
                let policy = *rng.choice(&POLICIES[..5]).unwrap();
                self.subnet = Some(policy);
                manifests.subnet("ovn-default", "10.16.0.0/16", policy).unwrap();
            }
            1 if self.subnet.take().is_some() => manifests.remove("ovn-default").unwrap(),
            2..=5 if self.pods.remove(&number).is_some() => {
                manifests.remove(&format!("pod{number}")).unwrap()
            }
            _ => {
                let entry = Entry {
                    // Few addresses, so that pods often share one.
                    addresses: (0..rng.usize(1..4))
                        .map(|_| format!("10.16.0.{}", rng.u8(10..30)))
                        .collect(),
                    node: rng.choice(["node1", "node2"]).unwrap(),
                    policy: rng.choice(POLICIES).unwrap(),
                };
                let (name, addresses) = (format!("pod{number}"), entry.addresses.join(","));
                let pod = Pod {
                    name: &name,
                    addresses: &addresses,
                    node: entry.node,
                    policy: entry.policy,
                };
                manifests.pod(&pod).unwrap();
                self.pods.insert(number, entry);
            }
        }
    }
}

#[test]
fn both_switches_hold_what_the_model_says_after_random_changes() {
    let seed = fastrand::u64(..);
    // Printed when the test fails: this is how to see the same changes again.
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let manifests = Agent::new(&["10.1.1.1", "10.1.2.1"]).start(&lab);
    let mut model = Model {
        subnet: Some(None),
        ..Model::default()
    };
    let switches = [
        (Frr::of(&lab, "tor1"), "10.1.1.2"),
        (Frr::of(&lab, "tor2"), "10.1.2.2"),
    ];
    for (switch, peer) in &switches {
        switch.wait_established(peer).unwrap();
    }
    let before = switches
        .each_ref()
        .map(|(switch, peer)| switch.session(peer).unwrap().established);

    let mut compared = 0;
    for number in 1..=CHANGES {
        model.change(&mut rng, &manifests);
        if number % COMPARE_EVERY != 0 {
            continue;
        }
        let wanted = model.announced();
        compared += wanted.len();
        for (switch, peer) in &switches {
            wait::until_true("the switch holds what the model says", PATIENCE, || {
                let held = switch.bgp_prefixes("ipv4")?.into_iter().collect::<BTreeSet<_>>();
                ensure!(
                    held == wanted,
                    "{peer} after change {number}: has {held:?}, wanted {wanted:?}"
                );
                Ok(true)
            })
            .unwrap();
        }
    }
    assert!(compared > 0, "the changes never asked for an announcement");
    let after = switches
        .each_ref()
        .map(|(switch, peer)| switch.session(peer).unwrap().established);
    assert_eq!(after, before, "a session was reset");
}
