//! The server that misbehaves on request: that each request is granted, and to those only for whom it was made.

use std::time::{Duration, Instant};

use lab::kube::{Fault, FaultyApi, Reply, Rule, Verb, objects};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
const AWHILE: Duration = Duration::from_millis(300);
const SUBNETS: &str = "/apis/kubeovn.io/v1/subnets";
const PODS: &str = "/api/v1/pods";

#[test]
fn answers_with_a_status_to_those_it_is_meant_for() {
    let api = FaultyApi::start().unwrap();
    let ask = |path: &str| -> Reply { api.client().get(path).unwrap() };

    for (code, reason) in [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
    ] {
        api.inject(Rule::from(Fault::Status(code)).kind("Subnet"));
        let reply = ask(SUBNETS);
        assert_eq!(
            (reply.status, reply.body["reason"].as_str()),
            (code, Some(reason))
        );
        assert_eq!(ask(PODS).status, 200);
        api.heal();
        assert_eq!(ask(SUBNETS).status, 200);
    }
    api.inject(Rule::from(Fault::TooMany(7)).times(2));
    let replies = [ask(PODS), ask(PODS), ask(PODS)];
    assert_eq!(replies.each_ref().map(|reply| reply.status), [429, 429, 200]);
    assert_eq!(replies[0].header("retry-after"), Some("7"));
    api.inject(Rule::from(Fault::Status(404)).kind("Subnet"));
    assert_eq!(ask(SUBNETS).body, "404 page not found\n");
    assert!(
        api.client()
            .watch(SUBNETS)
            .unwrap_err()
            .to_string()
            .contains("404")
    );
}

#[test]
fn lies_about_what_there_is() {
    let api = FaultyApi::start().unwrap();
    let subnets = (0..6).map(|number| objects::subnet(&format!("s{number}"), "10.0.0.0/16", None));
    api.set_objects(subnets).unwrap();
    let count = || {
        let list = api.client().get(SUBNETS).unwrap().ok().unwrap();
        (
            list["items"].as_array().unwrap().len(),
            list["metadata"]["resourceVersion"].clone(),
        )
    };
    let (all, version) = count();

    api.inject(Fault::HalfList);
    let half = count();
    api.heal();
    api.inject(Rule::from(Fault::EmptyList).times(1));
    let none = count();
    let again = count();

    assert_eq!(all, 6);
    assert_eq!(half, (3, version.clone()));
    assert_eq!(none, (0, version.clone()));
    assert_eq!(again, (6, version));
}

#[test]
fn breaks_off_lists_and_events() {
    let api = FaultyApi::start().unwrap();
    api.put(objects::subnet("s1", "10.0.0.0/16", None)).unwrap();
    let watch = api.client().watch(SUBNETS).unwrap();
    assert_eq!(watch.next(SOON).unwrap().unwrap()["type"], "ADDED");

    api.inject(Fault::Truncated);
    let list = api.client().get(SUBNETS).unwrap_err();
    api.put(objects::subnet("s2", "10.0.0.0/16", None)).unwrap();
    let event = watch.next(SOON).unwrap_err();

    assert!(format!("{list:#}").contains("GET"), "{list:#}");
    assert!(format!("{event:#}").contains("br"), "{event:#}");
    assert!(
        watch.next(SOON).unwrap().is_none(),
        "nothing follows a broken event"
    );
}

#[test]
fn tells_watches_that_their_version_is_gone() {
    let api = FaultyApi::start().unwrap();
    api.set_objects((0..4).map(|number| objects::subnet(&format!("s{number}"), "10.0.0.0/16", None)))
        .unwrap();
    let list = api
        .client()
        .get(&format!("{SUBNETS}?limit=2"))
        .unwrap()
        .ok()
        .unwrap();
    let (version, token) = (
        &list["metadata"]["resourceVersion"],
        &list["metadata"]["continue"],
    );
    let from_there = format!("{SUBNETS}?resourceVersion={}", version.as_str().unwrap());
    let next_page = format!("{SUBNETS}?limit=2&continue={}", token.as_str().unwrap());
    let open = api.client().watch(&from_there).unwrap();

    api.inject(Rule::from(Fault::Gone).times(2));
    assert_eq!(api.client().get(&next_page).unwrap().status, 410);
    let gone = api.client().watch(&from_there).unwrap();
    assert_eq!(gone.next(SOON).unwrap().unwrap()["object"]["code"], 410);
    assert!(gone.next(SOON).unwrap().is_none());
    assert_eq!(api.client().get(&next_page).unwrap().status, 200);
    assert!(
        open.next(AWHILE).is_err(),
        "a rule for two requests is none for what is open"
    );

    api.inject(Fault::Gone);
    assert_eq!(open.next(SOON).unwrap().unwrap()["object"]["reason"], "Expired");
    api.heal();

    api.put(objects::subnet("s9", "10.0.0.0/16", None)).unwrap();
    api.compact();
    let late = api.client().watch(&from_there).unwrap();
    assert_eq!(late.next(SOON).unwrap().unwrap()["type"], "ERROR");
    assert_eq!(api.client().get(&next_page).unwrap().status, 410);
}

#[test]
fn closes_watches() {
    let api = FaultyApi::start().unwrap();

    api.inject(Fault::ShortWatch(AWHILE));
    let start = Instant::now();
    let watch = api.client().watch(SUBNETS).unwrap();
    assert!(watch.next(SOON).unwrap().is_none());
    assert!(start.elapsed() >= AWHILE, "{:?}", start.elapsed());
    api.heal();

    let watch = api.client().watch(SUBNETS).unwrap();
    api.wait_watched("Subnet", SOON).unwrap();
    api.close_watches();
    assert!(watch.next(SOON).unwrap().is_none());

    let watch = api
        .client()
        .watch(&format!("{SUBNETS}?timeoutSeconds=1"))
        .unwrap();
    assert!(watch.next(SOON).unwrap().is_none());

    let watch = api.client().watch(SUBNETS).unwrap();
    api.wait_watched("Subnet", SOON).unwrap();
    drop(watch);
    lab::wait::until_true("a client that left is noticed", SOON, || {
        Ok(api.watches("Subnet")? == 0)
    })
    .unwrap();
}

#[test]
fn repeats_and_withholds_events() {
    let api = FaultyApi::start().unwrap();
    api.put(objects::subnet("s1", "10.0.0.0/16", None)).unwrap();
    let watch = api
        .client()
        .watch(&format!("{SUBNETS}?allowWatchBookmarks=true"))
        .unwrap();
    let next = || -> (String, Value) {
        let event = watch.next(SOON).unwrap().unwrap();
        let note = &event["object"]["metadata"]["annotations"]["ovn.kubernetes.io/bgp"];
        (event["type"].as_str().unwrap().to_owned(), note.clone())
    };
    let announce = |policy: &str| {
        api.put(objects::subnet("s1", "10.0.0.0/16", Some(policy)))
            .unwrap()
    };
    let expect = |wanted: &[(&str, Value)]| {
        for (kind, note) in wanted {
            assert_eq!(next(), ((*kind).to_owned(), note.clone()));
        }
    };
    expect(&[("ADDED", Value::Null)]);

    api.inject(Fault::Duplicates);
    announce("true");
    expect(&[("MODIFIED", json!("true")), ("MODIFIED", json!("true"))]);
    api.heal();
    api.inject(Fault::Stale);
    announce("local");
    expect(&[("MODIFIED", json!("local")), ("MODIFIED", json!("true"))]);
    api.heal();
    api.inject(Fault::BookmarksOnly);
    announce("cluster");
    expect(&[("BOOKMARK", Value::Null)]);
    api.heal();
    api.bookmark();
    expect(&[("BOOKMARK", Value::Null)]);
    api.send("Pod", r#"{"type":"ADDED","object":{}}"#).unwrap();
    api.send("Subnet", r#"{"type":"SURPRISE","object":{}}"#).unwrap();
    expect(&[("SURPRISE", Value::Null)]);
    api.send("Subnet", "no JSON").unwrap();
    watch.next(SOON).unwrap_err();
}

#[test]
fn is_slow_silent_or_away() {
    let api = FaultyApi::start().unwrap();
    let hasty = api.client().patience(AWHILE);
    let watch = api.client().watch(SUBNETS).unwrap();
    api.wait_watched("Subnet", SOON).unwrap();

    api.inject(Fault::Slow(AWHILE));
    let start = Instant::now();
    api.client().get(SUBNETS).unwrap();
    assert!(start.elapsed() >= AWHILE);
    api.heal();

    api.inject(Fault::BlackHole);
    hasty.get(SUBNETS).unwrap_err();
    api.put(objects::subnet("s1", "10.0.0.0/16", None)).unwrap();
    assert!(watch.next(AWHILE).is_err());
    api.heal();
    assert!(
        watch.next(AWHILE).is_err(),
        "what was swallowed does not come back"
    );
    assert_eq!(api.client().get(SUBNETS).unwrap().status, 200);

    let watch = api.client().watch(SUBNETS).unwrap();
    assert!(watch.next(SOON).unwrap().is_some());
    api.stop().unwrap();
    assert!(!matches!(watch.next(SOON), Ok(Some(_))));
    assert!(format!("{:#}", hasty.get(SUBNETS).unwrap_err()).contains("refused"));
    api.start_again().unwrap();
    assert_eq!(api.client().get(SUBNETS).unwrap().status, 200);
}

#[test]
fn remembers_what_it_was_asked() {
    let api = FaultyApi::start().unwrap();
    let client = api.client().token("secret");
    let event = json!({ "metadata": { "generateName": "web-" }, "reason": "Announced" });

    client.get(&format!("{PODS}?limit=500")).unwrap();
    let created = client
        .post("/apis/events.k8s.io/v1/namespaces/default/events", &event)
        .unwrap();

    let list = api
        .wait_request("a list of pods", SOON, |request| request.verb == Some(Verb::List))
        .unwrap();
    assert_eq!((list.kind, list.token.as_deref()), ("Pod", Some("secret")));
    assert!(list.path.ends_with("?limit=500"));
    assert!(
        created.ok().unwrap()["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("web-")
    );
    let written = api
        .requests()
        .into_iter()
        .find(|request| request.verb == Some(Verb::Write))
        .unwrap();
    assert_eq!(written.body["reason"], "Announced");
}

#[test]
fn a_patch_of_what_is_not_there_creates_it_if_it_is_an_object() {
    let api = FaultyApi::start().unwrap();
    let path = "/apis/twintor.io/v1alpha1/speakernodes/node1";
    let object = json!({
        "apiVersion": "twintor.io/v1alpha1",
        "kind": "SpeakerNode",
        "metadata": { "name": "node1" },
        "spec": {},
    });

    let client = api.client();
    let applied = client
        .request("PATCH", path, "application/apply-patch+yaml", Some(&object))
        .unwrap();
    client
        .patch(
            &format!("{path}/status"),
            &json!({ "status": { "pair": "both" } }),
        )
        .unwrap()
        .ok()
        .unwrap();

    assert_eq!(applied.status, 201);
    assert_eq!(
        api.object("SpeakerNode", "", "node1").unwrap()["status"]["pair"],
        "both"
    );
}
