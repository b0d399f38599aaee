use super::addresses::{Leftovers, read_cidrs};
use super::problem::Finding;
use super::word::Word;
use super::{Body, Change, Id, Index, IndexConfig, ProblemKind};
use crate::objects::{BGP_ANNOTATION, ObjectKey, Subnet};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use wire::Prefix;

pub(super) type SubnetId = u32;

/// All subnets that exist or that some pod names, and the pods of each.
#[derive(Debug, Default)]
pub(super) struct Subnets {
    ids: HashMap<Arc<str>, SubnetId>,
    entries: Vec<SubnetEntry>,
    free: Vec<SubnetId>,
}

#[derive(Debug)]
pub(super) struct SubnetEntry {
    pub(super) name: Arc<str>,
    pub(super) pods: BTreeSet<Id>,
    pub(super) body: Option<SubnetBody>,
}

/// What is known of a subnet that exists.
#[derive(Debug)]
pub(super) struct SubnetBody {
    pub(super) key: Arc<ObjectKey>,
    pub(super) ready: bool,
    pub(super) word: Word,
    pub(super) cidrs: Box<[Prefix]>,
    leftovers: Leftovers,
}

impl Subnets {
    /// The id of the subnet of that name, known or not.
    pub(super) fn acquire(&mut self, name: &str) -> SubnetId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let name: Arc<str> = name.into();
        let entry = SubnetEntry {
            name: Arc::clone(&name),
            pods: BTreeSet::new(),
            body: None,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as SubnetId
            }
        };
        self.ids.insert(name, id);
        id
    }

    pub(super) fn get(&self, id: SubnetId) -> &SubnetEntry {
        &self.entries[id as usize]
    }

    pub(super) fn link(&mut self, id: SubnetId, pod: Id) {
        self.entries[id as usize].pods.insert(pod);
    }

    pub(super) fn unlink(&mut self, id: SubnetId, pod: Id) {
        self.entries[id as usize].pods.remove(&pod);
        self.release(id);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.free.len() == self.entries.len()
    }

    /// Replaces what is known of a subnet and returns what was.
    fn replace(&mut self, id: SubnetId, body: Option<SubnetBody>) -> Option<SubnetBody> {
        std::mem::replace(&mut self.entries[id as usize].body, body)
    }

    fn release(&mut self, id: SubnetId) {
        let entry = &self.entries[id as usize];
        if entry.body.is_some() || !entry.pods.is_empty() {
            return;
        }
        if self.ids.remove(&entry.name).is_some() {
            self.free.push(id);
        }
    }
}

impl SubnetBody {
    fn read(key: &Arc<ObjectKey>, subnet: &Subnet, config: &IndexConfig) -> Self {
        let ready = match &subnet.status {
            None => config.missing_status_is_ready,
            Some(status) => {
                let mut conditions = status.conditions.iter();
                conditions.any(|condition| condition.kind == "Ready" && condition.status == "True")
            }
        };
        let (cidrs, leftovers) = read_cidrs(&subnet.spec.cidr_block, config.families);
        Self {
            key: Arc::clone(key),
            ready,
            word: Word::read(subnet.metadata.annotations.get(BGP_ANNOTATION)),
            cidrs,
            leftovers,
        }
    }

    /// What the subnet itself announces; its pods are another matter.
    pub(super) fn claimed(&self) -> &[Prefix] {
        if self.ready && self.word.is_cluster() {
            return &self.cidrs;
        }
        &[]
    }

    /// Whether a block lies within one of the CIDRs.
    pub(super) fn has_room_for(&self, block: &Prefix) -> bool {
        let mut cidrs = self.cidrs.iter();
        cidrs.any(|cidr| cidr.len() <= block.len() && cidr.contains(block.addr()))
    }

    fn findings(&self, config: &IndexConfig) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |field: &str, kind| findings.push((field.to_owned(), kind));
        if let Word::Unknown(word) = &self.word {
            find(BGP_ANNOTATION, ProblemKind::UnknownValue(word.clone()));
        }
        if !self.word.announces() {
            return findings;
        }
        if !self.ready {
            find(
                "status.conditions",
                ProblemKind::SubnetNotReady(self.key.name.clone()),
            );
        }
        if self.word.is_local() && config.node_name.is_none() {
            find(BGP_ANNOTATION, ProblemKind::LocalWithoutNodeName);
        }
        if !self.leftovers.any {
            find("spec.cidrBlock", ProblemKind::NoAddress);
        }
        if let Some(bad) = &self.leftovers.bad {
            find("spec.cidrBlock", ProblemKind::BadCidr(bad.clone()));
        }
        for family in self.leftovers.peerless.iter() {
            find("spec.cidrBlock", ProblemKind::NoPeer(family));
        }
        if self.word.is_cluster() {
            let lengths = self.cidrs.iter().filter_map(|cidr| {
                let length = config.policy.aggregate.length(cidr.family())?;
                (length < cidr.len()).then_some(length)
            });
            for length in lengths {
                find("spec.cidrBlock", ProblemKind::BlockTooLarge(length));
            }
        }
        findings
    }
}

impl Index {
    pub(super) fn upsert_subnet(&mut self, key: ObjectKey, subnet: &Subnet, changes: &mut Vec<Change>) {
        let id = self.subnets.acquire(&key.name);
        let (_, key) = self.see(key, || Body::Subnet(id));
        let body = SubnetBody::read(&key, subnet, &self.config);
        let findings = body.findings(&self.config);
        self.problems.identify(&key, Some(&subnet.metadata.uid));
        self.replace_subnet(id, Some(body), changes);
        self.problems.set(&key, findings);
    }

    pub(super) fn remove_subnet(&mut self, id: SubnetId, changes: &mut Vec<Change>) {
        self.replace_subnet(id, None, changes);
        self.subnets.release(id);
    }

    fn replace_subnet(&mut self, id: SubnetId, body: Option<SubnetBody>, changes: &mut Vec<Change>) {
        let old = self.subnets.replace(id, body);
        let old = old.as_ref();
        let new = self.subnets.get(id).body.as_ref();
        let old_cidrs = old.map_or(&[][..], SubnetBody::claimed);
        let new_cidrs = new.map_or(&[][..], SubnetBody::claimed);
        let policy = |body: Option<&SubnetBody>| body.map(|body| (body.ready, body.word.clone()));
        let cidrs_matter = self.config.policy.looks_at_cidrs();
        let same_cidrs = old.map(|body| &body.cidrs) == new.map(|body| &body.cidrs);
        if policy(old) == policy(new) && (same_cidrs || !cidrs_matter) {
            self.claims.replace(old_cidrs, new_cidrs, changes);
            return;
        }
        // Everything new is claimed before anything old is given back, so no prefix changes twice.
        changes.extend(new_cidrs.iter().filter_map(|cidr| self.claims.add(*cidr)));
        let lost = self.reclaim_pods_of(id, old, changes);
        let lost = old_cidrs.iter().copied().chain(lost);
        changes.extend(lost.filter_map(|prefix| self.claims.remove(prefix)));
        self.diagnose_pods_of(id);
    }
}
