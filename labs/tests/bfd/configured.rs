//! What the section `bfd:` of the configuration file does, and what a change of it does to a session that is up.

use std::fs;

use lab::Lab;
use lab::daemons::bird::Bird;
use lab::daemons::frr::Frr;
use lab::daemons::switch::Switch;
use lab::daemons::twintor;
use lab::manifests::Manifests;
use lab::wait::{self, PATIENCE};

use crate::support::{NODE, SWITCH, agent_log, ask, bare, discarded, enable_bfd, session, wait_up, with_frr};

/// Writes the configuration, so that it is there at once as a whole.
fn configure(lab: &Lab, bfd: &str) {
    let text = format!(
        "apiVersion: twintor.io/v1alpha1\nkind: SpeakerConfig\nlocalAs: 65000\nrouterId: {NODE}\n\
         defaults: {{as: 65030, holdTime: 9s}}\nplanes:\n- {{name: a, neighbors: [{SWITCH}], bfd: {bfd}}}\n"
    );
    let new = lab.dir().join("config.new");
    fs::write(&new, text).unwrap();
    fs::rename(new, lab.dir().join("config.yaml")).unwrap();
}

fn start(lab: &Lab, bfd: &str) {
    configure(lab, bfd);
    let manifests = Manifests::at(lab.dir().join("objects")).unwrap();
    let args = vec![
        "run".to_owned(),
        format!("--manifests={}", manifests.dir().display()),
        "--node-name=node1".to_owned(),
        format!("--config={}", lab.dir().join("config.yaml").display()),
    ];
    twintor::start(lab, "node1", args).unwrap();
}

/// Nobody but us has to read them.
fn keys(lab: &Lab) {
    use std::os::unix::fs::PermissionsExt as _;
    for (name, key) in [
        ("right", "tomato\n"),
        ("wrong", "potato\n"),
        ("next", "cucumber\n"),
    ] {
        let file = lab.dir().join(name);
        fs::write(&file, key).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// BIRD with the key `tomato`, that also takes `cucumber`.
fn bird(lab: &Lab, authentication: &str) -> Bird {
    let config = format!(
        "log stderr all;\nrouter id 10.255.0.1;\nprotocol device {{}}\nprotocol direct {{ ipv4; }}\n\
         protocol bfd {{ interface \"eth1\" {{ min rx interval 50 ms; min tx interval 50 ms; idle tx interval 1 s; \
         multiplier 3; authentication {authentication}; password \"tomato\" {{ id 1; }}; password \"cucumber\" {{ id 2; }}; \
         }}; }}\n\
         protocol bgp peer0 {{ local {SWITCH} as 65030; neighbor {NODE} as 65000; direct; bfd on; hold time 9; connect \
         delay time 1; connect retry time 2; error wait time 1, 2; ipv4 {{ import all; export none; }}; }}\n"
    );
    Bird::start_with(lab, "tor1", &config, vec![NODE.parse().unwrap()]).unwrap()
}

fn wait_bfd_up(lab: &Lab) {
    wait::until_true("BFD is up", PATIENCE, || {
        Ok(session(lab, SWITCH)?["status"] == "up")
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", agent_log(lab)));
}

#[test]
fn keys_are_checked_counted_and_rolled_over_without_a_flap() {
    for (ours, birds) in [("meticulous-sha1", "meticulous keyed sha1"), ("simple", "simple")] {
        let lab = bare();
        keys(&lab);
        let bird = bird(&lab, birds);
        let with = |rest: &str| format!("{{minTx: 50ms, minRx: 50ms, auth: {{type: {ours}, {rest}}}}}");
        start(&lab, &with("keyId: 1, keyFile: wrong"));
        wait::until_true("packets with another key are counted", PATIENCE, || {
            Ok(discarded(&lab, "auth_digest")? > 2)
        })
        .unwrap_or_else(|error| panic!("{ours}: {error:#}\n{:?}", session(&lab, SWITCH)));
        assert_eq!(session(&lab, SWITCH).unwrap()["status"], "down", "{ours}");

        configure(&lab, &with("keyId: 1, keyFile: right"));
        wait_bfd_up(&lab);
        wait::until_true("BIRD is up", PATIENCE, || bird.established(NODE.parse()?)).unwrap();

        let sent = || session(&lab, SWITCH).unwrap()["counters"]["control-packet-output"].as_u64();
        configure(
            &lab,
            &with("keyId: 2, keyFile: next, accept: [{keyId: 1, keyFile: right}]"),
        );
        crate::support::wait_logged(&lab, &["BFD authentication", SWITCH]);
        let then = sent().unwrap();
        // More than three detection times with the new key.
        wait::until_true("packets are sent", PATIENCE, || Ok(sent() > Some(then + 10))).unwrap();
        let now = session(&lab, SWITCH).unwrap();
        assert_eq!(
            (&now["status"], &now["counters"]["session-down"]),
            (&"up".into(), &0.into()),
            "{ours}: {now}"
        );
        assert!(bird.established(NODE.parse().unwrap()).unwrap());
        let log = agent_log(&lab);
        for key in ["tomato", "potato", "cucumber"] {
            assert!(!log.contains(key), "{log}");
        }
    }
}

#[test]
fn timers_are_changed_while_the_session_is_up() {
    let lab = with_frr();
    let frr = Frr::of(&lab, "tor1");
    enable_bfd(&frr, &[NODE]);
    start(&lab, "{minTx: 50ms, minRx: 50ms}");
    wait_up(&frr, &[NODE]);
    let then = frr.session(NODE).unwrap();
    configure(&lab, "{minTx: 200ms, minRx: 300ms, multiplier: 5}");
    wait::until_true("FRR has the new timers", PATIENCE, || {
        let peers = frr.json("show bfd peers json")?;
        let seen = [
            "remote-transmit-interval",
            "remote-receive-interval",
            "remote-detect-multiplier",
        ]
        .map(|field| peers[0][field].as_u64());
        anyhow::ensure!(seen == [Some(200), Some(300), Some(5)], "{seen:?}");
        Ok(true)
    })
    .unwrap();
    assert!(frr.session(NODE).unwrap().is_still(&then));
    let now = session(&lab, SWITCH).unwrap();
    assert_eq!(
        (&now["status"], &now["counters"]["session-down"]),
        (&"up".into(), &0.into()),
        "{now}"
    );
}

#[test]
fn in_strict_mode_bgp_waits_for_bfd_and_says_so() {
    let lab = with_frr();
    let frr = Frr::of(&lab, "tor1");
    enable_bfd(&frr, &[NODE]);
    let block = "add table ip hold; add chain ip hold input { type filter hook input priority 0; }; \
                 add rule ip hold input udp dport 3784 drop";
    lab.exec("node1", &["nft", block]).unwrap();
    start(&lab, "{minTx: 50ms, minRx: 50ms, strict: true}");
    wait::until_true("the status says what BGP waits for", PATIENCE, || {
        let status = ask(&lab, &["status"])?.to_string();
        anyhow::ensure!(status.contains("strict"), "{status}");
        Ok(true)
    })
    .unwrap();
    assert_ne!(frr.session(NODE).unwrap().state, "Established");
    lab.exec("node1", &["nft", "delete table ip hold"]).unwrap();
    wait_up(&frr, &[NODE]);
}
