use super::addresses::family_name;
use crate::objects::ObjectKey;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use wire::Family;

/// Why an object does not do what its annotation seems to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object.
    pub object: ObjectKey,
    /// Its `metadata.uid`; empty where it has none, as in a manifest.
    pub uid: Box<str>,
    /// The field to look at, for example `spec.cidrBlock` or an annotation key.
    pub field: String,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What is wrong. The text of each says what was found; [`ProblemKind::remedy`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// The annotation has a value that means nothing.
    #[error("value {0:?} means nothing, so nothing is announced")]
    UnknownValue(Box<str>),
    /// `local`, but it is not known on which node this speaker runs.
    #[error("policy local cannot be followed: this speaker has no node name")]
    LocalWithoutNodeName,
    /// `local` on an object that belongs to no node.
    #[error("policy local is not possible here, so nothing is announced")]
    LocalUnsupported,
    /// `local` on a Service, but this speaker does not look at endpoints.
    #[error(
        "policy local is not possible on Services as this speaker is configured, so nothing is announced"
    )]
    LocalNeedsEndpoints,
    /// A Service whose addresses are announced by every node, though some nodes drop what comes for them.
    #[error("{0} is Local: a node without an endpoint drops what comes for it, but every node announces it")]
    TrafficPolicyLocal(&'static str),
    /// A Service that nobody would answer for.
    #[error("the Service has no ready endpoint for {}, so that is not announced", family_name(*.0))]
    NoReadyEndpoints(Family),
    /// A pod that is being deleted.
    #[error("the pod is terminating, so it is not announced")]
    Terminating,
    /// A pod that is not Ready.
    #[error("the pod is not Ready, so it is not announced")]
    PodNotReady,
    /// A subnet whose CIDR is smaller than the blocks that host routes are to become.
    #[error("a block of length {0} is larger than this CIDR, so the pods in it keep their host routes")]
    BlockTooLarge(u8),
    /// `local` on a pod that has no node yet.
    #[error("policy local waits: the pod has no node yet")]
    NotScheduled,
    /// A pod in the node's own network.
    #[error("the pod uses the node's own network and has no address to announce")]
    HostNetwork,
    /// There is no address.
    #[error("there is no address to announce")]
    NoAddress,
    /// The pod names no subnet for that network.
    #[error("the pod has an address on network {0:?} but names no subnet for it")]
    NoSubnet(Box<str>),
    /// The subnet of the pod does not exist.
    #[error("subnet {0} does not exist, so the pod is not announced")]
    SubnetMissing(Box<str>),
    /// The subnet is not Ready.
    #[error("subnet {0} is not Ready, so nothing on it is announced")]
    SubnetNotReady(Box<str>),
    /// A part of a list of addresses.
    #[error("{0:?} is no address that can be announced; it is skipped")]
    BadAddress(Box<str>),
    /// A part of a list of CIDRs.
    #[error("{0:?} is no CIDR that can be announced; it is skipped")]
    BadCidr(Box<str>),
    /// No peer takes that family.
    #[error("{} is not announced: no peer is configured for it", family_name(*.0))]
    NoPeer(Family),
    /// Services are not considered.
    #[error("cluster addresses of Services are not announced by this speaker")]
    ServicesOff,
    /// A service of another type.
    #[error("Services of type {0:?} are not announced")]
    ServiceType(Box<str>),
    /// A service without an address.
    #[error("a headless Service has no cluster address to announce")]
    Headless,
    /// An EIP, but this speaker does not run in a NAT gateway.
    #[error("addresses of NAT gateways are not announced by this speaker")]
    NotAGateway,
    /// An EIP of another gateway.
    #[error("the address belongs to NAT gateway {0:?}, not to this one")]
    OtherGateway(Box<str>),
    /// An EIP that its gateway does not hold yet.
    #[error("the address is not ready, so it is not announced")]
    EipNotReady,
}

/// How much a problem asks for attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody should change something.
    Warning,
    /// The usual course of things, or the task of another speaker; good to know when asking why.
    Note,
}

impl ProblemKind {
    /// How much it asks for attention.
    pub fn severity(&self) -> Severity {
        match self {
            Self::NotScheduled
            | Self::NoReadyEndpoints(_)
            | Self::Terminating
            | Self::PodNotReady
            | Self::BlockTooLarge(_)
            | Self::NoAddress
            | Self::ServicesOff
            | Self::NotAGateway
            | Self::OtherGateway(_)
            | Self::EipNotReady => Severity::Note,
            Self::UnknownValue(_)
            | Self::LocalWithoutNodeName
            | Self::LocalUnsupported
            | Self::LocalNeedsEndpoints
            | Self::TrafficPolicyLocal(_)
            | Self::HostNetwork
            | Self::NoSubnet(_)
            | Self::SubnetMissing(_)
            | Self::SubnetNotReady(_)
            | Self::BadAddress(_)
            | Self::BadCidr(_)
            | Self::NoPeer(_)
            | Self::ServiceType(_)
            | Self::Headless => Severity::Warning,
        }
    }

    /// A short name for machines, as in the reason of a Kubernetes Event.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownValue(_) => "UnknownValue",
            Self::LocalWithoutNodeName => "LocalWithoutNodeName",
            Self::LocalUnsupported => "LocalUnsupported",
            Self::LocalNeedsEndpoints => "LocalNeedsEndpoints",
            Self::TrafficPolicyLocal(_) => "TrafficPolicyLocal",
            Self::NoReadyEndpoints(_) => "NoReadyEndpoints",
            Self::Terminating => "Terminating",
            Self::PodNotReady => "PodNotReady",
            Self::BlockTooLarge(_) => "BlockTooLarge",
            Self::NotScheduled => "NotScheduled",
            Self::HostNetwork => "HostNetwork",
            Self::NoAddress => "NoAddress",
            Self::NoSubnet(_) => "NoSubnet",
            Self::SubnetMissing(_) => "SubnetMissing",
            Self::SubnetNotReady(_) => "SubnetNotReady",
            Self::BadAddress(_) => "BadAddress",
            Self::BadCidr(_) => "BadCidr",
            Self::NoPeer(_) => "NoPeer",
            Self::ServicesOff => "ServicesOff",
            Self::ServiceType(_) => "ServiceType",
            Self::Headless => "Headless",
            Self::NotAGateway => "NotAGateway",
            Self::OtherGateway(_) => "OtherGateway",
            Self::EipNotReady => "EipNotReady",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::UnknownValue(_) => "use true, cluster or local (EIPs: true or cluster)",
            Self::LocalWithoutNodeName => "set --node-name or NODE_NAME",
            Self::LocalUnsupported => "use true: it is reached through every speaker",
            Self::LocalNeedsEndpoints => "use true, or turn on announce.services.requireReadyEndpoints",
            Self::TrafficPolicyLocal(_) => {
                "turn on announce.services.requireReadyEndpoints, or set it to Cluster"
            }
            Self::NoReadyEndpoints(_) => {
                "see the pods behind the Service (announce.services.requireReadyEndpoints)"
            }
            Self::Terminating => "nothing to do (announce.pods.skipTerminating)",
            Self::PodNotReady => "see the conditions in the status of the pod (announce.pods.skipUnready)",
            Self::BlockTooLarge(_) => {
                "set announce.aggregate to a longer length if they are to become blocks"
            }
            Self::NotScheduled => "wait for the scheduler, or set spec.nodeName in a manifest",
            Self::HostNetwork => "remove the annotation",
            Self::NoAddress => "wait until one is assigned, or set it in a manifest",
            Self::NoSubnet(_) => "set the annotation that ends in .kubernetes.io/logical_switch",
            Self::SubnetMissing(_) => "create the subnet, or correct the pod's logical_switch annotation",
            Self::SubnetNotReady(_) => "see the conditions in the status of the subnet",
            Self::BadAddress(_) => "write a plain unicast address such as 10.16.0.5 or fd00:10:16::5",
            Self::BadCidr(_) => "write an address and a length such as 10.16.0.0/16",
            Self::NoPeer(Family::Ipv4Unicast) => "set --neighbor-address (or --extended-nexthop)",
            Self::NoPeer(Family::Ipv6Unicast) => "set --neighbor-ipv6-address (or --extended-nexthop)",
            Self::ServicesOff => "set --announce-cluster-ip",
            Self::ServiceType(_) => {
                "remove the annotation, or turn on announce.services.loadBalancerIPs or externalIPs if those are meant"
            }
            Self::Headless => "remove the annotation, or announce its pods",
            Self::NotAGateway => "they are announced by the speaker in the NAT gateway (--nat-gw-mode)",
            Self::OtherGateway(_) => "nothing to do: the speaker of that gateway announces it",
            Self::EipNotReady => "wait for status.ready, or see the events of the EIP",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remedy = self.kind.remedy();
        write!(f, "{}: {}: {}; {remedy}", self.object, self.field, self.kind)
    }
}

/// How many problems there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProblemCount {
    /// Of severity [`Severity::Warning`].
    pub warnings: usize,
    /// Of severity [`Severity::Note`].
    pub notes: usize,
}

/// A problem that came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemChange {
    /// It was not there when changes were last taken.
    New(Problem),
    /// It is no longer there.
    Cleared(Problem),
}

/// A field and what is wrong with it, on an object known from the context.
pub(super) type Finding = (String, ProblemKind);

/// The present problems, and what they were when changes were last taken.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// The uids of those objects that may have a problem.
    uids: HashMap<Arc<ObjectKey>, Box<str>>,
    current: BTreeMap<Arc<ObjectKey>, Vec<Finding>>,
    before: BTreeMap<Arc<ObjectKey>, Vec<Finding>>,
}

impl Problems {
    /// Remembers the uid of an object that may have a problem; `None` for one that cannot have any.
    pub(super) fn identify(&mut self, object: &Arc<ObjectKey>, uid: Option<&str>) {
        match uid.filter(|uid| !uid.is_empty()) {
            None => drop(self.uids.remove(object)),
            Some(uid) if self.uids.get(object).is_some_and(|known| **known == *uid) => {}
            Some(uid) => drop(self.uids.insert(Arc::clone(object), uid.into())),
        }
    }

    /// Forgets a deleted object.
    pub(super) fn forget(&mut self, object: &Arc<ObjectKey>) {
        self.set(object, Vec::new());
        self.uids.remove(object);
    }

    /// Whether nothing is known of any object.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.uids.is_empty() && self.current.is_empty()
    }

    /// Sets everything that is wrong with one object.
    pub(super) fn set(&mut self, object: &Arc<ObjectKey>, findings: Vec<Finding>) {
        let current = self.current.get(object);
        if current.map_or(&[][..], Vec::as_slice) == findings {
            return;
        }
        let current = current.cloned().unwrap_or_default();
        self.before.entry(Arc::clone(object)).or_insert(current);
        if findings.is_empty() {
            self.current.remove(object);
            return;
        }
        self.current.insert(Arc::clone(object), findings);
    }

    /// What came and what went since the last call; what came and went in between is not mentioned.
    pub(super) fn take_changes(&mut self) -> Vec<ProblemChange> {
        let mut changes = Vec::new();
        for (object, before) in std::mem::take(&mut self.before) {
            let now = self.current.get(&object).map_or(&[][..], Vec::as_slice);
            let cleared = before.iter().filter(|finding| !now.contains(finding));
            changes.extend(cleared.map(|finding| ProblemChange::Cleared(self.problem(&object, finding))));
            let new = now.iter().filter(|finding| !before.contains(finding));
            changes.extend(new.map(|finding| ProblemChange::New(self.problem(&object, finding))));
        }
        changes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Problem> + '_ {
        self.all().map(|(object, finding)| self.problem(object, finding))
    }

    pub(super) fn iter_of(&self, severity: Severity) -> impl Iterator<Item = Problem> + '_ {
        let those = self
            .all()
            .filter(move |(_, (_, kind))| kind.severity() == severity);
        those.map(|(object, finding)| self.problem(object, finding))
    }

    pub(super) fn count(&self) -> ProblemCount {
        let mut count = ProblemCount::default();
        for (_, (_, kind)) in self.all() {
            match kind.severity() {
                Severity::Warning => count.warnings += 1,
                Severity::Note => count.notes += 1,
            }
        }
        count
    }

    fn all(&self) -> impl Iterator<Item = (&Arc<ObjectKey>, &Finding)> {
        let all = self.current.iter();
        all.flat_map(|(object, findings)| findings.iter().map(move |finding| (object, finding)))
    }

    fn problem(&self, object: &ObjectKey, (field, kind): &Finding) -> Problem {
        Problem {
            object: object.clone(),
            uid: self.uids.get(object).cloned().unwrap_or_default(),
            field: field.clone(),
            kind: kind.clone(),
        }
    }
}
