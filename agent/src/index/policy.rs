//! What is announced beyond the words of the annotations: the section `announce:` of the structured configuration.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use wire::Family;

/// The section `announce:`. The default is what kube-ovn-speaker does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Policy {
    /// Which addresses of Services are announced, and when.
    pub services: ServicePolicy,
    /// Which pods are left out although they are annotated.
    pub pods: PodPolicy,
    /// Whether the host route of a pod is left out where this speaker announces a CIDR of the pod's own subnet that
    /// covers it. Only for pods that every speaker announces: the host route of a `local` pod says which node it is
    /// on, and stays. Default: `false`.
    pub suppress_covered_host_routes: bool,
    /// Larger blocks instead of host routes of pods.
    pub aggregate: Aggregate,
}

/// The section `announce.services`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ServicePolicy {
    /// Whether the cluster addresses (`spec.clusterIPs`) of annotated Services of type `ClusterIP` are announced; the
    /// flag `--announce-cluster-ip` says the same. Default: `false`.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: bool,
    /// Whether `status.loadBalancer.ingress[].ip` of annotated Services of type `LoadBalancer` is announced.
    /// Default: `false`.
    #[serde(rename = "loadBalancerIPs")]
    pub load_balancer_ips: bool,
    /// Whether `spec.externalIPs` of annotated Services of any type are announced. Default: `false`.
    #[serde(rename = "externalIPs")]
    pub external_ips: bool,
    /// Whether a Service is announced only while it has ready endpoints of that family, as its EndpointSlices tell.
    /// It makes `local` possible on Services: such a one is announced by the nodes that have a ready endpoint of it.
    /// Default: `false`.
    pub require_ready_endpoints: bool,
}

/// The section `announce.pods`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PodPolicy {
    /// Whether a pod is withdrawn as soon as it is being deleted, not only when it is gone. Default: `false`.
    pub skip_terminating: bool,
    /// Whether a pod is announced only while its condition `Ready` is `True`. Default: `false`.
    pub skip_unready: bool,
}

/// The section `announce.aggregate`: the host route of a pod that every speaker announces becomes the block of this
/// length around it, provided that the block lies within a CIDR of the pod's subnet. `local` pods keep their host
/// routes, which win over the block (longest match).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Aggregate {
    /// The length of IPv4 blocks, 8 to 31 bits. Default: none, which leaves host routes.
    #[serde(deserialize_with = "ipv4_length")]
    pub ipv4: Option<u8>,
    /// The length of IPv6 blocks, 16 to 127 bits. Default: none, which leaves host routes.
    #[serde(deserialize_with = "ipv6_length")]
    pub ipv6: Option<u8>,
}

impl Policy {
    /// What the flag `--announce-cluster-ip` alone says.
    #[must_use]
    pub fn from_flag(announce_cluster_ip: bool) -> Self {
        let services = ServicePolicy {
            cluster_ips: announce_cluster_ip,
            ..ServicePolicy::default()
        };
        Self {
            services,
            ..Self::default()
        }
    }
}

impl Policy {
    /// Whether the CIDRs of a subnet decide about the routes of its pods.
    pub(super) fn looks_at_cidrs(&self) -> bool {
        self.suppress_covered_host_routes || self.aggregate != Aggregate::default()
    }
}

impl ServicePolicy {
    /// Whether any address of any Service is announced.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.cluster_ips || self.load_balancer_ips || self.external_ips
    }
}

impl Aggregate {
    /// The length of the blocks of a family; `None` where host routes stay.
    #[must_use]
    pub fn length(&self, family: Family) -> Option<u8> {
        match family {
            Family::Ipv4Unicast => self.ipv4,
            Family::Ipv6Unicast => self.ipv6,
        }
    }
}

fn ipv4_length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    length(deserializer, 8, 31)
}

fn ipv6_length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    length(deserializer, 16, 127)
}

fn length<'de, D: Deserializer<'de>>(deserializer: D, least: u8, most: u8) -> Result<Option<u8>, D::Error> {
    let Some(length) = Option::<i64>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let fits = u8::try_from(length)
        .ok()
        .filter(|length| (least..=most).contains(length));
    let refusal = || {
        D::Error::custom(format_args!(
            "a block length of {length} is not possible; write {least} to {most}, or nothing for host routes"
        ))
    };
    fits.map(Some).ok_or_else(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Policy, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_is_the_incumbent() {
        let policy = Policy::default();
        assert!(!policy.services.is_on() && !policy.services.require_ready_endpoints);
        assert_eq!(policy.pods, PodPolicy::default());
        assert_eq!(policy.aggregate.length(Family::Ipv4Unicast), None);
        assert_eq!(read("{}"), Ok(policy));
    }

    #[test]
    fn every_field_is_read_by_its_documented_name() {
        let yaml = "
services: {clusterIPs: true, loadBalancerIPs: true, externalIPs: true, requireReadyEndpoints: true}
pods: {skipTerminating: true, skipUnready: true}
suppressCoveredHostRoutes: true
aggregate: {ipv4: 24, ipv6: 64}
";
        let expected = Policy {
            services: ServicePolicy {
                cluster_ips: true,
                load_balancer_ips: true,
                external_ips: true,
                require_ready_endpoints: true,
            },
            pods: PodPolicy {
                skip_terminating: true,
                skip_unready: true,
            },
            suppress_covered_host_routes: true,
            aggregate: Aggregate {
                ipv4: Some(24),
                ipv6: Some(64),
            },
        };
        assert_eq!(read(yaml), Ok(expected));
        let written = serde_json::to_value(expected).expect("plain data");
        assert_eq!(serde_json::from_value(written).ok(), Some(expected));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let refusal = |yaml| read(yaml).expect_err("refused");
        assert!(refusal("services: {clusterIps: true}").contains("clusterIps"));
        assert!(refusal("suppress: true").contains("suppress"));
        for (yaml, text) in [
            (
                "aggregate: {ipv4: 32}",
                "length of 32 is not possible; write 8 to 31",
            ),
            (
                "aggregate: {ipv4: 0}",
                "length of 0 is not possible; write 8 to 31",
            ),
            (
                "aggregate: {ipv4: 280}",
                "length of 280 is not possible; write 8 to 31",
            ),
            (
                "aggregate: {ipv6: -1}",
                "length of -1 is not possible; write 16 to 127",
            ),
        ] {
            assert!(refusal(yaml).contains(text), "{}", refusal(yaml));
        }
        assert_eq!(read("aggregate: {ipv4: null}"), Ok(Policy::default()));
    }
}
