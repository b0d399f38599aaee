//! Route lookup and its changes, against the real kernel.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::net::IpAddr;

use net::netlink::{Scope, Target, local_addresses, path_to};
use support::{Namespace, Pair};

#[test]
fn neighbour_is_on_link() {
    let pair = Pair::new();
    for (peer, source) in [("10.9.0.2", "10.9.0.1"), ("fd09::2", "fd09::1")] {
        let path = pair.left.run_async(async || path_to(ip(peer)).await).unwrap();

        assert_eq!(path.source, Some(ip(source)));
        assert_eq!(path.interface.as_deref(), Some("west0"));
        assert_ne!(path.if_index, 0);
        assert!(path.on_link && path.up && path.has_route());
        assert_eq!(path.if_addresses, [ip("10.9.0.1"), ip("fd09::1")]);
    }
}

#[test]
fn gateway_is_not_on_link() {
    let pair = Pair::new();
    pair.left.ip("route add 192.0.2.0/24 via 10.9.0.2");
    pair.left
        .ip("route add 198.51.100.0/24 via inet6 fe80::2 dev west0");
    pair.left.ip("-6 route add 2001:db8::/32 via fd09::2");
    for peer in ["192.0.2.1", "198.51.100.1", "2001:db8::1"] {
        let path = pair.left.run_async(async || path_to(ip(peer)).await).unwrap();

        assert!(!path.on_link && path.has_route(), "{peer}: {path:?}");
    }
}

#[test]
fn no_route_is_an_answer() {
    let namespace = Namespace::new();
    namespace.ip("route add unreachable 192.0.2.0/28");
    namespace.ip("route add prohibit 192.0.2.16/28");
    namespace.ip("route add blackhole 192.0.2.32/28");
    namespace.ip("-6 route add unreachable 2001:db8:1::/48");
    namespace.ip("-6 route add prohibit 2001:db8:2::/48");
    namespace.ip("-6 route add blackhole 2001:db8:3::/48");
    for peer in [
        "198.51.100.1",
        "192.0.2.1",
        "192.0.2.17",
        "192.0.2.33",
        "2001:db8::1",
        "2001:db8:1::1",
        "2001:db8:2::1",
        "2001:db8:3::1",
    ] {
        let path = namespace.run_async(async || path_to(ip(peer)).await).unwrap();

        assert!(
            !path.has_route() && !path.up && path.source.is_none(),
            "{peer}: {path:?}"
        );
    }
}

#[test]
fn link_local_peer_is_found_over_its_interface() {
    let pair = Pair::new();
    let over = |interface: &str| Target {
        peer: ip("fe80::2"),
        interface: Some(interface.to_owned()),
        source: None,
    };

    let path = pair
        .left
        .run_async(async || path_to(over("west0")).await)
        .unwrap();

    assert_eq!(path.source, Some(ip("fe80::1")));
    assert_eq!(path.interface.as_deref(), Some("west0"));
    for absent in ["absent0", "west0-and-much-more", ""] {
        let path = pair.left.run_async(async || path_to(over(absent)).await).unwrap();
        assert!(!path.has_route(), "{absent}: {path:?}");
    }
}

#[test]
fn addresses_that_must_not_be_a_next_hop_are_left_out() {
    let pair = Pair::new();
    pair.left
        .ip("address add fd09::dead/64 dev west0 nodad preferred_lft 0");
    pair.left.ip("address add 169.254.9.9/32 dev west0 scope link");
    // Tentative as long as nobody can answer: the other end is down.
    pair.right.ip("link set east0 down");
    pair.left.ip("address add fd09::7e47/64 dev west0");

    let path = pair
        .left
        .run_async(async || path_to(ip("10.9.0.2")).await)
        .unwrap();

    assert!(!path.up);
    assert_eq!(path.if_addresses, [ip("10.9.0.1"), ip("fd09::1")]);
}

#[test]
fn local_addresses_have_interface_and_scope() {
    let pair = Pair::new();

    let addresses = pair.left.run_async(async || local_addresses().await).unwrap();

    let find = |text: &str| addresses.iter().find(|local| local.address == ip(text)).unwrap();
    assert_eq!(find("127.0.0.1").scope, Scope::Host);
    assert_eq!(find("127.0.0.1").interface, "lo");
    assert_eq!(find("::1").scope, Scope::Host);
    assert_eq!(find("10.9.0.1").scope, Scope::Global);
    assert_eq!(find("10.9.0.1").prefix_length, 24);
    assert_eq!(find("10.9.0.1").interface, "west0");
    assert_eq!(find("fe80::1").scope, Scope::Link);
    assert!(find("fd09::1").lasting);
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_source_that_is_asked_for_is_answered_once_it_is_on_this_host() {
    let pair = Pair::new();
    for (peer, source) in [("10.9.0.2", "10.250.0.1"), ("fd09::2", "fd99::1")] {
        let target = Target {
            source: Some(ip(source)),
            ..Target::from(ip(peer))
        };
        let ask = || {
            let target = target.clone();
            pair.left
                .run_async(async || path_to(target.clone()).await)
                .unwrap()
        };

        let without = ask();
        assert_eq!(without.source, None, "{source} is not ours yet");
        assert_eq!(
            without.interface.as_deref(),
            Some("west0"),
            "the way is known all the same"
        );
        pair.left.ip(&format!("address add {source} dev lo"));
        let with = ask();
        assert_eq!(with.source, Some(ip(source)));
        assert_eq!(with.interface.as_deref(), Some("west0"));
        assert!(with.on_link && with.up);
    }
}

#[test]
fn routes_of_a_source_are_those_of_its_own_rules() {
    let pair = Pair::new();
    pair.left.ip("address add 10.250.0.1 dev lo");
    pair.left.ip("route add 198.51.100.1 via 10.9.0.2 table 77");
    pair.left.ip("rule add from 10.250.0.1 table 77");
    let target = Target {
        source: Some(ip("10.250.0.1")),
        ..Target::from(ip("198.51.100.1"))
    };

    let path = pair
        .left
        .run_async(async || path_to(target.clone()).await)
        .unwrap();

    assert!(path.has_route() && !path.on_link, "{path:?}");
    let unbound = pair
        .left
        .run_async(async || path_to(ip("198.51.100.1")).await)
        .unwrap();
    assert!(!unbound.has_route(), "{unbound:?}");
}
