//! The sidecar of a VPC NAT gateway, exactly as kube-ovn's controller makes it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::Frr;
use lab::daemons::twintor;
use lab::kube::{Cluster, VPC_NAT_GW, objects};
use lab::wait::{self, PATIENCE};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Path, start_in_pod, tables_now, wait_tables};

/// How the role is tried out: no agent asks like this.
const TRIAL: &str = "/apis/kubeovn.io/v1/iptables-eips?limit=7";

const PASSWORD: &str = "gateway-secret-4711";

/// What the chart of kube-ovn gives to the account.
const ROLE: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:vpc-nat-gw"}
rules:
- {apiGroups: [""], resources: [services, pods], verbs: [list, watch]}
- {apiGroups: [kubeovn.io], resources: [iptables-eips, subnets, vpc-nat-gateways], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: vpc-nat-gw}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:vpc-nat-gw"}
subjects:
- {kind: ServiceAccount, name: vpc-nat-gw, namespace: kube-system}
"#;

/// Everything that the account asks for is noted.
const AUDIT: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: ["system:serviceaccount:kube-system:vpc-nat-gw"]}
- {level: None}
"#;

/// The binary under the name that it has in the container.
fn speaker(dir: PathBuf) -> PathBuf {
    fs::create_dir_all(&dir).unwrap();
    let link = dir.join("kube-ovn-speaker");
    symlink(twintor::binary().unwrap(), &link).unwrap();
    link
}

fn eip(name: &str, gateway: &str, v4: &str, v6: &str) -> Value {
    let mut eip = objects::eip(name, gateway, v4, None);
    eip["spec"]["v6ip"] = v6.into();
    eip
}

/// The gateway's pod is node1: net1 leads to the switch, eth3 is its address in the VPC.
fn gateway() -> (Lab, Cluster, PathBuf) {
    let lab = Lab::builder("dual-tor-v6").without(Role::Twintor).up().unwrap();
    let pod = lab.netns("node1");
    for line in [
        "link set eth1 down",
        "link set eth1 name net1",
        "link set net1 up",
        "addr replace fd00:1:1::2/64 dev net1 nodad",
    ] {
        pod.ip(line).unwrap();
    }
    let passwords = ["NODES", "NODES6"].map(|group| format!("neighbor {group} password {PASSWORD}"));
    let [v4, v6] = passwords.each_ref();
    Frr::of(&lab, "tor1")
        .vtysh_all(&["configure terminal", "router bgp 65030", v4, v6])
        .unwrap();
    let policy = lab.write("audit", "policy.yaml", AUDIT).unwrap();
    let log = lab.dir().join("audit/log");
    let cluster = Cluster::builder()
        .arg(&format!("--audit-policy-file={}", policy.display()))
        .arg(&format!("--audit-log-path={}", log.display()))
        .start()
        .unwrap();
    cluster.wire(&pod).unwrap();
    cluster.apply(ROLE).unwrap();
    let client = cluster.client_as(VPC_NAT_GW).unwrap();
    wait::until_true("the role is in force", PATIENCE, || {
        Ok(client.get(TRIAL)?.status == 200)
    })
    .unwrap();
    (lab, cluster, log)
}

#[test]
fn a_gateway_announces_its_own_addresses_via_net1() {
    let (lab, cluster, audit) = gateway();
    for (name, gateway, v4, v6) in [
        ("eip1", "gw1", "172.30.0.5", "fd00:30::5"),
        ("other", "gw2", "172.30.0.6", "fd00:30::6"),
    ] {
        cluster.create(&eip(name, gateway, v4, v6)).unwrap();
    }
    let account = cluster.account_dir(VPC_NAT_GW).unwrap();
    let args = [
        "--nat-gw-mode",
        &format!("--auth-password={PASSWORD}"),
        "--graceful-restart",
        "--holdtime=1m0s",
        "--cluster-as=65000",
        "--neighbor-as=65030",
        "--neighbor-address=10.1.1.1",
        "--neighbor-ipv6-address=fd00:1:1::1",
        "-v5",
    ];
    let mut env = vec![
        ("GATEWAY_NAME".to_owned(), "gw1".to_owned()),
        ("POD_IP".to_owned(), "10.200.0.1".to_owned()),
        ("POD_IPS".to_owned(), "10.200.0.1,fd00:200::1".to_owned()),
    ];
    env.extend(cluster.pod_env());
    let program = speaker(lab.dir().join("bin"));
    start_in_pod(
        &lab,
        "node1",
        &account,
        &program,
        args.map(str::to_owned).to_vec(),
        env,
    );
    let tor1 = Frr::of(&lab, "tor1");
    for peer in ["10.1.1.2", "fd00:1:1::2"] {
        tor1.wait_established(peer).unwrap();
    }

    let own = |eip: &str| {
        let mark = |name: &str, value: &str| {
            let mark = format!("{}{value}", lab::manifests::BGP);
            cluster
                .kubectl(&["annotate", "--overwrite", "eip", name, &mark])
                .unwrap();
        };
        mark(eip, "=true");
    };
    own("other");
    own("eip1");
    // The next hop is the address of net1, although POD_IP is another one.
    let path = |prefix: &str, hop: &str| Path {
        prefix: prefix.to_owned(),
        peer: hop.to_owned(),
        next_hop: hop.to_owned(),
    };
    let both = BTreeSet::from([
        path("172.30.0.5/32", "10.1.1.2"),
        path("fd00:30::5/128", "fd00:1:1::2"),
    ]);
    let announced = [both, BTreeSet::new()];
    wait_tables(&lab, &announced);

    // Not ready, not announced.
    cluster
        .set_status("IptablesEIP", "", "eip1", &json!({ "ready": false }))
        .unwrap();
    wait_tables(&lab, &[BTreeSet::new(), BTreeSet::new()]);
    cluster
        .set_status("IptablesEIP", "", "eip1", &json!({ "ready": true }))
        .unwrap();
    wait_tables(&lab, &announced);
    // The label decides, which follows the gateway that an address moves to.
    cluster
        .kubectl(&[
            "label",
            "--overwrite",
            "eip",
            "eip1",
            "ovn.kubernetes.io/vpc-nat-gw-name=gw2",
        ])
        .unwrap();
    wait_tables(&lab, &[BTreeSet::new(), BTreeSet::new()]);
    cluster
        .kubectl(&[
            "label",
            "--overwrite",
            "eip",
            "eip1",
            "ovn.kubernetes.io/vpc-nat-gw-name=gw1",
        ])
        .unwrap();
    wait_tables(&lab, &announced);
    assert_eq!(tables_now(&lab).unwrap(), announced);

    // The server notes a watch when it ends.
    lab.stop("node1", twintor::DAEMON, Signal::SIGTERM).unwrap();
    let notes = || anyhow::Ok(fs::read_to_string(&audit)?);
    wait::until_true("the watch is noted", PATIENCE, || {
        Ok(notes()?.contains("\"verb\":\"watch\""))
    })
    .unwrap();
    assert_asks_for_eips_only(&notes().unwrap());
    let log = lab.log("node1", twintor::DAEMON);
    assert!(!log.contains(PASSWORD), "the password is in the log");
}

/// By the notes of the API server itself.
fn assert_asks_for_eips_only(audit: &str) {
    let mut asked = BTreeSet::new();
    for line in audit.lines() {
        let note: Value = serde_json::from_str(line).unwrap();
        if note["requestURI"] == TRIAL {
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        asked.insert((text(&note["verb"]), text(&note["objectRef"]["resource"])));
        assert!(
            text(&note["requestURI"]).contains("labelSelector=ovn.kubernetes.io%2Fvpc-nat-gw-name%3Dgw1"),
            "{note}"
        );
        assert!(note["responseStatus"]["code"].as_u64() == Some(200), "{note}");
    }
    let wanted = ["list", "watch"].map(|verb| (verb.to_owned(), "iptables-eips".to_owned()));
    assert_eq!(asked, BTreeSet::from(wanted));
}

#[test]
fn an_extra_argument_that_means_nothing_is_no_silent_one() {
    let dir = std::env::temp_dir().join(format!("twintor-sidecar-{}", fastrand::u64(..)));
    let output = Command::new(speaker(dir.clone()))
        .args([
            "--nat-gw-mode",
            "--cluster-as=65000",
            "--neighbor-as=65030",
            "--neighbor-address=10.1.1.1",
        ])
        .args(["-v5", "--ebgp-mulithop=2"])
        .env("GATEWAY_NAME", "gw1")
        .output();
    fs::remove_dir_all(dir).unwrap();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("unknown flag: --ebgp-mulithop"), "{said}");
}
