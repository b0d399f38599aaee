//! The kinds, with the fields that are used. Sources: the Kubernetes core/v1 API and Kube-OVN's CRDs.

use super::Meta;
use super::text::{or_default, text, texts};
use serde::Deserialize;

/// `v1` Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Name, namespace, annotations.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// Where and how it runs.
    #[serde(deserialize_with = "or_default")]
    pub spec: PodSpec,
    /// How far it came.
    #[serde(deserialize_with = "or_default")]
    pub status: PodStatus,
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// The node; empty as long as it is not scheduled.
    #[serde(deserialize_with = "text")]
    pub node_name: String,
    /// Whether it shares the node's addresses; such a pod has none of its own.
    #[serde(deserialize_with = "or_default")]
    pub host_network: bool,
    /// `Always` (also where it is empty), `OnFailure` or `Never`.
    #[serde(deserialize_with = "text")]
    pub restart_policy: String,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(deserialize_with = "text")]
    pub phase: String,
    /// Why it is in this phase, for example `Evicted`.
    #[serde(deserialize_with = "text")]
    pub reason: String,
}

/// `v1` Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Name, namespace, annotations.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// Type and addresses.
    #[serde(deserialize_with = "or_default")]
    pub spec: ServiceSpec,
}

/// `spec` of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    /// `ClusterIP` (also where it is empty), `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type", deserialize_with = "text")]
    pub kind: String,
    /// The first cluster address; `None` for a headless service.
    #[serde(rename = "clusterIP", deserialize_with = "text")]
    pub cluster_ip: String,
    /// All cluster addresses, at most one of each family.
    #[serde(rename = "clusterIPs", deserialize_with = "texts")]
    pub cluster_ips: Vec<String>,
}

/// `kubeovn.io/v1` Subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Subnet {
    /// Name and annotations.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// Addresses.
    #[serde(deserialize_with = "or_default")]
    pub spec: SubnetSpec,
    /// Readiness; `None` where the object has no status at all.
    pub status: Option<SubnetStatus>,
}

/// `spec` of a subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubnetSpec {
    /// One CIDR, or an IPv4 and an IPv6 one with a comma between them.
    #[serde(deserialize_with = "text")]
    pub cidr_block: String,
}

/// `status` of a subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct SubnetStatus {
    /// The conditions; `Ready` is the one that is used.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
}

/// One condition of a status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Its name, for example `Ready`.
    #[serde(rename = "type", deserialize_with = "text")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[serde(deserialize_with = "text")]
    pub status: String,
}

/// `kubeovn.io/v1` IptablesEIP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct IptablesEip {
    /// Name, annotations and the gateway label.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// Addresses and gateway.
    #[serde(deserialize_with = "or_default")]
    pub spec: IptablesEipSpec,
    /// Readiness; `None` where the object has no status at all.
    pub status: Option<IptablesEipStatus>,
}

/// `spec` of an IptablesEIP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IptablesEipSpec {
    /// The IPv4 address, or empty.
    #[serde(rename = "v4ip", deserialize_with = "text")]
    pub v4_ip: String,
    /// The IPv6 address, or empty.
    #[serde(rename = "v6ip", deserialize_with = "text")]
    pub v6_ip: String,
    /// The gateway that holds it; the controller copies this into the gateway label.
    #[serde(deserialize_with = "text")]
    pub nat_gw_dp: String,
}

/// `status` of an IptablesEIP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct IptablesEipStatus {
    /// Whether the gateway holds the address.
    #[serde(deserialize_with = "or_default")]
    pub ready: bool,
}

/// `kubeovn.io/v1` VpcNatGateway. Read so that its presence in a manifest is no error; nothing is derived from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct VpcNatGateway {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
}
