//! An API server that misbehaves while an agent starts: no switch hears anything, not even End-of-RIB, before everything
//! that is watched was listed to the end.

use std::time::Duration;

use lab::Lab;
use lab::clab::Role;
use lab::daemons::twintor;
use lab::kube::{Fault, FaultyApi, Rule, objects};
use nix::sys::signal::Signal;

use crate::support::{
    NODE1, NODE2, Node, Tables, hold, tables, updates, wait_established, wait_log, wait_tables_for,
};

const WEB: &str = "10.16.0.10/32";
const SERVICE: &str = "10.96.0.80/32";

/// How long nothing is to be heard.
const AWHILE: Duration = Duration::from_millis(1500);

/// Longer than the longest wait of the agent.
const RECOVERED: Duration = Duration::from_secs(30);

/// Longer than a kind that is refused holds the others back.
const WITHOUT: Duration = Duration::from_secs(60);

struct Case {
    name: &'static str,
    begin: fn(&FaultyApi),
    /// What an operator is told.
    says: &'static str,
}

const CASES: [Case; 6] = [
    Case {
        name: "a kind may not be listed",
        begin: |api| api.inject(Rule::from(Fault::Status(403)).kind("Subnet")),
        says: "allow the verbs list and watch on subnets in apiGroup \"kubeovn.io\"",
    },
    Case {
        name: "the token is not accepted",
        begin: |api| api.inject(Fault::Status(401)),
        says: "see the token of its service account",
    },
    Case {
        name: "a storm of 500",
        begin: |api| api.inject(Fault::Status(500)),
        says: "the API server answers 500",
    },
    Case {
        name: "a storm of 429",
        begin: |api| api.inject(Rule::from(Fault::TooMany(1)).kind("Pod")),
        says: "the API server answers 429",
    },
    Case {
        name: "truncated lists",
        begin: |api| api.inject(Rule::from(Fault::Truncated).kind("Pod")),
        says: "cannot list pods",
    },
    Case {
        name: "nothing listens",
        begin: |api| api.stop().unwrap(),
        says: "the API server cannot be reached",
    },
];

fn start(lab: &Lab, node: Node) -> FaultyApi {
    let api = FaultyApi::start_in(&lab.netns(node.name), "127.0.0.1:0".parse().unwrap()).unwrap();
    api.set_objects([
        objects::subnet("ovn-default", "10.16.0.0/16", None),
        objects::pod("web", "node1", "10.16.0.10", Some("true")),
        objects::service("web", "10.96.0.80", Some("true")),
    ])
    .unwrap();
    api
}

fn start_agent(lab: &Lab, node: Node, api: &FaultyApi) {
    let kubeconfig = api
        .kubeconfig(&lab.dir().join(node.name).join("kubeconfig"))
        .unwrap();
    let mut args = vec!["run".to_owned(), format!("--kubeconfig={}", kubeconfig.display())];
    args.push("--announce-cluster-ip=true".to_owned());
    args.extend(node.args(false));
    twintor::start(lab, node.name, args).unwrap();
}

#[test]
fn nothing_is_said_before_everything_is_known() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let api = start(&lab, NODE1);
    let nothing: Tables = tables(&[]);
    let all = tables(&[(WEB, &[NODE1]), (SERVICE, &[NODE1])]);
    for case in CASES {
        println!("{}", case.name);
        (case.begin)(&api);
        let before = updates(&lab, NODE1);
        start_agent(&lab, NODE1, &api);
        wait_established(&lab, NODE1);
        wait_log(&lab, "node1", case.says);
        hold(&lab, AWHILE, &nothing, &nothing);
        assert_eq!(
            updates(&lab, NODE1),
            before,
            "{}: End-of-RIB or more was sent",
            case.name
        );
        api.heal();
        // Where it was stopped.
        let _ = api.start_again();
        wait_tables_for(&lab, &all, RECOVERED);
        lab.stop("node1", twintor::DAEMON, Signal::SIGTERM).unwrap();
        wait_tables_for(&lab, &nothing, RECOVERED);
    }
}

#[test]
fn a_kind_that_is_not_defined_holds_the_others_back_for_a_while_only() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let api = start(&lab, NODE2);
    api.inject(Rule::from(Fault::Status(404)).kind("Subnet"));
    start_agent(&lab, NODE2, &api);
    wait_established(&lab, NODE2);
    wait_log(&lab, "node2", "install the CustomResourceDefinitions of Kube-OVN");
    assert_eq!(updates(&lab, NODE2), [0, 0]);
    wait_tables_for(&lab, &tables(&[(SERVICE, &[NODE2])]), WITHOUT);
    wait_log(&lab, "node2", "still refuses to list these");
    api.heal();
    wait_tables_for(&lab, &tables(&[(SERVICE, &[NODE2]), (WEB, &[NODE2])]), RECOVERED);
}
