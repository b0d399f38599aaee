//! BIRD as the switch.

use lab::Lab;
use lab::daemons::bird::Bird;
use lab::daemons::switch::Switch as _;
use lab::wait::{self, PATIENCE};

use crate::support::{NODE, NODE6, SWITCH, SWITCH6, bare, session, start_agent};

const TIMERS: &str = "min rx interval 50 ms; min tx interval 50 ms; idle tx interval 1 s; multiplier 3;";

fn bird(lab: &Lab, hops: &str) -> Bird {
    let protocol = |number: u8, local: &str, remote: &str, family: &str| {
        format!(
            "protocol bgp peer{number} {{ local {local} as 65030; neighbor {remote} as 65000; {hops}; bfd on; \
             hold time 9; connect delay time 1; connect retry time 2; error wait time 1, 2; \
             {family} {{ import all; export none; }}; }}\n"
        )
    };
    let config = format!(
        "log stderr all;\nrouter id 10.255.0.1;\nprotocol device {{}}\nprotocol direct {{ ipv4; ipv6; }}\n\
         protocol bfd {{ interface \"eth1\" {{ {TIMERS} }}; multihop {{ {TIMERS} }}; }}\n{}{}",
        protocol(0, SWITCH, NODE, "ipv4"),
        protocol(1, SWITCH6, NODE6, "ipv6"),
    );
    let peers = vec![NODE.parse().unwrap(), NODE6.parse().unwrap()];
    Bird::start_with(lab, "tor1", &config, peers).unwrap()
}

fn bfd_is_up(bird: &Bird, peer: &str) -> anyhow::Result<bool> {
    let shown = bird.birdc("show bfd sessions")?;
    Ok(shown
        .lines()
        .any(|line| line.starts_with(&format!("{peer} ")) && line.contains(" Up ")))
}

fn wait_up(bird: &Bird) {
    for peer in [NODE, NODE6] {
        wait::until_true(
            &format!("BGP and BFD with {peer} are up at BIRD"),
            PATIENCE,
            || Ok(bird.established(peer.parse()?)? && bfd_is_up(bird, peer)?),
        )
        .unwrap();
    }
}

fn cut_and_heal(lab: &Lab, bird: &Bird) {
    let link = lab.link("tor1", "node1").unwrap();
    link.cut_silently().unwrap();
    for peer in [NODE, NODE6] {
        wait::until_true("BIRD loses BGP", PATIENCE, || {
            Ok(!bird.established(peer.parse()?)?)
        })
        .unwrap();
    }
    for switch in [SWITCH, SWITCH6] {
        wait::until_true("we lose BFD", PATIENCE, || {
            Ok(session(lab, switch)?["status"] != "up")
        })
        .unwrap();
    }
    link.heal().unwrap();
    wait_up(bird);
}

#[test]
fn on_one_hop_in_both_families() {
    let lab = bare();
    let bird = bird(&lab, "direct");
    start_agent(&lab, &[SWITCH, SWITCH6], &[]);
    wait_up(&bird);
    cut_and_heal(&lab, &bird);
}

/// BIRD sends with a TTL of 64 over several hops, so as many hops have to be allowed.
#[test]
fn over_several_hops_in_both_families() {
    let lab = bare();
    let bird = bird(&lab, "multihop");
    start_agent(&lab, &[SWITCH, SWITCH6], &["--ebgp-multihop=200"]);
    wait_up(&bird);
    for switch in [SWITCH, SWITCH6] {
        let ours = session(&lab, switch).unwrap();
        assert_eq!(
            (&ours["multihop"], &ours["minimum-ttl"]),
            (&true.into(), &56.into()),
            "{ours}"
        );
    }
    cut_and_heal(&lab, &bird);
}
