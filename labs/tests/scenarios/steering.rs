//! What the structured configuration says of a plane, as the switch of that plane sees it.

use lab::Lab;
use lab::clab::Role;
use lab::daemons::bird::Bird;
use lab::daemons::frr::Frr;
use lab::daemons::switch::{Family, PeerConfig, Switch, SwitchConfig};
use lab::manifests::Manifests;
use lab::wait::{self, PATIENCE};
use serde_json::Value;

use crate::support::{Agent, WEB, WEB_V4, WEB_V6, ip};

const HEAD: &str = "apiVersion: twintor.io/v1alpha1\nkind: SpeakerConfig\n";

/// Starts an agent on node1 that announces the web pod as a configuration file asks for.
fn start(lab: &Lab, neighbors: &[&'static str], config: &str) -> Manifests {
    let file = lab.dir().join("speaker.yaml");
    std::fs::write(&file, format!("{HEAD}{config}")).unwrap();
    let manifests = Agent::new(neighbors)
        .extra(&[&format!("--config={}", file.display())])
        .start(lab);
    manifests.pod(&WEB).unwrap();
    manifests
}

/// The one path that a switch has to a prefix: communities, large communities, MED and AS path.
fn told(switch: &Frr<'_>, prefix: &str) -> (String, String, Value, String) {
    let shown = switch
        .json(&format!("show bgp ipv4 unicast {prefix} json"))
        .unwrap();
    let paths = shown["paths"].as_array().unwrap();
    assert_eq!(paths.len(), 1, "{shown}");
    let text = |name: &str| paths[0][name]["string"].as_str().unwrap_or_default().to_owned();
    (
        text("community"),
        text("largeCommunity"),
        paths[0]["metric"].clone(),
        text("aspath"),
    )
}

#[test]
fn every_plane_is_told_its_own_steering() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let config = "planes:
- name: a
  neighbors: [10.1.1.1]
  device: eth1
  communities: [65000:100, no-export]
  largeCommunities: [4200000000:1:2]
  med: 50
  prepend: 2
- name: b
  neighbors: [10.1.2.1]
  source: [10.1.2.2]
  communities: [graceful-shutdown]
";
    let _manifests = start(&lab, &["10.1.1.1", "10.1.2.1"], config);
    let (tor1, tor2) = (Frr::of(&lab, "tor1"), Frr::of(&lab, "tor2"));
    tor1.wait_installed(WEB_V4, &["10.1.1.2"]).unwrap();
    tor2.wait_installed(WEB_V4, &["10.1.2.2"]).unwrap();

    let (communities, large, med, path) = told(&tor1, WEB_V4);
    assert_eq!(communities, "65000:100 no-export");
    assert_eq!(large, "4200000000:1:2");
    assert_eq!(med, 50);
    assert_eq!(path, "65000 65000 65000");
    let (communities, large, med, path) = told(&tor2, WEB_V4);
    assert_eq!((communities.as_str(), large.as_str()), ("graceful-shutdown", ""));
    assert!(med.is_null() || med == 0, "{med}");
    assert_eq!(path, "65000");
}

/// The same words to another switch, in both families.
#[test]
fn bird_is_told_the_steering_in_both_families() {
    let lab = Lab::builder("single-tor")
        .without(Role::Twintor)
        .without(Role::Frr)
        .up()
        .unwrap();
    let peer = |local: &str, remote: &str| PeerConfig {
        local: ip(local),
        remote: ip(remote),
        asn: 65000,
        families: vec![Family::of(remote)],
        password: None,
        ttl_security: false,
        passive: false,
    };
    let config = SwitchConfig {
        asn: 65030,
        router_id: "10.255.0.1".into(),
        peers: vec![peer("10.1.1.1", "10.1.1.2"), peer("fd00:1:1::1", "fd00:1:1::2")],
    };
    let bird = Bird::start(&lab, "tor1", &config).unwrap();
    let switch: &dyn Switch = &bird;
    let config = "planes:
- name: a
  neighbors: [10.1.1.1, \"fd00:1:1::1\"]
  communities: [65000:7]
  largeCommunities: [65000:8:9]
  med: 11
  prepend: 1
";
    let _manifests = start(&lab, &["10.1.1.1", "fd00:1:1::1"], config);
    for (peer, prefix) in [("10.1.1.2", WEB_V4), ("fd00:1:1::2", WEB_V6)] {
        let routes = switch
            .wait_prefixes(ip(peer), Family::of(peer), &[prefix])
            .unwrap();
        assert_eq!(routes[0].as_path, [65000, 65000], "{prefix}");
        let shown = bird.birdc(&format!("show route {prefix} all")).unwrap();
        for line in [
            "BGP.med: 11",
            "BGP.community: (65000,7)",
            "BGP.large_community: (65000, 8, 9)",
        ] {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
    }
}

#[test]
fn a_session_waits_for_its_source_while_the_other_plane_works() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let node = lab.netns("node1");
    // The way to the switch stays; only the address is not there.
    node.ip("address add 10.1.1.254/24 dev eth1").unwrap();
    node.ip("address del 10.1.1.2/30 dev eth1").unwrap();
    let config = "planes:
- {name: a, neighbors: [10.1.1.1], source: [10.1.1.2]}
- {name: b, neighbors: [10.1.2.1]}
";
    let _manifests = start(&lab, &["10.1.1.1", "10.1.2.1"], config);
    let (tor1, tor2) = (Frr::of(&lab, "tor1"), Frr::of(&lab, "tor2"));
    tor2.wait_installed(WEB_V4, &["10.1.2.2"]).unwrap();
    assert_eq!(tor1.session("10.1.1.2").unwrap().established, 0);

    node.ip("address add 10.1.1.2/30 dev eth1").unwrap();
    tor1.wait_installed(WEB_V4, &["10.1.1.2"]).unwrap();

    node.ip("address del 10.1.1.2/30 dev eth1").unwrap();
    wait::until_true("the session is gone with its address", PATIENCE, || {
        Ok(tor1.session("10.1.1.2")?.state != "Established")
    })
    .unwrap();
    tor2.wait_installed(WEB_V4, &["10.1.2.2"]).unwrap();
}
