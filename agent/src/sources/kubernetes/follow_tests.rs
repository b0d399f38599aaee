use super::follow::DOUBT;
use super::scripted::Server;
use super::startup::PATIENCE;
use super::{Watched, spawn};
use crate::index::{IndexConfig, Mode, Policy};
use crate::objects::Kind;
use crate::run::Consumer;
use crate::run::tests::Notebook;
use serde_json::{Value, json};
use std::ops::Range;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use wire::FamilySet;

/// A source of these kinds, its server, and what comes out at the announcer's end.
struct World {
    server: Server,
    notebook: Notebook,
    _source: super::KubernetesSource,
    _consumer: JoinSet<()>,
}

impl World {
    fn of(kinds: &[Kind]) -> Self {
        let (client, server) = Server::new();
        let (sender, batches) = mpsc::channel(4);
        let kinds = kinds.iter().map(|kind| Watched::all(*kind));
        let source = spawn(&client, kinds.collect(), &sender);
        let mut consumer = Consumer::new(IndexConfig {
            node_name: None,
            families: FamilySet::ALL,
            policy: Policy::from_flag(true),
            mode: Mode::Node,
            missing_status_is_ready: false,
        });
        let notebook = Notebook::default();
        let mut announcer = notebook.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { consumer.consume(batches, &mut announcer).await });
        Self {
            server,
            notebook,
            _source: source,
            _consumer: tasks,
        }
    }

    /// Services only.
    fn new() -> Self {
        Self::of(&[Kind::Service])
    }

    /// What is announced comes to be these.
    async fn announced(&self, expected: &[&str]) {
        let give_up = Instant::now() + Duration::from_secs(5);
        loop {
            let announced = self.notebook.announced();
            if announced == expected {
                return;
            }
            assert!(Instant::now() < give_up, "{announced:?} instead of {expected:?}");
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn is_complete(&self) -> bool {
        self.notebook.lines().iter().any(|line| line == "complete")
    }

    fn nothing_was_withdrawn(&self) {
        let lines = self.notebook.lines();
        assert!(!lines.iter().any(|line| line.starts_with('-')), "{lines:?}");
    }
}

fn service(name: &str, ip: &str, version: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "web", "resourceVersion": version,
            "annotations": {"ovn.kubernetes.io/bgp": "true"},
        },
        "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip]},
    })
}

fn services(numbers: Range<u8>) -> Vec<Value> {
    numbers
        .map(|n| service(&format!("s{n}"), &format!("10.96.0.{n}"), "1"))
        .collect()
}

fn broken(name: &str, version: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "web", "resourceVersion": version}, "spec": {"clusterIPs": {}}})
}

const ONE: &str = "10.96.0.1/32";
const TWO: &str = "10.96.0.2/32";
const THREE: &str = "10.96.0.3/32";

#[tokio::test(start_paused = true)]
async fn pages_then_changes_from_their_version_on() {
    let mut world = World::new();
    let first = world.server.asked().await;
    assert_eq!(first.uri, "/api/v1/services?limit=500");
    first.page("5", "more", &services(1..2));
    let second = world.server.asked().await;
    assert_eq!(second.uri, "/api/v1/services?limit=500&continue=more");
    assert!(!world.is_complete());
    second.page("5", "", &services(2..3));
    let watch = world.server.watch("5").await;
    world.announced(&[ONE, TWO]).await;
    assert!(world.is_complete());

    watch.line("ADDED", &service("s3", "10.96.0.3", "6"));
    watch.line("DELETED", &service("s1", "10.96.0.1", "7"));
    world.announced(&[TWO, THREE]).await;
    watch.line("BOOKMARK", &json!({"metadata": {"resourceVersion": "9"}}));
    drop(watch);
    let watch = world.server.watch("9").await;
    watch.line("MODIFIED", &service("s2", "10.96.0.1", "10"));
    world.announced(&[ONE, THREE]).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_withdraws_nothing_and_the_list_after_it_what_is_gone() {
    let mut world = World::new();
    world.server.list("5", &services(1..4)).await;
    let watch = world.server.watch("5").await;
    world.announced(&[ONE, TWO, THREE]).await;
    watch.text("{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"s1\"");
    drop(watch);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(300) {
        let asked = world.server.asked().await;
        assert!(asked.uri.contains("resourceVersion=5&"), "{}", asked.uri);
        asked.refuse();
    }
    world.nothing_was_withdrawn();
    world.server.watch("5").await.expire();
    for code in [500, 503, 429, 401, 403, 404] {
        world.server.asked().await.status(code, "no");
    }
    for nonsense in ["", "{}", "<html>", "{\"items\":[]}"] {
        world.server.asked().await.text(200, nonsense.to_owned());
    }
    sleep(Duration::from_secs(1)).await;
    world.nothing_was_withdrawn();
    world.server.list("50", &services(2..4)).await;
    world.announced(&[TWO, THREE]).await;
    world.server.watch("50").await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_believed_the_second_time() {
    let mut world = World::new();
    world.server.list("5", &services(1..13)).await;
    world.server.watch("5").await.expire();
    world.server.list("6", &[]).await;
    // Changes are followed meanwhile.
    let doubted = Instant::now();
    let watch = world.server.watch("6").await;
    watch.line("ADDED", &service("new", "10.96.0.200", "7"));
    while world.notebook.announced().len() != 13 {
        sleep(Duration::from_millis(1)).await;
    }
    let second = world.server.asked().await;
    assert!(doubted.elapsed() >= DOUBT && doubted.elapsed() < 2 * DOUBT);
    world.nothing_was_withdrawn();
    second.page("8", "", &[service("new", "10.96.0.200", "7")]);
    world.announced(&["10.96.0.200/32"]).await;
    world.server.watch("8").await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_that_was_a_mistake_does_no_harm() {
    let mut world = World::new();
    world.server.list("5", &services(1..13)).await;
    world.server.watch("5").await.expire();
    world.server.list("6", &services(1..6)).await;
    let watch = world.server.watch("6").await;
    // An outage does not make the first answer better.
    drop(watch);
    for _ in 0..20 {
        world.server.asked().await.refuse();
    }
    let asked = world.server.asked().await;
    assert!(!asked.uri.contains("watch"), "{}", asked.uri);
    asked.page("8", "", &services(1..13));
    let watch = world.server.watch("8").await;
    sleep(2 * DOUBT).await;
    world.nothing_was_withdrawn();
    // It is trusted again: half of them may go at once.
    watch.expire();
    world.server.list("9", &services(1..8)).await;
    world.server.watch("9").await;
    assert_eq!(world.notebook.announced().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_replaced_is_listed_again() {
    let mut world = World::new();
    world.server.list("500", &services(1..4)).await;
    let watch = world.server.watch("500").await;
    world.announced(&[ONE, TWO, THREE]).await;
    watch.line("BOOKMARK", &json!({"metadata": {"resourceVersion": "70"}}));
    world.server.list("71", &services(2..4)).await;
    world.announced(&[TWO, THREE]).await;
    let watch = world.server.watch("71").await;
    // An event that was there before must not undo a newer one.
    watch.line("DELETED", &service("s2", "10.96.0.2", "9"));
    let asked = world.server.asked().await;
    assert_eq!(world.notebook.announced(), [TWO, THREE]);
    asked.page("72", "", &services(3..4));
    world.announced(&[THREE]).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_any_news_is_made_sure_of() {
    let mut world = World::new();
    world.server.list("500", &services(1..4)).await;
    for version in ["500", "600", "70"] {
        let watch = world.server.watch("500").await;
        sleep(Duration::from_secs(30)).await;
        drop(watch);
        let asked = world.server.asked().await;
        assert_eq!(asked.uri, "/api/v1/services?limit=1");
        asked.page(version, "more", &services(1..2));
    }
    world.nothing_was_withdrawn();
    world.server.list("71", &services(2..4)).await;
    world.announced(&[TWO, THREE]).await;
}

#[tokio::test(start_paused = true)]
async fn few_may_go_at_once() {
    let mut world = World::new();
    world.server.list("5", &services(1..4)).await;
    world.server.watch("5").await.expire();
    world.server.list("6", &[]).await;
    world.announced(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_keeps_its_last_state_and_hides_nothing() {
    let mut world = World::new();
    let items = [
        broken("s0", "1"),
        services(1..2).remove(0),
        services(2..3).remove(0),
    ];
    world.server.list("5", &items).await;
    let watch = world.server.watch("5").await;
    world.announced(&[ONE, TWO]).await;
    assert!(world.is_complete());
    watch.line("MODIFIED", &broken("s1", "8"));
    watch.line("ADDED", &service("s3", "10.96.0.3", "9"));
    world.announced(&[ONE, TWO, THREE]).await;
    watch.expire();
    world
        .server
        .list("10", &[broken("s1", "8"), broken("s9", "9")])
        .await;
    let watch = world.server.watch("10").await;
    world.announced(&[ONE]).await;
    // It can be removed, though.
    watch.line("DELETED", &broken("s1", "11"));
    world.announced(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_name_nothing_counts_as_deleted() {
    let mut world = World::new();
    world.server.list("5", &services(1..3)).await;
    world.server.watch("5").await.expire();
    world
        .server
        .list("6", &[json!({"spec": {}}), services(3..4).remove(0)])
        .await;
    world.server.watch("6").await;
    world.announced(&[ONE, TWO, THREE]).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_kind_is_done_without_after_a_while() {
    let mut world = World::of(&[Kind::Service, Kind::Subnet]);
    let began = Instant::now();
    let mut watches = Vec::new();
    while !world.is_complete() {
        let asked = world.server.asked().await;
        if asked.uri.contains("watch=true") {
            watches.push(asked.stream());
        } else if asked.uri.contains("/subnets") {
            asked.status(404, "the server could not find the requested resource");
        } else {
            asked.page("5", "", &services(1..2));
        }
    }
    assert!(began.elapsed() >= PATIENCE && began.elapsed() < 2 * PATIENCE);
    world.announced(&[ONE]).await;
    // It is still asked for, and taken in when it comes.
    let asked = loop {
        let asked = world.server.asked().await;
        match asked.uri.contains("/subnets?limit") {
            true => break asked,
            false => watches.push(asked.stream()),
        }
    };
    asked.page(
        "6",
        "",
        &[json!({
            "metadata": {"name": "s", "annotations": {"ovn.kubernetes.io/bgp": "cluster"}},
            "spec": {"cidrBlock": "10.16.0.0/16"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        })],
    );
    world.announced(&["10.16.0.0/16", ONE]).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_at_the_start_is_waited_for() {
    let mut world = World::of(&[Kind::Service]);
    let began = Instant::now();
    while began.elapsed() < 10 * PATIENCE {
        world.server.asked().await.refuse();
    }
    // Not even a definite refusal of everything means that there is nothing.
    while began.elapsed() < 20 * PATIENCE {
        world.server.asked().await.status(403, "services is forbidden");
    }
    assert!(!world.is_complete());
    world.server.list("1", &[]).await;
    world.server.watch("1").await;
    sleep(Duration::from_millis(10)).await;
    assert!(world.is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_expires_on_the_way_comes_in_one_piece() {
    let mut world = World::new();
    world.server.asked().await.page("5", "more", &services(1..2));
    world
        .server
        .asked()
        .await
        .status(410, "The provided continue parameter is too old");
    let asked = world.server.asked().await;
    assert_eq!(asked.uri, "/api/v1/services");
    asked.page("6", "", &services(2..3));
    world.server.watch("6").await;
    world.announced(&[TWO]).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_replaced_within_a_minute() {
    let mut world = World::new();
    world.server.list("5", &services(1..2)).await;
    let silent = world.server.watch("5").await;
    let began = Instant::now();
    let _watch = world.server.watch("5").await;
    assert!(
        began.elapsed() <= Duration::from_secs(61),
        "{:?}",
        began.elapsed()
    );
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_do_not_delay_news() {
    let mut world = World::new();
    world.server.list("5", &[]).await;
    for version in 6..60 {
        let watch = world.server.watch(&(version - 1).to_string()).await;
        let began = Instant::now();
        watch.line(
            "ADDED",
            &service("s", &format!("10.96.0.{version}"), &version.to_string()),
        );
        drop(watch);
        world.announced(&[&format!("10.96.0.{version}/32")]).await;
        assert!(began.elapsed() < Duration::from_millis(200));
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_again_and_again_is_replaced_by_lists() {
    let mut world = World::new();
    world.server.list("5", &services(1..2)).await;
    for _ in 0..3 {
        let asked = world.server.asked().await;
        assert!(asked.uri.contains("watch=true"));
        asked.status(403, "services is forbidden");
    }
    world.server.list("6", &services(2..3)).await;
    world.announced(&[TWO]).await;
}

#[tokio::test(start_paused = true)]
async fn an_older_server_is_asked_for_the_older_version() {
    let mut world = World::of(&[Kind::EndpointSlice]);
    let unknown = "the server could not find the requested resource";
    let asked = world.server.asked().await;
    assert_eq!(asked.uri, "/apis/discovery.k8s.io/v1/endpointslices?limit=500");
    asked.status(404, unknown);
    let asked = world.server.asked().await;
    assert_eq!(
        asked.uri,
        "/apis/discovery.k8s.io/v1beta1/endpointslices?limit=500"
    );
    asked.page("5", "", &[]);
    let asked = world.server.asked().await;
    assert!(
        asked
            .uri
            .starts_with("/apis/discovery.k8s.io/v1beta1/endpointslices?watch=true")
    );
    asked.status(404, unknown);

    // The server was replaced by a newer one meanwhile.
    loop {
        let asked = world.server.asked().await;
        if asked
            .uri
            .starts_with("/apis/discovery.k8s.io/v1/endpointslices?limit=")
        {
            asked.page("9", "", &[]);
            break;
        }
        asked.status(404, unknown);
    }
    let asked = world.server.asked().await;
    assert!(
        asked
            .uri
            .starts_with("/apis/discovery.k8s.io/v1/endpointslices?watch=true")
    );
}
