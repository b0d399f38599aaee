//! What is in which file, and what that means as events. Pure.

use super::documents::FileContent;
use crate::index::Event;
use crate::objects::{Object, ObjectKey};
use crate::sources::{Report, ReportChange};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What became of a file.
#[derive(Debug)]
pub(super) enum FileRead {
    /// It was read.
    Content(FileContent),
    /// It is there and cannot be read; why.
    Unreadable(String),
    /// It is not there.
    Gone,
}

/// What a change of files means.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) events: Vec<Event>,
    pub(super) reports: Vec<ReportChange>,
    /// Files that now decide about an object whose content is no longer known: read them again.
    pub(super) reread: BTreeSet<Arc<str>>,
}

/// The objects of all files. Of an object it keeps a fingerprint, not the content.
#[derive(Debug, Default)]
pub(super) struct Store {
    files: BTreeMap<Arc<str>, FileState>,
    objects: HashMap<Arc<ObjectKey>, ObjectState>,
}

#[derive(Debug, Default)]
struct FileState {
    /// The objects of the last good content.
    fingerprints: BTreeMap<Arc<ObjectKey>, Fingerprint>,
    reports: Vec<Report>,
}

#[derive(Debug, Default)]
struct ObjectState {
    /// What was last delivered; `None` if nothing yet.
    delivered: Option<Fingerprint>,
    /// The files that hold it; the first one decides.
    files: BTreeSet<Arc<str>>,
    conflict: Option<Report>,
}

type Fingerprint = u64;

/// One change of files on its way to an outcome.
#[derive(Default)]
struct Step {
    touched: BTreeSet<Arc<ObjectKey>>,
    /// The objects that were read in this step and may have to be delivered.
    read: HashMap<(Arc<ObjectKey>, Arc<str>), Object>,
    outcome: Outcome,
}

impl Store {
    /// The names of all files that are known.
    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<str>> {
        self.files.keys()
    }

    /// Takes in what became of some files, as one change.
    pub(super) fn apply(&mut self, reads: Vec<(Arc<str>, FileRead)>) -> Outcome {
        let mut step = Step::default();
        for (file, read) in reads {
            match read {
                FileRead::Content(content) => self.take_content(&file, content, &mut step),
                FileRead::Unreadable(message) => {
                    let state = self.files.entry(Arc::clone(&file)).or_default();
                    let report = report(&file, format!("{message}; its last good content stays in use"));
                    state.set_reports(vec![report], &mut step.outcome);
                }
                FileRead::Gone => {
                    if let Some(mut state) = self.files.remove(&file) {
                        state.set_reports(Vec::new(), &mut step.outcome);
                        self.disown(&file, state.fingerprints.into_keys(), &mut step);
                    }
                }
            }
        }
        for key in std::mem::take(&mut step.touched) {
            self.settle(key, &mut step);
        }
        step.outcome
    }

    fn take_content(&mut self, file: &Arc<str>, content: FileContent, step: &mut Step) {
        let old = self.files.entry(Arc::clone(file)).or_default();
        let before = std::mem::take(&mut old.fingerprints);
        let mut reports: Vec<_> = content
            .defects
            .iter()
            .map(|defect| Report {
                origin: file.to_string(),
                document: Some(defect.document),
                line: Some(defect.line),
                message: defect.message.clone(),
            })
            .collect();
        let mut now = BTreeMap::new();
        for object in content.objects {
            let key = self.intern(object.key());
            let fingerprint = fingerprint(&object);
            if now.contains_key(&key) {
                reports.push(report(
                    file,
                    format!("{key} is in this file twice; the first one counts, remove the other"),
                ));
                continue;
            }
            now.insert(Arc::clone(&key), fingerprint);
            let state = self.objects.entry(Arc::clone(&key)).or_default();
            state.files.insert(Arc::clone(file));
            if state.delivered != Some(fingerprint) {
                step.touched.insert(Arc::clone(&key));
                step.read.insert((key, Arc::clone(file)), object);
            } else if before.get(&key) != Some(&fingerprint) {
                step.touched.insert(key);
            }
        }
        // A document that cannot be told apart may be any of those that are missing.
        let keeps_all = content
            .defects
            .iter()
            .any(|defect| defect.key.is_none() && defect.may_be_object);
        let kept: BTreeSet<_> = content
            .defects
            .iter()
            .filter_map(|defect| defect.key.as_ref())
            .collect();
        let mut missing = Vec::new();
        for (key, fingerprint) in before {
            if now.contains_key(&key) {
                continue;
            }
            if keeps_all || kept.contains(&*key) {
                now.insert(key, fingerprint);
            } else {
                missing.push(key);
            }
        }
        if let Some(state) = self.files.get_mut(file) {
            state.fingerprints = now;
            state.set_reports(reports, &mut step.outcome);
        }
        self.disown(file, missing.into_iter(), step);
    }

    fn disown(&mut self, file: &Arc<str>, keys: impl Iterator<Item = Arc<ObjectKey>>, step: &mut Step) {
        for key in keys {
            if let Some(state) = self.objects.get_mut(&key) {
                state.files.remove(file);
            }
            step.touched.insert(key);
        }
    }

    /// Delivers what the deciding file says of an object, if that is news.
    fn settle(&mut self, key: Arc<ObjectKey>, step: &mut Step) {
        let Some(state) = self.objects.get_mut(&key) else {
            return;
        };
        state.set_conflict(&key, &mut step.outcome);
        let Some(file) = state.files.first() else {
            let delivered = state.delivered.is_some();
            self.objects.remove(&key);
            if delivered {
                step.outcome.events.push(Event::Delete(key.as_ref().clone()));
            }
            return;
        };
        let known = self.files.get(file);
        let Some(fingerprint) = known.and_then(|known| known.fingerprints.get(&key)).copied() else {
            return;
        };
        if state.delivered == Some(fingerprint) {
            return;
        }
        let file = Arc::clone(file);
        match step.read.remove(&(key, Arc::clone(&file))) {
            Some(object) => {
                state.delivered = Some(fingerprint);
                step.outcome.events.push(Event::Upsert(Box::new(object)));
            }
            None => {
                step.outcome.reread.insert(file);
            }
        }
    }

    fn intern(&self, key: ObjectKey) -> Arc<ObjectKey> {
        match self.objects.get_key_value(&key) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(key),
        }
    }
}

impl FileState {
    fn set_reports(&mut self, reports: Vec<Report>, outcome: &mut Outcome) {
        let cleared = self.reports.iter().filter(|report| !reports.contains(report));
        outcome
            .reports
            .extend(cleared.cloned().map(ReportChange::Cleared));
        let new = reports.iter().filter(|report| !self.reports.contains(report));
        outcome.reports.extend(new.cloned().map(ReportChange::New));
        self.reports = reports;
    }
}

impl ObjectState {
    fn set_conflict(&mut self, key: &ObjectKey, outcome: &mut Outcome) {
        let mut files = self.files.iter();
        let conflict = match (files.next(), files.next()) {
            (Some(winner), Some(loser)) => {
                let message = format!("{key} is also in {winner}, which counts; remove one of them");
                Some(report(loser, message))
            }
            _ => None,
        };
        if conflict == self.conflict {
            return;
        }
        let cleared = std::mem::replace(&mut self.conflict, conflict.clone());
        outcome.reports.extend(cleared.map(ReportChange::Cleared));
        outcome.reports.extend(conflict.map(ReportChange::New));
    }
}

fn report(file: &str, message: String) -> Report {
    Report::new(file, message)
}

/// The same object gives the same number in one process. Sixty-four bits: two contents of one object collide once in
/// 10^19 changes.
fn fingerprint(object: &Object) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    object.hash(&mut hasher);
    hasher.finish()
}
