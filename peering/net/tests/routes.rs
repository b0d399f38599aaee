//! Routes of our own, kept in the real kernel while links, addresses and others come and go.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::io::{BufRead, BufReader};
use std::num::{NonZeroU8, NonZeroU32};
use std::process::{Command, Stdio};
use std::time::Instant;

use net::netlink::routes::{
    MAIN_TABLE, Route, RouteHop, RouteKeeper, RouteKeeperConfig, RouteKeeperStatus, spawn,
};
use support::{Namespace, wait_for};

/// A node with two links: `a0` 10.1.0.2/24, fd01::2/64 and `b0` 10.2.0.2/24, fd02::2/64; the switches are .1 and ::1.
struct Node {
    node: Namespace,
    switches: [Namespace; 2],
}

const LINKS: [(&str, &str, &str); 2] = [("a0", "10.1.0", "fd01"), ("b0", "10.2.0", "fd02")];

impl Node {
    fn new() -> Self {
        let node = Self {
            node: Namespace::new(),
            switches: [Namespace::new(), Namespace::new()],
        };
        node.wire(0);
        node.wire(1);
        node
    }

    /// Makes a link and its addresses.
    fn wire(&self, plane: usize) {
        let (link, v4, v6) = LINKS[plane];
        let switch = &self.switches[plane];
        self.node.veth(link, switch, "n0");
        for (namespace, device, host) in [(&self.node, link, 2), (switch, "n0", 1)] {
            namespace.ip(&format!("link set {device} addrgenmode none"));
            namespace.ip(&format!("address add {v4}.{host}/24 dev {device}"));
            namespace.ip(&format!("address add {v6}::{host}/64 dev {device} nodad"));
            namespace.ip(&format!("link set {device} up"));
        }
    }

    fn index(&self, plane: usize) -> u32 {
        let text = self.node.ip(&format!("-o link show {}", LINKS[plane].0));
        text.split(':').next().unwrap().trim().parse().unwrap()
    }

    /// The switch of a plane as a next hop.
    fn hop(&self, plane: usize, v6: bool) -> RouteHop {
        let (_, v4_net, v6_net) = LINKS[plane];
        let gateway = match v6 {
            false => format!("{v4_net}.1"),
            true => format!("{v6_net}::1"),
        };
        RouteHop {
            gateway: gateway.parse().unwrap(),
            if_index: self.index(plane),
            weight: NonZeroU8::MIN,
            on_link: false,
        }
    }

    fn both(&self) -> Vec<Route> {
        self.over(&[0, 1])
    }

    /// The default routes over these planes.
    fn over(&self, planes: &[usize]) -> Vec<Route> {
        let route = |v6: bool| Route {
            destination: default(v6),
            hops: planes.iter().map(|plane| self.hop(*plane, v6)).collect(),
        };
        vec![route(false), route(true)]
    }

    fn keeper(&self, config: &RouteKeeperConfig) -> RouteKeeper {
        self.node.run(|| spawn(config.clone(), || {}).unwrap())
    }

    fn routes(&self, v6: bool, arguments: &str) -> String {
        let family = if v6 { "-6" } else { "-4" };
        let text = self.node.ip(&format!("{family} route show {arguments}"));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The gateways of our default route as `ip route` shows them.
    fn gateways(&self, v6: bool) -> Vec<String> {
        let text = self.routes(v6, "default proto 179");
        let words: Vec<&str> = text.split(' ').collect();
        let mut gateways: Vec<String> = words
            .windows(2)
            .filter(|pair| pair[0] == "via")
            .map(|pair| pair[1].to_owned())
            .collect();
        gateways.sort();
        gateways
    }

    fn wait_gateways(&self, planes: &[usize]) {
        for v6 in [false, true] {
            let wanted: Vec<String> = planes
                .iter()
                .map(|plane| self.hop(*plane, v6).gateway.to_string())
                .collect();
            wait_for(format!("route over {wanted:?}"), || {
                (self.gateways(v6) == wanted).then_some(())
            });
        }
    }
}

fn default(v6: bool) -> ipnet::IpNet {
    match v6 {
        false => "0.0.0.0/0".parse().unwrap(),
        true => "::/0".parse().unwrap(),
    }
}

fn config() -> RouteKeeperConfig {
    RouteKeeperConfig {
        destinations: vec![default(false), default(true)],
        table: MAIN_TABLE,
        metric: NonZeroU32::new(150).unwrap(),
    }
}

fn set(keeper: &RouteKeeper, routes: Vec<Route>) {
    keeper.set(routes, Instant::now());
}

fn installed(keeper: &RouteKeeper) -> RouteKeeperStatus {
    status(keeper, "all routes installed", |status| {
        !status.routes.is_empty() && status.routes.iter().all(|route| route.installed)
    })
}

fn status(keeper: &RouteKeeper, what: &str, is: impl Fn(&RouteKeeperStatus) -> bool) -> RouteKeeperStatus {
    wait_for(what, || Some(keeper.status()).filter(&is))
}

#[test]
fn next_hops_move_with_one_message_and_others_stay() {
    let node = Node::new();
    node.node.ip("route add default via 10.1.0.1 metric 1000");
    node.node
        .ip("-6 route add default via fd01::1 metric 2000 proto static");
    let foreign = [
        node.routes(false, "default metric 1000"),
        node.routes(true, "default metric 2000"),
    ];
    let mut monitor = Monitor::start(&node.node);
    let keeper = node.keeper(&config());

    set(&keeper, node.both());
    installed(&keeper);
    assert_eq!(node.gateways(false), ["10.1.0.1", "10.2.0.1"]);
    assert_eq!(node.gateways(true), ["fd01::1", "fd02::1"]);

    for planes in [&[1][..], &[0, 1], &[0], &[1], &[0, 1]] {
        // One family after the other: neither order replaces the other one.
        for route in node.over(planes) {
            set(&keeper, vec![route]);
        }
        node.wait_gateways(planes);
    }
    let status = installed(&keeper);
    assert_eq!(status.moves, 12);
    assert_eq!(status.restored, 0);
    assert!(status.last_move.is_some() && status.last_move <= status.slowest_move);

    keeper.stop(false);
    for v6 in [false, true] {
        assert_eq!(node.routes(v6, "default proto 179"), "");
    }
    assert_eq!(
        foreign,
        [
            node.routes(false, "default metric 1000"),
            node.routes(true, "default metric 2000")
        ]
    );
    // What the kernel told everybody: never a moment without one of the two sets.
    let v4 = monitor.until_deleted("default proto 179 metric 150");
    let deleted = v4
        .iter()
        .filter(|line| line.starts_with("Deleted default proto 179 metric 150"));
    assert_eq!(deleted.count(), 1, "{v4:#?}");
}

/// `ip monitor route` for IPv4, where each message is a line of its own and its hops follow.
struct Monitor {
    child: std::process::Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Monitor {
    fn start(namespace: &Namespace) -> Self {
        let mut child = Command::new("ip")
            .args(["-n", namespace.name(), "-4", "monitor", "route"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut monitor = Self { child, lines };
        // It is subscribed once it tells of this one.
        wait_for("the monitor", || {
            namespace.ip("route replace 203.0.113.9/32 dev lo metric 9");
            std::thread::sleep(std::time::Duration::from_millis(20));
            namespace.ip("route delete 203.0.113.9/32 dev lo metric 9");
            monitor.lines.next()
        })
        .unwrap();
        monitor
    }

    fn until_deleted(&mut self, route: &str) -> Vec<String> {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            let is_last = line.starts_with("Deleted") && line.contains(route);
            seen.push(line);
            if is_last {
                break;
            }
        }
        seen
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn weights_tables_and_prefixes_are_as_asked() {
    let node = Node::new();
    let destinations: Vec<ipnet::IpNet> = ["10.0.0.0/8", "2001:db8::/32"]
        .map(|text| text.parse().unwrap())
        .into();
    let keeper = node.keeper(&RouteKeeperConfig {
        destinations: destinations.clone(),
        table: 70_000,
        metric: NonZeroU32::new(7).unwrap(),
    });
    let weighted = |plane: usize, v6: bool| RouteHop {
        weight: NonZeroU8::new(if plane == 0 { 3 } else { 255 }).unwrap(),
        ..node.hop(plane, v6)
    };
    let route = |v6: bool| Route {
        destination: destinations[usize::from(v6)],
        hops: vec![weighted(0, v6), weighted(1, v6)],
    };

    set(&keeper, vec![route(false), route(true)]);
    installed(&keeper);

    let v4 = node.routes(false, "table 70000");
    assert!(v4.starts_with("10.0.0.0/8 proto 179 metric 7"), "{v4}");
    let v6 = node.routes(true, "table 70000");
    assert!(v6.starts_with("2001:db8::/32 proto 179 metric 7"), "{v6}");
    for text in [v4, v6] {
        assert!(
            text.contains("weight 3 ") && text.ends_with("weight 255") || text.contains("weight 255"),
            "{text}"
        );
    }
    assert_eq!(node.gateways(false), [""; 0], "nothing in the main table");
    keeper.stop(false);
    assert_eq!(node.routes(false, "proto 179 table all"), "");
    assert_eq!(node.routes(true, "proto 179 table all"), "");
}

#[test]
fn an_ipv4_route_over_ipv6_gateways() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    let hops = (0..2).map(|plane| node.hop(plane, true)).collect();

    set(
        &keeper,
        vec![Route {
            destination: default(false),
            hops,
        }],
    );
    status(&keeper, "the route", |status| {
        status.routes.first().is_some_and(|route| route.installed)
    });

    let text = node.routes(false, "default proto 179");
    assert!(
        text.contains("via inet6 fd01::1 dev a0") && text.contains("via inet6 fd02::1 dev b0"),
        "{text}"
    );
    keeper.stop(false);
    assert_eq!(node.gateways(false), [""; 0]);
}

#[test]
fn an_ipv6_route_over_an_ipv4_gateway_is_refused() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    set(
        &keeper,
        vec![Route {
            destination: default(true),
            hops: vec![node.hop(0, false)],
        }],
    );
    let status = status(&keeper, "an error", |status| {
        status.routes.iter().any(|route| route.error.is_some())
    });
    let error = status.routes[1].error.as_deref().unwrap();
    assert!(error.contains("::/0") && error.contains("10.1.0.1"), "{error}");
    keeper.stop(false);
}

/// A gateway that is not on the link needs `onlink`.
#[test]
fn onlink_is_passed_on() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    let hop = |on_link: bool| RouteHop {
        gateway: "192.0.2.1".parse().unwrap(),
        on_link,
        ..node.hop(0, false)
    };
    let route = |on_link: bool| {
        vec![Route {
            destination: default(false),
            hops: vec![hop(on_link)],
        }]
    };

    set(&keeper, route(false));
    let refused = status(&keeper, "an error", |status| {
        status.routes.iter().any(|route| route.error.is_some())
    });
    assert!(
        refused.routes[0].error.as_deref().unwrap().contains("gateway"),
        "{refused:?}"
    );
    set(&keeper, route(true));
    status(&keeper, "the route", |status| status.routes[0].installed);
    assert!(node.routes(false, "default proto 179").contains("onlink"));
    keeper.stop(false);
}

#[test]
fn routes_come_back_with_their_links() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    set(&keeper, node.both());
    installed(&keeper);

    for round in 0..5 {
        node.node.ip("link set a0 down");
        node.node.ip("link set b0 down");
        wait_for("the kernel to drop the routes", || {
            (node.gateways(false).is_empty() && node.gateways(true).is_empty()).then_some(())
        });
        // IPv6 addresses go with the link.
        for (link, _, v6) in LINKS {
            node.node.ip(&format!("link set {link} up"));
            node.node
                .ip(&format!("address replace {v6}::2/64 dev {link} nodad"));
        }
        node.wait_gateways(&[0, 1]);
        installed(&keeper);
        assert!(keeper.status().restored > round);
    }
    keeper.stop(false);
}

/// The kernel drops a whole IPv4 route when the device of any of its hops goes.
#[test]
fn one_interface_that_vanishes_costs_only_its_own_hop() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    set(&keeper, node.both());
    installed(&keeper);

    node.node.ip("link delete a0");
    // Nobody has said anything yet: both hops are still wanted, and one of them cannot be had.
    for (v6, gateway) in [(false, "10.2.0.1"), (true, "fd02::1")] {
        wait_for("the other plane", || {
            (node.gateways(v6) == [gateway]).then_some(())
        });
    }
    let partly = status(&keeper, "complaints", |status| {
        status.routes.iter().all(|route| route.error.is_some())
    });
    assert!(
        partly
            .routes
            .iter()
            .all(|route| !route.installed && route.hops.len() == 1)
    );
    set(&keeper, node.over(&[1]));
    installed(&keeper);

    node.wire(0);
    set(&keeper, node.both());
    node.wait_gateways(&[0, 1]);
    assert!(
        installed(&keeper)
            .routes
            .iter()
            .all(|route| route.error.is_none())
    );
    keeper.stop(false);
}

#[test]
fn an_address_that_goes_and_comes_takes_its_route_along() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    set(&keeper, node.both());
    installed(&keeper);

    node.node.ip("address delete 10.1.0.2/24 dev a0");
    node.node.ip("address delete fd01::2/64 dev a0");
    set(&keeper, node.over(&[1]));
    node.wait_gateways(&[1]);
    // Too early: without the address the gateway is not on the link.
    set(&keeper, node.both());
    status(&keeper, "complaints", |status| {
        status.routes.iter().any(|route| route.error.is_some())
    });
    assert_eq!(node.gateways(false), ["10.2.0.1"], "the other plane stays");

    node.node.ip("address add 10.1.0.2/24 dev a0");
    node.node.ip("address add fd01::2/64 dev a0 nodad");
    node.wait_gateways(&[0, 1]);
    installed(&keeper);
    keeper.stop(false);
}

#[test]
fn what_others_remove_or_change_is_restored() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    set(&keeper, node.both());
    installed(&keeper);

    node.node.ip("route delete default metric 150");
    node.node.ip("-6 route delete default metric 150");
    node.wait_gateways(&[0, 1]);
    let status = status(&keeper, "two routes restored", |status| status.restored == 2);
    assert_eq!(status.moves, 2);

    node.node
        .ip("route change default via 10.1.0.1 dev a0 metric 150 proto 179");
    node.wait_gateways(&[0, 1]);
    keeper.stop(false);
}

#[test]
fn somebody_elses_route_is_refused_and_left_alone() {
    let node = Node::new();
    for (family, gateway) in [("-4", "10.1.0.1"), ("-6", "fd01::1")] {
        node.node.ip(&format!(
            "{family} route add default via {gateway} metric 150 proto static"
        ));
    }
    let before = [node.routes(false, "default"), node.routes(true, "default")];
    let keeper = node.keeper(&config());

    set(&keeper, node.both());
    let refused = status(&keeper, "complaints", |status| {
        status.routes.len() == 2 && status.routes.iter().all(|route| route.error.is_some())
    });
    for route in &refused.routes {
        let error = route.error.as_deref().unwrap();
        for word in ["metric 150", "table 254", "proto 4", "left alone"] {
            assert!(error.contains(word), "{error}");
        }
    }
    assert_eq!(
        before,
        [node.routes(false, "default"), node.routes(true, "default")]
    );

    // Once it is gone, ours takes the place without being asked again.
    for family in ["-4", "-6"] {
        node.node
            .ip(&format!("{family} route delete default metric 150 proto static"));
    }
    node.wait_gateways(&[0, 1]);
    installed(&keeper);
    keeper.stop(false);
}

/// `ip route replace` does not ask whose route it is; we do.
#[test]
fn a_route_that_others_put_in_our_place_is_theirs() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    set(&keeper, node.both());
    installed(&keeper);

    node.node
        .ip("route replace default via 10.1.0.1 dev a0 metric 150 proto static");
    status(&keeper, "a complaint", |status| {
        status.routes[0]
            .error
            .as_deref()
            .is_some_and(|error| error.contains("proto 4"))
    });
    let theirs = node.routes(false, "default");
    set(&keeper, node.over(&[1]));
    wait_for("the IPv6 route to move", || {
        (node.gateways(true) == ["fd02::1"]).then_some(())
    });
    assert_eq!(node.routes(false, "default"), theirs);

    keeper.stop(false);
    assert_eq!(node.routes(false, "default"), theirs, "not ours to remove");
    assert_eq!(node.routes(true, "default"), "");
}

#[test]
fn a_route_put_beside_ours_stays_when_ours_goes() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    set(&keeper, node.both());
    installed(&keeper);
    node.node
        .ip("route append default via 10.1.0.1 dev a0 metric 150 proto static");

    keeper.stop(false);

    assert_eq!(
        node.routes(false, "default"),
        "default via 10.1.0.1 dev a0 proto static metric 150"
    );
}

/// For IPv6 the kernel makes one route of both.
#[test]
fn a_hop_put_into_our_ipv6_route_stays_when_ours_goes() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    set(&keeper, node.both());
    installed(&keeper);
    node.node
        .ip("-6 route append default via fd01::77 dev a0 metric 150 proto static");
    let merged = ["fd01::1", "fd01::77", "fd02::1"];
    assert_eq!(node.gateways(true), merged);

    // The watch has looked again once it has brought back another route.
    node.node.ip("route delete default metric 150");
    status(&keeper, "the IPv4 route restored", |status| status.restored == 1);
    assert_eq!(node.gateways(true), merged);
    assert!(installed(&keeper).routes[1].error.is_none());
    keeper.stop(false);

    assert_eq!(
        node.routes(true, "default"),
        "default via fd01::77 dev a0 proto static metric 150 pref medium"
    );
}

#[test]
fn what_an_earlier_process_left_is_taken_over_and_what_is_no_longer_wanted_goes() {
    let node = Node::new();
    let first = node.keeper(&config());
    set(&first, node.over(&[0]));
    installed(&first);
    first.stop(true);
    assert_eq!(node.gateways(false), ["10.1.0.1"], "left as asked");
    node.node.ip("route add 10.77.0.0/16 via 10.1.0.1 proto 179");
    node.node
        .ip("-6 route add 2001:db8:77::/48 via fd01::1 proto 179 table 77");

    let second = node.keeper(&config());
    status(&second, "the routes found", |status| {
        status.routes.iter().all(|route| !route.hops.is_empty()) && !status.routes.is_empty()
    });
    assert_eq!(
        node.gateways(false),
        ["10.1.0.1"],
        "untouched until there is an order"
    );
    assert!(node.routes(false, "proto 179").contains("10.77.0.0/16"));
    // No hops: what is there stays.
    set(
        &second,
        vec![Route {
            destination: default(true),
            hops: Vec::new(),
        }],
    );
    set(&second, node.both());
    node.wait_gateways(&[0, 1]);
    wait_for("what is no longer wanted to go", || {
        (!node.routes(false, "proto 179").contains("10.77.0.0/16")
            && node.routes(true, "proto 179 table 77").is_empty())
        .then_some(())
    });
    assert_eq!(
        node.routes(false, "default").matches("default").count(),
        1,
        "replaced, not duplicated"
    );
    second.stop(false);
    assert_eq!(node.gateways(false), [""; 0]);
}

/// A new metric: the old route goes only after the new one is there.
#[test]
fn a_route_of_another_metric_that_was_left_goes_last() {
    let node = Node::new();
    let leaving = RouteKeeperConfig {
        metric: NonZeroU32::new(99).unwrap(),
        ..config()
    };
    let first = node.keeper(&leaving);
    set(&first, node.both());
    installed(&first);
    first.stop(true);

    let second = node.keeper(&config());
    set(&second, node.both());
    installed(&second);
    for v6 in [false, true] {
        wait_for("the old metric to go", || {
            node.routes(v6, "default metric 99").is_empty().then_some(())
        });
    }
    node.wait_gateways(&[0, 1]);
    second.stop(false);
}

#[test]
fn two_processes_in_one_namespace_do_not_fight() {
    let node = Node::new();
    let first = node.keeper(&config());
    set(&first, node.both());
    installed(&first);

    let second = node.keeper(&config());
    set(&second, node.over(&[1]));
    let held = status(&second, "the lock held", |status| status.trouble.is_some());
    let trouble = held.trouble.as_deref().unwrap();
    assert!(
        trouble.contains(&format!("pid {}", std::process::id())),
        "{trouble}"
    );
    node.wait_gateways(&[0, 1]);

    first.stop(false);
    installed(&second);
    node.wait_gateways(&[1]);
    assert_eq!(second.status().trouble, None);
    second.stop(false);
    assert_eq!(node.gateways(false), [""; 0]);

    let elsewhere = Node::new();
    let other = elsewhere.keeper(&config());
    set(&other, elsewhere.both());
    installed(&other);
    other.stop(false);
}

/// The lock's loser removes nothing when it ends.
#[test]
fn whoever_does_not_hold_the_lock_removes_nothing() {
    let node = Node::new();
    let first = node.keeper(&config());
    set(&first, node.both());
    installed(&first);
    let second = node.keeper(&config());
    status(&second, "the lock held", |status| status.trouble.is_some());

    second.stop(false);

    node.wait_gateways(&[0, 1]);
    first.stop(false);
}

/// Thousands of routes of others neither wake us nor hide what matters.
#[test]
fn a_flood_of_other_routes_changes_nothing() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    set(&keeper, node.both());
    installed(&keeper);

    let batch: String = (0..20_000)
        .map(|n| format!("route add 100.{}.{}.0/24 via 10.1.0.1\n", 64 + n / 256, n % 256))
        .collect();
    let mut ip = Command::new("ip")
        .args(["-n", node.node.name(), "-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(ip.stdin.as_mut().unwrap(), batch.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success());

    set(&keeper, node.over(&[1]));
    node.wait_gateways(&[1]);
    node.node.ip("route delete default metric 150");
    node.wait_gateways(&[1]);
    let status = installed(&keeper);
    assert_eq!(status.moves, 4);
    assert_eq!(status.restored, 1);
    keeper.stop(false);
    let rest = node.routes(false, "root 100.0.0.0/8");
    assert_eq!(rest.matches("via").count(), 20_000);
}

#[test]
fn the_policy_of_the_kernel_is_told() {
    let node = Node::new();
    node.node.run(|| {
        std::fs::write("/proc/sys/net/ipv4/fib_multipath_hash_policy", "1").unwrap();
    });
    let keeper = node.keeper(&config());
    set(&keeper, node.both());
    let policies = installed(&keeper).hash_policies;
    assert_eq!((policies.v4, policies.v6), (Some(1), Some(0)));
    keeper.stop(false);
}

#[test]
fn news_are_told_once() {
    let node = Node::new();
    let (sender, news) = std::sync::mpsc::channel();
    let keeper = node.node.run(|| {
        spawn(config(), move || {
            let _ = sender.send(());
        })
        .unwrap()
    });
    set(&keeper, node.both());
    installed(&keeper);
    assert!(news.recv_timeout(support::DEADLINE).is_ok());
    wait_for("quiet", || {
        keeper.take_news();
        (!keeper.take_news()).then_some(())
    });
    node.node.ip("route delete default metric 150");
    wait_for("news of the restored route", || keeper.take_news().then_some(()));
    keeper.stop(false);
}

#[test]
fn a_process_that_is_dropped_leaves_its_routes() {
    let node = Node::new();
    let keeper = node.keeper(&config());
    set(&keeper, node.both());
    installed(&keeper);
    drop(keeper);
    node.wait_gateways(&[0, 1]);
}
