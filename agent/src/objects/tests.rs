use super::*;
use serde_json::{Value, json};

fn read(value: Value) -> Vec<Result<Object, ReadError>> {
    read_document(&value)
}

fn error(value: Value) -> String {
    let mut results = read(value);
    assert_eq!(results.len(), 1);
    results.remove(0).expect_err("must be refused").to_string()
}

#[test]
fn reads_a_pod_and_only_the_annotations_that_are_used() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "sample", "namespace": "web", "generation": 99999999999999999999999999.0,
            "annotations": {
                "ovn.kubernetes.io/bgp": true,
                "ovn.kubernetes.io/ip_address": "10.16.0.5",
                "ovn.kubernetes.io/logical_switch": "ovn-default",
                "net1.web.ovn.kubernetes.io/ip_address": "172.17.0.5",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
            },
            "labels": null,
        },
        "spec": {"nodeName": "worker", "containers": [{"image": "x"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.16.0.5"}]},
    });
    let read = read(pod);
    let Ok(Object::Pod(pod)) = &read[0] else {
        panic!("{read:?}");
    };
    let marks: Vec<_> = pod.metadata.annotations.iter().collect();
    assert_eq!(
        marks,
        [
            ("net1.web.ovn.kubernetes.io/ip_address", "172.17.0.5"),
            ("ovn.kubernetes.io/bgp", "true"),
            ("ovn.kubernetes.io/ip_address", "10.16.0.5"),
            ("ovn.kubernetes.io/logical_switch", "ovn-default"),
        ]
    );
    assert_eq!(pod.spec.node_name, "worker");
    assert_eq!(pod.status.phase, "Running");
    assert_eq!(Object::Pod(pod.clone()).key().to_string(), "Pod web/sample");
}

#[test]
fn big_numbers_and_unknown_fields_do_not_matter() {
    let yaml = "
apiVersion: kubeovn.io/v1
kind: Subnet
metadata: {name: ovn-default, resourceVersion: 1}
spec: {cidrBlock: 10.16.0.0/16, somethingNew: {a: [1, 2]}}
status:
  v6availableIPs: 340282366920938463463374607431768211456999
  v4usingIPs: 18446744073709551615
  conditions:
  - {type: Ready, status: \"True\", lastUpdateTime: null}
";
    let Loose(value) = serde_saphyr::from_str(yaml).expect("readable");
    let read = read(value);
    let Ok(Object::Subnet(subnet)) = &read[0] else {
        panic!("{read:?}");
    };
    assert_eq!(subnet.spec.cidr_block, "10.16.0.0/16");
    assert_eq!(
        subnet.status.as_ref().expect("has a status").conditions[0].status,
        "True"
    );
}

#[test]
fn lists_yield_each_item() {
    let list = json!({
        "apiVersion": "v1", "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"clusterIPs": null}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}},
            {"apiVersion": "kubeovn.io/v1", "kind": "VpcNatGateway", "metadata": {"name": "c"}},
        ],
    });
    let items = read(list);
    assert_eq!(
        items[0].as_ref().map(Object::key),
        Ok(ObjectKey::new(Kind::Service, "default", "a"))
    );
    assert!(items[1].is_err());
    assert_eq!(
        items[2].as_ref().map(Object::key),
        Ok(ObjectKey::new(Kind::VpcNatGateway, "", "c"))
    );

    let typed =
        json!({"apiVersion": "kubeovn.io/v1", "kind": "SubnetList", "items": [{"metadata": {"name": "s"}}]});
    assert_eq!(
        read(typed)[0].as_ref().map(Object::key),
        Ok(ObjectKey::new(Kind::Subnet, "", "s"))
    );
    assert!(read(json!({"apiVersion": "v1", "kind": "PodList", "items": null})).is_empty());
    assert!(read(Value::Null).is_empty());
}

#[test]
fn refusals_name_the_input_and_the_remedy() {
    let known = "twintor reads Pod, Subnet, Service, EndpointSlice, IptablesEIP, VpcNatGateway and List";
    assert_eq!(
        error(json!({"apiVersion": "apps/v1", "kind": "Deployment"})),
        format!("unknown kind \"Deployment\"; {known}")
    );
    assert_eq!(
        error(json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": []})),
        format!("unknown kind \"DeploymentList\"; {known}")
    );
    assert_eq!(error(json!({"a": 1})), format!("has no kind; {known}"));
    assert_eq!(
        error(json!([1])),
        "is no Kubernetes object; it must be a mapping with apiVersion, kind and metadata"
    );
    assert_eq!(
        error(json!({"apiVersion": "v1", "kind": "Subnet", "metadata": {"name": "x"}})),
        "Subnet has apiVersion \"v1\"; write \"kubeovn.io/v1\""
    );
    assert_eq!(
        error(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}})),
        "Pod has no metadata.name; give it one"
    );
    assert_eq!(
        error(json!({"apiVersion": "v1", "kind": "List", "items": {}})),
        "List has no list in items; write items: []"
    );
    assert_eq!(
        error(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"clusterIP": ["10.0.0.1"]}
        })),
        "Service default/x: spec is unreadable: found a list where text is expected"
    );
}

#[test]
fn an_unreadable_section_still_tells_which_object() {
    let value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": 5});
    let key = read(value).remove(0).expect_err("must be refused").key;
    assert_eq!(key, Some(ObjectKey::new(Kind::Pod, "default", "x")));
}
