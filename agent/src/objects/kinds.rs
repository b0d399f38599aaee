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
    /// The conditions; `Ready` is the one that is used.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
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
    /// What its load balancer gave it.
    #[serde(deserialize_with = "or_default")]
    pub status: ServiceStatus,
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
    /// Addresses that somebody outside routes to the nodes.
    #[serde(rename = "externalIPs", deserialize_with = "texts")]
    pub external_ips: Vec<String>,
    /// `Local` where a node passes what comes for the external addresses to its own endpoints only.
    #[serde(rename = "externalTrafficPolicy", deserialize_with = "text")]
    pub external_traffic_policy: String,
    /// The same for the cluster addresses.
    #[serde(rename = "internalTrafficPolicy", deserialize_with = "text")]
    pub internal_traffic_policy: String,
}

/// `status` of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceStatus {
    /// What the load balancer gave.
    #[serde(deserialize_with = "or_default")]
    pub load_balancer: LoadBalancer,
}

/// `status.loadBalancer` of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    /// Where it is reached from outside.
    #[serde(deserialize_with = "or_default")]
    pub ingress: Vec<Ingress>,
}

/// One address of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Ingress {
    /// The address; empty where it has only a name.
    #[serde(deserialize_with = "text")]
    pub ip: String,
}

/// `discovery.k8s.io` EndpointSlice, `v1` or `v1beta1`. The addresses of the endpoints are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointSlice {
    /// Name, namespace, and the label that names the Service.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// `IPv4`, `IPv6` or `FQDN`.
    #[serde(deserialize_with = "text")]
    pub address_type: String,
    /// The endpoints.
    #[serde(deserialize_with = "or_default")]
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint {
    /// Whether it may get traffic.
    #[serde(deserialize_with = "or_default")]
    pub conditions: EndpointConditions,
    /// The node it is on, `v1`; empty if it is on none.
    #[serde(deserialize_with = "text")]
    pub node_name: String,
    /// The node it is on, `v1beta1`.
    #[serde(deserialize_with = "or_default")]
    pub topology: Topology,
}

/// `conditions` of an endpoint; `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Whether it takes traffic; not known counts as yes.
    pub ready: Option<bool>,
    /// Whether it would, if it were not terminating; not known counts as `ready`.
    pub serving: Option<bool>,
    /// Whether it is being deleted; not known counts as no.
    pub terminating: Option<bool>,
}

/// `topology` of a `v1beta1` endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Topology {
    /// The name of the node.
    #[serde(rename = "kubernetes.io/hostname", deserialize_with = "text")]
    pub hostname: String,
}

impl Endpoint {
    /// The node it is on; empty if that is not known.
    #[must_use]
    pub fn node(&self) -> &str {
        if self.node_name.is_empty() {
            return &self.topology.hostname;
        }
        &self.node_name
    }
}

impl EndpointConditions {
    /// Whether it takes traffic.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self.ready.unwrap_or(true)
    }

    /// Whether it still takes traffic while it is being deleted.
    #[must_use]
    pub fn is_draining(self) -> bool {
        self.terminating == Some(true) && self.serving.unwrap_or_else(|| self.is_ready())
    }
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
