//! The configuration file: what each switch sees of it, and of its changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lab::Lab;
use lab::clab::Role;
use lab::daemons::frr::{Frr, Session};
use lab::daemons::twintor;
use lab::wait::{self, PATIENCE};
use serde_json::Value;

use crate::support::{WEB, WEB_V4};

const HEAD: &str = "apiVersion: twintor.io/v1alpha1\nkind: SpeakerConfig\n";

/// One AS and one password for each switch, as the racks of `dual-tor` have after [`two_fabrics`].
const FILE: &str = "localAs: 65000
routerId: 10.1.1.2
defaults: {holdTime: 9s}
planes:
- {name: a, neighbors: [10.1.1.1], as: 65030}
- {name: b, neighbors: [10.1.2.1], as: 65040, passwordFile: tor2}
";

/// An agent on node1 of `dual-tor` with a directory of its own that is mounted as ConfigMaps are.
struct Configured {
    lab: Lab,
    dir: PathBuf,
    socket: String,
}

impl Configured {
    fn start(file: &str) -> Self {
        let lab = Lab::builder("dual-tor").without(Role::Twintor).up().unwrap();
        two_fabrics(&lab);
        let dir = lab.dir().join("mounted");
        fs::create_dir_all(&dir).unwrap();
        let socket = dir.with_file_name("control.sock").display().to_string();
        let this = Self { lab, dir, socket };
        this.mount(&[("config.yaml", file), ("tor2", "correct-horse\n")]);
        let manifests = crate::support::manifests(&this.lab);
        manifests.pod(&WEB).unwrap();
        let args = vec![
            "run".to_owned(),
            format!("--manifests={}", manifests.dir().display()),
            "--node-name=node1".to_owned(),
            format!("--config={}", this.dir.join("config.yaml").display()),
            format!("--control-socket={}", this.socket),
        ];
        twintor::start(&this.lab, "node1", args).unwrap();
        this
    }

    /// Swaps all files at once, as kubelet does.
    fn mount(&self, files: &[(&str, &str)]) {
        let data = self.dir.join("..data");
        let version = (1..)
            .map(|number| format!("..v{number}"))
            .find(|name| !self.dir.join(name).exists())
            .unwrap();
        fs::create_dir(self.dir.join(&version)).unwrap();
        for (name, text) in files {
            let text = if text.contains("planes:") {
                format!("{HEAD}{text}")
            } else {
                (*text).to_owned()
            };
            fs::write(self.dir.join(&version).join(name), text).unwrap();
            let link = self.dir.join(name);
            if !link.is_symlink() {
                symlink(Path::new("..data").join(name), link).unwrap();
            }
        }
        let new = self.dir.join("..data_tmp");
        symlink(version, &new).unwrap();
        fs::rename(new, data).unwrap();
    }

    fn change(&self, file: &str) {
        self.mount(&[("config.yaml", file), ("tor2", "correct-horse\n")]);
    }

    fn twintor(&self, words: &[&str]) -> (i32, String) {
        let binary = twintor::binary().unwrap();
        let mut command = self.lab.netns("node1").command(&binary.to_string_lossy());
        let output = command.args(words).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    /// What `twintor plan --check` says of a file, as (neighbour, verdict), and its exit code.
    fn plan(&self, file: &str) -> (i32, Vec<(String, String)>) {
        let new = self
            .lab
            .write("node1", "new.yaml", &format!("{HEAD}{file}"))
            .unwrap();
        let new = new.display().to_string();
        let args = [
            "plan",
            "--config",
            &new,
            "--control-socket",
            &self.socket,
            "--check",
            "-o",
            "json",
        ];
        let (code, text) = self.twintor(&args);
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let sessions = answer["sessions"].as_array().unwrap().iter();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let words = sessions.map(|session| (word(&session["neighbor"]), word(&session["verdict"])));
        (code, words.collect())
    }

    fn status(&self) -> Value {
        let (_, text) = self.twintor(&["status", "-o", "json"]);
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Waits until the file of that hash is in force, whatever hash that is.
    fn wait_for_config(&self, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, PATIENCE, || {
            let config = self.status()["config"].clone();
            Ok(done(&config).then_some(config))
        })
        .unwrap()
    }

    fn sessions(&self) -> [Session; 2] {
        let of = |switch, node| Frr::of(&self.lab, switch).session(node).unwrap();
        [of("tor1", "10.1.1.2"), of("tor2", "10.1.2.2")]
    }

    fn wait_announced(&self) {
        Frr::of(&self.lab, "tor1")
            .wait_installed(WEB_V4, &["10.1.1.2"])
            .unwrap();
        Frr::of(&self.lab, "tor2")
            .wait_installed(WEB_V4, &["10.1.2.2"])
            .unwrap();
    }
}

/// Gives tor2 an AS of its own, and a password for node1.
fn two_fabrics(lab: &Lab) {
    let commands = [
        "configure terminal",
        "no router bgp 65030",
        "router bgp 65040",
        "bgp router-id 10.255.0.2",
        "no bgp ebgp-requires-policy",
        "timers bgp 3 9",
        "neighbor 10.1.2.2 remote-as 65000",
        "neighbor 10.1.2.2 timers connect 2",
        "neighbor 10.1.2.2 password correct-horse",
    ];
    Frr::of(lab, "tor2").vtysh_all(&commands).unwrap();
}

fn pair(a: &str, b: &str) -> Vec<(String, String)> {
    let of = |neighbor: &str, verdict: &str| (neighbor.to_owned(), verdict.to_owned());
    vec![of("10.1.1.1", a), of("10.1.2.1", b)]
}

fn still(after: &Session, before: &Session) {
    assert!(
        after.is_still(before),
        "a session was reset: {before:?}, then {after:?}"
    );
}

#[test]
fn each_plane_has_an_as_and_a_password_of_its_own() {
    let node = Configured::start(FILE);
    node.wait_announced();
    let paths = Frr::of(&node.lab, "tor2").bgp_paths(WEB_V4).unwrap();
    assert_eq!(paths[0].as_path, "65000");
    let config = node.status()["config"].clone();
    assert_eq!(config["error"], Value::Null);
    assert_eq!(config["hash"].as_str().map(str::len), Some(64));
    let log = node.lab.log("node1", twintor::DAEMON);
    assert!(!log.contains("correct-horse") && !node.status().to_string().contains("correct-horse"));
}

#[test]
fn a_reload_does_what_plan_says_and_touches_nothing_else() {
    let node = Configured::start(FILE);
    node.wait_announced();
    let before = node.sessions();
    let first = node.status()["config"]["hash"].clone();

    // Soft: tor2 sees the communities, and nobody loses a session.
    let soft = FILE.replace(
        "passwordFile: tor2",
        "passwordFile: tor2, communities: [65000:100], med: 7",
    );
    assert_eq!(node.plan(&soft), (0, pair("unchanged", "soft")));
    assert_eq!(node.status()["config"]["hash"], first, "plan changes nothing");
    node.change(&soft);
    let tor2 = Frr::of(&node.lab, "tor2");
    wait::until_true("tor2 sees community and MED", PATIENCE, || {
        let path = tor2.json(&format!("show bgp ipv4 unicast {WEB_V4} json"))?["paths"][0].clone();
        Ok(path["community"]["string"] == "65000:100" && path["metric"] == 7)
    })
    .unwrap();
    let after = node.sessions();
    still(&after[0], &before[0]);
    still(&after[1], &before[1]);
    node.wait_for_config("the new file is in force", |config| config["hash"] != first);

    // Reset: plane b gets another hold time, plane a notices nothing.
    let reset = soft.replace("med: 7", "med: 7, holdTime: 12s");
    assert_eq!(node.plan(&reset), (1, pair("unchanged", "reset")));
    node.change(&reset);
    wait::until_true("tor2 has a new session", PATIENCE, || {
        let session = tor2.session("10.1.2.2")?;
        Ok(session.state == "Established" && session.established == before[1].established + 1)
    })
    .unwrap();
    node.wait_announced();
    still(&node.sessions()[0], &before[0]);

    // The password alone: a file beside the configuration.
    assert_eq!(node.plan(&reset), (0, pair("unchanged", "unchanged")));
    tor2.vtysh_all(&[
        "configure terminal",
        "router bgp 65040",
        "neighbor 10.1.2.2 password battery-staple",
    ])
    .unwrap();
    node.mount(&[("config.yaml", &reset), ("tor2", "battery-staple\n")]);
    wait::until_true("tor2 has a session with the new password", PATIENCE, || {
        let session = tor2.session("10.1.2.2")?;
        Ok(session.state == "Established" && session.established > before[1].established + 1)
    })
    .unwrap();
    node.wait_announced();
    still(&node.sessions()[0], &before[0]);
}

#[test]
fn a_broken_file_keeps_everything_and_is_told_once() {
    let node = Configured::start(FILE);
    node.wait_announced();
    let before = node.sessions();
    let hash = node.status()["config"]["hash"].clone();
    let broken = FILE.replace("as: 65040", "as: 0");
    node.change(&broken);
    let config = node.wait_for_config("the error is told", |config| config["error"].is_string());
    let error = config["error"].as_str().unwrap();
    assert!(
        error.contains("config.yaml:8:") && error.contains("planes[1].as: \"0\" is reserved"),
        "{error}"
    );
    assert_eq!(config["hash"], hash);
    // Said again, it is no news.
    node.change(&broken);
    let (code, text) = node.twintor(&["status", "--check"]);
    assert!(
        code == 1 && text.contains("the changed configuration is not in force"),
        "{text}"
    );
    node.change(FILE);
    node.wait_for_config("the file is good again", |config| config["error"].is_null());
    let log = node.lab.log("node1", twintor::DAEMON);
    assert_eq!(
        log.matches("the new configuration cannot be used").count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("the configuration can be used again").count(),
        1,
        "{log}"
    );
    let after = node.sessions();
    still(&after[0], &before[0]);
    still(&after[1], &before[1]);
    node.wait_announced();
}

#[test]
fn another_policy_takes_over_without_withdrawing_what_stays() {
    let node = Configured::start(FILE);
    node.wait_announced();
    let manifests = crate::support::manifests(&node.lab);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s, annotations: {ovn.kubernetes.io/bgp: yes}}\n\
                   spec: {clusterIP: 10.96.0.7}\n";
    manifests.write("service.yaml", service).unwrap();
    let before = node.sessions();
    let tor1 = Frr::of(&node.lab, "tor1");
    // FRR counts every UPDATE and withdrawal it gets: what stays must not be said again.
    let messages = || {
        tor1.json("show bgp neighbors 10.1.1.2 json").unwrap()["10.1.1.2"]["messageStats"]["updatesRecv"]
            .clone()
    };
    let updates = messages().as_u64().unwrap();
    node.change(&format!("{FILE}announce: {{services: {{clusterIPs: true}}}}\n"));
    let has = |prefixes: &[&str]| {
        wait::until_true(&format!("tor1 has {prefixes:?}"), PATIENCE, || {
            Ok(tor1.bgp_prefixes("ipv4")? == prefixes)
        })
        .unwrap();
    };
    has(&[WEB_V4, "10.96.0.7/32"]);
    assert_eq!(messages(), updates + 1, "one UPDATE for the one that is new");
    node.change(FILE);
    has(&[WEB_V4]);
    assert_eq!(messages(), updates + 2, "one withdrawal for the one that goes");
    assert_eq!(node.sessions()[0].established, before[0].established);
}

#[test]
fn racks_with_their_own_as_numbers_share_a_file() {
    let file = "defaults: {holdTime: 9s, as: 65030}
planes:
- {name: a, neighbors: [10.1.1.1]}
- {name: b, neighbors: [10.1.2.1], passwordFile: tor2}
nodes:
- match: {names: [\"node?\"]}
  localAs: 65000
- match: {labels: {rack: r1}}
  planes: [{name: b, as: 65040}]
";
    let lab_node = "apiVersion: v1\nkind: Node\nmetadata: {name: node1, labels: {rack: r1}}\n";
    let node = Configured::start(file);
    // Nothing is started with the AS numbers of another rack.
    wait::until_true("the agent waits for the labels", PATIENCE, || {
        Ok(node
            .lab
            .log("node1", twintor::DAEMON)
            .contains("no session is started before the labels of the node are known"))
    })
    .unwrap();
    crate::support::manifests(&node.lab)
        .write("node.yaml", lab_node)
        .unwrap();
    node.wait_announced();
    let before = node.sessions();
    // Another label means another AS on plane b only.
    crate::support::manifests(&node.lab)
        .write("node.yaml", &lab_node.replace("r1", "r2"))
        .unwrap();
    wait::until_true("plane b has the AS of the other rack", PATIENCE, || {
        let sessions = &node.status()["planes"][1]["sessions"];
        Ok(sessions[0]["remote_as"] == 65030)
    })
    .unwrap();
    still(&node.sessions()[0], &before[0]);
    crate::support::manifests(&node.lab)
        .write("node.yaml", lab_node)
        .unwrap();
    node.wait_announced();
    // Without its Node, the last labels stay.
    fs::remove_file(crate::support::manifests(&node.lab).dir().join("node.yaml")).unwrap();
    wait::until_true("the loss is told", PATIENCE, || {
        Ok(node
            .lab
            .log("node1", twintor::DAEMON)
            .contains("its last labels stay"))
    })
    .unwrap();
    node.wait_announced();
}
