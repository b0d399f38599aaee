//! A scripted peer: packets that nobody should send, and too many of them.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use lab::Lab;
use lab::bfdpeer::{BfdPeer, packet};
use lab::daemons::frr::Frr;
use lab::wait::{self, PATIENCE};
use nix::sys::signal::Signal;

use crate::support::{NODE, NODE6, SWITCH, SWITCH6, discarded, http, session, start_agent, with_frr};

/// BGP by FRR, BFD by the script.
fn rack() -> Lab {
    let lab = with_frr();
    lab.stop("tor1", "bfdd", Signal::SIGTERM).unwrap();
    lab
}

fn wait_bfd_up(lab: &Lab, switch: &str) {
    wait::until_true(&format!("BFD with {switch} is up"), PATIENCE, || {
        Ok(session(lab, switch)?["status"] == "up")
    })
    .unwrap();
}

#[test]
fn every_bad_packet_is_dropped_counted_by_reason_and_changes_nothing() {
    for (node, switch, node_address) in [(NODE, SWITCH, NODE), (NODE6, SWITCH6, NODE6)] {
        let lab = rack();
        let frr = Frr::of(&lab, "tor1");
        let peer =
            BfdPeer::start(&lab.netns("tor1"), switch.parse().unwrap(), node.parse().unwrap()).unwrap();
        start_agent(&lab, &[switch], &["--bfd-min-tx=100", "--bfd-min-rx=100"]);
        wait_bfd_up(&lab, switch);
        frr.wait_established(node_address).unwrap();
        let then = frr.session(node_address).unwrap();

        let good = packet(3, peer.discriminator(), peer.remote_discriminator());
        let with = |index: usize, value: u8| {
            let mut bad = good.clone();
            bad[index] = value;
            bad
        };
        let discriminators = |mine: u32, yours: u32| packet(3, mine, yours);
        let mut authenticated = with(1, 0xc4);
        authenticated[3] = 32;
        authenticated.extend([1, 8, 7, b's', b'e', b'c', b'r', b'e']);
        let mine = peer.discriminator();
        let bad: Vec<(&str, Vec<u8>)> = vec![
            ("truncated", good[..23].to_vec()),
            ("version", with(0, 0x40)),
            ("length_too_small", with(3, 23)),
            ("length_exceeds_payload", with(3, 25)),
            ("zero_detect_mult", with(2, 0)),
            ("multipoint", with(1, 0xc1)),
            (
                "zero_my_discriminator",
                discriminators(0, peer.remote_discriminator()),
            ),
            ("unknown_your_discriminator", discriminators(mine, 1)),
            ("zero_your_discriminator", discriminators(mine, 0)),
            ("auth_unexpected", authenticated),
        ];
        for (reason, octets) in &bad {
            let before = discarded(&lab, reason).unwrap();
            peer.send(octets, 255).unwrap();
            wait::until_true(&format!("{reason} is counted"), PATIENCE, || {
                Ok(discarded(&lab, reason)? == before + 1)
            })
            .unwrap();
        }
        // What would take the session down if it came from the link: Down, forwarded once.
        let before = discarded(&lab, "ttl").unwrap();
        peer.send(&packet(1, mine, peer.remote_discriminator()), 254)
            .unwrap();
        wait::until_true("the TTL is counted", PATIENCE, || {
            Ok(discarded(&lab, "ttl")? == before + 1)
        })
        .unwrap();

        let ours = session(&lab, switch).unwrap();
        assert_eq!(ours["status"], "up");
        assert_eq!(ours["counters"]["session-down"], 0, "{ours}");
        assert!(frr.session(node_address).unwrap().is_still(&then));
    }
}

#[test]
fn a_flood_of_junk_flaps_nothing() {
    let lab = rack();
    let frr = Frr::of(&lab, "tor1");
    let _peer = BfdPeer::start(&lab.netns("tor1"), SWITCH.parse().unwrap(), NODE.parse().unwrap()).unwrap();
    start_agent(&lab, &[SWITCH], &["--bfd-min-tx=100", "--bfd-min-rx=100"]);
    wait_bfd_up(&lab, SWITCH);
    frr.wait_established(NODE).unwrap();
    let then = frr.session(NODE).unwrap();
    let junk = lab
        .netns("tor1")
        .enter(|| {
            let socket = UdpSocket::bind((SWITCH, 0))?;
            socket.set_ttl(255)?;
            socket.connect((NODE, 3784))?;
            Ok(socket)
        })
        .unwrap();
    let done = AtomicBool::new(false);
    let read = || -> u64 {
        let report = http(&lab, "/api/v1/bfd").unwrap();
        let reasons = report["thread"]["rx-discard"].as_object();
        reasons
            .into_iter()
            .flatten()
            .filter_map(|(_, count)| count.as_u64())
            .sum()
    };
    let sent = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for _ in 0..64 {
                    let taken = junk.send(&[0x20; 24]).is_ok();
                    sent.fetch_add(taken.into(), Ordering::Relaxed);
                }
                thread::yield_now();
            }
        });
        let enough = wait::until_true("a flood", PATIENCE, || {
            Ok(sent.load(Ordering::Relaxed) > 300_000 && read() > 1_000)
        });
        done.store(true, Ordering::Relaxed);
        enough.unwrap();
    });
    let ours = session(&lab, SWITCH).unwrap();
    assert_eq!(
        (&ours["status"], &ours["counters"]["session-down"]),
        (&"up".into(), &0.into()),
        "{ours}"
    );
    assert!(frr.session(NODE).unwrap().is_still(&then));
}

/// What the agent recorded of a failure is a capture that tshark reads.
#[test]
fn the_flight_recorder_writes_what_tshark_reads() {
    let lab = rack();
    let peer = BfdPeer::start(&lab.netns("tor1"), SWITCH.parse().unwrap(), NODE.parse().unwrap()).unwrap();
    start_agent(&lab, &[SWITCH], &["--bfd-min-tx=100", "--bfd-min-rx=100"]);
    wait_bfd_up(&lab, SWITCH);
    drop(peer);
    wait::until_true("the silence is noticed", PATIENCE, || {
        Ok(session(&lab, SWITCH)?["status"] == "down")
    })
    .unwrap();
    let binary = lab::daemons::twintor::binary().unwrap();
    let file = lab.dir().join("flight.pcapng");
    let args = [
        &*binary.to_string_lossy(),
        "explain",
        "bfd",
        SWITCH,
        "--pcap",
        &file.to_string_lossy(),
    ]
    .map(str::to_owned);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let told = lab.exec("node1", &args).unwrap();
    assert!(told.contains("detection_expired"), "{told}");
    let pcap = lab::capture::Pcap::read(file);
    let ours = pcap.count(&format!("ip.src == {NODE} && bfd.sta == 3")).unwrap();
    let theirs = pcap
        .count(&format!("ip.src == {SWITCH} && bfd.sta == 3 && ip.ttl == 255"))
        .unwrap();
    assert!(ours > 0 && theirs > 0, "{ours} {theirs}");
    assert_eq!(pcap.count("_ws.malformed").unwrap(), 0);
    assert!(pcap.count("frame.comment").unwrap() > 0);
}
