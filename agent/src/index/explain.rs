use super::{Body, Index, Slot};
use crate::objects::{Kind, ObjectKey};
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
    /// The CIDR of a subnet.
    SubnetCidr,
    /// A cluster address of a Service.
    ClusterIp,
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
            Via::SubnetCidr => f.write_str("its CIDR")?,
            Via::ClusterIp => f.write_str("its cluster address")?,
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
                let networks = pod.networks.iter();
                let claiming =
                    networks.filter(|network| network.claimed && network.addresses.contains(prefix));
                let reasons = claiming.filter_map(|network| {
                    let entry = self.subnets.get(network.subnet?);
                    let subnet = entry.body.as_ref()?;
                    let own = pod.word.is_set();
                    Some(Reason {
                        object: slot.key.as_ref().clone(),
                        via: Via::PodAddress {
                            provider: network.provider.name().to_owned(),
                            subnet: entry.name.to_string(),
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
            Body::Plain(plain) if plain.prefixes().contains(prefix) => {
                let via = match slot.key.kind {
                    Kind::IptablesEip => Via::GatewayAddress,
                    Kind::Service | Kind::Pod | Kind::Subnet | Kind::VpcNatGateway => Via::ClusterIp,
                };
                vec![own_reason(slot, via, plain.word.to_string())]
            }
            Body::Plain(_) => Vec::new(),
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
