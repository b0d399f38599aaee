use super::addresses::{Leftovers, read_hosts};
use super::problem::Finding;
use super::word::{Word, excerpt};
use super::{Body, Change, Index, IndexConfig, Mode, ProblemKind};
use crate::objects::{BGP_ANNOTATION, GATEWAY_LABEL, IptablesEip, ObjectKey};
use wire::Prefix;

/// An EIP: what it announces depends on nothing but itself.
#[derive(Debug)]
pub(super) struct PlainBody {
    pub(super) word: Word,
    prefixes: Box<[Prefix]>,
}

/// What an EIP amounts to.
#[derive(Default)]
struct Verdict {
    prefixes: Box<[Prefix]>,
    findings: Vec<Finding>,
}

impl PlainBody {
    /// The claimed prefixes, in order.
    pub(super) fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }
}

impl Verdict {
    /// Nothing, for this reason.
    fn no(field: &str, kind: ProblemKind) -> Self {
        Self {
            findings: vec![(field.to_owned(), kind)],
            ..Self::default()
        }
    }

    fn of(field: &str, (prefixes, leftovers): (Box<[Prefix]>, Leftovers)) -> Self {
        let mut findings = Vec::new();
        let mut find = |kind| findings.push((field.to_owned(), kind));
        if !leftovers.any {
            find(ProblemKind::NoAddress);
        }
        if let Some(bad) = leftovers.bad {
            find(ProblemKind::BadAddress(bad));
        }
        for family in leftovers.peerless.iter() {
            find(ProblemKind::NoPeer(family));
        }
        Self { prefixes, findings }
    }

    /// Nothing, because the word does not ask every speaker to announce.
    fn not_cluster(word: &Word) -> Self {
        match word {
            Word::Unknown(word) => Self::no(BGP_ANNOTATION, ProblemKind::UnknownValue(word.clone())),
            Word::Local => Self::no(BGP_ANNOTATION, ProblemKind::LocalUnsupported),
            Word::Unset | Word::False | Word::True | Word::Yes | Word::Cluster => Self::default(),
        }
    }
}

fn judge_eip(eip: &IptablesEip, word: &Word, config: &IndexConfig) -> Verdict {
    if !word.is_cluster() {
        return Verdict::not_cluster(word);
    }
    let Mode::NatGateway { gateway_name } = &config.mode else {
        return Verdict::no(BGP_ANNOTATION, ProblemKind::NotAGateway);
    };
    // The controller copies spec.natGwDp into the label; a manifest has no controller.
    let label = eip.metadata.labels.get(GATEWAY_LABEL);
    let gateway = label.unwrap_or(&eip.spec.nat_gw_dp);
    if gateway != gateway_name {
        return Verdict::no("spec.natGwDp", ProblemKind::OtherGateway(excerpt(gateway)));
    }
    let ready = match &eip.status {
        None => config.missing_status_is_ready,
        Some(status) => status.ready,
    };
    if !ready {
        return Verdict::no("status.ready", ProblemKind::EipNotReady);
    }
    let ips = [eip.spec.v4_ip.as_str(), eip.spec.v6_ip.as_str()];
    let ips = ips.into_iter().filter(|ip| !ip.is_empty());
    Verdict::of("spec.v4ip", read_hosts(ips, config.families))
}

impl Index {
    pub(super) fn upsert_eip(&mut self, key: ObjectKey, eip: &IptablesEip, changes: &mut Vec<Change>) {
        let word = Word::read(eip.metadata.annotations.get(BGP_ANNOTATION));
        let verdict = judge_eip(eip, &word, &self.config);
        if !word.is_set() {
            return self.delete(&key, changes);
        }
        let empty = || {
            Body::Plain(PlainBody {
                word: Word::Unset,
                prefixes: Box::default(),
            })
        };
        let (id, key) = self.see(key, empty);
        self.problems.identify(&key, Some(&eip.metadata.uid));
        let prefixes = verdict.prefixes;
        if let Some(slot) = &mut self.slots[id as usize]
            && let Body::Plain(body) = &mut slot.body
        {
            self.claims.replace(&body.prefixes, &prefixes, changes);
            *body = PlainBody { word, prefixes };
        }
        self.problems.set(&key, verdict.findings);
    }
}
