//! A real etcd and kube-apiserver.

use std::time::Duration;

use lab::kube::{ADMIN, Cluster, KINDS, OVN, STRANGER, TWINTOR, VPC_NAT_GW, objects};
use lab::manifests::BGP;
use lab::netns::Netns;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_cluster_serves_what_a_speaker_reads_and_kubectl_changes_it() {
    let cluster = Cluster::start().unwrap();
    let client = cluster.client().unwrap();

    for kind in KINDS.iter().filter(|kind| kind.group == "kubeovn.io") {
        let list = client.get(&kind.collection(None)).unwrap().ok().unwrap();
        assert_eq!(list["kind"], format!("{}List", kind.name));
    }
    cluster
        .create(&objects::subnet(
            "ovn-default",
            "10.16.0.0/16,fd00:10:16::/112",
            None,
        ))
        .unwrap();
    cluster
        .create(&objects::pod("web", "node1", "10.16.0.10,fd00:10:16::10", None))
        .unwrap();
    cluster
        .create(&objects::service("web", "10.96.0.80", None))
        .unwrap();
    cluster
        .create(&objects::service("web6", "fd00:10:96::80", None))
        .unwrap();
    cluster
        .create(&objects::eip("eip1", "gw1", "172.30.0.5", None))
        .unwrap();

    let get = |path: &str| client.get(path).unwrap().ok().unwrap();
    assert_eq!(
        get("/apis/kubeovn.io/v1/subnets/ovn-default")["status"]["conditions"][0]["status"],
        "True"
    );
    assert_eq!(
        get("/apis/kubeovn.io/v1/iptables-eips/eip1")["status"]["ready"],
        true
    );
    assert_eq!(
        get("/api/v1/namespaces/default/pods/web")["status"]["podIPs"][1]["ip"],
        "fd00:10:16::10"
    );
    assert_eq!(
        get("/api/v1/namespaces/default/services/web6")["spec"]["clusterIPs"][0],
        "fd00:10:96::80"
    );

    for (short, path) in [
        ("pod/web", "/api/v1/namespaces/default/pods/web"),
        ("svc/web", "/api/v1/namespaces/default/services/web"),
        ("subnet/ovn-default", "/apis/kubeovn.io/v1/subnets/ovn-default"),
        ("eip/eip1", "/apis/kubeovn.io/v1/iptables-eips/eip1"),
    ] {
        cluster
            .kubectl(&["annotate", short, &format!("{BGP}=cluster")])
            .unwrap();
        assert_eq!(get(path)["metadata"]["annotations"][BGP], "cluster", "{short}");
        cluster.kubectl(&["annotate", short, &format!("{BGP}-")]).unwrap();
        assert_eq!(get(path)["metadata"]["annotations"][BGP], Value::Null, "{short}");
    }
    let table = cluster.kubectl(&["get", "subnet", "ovn-default"]).unwrap();
    assert!(table.contains("10.16.0.0/16,fd00:10:16::/112"), "{table}");

    cluster.delete("Pod", "default", "web").unwrap();
    assert_eq!(
        client.get("/api/v1/namespaces/default/pods/web").unwrap().status,
        404
    );
}

#[test]
fn the_definitions_prune_default_and_refuse() {
    let cluster = Cluster::start().unwrap();
    let client = cluster.client().unwrap();
    let gateway = |name: &str, multiplier: u32| {
        json!({
            "apiVersion": "kubeovn.io/v1",
            "kind": "VpcNatGateway",
            "metadata": { "name": name },
            "spec": { "vpc": "v", "unknown": 1, "bfd": { "enabled": true, "multiplier": multiplier } },
        })
    };
    let path = "/apis/kubeovn.io/v1/vpc-nat-gateways";

    let refused = client.post(path, &gateway("hasty", 0)).unwrap();
    let kept = client.post(path, &gateway("gw1", 5)).unwrap().ok().unwrap();

    assert_eq!(refused.status, 422, "{refused}");
    assert_eq!(kept["spec"]["unknown"], Value::Null);
    assert_eq!(kept["spec"]["replicas"], 1);
    assert_eq!(kept["spec"]["bfd"]["minTX"], 1000);
}

#[test]
fn roles_decide_what_a_token_may_do() {
    let cluster = Cluster::start().unwrap();
    let subnets = "/apis/kubeovn.io/v1/subnets";
    let status = |user: &str, path: &str| cluster.client_as(user).unwrap().get(path).unwrap().status;

    for user in [STRANGER, OVN, VPC_NAT_GW, TWINTOR] {
        assert_eq!(status(user, subnets), 403, "{user}");
        assert!(
            cluster
                .kubectl_as(user, &["get", "subnets"])
                .unwrap_err()
                .to_string()
                .contains("forbidden")
        );
    }
    let unknown = cluster.client().unwrap().token("expired").get(subnets).unwrap();
    assert_eq!(unknown.status, 401, "{unknown}");

    cluster
        .apply(
            r"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules:
  - {apiGroups: [kubeovn.io], resources: [subnets], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects:
  - {kind: ServiceAccount, name: vpc-nat-gw, namespace: kube-system}
",
        )
        .unwrap();

    lab::wait::until_true("the role is known", SOON, || {
        Ok(status(VPC_NAT_GW, subnets) == 200)
    })
    .unwrap();
    assert_eq!(status(VPC_NAT_GW, "/api/v1/pods"), 403);
    assert_eq!(
        status(VPC_NAT_GW, &format!("{subnets}/ovn-default")),
        403,
        "list does not mean get"
    );
    assert_eq!(status(OVN, subnets), 403);
    assert_eq!(status(ADMIN, subnets), 200);
}

#[test]
fn a_killed_api_server_comes_back_with_what_it_had() {
    let cluster = Cluster::start().unwrap();
    let client = cluster.client().unwrap();
    let path = "/apis/kubeovn.io/v1/subnets/ovn-default";
    cluster
        .create(&objects::subnet("ovn-default", "10.16.0.0/16", Some("true")))
        .unwrap();
    let before = client.get(path).unwrap().ok().unwrap();
    let watch = client.watch("/apis/kubeovn.io/v1/subnets").unwrap();
    assert_eq!(watch.next(SOON).unwrap().unwrap()["type"], "ADDED");

    cluster.kill_api().unwrap();

    // The end of a connection that nobody has closed properly may be an error as well.
    assert!(!matches!(watch.next(SOON), Ok(Some(_))));
    client.get(path).unwrap_err();
    cluster.start_api().unwrap();
    let after = client.get(path).unwrap().ok().unwrap();
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_eq!(
        before["metadata"]["resourceVersion"],
        after["metadata"]["resourceVersion"]
    );
}

#[test]
fn a_frozen_api_server_accepts_and_does_not_answer() {
    let cluster = Cluster::start().unwrap();
    let client = cluster.client().unwrap().patience(Duration::from_secs(2));

    cluster.freeze_api().unwrap();
    let error = client.get("/readyz").unwrap_err();
    cluster.thaw_api().unwrap();

    assert!(!format!("{error:#}").contains("connect"), "{error:#}");
    cluster.wait_ready().unwrap();
}

#[test]
fn nodes_reach_the_api_over_the_management_network() {
    let cluster = Cluster::start().unwrap();
    let nodes = ["one", "two"].map(|name| {
        let netns = Netns::named(format!("{}-{name}", cluster.netns().name()));
        netns.create().unwrap();
        cluster.wire(&netns).unwrap();
        netns
    });
    let ask = |node: &Netns| {
        let client = cluster
            .client()
            .unwrap()
            .from(node)
            .patience(Duration::from_secs(2));
        client.get("/readyz").map(|reply| reply.status)
    };
    let from = nodes.each_ref().map(|node| ask(node).unwrap());

    cluster.cut(&nodes[0]).unwrap();
    let cut = ask(&nodes[0]);
    let other = ask(&nodes[1]).unwrap();
    cluster.heal(&nodes[0]).unwrap();
    let healed = ask(&nodes[0]).unwrap();

    for node in nodes {
        node.delete().unwrap();
    }
    assert_eq!(from, [200, 200]);
    assert!(cut.is_err());
    assert_eq!([other, healed], [200, 200]);
}
