//! The chart: like `helm lint`, and what its values lead to.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use lab::daemons::twintor;
use lab::helm::Chart;
use lab::{netns, shipped, state};
use serde_json::{Value, json};

use crate::{chart, file};

/// Values that users come with, each with a name.
pub(crate) fn matrix() -> Vec<(&'static str, Value)> {
    let password = json!({ "name": "bgp", "key": "tor" });
    vec![
        ("defaults", json!({})),
        ("config", json!({ "config": config() })),
        ("password", json!({ "passwordSecret": password })),
        (
            "config and password",
            json!({ "config": config(), "passwordSecret": password }),
        ),
        ("off the host network", json!({ "hostNetwork": false })),
        ("not listening", json!({ "listen": { "enabled": false } })),
        ("another port", json!({ "listen": { "port": 1790 } })),
        ("no metrics", json!({ "metrics": { "enabled": false } })),
        (
            "no ports",
            json!({ "listen": { "enabled": false }, "metrics": { "enabled": false } }),
        ),
        (
            "metrics on IPv6",
            json!({ "metrics": { "address": "::", "port": 10668 } }),
        ),
        (
            "metrics for the node",
            json!({ "metrics": { "address": "127.0.0.1" } }),
        ),
        ("another port of metrics", json!({ "metrics": { "port": 10668 } })),
        ("real time", json!({ "realtimeBfd": true })),
        (
            "everywhere",
            json!({ "nodeSelector": { "ovn.kubernetes.io/bgp": null, "rack": "r1" }, "affinity": null, "tolerations": [] }),
        ),
        (
            "IPv6 and BFD",
            json!({ "bgp": {
                "neighborAddresses": [], "neighborIPv6Addresses": ["fd00:1::1"], "clusterAS": 4_200_000_000_u32,
                "announceClusterIP": true, "bfd": { "enabled": true, "minTx": 50, "minRx": 50 },
            }, "extraArgs": ["--router-id=10.0.0.1", "-v2"] }),
        ),
        (
            "account of somebody else",
            json!({ "serviceAccount": { "create": false, "name": "ovn" }, "rbac": { "create": false } }),
        ),
        ("gateways", json!({ "natGateway": { "rbac": true } })),
        (
            "decorated",
            json!({
                "fullnameOverride": "bgp", "podLabels": { "team": "net" }, "podAnnotations": { "note": "a: b" },
                "imagePullSecrets": [{ "name": "pull" }], "image": { "tag": "1.2.3" }, "resources": {},
                "extraEnv": [{ "name": "RUST_BACKTRACE", "value": "1" }], "priorityClassName": "",
            }),
        ),
    ]
}

fn config() -> Value {
    json!({ "localAs": 65000, "planes": [{ "name": "a", "as": 65030, "neighbors": ["10.1.1.1"] }] })
}

/// All objects that the chart gives with these values.
pub(crate) fn objects(chart: &Chart, values: &Value) -> Vec<Value> {
    parse(&chart.render_one(values.clone()).unwrap())
}

fn parse(files: &BTreeMap<String, String>) -> Vec<Value> {
    let manifests = files.iter().filter(|(name, _)| !name.ends_with(".txt"));
    manifests
        .flat_map(|(name, text)| {
            let documents = serde_saphyr::from_multiple::<Value>(text);
            documents.unwrap_or_else(|error| panic!("{name}: {error}\n{text}"))
        })
        .filter(|document| !document.is_null())
        .collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind)
}

fn container(objects: &[Value]) -> &Value {
    &of_kind(objects, "DaemonSet").unwrap()["spec"]["template"]["spec"]["containers"][0]
}

fn with(values: Value) -> Vec<Value> {
    objects(&chart(), &values)
}

fn args(objects: &[Value]) -> Vec<&str> {
    let args = container(objects)["args"].as_array().unwrap();
    args.iter().map(|arg| arg.as_str().unwrap()).collect()
}

#[test]
fn the_plain_manifests_are_what_the_chart_gives() {
    for (path, text) in shipped::manifests(&chart()).unwrap() {
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(there, text, "{}: cargo lab render", path.display());
    }
}

#[test]
fn the_chart_describes_itself() {
    let about: Value = serde_saphyr::from_str(&file("deploy/chart/twintor/Chart.yaml")).unwrap();
    let workspace = file("Cargo.toml");
    let version = about["appVersion"].as_str().unwrap();

    assert_eq!(about["apiVersion"], "v2");
    assert_eq!(about["name"], "twintor", "named as its directory");
    assert_eq!(about["type"], "application");
    assert_eq!(about["version"].as_str().unwrap().split('.').count(), 3);
    assert!(about["kubeVersion"].as_str().unwrap().starts_with(">="));
    assert!(
        workspace.contains(&format!("\nversion = \"{version}\"\n")),
        "appVersion is the workspace's"
    );
}

#[test]
fn each_value_is_in_the_schema() {
    let values: Value = serde_saphyr::from_str(&file("deploy/chart/twintor/values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&file("deploy/chart/twintor/values.schema.json")).unwrap();

    let known = schema["properties"].as_object().unwrap();
    for name in values.as_object().unwrap().keys() {
        assert!(known.contains_key(name), "{name} is not in the schema");
    }
    let unset = known.keys().filter(|name| values.get(name.as_str()).is_none());
    assert_eq!(unset.collect::<Vec<_>>(), ["global"], "helm's own");
}

#[test]
fn every_combination_gives_whole_objects() {
    let chart = chart();
    let matrix = matrix();
    let requests = matrix.iter().map(|(_, values)| chart.with(values.clone()));
    let renderings = chart.render(&requests.collect::<Vec<_>>()).unwrap();
    for ((name, _), rendering) in matrix.iter().zip(renderings) {
        let files = rendering.unwrap_or_else(|error| panic!("{name}: {error}"));
        for (path, text) in &files {
            assert!(
                !text.contains("<nil>") && !text.contains("%!"),
                "{name}: {path}:\n{text}"
            );
            let empty = text.split("\n---").filter(|part| {
                let lines = part.lines().map(str::trim);
                lines.clone().any(|line| line.starts_with('#'))
                    && lines
                        .filter(|line| !line.is_empty())
                        .all(|line| line.starts_with('#'))
            });
            assert_eq!(empty.count(), 0, "{name}: {path} has an empty document:\n{text}");
        }
        for object in parse(&files) {
            whole(name, &object);
        }
    }
}

fn whole(name: &str, object: &Value) {
    let meta = &object["metadata"];
    let kind = object["kind"]
        .as_str()
        .unwrap_or_else(|| panic!("{name}: {object}"));
    assert!(object["apiVersion"].is_string(), "{name}: {object}");
    let called = meta["name"].as_str().unwrap();
    assert!(!called.is_empty() && called.len() <= 63, "{name}: {called}");
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c);
    assert!(called.chars().all(plain), "{name}: {called}");
    assert_eq!(
        meta["namespace"].is_null(),
        kind.starts_with("ClusterRole"),
        "{name}: {object}"
    );
    if !called.contains("vpc-nat-gw") {
        assert_eq!(
            meta["labels"]["app.kubernetes.io/name"], "twintor",
            "{name}: {object}"
        );
    }
    if kind == "DaemonSet" {
        let spec = &object["spec"];
        let selected = spec["selector"]["matchLabels"].as_object().unwrap();
        for (key, value) in selected {
            assert_eq!(spec["template"]["metadata"]["labels"][key], *value, "{name}");
        }
    }
}

#[test]
fn wrong_values_are_refused_with_a_word_about_them() {
    let chart = chart();
    let cases = [
        (json!({ "bpg": {} }), "bpg"),
        (json!({ "bgp": { "clusterAS": 0 } }), "bgp.clusterAS"),
        (json!({ "bgp": { "neighborAS": "65030" } }), "bgp.neighborAS"),
        (
            json!({ "bgp": { "neighborAS": null } }),
            "bgp.neighborAS is missing",
        ),
        (
            json!({ "bgp": { "neighborAddresses": [] } }),
            "there is no switch",
        ),
        (
            json!({ "bgp": { "neighborAddresses": ["tor1"] } }),
            "bgp.neighborAddresses.0",
        ),
        (
            json!({ "bgp": { "neighborAddresses": ["fd00::1"] } }),
            "bgp.neighborAddresses.0",
        ),
        (
            json!({ "bgp": { "bfd": { "multiplier": 0 } } }),
            "bgp.bfd.multiplier",
        ),
        (json!({ "bgp": { "holdTime": "90" } }), "bgp.holdTime"),
        (json!({ "listen": { "port": 70000 } }), "listen.port"),
        (
            json!({ "metrics": { "address": "everywhere" } }),
            "metrics.address",
        ),
        (json!({ "passwordSecret": "secret" }), "passwordSecret"),
        (json!({ "extraArgs": ["v2"] }), "extraArgs.0"),
        (
            json!({ "rollout": { "maxUnavailable": 0 } }),
            "rollout.maxUnavailable",
        ),
        (
            json!({ "terminationGracePeriodSeconds": 0 }),
            "terminationGracePeriodSeconds",
        ),
        (
            json!({ "serviceAccount": { "create": false } }),
            "serviceAccount.name",
        ),
        (json!({ "config": { "kind": "SpeakerConfig" } }), "config"),
        (
            json!({ "config": { "defaults": { "passwordFile": "/p" } }, "passwordSecret": { "name": "s" } }),
            "leave one of them out",
        ),
    ];
    let requests = cases.iter().map(|(values, _)| chart.with(values.clone()));
    let renderings = chart.render(&requests.collect::<Vec<_>>()).unwrap();
    for ((values, word), rendering) in cases.iter().zip(renderings) {
        let error = rendering.expect_err(&values.to_string());
        assert!(error.contains(word), "{values}: {error}");
    }
}

#[test]
fn by_default_it_may_bind_port_179_and_nothing_else() {
    let objects = with(json!({}));
    let pod = &of_kind(&objects, "DaemonSet").unwrap()["spec"]["template"]["spec"];
    let security = &container(&objects)["securityContext"];

    assert_eq!(
        security["capabilities"],
        json!({ "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] })
    );
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(pod["nodeSelector"]["ovn.kubernetes.io/bgp"], "true");
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ] {
        assert_eq!(container(&objects)[probe]["httpGet"]["path"], path);
    }
    let names = container(&objects)["env"].as_array().unwrap();
    let names = names.iter().map(|variable| variable["name"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["NODE_NAME", "POD_IP", "POD_IPS"]);
}

#[test]
fn without_a_privileged_port_there_is_no_capability() {
    for values in [
        json!({ "listen": { "enabled": false } }),
        json!({ "listen": { "port": 1790 } }),
    ] {
        let objects = with(values);
        assert_eq!(
            container(&objects)["securityContext"]["capabilities"],
            json!({ "drop": ["ALL"] })
        );
    }
    let objects = with(json!({ "realtimeBfd": true, "listen": { "enabled": false } }));
    assert_eq!(
        container(&objects)["securityContext"]["capabilities"]["add"],
        json!(["SYS_NICE"])
    );
}

#[test]
fn values_become_flags() {
    let objects = with(json!({
        "listen": { "enabled": false }, "metrics": { "enabled": false }, "hostNetwork": false,
        "bgp": { "neighborIPv6Addresses": ["fd00:1::1"], "clusterAS": 4_200_000_000_u32 },
    }));
    assert_eq!(
        args(&objects),
        [
            "--cluster-as=4200000000",
            "--neighbor-as=65030",
            "--neighbor-address=10.32.32.252,10.32.32.253",
            "--neighbor-ipv6-address=fd00:1::1",
            "--holdtime=90s",
            "--listen-port=0",
            "--node-ips=$(HOST_IP)",
            "--enable-metrics=false",
        ]
    );
    assert!(
        container(&objects)["readinessProbe"].is_null(),
        "nobody would answer"
    );
    let objects = with(json!({ "metrics": { "address": "::" } }));
    assert!(args(&objects).contains(&"--http-address=[::]:10667"));
}

#[test]
fn a_configuration_replaces_the_flags_of_the_sessions_and_a_password_is_a_file() {
    let objects = with(json!({ "config": config(), "passwordSecret": { "name": "bgp", "key": "tor" } }));
    let map = of_kind(&objects, "ConfigMap").unwrap();
    let text = map["data"]["config.yaml"].as_str().unwrap();
    let config: Value = serde_saphyr::from_str(text).unwrap();

    assert_eq!(args(&objects), ["--config=/etc/twintor/config.yaml"]);
    assert_eq!(config["apiVersion"], "twintor.io/v1alpha1");
    assert_eq!(config["kind"], "SpeakerConfig");
    assert_eq!(config["planes"][0]["neighbors"][0], "10.1.1.1");
    assert_eq!(config["defaults"]["passwordFile"], "/etc/twintor-secret/tor");
    let pod = &of_kind(&objects, "DaemonSet").unwrap()["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][1]["secret"]["secretName"], "bgp");
    assert_eq!(
        container(&objects)["volumeMounts"][1]["mountPath"],
        "/etc/twintor-secret"
    );

    let objects = with(json!({ "passwordSecret": { "name": "bgp" } }));
    assert!(
        args(&objects).contains(&"--neighbor-as=65030"),
        "flags fill the file"
    );
    assert!(args(&objects).contains(&"--config=/etc/twintor/config.yaml"));
}

/// Whatever is wrong with an argument or with the configuration is said before the two sources of objects are.
#[test]
fn the_agent_takes_everything_that_the_chart_gives() {
    let chart = chart();
    let dir = state::root().unwrap().join("chart");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("tor"), "secret").unwrap();
    fs::write(dir.join("password"), "secret").unwrap();
    for (name, values) in matrix() {
        let objects = objects(&chart, &values);
        let here = |text: &str| {
            let dir = dir.to_string_lossy();
            text.replace("$(HOST_IP)", "10.0.0.1")
                .replace("/etc/twintor-secret", &dir)
                .replace("/etc/twintor", &dir)
        };
        if let Some(map) = of_kind(&objects, "ConfigMap") {
            let text = map["data"]["config.yaml"].as_str().unwrap();
            fs::write(dir.join("config.yaml"), here(text)).unwrap();
        }
        let output = Command::new(twintor::binary().unwrap())
            .arg("run")
            .args(args(&objects).into_iter().map(here))
            .args(["--manifests=/nowhere", "--kubeconfig=/nowhere"])
            .env_clear()
            .env("NODE_NAME", "node1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("name two sources of objects"), "{name}: {said}");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
#[ignore = "no Debian package brings helm; where it is installed: cargo test -p twintor-lab --test deploy -- --ignored"]
fn helm_itself_gives_the_same() {
    let chart = chart();
    let sorted = |mut objects: Vec<Value>| {
        objects.sort_by_key(Value::to_string);
        objects
    };
    let file = state::root()
        .unwrap()
        .join(format!("values-{}.json", fastrand::u32(..)));
    for (name, values) in matrix() {
        fs::write(&file, values.to_string()).unwrap();
        let text = netns::run(
            Command::new("helm")
                .args(["template", "twintor", "--namespace=kube-system", "--values"])
                .args([file.as_path(), chart.dir()]),
        );
        let helms = BTreeMap::from([(name.to_owned(), text.unwrap())]);
        assert_eq!(sorted(parse(&helms)), sorted(objects(&chart, &values)), "{name}");
    }
    fs::remove_file(file).unwrap();
    netns::run(Command::new("helm").args(["lint", "--strict"]).arg(chart.dir())).unwrap();
}
