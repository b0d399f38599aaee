//! Objects as Kube-OVN's controller leaves them behind.

use serde_json::{Map, Value, json};

use crate::manifests::BGP;

/// A running pod on the default subnet.
pub fn pod(name: &str, node: &str, addresses: &str, policy: Option<&str>) -> Value {
    let mut notes = annotations(policy);
    for (key, value) in [
        ("allocated", "true"),
        ("ip_address", addresses),
        ("logical_switch", "ovn-default"),
    ] {
        notes.insert(format!("ovn.kubernetes.io/{key}"), value.into());
    }
    let address = addresses.split(',').map(|address| json!({ "ip": address }));
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "annotations": notes },
        "spec": { "nodeName": node, "containers": [{ "name": "main", "image": "none" }] },
        "status": {
            "phase": "Running",
            "podIP": addresses.split(',').next(),
            "podIPs": address.collect::<Vec<_>>(),
        },
    })
}

/// A subnet that is ready.
pub fn subnet(name: &str, cidr: &str, policy: Option<&str>) -> Value {
    let protocol = match (cidr.contains(','), cidr.contains(':')) {
        (true, _) => "Dual",
        (false, true) => "IPv6",
        (false, false) => "IPv4",
    };
    json!({
        "apiVersion": "kubeovn.io/v1",
        "kind": "Subnet",
        "metadata": { "name": name, "annotations": annotations(policy) },
        "spec": {
            "protocol": protocol,
            "cidrBlock": cidr,
            "vpc": "ovn-cluster",
            "provider": "ovn",
            "gatewayType": "distributed",
            "natOutgoing": false,
        },
        "status": { "conditions": [{ "type": "Ready", "status": "True", "reason": "ResetLogicalSwitchAclSuccess" }] },
    })
}

/// A service with this cluster address, which must be within 10.96.0.0/16 or fd00:10:96::/112.
pub fn service(name: &str, address: &str, policy: Option<&str>) -> Value {
    let family = if address.contains(':') { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": "default", "annotations": annotations(policy) },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "ipFamilies": [family],
            "ports": [{ "port": 80, "protocol": "TCP" }],
        },
    })
}

/// An address of a VPC NAT gateway that is ready.
pub fn eip(name: &str, gateway: &str, v4: &str, policy: Option<&str>) -> Value {
    json!({
        "apiVersion": "kubeovn.io/v1",
        "kind": "IptablesEIP",
        "metadata": {
            "name": name,
            "labels": { "ovn.kubernetes.io/vpc-nat-gw-name": gateway },
            "annotations": annotations(policy),
        },
        "spec": { "natGwDp": gateway, "v4ip": v4, "externalSubnet": "ovn-vpc-external-network" },
        "status": { "ready": true, "ip": v4 },
    })
}

fn annotations(policy: Option<&str>) -> Map<String, Value> {
    let policy = policy.map(|policy| (BGP.to_owned(), policy.into()));
    policy.into_iter().collect()
}
