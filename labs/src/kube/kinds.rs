//! The kinds of objects that matter here, and where an API server keeps them.

use anyhow::{Context, Result};
use serde_json::Value;

/// A kind of object.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Its group; empty for the core.
    pub group: &'static str,
    /// The version of the group.
    pub version: &'static str,
    /// What its collection is called in paths.
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// Everything that an agent reads or writes.
pub static KINDS: [Kind; 11] = [
    core("Pod", "pods"),
    core("Service", "services"),
    core("Event", "events"),
    cluster("Node", "", "v1", "nodes"),
    cluster("Subnet", KUBE_OVN, "v1", "subnets"),
    cluster("IptablesEIP", KUBE_OVN, "v1", "iptables-eips"),
    cluster("VpcNatGateway", KUBE_OVN, "v1", "vpc-nat-gateways"),
    cluster("OvnEip", KUBE_OVN, "v1", "ovn-eips"),
    cluster("SpeakerNode", "twintor.io", "v1alpha1", "speakernodes"),
    namespaced("Event", "events.k8s.io", "v1", "events"),
    namespaced("Lease", "coordination.k8s.io", "v1", "leases"),
];

const KUBE_OVN: &str = "kubeovn.io";

const fn core(name: &'static str, plural: &'static str) -> Kind {
    namespaced(name, "", "v1", plural)
}

const fn namespaced(
    name: &'static str,
    group: &'static str,
    version: &'static str,
    plural: &'static str,
) -> Kind {
    Kind {
        name,
        group,
        version,
        plural,
        namespaced: true,
    }
}

const fn cluster(
    name: &'static str,
    group: &'static str,
    version: &'static str,
    plural: &'static str,
) -> Kind {
    Kind {
        name,
        group,
        version,
        plural,
        namespaced: false,
    }
}

impl Kind {
    /// The kind of this name. Of the two kinds of events it is the older.
    pub fn named(name: &str) -> Result<&'static Self> {
        let kind = KINDS.iter().find(|kind| kind.name == name);
        kind.with_context(|| format!("the lab knows no kind {name}"))
    }

    /// The kind of an object.
    pub fn of(object: &Value) -> Result<&'static Self> {
        let field = |name: &str| {
            object[name]
                .as_str()
                .with_context(|| format!("an object has no {name}"))
        };
        let (name, version) = (field("kind")?, field("apiVersion")?);
        let kind = KINDS
            .iter()
            .find(|kind| kind.name == name && kind.api_version() == version);
        kind.with_context(|| format!("the lab knows no {name} of {version}"))
    }

    /// What objects carry as `apiVersion`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The path of the collection, in one namespace or in all.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let root = match self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// The path of an object. The namespace is ignored where there is none.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(Some(namespace)))
    }
}

/// The path of an object, by what its metadata say.
pub fn path_of(object: &Value) -> Result<String> {
    let (namespace, name) = names(object)?;
    Ok(Kind::of(object)?.path(namespace, name))
}

/// The namespace (`default` if it says none) and the name of an object.
pub(super) fn names(object: &Value) -> Result<(&str, &str)> {
    let meta = &object["metadata"];
    let name = meta["name"].as_str().context("an object has no name")?;
    Ok((meta["namespace"].as_str().unwrap_or("default"), name))
}
