//! An API server that misbehaves while an agent follows it. Whatever it does, the switches lose nothing that is still asked
//! for and get nothing that is not; when it is well again, they have exactly what is asked for, by no more UPDATEs than
//! there were changes.

use std::time::{Duration, Instant};

use lab::Lab;
use lab::clab::Role;
use lab::daemons::twintor;
use lab::kube::{Fault, FaultyApi, Rule, Verb, objects};
use serde_json::Value;

use crate::support::{
    NODE1, NODE2, Node, Tables, assert_same_sessions, hold, sessions, tables, updates, wait_tables_for,
};

/// How long a fault is looked at.
const AWHILE: Duration = Duration::from_millis(1500);

/// Longer than the longest wait of the agent, and than its doubt about an implausible list.
const RECOVERED: Duration = Duration::from_secs(30);

/// A watch that is silent for so long is dead, and some more to notice the rest.
const SILENCE: Duration = Duration::from_secs(90);

/// How many pods are left alone by everything: enough of them for an empty list to be implausible.
const STEADY: u32 = 12;

struct Case {
    name: &'static str,
    begin: fn(&FaultyApi),
    end: fn(&FaultyApi),
    /// Whether changes reach the switches while it lasts.
    live: bool,
}

const CASES: [Case; 12] = [
    Case {
        name: "the version is too old again and again",
        begin: |api| api.inject(Fault::Gone),
        end: FaultyApi::heal,
        live: true,
    },
    Case {
        name: "a storm of 429",
        begin: |api| {
            api.inject(Fault::TooMany(1));
            api.close_watches();
        },
        end: FaultyApi::heal,
        live: false,
    },
    Case {
        name: "a storm of 500",
        begin: |api| {
            api.inject(Fault::Status(500));
            api.close_watches();
        },
        end: FaultyApi::heal,
        live: false,
    },
    Case {
        name: "a watch that is closed every second",
        begin: |api| api.inject(Fault::ShortWatch(Duration::from_secs(1))),
        end: FaultyApi::heal,
        live: true,
    },
    Case {
        name: "truncated JSON",
        begin: |api| {
            api.inject(Fault::Truncated);
            api.compact();
            api.close_watches();
        },
        end: FaultyApi::heal,
        live: false,
    },
    Case {
        name: "bookmarks instead of events",
        begin: |api| api.inject(Fault::BookmarksOnly),
        // What was passed over is told by a list only.
        end: |api| {
            api.heal();
            api.compact();
            api.close_watches();
            api.inject(Rule::from(Fault::Gone).verb(Verb::Watch).kind("Pod").times(1));
        },
        live: false,
    },
    Case {
        name: "every event twice",
        begin: |api| api.inject(Fault::Duplicates),
        end: FaultyApi::heal,
        live: true,
    },
    Case {
        name: "stale events after the true ones",
        begin: |api| api.inject(Fault::Stale),
        end: FaultyApi::heal,
        live: true,
    },
    Case {
        name: "an empty list with 200",
        begin: |api| {
            api.inject(Rule::from(Fault::EmptyList).kind("Pod").times(1));
            api.inject(Rule::from(Fault::Gone).verb(Verb::Watch).kind("Pod").times(1));
            api.compact();
            api.close_watches();
        },
        end: FaultyApi::heal,
        live: false,
    },
    Case {
        name: "a list that is forbidden",
        begin: |api| {
            api.inject(Fault::Status(403));
            api.close_watches();
        },
        end: FaultyApi::heal,
        live: false,
    },
    Case {
        name: "a kind whose definition is gone",
        begin: |api| {
            api.inject(Rule::from(Fault::Status(404)).kind("Subnet"));
            api.compact();
            api.close_watches();
        },
        end: FaultyApi::heal,
        live: true,
    },
    Case {
        name: "one object that cannot be read",
        begin: |api| {
            let mut broken = steady(0);
            broken["status"]["phase"] = serde_json::json!({});
            api.put(broken).unwrap();
        },
        end: |api| api.put(steady(0)).unwrap(),
        live: true,
    },
];

fn steady(number: u32) -> Value {
    objects::pod(
        &format!("steady{number}"),
        "node1",
        &format!("10.16.1.{number}"),
        Some("true"),
    )
}

fn pod(name: &str, policy: Option<&str>) -> Value {
    let address = match name {
        "gone" => "10.16.2.1",
        "late" => "10.16.2.2",
        _ => "10.16.2.3",
    };
    objects::pod(name, "node1", address, policy)
}

/// An agent, and the API server that it reads.
struct Side {
    api: FaultyApi,
}

impl Side {
    fn start(lab: &Lab, node: Node) -> Self {
        let api = FaultyApi::start_in(&lab.netns(node.name), "127.0.0.1:0".parse().unwrap()).unwrap();
        let subnet = objects::subnet("ovn-default", "10.16.0.0/16", None);
        api.set_objects((0..STEADY).map(steady).chain([subnet])).unwrap();
        let kubeconfig = api
            .kubeconfig(&lab.dir().join(node.name).join("kubeconfig"))
            .unwrap();
        let mut args = vec!["run".to_owned(), format!("--kubeconfig={}", kubeconfig.display())];
        args.extend(node.args(false));
        twintor::start(lab, node.name, args).unwrap();
        Self { api }
    }

    fn before(&self) {
        self.api.put(pod("gone", Some("true"))).unwrap();
        self.api.put(pod("flip", None)).unwrap();
        // It is not there the first time.
        let _ = self.api.delete("Pod", "default", "late");
    }

    fn change(&self) {
        self.api.delete("Pod", "default", "gone").unwrap();
        self.api.put(pod("late", Some("true"))).unwrap();
        self.api.put(pod("flip", Some("true"))).unwrap();
    }
}

/// The tables with the steady pods of these nodes, and these others.
fn with(nodes: &[Node], others: &[(&str, &[Node])]) -> Tables {
    let prefixes = (0..STEADY)
        .map(|number| format!("10.16.1.{number}/32"))
        .collect::<Vec<_>>();
    let steady = prefixes.iter().map(|prefix| (prefix.as_str(), nodes));
    tables(&steady.chain(others.iter().copied()).collect::<Vec<_>>())
}

#[test]
fn whatever_the_api_server_does_the_switches_keep_what_is_asked_for() {
    const GONE: &str = "10.16.2.1/32";
    const LATE: &str = "10.16.2.2/32";
    const FLIP: &str = "10.16.2.3/32";
    let nodes: &[Node] = &[NODE1, NODE2];
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    // The black hole takes a minute to be noticed, so it has a node of its own.
    let hole = Side::start(&lab, NODE2);
    hole.before();
    let side = Side::start(&lab, NODE1);
    side.before();
    wait_tables_for(&lab, &with(nodes, &[(GONE, nodes)]), RECOVERED);
    let at_first = sessions(&lab, nodes);
    let hole_before = updates(&lab, NODE2);
    hole.api.inject(Fault::BlackHole);
    let swallowed = Instant::now();
    hole.change();

    for (number, case) in CASES.iter().enumerate() {
        println!("{}", case.name);
        if number > 0 {
            side.before();
        }
        let before = with(nodes, &[(GONE, nodes)]);
        let after = with(nodes, &[(GONE, &[NODE2]), (LATE, &[NODE1]), (FLIP, &[NODE1])]);
        let least = with(nodes, &[(GONE, &[NODE2])]);
        let most = with(nodes, &[(GONE, nodes), (LATE, &[NODE1]), (FLIP, &[NODE1])]);
        wait_tables_for(&lab, &before, RECOVERED);
        let heard = updates(&lab, NODE1);
        (case.begin)(&side.api);
        hold(&lab, AWHILE / 3, &before, &before);
        side.change();
        if case.live {
            wait_tables_for(&lab, &after, RECOVERED);
        }
        hold(&lab, AWHILE, &least, &most);
        (case.end)(&side.api);
        wait_tables_for(&lab, &after, RECOVERED);
        hold(&lab, Duration::from_secs(1), &after, &after);
        for (now, heard) in updates(&lab, NODE1).iter().zip(heard) {
            assert!(
                now - heard <= 3,
                "{}: {} UPDATEs for 3 changes",
                case.name,
                now - heard
            );
        }
    }

    let last = with(nodes, &[(LATE, &[NODE1]), (FLIP, &[NODE1])]);
    hole.api.heal();
    let all = with(nodes, &[(LATE, nodes), (FLIP, nodes)]);
    wait_tables_for(
        &lab,
        &all,
        SILENCE.saturating_sub(swallowed.elapsed()).max(RECOVERED),
    );
    assert!(
        updates(&lab, NODE2)
            .iter()
            .zip(hole_before)
            .all(|(now, heard)| now - heard <= 3)
    );
    hold(&lab, Duration::from_secs(1), &last, &all);
    assert_same_sessions(&lab, nodes, &at_first);
    for (node, text) in [
        (NODE1, "forbidden (403)"),
        (NODE1, "install the CustomResourceDefinitions"),
        (NODE1, "cannot be read"),
    ] {
        let log = lab.log(node.name, twintor::DAEMON);
        assert!(log.contains(text), "no {text:?} in {log}");
    }
}
