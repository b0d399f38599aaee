//! The incremental index against a model that knows no increments: it holds the objects as they are and computes
//! the desired set from scratch after each step.

use super::tests::*;
use super::*;
use crate::objects::{EndpointSlice, Pod, SERVICE_LABEL, Service, Subnet};
use ipnet::Ipv4Net;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

#[derive(Default)]
struct Model {
    pods: BTreeMap<ObjectKey, Pod>,
    subnets: BTreeMap<String, Subnet>,
    services: BTreeMap<ObjectKey, Service>,
    slices: BTreeMap<ObjectKey, EndpointSlice>,
    policy: Policy,
}

impl Model {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Upsert(object) => match &**object {
                Object::Pod(pod) => {
                    self.pods.insert(object.key(), pod.clone());
                }
                Object::Subnet(subnet) => {
                    self.subnets.insert(subnet.metadata.name.clone(), subnet.clone());
                }
                Object::Service(service) => {
                    self.services.insert(object.key(), service.clone());
                }
                Object::EndpointSlice(slice) => {
                    self.slices.insert(object.key(), slice.clone());
                }
                Object::IptablesEip(_) | Object::VpcNatGateway(_) => {}
            },
            Event::Keep(_) => {}
            Event::Delete(key) => {
                self.pods.remove(key);
                self.services.remove(key);
                self.slices.remove(key);
                if key.kind == Kind::Subnet {
                    self.subnets.remove(&*key.name);
                }
            }
        }
    }

    fn desired(&self) -> BTreeSet<String> {
        let mut desired = BTreeSet::new();
        let everywhere = |word: &str| ["true", "yes", "cluster"].contains(&word);
        for service in self.services.values() {
            let word = word(&service.metadata);
            let gated = self.policy.services.require_ready_endpoints;
            let announced = match (everywhere(word), word == "local", gated) {
                (true, _, false) => true,
                (true, _, true) => self.answers(service, |_| true),
                (false, true, true) => self.answers(service, |node| node == NODE),
                (false, _, _) => false,
            };
            if announced && self.policy.services.cluster_ips {
                desired.extend(service.spec.cluster_ips.iter().map(|ip| format!("{ip}/32")));
            }
            if announced && self.policy.services.external_ips {
                desired.extend(service.spec.external_ips.iter().map(|ip| format!("{ip}/32")));
            }
        }
        for subnet in self.subnets.values().filter(|subnet| is_ready(subnet)) {
            if everywhere(word(&subnet.metadata)) {
                desired.insert(subnet.spec.cidr_block.clone());
            }
        }
        for pod in self.pods.values().filter(|pod| pod.status.phase != "Succeeded") {
            if self.policy.pods.skip_terminating && pod.metadata.is_terminating {
                continue;
            }
            for provider in ["ovn", "net1.default.ovn"] {
                let annotation = |end: &str| {
                    let key = format!("{provider}.kubernetes.io/{end}");
                    pod.metadata.annotations.get(&key).map(str::to_owned)
                };
                let (Some(ips), Some(name)) = (annotation("ip_address"), annotation("logical_switch")) else {
                    continue;
                };
                let Some(subnet) = self.subnets.get(&name).filter(|subnet| is_ready(subnet)) else {
                    continue;
                };
                let own = word(&pod.metadata);
                let word = if own.is_empty() {
                    word(&subnet.metadata)
                } else {
                    own
                };
                if everywhere(word) || (word == "local" && pod.spec.node_name == NODE) {
                    let hosts = ips.split(',');
                    let shared = everywhere(word);
                    desired.extend(
                        hosts.filter_map(|ip| self.route(ip.parse().expect("an address"), shared, subnet)),
                    );
                }
            }
        }
        desired
    }

    /// What an address of a pod becomes.
    fn route(&self, host: Ipv4Addr, shared: bool, subnet: &Subnet) -> Option<String> {
        let cidr: Ipv4Net = subnet.spec.cidr_block.parse().expect("a CIDR");
        let announces_cidr = ["true", "yes", "cluster"].contains(&word(&subnet.metadata));
        if shared && announces_cidr && self.policy.suppress_covered_host_routes && cidr.contains(&host) {
            return None;
        }
        let block = self
            .policy
            .aggregate
            .ipv4
            .map(|length| Ipv4Net::new(host, length).expect("a length").trunc());
        Some(match block {
            Some(block) if shared && cidr.contains(&block) => block.to_string(),
            _ => format!("{host}/32"),
        })
    }

    fn answers(&self, service: &Service, place: impl Fn(&str) -> bool) -> bool {
        let name = service.metadata.name.as_str();
        let slices = self
            .slices
            .values()
            .filter(|slice| slice.metadata.labels.get(SERVICE_LABEL) == Some(name));
        let endpoints: Vec<_> = slices.flat_map(|slice| &slice.endpoints).collect();
        let any_ready = endpoints
            .iter()
            .any(|endpoint| endpoint.conditions.ready == Some(true));
        endpoints.iter().any(|endpoint| {
            let takes = match any_ready {
                true => endpoint.conditions.ready == Some(true),
                false => endpoint.conditions.terminating == Some(true),
            };
            takes && place(&endpoint.node_name)
        })
    }
}

fn word(meta: &crate::objects::Meta) -> &str {
    meta.annotations.get(BGP).unwrap_or_default()
}

const BGP: &str = "ovn.kubernetes.io/bgp";

fn is_ready(subnet: &Subnet) -> bool {
    subnet
        .status
        .as_ref()
        .is_some_and(|status| status.conditions[1].status == "True")
}

fn word_strategy() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![
        None,
        None,
        Some("true"),
        Some("yes"),
        Some("cluster"),
        Some("local"),
        Some("false"),
        Some("huh"),
    ])
}

fn subnet_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["s0", "s1", "s2"])
}

/// Few addresses, so that objects share them all the time; a subnet may be one of them as a /32.
fn addresses() -> impl Strategy<Value = String> {
    prop::collection::vec(0..6_u8, 1..4).prop_map(|hosts| {
        let hosts: Vec<_> = hosts.iter().map(|host| format!("10.0.0.{host}")).collect();
        hosts.join(",")
    })
}

fn pod_event() -> impl Strategy<Value = Event> {
    let networks = (
        addresses(),
        subnet_name(),
        prop::option::of((addresses(), subnet_name())),
    );
    (
        0..4_u8,
        word_strategy(),
        networks,
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.3),
    )
        .prop_map(|(name, word, (ips, net, second), here, dead, terminating)| {
            let mut networks = vec![("ovn", net, ips.as_str())];
            if let Some((ips, net)) = &second {
                networks.push(("net1.default.ovn", net, ips));
            }
            let mut pod = pod(&format!("p{name}"), word, &networks);
            if !here {
                pod.spec.node_name = "elsewhere".to_owned();
            }
            pod.metadata.is_terminating = terminating;
            if dead {
                pod.status.phase = "Succeeded".to_owned();
                pod.spec.restart_policy = "Never".to_owned();
            }
            up(pod)
        })
}

fn event() -> impl Strategy<Value = Event> {
    let cidrs = prop::sample::select(vec!["10.0.0.0/24", "10.0.0.2/32", "10.0.0.3/32"]);
    prop_oneof![
        4 => pod_event(),
        3 => (subnet_name(), word_strategy(), cidrs, prop::bool::weighted(0.8)).prop_map(|(name, word, cidr, is_ready)| {
            let mut subnet = subnet(name, word, cidr);
            subnet.status = Some(ready(if is_ready { "True" } else { "False" }));
            up(subnet)
        }),
        2 => (0..2_u8, word_strategy(), 0..6_u8, 0..6_u8).prop_map(|(name, word, host, external)| {
            let mut service = service(&format!("v{name}"), word, &[&format!("10.0.0.{host}")]);
            service.spec.external_ips = vec![format!("10.0.0.{external}")];
            up(service)
        }),
        2 => (0..3_u8, 0..2_u8, endpoints()).prop_map(|(name, service, endpoints)| {
            up(slice(&format!("e{name}"), &format!("v{service}"), &endpoints))
        }),
        1 => (0..3_u8).prop_map(|name| Event::Delete(ObjectKey::new(Kind::EndpointSlice, "", &format!("e{name}")))),
        1 => (0..4_u8).prop_map(|name| Event::Delete(pod_key(&format!("p{name}")))),
        1 => subnet_name().prop_map(|name| Event::Delete(subnet_key(name))),
        1 => (0..4_u8).prop_map(|name| Event::Keep(pod_key(&format!("p{name}")))),
        1 => (0..2_u8).prop_map(|name| Event::Delete(ObjectKey::new(Kind::Service, "", &format!("v{name}")))),
    ]
}

fn endpoints() -> impl Strategy<Value = Vec<(&'static str, bool, bool)>> {
    let node = prop::sample::select(vec![NODE, "elsewhere", ""]);
    prop::collection::vec((node, any::<bool>(), any::<bool>()), 0..3)
}

/// The incumbent's in one case of four.
fn policy() -> impl Strategy<Value = Policy> {
    let any = (
        any::<[bool; 5]>(),
        prop::sample::select(vec![None, Some(24), Some(30), Some(31)]),
    );
    let any = any.prop_map(|([external, gated, terminating, suppress, cluster], ipv4)| {
        let mut policy = Policy::from_flag(cluster);
        policy.services.external_ips = external;
        policy.services.require_ready_endpoints = gated;
        policy.pods.skip_terminating = terminating;
        policy.suppress_covered_host_routes = suppress;
        policy.aggregate.ipv4 = ipv4;
        policy
    });
    prop_oneof![1 => Just(Policy::from_flag(true)), 3 => any]
}

fn index_and_model(policy: Policy) -> (Index, Model) {
    let index = Index::new(IndexConfig { policy, ..config() });
    let model = Model {
        policy,
        ..Model::default()
    };
    (index, model)
}

/// Applies changes to a set as a switch would, and insists that each says something new.
fn follow(held: &mut BTreeSet<String>, changes: &[Change]) {
    let distinct: BTreeSet<_> = changes.iter().map(|change| change.prefix).collect();
    assert_eq!(
        distinct.len(),
        changes.len(),
        "a prefix changed twice: {changes:?}"
    );
    for change in changes {
        let prefix = change.prefix.to_string();
        let news = if change.announced {
            held.insert(prefix)
        } else {
            held.remove(&prefix)
        };
        assert!(news, "{change:?} is no news");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn the_index_equals_a_recomputation(policy in policy(), batches in prop::collection::vec(prop::collection::vec(event(), 1..4), 1..30)) {
        let (mut index, mut model) = index_and_model(policy);
        let mut held = BTreeSet::new();
        for batch in batches {
            for event in &batch {
                model.apply(event);
            }
            let changes = match batch.len() {
                1 => batch.into_iter().flat_map(|event| index.apply(event)).collect(),
                _ => index.apply_all(batch),
            };
            follow(&mut held, &changes);
            let desired = model.desired();
            prop_assert_eq!(&held, &desired);
            prop_assert_eq!(index.announced().map(|prefix| prefix.to_string()).collect::<BTreeSet<_>>(), desired);
        }
        for prefix in index.announced().collect::<Vec<_>>() {
            prop_assert!(!index.explain(&prefix).is_empty(), "{} has no reason", prefix);
        }
    }

    #[test]
    fn a_resync_equals_a_recomputation(policy in policy(), before in prop::collection::vec(event(), 0..30), after in prop::collection::vec(pod_event(), 0..6)) {
        let (mut index, mut model) = index_and_model(policy);
        let mut held = BTreeSet::new();
        for event in before {
            model.apply(&event);
            follow(&mut held, &index.apply(event));
        }
        model.pods.clear();
        index.begin_resync(Kind::Pod);
        for event in after {
            model.apply(&event);
            follow(&mut held, &index.apply(event));
        }
        follow(&mut held, &index.complete_resync(Kind::Pod));
        prop_assert_eq!(held, model.desired());
    }

    #[test]
    fn deleting_everything_leaves_nothing_behind(policy in policy(), events in prop::collection::vec(event(), 0..40)) {
        let (mut index, _) = index_and_model(policy);
        index.apply_all(events);
        for kind in Kind::ALL {
            index.begin_resync(kind);
            index.complete_resync(kind);
        }
        prop_assert!(index.is_empty());
        prop_assert_eq!(index.problems().count(), 0);
        prop_assert!(index.ids.is_empty() && index.slots.iter().all(Option::is_none));
        prop_assert!(index.subnets.is_empty() && index.endpoints.is_empty() && index.problems.is_empty());
    }
}
