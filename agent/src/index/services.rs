use super::addresses::{Leftovers, read_hosts};
use super::endpoints::Place;
use super::problem::Finding;
use super::word::{Word, excerpt};
use super::{Body, Change, Id, Index, IndexConfig, ProblemKind};
use crate::objects::{BGP_ANNOTATION, ObjectKey, Service};
use std::sync::Arc;
use wire::{Family, Prefix};

/// What is known of an annotated Service.
#[derive(Debug, Default)]
pub(super) struct ServiceBody {
    pub(super) word: Word,
    /// What it would announce.
    pub(super) addresses: Box<[Address]>,
    /// What is wrong with it, apart from its endpoints.
    findings: Vec<Finding>,
    /// The claimed prefixes, in order, each once.
    pub(super) prefixes: Box<[Prefix]>,
}

/// An address of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) prefix: Prefix,
    pub(super) role: Role,
    /// Whether only nodes with an endpoint of the Service pass on what comes for it.
    pub(super) local: bool,
}

/// What an address is to its Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Cluster,
    LoadBalancer,
    External,
}

/// What a Service says of itself, put together.
struct Reader<'a> {
    service: &'a Service,
    word: &'a Word,
    config: &'a IndexConfig,
    addresses: Vec<Address>,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn find(&mut self, field: &str, kind: ProblemKind) {
        self.findings.push((field.to_owned(), kind));
    }

    fn read(&mut self) {
        let policy = &self.config.policy.services;
        match self.word {
            Word::Unknown(word) => {
                return self.find(BGP_ANNOTATION, ProblemKind::UnknownValue(word.clone()));
            }
            Word::Unset | Word::False => return,
            Word::True | Word::Yes | Word::Cluster | Word::Local => {}
        }
        if !policy.is_on() {
            return self.find(BGP_ANNOTATION, ProblemKind::ServicesOff);
        }
        if self.word.is_local() && !policy.require_ready_endpoints {
            return self.find(BGP_ANNOTATION, ProblemKind::LocalNeedsEndpoints);
        }
        if self.word.is_local() && self.config.node_name.is_none() {
            return self.find(BGP_ANNOTATION, ProblemKind::LocalWithoutNodeName);
        }
        let kind = self.service.spec.kind.as_str();
        let considered = match kind {
            "" | "ClusterIP" if policy.cluster_ips => {
                self.read_cluster();
                true
            }
            "LoadBalancer" if policy.load_balancer_ips => {
                self.read_load_balancer();
                true
            }
            _ => false,
        };
        let has_external = !self.service.spec.external_ips.is_empty() && kind != "ExternalName";
        if policy.external_ips && has_external {
            return self.read_external();
        }
        if considered {
            return;
        }
        match kind {
            "" | "ClusterIP" => self.find(BGP_ANNOTATION, ProblemKind::ServicesOff),
            kind => self.find("spec.type", ProblemKind::ServiceType(excerpt(kind))),
        }
    }

    fn read_cluster(&mut self) {
        let spec = &self.service.spec;
        let all = spec.cluster_ips.iter().map(String::as_str);
        let ips: Vec<_> = match all.len() {
            0 => vec![spec.cluster_ip.as_str()],
            _ => all.collect(),
        };
        if spec.cluster_ip == "None" || ips.contains(&"None") {
            let has_others = self.config.policy.services.external_ips && !spec.external_ips.is_empty();
            if !has_others {
                self.find("spec.clusterIP", ProblemKind::Headless);
            }
            return;
        }
        self.take(Role::Cluster, "spec.clusterIPs", ips.into_iter());
    }

    fn read_load_balancer(&mut self) {
        let service = self.service;
        let ingress = service.status.load_balancer.ingress.iter();
        let ips = ingress.map(|ingress| ingress.ip.as_str());
        self.take(Role::LoadBalancer, "status.loadBalancer.ingress", ips);
    }

    fn read_external(&mut self) {
        let service = self.service;
        let ips = service.spec.external_ips.iter().map(String::as_str);
        self.take(Role::External, "spec.externalIPs", ips);
    }

    fn take<'a>(&mut self, role: Role, field: &str, ips: impl Iterator<Item = &'a str>) {
        let spec = &self.service.spec;
        let ips = ips.filter(|ip| !ip.is_empty());
        let (prefixes, leftovers) = read_hosts(ips, self.config.families);
        let (policy_field, traffic_policy) = match role {
            Role::Cluster => ("spec.internalTrafficPolicy", &spec.internal_traffic_policy),
            Role::LoadBalancer | Role::External => {
                ("spec.externalTrafficPolicy", &spec.external_traffic_policy)
            }
        };
        let keeps_local = traffic_policy == "Local";
        let gated = self.config.policy.services.require_ready_endpoints;
        if keeps_local && !self.word.is_local() && !prefixes.is_empty() {
            match (gated, &self.config.node_name) {
                (false, _) => self.find(policy_field, ProblemKind::TrafficPolicyLocal(policy_field)),
                (true, None) => return self.find(policy_field, ProblemKind::LocalWithoutNodeName),
                (true, Some(_)) => {}
            }
        }
        let local = self.word.is_local() || (keeps_local && gated);
        let addresses = prefixes.iter().map(|prefix| Address {
            prefix: *prefix,
            role,
            local,
        });
        self.addresses.extend(addresses);
        self.take_leftovers(field, leftovers);
    }

    fn take_leftovers(&mut self, field: &str, leftovers: Leftovers) {
        if !leftovers.any {
            self.find(field, ProblemKind::NoAddress);
        }
        if let Some(bad) = leftovers.bad {
            self.find(field, ProblemKind::BadAddress(bad));
        }
        for family in leftovers.peerless.iter() {
            self.find(field, ProblemKind::NoPeer(family));
        }
    }
}

impl ServiceBody {
    fn read(service: &Service, word: Word, config: &IndexConfig) -> Self {
        let mut reader = Reader {
            service,
            word: &word,
            config,
            addresses: Vec::new(),
            findings: Vec::new(),
        };
        reader.read();
        let Reader {
            mut addresses,
            findings,
            ..
        } = reader;
        addresses.sort_unstable();
        Self {
            addresses: addresses.into(),
            findings,
            word,
            prefixes: Box::default(),
        }
    }
}

impl Address {
    pub(super) fn place(&self) -> Place {
        if self.local { Place::Here } else { Place::Anywhere }
    }
}

impl Index {
    pub(super) fn upsert_service(&mut self, key: ObjectKey, service: &Service, changes: &mut Vec<Change>) {
        let word = Word::read(service.metadata.annotations.get(BGP_ANNOTATION));
        if !word.is_set() {
            return self.delete(&key, changes);
        }
        let (id, key) = self.see(key, || Body::Service(Box::default()));
        self.problems.identify(&key, Some(&service.metadata.uid));
        let body = ServiceBody::read(service, word, &self.config);
        if let Some(known) = self.service_mut(id) {
            let prefixes = std::mem::take(&mut known.prefixes);
            *known = ServiceBody { prefixes, ..body };
        }
        self.settle_service(&key, changes);
    }

    /// Claims of a Service what its endpoints allow now.
    pub(super) fn settle_service(&mut self, key: &ObjectKey, changes: &mut Vec<Change>) {
        let Some((key, id)) = self.ids.get_key_value(key) else {
            return;
        };
        let (key, id) = (Arc::clone(key), *id);
        let Some(Body::Service(body)) = self.slots[id as usize].as_ref().map(|slot| &slot.body) else {
            return;
        };
        let backed = body
            .addresses
            .iter()
            .filter(|address| self.is_backed(&key, address));
        let mut prefixes: Vec<_> = backed.map(|address| address.prefix).collect();
        prefixes.dedup();
        let mut findings = body.findings.clone();
        for family in [Family::Ipv4Unicast, Family::Ipv6Unicast] {
            let mut addresses = body.addresses.iter();
            let has_some = addresses.any(|address| address.prefix.family() == family);
            // That the endpoints are on other nodes is the usual course of things.
            if has_some && !self.is_answered(&key, family, Place::Anywhere) {
                findings.push(("endpoints".to_owned(), ProblemKind::NoReadyEndpoints(family)));
            }
        }
        self.claims.replace(&body.prefixes, &prefixes, changes);
        if let Some(body) = self.service_mut(id) {
            body.prefixes = prefixes.into();
        }
        self.problems.set(&key, findings);
    }

    /// Whether somebody answers for an address of a Service, as far as the policy wants to know.
    pub(super) fn is_backed(&self, service: &ObjectKey, address: &Address) -> bool {
        self.is_answered(service, address.prefix.family(), address.place())
    }

    fn is_answered(&self, service: &ObjectKey, family: Family, place: Place) -> bool {
        !self.config.policy.services.require_ready_endpoints || self.endpoints.back(service, family, place)
    }

    fn service_mut(&mut self, id: Id) -> Option<&mut ServiceBody> {
        match &mut self.slots[id as usize].as_mut()?.body {
            Body::Service(body) => Some(body),
            Body::Pod(_) | Body::Subnet(_) | Body::Plain(_) | Body::Slice(_) => None,
        }
    }
}
