use super::*;
use crate::index::ProblemKind;
use crate::objects::{Kind, ObjectKey};
use crate::sources::kubernetes::scripted::Server;
use serde_json::{Value, json};

fn problem(name: &str, kind: ProblemKind) -> Problem {
    Problem {
        object: ObjectKey::new(Kind::Pod, "web", name),
        uid: "u-1".into(),
        field: "ovn.kubernetes.io/bgp".to_owned(),
        kind,
    }
}

fn unknown(name: &str) -> ProblemChange {
    ProblemChange::New(problem(name, ProblemKind::UnknownValue("on".into())))
}

fn status(code: u16, cause: &str) -> Value {
    json!({
        "kind": "Status", "status": "Failure", "code": code, "message": "no", "reason": "",
        "details": {"causes": [{"reason": cause, "message": "", "field": ""}]},
    })
}

fn object(body: &str) -> String {
    let body: Value = serde_json::from_str(body).expect("JSON");
    body["involvedObject"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn warnings_about_objects_with_an_identity_are_written_once() {
    let (client, mut server) = Server::new();
    let mut queue = spawn(client, Some("node1".to_owned()));
    let mut anonymous = problem("anonymous", ProblemKind::HostNetwork);
    anonymous.uid = "".into();
    queue.take(&[
        ProblemChange::New(problem("note", ProblemKind::NoAddress)),
        ProblemChange::New(anonymous),
        ProblemChange::Cleared(problem("cleared", ProblemKind::HostNetwork)),
        unknown("one"),
        unknown("two"),
    ]);
    let asked = server.asked().await;
    assert_eq!(
        (asked.method.as_str(), asked.uri.as_str()),
        ("POST", "/api/v1/namespaces/web/events")
    );
    assert_eq!(object(&asked.body), "one");
    asked.json(201, &json!({}));
    // Another speaker was faster, which is as good.
    let asked = server.asked().await;
    assert_eq!(object(&asked.body), "two");
    asked.json(409, &status(409, ""));
    queue.take(&[unknown("three")]);
    let asked = server.asked().await;
    assert_eq!(object(&asked.body), "three");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_sat_out_for_a_while_only() {
    let (client, mut server) = Server::new();
    let mut queue = spawn(client, None);
    queue.take(&[unknown("one"), unknown("two")]);
    server.asked().await.refuse();
    server.asked().await.json(503, &status(503, ""));
    let silent = server.asked().await;
    assert_eq!(
        object(&silent.body),
        "one",
        "the third attempt, which gets no answer at all"
    );
    let asked = server.asked().await;
    assert_eq!(object(&asked.body), "two");
}

#[tokio::test(start_paused = true)]
async fn without_the_right_nothing_is_tried_for_a_while() {
    let (client, mut server) = Server::new();
    let mut queue = spawn(client, None);
    queue.take(&[unknown("ending"), unknown("one"), unknown("two")]);
    // A namespace that ends says nothing about the others.
    server
        .asked()
        .await
        .json(403, &status(403, "NamespaceTerminating"));
    let asked = server.asked().await;
    assert_eq!(object(&asked.body), "one");
    asked.json(403, &status(403, ""));
    sleep(FORBIDDEN_PAUSE / 2).await;
    queue.take(&[unknown("three")]);
    sleep(FORBIDDEN_PAUSE).await;
    queue.take(&[unknown("four")]);
    let asked = server.asked().await;
    assert_eq!(object(&asked.body), "four", "two and three were dropped");
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_cut_off_and_slow() {
    let (client, mut server) = Server::new();
    let mut queue = spawn(client, None);
    let flood: Vec<_> = (0..10_000).map(|number| unknown(&format!("p{number}"))).collect();
    let began = Instant::now();
    queue.take(&flood);
    for _ in 0..30 {
        server.asked().await.json(201, &json!({}));
    }
    assert!(
        began.elapsed() >= Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    for _ in 30..WAITING {
        server.asked().await.json(201, &json!({}));
    }
    queue.take(&[unknown("last")]);
    let asked = server.asked().await;
    assert_eq!(object(&asked.body), "last");
}

#[tokio::test(start_paused = true)]
async fn what_passes_by_itself_gets_none() {
    let (client, mut server) = Server::new();
    let mut queue = spawn(client, None);
    queue.take(&[unknown("passing")]);
    sleep(SETTLE / 2).await;
    let mut passed = problem("passing", ProblemKind::UnknownValue("on".into()));
    passed.uid = "".into();
    queue.take(&[ProblemChange::Cleared(passed), unknown("lasting")]);
    let began = Instant::now();
    assert_eq!(object(&server.asked().await.body), "lasting");
    assert!(began.elapsed() >= SETTLE);
}
