use super::*;
use crate::cli::{self, Command};
use fabric::PlaneId;
use net::Ttl;
use std::ffi::OsString;
use std::time::Duration;

const HEAD: &str = "apiVersion: twintor.io/v1alpha1\nkind: SpeakerConfig\n";

/// Everything that is needed, without a flag.
pub(super) const RACK: &str = "localAs: 65000
defaults: {as: 65030, holdTime: 9s}
planes:
- {name: a, neighbors: [10.1.1.1, \"fd00:1::1\"]}
- {name: b, neighbors: [10.1.2.1]}
";

fn flags(args: &[&str]) -> Settings {
    let all = ["twintor", "run", "--node-name=rack1-n1", "--manifests=/m"];
    let all = all.iter().chain(args).map(OsString::from);
    match cli::parse(all, |_| None) {
        Ok(Command::Run(settings)) => *settings,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn with(text: &str, args: &[&str], node: &NodeFacts) -> Result<Resolved, String> {
    let text = format!("{HEAD}{text}");
    let args: Vec<_> = ["--config=c.yaml"].iter().chain(args).copied().collect();
    let document = Document {
        name: "c.yaml",
        text: &text,
        directory: Path::new("/nowhere"),
    };
    resolve(Some(document), &flags(&args), node).map_err(|error| error.to_string())
}

fn on_node(text: &str, name: &str, labels: &[(&str, &str)]) -> Result<Resolved, String> {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let node = NodeFacts {
        name: Some(name.to_owned()),
        labels: Some(labels.collect()),
    };
    with(text, &[], &node)
}

pub(super) fn ok(text: &str, args: &[&str]) -> Resolved {
    with(text, args, &NodeFacts::default()).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// The error, which has to be one line.
pub(super) fn refused(text: &str, args: &[&str]) -> String {
    let error = with(text, args, &NodeFacts::default()).expect_err(text);
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

fn session(resolved: &Resolved, address: &str) -> NeighborConfig {
    let address: IpAddr = address.parse().expect("an address");
    let found = resolved
        .neighbors
        .iter()
        .find(|neighbor| neighbor.address == address);
    found
        .unwrap_or_else(|| panic!("no session with {address}"))
        .clone()
}

#[test]
fn a_file_alone_is_enough() {
    let resolved = ok(RACK, &[]);
    assert_eq!((resolved.local_as, resolved.router_id), (65000, None));
    let names: Vec<_> = resolved
        .neighbors
        .iter()
        .map(|n| format!("{} {}", n.plane, n.address))
        .collect();
    assert_eq!(names, ["a 10.1.1.1", "b 10.1.2.1", "a fd00:1::1"]);
    let a = session(&resolved, "10.1.1.1");
    assert_eq!(
        (a.remote_as, a.hold_time, a.port, a.passive),
        (65030, 9, 179, false)
    );
    assert_eq!(
        (a.ttl, a.user_timeout),
        (Ttl::Direct, Some(Duration::from_secs(9)))
    );
    assert_eq!(a.families, FamilySet::only(wire::Family::Ipv4Unicast));
    assert_eq!(resolved.families(), FamilySet::ALL);
    let listen: Vec<_> = resolved
        .listen
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(listen, ["0.0.0.0:179", "[::]:179"]);
    assert_eq!(resolved.announce, Policy::default());
}

#[test]
fn flags_alone_and_a_file_that_says_the_same_give_the_same() {
    let args = [
        "--cluster-as=65000",
        "--neighbor-as=65030",
        "--neighbor-address=10.1.1.1,10.1.2.1",
        "--neighbor-ipv6-address=fd00:1::1",
        "--holdtime=9s",
        "--enable-bfd",
        "--bfd-min-tx=50",
        "--ttl-security=1",
        "--allowed-source-addresses=10.1.1.2",
        "--router-id=10.1.1.2",
    ];
    let from_flags = resolve(None, &flags(&args), &NodeFacts::default()).expect("complete");
    let file = format!("{RACK}routerId: 10.1.1.2\n").replace(
        "holdTime: 9s",
        "holdTime: 9s, ttlSecurity: 1, allowedSources: [10.1.1.2], bfd: {minTx: 50ms}",
    );
    let both = [ok(&file, &[]), ok(&file, &args), ok("", &args)];
    for resolved in both {
        assert_eq!(resolved.neighbors, from_flags.neighbors);
        assert_eq!(resolved.router_id, from_flags.router_id);
        assert_eq!(resolved.listen, from_flags.listen);
    }
    let session = session(&from_flags, "10.1.1.1");
    assert_eq!(session.ttl, Ttl::Security { hops: 1 });
    assert_eq!(
        session.bfd.as_ref().map(|bfd| bfd.min_tx),
        Some(Duration::from_millis(50))
    );
    assert_eq!(session.allowed_sources.len(), 1);
}

#[test]
fn every_setting_of_a_plane_reaches_its_sessions_and_no_other() {
    let plane = "as: 65031
  port: 1790
  holdTime: 0s
  source: [10.1.1.2, \"fd00:1::2\"]
  device: eth1
  multihop: 4
  passive: true
  extendedNextHop: true
  allowedSources: [10.1.1.2]
  communities: [65000:100, no-export]
  largeCommunities: [4200000000:1:2]
  med: 50
  prepend: 2
  bfd: {minTx: 100ms, minRx: 200ms, multiplier: 5, strict: true}";
    let text = RACK.replace(
        "- {name: a, neighbors: [10.1.1.1, \"fd00:1::1\"]}",
        &format!("- name: a\n  neighbors: [10.1.1.1, \"fd00:1::1\"]\n  {plane}"),
    );
    let resolved = ok(&text, &[]);
    assert_eq!(
        session(&resolved, "10.1.2.1"),
        session(&ok(RACK, &[]), "10.1.2.1")
    );
    let v6 = session(&resolved, "fd00:1::1");
    assert_eq!(v6.source, "fd00:1::2".parse().ok());
    assert_eq!(v6.allowed_sources, [] as [IpAddr; 0]);
    let a = session(&resolved, "10.1.1.1");
    assert_eq!(
        (a.plane, a.remote_as, a.port, a.hold_time),
        (PlaneId(0), 65031, 1790, 0)
    );
    assert_eq!(a.source, "10.1.1.2".parse().ok());
    assert_eq!(
        (a.device.as_deref(), a.ttl, a.passive),
        (Some("eth1"), Ttl::Multihop(4), true)
    );
    assert_eq!((a.families, a.extended_next_hop), (FamilySet::ALL, true));
    assert_eq!(
        a.user_timeout, None,
        "without a hold time nothing ends by silence"
    );
    let texts: Vec<_> = a.steering.communities.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["65000:100", "no-export"]);
    assert_eq!(a.steering.large_communities.len(), 1);
    assert_eq!((a.steering.med, a.steering.prepend), (Some(50), 2));
    let bfd = a.bfd.as_ref().expect("on");
    assert_eq!((bfd.min_tx.as_millis(), bfd.min_rx.as_millis()), (100, 200));
    assert_eq!((bfd.multiplier.get(), bfd.strict.is_some()), (5, true));
    let ibgp = ok(
        &RACK
            .replace("holdTime: 9s", "localPref: 200")
            .replace("65030", "65000"),
        &[],
    );
    let ibgp = session(&ibgp, "10.1.2.1");
    assert_eq!((ibgp.steering.local_pref, ibgp.ttl), (Some(200), Ttl::System));
}

#[test]
fn a_plane_goes_before_the_defaults_field_by_field() {
    let text = "localAs: 65000
defaults: {as: 65030, multihop: 3, bfd: {minTx: 100ms, strict: true}}
planes:
- {name: a, neighbors: [10.1.1.1], ttlSecurity: 1, bfd: {minRx: 50ms}}
- {name: b, neighbors: [10.1.2.1], bfd: {enabled: false, strict: false}}
";
    let resolved = ok(text, &[]);
    let (a, b) = (session(&resolved, "10.1.1.1"), session(&resolved, "10.1.2.1"));
    let bfd = a.bfd.expect("on");
    assert_eq!(
        (
            bfd.min_tx.as_millis(),
            bfd.min_rx.as_millis(),
            bfd.strict.is_some()
        ),
        (100, 50, true)
    );
    assert_eq!(a.ttl, Ttl::Security { hops: 1 }, "the TTL fields are one setting");
    assert_eq!((b.ttl, b.bfd.is_none()), (Ttl::Multihop(3), true));
}

#[test]
fn entries_of_nodes_are_laid_over_the_file_in_their_order() {
    let text = format!(
        "{RACK}nodes:
- match: {{names: [\"RACK1-*\"]}}
  localAs: 65001
  defaults: {{as: 65101}}
- match: {{labels: {{rack: r1, tier: gold}}}}
  defaults: {{holdTime: 30s}}
  planes:
  - {{name: b, as: 65102}}
  - {{name: c, neighbors: [10.1.3.1]}}
- match: {{names: [rack1-n?], labels: {{rack: r1}}}}
  defaults: {{as: 65103}}
"
    );
    let plain = on_node(&text, "rack2-n1", &[("rack", "r2")]).expect("good");
    assert_eq!(plain.neighbors, ok(RACK, &[]).neighbors);

    let by_name = on_node(&text, "rack1-n22", &[]).expect("good");
    assert_eq!(by_name.local_as, 65001);
    assert!(
        by_name
            .neighbors
            .iter()
            .all(|n| n.remote_as == 65101 && n.hold_time == 9)
    );

    let all = on_node(&text, "rack1-n2", &[("rack", "r1"), ("tier", "gold"), ("x", "y")]).expect("good");
    assert_eq!(
        session(&all, "10.1.1.1").remote_as,
        65103,
        "the last entry counts"
    );
    assert_eq!(
        session(&all, "10.1.2.1").remote_as,
        65102,
        "a plane goes before the defaults"
    );
    assert_eq!(session(&all, "10.1.3.1").plane, PlaneId(2));
    assert_eq!(session(&all, "10.1.3.1").hold_time, 30);

    let half = on_node(&text, "rack9", &[("rack", "r1")]).expect("good");
    assert_eq!(half.local_as, 65000, "every label has to match");
}

#[test]
fn labels_that_are_not_known_are_no_match_and_no_mismatch() {
    let text = format!("{RACK}nodes: [{{match: {{labels: {{rack: r1}}}}, localAs: 65001}}]\n");
    let document = format!("{HEAD}{text}");
    let document = Document {
        name: "c",
        text: &document,
        directory: Path::new(""),
    };
    assert!(wants_labels(document));
    let error = refused(&text, &[]);
    assert!(
        error.starts_with("c.yaml:8:26: nodes[0].match.labels: the labels of node"),
        "{error}"
    );
    let document = Document {
        text: RACK,
        ..document
    };
    assert!(!wants_labels(document));
}

#[test]
fn a_flag_and_the_file_may_not_contradict_each_other() {
    let cases = [
        (
            "--cluster-as=1",
            "c.yaml:3:10: localAs: is 65000 here, but --cluster-as is 1;",
        ),
        (
            "--neighbor-as=1",
            "c.yaml:4:16: defaults.as: is 65030 here, but --neighbor-as is 1;",
        ),
        (
            "--holdtime=30s",
            "defaults.holdTime: is 9s here, but --holdtime is 30s;",
        ),
        (
            "--neighbor-address=10.1.1.9",
            "planes[0].neighbors: plane a has 10.1.1.1, but --neighbor-address has 10.1.1.9",
        ),
        (
            "--neighbor-ipv6-address=fd00::9",
            "planes[0].neighbors: plane a has fd00:1::1, but --neighbor-ipv6-address has fd00::9",
        ),
    ];
    for (arg, expected) in cases {
        let error = refused(RACK, &[arg]);
        assert!(error.contains(expected), "{arg}: {error}");
    }
    let more = format!("{RACK}routerId: 10.0.0.1\nlisten: {{port: 1790}}\nnodeIps: [10.9.9.9]\n");
    for (arg, expected) in [
        (
            "--router-id=10.0.0.2",
            "routerId: is 10.0.0.1 here, but --router-id is 10.0.0.2",
        ),
        (
            "--listen-port=179",
            "listen.port: is 1790 here, but --listen-port is 179",
        ),
        (
            "--node-ips=10.9.9.8",
            "nodeIps: is 10.9.9.9 here, but --node-ips is 10.9.9.8",
        ),
    ] {
        let error = refused(&more, &[arg]);
        assert!(error.contains(expected), "{arg}: {error}");
    }
    let set = |settings: &str| RACK.replace("holdTime: 9s", settings);
    for (settings, args, expected) in [
        (
            "passive: true",
            &["--passivemode=false"][..],
            "defaults.passive: is true here, but --passivemode is false",
        ),
        (
            "extendedNextHop: false",
            &["--extended-nexthop"],
            "is false here, but --extended-nexthop is true",
        ),
        (
            "passwordFile: x",
            &["--auth-password=y"],
            "defaults.passwordFile: there is --auth-password as well",
        ),
        (
            "multihop: 2",
            &["--ttl-security=1"],
            "defaults.multihop: there is --ttl-security as well",
        ),
        (
            "ttlSecurity: 1",
            &["--ebgp-multihop=2"],
            "defaults.ttlSecurity: there is --ebgp-multihop as well",
        ),
        (
            "allowedSources: [10.0.0.1]",
            &["--allowed-source-addresses=10.0.0.2"],
            "is 10.0.0.1 here, but --allowed-source-addresses is 10.0.0.2",
        ),
        (
            "bfd: {minTx: 50ms}",
            &["--enable-bfd", "--bfd-min-tx=60"],
            "defaults.bfd.minTx: is 50ms here, but --bfd-min-tx is 60ms",
        ),
        (
            "bfd: {enabled: false}",
            &["--enable-bfd"],
            "defaults.bfd.enabled: is false here, but --enable-bfd is true",
        ),
        (
            "bfd: {}",
            &["--enable-bfd=false"],
            "BFD is on, but --enable-bfd=false",
        ),
    ] {
        let error = refused(&set(settings), args);
        assert!(error.contains(expected), "{settings}: {error}");
    }
    // What planes and nodes say beyond that is more precise, and no contradiction.
    let plane = RACK.replace("neighbors: [10.1.2.1]", "neighbors: [10.1.2.1], as: 65039");
    let resolved = ok(&plane, &["--neighbor-as=65030"]);
    assert_eq!(session(&resolved, "10.1.2.1").remote_as, 65039);
}

#[test]
fn services_may_be_said_by_flag_and_file() {
    let quiet = format!("{RACK}announce: {{pods: {{skipTerminating: true}}}}\n");
    let policy = ok(&quiet, &["--announce-cluster-ip"]).announce;
    assert!(policy.services.cluster_ips && policy.pods.skip_terminating);
    let loud = format!("{RACK}announce: {{services: {{clusterIPs: false}}}}\n");
    let error = refused(&loud, &["--announce-cluster-ip"]);
    assert!(
        error.contains(
            ":8:35: announce.services.clusterIPs: is false here, but --announce-cluster-ip is true"
        ),
        "{error}"
    );
    assert!(ok(RACK, &["--announce-cluster-ip"]).announce.services.cluster_ips);
}

#[test]
fn what_contradicts_itself_is_refused_with_place_and_remedy() {
    let cases = [
        (
            "multihop: 2, ttlSecurity: 1",
            "c.yaml:4:49: defaults.ttlSecurity: multihop is set as well",
        ),
        (
            "localPref: 1",
            "c.yaml:4:34: defaults.localPref: LOCAL_PREF goes to switches of our own AS only",
        ),
        (
            "bfd: {enabled: false, strict: true}",
            "defaults.bfd.strict: waits for BFD, and BFD is off here; set enabled: true",
        ),
        (
            "source: 10.0.0.1, allowedSources: [10.0.0.2]",
            "defaults.source: 10.0.0.1 is not among allowedSources",
        ),
        (
            "source: [10.0.0.1, 10.0.0.2]",
            "defaults.source: has both 10.0.0.1 and 10.0.0.2",
        ),
        (
            "source: \"fd00::1\"",
            "defaults.source: fd00::1 is of another family than the switch of plane b",
        ),
        (
            "passwordFile: missing",
            "defaults.passwordFile: /nowhere/missing cannot be read",
        ),
    ];
    for (settings, expected) in cases {
        let error = refused(&RACK.replace("holdTime: 9s", settings), &[]);
        assert!(error.contains(expected), "{settings}: {error}");
    }
    let passive = RACK.replace("holdTime: 9s", "passive: true");
    let error = refused(&passive, &["--listen-port=0"]);
    assert!(error.contains("defaults.passive: needs a listener"), "{error}");
    let prepend = RACK
        .replace("holdTime: 9s", "prepend: 1")
        .replace("65030", "65000");
    assert!(refused(&prepend, &[]).contains("defaults.prepend: our AS number is not put in front"));
}

#[test]
fn planes_have_one_switch_each() {
    let planes = |planes: &str| format!("localAs: 1\ndefaults: {{as: 2}}\nplanes:\n{planes}");
    for (text, expected) in [
        (
            "- {name: a, neighbors: [10.0.0.1]}\n- {name: b, neighbors: [10.0.0.1]}\n",
            "c.yaml:7:24: planes[1].neighbors: planes a and b both have the switch 10.0.0.1",
        ),
        (
            "- {name: a, neighbors: [10.0.0.1, 10.0.0.1]}\n",
            "planes[0].neighbors: has 10.0.0.1 twice",
        ),
        (
            "- {name: a, neighbors: [10.0.0.1, 10.0.0.2]}\n",
            "plane a has both 10.0.0.1 and 10.0.0.2",
        ),
        (
            "- {name: a}\n",
            "plane a has no switch; give it the address of one",
        ),
        (
            "- {name: a, neighbors: [10.0.0.1]}\n- {name: a, neighbors: [10.0.0.2]}\n",
            "c.yaml:7:10: planes[1].name: there are two planes a",
        ),
        (
            "  []\n",
            "there is no switch; give the planes neighbors, or set --neighbor-address",
        ),
        (
            "- {name: a, neighbors: [\"fd00::1\"]}\n",
            "routerId: there is no IPv4 address to take as router id; set routerId",
        ),
    ] {
        let error = refused(&planes(text), &[]);
        assert!(error.contains(expected), "{text}: {error}");
    }
    let error = refused("localAs: 1\nplanes: [{name: a, neighbors: [10.0.0.1]}]\n", &[]);
    assert!(
        error.contains("plane a has no AS number; set it, or as under defaults, or --neighbor-as"),
        "{error}"
    );
    let error = refused(
        "defaults: {as: 1}\nplanes: [{name: a, neighbors: [10.0.0.1]}]\n",
        &[],
    );
    assert!(
        error.contains("localAs: is not set; set it, or --cluster-as"),
        "{error}"
    );
}

#[test]
fn mistakes_in_the_entries_of_other_nodes_are_found_too() {
    for (entry, expected) in [
        ("match: {}", "nodes[0].match: matches no node"),
        (
            "match: {names: [x]}, defaults: {multihop: 1, ttlSecurity: 1}",
            "nodes[0].defaults.ttlSecurity: multihop is set as well",
        ),
        (
            "match: {names: [x]}, planes: [{name: a}, {name: a}]",
            "nodes[0].planes[1].name: there are two planes a",
        ),
        (
            "match: {names: [x]}, nodeIps: [10.0.0.1, 10.0.0.2]",
            "nodes[0].nodeIps: has several addresses of one family",
        ),
        ("match: {names: [x]}, announce: {}", "announce"),
        (
            "match: {names: [\"\"]}",
            "nodes[0].match.names[0]: \"\" names no node",
        ),
    ] {
        let error = refused(&format!("{RACK}nodes: [{{{entry}}}]\n"), &[]);
        assert!(error.contains(expected), "{entry}: {error}");
    }
}

#[test]
fn every_value_names_what_was_found_and_what_to_write() {
    for (settings, expected) in [
        (
            "as: 0",
            "c.yaml:4:16: defaults.as: \"0\" is reserved (RFC 7607); write the number of the AS",
        ),
        ("as: 4294967296", "defaults.as: \"4294967296\" is no AS number"),
        ("as: -1", "defaults.as: \"-1\" is no AS number"),
        (
            "as: 1, holdTime: 2s",
            "defaults.holdTime: \"2s\" is no hold time; write 3s to 65535s, or 0s",
        ),
        (
            "as: 1, holdTime: 90",
            "missing unit in duration \"90\"; write 90s",
        ),
        ("as: 1, holdTime: 3500ms", "BGP counts it in whole seconds"),
        (
            "as: 1, port: 0",
            "defaults.port: \"0\" does not fit; write a whole number from 1 to 65535",
        ),
        ("as: 1, ttlSecurity: 255", "write a whole number from 1 to 254"),
        ("as: 1, multihop: 0", "write a whole number from 1 to 255"),
        ("as: 1, prepend: 17", "write a whole number from 0 to 16"),
        (
            "as: 1, passive: yes",
            "defaults.passive: \"yes\" is neither true nor false",
        ),
        (
            "as: 1, device: averyverylongname",
            "defaults.device: \"averyverylongname\" is no name of an interface",
        ),
        (
            "as: 1, source: 10.0.0.0/24",
            "defaults.source: \"10.0.0.0/24\" is no IP address",
        ),
        ("as: 1, source: 0.0.0.0", "is no address of a host"),
        (
            "as: 1, communities: [1:99999]",
            "defaults.communities[0]: \"1:99999\" is no community: write AS:VALUE",
        ),
        (
            "as: 1, largeCommunities: [1:2]",
            "defaults.largeCommunities[0]: \"1:2\" is no large community",
        ),
        (
            "as: 1, bfd: {minTx: 0ms}",
            "defaults.bfd.minTx: \"0ms\" is no interval of BFD; write 1ms to 4294967ms",
        ),
        (
            "as: 1, bfd: {multiplier: 0}",
            "defaults.bfd.multiplier: \"0\" does not fit",
        ),
        ("as: [1]", "defaults.as: "),
        (
            "ass: 1",
            "defaults: unknown field `ass`, expected one of as, port",
        ),
        (
            "as: 1, bfd: {x: 1}",
            "defaults.bfd.x: unknown field `x`, expected one of enabled, minTx",
        ),
        ("as: 1, as: 2", "as"),
    ] {
        let error = refused(&format!("localAs: 1\ndefaults: {{{settings}}}\n"), &[]);
        assert!(
            error.starts_with("c.yaml:4:") && error.contains(expected),
            "{settings}: {error}"
        );
    }
    for (text, expected) in [
        (
            "localAs: 1\nplanes: [{nam: a}]\n",
            "planes[0]: there is no field \"nam\"; the fields are name, neighbors, as",
        ),
        ("localAs: 1\nplanes: [{neighbors: []}]\n", "planes[0]: missing"),
        (
            "localAs: 1\nplanes: [{name: tor1}]\n",
            "planes[0].name: \"tor1\" is no name of a plane; write one letter",
        ),
        (
            "routerId: 0.0.0.0\n",
            "c.yaml:3:11: routerId: \"0.0.0.0\" is no BGP identifier",
        ),
        (
            "localAS: 1\n",
            "unknown field `localAS`, expected one of apiVersion",
        ),
        ("localAs: [\n", "c.yaml:"),
        ("- 1\n", "c.yaml:"),
    ] {
        let error = refused(text, &[]);
        assert!(
            error.starts_with("c.yaml:") && error.contains(expected),
            "{text}: {error}"
        );
    }
}

#[test]
fn the_head_says_what_the_file_is() {
    for text in [
        "",
        "apiVersion: twintor.io/v1\nkind: SpeakerConfig\n",
        "apiVersion: twintor.io/v1alpha1\nkind: Speaker\n",
        "apiVersion: twintor.io/v1alpha1\n",
    ] {
        let document = Document {
            name: "c.yaml",
            text,
            directory: Path::new(""),
        };
        let error = resolve(
            Some(document),
            &flags(&["--config=c.yaml"]),
            &NodeFacts::default(),
        );
        let error = error.expect_err(text).to_string();
        assert!(error.starts_with("c.yaml"), "{error}");
    }
}

#[test]
fn a_password_comes_from_its_file_and_goes_nowhere_else() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("secret");
    std::fs::write(&file, "pass word\n").expect("writable");
    let text = format!("{HEAD}{}", RACK.replace("holdTime: 9s", "passwordFile: secret"))
        .replace("[10.1.2.1]", "[10.1.2.1], passwordFile: \"\"");
    let document = Document {
        name: "c.yaml",
        text: &text,
        directory: dir.path(),
    };
    let resolved = || {
        resolve(
            Some(document),
            &flags(&["--config=c.yaml"]),
            &NodeFacts::default(),
        )
    };

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("allowed");
    let first = resolved().expect("good");
    let key = Md5Key::new(secrecy::SecretString::from("pass word")).expect("fits");
    assert_eq!(session(&first, "10.1.1.1").password, Some(key));
    assert_eq!(
        session(&first, "10.1.2.1").password,
        None,
        "an empty path takes the password away"
    );
    assert_eq!(
        (first.password_files.as_slice(), first.warnings.len()),
        (&[file.clone()][..], 0)
    );
    assert!(!format!("{first:?}").contains("pass word"));

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("allowed");
    let warnings = resolved().expect("good").warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("secret can be read by everybody; chmod o-r it"),
        "{warnings:?}"
    );

    for content in [&b"\n"[..], &[b'x'; 81], &[0xff, 0xfe]] {
        std::fs::write(&file, content).expect("writable");
        let error = resolved().expect_err("no password").to_string();
        assert!(
            error.starts_with("c.yaml:4:") && error.contains("defaults.passwordFile: "),
            "{error}"
        );
        assert!(!error.contains("xxx"), "{error}");
    }
}

/// The first YAML block of the reference.
fn example() -> &'static str {
    let page = include_str!("../../../docs/configuration.md");
    let block = page.split("```yaml\n").nth(1).expect("an example");
    block.split("```").next().expect("an end")
}

#[test]
fn the_example_of_the_reference_is_good_and_complete() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("passwords")).expect("writable");
    for name in ["tor-a", "tor-b"] {
        std::fs::write(dir.path().join("passwords").join(name), "secret\n").expect("writable");
    }
    std::fs::create_dir(dir.path().join("keys")).expect("writable");
    for name in ["bfd-1", "bfd-2"] {
        std::fs::write(dir.path().join("keys").join(name), "secret\n").expect("writable");
    }
    let document = Document {
        name: "example",
        text: example(),
        directory: dir.path(),
    };
    let node = NodeFacts {
        name: Some("rack1-n7".to_owned()),
        labels: Some(BTreeMap::from([(
            "topology.kubernetes.io/zone".to_owned(),
            "hall-2".to_owned(),
        )])),
    };
    let resolved = resolve(Some(document), &flags(&["--config=example"]), &node);
    let resolved = resolved.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(resolved.local_as, 65101);
    assert_eq!(session(&resolved, "10.1.2.1").remote_as, 65132);
    for field in SessionSettings::FIELDS {
        assert!(
            example().contains(&format!("{field}:")),
            "{field} is not in the example"
        );
    }
}

#[test]
fn the_reference_has_every_field() {
    let page = include_str!("../../../docs/configuration.md");
    let others = "apiVersion kind localAs routerId nodeIps listen.port listen.addresses defaults planes nodes announce returnPath \
        name neighbors enabled minTx minRx multiplier passive minTtl strict strictHoldTime auth.type auth.keyId \
        auth.keyFile auth.accept restartTime stateFile.path stateFile.maxAge stateFile.wait match.names match.labels";
    for field in others
        .split_whitespace()
        .chain(SessionSettings::FIELDS.iter().copied())
    {
        assert!(page.contains(&format!("| `{field}`")), "{field} has no row");
    }
}

#[test]
fn graceful_restart_and_the_state_file_come_from_flags_and_file_alike() {
    let text = "apiVersion: twintor.io/v1alpha1
kind: SpeakerConfig
localAs: 65000
routerId: 10.0.0.1
stateFile: {path: state, wait: 2s}
defaults: {as: 65030, gracefulRestart: {restartTime: 120s}}
planes:
- {name: a, neighbors: [10.1.1.1]}
- {name: b, neighbors: [10.1.2.1], gracefulRestart: {enabled: false}}
";
    let resolve_with = |text: &str, args: &[&str]| {
        let document = Document {
            name: "c.yaml",
            text,
            directory: Path::new("/etc/twintor"),
        };
        let args: Vec<_> = [&["--config=c.yaml"], args].concat();
        resolve(Some(document), &flags(&args), &NodeFacts::default())
    };
    let resolved = resolve_with(text, &["--state-file-max-age=2h"]).expect("good");
    let seconds = |address| {
        session(&resolved, address)
            .graceful_restart
            .map(|restart| restart.restart_time)
    };
    assert_eq!((seconds("10.1.1.1"), seconds("10.1.2.1")), (Some(120), None));
    let file = resolved.state_file.expect("asked for");
    assert_eq!(file.path, Path::new("/etc/twintor/state"));
    assert_eq!((file.max_age.as_secs(), file.wait.as_secs()), (7200, 2));

    let fault = |text: &str, args: &[&str]| resolve_with(text, args).expect_err("bad").to_string();
    let both = fault(text, &["--graceful-restart", "--graceful-restart-time=60s"]);
    assert!(
        both.contains("restartTime: is 120s here, but --graceful-restart-time is 60s"),
        "{both}"
    );
    let off = fault(text, &["--graceful-restart=false"]);
    assert!(
        off.contains("graceful restart is on, but --graceful-restart=false"),
        "{off}"
    );
    let long = fault(&text.replace("120s", "4096s"), &[]);
    assert!(
        long.contains("c.yaml:6:") && long.contains("write 1s to 4095s"),
        "{long}"
    );
    let never = fault(&text.replace("wait: 2s", "maxAge: 0s"), &[]);
    assert!(
        never.contains("stateFile.maxAge: no file would ever be believed"),
        "{never}"
    );
}
