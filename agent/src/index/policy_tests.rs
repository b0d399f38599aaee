use super::tests::*;
use super::*;
use crate::objects::{Ingress, Pod, Service};

const NET: [(&str, &str, &str); 1] = [("ovn", "s", "10.0.0.5")];

fn with(change: impl FnOnce(&mut Policy)) -> IndexConfig {
    let mut config = config();
    change(&mut config.policy);
    config
}

fn gated() -> IndexConfig {
    with(|policy| policy.services.require_ready_endpoints = true)
}

fn index_of(config: IndexConfig, events: impl IntoIterator<Item = Event>) -> Index {
    let mut index = Index::new(config);
    index.apply_all(events);
    index
}

fn problems(index: &Index) -> Vec<String> {
    index.problems().map(|problem| problem.to_string()).collect()
}

fn reasons(index: &Index, prefix: &str) -> Vec<String> {
    let prefix = prefix.parse().expect("a prefix");
    index.explain(&prefix).iter().map(Reason::to_string).collect()
}

fn withheld(index: &Index, host: &str) -> Vec<String> {
    let host = host.parse().expect("a prefix");
    index.withheld(&host).iter().map(Withheld::to_string).collect()
}

fn balanced(name: &str, word: &str, ips: &[&str]) -> Service {
    let mut service = service(name, Some(word), &["10.96.0.1"]);
    service.spec.kind = "LoadBalancer".to_owned();
    let ingress = ips.iter().map(|ip| Ingress { ip: (*ip).to_owned() });
    service.status.load_balancer.ingress = ingress.collect();
    service
}

fn ready_pod(status: &str) -> Pod {
    let mut pod = pod("p", Some("true"), &NET);
    pod.status.conditions = ready(status).conditions;
    pod
}

#[test]
fn load_balancer_addresses_are_an_opt_in() {
    let config = with(|policy| policy.services.load_balancer_ips = true);
    let index = index_of(
        config,
        [up(balanced("v", "true", &["203.0.113.1", "", "203.0.113.2"]))],
    );
    assert_eq!(shown(&index), ["203.0.113.1/32", "203.0.113.2/32"]);
    assert_eq!(
        reasons(&index, "203.0.113.1/32"),
        ["Service default/v: the address of its load balancer; policy true"]
    );
    assert!(problems(&index).is_empty());
    let config = with(|policy| policy.services.load_balancer_ips = true);
    let waiting = index_of(config, [up(balanced("v", "true", &[]))]);
    assert_eq!(
        problems(&waiting),
        [
            "Service default/v: status.loadBalancer.ingress: there is no address to announce; wait until one is assigned, or set it in a manifest"
        ]
    );
    assert!(index_of(tests::config(), [up(balanced("v", "true", &["203.0.113.1"]))]).is_empty());
}

#[test]
fn external_addresses_are_an_opt_in_for_every_type() {
    let mut cluster = service("a", Some("true"), &["10.96.0.1"]);
    cluster.spec.external_ips = vec!["198.51.100.1".to_owned()];
    let mut headless = service("b", Some("true"), &["None"]);
    headless.spec.external_ips = vec!["198.51.100.2".to_owned()];
    let mut node_port = service("c", Some("true"), &["10.96.0.3"]);
    node_port.spec.kind = "NodePort".to_owned();
    node_port.spec.external_ips = vec!["198.51.100.3".to_owned(), "nonsense".to_owned()];
    let mut name = service("d", Some("true"), &[]);
    name.spec.kind = "ExternalName".to_owned();
    name.spec.external_ips = vec!["198.51.100.4".to_owned()];
    let events = || [&cluster, &headless, &node_port, &name].map(|service| up(service.clone()));
    let on = index_of(with(|policy| policy.services.external_ips = true), events());
    assert_eq!(
        shown(&on),
        [
            "10.96.0.1/32",
            "198.51.100.1/32",
            "198.51.100.2/32",
            "198.51.100.3/32"
        ]
    );
    let texts = problems(&on);
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[0].contains("Service default/c: spec.externalIPs: \"nonsense\""),
        "{texts:?}"
    );
    assert!(texts[1].contains("Service default/d: spec.type: "), "{texts:?}");
    assert_eq!(shown(&index_of(config(), events())), ["10.96.0.1/32"]);
}

#[test]
fn endpoints_decide_where_the_policy_says_so() {
    let mut index = index_of(gated(), [up(service("v", Some("true"), &["10.96.0.1"]))]);
    assert!(index.is_empty());
    assert_eq!(
        problems(&index),
        [
            "Service default/v: endpoints: the Service has no ready endpoint for IPv4, so that is not announced; see the pods behind the Service (announce.services.requireReadyEndpoints)"
        ]
    );
    assert_eq!(
        withheld(&index, "10.96.0.1/32"),
        ["Service default/v: it has no ready endpoint (announce.services.requireReadyEndpoints)"]
    );
    let mut apply = |event| text(&index.apply(event));
    assert!(
        apply(up(slice("e", "v", &[("a", false, false)]))).is_empty(),
        "unready"
    );
    assert_eq!(
        apply(up(slice("f", "v", &[("a", true, false)]))),
        ["+10.96.0.1/32"]
    );
    assert!(apply(up(slice("e", "v", &[("a", true, false)]))).is_empty());
    assert!(apply(Event::Delete(ObjectKey::new(Kind::EndpointSlice, "", "f"))).is_empty());
    assert!(
        apply(up(slice("e", "v", &[("a", false, true)]))).is_empty(),
        "the last one drains"
    );
    assert_eq!(
        apply(up(slice("e", "w", &[("a", true, false)]))),
        ["-10.96.0.1/32"],
        "of another Service"
    );
    assert_eq!(
        apply(up(slice("e", "v", &[("a", true, false)]))),
        ["+10.96.0.1/32"]
    );
    assert_eq!(
        apply(Event::Delete(ObjectKey::new(Kind::EndpointSlice, "", "e"))),
        ["-10.96.0.1/32"]
    );

    // Without the policy, slices mean nothing.
    let mut off = index_of(config(), [up(service("v", Some("true"), &["10.96.0.1"]))]);
    assert!(off.apply(up(slice("e", "v", &[]))).is_empty());
    assert_eq!(shown(&off), ["10.96.0.1/32"]);
}

#[test]
fn a_slice_that_moves_between_services_with_one_address_changes_nothing() {
    let services = ["v", "w"].map(|name| up(service(name, Some("true"), &["10.96.0.1"])));
    let mut index = index_of(gated(), services);
    for (name, expected) in [("v", vec!["+10.96.0.1/32"]), ("w", vec![]), ("v", vec![])] {
        let moved = up(slice("e", name, &[("a", true, false)]));
        assert_eq!(text(&index.apply(moved)), expected, "to {name}");
    }
}

#[test]
fn each_family_needs_its_own_endpoints() {
    let mut index = index_of(
        gated(),
        [up(service("v", Some("true"), &["10.96.0.1", "fd00::1"]))],
    );
    let mut six = slice("six", "v", &[("a", true, false)]);
    six.address_type = "IPv6".to_owned();
    assert_eq!(text(&index.apply(up(six.clone()))), ["+fd00::1/128"]);
    six.address_type = "FQDN".to_owned();
    assert_eq!(text(&index.apply(up(six))), ["-fd00::1/128"]);
}

#[test]
fn local_services_follow_the_endpoints_of_the_node() {
    let mut index = index_of(gated(), [up(service("v", Some("local"), &["10.96.0.1"]))]);
    let mut apply = |endpoints: &[(&str, bool, bool)]| text(&index.apply(up(slice("e", "v", endpoints))));
    assert!(apply(&[("elsewhere", true, false)]).is_empty());
    assert_eq!(
        apply(&[("elsewhere", true, false), (NODE, true, false)]),
        ["+10.96.0.1/32"]
    );
    // What drains here counts only where nothing else is ready.
    assert_eq!(
        apply(&[("elsewhere", true, false), (NODE, false, true)]),
        ["-10.96.0.1/32"]
    );
    assert_eq!(
        apply(&[("elsewhere", false, true), (NODE, false, true)]),
        ["+10.96.0.1/32"]
    );
    assert_eq!(apply(&[("elsewhere", false, true)]), ["-10.96.0.1/32"]);
    assert!(problems(&index).is_empty(), "endpoints elsewhere are no problem");
    assert_eq!(
        withheld(&index, "10.96.0.1/32"),
        [
            "Service default/v: local, and it has no ready endpoint on this node (announce.services.requireReadyEndpoints)"
        ]
    );
    let anonymous = IndexConfig {
        node_name: None,
        ..gated()
    };
    let index = index_of(anonymous, [up(service("v", Some("local"), &["10.96.0.1"]))]);
    assert_eq!(
        problems(&index),
        [
            "Service default/v: ovn.kubernetes.io/bgp: policy local cannot be followed: this speaker has no node name; set --node-name or NODE_NAME"
        ]
    );
}

#[test]
fn a_traffic_policy_of_local_is_followed_or_complained_of() {
    let mut service = balanced("v", "true", &["203.0.113.1"]);
    service.spec.external_traffic_policy = "Local".to_owned();
    let config = |gated| {
        with(|policy| {
            policy.services.load_balancer_ips = true;
            policy.services.require_ready_endpoints = gated;
        })
    };
    let elsewhere = slice("e", "v", &[("elsewhere", true, false)]);
    let here = slice("e", "v", &[(NODE, true, false)]);
    let mut index = index_of(config(true), [up(service.clone()), up(elsewhere)]);
    assert!(index.is_empty());
    assert_eq!(text(&index.apply(up(here))), ["+203.0.113.1/32"]);
    let index = index_of(config(false), [up(service)]);
    assert_eq!(shown(&index), ["203.0.113.1/32"]);
    assert_eq!(
        problems(&index),
        [
            "Service default/v: spec.externalTrafficPolicy: spec.externalTrafficPolicy is Local: a node without an endpoint drops what comes for it, but every node announces it; turn on announce.services.requireReadyEndpoints, or set it to Cluster"
        ]
    );
}

#[test]
fn terminating_and_unready_pods_are_left_out_on_request() {
    let s = || up(subnet("s", Some("true"), "10.0.0.0/24"));
    let mut going = pod("p", Some("true"), &NET);
    going.metadata.is_terminating = true;
    let skip = || with(|policy| policy.pods.skip_terminating = true);
    let mut index = index_of(skip(), [s(), up(pod("p", Some("true"), &NET))]);
    assert_eq!(text(&index.apply(up(going.clone()))), ["-10.0.0.5/32"]);
    assert_eq!(
        problems(&index),
        [
            "Pod default/p: ovn.kubernetes.io/bgp: the pod is terminating, so it is not announced; nothing to do (announce.pods.skipTerminating)"
        ]
    );
    assert_eq!(
        withheld(&index, "10.0.0.5/32"),
        ["Pod default/p: it is terminating (announce.pods.skipTerminating)"]
    );
    assert!(index.apply(Event::Delete(pod_key("p"))).is_empty());
    assert_eq!(
        shown(&index_of(config(), [s(), up(going)])).len(),
        2,
        "the incumbent's way"
    );

    let skip = || with(|policy| policy.pods.skip_unready = true);
    let mut index = index_of(skip(), [s(), up(ready_pod("False"))]);
    assert_eq!(shown(&index), ["10.0.0.0/24"]);
    assert_eq!(
        withheld(&index, "10.0.0.5/32"),
        ["Pod default/p: it is not Ready (announce.pods.skipUnready)"]
    );
    assert_eq!(text(&index.apply(up(ready_pod("True")))), ["+10.0.0.5/32"]);
    assert_eq!(
        text(&index.apply(up(pod("p", None, &NET)))),
        ["-10.0.0.5/32"],
        "no status yet"
    );
    let manifest = IndexConfig {
        missing_status_is_ready: true,
        ..skip()
    };
    assert_eq!(
        shown(&index_of(manifest, [s(), up(pod("p", None, &NET))])).len(),
        2
    );
}

#[test]
fn a_host_route_that_the_cidr_covers_is_left_out_on_request() {
    let suppress = || with(|policy| policy.suppress_covered_host_routes = true);
    let s = |word| up(subnet("s", word, "10.0.0.0/24"));
    let outside = pod("far", None, &[("ovn", "s", "10.9.0.1")]);
    let own = pod("own", Some("local"), &[("ovn", "s", "10.0.0.6")]);
    let pods = [up(pod("p", None, &NET)), up(outside), up(own)];
    let mut index = index_of(suppress(), [s(Some("true"))].into_iter().chain(pods));
    // The local pod's route says where it is, and nothing covers what is outside.
    assert_eq!(shown(&index), ["10.0.0.0/24", "10.0.0.6/32", "10.9.0.1/32"]);
    assert_eq!(
        withheld(&index, "10.0.0.5/32"),
        ["Pod default/p: its subnet's 10.0.0.0/24 is announced (announce.suppressCoveredHostRoutes)"]
    );
    // Without the CIDR there is nothing that covers it.
    assert_eq!(
        text(&index.apply(s(Some("local")))),
        ["+10.0.0.5/32", "-10.0.0.0/24"]
    );
    assert_eq!(
        text(&index.apply(s(Some("true")))),
        ["+10.0.0.0/24", "-10.0.0.5/32"]
    );
    // A CIDR that shrinks lets go of what it no longer covers.
    let smaller = up(subnet("s", Some("true"), "10.0.0.0/30"));
    assert_eq!(
        text(&index.apply(smaller)),
        ["+10.0.0.0/30", "+10.0.0.5/32", "-10.0.0.0/24"]
    );
}

#[test]
fn host_routes_become_blocks_within_their_subnet() {
    let aggregate = |length| with(|policy| policy.aggregate.ipv4 = Some(length));
    let s = || up(subnet("s", None, "10.0.0.0/24"));
    let on = |name, word, addresses| up(pod(name, Some(word), &[("ovn", "s", addresses)]));
    let mut index = index_of(aggregate(28), [s()]);
    let mut apply = |event| text(&index.apply(event));
    assert_eq!(apply(on("p", "true", "10.0.0.5,10.0.0.6")), ["+10.0.0.0/28"]);
    assert!(apply(on("q", "true", "10.0.0.7")).is_empty());
    assert_eq!(apply(on("q", "true", "10.0.0.17")), ["+10.0.0.16/28"]);
    // Only one node has it, and its host route wins over the block of all.
    assert_eq!(apply(on("r", "local", "10.0.0.8")), ["+10.0.0.8/32"]);
    assert_eq!(
        apply(on("far", "true", "10.9.0.1")),
        ["+10.9.0.1/32"],
        "not of the subnet"
    );
    assert_eq!(apply(Event::Delete(pod_key("p"))), ["-10.0.0.0/28"]);
    assert_eq!(
        reasons(&index, "10.0.0.16/28"),
        [
            "Pod default/q: the block (announce.aggregate) of its address on network ovn, subnet s; policy true"
        ]
    );
    assert_eq!(
        withheld(&index, "10.0.0.17/32"),
        ["Pod default/q: it is announced within 10.0.0.16/28 (announce.aggregate)"]
    );

    let events = [
        up(subnet("s", Some("true"), "10.0.0.0/24")),
        on("p", "true", "10.0.0.5"),
    ];
    let index = index_of(aggregate(20), events);
    assert_eq!(shown(&index), ["10.0.0.0/24", "10.0.0.5/32"]);
    assert_eq!(
        problems(&index),
        [
            "Subnet s: spec.cidrBlock: a block of length 20 is larger than this CIDR, so the pods in it keep their host routes; set announce.aggregate to a longer length if they are to become blocks"
        ]
    );
}

#[test]
fn an_empty_list_of_slices_is_weighed_by_the_services_behind_it() {
    let mut events = Vec::new();
    for number in 0..12 {
        let (name, ip) = (format!("v{number}"), format!("10.96.0.{number}"));
        let mut service = service(&name, Some("true"), &[&ip]);
        if number == 0 {
            service = tests::service(&name, None, &[&ip]);
        }
        events.push(up(service));
        events.push(up(slice(&name, &name, &[("a", number != 1, false)])));
    }
    let mut index = index_of(gated(), events);
    index.begin_resync(Kind::EndpointSlice);
    assert_eq!(
        index.resync_outcome(Kind::EndpointSlice),
        ResyncOutcome { missing: 10, kept: 0 }
    );
}

#[test]
fn uids_are_kept_only_for_what_may_have_a_problem() {
    let mut quiet = pod("quiet", None, &NET);
    quiet.metadata.uid = "one".to_owned();
    let mut asks = pod("asks", Some("huh"), &NET);
    asks.metadata.uid = "two".to_owned();
    let mut index = index_of(config(), [up(quiet), up(asks)]);
    let uids: Vec<_> = index.problems().map(|problem| problem.uid).collect();
    assert_eq!(uids, ["two".into()]);
    assert!(
        matches!(&index.take_problem_changes()[..], [ProblemChange::New(problem)] if &*problem.uid == "two")
    );
    index.apply(Event::Delete(pod_key("asks")));
    assert!(index.problems.is_empty());
}
