use super::tests::*;
use super::*;
use crate::objects::{IptablesEipStatus, Marks};
use wire::Family;

fn problems_of(config: IndexConfig, events: impl IntoIterator<Item = Event>) -> Vec<String> {
    let mut index = Index::new(config);
    index.apply_all(events);
    index.problems().map(|problem| problem.to_string()).collect()
}

fn v4_only() -> IndexConfig {
    IndexConfig {
        families: FamilySet::only(Family::Ipv4Unicast),
        ..config()
    }
}

const NET: [(&str, &str, &str); 1] = [("ovn", "s", "10.0.0.5")];

#[test]
fn each_names_object_field_and_remedy() {
    let mut unready = subnet("s", Some("true"), "10.0.0.0/24");
    unready.status = Some(ready("False"));
    let mut host_network = pod("p", Some("true"), &[]);
    host_network.spec.host_network = true;
    let mut unscheduled = pod("p", Some("local"), &NET);
    unscheduled.spec.node_name = String::new();
    let mut no_switch = pod("p", Some("true"), &NET);
    no_switch.metadata.annotations = Marks::from([
        ("ovn.kubernetes.io/bgp", "true"),
        ("ovn.kubernetes.io/ip_address", "10.0.0.5"),
    ]);
    let mut node_port = service("v", Some("true"), &["10.0.0.1"]);
    node_port.spec.kind = "LoadBalancer".to_owned();
    let anonymous = IndexConfig {
        node_name: None,
        ..config()
    };
    let no_services = IndexConfig {
        policy: Policy::from_flag(false),
        ..config()
    };
    let quiet = || up(subnet("s", None, "10.0.0.0/24"));
    let bgp = "ovn.kubernetes.io/bgp";
    let cases: Vec<(IndexConfig, Vec<Event>, Vec<String>)> = vec![
        (
            config(),
            vec![up(subnet("s", Some("Yes"), "10.0.0.0/24"))],
            vec![format!(
                "Subnet s: {bgp}: value \"Yes\" means nothing, so nothing is announced; use true, cluster or local (EIPs: true or cluster)"
            )],
        ),
        (
            config(),
            vec![quiet(), up(pod("p", Some("on"), &NET))],
            vec![format!(
                "Pod default/p: {bgp}: value \"on\" means nothing, so nothing is announced; use true, cluster or local (EIPs: true or cluster)"
            )],
        ),
        (config(), vec![quiet(), up(pod("p", Some("false"), &NET))], vec![]),
        (
            config(),
            vec![up(unready), up(pod("p", Some("true"), &NET)), up(pod("q", None, &NET))],
            vec![
                "Pod default/p: ovn.kubernetes.io/logical_switch: subnet s is not Ready, so nothing on it is announced; see the conditions in the status of the subnet".to_owned(),
                "Subnet s: status.conditions: subnet s is not Ready, so nothing on it is announced; see the conditions in the status of the subnet".to_owned(),
            ],
        ),
        (
            config(),
            vec![up(pod("p", Some("true"), &NET)), up(pod("q", None, &NET))],
            vec![
                "Pod default/p: ovn.kubernetes.io/logical_switch: subnet s does not exist, so the pod is not announced; create the subnet, or correct the pod's logical_switch annotation".to_owned(),
            ],
        ),
        (
            anonymous,
            vec![up(subnet("s", Some("local"), "10.0.0.0/24")), up(pod("p", Some("local"), &NET))],
            vec![
                format!("Pod default/p: {bgp}: policy local cannot be followed: this speaker has no node name; set --node-name or NODE_NAME"),
                format!("Subnet s: {bgp}: policy local cannot be followed: this speaker has no node name; set --node-name or NODE_NAME"),
            ],
        ),
        (
            config(),
            vec![quiet(), up(unscheduled)],
            vec![format!(
                "Pod default/p: {bgp}: policy local waits: the pod has no node yet; wait for the scheduler, or set spec.nodeName in a manifest"
            )],
        ),
        (
            config(),
            vec![up(host_network)],
            vec![format!(
                "Pod default/p: {bgp}: the pod uses the node's own network and has no address to announce; remove the annotation"
            )],
        ),
        (
            config(),
            vec![up(no_switch)],
            vec![
                "Pod default/p: ovn.kubernetes.io/logical_switch: the pod has an address on network \"ovn\" but names no subnet for it; set the annotation that ends in .kubernetes.io/logical_switch".to_owned(),
            ],
        ),
        (
            config(),
            vec![up(subnet("s", Some("true"), "10.0.0.0/33,10.0.0.0/24")), up(pod("p", None, &[("ovn", "s", "10.0.0.256")]))],
            vec![
                "Pod default/p: ovn.kubernetes.io/ip_address: \"10.0.0.256\" is no address that can be announced; it is skipped; write a plain unicast address such as 10.16.0.5 or fd00:10:16::5".to_owned(),
                "Subnet s: spec.cidrBlock: \"10.0.0.0/33\" is no CIDR that can be announced; it is skipped; write an address and a length such as 10.16.0.0/16".to_owned(),
            ],
        ),
        (
            v4_only(),
            vec![
                up(subnet("s", Some("true"), "10.0.0.0/24,fd00::/64")),
                up(pod("p", None, &[("ovn", "s", "10.0.0.5,fd00::5")])),
                up(pod("q", Some("true"), &[("ovn", "s", "10.0.0.6,fd00::6")])),
            ],
            vec![
                "Pod default/q: ovn.kubernetes.io/ip_address: IPv6 is not announced: no peer is configured for it; set --neighbor-ipv6-address (or --extended-nexthop)".to_owned(),
                "Subnet s: spec.cidrBlock: IPv6 is not announced: no peer is configured for it; set --neighbor-ipv6-address (or --extended-nexthop)".to_owned(),
            ],
        ),
        (
            config(),
            vec![up(service("v", Some("local"), &["10.0.0.1"]))],
            vec![format!(
                "Service default/v: {bgp}: policy local is not possible on Services as this speaker is configured, so nothing is announced; use true, or turn on announce.services.requireReadyEndpoints"
            )],
        ),
        (
            config(),
            vec![up(node_port), up(service("w", Some("true"), &["None"]))],
            vec![
                "Service default/v: spec.type: Services of type \"LoadBalancer\" are not announced; remove the annotation, or turn on announce.services.loadBalancerIPs or externalIPs if those are meant".to_owned(),
                "Service default/w: spec.clusterIP: a headless Service has no cluster address to announce; remove the annotation, or announce its pods".to_owned(),
            ],
        ),
        (
            no_services,
            vec![up(service("v", Some("true"), &["10.0.0.1"])), up(service("w", None, &["10.0.0.2"]))],
            vec![format!(
                "Service default/v: {bgp}: cluster addresses of Services are not announced by this speaker; set --announce-cluster-ip"
            )],
        ),
        (
            config(),
            vec![up(eip("e", Some("true"), "gw1", "203.0.113.1", ""))],
            vec![format!(
                "IptablesEIP e: {bgp}: addresses of NAT gateways are not announced by this speaker; they are announced by the speaker in the NAT gateway (--nat-gw-mode)"
            )],
        ),
    ];
    for (config, events, expected) in cases {
        assert_eq!(problems_of(config, events), expected);
    }
}

#[test]
fn of_nat_gateway_addresses() {
    let mut unready = eip("a", Some("true"), "gw1", "203.0.113.1", "");
    unready.status = Some(IptablesEipStatus::default());
    let events = [
        up(unready),
        up(eip("b", Some("true"), "gw2", "203.0.113.1", "")),
        up(eip("c", Some("true"), "gw1", "", "")),
        up(eip("d", Some("true"), "gw1", "x", "")),
    ];
    let mut index = Index::new(gateway_config());
    index.apply_all(events);
    let kinds: Vec<_> = index
        .problems()
        .map(|problem| (problem.field, problem.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("status.ready".to_owned(), ProblemKind::EipNotReady),
            ("spec.natGwDp".to_owned(), ProblemKind::OtherGateway("gw2".into())),
            ("spec.v4ip".to_owned(), ProblemKind::NoAddress),
            ("spec.v4ip".to_owned(), ProblemKind::BadAddress("x".into())),
        ]
    );
}

#[test]
fn are_told_once_and_cleared_once() {
    let mut index = Index::new(config());
    let wrong = || up(subnet("s", Some("maybe"), "10.0.0.0/24"));
    index.apply(wrong());
    let changes = index.take_problem_changes();
    assert!(
        matches!(&changes[..], [ProblemChange::New(problem)] if problem.object == subnet_key("s")),
        "{changes:?}"
    );

    index.apply(wrong());
    assert_eq!(index.take_problem_changes(), []);

    index.apply(up(subnet("s", Some("true"), "10.0.0.0/24")));
    let changes = index.take_problem_changes();
    assert!(matches!(&changes[..], [ProblemChange::Cleared(_)]), "{changes:?}");

    index.apply(wrong());
    index.apply(Event::Delete(subnet_key("s")));
    assert_eq!(index.take_problem_changes(), [], "came and went in between");
    assert_eq!(index.problems().count(), 0);
}

#[test]
fn of_pods_follow_their_subnet() {
    let mut index = Index::new(config());
    index.apply(up(pod("p", Some("true"), &NET)));
    assert_eq!(index.take_problem_changes().len(), 1, "subnet missing");
    index.apply(up(subnet("s", None, "10.0.0.0/24")));
    let changes = index.take_problem_changes();
    assert!(matches!(&changes[..], [ProblemChange::Cleared(_)]), "{changes:?}");
    index.apply(Event::Delete(subnet_key("s")));
    assert_eq!(index.take_problem_changes().len(), 1);
    index.apply(Event::Delete(pod_key("p")));
    assert!(matches!(
        &index.take_problem_changes()[..],
        [ProblemChange::Cleared(_)]
    ));
}

#[test]
fn long_and_strange_values_fit_one_line() {
    let long = "\n\u{1b}[31m".to_owned() + &"é".repeat(500);
    let texts = problems_of(config(), [up(subnet("s", Some(&long), ""))]);
    assert_eq!(texts[0].lines().count(), 1);
    assert!(!texts[0].contains('\u{1b}'));
    assert!(texts[0].chars().count() < 300);
}
