//! What is shipped, given to a real API server.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use lab::daemons::twintor;
use lab::kube::{Cluster, TWINTOR, VPC_NAT_GW, objects};
use lab::netns::Netns;
use lab::process::{Daemon, Recipe, read_lossy};
use lab::wait::{self, PATIENCE};
use lab::{shipped, state};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::chart::{matrix, objects as rendered};
use crate::{chart, file};

fn dry_run(cluster: &Cluster, name: &str, yaml: &str) {
    let path = cluster.dir().join("dry-run.yaml");
    fs::write(&path, yaml).unwrap();
    let said = cluster.kubectl(&["apply", "--dry-run=server", "-f", &path.to_string_lossy()]);
    let said = said.unwrap_or_else(|error| panic!("{name}: {error:#}\n{yaml}"));
    assert!(said.contains("(server dry run)"), "{name}: {said}");
}

#[test]
fn the_server_takes_everything_that_is_shipped() {
    let cluster = Cluster::start().unwrap();
    let chart = chart();
    for (path, text) in shipped::manifests(&chart).unwrap() {
        dry_run(&cluster, &path.to_string_lossy(), &text);
    }
    for (name, values) in matrix() {
        let items = rendered(&chart, &values);
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        dry_run(&cluster, name, &list.to_string());
    }
    let wrong = file("deploy/manifests/daemonset.yaml").replace("maxUnavailable: 1", "maxUnavailable: 0");
    let path = cluster.dir().join("wrong.yaml");
    fs::write(&path, wrong).unwrap();
    cluster
        .kubectl(&["apply", "--dry-run=server", "-f", &path.to_string_lossy()])
        .unwrap_err();
}

/// What an account may do, as `kubectl auth can-i --list` tells it, without what everybody may.
fn rights(cluster: &Cluster, user: &str) -> BTreeSet<String> {
    let table = cluster
        .kubectl_as(user, &["auth", "can-i", "--list", "--no-headers"])
        .unwrap();
    let lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|words| !words[0].starts_with('[') && !words[0].starts_with("selfsubject"))
        .map(|words| {
            let verbs = words.iter().skip_while(|word| **word != "[]").skip(2);
            let verbs = verbs.map(|verb| verb.trim_matches(['[', ']']));
            format!("{} {}", words[0], verbs.collect::<Vec<_>>().join(","))
        })
        .collect()
}

fn wait_for_rights(cluster: &Cluster, user: &str, expected: &[&str]) {
    let expected = expected
        .iter()
        .map(|line| (*line).to_owned())
        .collect::<BTreeSet<_>>();
    let known = || Ok(rights(cluster, user) == expected);
    wait::until_true("the rights are these", PATIENCE, known)
        .unwrap_or_else(|_| assert_eq!(rights(cluster, user), expected));
}

fn can(cluster: &Cluster, user: &str, verb: &str, resource: &str) -> bool {
    let answer = cluster.kubectl_as(user, &["auth", "can-i", verb, resource, "--all-namespaces"]);
    answer.is_ok_and(|said| said.trim() == "yes")
}

#[test]
fn the_agents_account_has_exactly_the_rights_it_needs() {
    let cluster = Cluster::start().unwrap();
    assert!(rights(&cluster, TWINTOR).is_empty());
    cluster.apply(&file("deploy/manifests/rbac.yaml")).unwrap();

    wait_for_rights(
        &cluster,
        TWINTOR,
        &[
            "pods list,watch",
            "services list,watch",
            "nodes get,list,watch",
            "events create,patch",
            "events.events.k8s.io create,patch",
            "endpointslices.discovery.k8s.io list,watch",
            "subnets.kubeovn.io list,watch",
            "iptables-eips.kubeovn.io list,watch",
        ],
    );
    assert!(can(&cluster, TWINTOR, "watch", "pods"));
    for (verb, resource) in [
        ("get", "pods"),
        ("delete", "pods"),
        ("update", "subnets.kubeovn.io"),
        ("patch", "nodes"),
        ("list", "secrets"),
        ("get", "configmaps"),
        ("create", "pods/exec"),
    ] {
        assert!(!can(&cluster, TWINTOR, verb, resource), "{verb} {resource}");
    }
}

#[test]
fn the_gateways_account_lists_and_watches_and_no_more() {
    let cluster = Cluster::start().unwrap();
    cluster.apply(&file("deploy/manifests/nat-gateway.yaml")).unwrap();
    wait_for_rights(
        &cluster,
        VPC_NAT_GW,
        &[
            "pods list,watch",
            "services list,watch",
            "iptables-eips.kubeovn.io list,watch",
            "subnets.kubeovn.io list,watch",
            "vpc-nat-gateways.kubeovn.io list,watch",
        ],
    );
}

#[test]
fn the_image_of_gateways_is_changed_by_one_patch_that_leaves_the_rest() {
    let cluster = Cluster::start().unwrap();
    cluster
        .apply(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ovn-vpc-nat-config, namespace: kube-system}\n\
             data: {image: gateway, apiNadProvider: api.kube-system.ovn, bgpSpeakerImage: kube-ovn}\n",
        )
        .unwrap();
    let patch = r#"{"data":{"bgpSpeakerImage":"twintor:0.1.0"}}"#;
    let page = file("docs/migration.md");
    assert!(page.contains(&format!(
        "patch configmap ovn-vpc-nat-config --type merge -p '{patch}'"
    )));
    cluster
        .kubectl(&[
            "-n",
            "kube-system",
            "patch",
            "configmap",
            "ovn-vpc-nat-config",
            "--type",
            "merge",
            "-p",
            patch,
        ])
        .unwrap();
    let path = "/api/v1/namespaces/kube-system/configmaps/ovn-vpc-nat-config";
    let map = cluster.client().unwrap().get(path).unwrap().ok().unwrap();
    assert_eq!(
        map["data"],
        json!({ "image": "gateway", "apiNadProvider": "api.kube-system.ovn", "bgpSpeakerImage": "twintor:0.1.0" })
    );
}

/// The commands of the migration page that change the incumbent's DaemonSet.
#[test]
fn the_incumbent_is_kept_off_marked_nodes_as_the_page_says() {
    let cluster = Cluster::start().unwrap();
    cluster
        .apply(
            "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: kube-ovn-speaker, namespace: kube-system}\nspec:\n  \
             selector: {matchLabels: {app: kube-ovn-speaker}}\n  template:\n    metadata: {labels: {app: kube-ovn-speaker}}\n    \
             spec: {containers: [{name: kube-ovn-speaker, image: kube-ovn}]}\n",
        )
        .unwrap();
    let page = file("docs/migration.md");
    let patches = page
        .lines()
        .filter_map(|line| line.trim().split_once("patch daemonset kube-ovn-speaker -p '"))
        .map(|(_, patch)| patch.strip_suffix('\'').unwrap())
        .collect::<Vec<_>>();
    assert_eq!(patches.len(), 2);
    for patch in patches {
        cluster
            .kubectl(&[
                "-n",
                "kube-system",
                "patch",
                "daemonset",
                "kube-ovn-speaker",
                "-p",
                patch,
            ])
            .unwrap();
    }
    let path = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-ovn-speaker";
    let spec = &cluster.client().unwrap().get(path).unwrap().ok().unwrap()["spec"];
    assert_eq!(spec["updateStrategy"], json!({ "type": "OnDelete" }));
    let required = &spec["template"]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(
        required["nodeSelectorTerms"][0]["matchExpressions"][0],
        json!({ "key": "twintor.io/speaker", "operator": "DoesNotExist" })
    );
}

/// An agent in a namespace from which the API server is reached, called by the name of the incumbent.
struct Speaker {
    netns: Netns,
    dir: PathBuf,
    daemon: Option<Daemon>,
}

impl Speaker {
    fn start(cluster: &Cluster, user: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let name = std::iter::repeat_with(fastrand::lowercase)
            .take(5)
            .collect::<String>();
        let netns = Netns::named(format!("tl{name}-speaker"));
        netns.create().unwrap();
        let dir = state::root().unwrap().join(format!("speaker-{name}"));
        fs::create_dir_all(&dir).unwrap();
        let mut speaker = Self {
            netns,
            dir,
            daemon: None,
        };
        cluster.wire(&speaker.netns).unwrap();
        let program = speaker.dir.join("kube-ovn-speaker");
        symlink(twintor::binary().unwrap(), &program).unwrap();
        let kubeconfig = format!("--kubeconfig={}", cluster.kubeconfig(user).unwrap().display());
        let logs = speaker.dir.to_string_lossy().into_owned();
        let args = args.iter().map(|arg| arg.replace("/var/log/kube-ovn", &logs));
        let recipe = Recipe {
            netns: speaker.netns.clone(),
            program: program.to_string_lossy().into_owned(),
            args: args.chain([kubeconfig]).collect(),
            env: env
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            log: speaker.dir.join("stderr"),
        };
        speaker.daemon = Some(recipe.start().unwrap());
        speaker
    }

    fn wait_for(&self, file: &str, line: &str) {
        let path = self.dir.join(file);
        let there = || Ok(read_lossy(&path).contains(line));
        wait::until_true(line, PATIENCE, there)
            .unwrap_or_else(|error| panic!("{error:#}: {}", read_lossy(&self.dir.join("stderr"))));
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.stop(Signal::SIGKILL);
        }
        let _ = self.netns.delete();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The arguments and the environment are those of kube-ovn's `speaker.yaml`.
#[test]
fn the_incumbents_manifest_runs_with_nothing_but_another_image() {
    let cluster = Cluster::start().unwrap();
    cluster.apply(&file("deploy/manifests/rbac.yaml")).unwrap();
    cluster
        .create(&objects::subnet("ovn-default", "10.16.0.0/16", Some("true")))
        .unwrap();
    let args = [
        "--neighbor-address=10.32.32.1",
        "--neighbor-as=65030",
        "--cluster-as=65000",
        "--logtostderr=false",
        "--alsologtostderr=true",
        "--log_file=/var/log/kube-ovn/kube-ovn-speaker.log",
        "--log_file_max_size=200",
    ];
    let env = [
        ("NODE_NAME", "node1"),
        ("POD_IP", "10.32.32.11"),
        ("POD_IPS", "10.32.32.11"),
    ];

    let speaker = Speaker::start(&cluster, TWINTOR, &args, &env);

    for log in ["kube-ovn-speaker.log", "stderr"] {
        speaker.wait_for(log, "all objects are known");
        speaker.wait_for(log, "desired=1");
    }
}

/// The arguments are those that kube-ovn-controller writes for a gateway, with a password and an extra argument.
#[test]
fn a_gateways_speaker_runs_with_the_controllers_arguments_and_the_gateways_account() {
    let cluster = Cluster::start().unwrap();
    cluster.apply(&file("deploy/manifests/nat-gateway.yaml")).unwrap();
    cluster.create(&eip("eip1", "gw1", "172.30.0.5")).unwrap();
    cluster.create(&eip("eip2", "other", "172.30.0.6")).unwrap();
    let args = [
        "--nat-gw-mode",
        "--router-id=10.0.0.1",
        "--auth-password=lab",
        "--holdtime=1m0s",
        "--cluster-as=65000",
        "--neighbor-as=65030",
        "--neighbor-address=172.30.0.1",
        "-v5",
    ];
    let env = [
        ("GATEWAY_NAME", "gw1"),
        ("POD_IP", "10.0.1.5"),
        ("POD_IPS", "10.0.1.5"),
    ];

    let speaker = Speaker::start(&cluster, VPC_NAT_GW, &args, &env);

    speaker.wait_for("stderr", "all objects are known");
    speaker.wait_for("stderr", "172.30.0.5/32");
    let log = read_lossy(&speaker.dir.join("stderr"));
    assert!(!log.contains("172.30.0.6/32"), "{log}");
}

fn eip(name: &str, gateway: &str, address: &str) -> Value {
    objects::eip(name, gateway, address, Some("true"))
}
