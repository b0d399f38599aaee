use super::addresses::{Addresses, Leftovers, read_addresses};
use super::problem::Finding;
use super::subnets::{SubnetBody, SubnetId, Subnets};
use super::word::Word;
use super::{Body, Change, Id, Index, IndexConfig, ProblemKind};
use crate::objects::{BGP_ANNOTATION, IP_ADDRESS_SUFFIX, LOGICAL_SWITCH_SUFFIX, ObjectKey, Pod};
use wire::Prefix;

/// What is known of a pod that may be announced.
#[derive(Debug, Default)]
pub(super) struct PodBody {
    pub(super) word: Word,
    alive: bool,
    host_network: bool,
    scheduled: bool,
    /// Whether it runs on the node of this speaker.
    here: bool,
    pub(super) networks: Box<[Network]>,
}

/// A pod on one network.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) provider: Provider,
    /// `None` where the pod names no subnet for this network.
    pub(super) subnet: Option<SubnetId>,
    pub(super) addresses: Addresses,
    leftovers: Leftovers,
    /// Whether the addresses are claimed now.
    pub(super) claimed: bool,
}

/// The network a pod is attached to, by its annotation prefix.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// `ovn`: the network of the cluster. Nearly every pod is here, so it costs no allocation.
    Default,
    /// `<attachment definition>.<namespace>.ovn`.
    Attachment(Box<str>),
}

impl Provider {
    const DEFAULT: &str = "ovn";

    fn read(name: &str) -> Self {
        if name == Self::DEFAULT {
            return Self::Default;
        }
        Self::Attachment(name.into())
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Default => Self::DEFAULT,
            Self::Attachment(name) => name,
        }
    }

    pub(super) fn address_key(&self) -> String {
        format!("{}{IP_ADDRESS_SUFFIX}", self.name())
    }

    fn subnet_key(&self) -> String {
        format!("{}{LOGICAL_SWITCH_SUFFIX}", self.name())
    }
}

impl PodBody {
    fn read(pod: &Pod, config: &IndexConfig, subnets: &mut Subnets) -> Self {
        let word = Word::read(pod.metadata.annotations.get(BGP_ANNOTATION));
        let node = &pod.spec.node_name;
        let mut body = Self {
            word,
            alive: is_alive(pod),
            host_network: pod.spec.host_network,
            scheduled: !node.is_empty(),
            here: !node.is_empty() && config.node_name.as_ref() == Some(node),
            networks: Box::default(),
        };
        if !body.alive || body.host_network {
            return body;
        }
        let annotations = &pod.metadata.annotations;
        let networks = annotations.iter().filter_map(|(key, list)| {
            let provider = key.strip_suffix(IP_ADDRESS_SUFFIX)?;
            if provider.is_empty() || list.is_empty() {
                return None;
            }
            let provider = Provider::read(provider);
            let subnet = annotations.get(&provider.subnet_key());
            let (addresses, leftovers) = read_addresses(list, config.families);
            Some(Network {
                provider,
                subnet: subnet.map(|name| subnets.acquire(name)),
                addresses,
                leftovers,
                claimed: false,
            })
        });
        body.networks = networks.collect();
        body
    }

    /// Whether neither this pod nor any change of its subnets can announce or diagnose anything.
    fn is_inert(&self) -> bool {
        !self.alive || (self.networks.is_empty() && !self.word.is_set())
    }

    /// Whether it announces something now.
    pub(super) fn announces(&self) -> bool {
        self.networks.iter().any(|network| network.claimed)
    }

    /// The policy that counts on a subnet: the pod's own, else that of the subnet.
    pub(super) fn effective<'a>(&'a self, subnet: &'a SubnetBody) -> &'a Word {
        if self.word.is_set() {
            &self.word
        } else {
            &subnet.word
        }
    }

    fn announces_on(&self, subnet: Option<&SubnetBody>) -> bool {
        let Some(subnet) = subnet.filter(|subnet| subnet.ready) else {
            return false;
        };
        let word = self.effective(subnet);
        word.is_cluster() || (word.is_local() && self.here)
    }

    /// The claimed prefixes in order. A prefix on two networks is there twice.
    fn claimed(&self) -> Vec<Prefix> {
        let networks = self.networks.iter().filter(|network| network.claimed);
        let mut prefixes: Vec<_> = networks
            .flat_map(|network| network.addresses.prefixes())
            .collect();
        prefixes.sort_unstable();
        prefixes
    }

    fn findings(&self, subnets: &Subnets, config: &IndexConfig) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.word.is_set() {
            self.find_own(config, &mut findings);
        }
        for network in &self.networks {
            self.find_on(network, subnets, &mut findings);
        }
        findings
    }

    fn find_own(&self, config: &IndexConfig, findings: &mut Vec<Finding>) {
        let mut find = |kind| findings.push((BGP_ANNOTATION.to_owned(), kind));
        if let Word::Unknown(word) = &self.word {
            find(ProblemKind::UnknownValue(word.clone()));
        }
        if !self.word.announces() {
            return;
        }
        if self.host_network {
            return find(ProblemKind::HostNetwork);
        }
        if self.networks.is_empty() {
            find(ProblemKind::NoAddress);
        }
        if !self.word.is_local() {
            return;
        }
        if config.node_name.is_none() {
            return find(ProblemKind::LocalWithoutNodeName);
        }
        if !self.scheduled {
            find(ProblemKind::NotScheduled);
        }
    }

    /// What hangs on the subnet is said of the pod only where the pod itself asks for announcement; otherwise the
    /// subnet says it once for all its pods.
    fn find_on(&self, network: &Network, subnets: &Subnets, findings: &mut Vec<Finding>) {
        let asks = self.word.announces();
        let provider = &network.provider;
        let Some(subnet) = network.subnet else {
            if asks {
                let kind = ProblemKind::NoSubnet(provider.name().into());
                findings.push((provider.subnet_key(), kind));
            }
            return;
        };
        let entry = subnets.get(subnet);
        let ready = match &entry.body {
            None if asks => Err(ProblemKind::SubnetMissing(entry.name.as_ref().into())),
            Some(body) if asks && !body.ready => Err(ProblemKind::SubnetNotReady(entry.name.as_ref().into())),
            None | Some(_) => Ok(()),
        };
        if let Err(kind) = ready {
            findings.push((provider.subnet_key(), kind));
        }
        if !self.announces_on(entry.body.as_ref()) {
            return;
        }
        if let Some(bad) = &network.leftovers.bad {
            findings.push((provider.address_key(), ProblemKind::BadAddress(bad.clone())));
        }
        if asks {
            let peerless = network.leftovers.peerless.iter();
            findings.extend(peerless.map(|family| (provider.address_key(), ProblemKind::NoPeer(family))));
        }
    }

    fn needs_findings(&self) -> bool {
        self.word.is_set()
            || self
                .networks
                .iter()
                .any(|network| network.leftovers.bad.is_some())
    }
}

/// Whether the pod holds its addresses, as kube-ovn-speaker decides it. Pending, unready and terminating pods do.
fn is_alive(pod: &Pod) -> bool {
    let policy = pod.spec.restart_policy.as_str();
    match pod.status.phase.as_str() {
        "Succeeded" => policy == "Always" || policy.is_empty(),
        "Failed" => policy != "Never" && pod.status.reason != "Evicted",
        _ => true,
    }
}

impl Index {
    pub(super) fn upsert_pod(&mut self, key: ObjectKey, pod: &Pod, changes: &mut Vec<Change>) {
        let mut body = PodBody::read(pod, &self.config, &mut self.subnets);
        if body.is_inert() {
            return self.delete(&key, changes);
        }
        let (id, key) = self.see(key, || Body::Pod(PodBody::default()));
        let mut networks = std::mem::take(&mut body.networks);
        for network in &mut networks {
            let Some(subnet) = network.subnet else { continue };
            self.subnets.link(subnet, id);
            network.claimed = body.announces_on(self.subnets.get(subnet).body.as_ref());
        }
        body.networks = networks;
        let findings = body.findings(&self.subnets, &self.config);
        let claimed = body.claimed();
        let old = self.put_pod(id, body);
        self.claims.replace(&old.claimed(), &claimed, changes);
        self.unlink_pod(id, &old);
        self.problems.set(&key, findings);
    }

    /// Takes back what a deleted pod claimed. The slot is already empty.
    pub(super) fn remove_pod(&mut self, id: Id, body: &PodBody, changes: &mut Vec<Change>) {
        self.claims.replace(&body.claimed(), &[], changes);
        self.unlink_pod(id, body);
    }

    /// Adds the claims of those pods of a subnet that are announced now and were not before.
    pub(super) fn claim_pods_of(&mut self, subnet: SubnetId, changes: &mut Vec<Change>) {
        self.reclaim_pods_of(subnet, true, changes);
    }

    /// Takes back the claims of those pods of a subnet that are no longer announced, and diagnoses them anew.
    pub(super) fn release_pods_of(&mut self, subnet: SubnetId, changes: &mut Vec<Change>) {
        self.reclaim_pods_of(subnet, false, changes);
        for id in &self.subnets.get(subnet).pods {
            let Some(slot) = &self.slots[*id as usize] else {
                continue;
            };
            let Body::Pod(pod) = &slot.body else { continue };
            if pod.needs_findings() {
                let findings = pod.findings(&self.subnets, &self.config);
                self.problems.set(&slot.key, findings);
            }
        }
    }

    fn reclaim_pods_of(&mut self, subnet: SubnetId, claim: bool, changes: &mut Vec<Change>) {
        let entry = self.subnets.get(subnet);
        for id in &entry.pods {
            let Some(slot) = &mut self.slots[*id as usize] else {
                continue;
            };
            let Body::Pod(pod) = &mut slot.body else {
                continue;
            };
            let claimed = pod.announces_on(entry.body.as_ref());
            if claimed != claim {
                continue;
            }
            for network in &mut pod.networks {
                if network.subnet != Some(subnet) || network.claimed == claim {
                    continue;
                }
                network.claimed = claim;
                let prefixes = network.addresses.prefixes();
                if claim {
                    changes.extend(prefixes.filter_map(|prefix| self.claims.add(prefix)));
                } else {
                    changes.extend(prefixes.filter_map(|prefix| self.claims.remove(prefix)));
                }
            }
        }
    }

    fn put_pod(&mut self, id: Id, body: PodBody) -> PodBody {
        let Some(slot) = &mut self.slots[id as usize] else {
            return PodBody::default();
        };
        match std::mem::replace(&mut slot.body, Body::Pod(body)) {
            Body::Pod(old) => old,
            Body::Subnet(_) | Body::Plain(_) => PodBody::default(),
        }
    }

    fn unlink_pod(&mut self, id: Id, old: &PodBody) {
        for network in &old.networks {
            let Some(subnet) = network.subnet else { continue };
            if !self.is_on(id, subnet) {
                self.subnets.unlink(subnet, id);
            }
        }
    }

    fn is_on(&self, id: Id, subnet: SubnetId) -> bool {
        let Some(slot) = &self.slots[id as usize] else {
            return false;
        };
        match &slot.body {
            Body::Pod(pod) => pod.networks.iter().any(|network| network.subnet == Some(subnet)),
            Body::Subnet(_) | Body::Plain(_) => false,
        }
    }
}
