use super::addresses::{Addresses, Leftovers, read_addresses};
use super::problem::Finding;
use super::subnets::{SubnetBody, SubnetId, Subnets};
use super::word::Word;
use super::{Body, Change, Id, Index, IndexConfig, Policy, ProblemKind};
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
    pub(super) here: bool,
    /// Why the policy leaves it out, whatever its annotation says.
    pub(super) left_out: Option<LeftOut>,
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
}

/// Why the policy leaves a pod out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// It is being deleted.
    Terminating,
    /// It is not Ready.
    Unready,
}

/// As what an address of a pod is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Host,
    /// As the block around it.
    Block(Prefix),
    /// Not at all, because this CIDR of its subnet is announced.
    Covered(Prefix),
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
            left_out: left_out(pod, config),
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
            })
        });
        body.networks = networks.collect();
        body
    }

    /// Whether neither this pod nor any change of its subnets can announce or diagnose anything.
    fn is_inert(&self) -> bool {
        !self.alive || (self.networks.is_empty() && !self.word.is_set())
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
        if self.left_out.is_some() {
            return false;
        }
        let word = self.effective(subnet);
        word.is_cluster() || (word.is_local() && self.here)
    }

    /// As what an address on a subnet that exists is announced, provided that it is announced.
    pub(super) fn form_of(&self, host: Prefix, subnet: &SubnetBody, policy: &Policy) -> Form {
        // Where only one node has it, its host route is what leads there: it wins over whatever is shorter.
        if !self.effective(subnet).is_cluster() {
            return Form::Host;
        }
        if policy.suppress_covered_host_routes
            && let Some(cidr) = subnet.claimed().iter().find(|cidr| cidr.contains(host.addr()))
        {
            return Form::Covered(*cidr);
        }
        let length = policy.aggregate.length(host.family());
        let block = length.and_then(|length| Prefix::new(host.addr(), length));
        // What lies beyond the subnet may belong to somebody else.
        match block.filter(|block| subnet.has_room_for(block)) {
            Some(block) => Form::Block(block),
            None => Form::Host,
        }
    }

    /// What it claims on one of its networks if its subnet is in that state. An address of the network may stand for a
    /// prefix that another one stands for too; then the prefix is there twice.
    pub(super) fn routes_on<'a>(
        &'a self,
        network: &'a Network,
        subnet: Option<&'a SubnetBody>,
        policy: &'a Policy,
    ) -> impl Iterator<Item = Prefix> + 'a {
        let subnet = subnet.filter(|subnet| self.announces_on(Some(subnet)));
        subnet.into_iter().flat_map(move |subnet| {
            let hosts = network.addresses.prefixes();
            hosts.filter_map(move |host| match self.form_of(host, subnet, policy) {
                Form::Host => Some(host),
                Form::Block(block) => Some(block),
                Form::Covered(_) => None,
            })
        })
    }

    /// Whether it announces something now.
    pub(super) fn announces(&self, subnets: &Subnets, policy: &Policy) -> bool {
        self.networks.iter().any(|network| {
            let subnet = network.subnet.and_then(|id| subnets.get(id).body.as_ref());
            self.routes_on(network, subnet, policy).next().is_some()
        })
    }

    /// The claimed prefixes in order, as often as they are claimed.
    fn claimed(&self, subnets: &Subnets, policy: &Policy) -> Vec<Prefix> {
        let networks = self.networks.iter();
        let mut prefixes: Vec<_> = networks
            .flat_map(|network| {
                let subnet = network.subnet.and_then(|id| subnets.get(id).body.as_ref());
                self.routes_on(network, subnet, policy)
            })
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
        match self.left_out {
            Some(LeftOut::Terminating) => find(ProblemKind::Terminating),
            Some(LeftOut::Unready) => find(ProblemKind::PodNotReady),
            None => {}
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

fn left_out(pod: &Pod, config: &IndexConfig) -> Option<LeftOut> {
    let policy = &config.policy.pods;
    if policy.skip_terminating && pod.metadata.is_terminating {
        return Some(LeftOut::Terminating);
    }
    if !policy.skip_unready {
        return None;
    }
    let mut conditions = pod.status.conditions.iter();
    let ready = match conditions.find(|condition| condition.kind == "Ready") {
        Some(condition) => condition.status == "True",
        None => config.missing_status_is_ready,
    };
    (!ready).then_some(LeftOut::Unready)
}

impl Index {
    pub(super) fn upsert_pod(&mut self, key: ObjectKey, pod: &Pod, changes: &mut Vec<Change>) {
        let body = PodBody::read(pod, &self.config, &mut self.subnets);
        if body.is_inert() {
            return self.delete(&key, changes);
        }
        let (id, key) = self.see(key, || Body::Pod(PodBody::default()));
        for subnet in body.networks.iter().filter_map(|network| network.subnet) {
            self.subnets.link(subnet, id);
        }
        let findings = body.findings(&self.subnets, &self.config);
        let claimed = body.claimed(&self.subnets, &self.config.policy);
        let uid = body.needs_findings().then_some(pod.metadata.uid.as_str());
        self.problems.identify(&key, uid);
        let old = self.put_pod(id, body);
        let before = old.claimed(&self.subnets, &self.config.policy);
        self.claims.replace(&before, &claimed, changes);
        self.unlink_pod(id, &old);
        self.problems.set(&key, findings);
    }

    /// Takes back what a deleted pod claimed. The slot is already empty.
    pub(super) fn remove_pod(&mut self, id: Id, body: &PodBody, changes: &mut Vec<Change>) {
        let claimed = body.claimed(&self.subnets, &self.config.policy);
        self.claims.replace(&claimed, &[], changes);
        self.unlink_pod(id, body);
    }

    /// Adds what the pods of a subnet claim now and did not before its body changed from the old one, and returns
    /// what they claim no more.
    pub(super) fn reclaim_pods_of(
        &mut self,
        subnet: SubnetId,
        old: Option<&SubnetBody>,
        changes: &mut Vec<Change>,
    ) -> Vec<Prefix> {
        let entry = self.subnets.get(subnet);
        let policy = &self.config.policy;
        let mut lost = Vec::new();
        for id in &entry.pods {
            let Some(Body::Pod(pod)) = self.slots[*id as usize].as_ref().map(|slot| &slot.body) else {
                continue;
            };
            for network in pod
                .networks
                .iter()
                .filter(|network| network.subnet == Some(subnet))
            {
                let was = || pod.routes_on(network, old, policy);
                let is = || pod.routes_on(network, entry.body.as_ref(), policy);
                if was().eq(is()) {
                    continue;
                }
                changes.extend(is().filter_map(|prefix| self.claims.add(prefix)));
                lost.extend(was());
            }
        }
        lost
    }

    /// Diagnoses the pods of a subnet anew.
    pub(super) fn diagnose_pods_of(&mut self, subnet: SubnetId) {
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

    fn put_pod(&mut self, id: Id, body: PodBody) -> PodBody {
        let Some(slot) = &mut self.slots[id as usize] else {
            return PodBody::default();
        };
        match std::mem::replace(&mut slot.body, Body::Pod(body)) {
            Body::Pod(old) => old,
            Body::Subnet(_) | Body::Plain(_) | Body::Service(_) | Body::Slice(_) => PodBody::default(),
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
            Body::Subnet(_) | Body::Plain(_) | Body::Service(_) | Body::Slice(_) => false,
        }
    }
}
