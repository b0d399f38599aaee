//! The Kubernetes objects twintor reads, reduced to the fields it uses.
//!
//! Every field is optional and unknown fields are skipped, so that neither an old nor a new API server, nor a
//! hand-written manifest, can make an object unreadable by something nobody looks at. The same types serve the
//! manifest source ([`read_document`]) and the watch on the API server (plain `Deserialize`).

mod document;
mod kinds;
mod meta;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use document::is_node;
pub use document::{ReadError, ReadErrorKind, read_document};
pub use kinds::{
    Condition, Endpoint, EndpointConditions, EndpointSlice, Ingress, IptablesEip, IptablesEipSpec,
    IptablesEipStatus, LoadBalancer, Pod, PodSpec, PodStatus, Service, ServiceSpec, ServiceStatus, Subnet,
    SubnetSpec, SubnetStatus, Topology, VpcNatGateway,
};
pub use meta::{Marks, Meta};
pub use text::Loose;

use std::fmt;

/// The annotation that asks for an announcement, on Pods, Subnets, Services and IptablesEIPs.
pub const BGP_ANNOTATION: &str = "ovn.kubernetes.io/bgp";
/// The end of the annotation key that holds a pod's addresses on one network; what is before it is the provider.
pub const IP_ADDRESS_SUFFIX: &str = ".kubernetes.io/ip_address";
/// The end of the annotation key that names the subnet of a pod on one network.
pub const LOGICAL_SWITCH_SUFFIX: &str = ".kubernetes.io/logical_switch";
/// The label that names the NAT gateway of an IptablesEIP.
pub const GATEWAY_LABEL: &str = "ovn.kubernetes.io/vpc-nat-gw-name";

/// The label that names the Service of an EndpointSlice.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// The kinds of objects that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1` Pod.
    Pod,
    /// `kubeovn.io/v1` Subnet.
    Subnet,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `kubeovn.io/v1` IptablesEIP.
    IptablesEip,
    /// `kubeovn.io/v1` VpcNatGateway.
    VpcNatGateway,
}

impl Kind {
    /// All kinds, in the order in which messages list them.
    pub const ALL: [Self; 6] = [
        Self::Pod,
        Self::Subnet,
        Self::Service,
        Self::EndpointSlice,
        Self::IptablesEip,
        Self::VpcNatGateway,
    ];

    /// The name as it stands in `kind:`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Subnet => "Subnet",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::IptablesEip => "IptablesEIP",
            Self::VpcNatGateway => "VpcNatGateway",
        }
    }

    /// The `apiVersion` that is read.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Pod | Self::Service => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::Subnet | Self::IptablesEip | Self::VpcNatGateway => "kubeovn.io/v1",
        }
    }

    /// The older `apiVersion` that is read as well: API servers before 1.21 have no other.
    pub const fn older_version(self) -> Option<&'static str> {
        match self {
            Self::EndpointSlice => Some("discovery.k8s.io/v1beta1"),
            Self::Pod | Self::Service | Self::Subnet | Self::IptablesEip | Self::VpcNatGateway => None,
        }
    }

    /// Whether an object of this kind is read in that `apiVersion`.
    pub fn is_read_as(self, version: &str) -> bool {
        version == self.api_version() || Some(version) == self.older_version()
    }

    /// Whether objects of this kind live in a namespace.
    pub const fn is_namespaced(self) -> bool {
        match self {
            Self::Pod | Self::Service | Self::EndpointSlice => true,
            Self::Subnet | Self::IptablesEip | Self::VpcNatGateway => false,
        }
    }

    /// The kind of that name, if it is one that is read.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which object: kind, namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The kind.
    pub kind: Kind,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: Box<str>,
    /// The name.
    pub name: Box<str>,
}

impl ObjectKey {
    /// The key of that object. The namespace is dropped for cluster-scoped kinds and is `default` where a
    /// namespaced object names none.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = match (kind.is_namespaced(), namespace) {
            (false, _) => "",
            (true, "") => "default",
            (true, namespace) => namespace,
        };
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(f, "{} {}", self.kind, self.name);
        }
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// One object of any kind that is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// A pod.
    Pod(Pod),
    /// A Kube-OVN subnet.
    Subnet(Subnet),
    /// A service.
    Service(Service),
    /// Some of the endpoints of a service.
    EndpointSlice(EndpointSlice),
    /// An elastic address of a VPC NAT gateway.
    IptablesEip(IptablesEip),
    /// A VPC NAT gateway.
    VpcNatGateway(VpcNatGateway),
}

impl Object {
    /// The kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pod(_) => Kind::Pod,
            Self::Subnet(_) => Kind::Subnet,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::IptablesEip(_) => Kind::IptablesEip,
            Self::VpcNatGateway(_) => Kind::VpcNatGateway,
        }
    }

    /// Name, namespace and the annotations and labels that are used.
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Pod(object) => &object.metadata,
            Self::Subnet(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::EndpointSlice(object) => &object.metadata,
            Self::IptablesEip(object) => &object.metadata,
            Self::VpcNatGateway(object) => &object.metadata,
        }
    }

    /// Which object this is.
    pub fn key(&self) -> ObjectKey {
        let meta = self.meta();
        ObjectKey::new(self.kind(), &meta.namespace, &meta.name)
    }
}
