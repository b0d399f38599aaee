use super::services::Role;
use super::{Body, Index, Slot};
use crate::objects::ObjectKey;
use std::fmt;
use wire::Prefix;

/// One object because of which a prefix is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The object.
    pub object: ObjectKey,
    /// What of it is announced.
    pub via: Via,
    /// The policy word, as it was written: `true`, `yes`, `cluster` or `local`.
    pub policy: String,
    /// The object whose annotation holds that word: the same one, or the subnet of a pod.
    pub policy_from: ObjectKey,
}

/// What of an object is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// An address of a pod.
    PodAddress {
        /// The network: `ovn` for that of the cluster, else `<attachment definition>.<namespace>.ovn`.
        provider: String,
        /// The subnet on that network.
        subnet: String,
    },
    /// The block around an address of a pod, because of `announce.aggregate`.
    PodBlock {
        /// The network, as above.
        provider: String,
        /// The subnet on that network.
        subnet: String,
    },
    /// The CIDR of a subnet.
    SubnetCidr,
    /// A cluster address of a Service.
    ClusterIp,
    /// An address that the load balancer gave a Service.
    LoadBalancerIp,
    /// An external address of a Service.
    ExternalIp,
    /// The address of a NAT gateway.
    GatewayAddress,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        match &self.via {
            Via::PodAddress { provider, subnet } => {
                write!(f, "its address on network {provider}, subnet {subnet}")?;
            }
            Via::PodBlock { provider, subnet } => write!(
                f,
                "the block (announce.aggregate) of its address on network {provider}, subnet {subnet}"
            )?,
            Via::SubnetCidr => f.write_str("its CIDR")?,
            Via::ClusterIp => f.write_str("its cluster address")?,
            Via::LoadBalancerIp => f.write_str("the address of its load balancer")?,
            Via::ExternalIp => f.write_str("its external address")?,
            Via::GatewayAddress => f.write_str("its address")?,
        }
        write!(f, "; policy {}", self.policy)?;
        if self.policy_from != self.object {
            write!(f, " of {}", self.policy_from)?;
        }
        Ok(())
    }
}

impl Index {
    /// The objects because of which a prefix is announced, in their order; empty if it is not announced. Looks
    /// through all objects, so it is for people who ask, not for the way of a change.
    pub fn explain(&self, prefix: &Prefix) -> Vec<Reason> {
        if !self.claims.contains(prefix) {
            return Vec::new();
        }
        let slots = self.slots.iter().flatten();
        let mut reasons: Vec<_> = slots.flat_map(|slot| self.reasons_of(slot, prefix)).collect();
        reasons.sort_by(|one, other| one.object.cmp(&other.object));
        reasons
    }

    fn reasons_of(&self, slot: &Slot, prefix: &Prefix) -> Vec<Reason> {
        match &slot.body {
            Body::Pod(pod) => {
                let reasons = pod.networks.iter().filter_map(|network| {
                    let entry = self.subnets.get(network.subnet?);
                    let subnet = entry.body.as_ref()?;
                    let mut routes = pod.routes_on(network, Some(subnet), &self.config.policy);
                    routes.find(|route| route == prefix)?;
                    let own = pod.word.is_set();
                    let (provider, subnet_name) =
                        (network.provider.name().to_owned(), entry.name.to_string());
                    Some(Reason {
                        object: slot.key.as_ref().clone(),
                        via: if prefix.is_host() {
                            Via::PodAddress {
                                provider,
                                subnet: subnet_name,
                            }
                        } else {
                            Via::PodBlock {
                                provider,
                                subnet: subnet_name,
                            }
                        },
                        policy: pod.effective(subnet).to_string(),
                        policy_from: if own { &slot.key } else { &subnet.key }.as_ref().clone(),
                    })
                });
                reasons.collect()
            }
            Body::Subnet(id) => {
                let body = self.subnets.get(*id).body.as_ref();
                let claiming = body.filter(|body| body.claimed().contains(prefix));
                let reason = claiming.map(|body| own_reason(slot, Via::SubnetCidr, body.word.to_string()));
                reason.into_iter().collect()
            }
            Body::Service(service) => {
                let mut addresses = service.addresses.iter();
                let claiming =
                    addresses.find(|address| address.prefix == *prefix && self.is_backed(&slot.key, address));
                let reason = claiming.map(|address| {
                    let via = match address.role {
                        Role::Cluster => Via::ClusterIp,
                        Role::LoadBalancer => Via::LoadBalancerIp,
                        Role::External => Via::ExternalIp,
                    };
                    own_reason(slot, via, service.word.to_string())
                });
                reason.into_iter().collect()
            }
            Body::Plain(plain) if plain.prefixes().contains(prefix) => {
                vec![own_reason(slot, Via::GatewayAddress, plain.word.to_string())]
            }
            Body::Plain(_) | Body::Slice(_) => Vec::new(),
        }
    }
}

fn own_reason(slot: &Slot, via: Via, policy: String) -> Reason {
    Reason {
        object: slot.key.as_ref().clone(),
        via,
        policy,
        policy_from: slot.key.as_ref().clone(),
    }
}
