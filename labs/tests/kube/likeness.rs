//! One script, played against the real server and against the one that can be told to misbehave.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::kube::{ApiClient, Cluster, FaultyApi, Reply, Watch, objects};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(15);
const SUBNETS: &str = "/apis/kubeovn.io/v1/subnets";
const PODS: &str = "/api/v1/namespaces/default/pods";

#[test]
fn without_faults_both_servers_play_the_same_script() {
    let cluster = Cluster::start().unwrap();
    let faulty = FaultyApi::start().unwrap();

    let real = play(&cluster.client().unwrap()).unwrap();
    let ours = play(&faulty.client()).unwrap();

    let different = real.iter().zip(&ours).filter(|(real, ours)| real != ours);
    assert_eq!(different.collect::<Vec<_>>(), [], "left is the real server");
    assert_eq!(real.len(), ours.len());
    let events = real.iter().filter(|line| line.starts_with("changes:"));
    assert_eq!(
        events.collect::<Vec<_>>(),
        [
            "changes: ADDED sub1",
            "changes: MODIFIED sub1",
            "changes: DELETED sub1",
            "changes: BOOKMARK"
        ]
    );
}

/// What happened, a line for each thing that matters to a client.
fn play(client: &ApiClient) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    changes(client, &mut seen)?;
    writes(client, &mut seen)?;
    pages(client, &mut seen)?;
    replays(client, &mut seen)?;
    selectors(client, &mut seen)?;
    Ok(seen)
}

/// List, watch from there, change, delete, and the bookmark that comes before the end.
fn changes(client: &ApiClient, seen: &mut Vec<String>) -> Result<()> {
    let from = version(&client.get(SUBNETS)?.ok()?)?;
    let watch = client.watch(&format!(
        "{SUBNETS}?resourceVersion={from}&allowWatchBookmarks=true&timeoutSeconds=5"
    ))?;
    client
        .post(SUBNETS, &objects::subnet("sub1", "10.1.0.0/16", None))?
        .ok()?;
    annotate(client, "sub1", json!("true"))?.ok()?;
    client.delete(&format!("{SUBNETS}/sub1"))?.ok()?;
    let mut last = from;
    while let Some(event) = watch.next(SOON)? {
        seen.push(format!("changes: {}", describe(&event)));
        let next = version(&event["object"])?;
        ensure!(next >= last, "version {next} after {last}");
        last = next;
    }
    Ok(())
}

/// What is answered to reads and writes of what is there, is not there, or has changed.
fn writes(client: &ApiClient, seen: &mut Vec<String>) -> Result<()> {
    let subnet = objects::subnet("sub2", "10.2.0.0/16", None);
    let path = format!("{SUBNETS}/sub2");
    let mut note =
        |what: &str, reply: &Reply| seen.push(format!("{what}: {} {}", reply.status, reply.body["reason"]));
    note("get nothing", &client.get(&path)?);
    note("delete nothing", &client.delete(&path)?);
    note("patch nothing", &annotate(client, "sub2", json!("true"))?);
    let created = client.post(SUBNETS, &subnet)?;
    note("create", &created);
    note("create again", &client.post(SUBNETS, &subnet)?);
    let status = json!({ "status": { "activateGateway": "node1" }, "spec": { "cidrBlock": "0.0.0.0/0" } });
    note("patch status", &client.patch(&format!("{path}/status"), &status)?);
    note("replace what was", &client.put(&path, &created.body)?);
    note("an unknown kind", &client.get("/apis/kubeovn.io/v1/nonsenses")?);
    note(
        "an unknown field",
        &client.get(&format!("{PODS}?fieldSelector=spec.hostNetwork%3Dfalse"))?,
    );
    let now = client.get(&path)?.ok()?;
    seen.push(format!(
        "{} {} {} {}",
        now["status"]["activateGateway"], now["spec"]["cidrBlock"], now["kind"], now["apiVersion"]
    ));
    client.delete(&path)?.ok()?;
    Ok(())
}

/// Pages of a list, and the types in it.
fn pages(client: &ApiClient, seen: &mut Vec<String>) -> Result<()> {
    for number in 1..=5 {
        let subnet = objects::subnet(&format!("page{number}"), "10.3.0.0/16", None);
        client.post(SUBNETS, &subnet)?.ok()?;
        let mut pod = objects::pod(&format!("page{number}"), "node1", "10.3.0.3", None);
        pod["metadata"]["labels"] = json!({ "odd": (number % 2).to_string() });
        client.post(PODS, &pod)?.ok()?;
    }
    for (path, selector) in [
        (SUBNETS, ""),
        (PODS, ""),
        ("/api/v1/pods", "&labelSelector=odd%3D1"),
        (PODS, "&fieldSelector=metadata.name%3Dpage2"),
        (PODS, "&fieldSelector=spec.nodeName!%3Dnode1"),
    ] {
        let mut token = String::new();
        loop {
            let list = client
                .get(&format!("{path}?limit=2&continue={token}{selector}"))?
                .ok()?;
            let items = list["items"].as_array().context("no items")?;
            let items = items
                .iter()
                .map(|item| format!("{}/{}", item["kind"], item["metadata"]["name"]));
            let items = items.collect::<Vec<_>>().join(" ");
            seen.push(format!(
                "page of {} {}: {items}",
                list["kind"], list["apiVersion"]
            ));
            version(&list)?;
            let next = &list["metadata"]["continue"];
            seen.push(format!(
                "another page: {}",
                next.as_str()
                    .map_or("no", |next| if next.is_empty() { "empty" } else { "yes" })
            ));
            match next.as_str() {
                None | Some("") => break,
                Some(next) => next.clone_into(&mut token),
            }
        }
    }
    Ok(())
}

/// Watches that start from nothing, from a version in the past, and from one that is gone.
fn replays(client: &ApiClient, seen: &mut Vec<String>) -> Result<()> {
    let from = version(&client.get(SUBNETS)?.ok()?)?;
    annotate(client, "page1", json!("true"))?.ok()?;
    annotate(client, "page2", json!("true"))?.ok()?;
    for (what, query, count) in [
        ("from nothing", "timeoutSeconds=30".to_owned(), 5),
        ("from any version", "resourceVersion=0".to_owned(), 5),
        ("from before", format!("resourceVersion={from}"), 2),
        ("from what is gone", "resourceVersion=1".to_owned(), 2),
    ] {
        let watch = client.watch(&format!("{SUBNETS}?{query}"))?;
        let events = take(&watch, count)?;
        let mut lines = events
            .iter()
            .map(|event| format!("{what}: {}", describe(event)))
            .collect::<Vec<_>>();
        if !what.contains("before") {
            // What is there already comes in no particular order.
            lines.sort();
        }
        seen.append(&mut lines);
    }
    Ok(())
}

/// A watch with a selector: objects come into sight and go out of it.
fn selectors(client: &ApiClient, seen: &mut Vec<String>) -> Result<()> {
    let from = version(&client.get(PODS)?.ok()?)?;
    let watch = client.watch(&format!("{PODS}?resourceVersion={from}&labelSelector=odd%3D1"))?;
    for (name, label) in [
        ("page2", "1"),
        ("page2", "1"),
        ("page4", "0"),
        ("page2", "0"),
        ("page1", "2"),
    ] {
        let patch = json!({ "metadata": { "labels": { "odd": label }, "annotations": { "n": unique() } } });
        client.patch(&format!("{PODS}/{name}"), &patch)?.ok()?;
    }
    client.delete(&format!("{PODS}/page3"))?.ok()?;
    for event in take(&watch, 6)? {
        seen.push(format!("in sight: {}", describe(&event)));
    }
    Ok(())
}

/// So many events, or fewer if the watch ends.
fn take(watch: &Watch, count: usize) -> Result<Vec<Value>> {
    let mut events = Vec::new();
    while events.len() < count
        && let Some(event) = watch.next(SOON)?
    {
        events.push(event);
    }
    Ok(events)
}

fn annotate(client: &ApiClient, subnet: &str, value: Value) -> Result<Reply> {
    let patch = json!({ "metadata": { "annotations": { "ovn.kubernetes.io/bgp": value } } });
    client.patch(&format!("{SUBNETS}/{subnet}"), &patch)
}

fn describe(event: &Value) -> String {
    let object = &event["object"];
    let kind = event["type"].as_str().unwrap_or("?");
    match (object["metadata"]["name"].as_str(), object["code"].as_u64()) {
        (Some(name), _) => format!("{kind} {name}"),
        (None, Some(code)) => format!("{kind} {code} {}", object["reason"]),
        (None, None) => kind.to_owned(),
    }
}

fn version(object: &Value) -> Result<u64> {
    let version = object["metadata"]["resourceVersion"]
        .as_str()
        .context("no version")?;
    Ok(version.parse()?)
}

/// Something that makes every patch a change.
fn unique() -> String {
    format!("{:?}", std::time::Instant::now())
}
