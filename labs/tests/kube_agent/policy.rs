//! What the section `announce:` makes of real objects, and what is said at those that cannot be announced.

use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::daemons::twintor;
use lab::kube::{Cluster, TWINTOR, objects};
use lab::wait;
use serde_json::{Value, json};

/// A rack, and a cluster that its agents read.
struct World {
    lab: Lab,
    cluster: Cluster,
}

/// What the agent needs beyond pods and subnets. Events are created, never changed.
const ROLE: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: twintor}
rules:
- {apiGroups: [""], resources: [pods, services], verbs: [list, watch]}
- {apiGroups: [kubeovn.io], resources: [subnets, iptables-eips], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
- {apiGroups: [""], resources: [events], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: twintor}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: twintor}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccount:kube-system:twintor"}
"#;

/// The links of a node, first that to tor1: our address and the switch's.
fn links(node: &str) -> [(&'static str, &'static str); 2] {
    match node {
        "node1" => [("10.1.1.2", "10.1.1.1"), ("10.1.2.2", "10.1.2.1")],
        _ => [("10.2.1.2", "10.2.1.1"), ("10.2.2.2", "10.2.2.1")],
    }
}

/// A rack, a cluster with a subnet, and an agent with this section `announce:` on each of the nodes.
fn world(nodes: &[&str], announce: &str) -> World {
    world_under(ROLE, nodes, announce)
}

fn world_under(role: &str, nodes: &[&str], announce: &str) -> World {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let cluster = Cluster::start().unwrap();
    cluster.apply(role).unwrap();
    cluster
        .create(&objects::subnet("ovn-default", "10.16.0.0/16", None))
        .unwrap();
    let kubeconfig = cluster.kubeconfig(TWINTOR).unwrap();
    let config = format!("apiVersion: twintor.io/v1alpha1\nkind: SpeakerConfig\nannounce: {announce}\n");
    let binary = twintor::binary().unwrap();
    for node in nodes {
        cluster.wire(&lab.netns(node)).unwrap();
        let config = lab.write(node, "config.yaml", &config).unwrap();
        let [(router_id, one), (_, two)] = links(node);
        let args = vec![
            "run".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--config={}", config.display()),
            format!("--node-name={node}"),
            format!("--router-id={router_id}"),
            format!("--neighbor-address={one},{two}"),
            "--cluster-as=65000".to_owned(),
            "--neighbor-as=65030".to_owned(),
            "--holdtime=90s".to_owned(),
            "-v5".to_owned(),
        ];
        lab.start(node, twintor::DAEMON, &binary.to_string_lossy(), args)
            .unwrap();
    }
    World { lab, cluster }
}

/// Both switches come to reach the prefix by exactly these nodes.
fn come_by(world: &World, prefix: &str, nodes: &[&str]) {
    for (index, tor) in ["tor1", "tor2"].iter().enumerate() {
        let hops = nodes.iter().map(|node| links(node)[index].0);
        Frr::of(&world.lab, tor)
            .wait_installed(prefix, &hops.collect::<Vec<_>>())
            .unwrap();
    }
}

/// One endpoint for each (node, ready), in the version that the oldest server has.
fn endpoints(world: &World, service: &str, endpoints: &[(&str, bool)]) {
    let endpoints = endpoints.iter().enumerate().map(|(number, (node, ready))| {
        json!({
            "addresses": [format!("10.16.0.{}", 100 + number)],
            "conditions": {"ready": ready},
            "topology": {"kubernetes.io/hostname": node},
        })
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1beta1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": endpoints.collect::<Vec<_>>(),
        "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
    });
    world.cluster.apply(&slice.to_string()).unwrap();
}

#[test]
fn a_service_follows_its_endpoints_from_node_to_node() {
    let announce = "{services: {clusterIPs: true, requireReadyEndpoints: true}}";
    let world = world(&["node1", "node2"], announce);
    let create = |name, address, word| {
        let service = objects::service(name, address, Some(word));
        world.cluster.create(&service).unwrap();
    };
    create("shared", "10.96.0.10", "true");
    create("near", "10.96.0.11", "local");
    // The control: it has endpoints from the start, so what is absent beside it was left out.
    create("control", "10.96.0.12", "true");
    endpoints(&world, "control", &[("node1", true)]);
    come_by(&world, "10.96.0.12/32", &["node1", "node2"]);
    come_by(&world, "10.96.0.10/32", &[]);

    endpoints(&world, "shared", &[("node1", false), ("node2", true)]);
    endpoints(&world, "near", &[("node1", true)]);
    come_by(&world, "10.96.0.10/32", &["node1", "node2"]);
    come_by(&world, "10.96.0.11/32", &["node1"]);
    endpoints(&world, "near", &[("node1", false), ("node2", true)]);
    come_by(&world, "10.96.0.11/32", &["node2"]);
    endpoints(&world, "shared", &[("node1", false)]);
    come_by(&world, "10.96.0.10/32", &[]);
    come_by(&world, "10.96.0.12/32", &["node1", "node2"]);
}

#[test]
fn load_balancer_and_external_addresses_come_and_go() {
    let world = world(
        &["node1"],
        "{services: {loadBalancerIPs: true, externalIPs: true}}",
    );
    let mut service = objects::service("web", "10.96.0.20", Some("true"));
    service["spec"]["type"] = "LoadBalancer".into();
    service["spec"]["externalIPs"] = json!(["198.51.100.7"]);
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}});
    world.cluster.create(&service).unwrap();
    come_by(&world, "203.0.113.7/32", &["node1"]);
    come_by(&world, "198.51.100.7/32", &["node1"]);
    come_by(&world, "10.96.0.20/32", &[]);
    world
        .cluster
        .set_status(
            "Service",
            "default",
            "web",
            &json!({"loadBalancer": {"ingress": null}}),
        )
        .unwrap();
    come_by(&world, "203.0.113.7/32", &[]);
    come_by(&world, "198.51.100.7/32", &["node1"]);
}

#[test]
fn a_pod_is_left_out_while_it_ends_or_is_not_ready() {
    let world = world(&["node1"], "{pods: {skipTerminating: true, skipUnready: true}}");
    for (name, address) in [("web", "10.16.0.10"), ("late", "10.16.0.11")] {
        let mut pod = objects::pod(name, "node1", address, Some("true"));
        let ready = if name == "web" { "True" } else { "False" };
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
        // Somebody else has to let it go, so it stays while it is being deleted.
        pod["metadata"]["finalizers"] = json!(["twintor.io/lab"]);
        world.cluster.create(&pod).unwrap();
    }
    come_by(&world, "10.16.0.10/32", &["node1"]);
    come_by(&world, "10.16.0.11/32", &[]);
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    world
        .cluster
        .set_status("Pod", "default", "late", &ready)
        .unwrap();
    come_by(&world, "10.16.0.11/32", &["node1"]);
    world.cluster.delete("Pod", "default", "web").unwrap();
    come_by(&world, "10.16.0.10/32", &[]);
    let pod = world
        .cluster
        .kubectl(&["get", "pod", "web", "-o", "json"])
        .unwrap();
    assert!(pod.contains("deletionTimestamp"), "{pod}");
}

#[test]
fn blocks_and_cidrs_stand_for_host_routes() {
    let world = world(
        &["node1"],
        "{suppressCoveredHostRoutes: true, aggregate: {ipv4: 28}}",
    );
    for (name, address) in [("web", "10.16.0.10"), ("other", "10.16.0.11")] {
        let pod = objects::pod(name, "node1", address, Some("true"));
        world.cluster.create(&pod).unwrap();
    }
    let near = objects::pod("near", "node1", "10.16.0.12", Some("local"));
    world.cluster.create(&near).unwrap();
    come_by(&world, "10.16.0.0/28", &["node1"]);
    come_by(&world, "10.16.0.12/32", &["node1"]);
    come_by(&world, "10.16.0.10/32", &[]);
    world
        .cluster
        .annotate("Subnet", "", "ovn-default", lab::manifests::BGP, Some("true"))
        .unwrap();
    come_by(&world, "10.16.0.0/16", &["node1"]);
    come_by(&world, "10.16.0.0/28", &[]);
    come_by(&world, "10.16.0.12/32", &["node1"]);
}

/// The Events at an object of that name, wherever they are.
fn events(world: &World, name: &str) -> Vec<Value> {
    let client = world.cluster.client().unwrap();
    let events = client.get("/api/v1/events").unwrap().ok().unwrap();
    let all = events["items"].as_array().cloned().unwrap_or_default();
    let at = |event: &Value| event["involvedObject"]["name"] == name;
    all.into_iter().filter(at).collect()
}

/// The problems that a node tells of, as `twintor status` has them.
fn problems(world: &World, node: &str) -> Value {
    let binary = twintor::binary().unwrap();
    let status = [&*binary.to_string_lossy(), "status", "-o", "json"].map(str::to_owned);
    let words: Vec<_> = status.iter().map(String::as_str).collect();
    let text = world.lab.exec(node, &words).unwrap();
    let status: Value = serde_json::from_str(&text).unwrap();
    status["problems"].clone()
}

#[test]
fn what_two_speakers_find_wrong_is_one_event() {
    let world = world(&["node1", "node2"], "{}");
    let pod = objects::pod("web", "node1", "10.16.0.10", Some("always"));
    world.cluster.create(&pod).unwrap();
    let subnet = objects::subnet("odd", "10.17.0.0/99", Some("true"));
    world.cluster.create(&subnet).unwrap();
    for node in ["node1", "node2"] {
        wait::until_true("the node tells of both", wait::PATIENCE, || {
            Ok(problems(&world, node)["warnings"] == 2)
        })
        .unwrap();
        let listed = problems(&world, node)["listed"].to_string();
        assert!(
            listed.contains("Pod default/web") && listed.contains("\\\"always\\\""),
            "{listed}"
        );
    }
    // Both have been there with both: one wrote, the other found it written.
    for (node, object) in [("node1", "Pod default/web"), ("node2", "Pod default/web")]
        .into_iter()
        .chain([("node1", "Subnet odd"), ("node2", "Subnet odd")])
    {
        wait::until_true("the node has dealt with it", wait::PATIENCE, || {
            let log = world.lab.log(node, twintor::DAEMON);
            let dealt = |line: &str| {
                line.contains(object)
                    && (line.contains("Event written") || line.contains("has written that Event"))
            };
            Ok(log.lines().any(dealt))
        })
        .unwrap();
    }
    for (name, namespace, reason) in [("web", "default", "UnknownValue"), ("odd", "default", "BadCidr")] {
        let events = events(&world, name);
        assert_eq!(events.len(), 1, "{events:?}");
        let event = &events[0];
        assert_eq!(
            (&event["reason"], &event["type"]),
            (&json!(reason), &json!("Warning"))
        );
        assert_eq!(event["metadata"]["namespace"], namespace);
        assert_eq!(event["source"]["component"], "twintor");
    }
    let described = world.cluster.kubectl(&["describe", "pod", "web"]).unwrap();
    assert!(
        described.contains("value \"always\" means nothing"),
        "{described}"
    );
    let described = world.cluster.kubectl(&["describe", "subnet", "odd"]).unwrap();
    assert!(described.contains("\"10.17.0.0/99\" is no CIDR"), "{described}");
    for node in ["node1", "node2"] {
        let log = world.lab.log(node, twintor::DAEMON);
        assert_eq!(log.matches("value \"always\" means nothing").count(), 1, "{log}");
    }
}

#[test]
fn without_the_right_to_write_events_all_else_goes_on() {
    let role = ROLE.replace(
        "- {apiGroups: [\"\"], resources: [events], verbs: [create]}\n",
        "",
    );
    assert!(!role.contains("events"));
    let world = world_under(&role, &["node1"], "{}");
    for (name, address, word) in [("web", "10.16.0.10", "maybe"), ("other", "10.16.0.11", "true")] {
        let pod = objects::pod(name, "node1", address, Some(word));
        world.cluster.create(&pod).unwrap();
    }
    come_by(&world, "10.16.0.11/32", &["node1"]);
    let said = || {
        let log = world.lab.log("node1", twintor::DAEMON);
        Ok(log.contains("no Events are written at objects with problems"))
    };
    wait::until_true("the agent says that it may not", wait::PATIENCE, said).unwrap();
    assert!(events(&world, "web").is_empty());
    assert_eq!(problems(&world, "node1")["warnings"], 1);
}
