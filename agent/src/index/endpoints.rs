use super::{Body, Change, Index};
use crate::objects::{Endpoint, EndpointSlice, Kind, ObjectKey, SERVICE_LABEL};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use wire::{Family, FamilySet};

/// What the EndpointSlices of each Service say: a few bits for each slice, no endpoint.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    services: HashMap<Arc<ObjectKey>, BTreeMap<super::Id, Facts>>,
}

/// What one slice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    families: FamilySet,
    everywhere: Backing,
    here: Backing,
}

/// Who would answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Backing {
    /// Some ready endpoint.
    ready: bool,
    /// Some endpoint that is terminating and still serves: as kube-proxy does it, such ones get the traffic where none
    /// is ready.
    draining: bool,
}

/// Where an endpoint has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Here,
}

impl Backing {
    fn of<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> Self {
        let mut backing = Self::default();
        for Endpoint { conditions, .. } in endpoints {
            backing.ready |= conditions.is_ready();
            backing.draining |= conditions.is_draining();
        }
        backing
    }

    fn answers(self) -> bool {
        self.ready || self.draining
    }
}

impl Facts {
    fn read(slice: &EndpointSlice, node_name: Option<&str>) -> Self {
        let families = match slice.address_type.as_str() {
            "IPv4" => FamilySet::only(Family::Ipv4Unicast),
            "IPv6" => FamilySet::only(Family::Ipv6Unicast),
            // A manifest may leave it out.
            "" => FamilySet::ALL,
            _ => FamilySet::default(),
        };
        let is_here = |endpoint: &&Endpoint| node_name.is_some_and(|name| name == endpoint.node());
        Self {
            families,
            everywhere: Backing::of(slice.endpoints.iter()),
            here: Backing::of(slice.endpoints.iter().filter(is_here)),
        }
    }

    fn backing(&self, place: Place) -> Backing {
        match place {
            Place::Anywhere => self.everywhere,
            Place::Here => self.here,
        }
    }
}

impl Endpoints {
    /// Whether somebody answers for a Service.
    pub(super) fn back(&self, service: &ObjectKey, family: Family, place: Place) -> bool {
        let slices = self.services.get(service).into_iter().flat_map(BTreeMap::values);
        let slices = slices.filter(|facts| facts.families.contains(family));
        // A node whose endpoints all go away draws no more traffic as long as another one is ready.
        if slices.clone().any(|facts| facts.everywhere.ready) {
            return slices.clone().any(|facts| facts.backing(place).ready);
        }
        slices.clone().any(|facts| facts.backing(place).draining)
    }

    /// Whether that slice says that somebody answers.
    pub(super) fn answers(&self, service: &ObjectKey, slice: super::Id) -> bool {
        let facts = self.services.get(service).and_then(|slices| slices.get(&slice));
        facts.is_some_and(|facts| facts.everywhere.answers())
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    fn remove(&mut self, service: &ObjectKey, slice: super::Id) {
        let Some(slices) = self.services.get_mut(service) else {
            return;
        };
        slices.remove(&slice);
        if slices.is_empty() {
            self.services.remove(service);
        }
    }
}

impl Index {
    pub(super) fn upsert_slice(&mut self, key: ObjectKey, slice: &EndpointSlice, changes: &mut Vec<Change>) {
        let label = slice.metadata.labels.get(SERVICE_LABEL);
        let (true, Some(service)) = (self.config.policy.services.require_ready_endpoints, label) else {
            return self.delete(&key, changes);
        };
        let service = ObjectKey::new(Kind::Service, &key.namespace, service);
        let facts = Facts::read(slice, self.config.node_name.as_deref());
        let known = self.endpoints.services.get_key_value(&service);
        let service = known.map_or_else(|| Arc::new(service), |(known, _)| Arc::clone(known));
        let (id, _) = self.see(key, || Body::Slice(Arc::clone(&service)));
        let slices = self.endpoints.services.entry(Arc::clone(&service)).or_default();
        let news = slices.insert(id, facts) != Some(facts);
        let old = self.slots[id as usize]
            .as_mut()
            .map(|slot| std::mem::replace(&mut slot.body, Body::Slice(Arc::clone(&service))));
        if let Some(Body::Slice(old)) = old
            && old != service
        {
            self.remove_slice(id, &old, changes);
        }
        if news {
            self.settle_service(&service, changes);
        }
    }

    /// Forgets what a slice said of a Service.
    pub(super) fn remove_slice(&mut self, id: super::Id, service: &ObjectKey, changes: &mut Vec<Change>) {
        self.endpoints.remove(service, id);
        self.settle_service(service, changes);
    }
}
