//! The account of a pod: no kubeconfig, a token that ends.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lab::daemons::twintor;
use lab::kube::{TWINTOR, objects};
use serde_json::json;

use crate::support::{NODE1, World, hold, start_in_pod, tables, wait_tables, wait_tables_for};

const ACCOUNTS: &str = "/api/v1/namespaces/kube-system/serviceaccounts";

/// A token is read again when it is a minute old.
const READ_AGAIN: Duration = Duration::from_secs(90);

/// Replaces it at once, as kubelet does.
fn put_token(dir: &Path, token: &str) {
    fs::write(dir.join("fresh"), token).unwrap();
    fs::rename(dir.join("fresh"), dir.join("token")).unwrap();
}

#[test]
fn a_token_that_ends_withdraws_nothing_and_the_next_one_is_read_without_a_restart() {
    let world = World::without_agents("dual-tor", &[NODE1]);
    let cluster = &world.cluster;
    cluster
        .create(&objects::subnet("ovn-default", "10.16.0.0/16", None))
        .unwrap();
    for (name, address) in [("web", "10.16.0.10"), ("late", "10.16.0.11")] {
        cluster
            .create(&objects::pod(name, "node1", address, None))
            .unwrap();
    }
    world.annotate("pod", "web", "=true");
    let dir = cluster.account_dir(TWINTOR).unwrap();
    put_token(&dir, &cluster.request_token("kube-system", "twintor").unwrap());
    let mut args = vec!["run".to_owned()];
    args.extend(NODE1.args(false));
    start_in_pod(
        &world.lab,
        "node1",
        &dir,
        &twintor::binary().unwrap(),
        args,
        cluster.pod_env(),
    );
    let web = tables(&[("10.16.0.10/32", &[NODE1])]);
    wait_tables(&world.lab, &web);

    // The token ends with its account. What is open stays open, so the server is restarted as well.
    let client = cluster.client().unwrap();
    client
        .delete(&format!("{ACCOUNTS}/twintor"))
        .unwrap()
        .ok()
        .unwrap();
    let account = json!({ "metadata": { "name": "twintor" } });
    client.post(ACCOUNTS, &account).unwrap().ok().unwrap();
    cluster.restart_api().unwrap();
    world.wait_log(NODE1, "does not accept this speaker (401)");
    world.annotate("pod", "late", "=true");
    hold(&world.lab, Duration::from_secs(2), &web, &web);

    put_token(&dir, &cluster.request_token("kube-system", "twintor").unwrap());
    let both = tables(&[("10.16.0.10/32", &[NODE1]), ("10.16.0.11/32", &[NODE1])]);
    wait_tables_for(&world.lab, &both, READ_AGAIN);
    let log = world.lab.log("node1", twintor::DAEMON);
    for token in fs::read_to_string(dir.join("token"))
        .unwrap()
        .split('.')
        .filter(|part| part.len() > 20)
    {
        assert!(!log.contains(token), "a token is in the log");
    }
}
