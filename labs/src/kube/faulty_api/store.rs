//! The objects, their versions, and what happened to them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::kube::kinds::{KINDS, Kind};

/// Changes that are remembered; a watch that continues from before them is told that they are gone.
const REMEMBERED: usize = 200_000;

/// The version of the first change: small numbers would look like positions.
const FIRST: u64 = 1000;

const MADE: &str = "2026-01-01T00:00:00Z";
const LEFT: &str = "2026-01-02T00:00:00Z";

/// Kind (its place in [`KINDS`]), namespace and name, in the order of a list.
pub(super) type Key = (usize, String, String);

/// What happened.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// An object was created, changed or deleted.
    Change(Change),
    /// Something is sent to open watches without having happened.
    Raw { kind: usize, text: Arc<str> },
    /// Open watches get a bookmark.
    Bookmark,
}

#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) kind: usize,
    pub(super) revision: u64,
    pub(super) before: Option<Arc<str>>,
    /// What it is now. Of a deleted object this is what it was, with the version of the deletion.
    pub(super) object: Arc<str>,
    pub(super) deleted: bool,
}

#[derive(Debug)]
pub(super) struct Store {
    revision: u64,
    /// Watches can continue from this version on.
    oldest: u64,
    objects: BTreeMap<Key, Arc<str>>,
    log: VecDeque<Entry>,
    /// The number of the first entry in the log.
    first_entry: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            revision: FIRST,
            oldest: FIRST,
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            first_entry: 0,
        }
    }
}

impl Store {
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<str>> {
        self.objects.get(key)
    }

    /// The objects of a kind behind this namespace and name.
    pub(super) fn list(
        &self,
        kind: usize,
        after: Option<(&str, &str)>,
    ) -> impl Iterator<Item = (&Key, &Arc<str>)> {
        let start = match after {
            Some((namespace, name)) => Bound::Excluded((kind, namespace.to_owned(), name.to_owned())),
            None => Bound::Included((kind, String::new(), String::new())),
        };
        let end = Bound::Excluded((kind + 1, String::new(), String::new()));
        self.objects.range((start, end))
    }

    /// Creates or replaces an object.
    pub(super) fn put(&mut self, object: Value) -> Result<Arc<str>> {
        let key = key_of(&object)?;
        self.revision += 1;
        let before = self.objects.get(&key).cloned();
        let text = finish(object, &key, self.revision, before.as_deref())?;
        self.objects.insert(key.clone(), Arc::clone(&text));
        self.record(Entry::Change(Change {
            kind: key.0,
            revision: self.revision,
            before,
            object: Arc::clone(&text),
            deleted: false,
        }));
        Ok(text)
    }

    /// Deletes an object and returns what it was. A pod is first marked as leaving, as it always is.
    pub(super) fn delete(&mut self, key: &Key) -> Result<Option<Arc<str>>> {
        if KINDS[key.0].name == "Pod"
            && let Some(text) = self.objects.get(key)
        {
            let mut pod: Value = serde_json::from_str(text)?;
            pod["metadata"]["deletionTimestamp"] = LEFT.into();
            pod["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            self.put(pod)?;
        }
        let Some(before) = self.objects.remove(key) else {
            return Ok(None);
        };
        self.revision += 1;
        let object = finish(serde_json::from_str(&before)?, key, self.revision, Some(&before))?;
        self.record(Entry::Change(Change {
            kind: key.0,
            revision: self.revision,
            before: Some(before),
            object: Arc::clone(&object),
            deleted: true,
        }));
        Ok(Some(object))
    }

    /// Replaces everything at once, without telling how it came about.
    pub(super) fn replace(&mut self, objects: impl IntoIterator<Item = Value>) -> Result<()> {
        self.objects.clear();
        for object in objects {
            let key = key_of(&object)?;
            self.revision += 1;
            let text = finish(object, &key, self.revision, None)?;
            self.objects.insert(key, text);
        }
        self.revision += 1;
        self.forget();
        Ok(())
    }

    /// Forgets what happened so far.
    pub(super) fn forget(&mut self) {
        self.oldest = self.revision;
        self.first_entry += self.log.len() as u64;
        self.log.clear();
    }

    pub(super) fn record(&mut self, entry: Entry) {
        self.log.push_back(entry);
        if self.log.len() > REMEMBERED {
            self.first_entry += 1;
            if let Some(Entry::Change(change)) = self.log.pop_front() {
                self.oldest = change.revision;
            }
        }
    }

    /// The number of the next entry.
    pub(super) fn end(&self) -> u64 {
        self.first_entry + self.log.len() as u64
    }

    /// An entry by its number; an error if it is forgotten.
    pub(super) fn entry(&self, number: u64) -> Result<Option<&Entry>, Forgotten> {
        let index = number.checked_sub(self.first_entry).ok_or(Forgotten)?;
        Ok(self.log.get(usize::try_from(index).unwrap_or(usize::MAX)))
    }

    /// The changes that came after a version.
    pub(super) fn since(&self, revision: u64) -> impl Iterator<Item = &Change> {
        let changes = self.log.iter().filter_map(|entry| match entry {
            Entry::Change(change) => Some(change),
            Entry::Raw { .. } | Entry::Bookmark => None,
        });
        changes.filter(move |change| change.revision > revision)
    }
}

/// What is asked for is no longer in the log.
#[derive(Debug)]
pub(super) struct Forgotten;

/// Where an object belongs.
pub(super) fn key_of(object: &Value) -> Result<Key> {
    let kind = Kind::of(object)?;
    let meta = &object["metadata"];
    let name = meta["name"].as_str().context("an object has no name")?;
    Ok(key(
        place(kind),
        meta["namespace"].as_str().unwrap_or("default"),
        name,
    ))
}

pub(super) fn key(kind: usize, namespace: &str, name: &str) -> Key {
    let namespace = if KINDS[kind].namespaced { namespace } else { "" };
    (kind, namespace.to_owned(), name.to_owned())
}

pub(super) fn place(kind: &Kind) -> usize {
    KINDS.iter().position(|known| known == kind).unwrap_or_default()
}

/// The text of an object as an item of a list: kinds of the server itself go without their type there, custom resources do not.
pub(super) fn as_item<'a>(kind: &Kind, text: &'a str) -> (&'static str, &'a str) {
    match text.strip_prefix(&type_prefix(kind)) {
        Some(rest) if is_built_in(kind) => ("{", rest),
        Some(_) | None => ("", text),
    }
}

/// Whether the server itself defines the kind.
pub(super) fn is_built_in(kind: &Kind) -> bool {
    !kind.group.contains('.') || kind.group.ends_with("k8s.io")
}

/// Fills in what a server fills in, and writes the type first.
fn finish(object: Value, key: &Key, revision: u64, before: Option<&str>) -> Result<Arc<str>> {
    let kind = &KINDS[key.0];
    let Value::Object(mut object) = object else {
        anyhow::bail!("an object that is none")
    };
    object.remove("apiVersion");
    object.remove("kind");
    let meta = object.entry("metadata").or_insert_with(|| json!({}));
    let meta = meta.as_object_mut().context("metadata that are none")?;
    if kind.namespaced {
        meta.insert("namespace".into(), key.1.as_str().into());
    }
    let known = match before {
        Some(text) => serde_json::from_str::<Value>(text)?["metadata"].take(),
        None => Value::Null,
    };
    keep(meta, &known, "uid", || {
        format!("00000000-0000-4000-8000-{revision:012}")
    });
    keep(meta, &known, "creationTimestamp", || MADE.to_owned());
    meta.insert("resourceVersion".into(), revision.to_string().into());
    let rest = serde_json::to_string(&object)?;
    Ok(format!("{}{}", type_prefix(kind), &rest[1..]).into())
}

fn keep(meta: &mut Map<String, Value>, known: &Value, field: &str, fresh: impl FnOnce() -> String) {
    if let Some(value) = known[field].as_str() {
        meta.insert(field.to_owned(), value.into());
    } else if !meta.contains_key(field) {
        meta.insert(field.to_owned(), fresh().into());
    }
}

fn type_prefix(kind: &Kind) -> String {
    format!(
        r#"{{"apiVersion":"{}","kind":"{}","#,
        kind.api_version(),
        kind.name
    )
}
