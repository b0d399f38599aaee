//! Trouble on the node itself that must not become the rack's trouble.

use lab::Lab;
use lab::clab::Role;
use lab::daemons::bird::Bird;
use lab::daemons::frr::Frr;
use lab::daemons::twintor;
use lab::wait::{self, PATIENCE};

use crate::support::{Agent, WEB, WEB_V4, ip};

#[test]
fn a_taken_port_is_a_warning_and_not_an_end() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    // Another speaker of the host, with no interest in our switches.
    let config = "router id 192.0.2.1;\nprotocol device {}\n\
         protocol bgp peer0 { local 10.1.1.2 as 64999; neighbor 192.0.2.2 as 64998; multihop; ipv4 { import none; export none; }; }\n";
    Bird::start_with(&lab, "node1", config, vec![ip("192.0.2.2")]).unwrap();
    wait::until_true("BIRD listens", PATIENCE, || {
        Ok(lab
            .exec("node1", &["ss", "-Hltn", "sport = :179"])?
            .contains(":179"))
    })
    .unwrap();
    let manifests = Agent::new(&["10.1.1.1", "10.1.2.1"]).start(&lab);
    manifests.pod(&WEB).unwrap();
    Frr::of(&lab, "tor1")
        .wait_installed(WEB_V4, &["10.1.1.2"])
        .unwrap();
    Frr::of(&lab, "tor2")
        .wait_installed(WEB_V4, &["10.1.2.2"])
        .unwrap();
    let log = lab.log("node1", twintor::DAEMON);
    let warned = log
        .lines()
        .any(|line| line.contains("179") && line.contains("WARN"));
    assert!(warned, "no warning about the port: {log}");
}

#[test]
fn a_broken_manifest_is_one_line_in_the_log_and_the_rest_goes_on() {
    let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
    let manifests = crate::support::manifests(&lab);
    manifests
        .write(
            "broken.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: [unclosed\n",
        )
        .unwrap();
    manifests
        .write(
            "strange.yaml",
            "apiVersion: v1\nkind: Teapot\nmetadata: {name: short}\n",
        )
        .unwrap();
    manifests.pod(&WEB).unwrap();
    Agent::new(&["10.1.1.1", "10.1.2.1"]).start_with(&lab, &manifests, &[]);
    let tor1 = Frr::of(&lab, "tor1");
    tor1.wait_installed(WEB_V4, &["10.1.1.2"]).unwrap();

    // A file that breaks while the agent runs does not take away what it held.
    manifests.write("web.json", "{ \"apiVersion\": ").unwrap();
    manifests
        .pod(&lab::manifests::Pod {
            name: "db",
            addresses: "10.16.0.20",
            node: "node1",
            policy: Some("true"),
        })
        .unwrap();
    tor1.wait_installed("10.16.0.20/32", &["10.1.1.2"]).unwrap();
    assert_eq!(tor1.bgp_prefixes("ipv4").unwrap(), [WEB_V4, "10.16.0.20/32"]);

    let lines = |file: &str| {
        let log = lab.log("node1", twintor::DAEMON);
        log.lines().filter(|line| line.contains(file)).count()
    };
    for file in ["broken.yaml", "web.json"] {
        wait::until_true("the broken file is reported", PATIENCE, || Ok(lines(file) > 0)).unwrap();
        assert_eq!(
            lines(file),
            1,
            "{file} is reported once: {}",
            lab.log("node1", twintor::DAEMON)
        );
    }
    manifests
        .pod(&lab::manifests::Pod {
            addresses: "10.16.0.11",
            ..WEB
        })
        .unwrap();
    tor1.wait_installed("10.16.0.11/32", &["10.1.1.2"]).unwrap();
    tor1.wait_installed(WEB_V4, &[]).unwrap();
}
