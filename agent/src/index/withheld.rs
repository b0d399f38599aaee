use super::pods::{Form, LeftOut, PodBody};
use super::services::ServiceBody;
use super::{Body, Index, Slot};
use crate::objects::ObjectKey;
use std::fmt;
use wire::Prefix;

/// An object that has an address and does not announce it as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// The object.
    pub object: ObjectKey,
    /// What decided so.
    pub because: Because,
}

/// What decided that an address is not announced as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// Neither the object nor its subnet asks for it.
    NotAsked,
    /// The subnet is not there or not Ready.
    Subnet(Box<str>),
    /// Policy `local`, and the pod is not on this node.
    Elsewhere,
    /// `announce.pods.skipTerminating`.
    Terminating,
    /// `announce.pods.skipUnready`.
    Unready,
    /// `announce.suppressCoveredHostRoutes`, and this CIDR.
    Covered(Prefix),
    /// `announce.aggregate`, and this block.
    InBlock(Prefix),
    /// `announce.services.requireReadyEndpoints`.
    NoEndpoint,
    /// The same, and nodes without an endpoint drop what comes for it.
    NoEndpointHere,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("no annotation asks for it"),
            Self::Subnet(name) => write!(f, "subnet {name:?} is not there or not Ready"),
            Self::Elsewhere => f.write_str("policy local, and it is not on this node"),
            Self::Terminating => f.write_str("it is terminating (announce.pods.skipTerminating)"),
            Self::Unready => f.write_str("it is not Ready (announce.pods.skipUnready)"),
            Self::Covered(cidr) => write!(
                f,
                "its subnet's {cidr} is announced (announce.suppressCoveredHostRoutes)"
            ),
            Self::InBlock(block) => write!(f, "it is announced within {block} (announce.aggregate)"),
            Self::NoEndpoint => {
                f.write_str("it has no ready endpoint (announce.services.requireReadyEndpoints)")
            }
            Self::NoEndpointHere => f.write_str(
                "local, and it has no ready endpoint on this node (announce.services.requireReadyEndpoints)",
            ),
        }
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.because)
    }
}

impl Index {
    /// The objects that have an address and do not announce it as such, in their order, with what decided so. Looks
    /// through all objects, so it is for people who ask.
    pub fn withheld(&self, host: &Prefix) -> Vec<Withheld> {
        let slots = self.slots.iter().flatten();
        let mut withheld: Vec<_> = slots
            .filter_map(|slot| {
                Some(Withheld {
                    because: self.because(slot, host)?,
                    object: slot.key.as_ref().clone(),
                })
            })
            .collect();
        withheld.sort_by(|one, other| one.object.cmp(&other.object));
        withheld
    }

    fn because(&self, slot: &Slot, host: &Prefix) -> Option<Because> {
        match &slot.body {
            Body::Pod(pod) => self.pod_because(pod, host),
            Body::Service(service) => service_because(service, host),
            Body::Subnet(_) | Body::Slice(_) | Body::Plain(_) => None,
        }
    }

    fn pod_because(&self, pod: &PodBody, host: &Prefix) -> Option<Because> {
        let mut networks = pod.networks.iter();
        let network = networks.find(|network| network.addresses.contains(host))?;
        let entry = self.subnets.get(network.subnet?);
        let Some(subnet) = entry.body.as_ref().filter(|subnet| subnet.ready) else {
            return Some(Because::Subnet(entry.name.as_ref().into()));
        };
        let word = pod.effective(subnet);
        if !word.announces() {
            return Some(Because::NotAsked);
        }
        match pod.left_out {
            Some(LeftOut::Terminating) => return Some(Because::Terminating),
            Some(LeftOut::Unready) => return Some(Because::Unready),
            None => {}
        }
        if word.is_local() && !pod.here {
            return Some(Because::Elsewhere);
        }
        match pod.form_of(*host, subnet, &self.config.policy) {
            Form::Host => None,
            Form::Block(block) => Some(Because::InBlock(block)),
            Form::Covered(cidr) => Some(Because::Covered(cidr)),
        }
    }
}

fn service_because(service: &ServiceBody, host: &Prefix) -> Option<Because> {
    if service.prefixes.contains(host) {
        return None;
    }
    let mut addresses = service.addresses.iter();
    let address = addresses.find(|address| address.prefix == *host)?;
    Some(if address.local {
        Because::NoEndpointHere
    } else {
        Because::NoEndpoint
    })
}
