//! The same cases against every daemon that can be a switch.
//!
//! # GAPS
//!
//! What is not in the matrix below is missing for one of these reasons, and for no other:
//!
//! | switch | case | why |
//! |---|---|---|
//! | OpenBGPD | `signs_with_md5` | OpenBGPD 7.7 on Linux signs what it dials, but its listener has no keys and takes any connection |
//! | ExaBGP | `guards_with_ttl_security` | ExaBGP 4.2 checks the TTL only of what it dials, so a node that dials gets in |
//! | GoBGP | `sends_everything_again_when_asked` | its soft reset replays its own Adj-RIB-In and never sends a ROUTE-REFRESH |

use lab::Lab;
use lab::capture::Capture;
use lab::clab::Role;
use lab::daemons::switch::{Family, Kind, PeerConfig, Route, Switch, SwitchConfig};
use lab::daemons::twintor;
use lab::kernel;
use lab::manifests::Manifests;
use lab::wait::{self, PATIENCE};
use nix::sys::signal::Signal;

use crate::support::{Agent, WEB, WEB_V4, WEB_V6, assert_well_formed, ip};

macro_rules! matrix {
    ($($module:ident = $kind:ident: $($case:ident),+ $(,)?;)+) => {$(
        mod $module {
            $(#[test]
            fn $case() {
                super::$case(lab::daemons::switch::Kind::$kind);
            })+
        }
    )+};
}

matrix! {
    frr = Frr:
        announces_and_withdraws, carries_ipv6, signs_with_md5, checks_md5_of_who_dials, speaks_four_octet_as,
        guards_with_ttl_security, speaks_ibgp, waits_in_passive_mode, dials_a_switch_that_only_listens, sends_everything_again_when_asked;
    bird = Bird:
        announces_and_withdraws, carries_ipv6, signs_with_md5, checks_md5_of_who_dials, speaks_four_octet_as,
        guards_with_ttl_security, speaks_ibgp, waits_in_passive_mode, dials_a_switch_that_only_listens, sends_everything_again_when_asked;
    gobgp = Gobgp:
        announces_and_withdraws, carries_ipv6, signs_with_md5, checks_md5_of_who_dials, speaks_four_octet_as,
        guards_with_ttl_security, speaks_ibgp, waits_in_passive_mode, dials_a_switch_that_only_listens;
    openbgpd = Openbgpd:
        announces_and_withdraws, carries_ipv6, checks_md5_of_who_dials, speaks_four_octet_as,
        guards_with_ttl_security, speaks_ibgp, waits_in_passive_mode, dials_a_switch_that_only_listens, sends_everything_again_when_asked;
    exabgp = Exabgp:
        announces_and_withdraws, carries_ipv6, signs_with_md5, checks_md5_of_who_dials, speaks_four_octet_as,
        speaks_ibgp, waits_in_passive_mode, dials_a_switch_that_only_listens, sends_everything_again_when_asked;
}

/// The argument that makes twintor send with a TTL of 255 and ask for it.
const TTL_SECURITY: &[&str] = &["--ttl-security=1"];

const TOR: &str = "10.1.1.1";
const NODE: &str = "10.1.1.2";
const TOR_V6: &str = "fd00:1:1::1";
const NODE_V6: &str = "fd00:1:1::2";

fn rack() -> Lab {
    Lab::builder("single-tor")
        .without(Role::Twintor)
        .without(Role::Frr)
        .up()
        .unwrap()
}

fn switch_config() -> SwitchConfig {
    SwitchConfig {
        asn: 65030,
        router_id: "10.255.0.1".into(),
        peers: vec![peer(TOR, NODE)],
    }
}

fn peer(local: &str, remote: &str) -> PeerConfig {
    PeerConfig {
        local: ip(local),
        remote: ip(remote),
        asn: 65000,
        families: vec![Family::of(remote)],
        password: None,
        ttl_security: false,
        passive: false,
    }
}

/// Waits until the switch has the web pod by this neighbour, and returns the route.
fn web(switch: &dyn Switch, peer: &str) -> Route {
    let family = Family::of(peer);
    let prefix = match family {
        Family::Ipv4 => WEB_V4,
        Family::Ipv6 => WEB_V6,
    };
    let routes = switch.wait_prefixes(ip(peer), family, &[prefix]).unwrap();
    let [route] = &routes[..] else {
        panic!("{routes:?}")
    };
    assert_eq!(route.next_hop, ip(peer));
    route.clone()
}

fn announce(manifests: &Manifests) {
    manifests.pod(&WEB).unwrap();
}

fn announces_and_withdraws(kind: Kind) {
    let lab = rack();
    let capture = Capture::start(&lab, "node1").unwrap();
    let switch = kind.start(&lab, "tor1", &switch_config()).unwrap();
    let manifests = Agent::new(&[TOR]).start(&lab);
    switch.wait_established(ip(NODE)).unwrap();
    assert_eq!(
        switch.routes(ip(NODE), Family::Ipv4).unwrap(),
        [],
        "announced without being asked"
    );
    announce(&manifests);
    assert_eq!(web(&*switch, NODE).as_path, [65000]);
    manifests.remove(WEB.name).unwrap();
    switch.wait_prefixes(ip(NODE), Family::Ipv4, &[]).unwrap();
    assert!(
        switch.established(ip(NODE)).unwrap(),
        "a withdrawal cost the session"
    );
    assert_well_formed(&capture.finish().unwrap(), NODE);
}

fn carries_ipv6(kind: Kind) {
    let lab = rack();
    let capture = Capture::start(&lab, "node1").unwrap();
    let config = SwitchConfig {
        peers: vec![peer(TOR, NODE), peer(TOR_V6, NODE_V6)],
        ..switch_config()
    };
    let switch = kind.start(&lab, "tor1", &config).unwrap();
    let manifests = Agent::new(&[TOR, TOR_V6]).start(&lab);
    announce(&manifests);
    assert_eq!(web(&*switch, NODE).as_path, [65000]);
    assert_eq!(web(&*switch, NODE_V6).as_path, [65000]);
    manifests.remove(WEB.name).unwrap();
    switch.wait_prefixes(ip(NODE), Family::Ipv4, &[]).unwrap();
    switch.wait_prefixes(ip(NODE_V6), Family::Ipv6, &[]).unwrap();
    let pcap = capture.finish().unwrap();
    assert_well_formed(&pcap, NODE);
    assert_well_formed(&pcap, NODE_V6);
}

fn signs_with_md5(kind: Kind) {
    let lab = rack();
    let keyed = PeerConfig {
        password: Some("correct-horse".into()),
        ..peer(TOR, NODE)
    };
    let switch = kind
        .start(
            &lab,
            "tor1",
            &SwitchConfig {
                peers: vec![keyed],
                ..switch_config()
            },
        )
        .unwrap();
    let manifests = crate::support::manifests(&lab);
    announce(&manifests);
    let tor = lab.netns("tor1");
    let rejected = |counter: &str| kernel::tcp_counter(&tor, counter).unwrap();

    Agent::new(&[TOR])
        .extra(&["--auth-password=battery-staple"])
        .start_with(&lab, &manifests, &[]);
    wait::until_true("the switch's kernel drops wrong keys", PATIENCE, || {
        Ok(rejected("TCPMD5Failure") >= 3)
    })
    .unwrap();
    assert!(
        !switch.established(ip(NODE)).unwrap(),
        "established with a wrong key"
    );
    lab.stop("node1", twintor::DAEMON, Signal::SIGTERM).unwrap();

    let unsigned = rejected("TCPMD5NotFound");
    Agent::new(&[TOR]).start_with(&lab, &manifests, &[]);
    wait::until_true("the switch's kernel drops unsigned packets", PATIENCE, || {
        Ok(rejected("TCPMD5NotFound") >= unsigned + 3)
    })
    .unwrap();
    assert!(
        !switch.established(ip(NODE)).unwrap(),
        "established without a key"
    );
    lab.stop("node1", twintor::DAEMON, Signal::SIGTERM).unwrap();

    Agent::new(&[TOR])
        .extra(&["--auth-password=correct-horse"])
        .start_with(&lab, &manifests, &[]);
    web(&*switch, NODE);
    let log = lab.log("node1", twintor::DAEMON);
    for secret in ["correct-horse", "battery-staple"] {
        assert!(!log.contains(secret), "the key is in the log");
    }
}

/// A switch with RFC 5082 on takes no session from a node without it, and one from a node with it.
///
/// Each node meets a switch of its own: what a refused node leaves half-open keeps OpenBGPD waiting for minutes.
fn guards_with_ttl_security(kind: Kind) {
    with_guarded_switch(kind, &[], |lab, switch| {
        let tor = lab.netns("tor1");
        wait::until_true("the switch's kernel drops low TTLs", PATIENCE, || {
            Ok(kernel::tcp_counter(&tor, "TCPMinTTLDrop")? >= 3)
        })
        .unwrap();
        assert!(
            !switch.established(ip(NODE)).unwrap(),
            "established with a TTL of 1"
        );
    });
    with_guarded_switch(kind, TTL_SECURITY, |_, switch| {
        web(switch, NODE);
    });
}

fn with_guarded_switch(kind: Kind, args: &[&str], check: impl FnOnce(&Lab, &dyn Switch)) {
    let lab = rack();
    let guarded = PeerConfig {
        ttl_security: true,
        ..peer(TOR, NODE)
    };
    let config = SwitchConfig {
        peers: vec![guarded],
        ..switch_config()
    };
    let switch = kind.start(&lab, "tor1", &config).unwrap();
    let manifests = crate::support::manifests(&lab);
    announce(&manifests);
    Agent::new(&[TOR]).extra(args).start_with(&lab, &manifests, &[]);
    check(&lab, &*switch);
}

/// The node as the listener: its own kernel must drop what is signed with another key.
fn checks_md5_of_who_dials(kind: Kind) {
    let lab = rack();
    let keyed = PeerConfig {
        password: Some("correct-horse".into()),
        ..peer(TOR, NODE)
    };
    let switch = kind
        .start(
            &lab,
            "tor1",
            &SwitchConfig {
                peers: vec![keyed],
                ..switch_config()
            },
        )
        .unwrap();
    let manifests = crate::support::manifests(&lab);
    announce(&manifests);
    let node = lab.netns("node1");

    Agent::new(&[TOR])
        .extra(&["--passivemode", "--auth-password=battery-staple"])
        .start_with(&lab, &manifests, &[]);
    wait::until_true("the node's kernel drops wrong keys", PATIENCE, || {
        Ok(kernel::tcp_counter(&node, "TCPMD5Failure")? >= 3)
    })
    .unwrap();
    assert!(
        !switch.established(ip(NODE)).unwrap(),
        "established with a wrong key"
    );
    lab.stop("node1", twintor::DAEMON, Signal::SIGTERM).unwrap();

    Agent::new(&[TOR])
        .extra(&["--passivemode", "--auth-password=correct-horse"])
        .start_with(&lab, &manifests, &[]);
    web(&*switch, NODE);
}

fn speaks_four_octet_as(kind: Kind) {
    const SWITCH_AS: u32 = 4_200_065_030;
    const NODE_AS: u32 = 4_200_065_000;
    let lab = rack();
    let config = SwitchConfig {
        asn: SWITCH_AS,
        peers: vec![PeerConfig {
            asn: NODE_AS,
            ..peer(TOR, NODE)
        }],
        ..switch_config()
    };
    let switch = kind.start(&lab, "tor1", &config).unwrap();
    let manifests = Agent {
        asn: NODE_AS,
        peer_asn: SWITCH_AS,
        ..Agent::new(&[TOR])
    }
    .start(&lab);
    announce(&manifests);
    assert_eq!(web(&*switch, NODE).as_path, [NODE_AS]);
}

fn speaks_ibgp(kind: Kind) {
    let lab = rack();
    let capture = Capture::start(&lab, "node1").unwrap();
    let config = SwitchConfig {
        asn: 65000,
        ..switch_config()
    };
    let switch = kind.start(&lab, "tor1", &config).unwrap();
    let manifests = Agent {
        peer_asn: 65000,
        ..Agent::new(&[TOR])
    }
    .start(&lab);
    announce(&manifests);
    assert!(web(&*switch, NODE).as_path.is_empty(), "an AS path on iBGP");
    let pcap = capture.finish().unwrap();
    assert_well_formed(&pcap, NODE);
    let preferences = pcap.lines(
        &format!("ip.src == {NODE} && bgp.update.path_attribute.local_pref"),
        &["bgp.update.path_attribute.local_pref"],
    );
    assert_eq!(
        preferences.unwrap().first().map(String::as_str),
        Some("100"),
        "LOCAL_PREF is mandatory on iBGP"
    );
}

fn waits_in_passive_mode(kind: Kind) {
    let lab = rack();
    let capture = Capture::start(&lab, "node1").unwrap();
    let switch = kind.start(&lab, "tor1", &switch_config()).unwrap();
    let manifests = Agent::new(&[TOR]).extra(&["--passivemode"]).start(&lab);
    announce(&manifests);
    web(&*switch, NODE);
    let pcap = capture.finish().unwrap();
    assert!(
        pcap.count(&dialled_by(TOR)).unwrap() > 0,
        "the switch did not dial"
    );
    assert_eq!(
        pcap.count(&dialled_by(NODE)).unwrap(),
        0,
        "the node dialled in passive mode"
    );
}

fn dials_a_switch_that_only_listens(kind: Kind) {
    let lab = rack();
    let capture = Capture::start(&lab, "node1").unwrap();
    let config = SwitchConfig {
        peers: vec![PeerConfig {
            passive: true,
            ..peer(TOR, NODE)
        }],
        ..switch_config()
    };
    let switch = kind.start(&lab, "tor1", &config).unwrap();
    let manifests = Agent::new(&[TOR]).start(&lab);
    announce(&manifests);
    web(&*switch, NODE);
    let pcap = capture.finish().unwrap();
    assert!(
        pcap.count(&dialled_by(NODE)).unwrap() > 0,
        "the node did not dial"
    );
    assert_eq!(
        pcap.count(&dialled_by(TOR)).unwrap(),
        0,
        "the switch dialled, so this test shows nothing"
    );
}

fn sends_everything_again_when_asked(kind: Kind) {
    let lab = rack();
    let capture = Capture::start(&lab, "node1").unwrap();
    let switch = kind.start(&lab, "tor1", &switch_config()).unwrap();
    let manifests = Agent::new(&[TOR]).start(&lab);
    announce(&manifests);
    web(&*switch, NODE);
    let before = switch.received(ip(NODE)).unwrap();
    switch.ask_again(ip(NODE), Family::Ipv4).unwrap();
    wait::until_true("the route is sent again", PATIENCE, || {
        Ok(switch.received(ip(NODE))? > before)
    })
    .unwrap();
    web(&*switch, NODE);
    let pcap = capture.finish().unwrap();
    let asked = pcap.count(&format!("ip.src == {TOR} && bgp.type == 5")).unwrap();
    assert!(
        asked > 0,
        "the switch sent no ROUTE-REFRESH, so this test shows nothing"
    );
    assert_well_formed(&pcap, NODE);
}

fn dialled_by(address: &str) -> String {
    format!("ip.src == {address} && tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.dstport == 179")
}
