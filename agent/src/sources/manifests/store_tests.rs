use super::documents::{Defect, FileContent};
use super::store::{FileRead, Outcome, Store};
use crate::index::Event;
use crate::objects::{Kind, Meta, Object, ObjectKey, Subnet};
use crate::sources::ReportChange;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn subnet(name: &str, cidr: &str) -> Object {
    let mut subnet = Subnet {
        metadata: Meta {
            name: name.to_owned(),
            ..Meta::default()
        },
        ..Subnet::default()
    };
    subnet.spec.cidr_block = cidr.to_owned();
    Object::Subnet(subnet)
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Subnet, "", name)
}

/// A file of subnets, each (name, CIDR).
fn file(name: &str, subnets: &[(&str, &str)]) -> (Arc<str>, FileRead) {
    broken(name, subnets, &[])
}

/// A file of subnets and of broken documents, of which some can be identified.
fn broken(name: &str, subnets: &[(&str, &str)], defects: &[Option<&str>]) -> (Arc<str>, FileRead) {
    let defect = |known: &Option<&str>| Defect {
        document: 9,
        line: 99,
        key: known.map(key),
        may_be_object: true,
        message: "cannot be read".to_owned(),
    };
    let content = FileContent {
        objects: subnets.iter().map(|(name, cidr)| subnet(name, cidr)).collect(),
        defects: defects.iter().map(defect).collect(),
    };
    (name.into(), FileRead::Content(content))
}

fn gone(name: &str) -> (Arc<str>, FileRead) {
    (name.into(), FileRead::Gone)
}

fn events(outcome: &Outcome) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Delete(key) => format!("-{}", key.name),
        Event::Keep(key) => format!("={}", key.name),
        Event::Upsert(object) => match &**object {
            Object::Subnet(subnet) => format!("+{} {}", subnet.metadata.name, subnet.spec.cidr_block),
            other @ (Object::Pod(_)
            | Object::Service(_)
            | Object::EndpointSlice(_)
            | Object::IptablesEip(_)
            | Object::VpcNatGateway(_)) => {
                panic!("{other:?}")
            }
        },
    };
    outcome.events.iter().map(text).collect()
}

fn reports(outcome: &Outcome) -> Vec<String> {
    let text = |change: &ReportChange| match change {
        ReportChange::New(report) => format!("new {report}"),
        ReportChange::Cleared(report) => format!("cleared {report}"),
    };
    outcome.reports.iter().map(text).collect()
}

#[test]
fn only_what_changed_becomes_an_event() {
    let mut store = Store::default();
    let first = store.apply(vec![file("a", &[("x", "1"), ("y", "1")])]);
    assert_eq!(events(&first), ["+x 1", "+y 1"]);
    assert!(
        store
            .apply(vec![file("a", &[("y", "1"), ("x", "1")])])
            .events
            .is_empty()
    );
    let changed = store.apply(vec![file("a", &[("x", "2"), ("z", "1")])]);
    assert_eq!(events(&changed), ["+x 2", "-y", "+z 1"]);
    assert_eq!(events(&store.apply(vec![gone("a")])), ["-x", "-z"]);
    assert!(store.apply(vec![gone("a")]).events.is_empty());
}

#[test]
fn an_object_that_moves_to_another_file_is_no_event() {
    let mut store = Store::default();
    store.apply(vec![file("a", &[("x", "1")])]);
    let moved = store.apply(vec![gone("a"), file("b", &[("x", "1")])]);
    assert!(moved.events.is_empty() && moved.reports.is_empty(), "{moved:?}");
    assert_eq!(events(&store.apply(vec![gone("b")])), ["-x"]);
}

#[test]
fn what_cannot_be_read_keeps_its_last_good_content_and_is_told_once() {
    let mut store = Store::default();
    store.apply(vec![file("a", &[("x", "1")])]);
    let unreadable = || {
        (
            "a".into(),
            FileRead::Unreadable("cannot be read: denied".to_owned()),
        )
    };
    let outcome = store.apply(vec![unreadable()]);
    assert!(outcome.events.is_empty());
    let text = "a: cannot be read: denied; its last good content stays in use";
    assert_eq!(reports(&outcome), [format!("new {text}")]);
    assert!(reports(&store.apply(vec![unreadable()])).is_empty());
    let healed = store.apply(vec![file("a", &[("x", "1")])]);
    assert!(healed.events.is_empty());
    assert_eq!(reports(&healed), [format!("cleared {text}")]);
}

#[test]
fn a_broken_document_keeps_its_own_object_only() {
    let mut store = Store::default();
    store.apply(vec![file("a", &[("x", "1"), ("y", "1"), ("z", "1")])]);
    let outcome = store.apply(vec![broken("a", &[("x", "2")], &[Some("y")])]);
    assert_eq!(events(&outcome), ["+x 2", "-z"]);
    assert_eq!(reports(&outcome), ["new a document 9 line 99: cannot be read"]);
    assert_eq!(events(&store.apply(vec![file("a", &[("x", "2")])])), ["-y"]);
}

#[test]
fn a_broken_document_that_could_be_anything_keeps_all() {
    let mut store = Store::default();
    store.apply(vec![file("a", &[("x", "1"), ("y", "1")])]);
    let outcome = store.apply(vec![broken("a", &[("z", "1")], &[None])]);
    assert_eq!(events(&outcome), ["+z 1"]);
    assert_eq!(events(&store.apply(vec![file("a", &[("z", "1")])])), ["-x", "-y"]);
}

#[test]
fn in_two_files_the_first_name_wins() {
    let mut store = Store::default();
    let conflict = "b: Subnet x is also in a, which counts; remove one of them";
    store.apply(vec![file("b", &[("x", "b")])]);
    let both = store.apply(vec![file("a", &[("x", "a")])]);
    assert_eq!(events(&both), ["+x a"]);
    assert_eq!(reports(&both), [format!("new {conflict}")]);
    assert!(store.apply(vec![file("b", &[("x", "b2")])]).events.is_empty());

    let outcome = store.apply(vec![gone("a")]);
    assert!(
        outcome.events.is_empty(),
        "the content of b is not kept: {outcome:?}"
    );
    assert_eq!(
        outcome.reread.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(reports(&outcome), [format!("cleared {conflict}")]);
    assert_eq!(events(&store.apply(vec![file("b", &[("x", "b2")])])), ["+x b2"]);
}

#[test]
fn the_same_content_in_two_files_needs_no_second_reading() {
    let mut store = Store::default();
    store.apply(vec![file("a", &[("x", "1")]), file("b", &[("x", "1")])]);
    let outcome = store.apply(vec![gone("a")]);
    assert!(outcome.events.is_empty() && outcome.reread.is_empty());
    assert_eq!(events(&store.apply(vec![gone("b")])), ["-x"]);
}

#[test]
fn twice_in_one_file_the_first_counts() {
    let mut store = Store::default();
    let outcome = store.apply(vec![file("a", &[("x", "1"), ("x", "2")])]);
    assert_eq!(events(&outcome), ["+x 1"]);
    assert_eq!(
        reports(&outcome),
        ["new a: Subnet x is in this file twice; the first one counts, remove the other"]
    );
}

type Files = BTreeMap<String, BTreeMap<String, u8>>;

/// What must have been delivered: of each object, what the first file says.
fn expected(files: &Files) -> BTreeMap<String, String> {
    let mut expected = BTreeMap::new();
    for objects in files.values() {
        for (name, cidr) in objects {
            expected.entry(name.clone()).or_insert_with(|| cidr.to_string());
        }
    }
    expected
}

fn content(name: &str, objects: &BTreeMap<String, u8>) -> (Arc<str>, FileRead) {
    let texts: Vec<_> = objects
        .iter()
        .map(|(name, cidr)| (name.as_str(), cidr.to_string()))
        .collect();
    let pairs: Vec<_> = texts.iter().map(|(name, cidr)| (*name, cidr.as_str())).collect();
    file(name, &pairs)
}

fn follow(held: &mut BTreeMap<String, String>, outcome: &Outcome) {
    for event in events(outcome) {
        match event.strip_prefix('-') {
            Some(name) => assert!(held.remove(name).is_some(), "{event} is no news"),
            None => {
                let (name, cidr) = event[1..].split_once(' ').expect("name and CIDR");
                assert_ne!(
                    held.insert(name.to_owned(), cidr.to_owned()).as_deref(),
                    Some(cidr),
                    "{event} is no news"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn any_history_of_files_ends_in_what_the_files_say(
        steps in prop::collection::vec(
            prop::collection::btree_map("[abc]", prop::option::of(prop::collection::btree_map("[xyz]", 0..3_u8, 0..4)), 1..4),
            1..20,
        )
    ) {
        let mut store = Store::default();
        let mut files = Files::new();
        let mut held = BTreeMap::new();
        for step in steps {
            let mut reads = Vec::new();
            for (name, objects) in step {
                match objects {
                    Some(objects) => {
                        reads.push(content(&name, &objects));
                        files.insert(name, objects);
                    }
                    None => {
                        reads.push(gone(&name));
                        files.remove(&name);
                    }
                }
            }
            let mut outcome = store.apply(reads);
            follow(&mut held, &outcome);
            for _ in 0..4 {
                if outcome.reread.is_empty() {
                    break;
                }
                let reads = outcome.reread.iter().map(|name| content(name, &files[&**name])).collect();
                outcome = store.apply(reads);
                follow(&mut held, &outcome);
            }
            prop_assert!(outcome.reread.is_empty());
            prop_assert_eq!(&held, &expected(&files));
        }
    }
}
