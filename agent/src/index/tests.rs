use super::*;
use crate::objects::{
    BGP_ANNOTATION, Condition, Endpoint, EndpointConditions, EndpointSlice, GATEWAY_LABEL, IptablesEip,
    IptablesEipSpec, IptablesEipStatus, Marks, Meta, Pod, PodSpec, SERVICE_LABEL, Service, ServiceSpec,
    Subnet, SubnetSpec, SubnetStatus,
};

pub(super) const NODE: &str = "worker-1";

pub(super) fn config() -> IndexConfig {
    IndexConfig {
        node_name: Some(NODE.to_owned()),
        families: FamilySet::ALL,
        policy: Policy::from_flag(true),
        mode: Mode::Node,
        missing_status_is_ready: false,
    }
}

pub(super) fn gateway_config() -> IndexConfig {
    IndexConfig {
        mode: Mode::NatGateway {
            gateway_name: "gw1".to_owned(),
        },
        ..config()
    }
}

pub(super) fn meta(name: &str, bgp: Option<&str>) -> Meta {
    let mut annotations = Marks::default();
    if let Some(bgp) = bgp {
        annotations.set(BGP_ANNOTATION, bgp);
    }
    Meta {
        name: name.to_owned(),
        annotations,
        ..Meta::default()
    }
}

/// A pod on this node; each network is (provider, subnet, addresses).
pub(super) fn pod(name: &str, bgp: Option<&str>, networks: &[(&str, &str, &str)]) -> Pod {
    let mut metadata = meta(name, bgp);
    for (provider, subnet, addresses) in networks {
        let annotations = &mut metadata.annotations;
        annotations.set(format!("{provider}.kubernetes.io/ip_address"), *addresses);
        annotations.set(format!("{provider}.kubernetes.io/logical_switch"), *subnet);
    }
    let spec = PodSpec {
        node_name: NODE.to_owned(),
        ..PodSpec::default()
    };
    Pod {
        metadata,
        spec,
        ..Pod::default()
    }
}

pub(super) fn subnet(name: &str, bgp: Option<&str>, cidr: &str) -> Subnet {
    Subnet {
        metadata: meta(name, bgp),
        spec: SubnetSpec {
            cidr_block: cidr.to_owned(),
        },
        status: Some(ready("True")),
    }
}

pub(super) fn ready(status: &str) -> SubnetStatus {
    let condition = |kind: &str, status: &str| Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
    };
    SubnetStatus {
        conditions: vec![condition("Validated", "True"), condition("Ready", status)],
    }
}

pub(super) fn service(name: &str, bgp: Option<&str>, ips: &[&str]) -> Service {
    Service {
        metadata: meta(name, bgp),
        spec: ServiceSpec {
            kind: "ClusterIP".to_owned(),
            cluster_ip: ips.first().copied().unwrap_or_default().to_owned(),
            cluster_ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
            ..ServiceSpec::default()
        },
        ..Service::default()
    }
}

/// A slice of IPv4 endpoints; each is (node, ready, terminating) and serves.
pub(super) fn slice(name: &str, service: &str, endpoints: &[(&str, bool, bool)]) -> EndpointSlice {
    let mut metadata = meta(name, None);
    metadata.labels.set(SERVICE_LABEL, service);
    let endpoints = endpoints.iter().map(|(node, ready, terminating)| Endpoint {
        conditions: EndpointConditions {
            ready: Some(*ready),
            serving: Some(true),
            terminating: Some(*terminating),
        },
        node_name: (*node).to_owned(),
        ..Endpoint::default()
    });
    EndpointSlice {
        metadata,
        address_type: "IPv4".to_owned(),
        endpoints: endpoints.collect(),
    }
}

pub(super) fn eip(name: &str, bgp: Option<&str>, gateway: &str, v4: &str, v6: &str) -> IptablesEip {
    let mut metadata = meta(name, bgp);
    metadata.labels.set(GATEWAY_LABEL, gateway);
    IptablesEip {
        metadata,
        spec: IptablesEipSpec {
            v4_ip: v4.to_owned(),
            v6_ip: v6.to_owned(),
            nat_gw_dp: gateway.to_owned(),
        },
        status: Some(IptablesEipStatus { ready: true }),
    }
}

pub(super) fn up(object: impl Into<Object>) -> Event {
    Event::Upsert(Box::new(object.into()))
}

macro_rules! into_object {
    ($($kind:ident)*) => {$(
        impl From<$kind> for Object {
            fn from(object: $kind) -> Self {
                Self::$kind(object)
            }
        }
    )*};
}

into_object!(Pod Subnet Service EndpointSlice IptablesEip);

pub(super) fn shown(index: &Index) -> Vec<String> {
    index.announced().map(|prefix| prefix.to_string()).collect()
}

pub(super) fn text(changes: &[Change]) -> Vec<String> {
    let sign = |announced| if announced { '+' } else { '-' };
    let text = |change: &Change| format!("{}{}", sign(change.announced), change.prefix);
    changes.iter().map(text).collect()
}

pub(super) fn pod_key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Pod, "", name)
}

pub(super) fn subnet_key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Subnet, "", name)
}

fn index_of(events: impl IntoIterator<Item = Event>) -> Index {
    let mut index = Index::new(config());
    index.apply_all(events);
    index
}

const NET1: &str = "net1.default.ovn";

/// The table of kube-ovn's own unit tests: what is announced of one pod on this node or another.
#[test]
fn pods_on_their_networks() {
    struct Case {
        name: &'static str,
        subnets: Vec<Subnet>,
        pod: Pod,
        here: bool,
        expected: &'static [&'static str],
    }
    let default = |bgp| vec![subnet("ovn-default", bgp, "")];
    let both = |bgp| {
        vec![
            subnet("ovn-default", None, ""),
            subnet("attached", bgp, "172.17.0.0/16"),
        ]
    };
    let primary = [("ovn", "ovn-default", "10.16.0.5")];
    let attachment = [
        ("ovn", "ovn-default", "10.16.0.5"),
        (NET1, "attached", "172.17.0.5"),
    ];
    let mut dead = pod("p", Some("true"), &primary);
    dead.status.phase = "Failed".to_owned();
    dead.spec.restart_policy = "Never".to_owned();
    let cases = [
        Case {
            name: "primary, cluster by the subnet",
            subnets: default(Some("cluster")),
            pod: pod("p", None, &primary),
            here: false,
            expected: &["10.16.0.5/32"],
        },
        Case {
            name: "primary, local by the subnet, here",
            subnets: default(Some("local")),
            pod: pod("p", None, &primary),
            here: true,
            expected: &["10.16.0.5/32"],
        },
        Case {
            name: "primary, local by the subnet, elsewhere",
            subnets: default(Some("local")),
            pod: pod("p", None, &primary),
            here: false,
            expected: &[],
        },
        Case {
            name: "attachment, cluster by its subnet",
            subnets: both(Some("true")),
            pod: pod("p", None, &attachment),
            here: false,
            expected: &["172.17.0.0/16", "172.17.0.5/32"],
        },
        Case {
            name: "attachment, local by its subnet",
            subnets: both(Some("local")),
            pod: pod("p", None, &attachment),
            here: true,
            expected: &["172.17.0.5/32"],
        },
        Case {
            name: "the pod overrides the subnet",
            subnets: default(Some("cluster")),
            pod: pod("p", Some("local"), &primary),
            here: false,
            expected: &[],
        },
        Case {
            name: "the pod covers all its networks",
            subnets: both(None),
            pod: pod("p", Some("true"), &attachment),
            here: false,
            expected: &["10.16.0.5/32", "172.17.0.5/32"],
        },
        Case {
            name: "dual stack",
            subnets: default(Some("cluster")),
            pod: pod("p", None, &[("ovn", "ovn-default", "10.16.0.5, fd00:10:16::5")]),
            here: false,
            expected: &["10.16.0.5/32", "fd00:10:16::5/128"],
        },
        Case {
            name: "a subnet without annotations, the documented first example",
            subnets: default(None),
            pod: pod("p", Some("true"), &primary),
            here: false,
            expected: &["10.16.0.5/32"],
        },
        Case {
            name: "dead",
            subnets: default(Some("cluster")),
            pod: dead,
            here: true,
            expected: &[],
        },
        Case {
            name: "no annotations",
            subnets: default(Some("cluster")),
            pod: pod("p", None, &[]),
            here: true,
            expected: &[],
        },
    ];
    for mut case in cases {
        if !case.here {
            case.pod.spec.node_name = "worker-2".to_owned();
        }
        let mut forward: Vec<_> = case.subnets.into_iter().map(up).collect();
        forward.push(up(case.pod));
        let backward = index_of(forward.iter().rev().cloned());
        assert_eq!(shown(&index_of(forward)), case.expected, "{}", case.name);
        assert_eq!(
            shown(&backward),
            case.expected,
            "{}, pod before subnet",
            case.name
        );
    }
}

/// Every pod value on every subnet value, on this node and on another.
#[test]
fn precedence_of_pod_over_subnet() {
    let values = [
        None,
        Some(""),
        Some("true"),
        Some("yes"),
        Some("cluster"),
        Some("local"),
        Some("false"),
        Some("nonsense"),
    ];
    for pod_value in values {
        for subnet_value in values {
            for here in [true, false] {
                let mut pod = pod("p", pod_value, &[("ovn", "s", "10.0.0.5")]);
                if !here {
                    pod.spec.node_name = "worker-2".to_owned();
                }
                let index = index_of([up(pod), up(subnet("s", subnet_value, "10.0.0.0/24"))]);

                let every = |value| matches!(value, Some("true" | "yes" | "cluster"));
                let effective = pod_value.filter(|value| !value.is_empty()).or(subnet_value);
                let host = every(effective) || (effective == Some("local") && here);
                let mut expected = Vec::new();
                expected.extend(every(subnet_value).then_some("10.0.0.0/24"));
                expected.extend(host.then_some("10.0.0.5/32"));
                assert_eq!(
                    shown(&index),
                    expected,
                    "pod {pod_value:?} subnet {subnet_value:?} {here}"
                );
            }
        }
    }
}

#[test]
fn life_and_death_of_pods() {
    let cases = [
        ("", "", "", true),
        ("Pending", "Always", "", true),
        ("Running", "Never", "", true),
        ("Succeeded", "Always", "", true),
        ("Succeeded", "OnFailure", "", false),
        ("Succeeded", "Never", "", false),
        ("Failed", "Always", "", true),
        ("Failed", "OnFailure", "Error", true),
        ("Failed", "Never", "", false),
        ("Failed", "Always", "Evicted", false),
        ("Unknown", "Never", "NodeLost", true),
    ];
    for (phase, restart, reason, alive) in cases {
        let mut pod = pod("p", Some("true"), &[("ovn", "s", "10.0.0.5")]);
        pod.status.phase = phase.to_owned();
        pod.status.reason = reason.to_owned();
        pod.spec.restart_policy = restart.to_owned();
        let index = index_of([up(subnet("s", None, "")), up(pod)]);
        assert_eq!(index.len() == 1, alive, "{phase} {restart} {reason}");
    }
}

#[test]
fn services() {
    let mut node_port = service("a", Some("true"), &["10.96.0.9"]);
    node_port.spec.kind = "NodePort".to_owned();
    let mut untyped = service("a", Some("cluster"), &[]);
    untyped.spec.kind = String::new();
    untyped.spec.cluster_ip = "10.96.0.9".to_owned();
    let cases: [(Service, &[&str]); 8] = [
        (service("a", Some("true"), &["10.96.0.9"]), &["10.96.0.9/32"]),
        (
            service("a", Some("yes"), &["10.96.0.9", "fd00::9"]),
            &["10.96.0.9/32", "fd00::9/128"],
        ),
        (untyped, &["10.96.0.9/32"]),
        (service("a", Some("local"), &["10.96.0.9"]), &[]),
        (service("a", Some("false"), &["10.96.0.9"]), &[]),
        (service("a", None, &["10.96.0.9"]), &[]),
        (service("a", Some("true"), &["None"]), &[]),
        (node_port, &[]),
    ];
    for (service, expected) in cases {
        let text = format!("{service:?}");
        assert_eq!(shown(&index_of([up(service)])), expected, "{text}");
    }
    let mut off = Index::new(IndexConfig {
        policy: Policy::from_flag(false),
        ..config()
    });
    off.apply(up(service("a", Some("true"), &["10.96.0.9"])));
    assert!(off.is_empty());
}

#[test]
fn addresses_of_nat_gateways() {
    let mut unready = eip("c", Some("true"), "gw1", "203.0.113.3", "");
    unready.status = Some(IptablesEipStatus { ready: false });
    let mut no_status = eip("d", Some("true"), "gw1", "203.0.113.4", "");
    no_status.status = None;
    let mut unlabelled = eip("e", Some("cluster"), "gw1", "203.0.113.5", "");
    unlabelled.metadata.labels = Marks::default();
    let events = [
        up(eip("a", Some("true"), "gw1", "203.0.113.1", "2001:db8::1")),
        up(eip("b", Some("true"), "gw2", "203.0.113.2", "")),
        up(unready),
        up(no_status),
        up(unlabelled),
        up(eip("f", None, "gw1", "203.0.113.6", "")),
        up(eip("g", Some("yes"), "gw1", "203.0.113.1", "")),
        up(subnet("s", Some("true"), "10.0.0.0/24")),
        up(pod("p", Some("true"), &[("ovn", "s", "10.0.0.5")])),
    ];
    let mut index = Index::new(gateway_config());
    index.apply_all(events.clone());
    assert_eq!(
        shown(&index),
        ["203.0.113.1/32", "203.0.113.5/32", "2001:db8::1/128"]
    );

    let mut manifests = Index::new(IndexConfig {
        missing_status_is_ready: true,
        ..gateway_config()
    });
    manifests.apply_all(events);
    assert!(shown(&manifests).contains(&"203.0.113.4/32".to_owned()));
}

#[test]
fn subnets_are_truncated_trimmed_and_must_be_ready() {
    let mut unready = subnet("b", Some("true"), "10.2.0.0/16");
    unready.status = Some(ready("False"));
    let mut no_status = subnet("c", Some("true"), "10.3.0.0/16");
    no_status.status = None;
    let index = index_of([
        up(subnet(
            "a",
            Some("true"),
            "10.1.2.3/16, fd00::1/64,rubbish,10.9.9.9",
        )),
        up(unready),
        up(no_status.clone()),
    ]);
    assert_eq!(shown(&index), ["10.1.0.0/16", "fd00::/64"]);

    let mut manifests = Index::new(IndexConfig {
        missing_status_is_ready: true,
        ..config()
    });
    manifests.apply(up(no_status));
    assert_eq!(shown(&manifests), ["10.3.0.0/16"]);
}

#[test]
fn martians_are_not_announced() {
    let addresses = "127.0.0.1,0.0.0.0,224.0.0.5,::1,fe80::1,ff02::1,::,10.0.0.5,::ffff:10.0.0.6";
    let index = index_of([
        up(subnet("s", Some("true"), "fe80::/64,127.0.0.0/8")),
        up(pod("p", None, &[("ovn", "s", addresses)])),
    ]);
    assert_eq!(shown(&index), ["10.0.0.5/32", "10.0.0.6/32"]);
}

#[test]
fn only_the_delta_comes_out() {
    let mut index = index_of([up(subnet("s", None, "10.0.0.0/24"))]);
    let two = [("ovn", "s", "10.0.0.5,10.0.0.6")];
    let apply = |index: &mut Index, event| text(&index.apply(event));

    assert_eq!(
        apply(&mut index, up(pod("p", Some("true"), &two))),
        ["+10.0.0.5/32", "+10.0.0.6/32"]
    );
    assert!(apply(&mut index, up(pod("p", Some("cluster"), &two))).is_empty());
    assert_eq!(
        apply(
            &mut index,
            up(pod("p", Some("true"), &[("ovn", "s", "10.0.0.6,10.0.0.7")]))
        ),
        ["+10.0.0.7/32", "-10.0.0.5/32"]
    );
    assert!(
        apply(
            &mut index,
            up(pod("q", Some("true"), &[("ovn", "s", "10.0.0.6")]))
        )
        .is_empty()
    );
    assert_eq!(apply(&mut index, Event::Delete(pod_key("p"))), ["-10.0.0.7/32"]);
    assert_eq!(
        apply(&mut index, up(subnet("s", Some("true"), "10.0.0.0/24"))),
        ["+10.0.0.0/24"]
    );
    assert_eq!(
        apply(&mut index, up(subnet("s", Some("true"), "10.0.0.0/25"))),
        ["+10.0.0.0/25", "-10.0.0.0/24"]
    );
    assert_eq!(
        apply(&mut index, Event::Delete(subnet_key("s"))),
        ["-10.0.0.0/25", "-10.0.0.6/32"]
    );
    assert!(index.is_empty());
    assert!(apply(&mut index, Event::Delete(subnet_key("s"))).is_empty());
}

#[test]
fn an_address_that_moves_between_objects_in_one_batch_does_not_flap() {
    let mut index = index_of([
        up(subnet("s", Some("true"), "")),
        up(pod("old", None, &[("ovn", "s", "10.0.0.5")])),
    ]);
    let changes = index.apply_all([
        Event::Delete(pod_key("old")),
        up(pod("new", None, &[("ovn", "s", "10.0.0.5,10.0.0.6")])),
    ]);
    assert_eq!(text(&changes), ["+10.0.0.6/32"]);
}

#[test]
fn a_subnet_that_takes_over_its_pods_host_route_does_not_flap() {
    let mut index = index_of([
        up(subnet("s", Some("local"), "10.0.0.5/32")),
        up(pod("p", None, &[("ovn", "s", "10.0.0.5")])),
    ]);
    let mut unready = subnet("s", Some("true"), "10.0.0.5/32");
    assert!(index.apply(up(unready.clone())).is_empty());
    unready.status = Some(ready("Unknown"));
    assert_eq!(text(&index.apply(up(unready))), ["-10.0.0.5/32"]);
}

#[test]
fn a_pod_with_one_address_on_two_networks() {
    let networks = [("ovn", "a", "10.0.0.5"), (NET1, "b", "10.0.0.5")];
    let mut index = index_of([
        up(subnet("a", Some("true"), "")),
        up(subnet("b", Some("true"), "")),
    ]);
    assert_eq!(index.apply(up(pod("p", None, &networks))).len(), 1);
    assert!(index.apply(up(subnet("a", None, ""))).is_empty());
    assert_eq!(text(&index.apply(up(subnet("b", None, "")))), ["-10.0.0.5/32"]);
}

#[test]
fn resync_deletes_what_was_not_seen() {
    let net = |addr| [("ovn", "s", addr)];
    let mut index = index_of([
        up(subnet("s", Some("true"), "")),
        up(pod("kept", None, &net("10.0.0.1"))),
        up(pod("gone", None, &net("10.0.0.2"))),
        up(pod("renamed", None, &net("10.0.0.3"))),
    ]);
    index.begin_resync(Kind::Pod);
    index.begin_resync(Kind::Service);
    assert!(index.apply(up(pod("kept", None, &net("10.0.0.1")))).is_empty());
    assert!(
        index
            .apply(up(pod("new-name", None, &net("10.0.0.3"))))
            .is_empty()
    );
    assert_eq!(
        index.resync_outcome(Kind::Pod),
        ResyncOutcome { missing: 2, kept: 2 }
    );
    // A subnet takes its pods with it.
    index.begin_resync(Kind::Subnet);
    assert_eq!(
        index.resync_outcome(Kind::Subnet),
        ResyncOutcome { missing: 4, kept: 0 }
    );
    index.abandon_resync(Kind::Subnet);
    assert_eq!(text(&index.complete_resync(Kind::Pod)), ["-10.0.0.2/32"]);
    assert!(index.complete_resync(Kind::Pod).is_empty());
    assert!(index.complete_resync(Kind::Service).is_empty());

    index.begin_resync(Kind::Pod);
    index.abandon_resync(Kind::Pod);
    assert!(index.complete_resync(Kind::Pod).is_empty());
    assert_eq!(index.len(), 2);
}

#[test]
fn explains_who_claims_a_prefix_and_by_which_word() {
    let mut index = index_of([
        up(subnet("s", Some("yes"), "10.0.0.5/32")),
        up(pod("p", None, &[("ovn", "s", "10.0.0.4,10.0.0.5")])),
        up(pod("q", Some("local"), &[(NET1, "s", "10.0.0.5")])),
        up(service("v", Some("true"), &["10.0.0.5"])),
    ]);
    index.apply_all([up(eip("e", Some("true"), "gw1", "10.0.0.5", ""))]);
    let prefix = Prefix::host([10, 0, 0, 5].into());
    let reasons: Vec<_> = index.explain(&prefix).iter().map(Reason::to_string).collect();
    assert_eq!(
        reasons,
        [
            "Pod default/p: its address on network ovn, subnet s; policy yes of Subnet s",
            "Pod default/q: its address on network net1.default.ovn, subnet s; policy local",
            "Subnet s: its CIDR; policy yes",
            "Service default/v: its cluster address; policy true",
        ]
    );
    assert!(index.explain(&Prefix::host([10, 0, 0, 9].into())).is_empty());
}

#[test]
fn host_network_pods_have_nothing_to_announce() {
    let mut pod = pod("p", None, &[("ovn", "s", "10.0.0.5")]);
    pod.spec.host_network = true;
    assert!(index_of([up(subnet("s", Some("true"), "")), up(pod)]).is_empty());
}

#[test]
fn a_hundred_thousand_prefixes_fold_and_unfold() {
    let mut index = Index::new(config());
    let list = |block: u32| {
        let hosts = (0..1000).map(|host| (0x0a00_0000_u32 + block * 1000 + host).to_be_bytes());
        let hosts = hosts.map(|octets| std::net::Ipv4Addr::from(octets).to_string());
        hosts.collect::<Vec<_>>().join(",")
    };
    let pods: Vec<_> = (1..=100).map(|block| (block, list(block))).collect();
    for (block, list) in &pods {
        let event = up(pod(&format!("p{block}"), None, &[("ovn", "s", list)]));
        assert!(index.apply(event).is_empty());
    }
    assert_eq!(index.apply(up(subnet("s", Some("true"), ""))).len(), 100_000);
    assert_eq!(index.len(), 100_000);
    assert_eq!(index.apply(Event::Delete(pod_key("p7"))).len(), 1000);
    assert_eq!(index.apply(Event::Delete(subnet_key("s"))).len(), 99_000);
}
