//! The announcement index: which prefixes this node should announce now, and why.
//!
//! ```text
//! object events ──▶ Index::apply ──▶ changes of the desired set (never the whole set)
//!                      │
//!                      ├─ explain(prefix): the objects and the policy behind it
//!                      └─ problems(): objects whose annotation cannot do what it asks for
//! ```
//!
//! It is a pure fold: no I/O, no clock, and the same events give the same changes in the same order. Each object
//! holds *claims* on prefixes; a prefix is desired as long as anybody claims it. A pod depends on the subnets its
//! annotations name, so each subnet knows its pods and a changed subnet looks at no others.
//!
//! Policy: the annotation `ovn.kubernetes.io/bgp` of the pod, else that of its subnet; `true`, `yes` and
//! `cluster` mean every speaker, `local` the speaker on the pod's node, `false` none. What [`Policy`] says on top of
//! that decides which of it becomes a route; [`Index::withheld`] tells where it decided against one.

mod addresses;
mod claims;
mod endpoints;
mod explain;
mod plain;
mod pods;
pub mod policy;
mod problem;
mod services;
mod subnets;
mod withheld;
mod word;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod problem_tests;
#[cfg(test)]
mod tests;

pub use explain::{Reason, Via};
pub use policy::Policy;
pub use problem::{Problem, ProblemChange, ProblemCount, ProblemKind, Severity};
pub use withheld::{Because, Withheld};

use crate::objects::{Kind, Object, ObjectKey};
use claims::Claims;
use endpoints::Endpoints;
use plain::PlainBody;
use pods::PodBody;
use problem::Problems;
use services::ServiceBody;
use std::collections::HashMap;
use std::sync::Arc;
use subnets::{SubnetId, Subnets};
use wire::{FamilySet, Prefix};

/// What this speaker is and may announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexConfig {
    /// The name of this node in lower case, as pods name it in `spec.nodeName`; `None` if it is not known, which
    /// makes `local` impossible.
    pub node_name: Option<String>,
    /// The families that some peer takes. Prefixes of another family are diagnosed, not announced.
    pub families: FamilySet,
    /// What is announced beyond the words of the annotations.
    pub policy: Policy,
    /// Whose addresses are announced.
    pub mode: Mode,
    /// Whether a Subnet or IptablesEIP without any `status` is taken as ready: yes for manifests, which have no
    /// controller that would write one, no for an API server.
    pub missing_status_is_ready: bool,
}

/// Whose addresses are announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Pods, Subnets and Services.
    Node,
    /// The IptablesEIPs of one NAT gateway.
    NatGateway {
        /// The name of the VpcNatGateway.
        gateway_name: String,
    },
}

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The object was created or changed; this is all of it.
    Upsert(Box<Object>),
    /// The object is gone.
    Delete(ObjectKey),
    /// The object is there, but cannot be read now: what is known of it stays, also over a resync.
    Keep(ObjectKey),
}

/// A prefix that entered or left the desired set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The prefix.
    pub prefix: Prefix,
    /// Whether it is to be announced (else withdrawn).
    pub announced: bool,
}

/// The fold of object events into the desired set. See the [module](self).
#[derive(Debug)]
pub struct Index {
    config: IndexConfig,
    ids: HashMap<Arc<ObjectKey>, Id>,
    slots: Vec<Option<Slot>>,
    free: Vec<Id>,
    subnets: Subnets,
    endpoints: Endpoints,
    claims: Claims,
    problems: Problems,
    generation: u32,
    resyncs: [Option<u32>; Kind::ALL.len()],
}

type Id = u32;

#[derive(Debug)]
struct Slot {
    key: Arc<ObjectKey>,
    /// Counts up with each resync; an object not seen since its kind's resync began has an older one.
    generation: u32,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Pod(PodBody),
    Subnet(SubnetId),
    Service(Box<ServiceBody>),
    /// An EndpointSlice, and the Service it belongs to.
    Slice(Arc<ObjectKey>),
    Plain(PlainBody),
}

impl Index {
    /// An empty index.
    pub fn new(config: IndexConfig) -> Self {
        Self {
            config,
            ids: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            subnets: Subnets::default(),
            endpoints: Endpoints::default(),
            claims: Claims::default(),
            problems: Problems::default(),
            generation: 0,
            resyncs: [None; Kind::ALL.len()],
        }
    }

    /// Takes one event in and returns how the desired set changed by it: each prefix at most once, announcements
    /// first.
    pub fn apply(&mut self, event: Event) -> Vec<Change> {
        self.apply_all([event])
    }

    /// Takes several events in as one: a prefix that leaves with one object and enters with another does not
    /// appear in the changes.
    pub fn apply_all(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<Change> {
        let mut changes = Vec::new();
        for event in events {
            self.fold(event, &mut changes);
        }
        net(changes)
    }

    /// Begins the replacement of all objects of one kind: whatever is not upserted until
    /// [`complete_resync`](Self::complete_resync) was deleted meanwhile. Upserts take effect at once. A resync
    /// that was begun and not completed is abandoned by this.
    pub fn begin_resync(&mut self, kind: Kind) {
        self.generation = self.generation.wrapping_add(1);
        self.resyncs[kind as usize] = Some(self.generation);
    }

    /// How much of what is announced depends on the objects that [`complete_resync`](Self::complete_resync) would delete
    /// now, and how much on those that it would keep. For a guard against an implausibly empty answer.
    pub fn resync_outcome(&self, kind: Kind) -> ResyncOutcome {
        let began = self.resyncs[kind as usize];
        let is_missing = |slot: &Slot| began.is_some_and(|began| is_before(slot.generation, began));
        let mut outcome = ResyncOutcome { missing: 0, kept: 0 };
        for slot in self.slots.iter().flatten().filter(|slot| slot.key.kind == kind) {
            let weight = self.weight(slot);
            if is_missing(slot) {
                outcome.missing += weight;
            } else {
                outcome.kept += weight;
            }
        }
        outcome
    }

    /// Ends the replacement: deletes the objects of that kind that were not seen since it began. Does nothing
    /// where none was begun.
    pub fn complete_resync(&mut self, kind: Kind) -> Vec<Change> {
        let missing = self.missing(kind);
        self.resyncs[kind as usize] = None;
        let mut changes = Vec::new();
        for key in missing {
            self.delete(&key, &mut changes);
        }
        net(changes)
    }

    /// Ends the replacement without deleting anything: the answer was not to be trusted.
    pub fn abandon_resync(&mut self, kind: Kind) {
        self.resyncs[kind as usize] = None;
    }

    /// How many prefixes are desired.
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Whether nothing is desired.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the prefix is desired.
    pub fn contains(&self, prefix: &Prefix) -> bool {
        self.claims.contains(prefix)
    }

    /// The whole desired set, IPv4 first, in order. For status output; the way to the switches is the changes.
    pub fn announced(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.claims.iter()
    }

    /// What is wrong with which objects now, in the order of the objects.
    pub fn problems(&self) -> impl Iterator<Item = Problem> + '_ {
        self.problems.iter()
    }

    /// How many things are wrong now.
    pub fn problem_count(&self) -> ProblemCount {
        self.problems.count()
    }

    /// As [`problems`](Self::problems), but warnings before notes.
    pub fn problems_by_severity(&self) -> impl Iterator<Item = Problem> + '_ {
        let warnings = self.problems.iter_of(Severity::Warning);
        warnings.chain(self.problems.iter_of(Severity::Note))
    }

    /// Which problems came or went since the last call, each once.
    pub fn take_problem_changes(&mut self) -> Vec<ProblemChange> {
        self.problems.take_changes()
    }

    fn fold(&mut self, event: Event, changes: &mut Vec<Change>) {
        let object = match event {
            Event::Upsert(object) => object,
            Event::Delete(key) => return self.delete(&key, changes),
            Event::Keep(key) => return self.keep(&key),
        };
        let key = object.key();
        match (&self.config.mode, &*object) {
            (Mode::Node, Object::Pod(pod)) => self.upsert_pod(key, pod, changes),
            (Mode::Node, Object::Subnet(subnet)) => self.upsert_subnet(key, subnet, changes),
            (Mode::Node, Object::Service(service)) => self.upsert_service(key, service, changes),
            (Mode::Node, Object::EndpointSlice(slice)) => self.upsert_slice(key, slice, changes),
            (_, Object::IptablesEip(eip)) => self.upsert_eip(key, eip, changes),
            (
                Mode::NatGateway { .. },
                Object::Pod(_) | Object::Subnet(_) | Object::Service(_) | Object::EndpointSlice(_),
            ) => {}
            (_, Object::VpcNatGateway(_)) => {}
        }
    }

    fn delete(&mut self, key: &ObjectKey, changes: &mut Vec<Change>) {
        let Some((key, id)) = self.ids.remove_entry(key) else {
            return;
        };
        let Some(slot) = self.slots[id as usize].take() else {
            return;
        };
        self.free.push(id);
        match slot.body {
            Body::Pod(pod) => self.remove_pod(id, &pod, changes),
            Body::Subnet(subnet) => self.remove_subnet(subnet, changes),
            Body::Service(service) => self.claims.replace(&service.prefixes, &[], changes),
            Body::Slice(service) => self.remove_slice(id, &service, changes),
            Body::Plain(plain) => self.claims.replace(plain.prefixes(), &[], changes),
        }
        self.problems.forget(&key);
    }

    /// The id of a known object, marked as seen; or a new one.
    fn see(&mut self, key: ObjectKey, body: impl FnOnce() -> Body) -> (Id, Arc<ObjectKey>) {
        let generation = self.generation;
        if let Some((known, id)) = self.ids.get_key_value(&key) {
            if let Some(slot) = &mut self.slots[*id as usize] {
                slot.generation = generation;
            }
            return (*id, Arc::clone(known));
        }
        let key = Arc::new(key);
        let slot = Slot {
            key: Arc::clone(&key),
            generation,
            body: body(),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = Some(slot);
                id
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as Id
            }
        };
        self.ids.insert(Arc::clone(&key), id);
        (id, key)
    }

    fn keep(&mut self, key: &ObjectKey) {
        let Some(id) = self.ids.get(key) else { return };
        if let Some(slot) = &mut self.slots[*id as usize] {
            slot.generation = self.generation;
        }
    }

    /// How many objects announce something only as long as this one is there, itself included.
    fn weight(&self, slot: &Slot) -> usize {
        match &slot.body {
            Body::Pod(_) => usize::from(self.announces(slot)),
            Body::Subnet(id) => {
                let subnet = self.subnets.get(*id);
                let announces = subnet
                    .body
                    .as_ref()
                    .is_some_and(|body| !body.claimed().is_empty());
                let pods = subnet
                    .pods
                    .iter()
                    .filter_map(|id| self.slots[*id as usize].as_ref());
                let pods = pods.filter(|slot| self.announces(slot)).count();
                usize::from(announces) + pods
            }
            Body::Service(service) => usize::from(!service.prefixes.is_empty()),
            Body::Slice(service) => usize::from(self.slice_announces(slot, service)),
            Body::Plain(plain) => usize::from(!plain.prefixes().is_empty()),
        }
    }

    fn announces(&self, slot: &Slot) -> bool {
        matches!(&slot.body, Body::Pod(pod) if pod.announces(&self.subnets, &self.config.policy))
    }

    /// Whether a Service is announced to which that slice gives an endpoint.
    fn slice_announces(&self, slot: &Slot, service: &ObjectKey) -> bool {
        let id = |key: &ObjectKey| self.ids.get(key).copied();
        let slots = id(service).and_then(|id| self.slots[id as usize].as_ref());
        let announced =
            slots.is_some_and(|slot| matches!(&slot.body, Body::Service(body) if !body.prefixes.is_empty()));
        announced && id(&slot.key).is_some_and(|slice| self.endpoints.answers(service, slice))
    }

    fn missing(&self, kind: Kind) -> Vec<Arc<ObjectKey>> {
        let Some(began) = self.resyncs[kind as usize] else {
            return Vec::new();
        };
        let slots = self.slots.iter().flatten();
        let missing = slots.filter(|slot| slot.key.kind == kind && is_before(slot.generation, began));
        let mut keys: Vec<_> = missing.map(|slot| Arc::clone(&slot.key)).collect();
        keys.sort_unstable();
        keys
    }
}

/// What completing a resync would do, in objects that announce something: those of the kind, and for a subnet the pods
/// on it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResyncOutcome {
    /// What would be withdrawn.
    pub missing: usize,
    /// What would stay.
    pub kept: usize,
}

/// Whether one generation is older than another, across the wrap of the counter.
fn is_before(generation: u32, other: u32) -> bool {
    (generation.wrapping_sub(other) as i32) < 0
}

/// Leaves of each prefix its last change, and none where it changed back. Announcements come first.
fn net(mut changes: Vec<Change>) -> Vec<Change> {
    let first = changes.first().map(|change| change.announced);
    if changes.iter().all(|change| Some(change.announced) == first) {
        return changes;
    }
    // Changes of one prefix alternate, so an even number of them is none. The sort is stable.
    changes.sort_by_key(|change| change.prefix);
    let runs = changes.chunk_by(|one, other| one.prefix == other.prefix);
    let odd = runs.filter(|run| run.len() % 2 == 1);
    let mut left: Vec<_> = odd.filter_map(|run| run.last().copied()).collect();
    left.sort_by_key(|change| !change.announced);
    left
}
