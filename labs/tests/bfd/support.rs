//! What the scenarios share.

use std::path::PathBuf;

use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::{Frr, Session};
use lab::daemons::twintor;
use lab::manifests::{Manifests, Pod};
use lab::wait::{self, PATIENCE};
use serde_json::Value;

pub(crate) const SWITCH: &str = "10.1.1.1";
pub(crate) const NODE: &str = "10.1.1.2";
pub(crate) const SWITCH6: &str = "fd00:1:1::1";
pub(crate) const NODE6: &str = "fd00:1:1::2";
pub(crate) const WEB: &str = "10.16.0.10/32";

/// One node and one switch, with a bridge between them, and nothing running.
pub(crate) fn bare() -> Lab {
    let builder = Lab::builder("single-tor").wires();
    builder.without(Role::Twintor).without(Role::Frr).up().unwrap()
}

/// One node and one FRR, with a bridge between them.
pub(crate) fn with_frr() -> Lab {
    Lab::builder("single-tor")
        .wires()
        .without(Role::Twintor)
        .up()
        .unwrap()
}

/// Has FRR run BFD with these neighbours at 50 ms x 3.
pub(crate) fn enable_bfd(frr: &Frr<'_>, neighbors: &[&str]) {
    let mut commands: Vec<String> = [
        "configure",
        "bfd",
        "profile fast",
        "detect-multiplier 3",
        "receive-interval 50",
        "transmit-interval 50",
        "exit",
        "exit",
        "router bgp 65030",
    ]
    .map(str::to_owned)
    .to_vec();
    for neighbor in neighbors {
        commands.push(format!("neighbor {neighbor} bfd"));
        commands.push(format!("neighbor {neighbor} bfd profile fast"));
    }
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    frr.vtysh_all(&commands).unwrap();
}

/// The arguments of an agent with BFD at 50 ms x 3.
pub(crate) fn args(lab: &Lab, neighbors: &[&str], extra: &[&str]) -> Vec<String> {
    let manifests = Manifests::at(lab.dir().join("objects")).unwrap();
    manifests
        .subnet("ovn-default", "10.16.0.0/16,fd00:10:16::/112", None)
        .unwrap();
    let web = Pod {
        name: "web",
        addresses: "10.16.0.10",
        node: "node1",
        policy: Some("true"),
    };
    manifests.pod(&web).unwrap();
    let family = |v6: bool| {
        let list = neighbors
            .iter()
            .copied()
            .filter(|address| address.contains(':') == v6);
        list.collect::<Vec<_>>().join(",")
    };
    let mut args = vec![
        "run".to_owned(),
        format!("--manifests={}", manifests.dir().display()),
        "--node-name=node1".to_owned(),
        "--cluster-as=65000".to_owned(),
        "--neighbor-as=65030".to_owned(),
        "--router-id=10.1.1.2".to_owned(),
        "--holdtime=9s".to_owned(),
        "--enable-bfd".to_owned(),
    ];
    if !extra.iter().any(|flag| flag.starts_with("--bfd-min")) {
        args.extend(["--bfd-min-tx=50".to_owned(), "--bfd-min-rx=50".to_owned()]);
    }
    for (flag, list) in [
        ("--neighbor-address", family(false)),
        ("--neighbor-ipv6-address", family(true)),
    ] {
        if !list.is_empty() {
            args.push(format!("{flag}={list}"));
        }
    }
    args.extend(extra.iter().map(|flag| (*flag).to_owned()));
    args
}

/// Starts an agent with BFD in node1.
pub(crate) fn start_agent(lab: &Lab, neighbors: &[&str], extra: &[&str]) {
    twintor::start(lab, "node1", args(lab, neighbors, extra)).unwrap();
}

/// What a command of the agent prints as JSON.
pub(crate) fn ask(lab: &Lab, words: &[&str]) -> anyhow::Result<Value> {
    let binary: PathBuf = twintor::binary()?;
    let binary = binary.to_string_lossy().into_owned();
    let mut all = vec![binary.as_str()];
    all.extend(words);
    all.extend(["-o", "json"]);
    Ok(serde_json::from_str(&lab.exec("node1", &all)?)?)
}

/// The agent's view of its BFD session with a switch, counters included.
pub(crate) fn session(lab: &Lab, switch: &str) -> anyhow::Result<Value> {
    let report = http(lab, "/api/v1/bfd")?;
    let mut peers = report["peers"].as_array().into_iter().flatten();
    let found = peers.find(|peer| peer["peer"] == switch).cloned();
    found.ok_or_else(|| anyhow::anyhow!("no BFD session with {switch}: {report}"))
}

/// What the agent has counted as not used, its sessions and what belongs to none together.
pub(crate) fn discarded(lab: &Lab, reason: &str) -> anyhow::Result<u64> {
    let report = http(lab, "/api/v1/bfd")?;
    let of_thread = report["thread"]["rx-discard"][reason]
        .as_u64()
        .unwrap_or_default();
    let sessions = report["peers"].as_array().into_iter().flatten();
    let of_sessions = sessions.filter_map(|peer| peer["counters"]["rx-discard"][reason].as_u64());
    Ok(of_thread + of_sessions.sum::<u64>())
}

/// A JSON document of the agent's HTTP server.
pub(crate) fn http(lab: &Lab, path: &str) -> anyhow::Result<Value> {
    use std::io::{Read as _, Write as _};
    let answer = lab.netns("node1").enter(|| {
        let mut stream = std::net::TcpStream::connect("127.0.0.1:10667")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: agent\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| anyhow::anyhow!("no HTTP answer: {answer}"))?;
    Ok(serde_json::from_str(body)?)
}

/// The last failure as the agent tells it.
pub(crate) fn story(lab: &Lab, switch: &str) -> Value {
    ask(lab, &["explain", "bfd", switch]).unwrap()
}

/// bfdd's status of the peer.
pub(crate) fn frr_bfd(frr: &Frr<'_>, peer: &str) -> anyhow::Result<String> {
    let peers = frr.json("show bfd peers json")?;
    let found = peers
        .as_array()
        .into_iter()
        .flatten()
        .find(|entry| entry["peer"] == peer);
    Ok(found
        .and_then(|entry| entry["status"].as_str())
        .unwrap_or("none")
        .to_owned())
}

/// Waits until BGP and BFD are up, as the switch sees it.
pub(crate) fn wait_up(frr: &Frr<'_>, peers: &[&str]) {
    for peer in peers {
        let what = format!("BGP and BFD with {peer} are up at the switch");
        wait::until_true(&what, PATIENCE, || {
            let session = frr.session(peer)?;
            let bfd = frr_bfd(frr, peer)?;
            anyhow::ensure!(
                session.state == "Established" && bfd == "up",
                "BGP {}, BFD {bfd}",
                session.state
            );
            Ok(true)
        })
        .unwrap();
    }
}

/// Waits until the switch has no session with the peer any more: it is another one than `before`, or none.
pub(crate) fn wait_lost(frr: &Frr<'_>, peer: &str, before: &Session) {
    let what = format!("the switch loses its session with {peer}");
    wait::until_true(&what, PATIENCE, || {
        let now = frr.session(peer)?;
        Ok(now.state != "Established" || now.established > before.established)
    })
    .unwrap();
}

/// Fails if the switch does not say that BFD ended its last session with the peer: it noticed itself, or was told.
pub(crate) fn assert_reset_by_bfd(frr: &Frr<'_>, peer: &str) {
    let answer = frr.json(&format!("show bgp neighbors {peer} json")).unwrap();
    let text = answer[peer].to_string();
    assert!(text.contains("BFD down") || text.contains("BFD Down"), "{text}");
}

/// The agent's log.
pub(crate) fn agent_log(lab: &Lab) -> String {
    lab.log("node1", twintor::DAEMON)
}

/// Waits until the agent has logged all of these words in one line.
pub(crate) fn wait_logged(lab: &Lab, words: &[&str]) {
    wait::until_true(&format!("the agent logs {words:?}"), PATIENCE, || {
        let log = agent_log(lab);
        Ok(log
            .lines()
            .any(|line| words.iter().all(|word| line.contains(word))))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", agent_log(lab)));
}
