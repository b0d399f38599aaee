//! Many pods at once.

use std::time::Instant;

use lab::kube::scale::Load;
use lab::kube::{Cluster, FaultyApi};
use serde_json::Value;

const PODS: &str = "/api/v1/pods";

/// Few enough for every run of the tests; `TWINTOR_LAB_PODS` says otherwise.
fn load() -> Load {
    let pods = std::env::var("TWINTOR_LAB_PODS")
        .ok()
        .and_then(|text| text.parse().ok());
    Load {
        pods: pods.unwrap_or(2_000),
        nodes: 10,
        annotated_every: 100,
    }
}

/// The pods of a list, page by page, and how many of them are annotated.
fn count(mut page: impl FnMut(&str) -> Value) -> (u32, u32) {
    let (mut all, mut annotated, mut token) = (0, 0, String::new());
    loop {
        let list = page(&format!("{PODS}?limit=500&continue={token}"));
        for pod in list["items"].as_array().into_iter().flatten() {
            all += 1;
            annotated += u32::from(pod["metadata"]["annotations"]["ovn.kubernetes.io/bgp"] == "true");
        }
        match list["metadata"]["continue"].as_str() {
            None | Some("") => return (all, annotated),
            Some(next) => next.clone_into(&mut token),
        }
    }
}

#[test]
fn a_real_server_is_filled_through_its_store() {
    let cluster = Cluster::start().unwrap();
    let load = load();

    let start = Instant::now();
    load.fill(&cluster).unwrap();
    println!("{} pods into etcd in {:.1?}", load.pods, start.elapsed());

    let client = cluster.client().unwrap();
    assert_eq!(
        count(|path| client.get(path).unwrap().ok().unwrap()),
        (load.pods, load.annotated())
    );
    let first = client
        .get("/api/v1/namespaces/default/pods/app-5d4f8c7b9-0000000")
        .unwrap()
        .ok()
        .unwrap();
    assert_eq!(first["status"]["podIP"], "10.64.0.0");
    cluster
        .annotate(
            "Pod",
            "default",
            "app-5d4f8c7b9-0000001",
            "ovn.kubernetes.io/bgp",
            Some("true"),
        )
        .unwrap();
    cluster.delete("Pod", "default", "app-5d4f8c7b9-0000000").unwrap();
    assert_eq!(
        count(|path| client.get(path).unwrap().ok().unwrap()),
        (load.pods - 1, load.annotated())
    );
}

#[test]
fn the_server_in_the_test_is_filled_at_once() {
    let api = FaultyApi::start().unwrap();
    let load = load();

    let start = Instant::now();
    api.set_objects(load.pods().chain([load.subnet()])).unwrap();
    println!(
        "{} pods into the server in the test in {:.1?}",
        load.pods,
        start.elapsed()
    );

    let start = Instant::now();
    let client = api.client();
    assert_eq!(
        count(|path| client.get(path).unwrap().ok().unwrap()),
        (load.pods, load.annotated())
    );
    println!("listed in {:.1?}", start.elapsed());
    let pod = api
        .object("Pod", "default", "app-5d4f8c7b9-0000000")
        .unwrap()
        .to_string();
    assert!(
        (4_000..9_000).contains(&pod.len()),
        "a pod of {} bytes",
        pod.len()
    );
}
