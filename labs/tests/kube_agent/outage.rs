//! The API server goes away, and comes back with less.

use std::time::Duration;

use lab::daemons::twintor;
use lab::kube::objects;

use crate::support::{NODE1, World, assert_same_sessions, hold, sessions, tables};

const WEB: &str = "10.16.0.10/32";
const OTHER: &str = "10.16.0.11/32";

fn world() -> World {
    let world = World::up("dual-tor", &[NODE1], &[]);
    let subnet = objects::subnet("ovn-default", "10.16.0.0/16", None);
    world.cluster.create(&subnet).unwrap();
    for (name, address) in [("web", "10.16.0.10"), ("other", "10.16.0.11")] {
        let pod = objects::pod(name, "node1", address, None);
        world.cluster.create(&pod).unwrap();
    }
    world
}

#[test]
fn an_outage_of_the_api_withdraws_nothing_and_the_end_of_it_what_is_gone() {
    let world = world();
    world.annotate("pod", "web", "=true");
    world.annotate("pod", "other", "=true");
    let both: &[(&str, &[_])] = &[(WEB, &[NODE1]), (OTHER, &[NODE1])];
    world.exact(both);
    let before = sessions(&world.lab, &[NODE1]);

    world.cluster.kill_api().unwrap();
    // Longer than any wait of the client, and each moment counts.
    hold(&world.lab, Duration::from_secs(12), &tables(both), &tables(both));

    // The agent must not see it go.
    let node = world.lab.netns("node1");
    world.cluster.cut(&node).unwrap();
    world.cluster.start_api().unwrap();
    world.cluster.delete("Pod", "default", "other").unwrap();
    world.cluster.heal(&node).unwrap();
    world.exact(&[(WEB, &[NODE1])]);
    assert_same_sessions(&world.lab, &[NODE1], &before);
}

#[test]
fn a_store_that_comes_back_empty_is_not_believed_at_once() {
    let world = world();
    // Enough of them for an empty answer to be implausible.
    let prefixes = (20..32)
        .map(|number| format!("10.16.0.{number}/32"))
        .collect::<Vec<_>>();
    for number in 20..32 {
        let (name, address) = (format!("pod{number}"), format!("10.16.0.{number}"));
        let pod = objects::pod(&name, "node1", &address, Some("true"));
        world.cluster.create(&pod).unwrap();
    }
    let all = prefixes
        .iter()
        .map(|prefix| (prefix.as_str(), &[NODE1][..]))
        .collect::<Vec<_>>();
    world.exact(&all);
    let node = world.lab.netns("node1");
    world.cluster.kill_api().unwrap();
    world.cluster.cut(&node).unwrap();
    world.cluster.start_api().unwrap();
    world.cluster.delete("Subnet", "", "ovn-default").unwrap();
    world.cluster.heal(&node).unwrap();
    world.wait_log(NODE1, "nothing is withdrawn until a second list");
    hold(&world.lab, Duration::ZERO, &tables(&all), &tables(&all));
    world.exact(&[]);
    let log = world.lab.log("node1", twintor::DAEMON);
    assert!(log.contains("the second list decides what is deleted"), "{log}");
}
