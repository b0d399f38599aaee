//! The migration page names everything that people come with. That it names what the agent has besides is proved beside
//! the agent's flags.

use std::collections::BTreeSet;

use lab::daemons::twintor;
use lab::netns;

use crate::file;

/// The flags of kube-ovn-speaker (newest line), and those of klog that it takes.
const INCUMBENT: &[&str] = &[
    "neighbor-address",
    "neighbor-ipv6-address",
    "neighbor-as",
    "cluster-as",
    "router-id",
    "auth-password",
    "holdtime",
    "passivemode",
    "ebgp-multihop",
    "extended-nexthop",
    "graceful-restart",
    "graceful-restart-time",
    "graceful-restart-deferral-time",
    "announce-cluster-ip",
    "nat-gw-mode",
    "node-name",
    "node-ips",
    "allowed-source-addresses",
    "allowed-source-ipv6-addresses",
    "enable-bfd",
    "bfd-min-tx",
    "bfd-min-rx",
    "bfd-detection-multiplier",
    "grpc-host",
    "grpc-port",
    "enable-metrics",
    "pprof-port",
    "kubeconfig",
    "log-perm",
    "logtostderr",
    "alsologtostderr",
    "log_file",
    "log_dir",
    "log_file_max_size",
    "v",
    "vmodule",
    "stderrthreshold",
    "alsologtostderrthreshold",
    "legacy_stderr_threshold_behavior",
    "one_output",
    "skip_headers",
    "skip_log_headers",
    "add_dir_header",
    "log_backtrace_at",
];

/// Every `--flag` of a text.
fn flags(text: &str) -> BTreeSet<String> {
    let after = text.split("--").skip(1);
    let names = after.map(|rest| {
        let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
        rest.split(ends).next().unwrap_or_default()
    });
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn help() -> String {
    let binary = twintor::binary().unwrap();
    netns::run(std::process::Command::new(binary).args(["run", "--help"])).unwrap()
}

#[test]
fn it_names_every_flag_of_the_incumbent_and_the_agent_takes_them() {
    let page = file("docs/migration.md");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .collect::<String>();
    let named = flags(&rows);
    let missing = INCUMBENT
        .iter()
        .filter(|name| !named.contains(**name))
        .collect::<Vec<_>>();
    assert!(missing.is_empty(), "docs/migration.md has no row for {missing:?}");

    let ours = flags(&help());
    let gone = INCUMBENT.iter().filter(|name| !ours.contains(**name));
    assert_eq!(gone.count(), 0, "every flag of the incumbent is taken");
}

#[test]
fn it_names_no_flag_that_nobody_has() {
    let page = file("docs/migration.md");
    let rows = page.lines().filter(|line| line.starts_with("| `--"));
    let named = rows.map(|row| flags(row).into_iter().next().unwrap_or_default());
    let known = flags(&help());
    let unknown = named.filter(|name| !known.contains(name)).collect::<Vec<_>>();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn it_names_every_variable_of_the_environment() {
    let page = file("docs/migration.md");
    for name in [
        "NODE_NAME",
        "KUBE_NODE_NAME",
        "POD_IPS",
        "POD_IP",
        "GATEWAY_NAME",
        "KUBERNETES_SERVICE_HOST",
    ] {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
