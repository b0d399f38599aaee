//! FRR and BIRD in a namespace.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Namespace, wait_for};

/// `bfdd` with the `zebra` that it needs.
pub(crate) struct Frr {
    directory: Directory,
    zebra: Daemon,
    pub(crate) bfdd: Daemon,
}

impl Frr {
    /// Starts both with this configuration, and waits until they answer.
    pub(crate) fn start(namespace: &Namespace, config: &str) -> Self {
        let directory = Directory::new();
        directory.write("zebra.conf", "hostname switch\n");
        directory.write("bfdd.conf", &format!("hostname switch\n{config}"));
        run("chown", &["-R", "frr:frr", &directory.path("")]);
        let start = |name: &str, more: &[&str]| {
            let mut command = namespace.command(&format!("/usr/lib/frr/{name}"));
            command
                .args(["-f", &directory.path(&format!("{name}.conf"))])
                .args(["-i", &directory.path(&format!("{name}.pid"))])
                .args(["-z", &directory.path("zserv.api")])
                .args(["--vty_socket", &directory.path(""), "-P", "0"])
                .args(["--log", &format!("file:{}", directory.path("log"))])
                .args(more);
            Daemon::start(command)
        };
        let zebra = start("zebra", &[]);
        wait_for("zebra", || directory.exists("zserv.api").then_some(()));
        let bfdd = start("bfdd", &["--bfdctl", &directory.path("bfdd.sock")]);
        let frr = Self {
            directory,
            zebra,
            bfdd,
        };
        wait_for("bfdd", || frr.try_show("show bfd peers json"));
        frr
    }

    /// Runs commands of the shell, one after the other.
    pub(crate) fn vtysh(&self, commands: &[&str]) -> String {
        let output = self.shell(commands);
        assert!(output.status.success(), "{commands:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The entry of a peer in a list.
    pub(crate) fn peer(&self, list: &str, peer: &str, multihop: bool) -> Value {
        let all = self.try_show(list).expect("json");
        let mut all = all.as_array().expect("array").iter();
        let found = all.find(|entry| entry["peer"] == peer && entry["multihop"] == multihop);
        found.cloned().expect("peer")
    }

    /// `status` of a peer.
    pub(crate) fn status(&self, peer: &str, multihop: bool) -> String {
        let peer = self.peer("show bfd peers json", peer, multihop);
        peer["status"].as_str().expect("status").to_owned()
    }

    fn try_show(&self, command: &str) -> Option<Value> {
        serde_json::from_slice(&self.shell(&[command]).stdout).ok()
    }

    fn shell(&self, commands: &[&str]) -> std::process::Output {
        let mut shell = Command::new("vtysh");
        shell.args(["--vty_socket", &self.directory.path("")]);
        for command in commands {
            shell.args(["-c", command]);
        }
        shell.stderr(Stdio::null()).output().expect("vtysh")
    }
}

/// `bird` with a BFD protocol.
pub(crate) struct Bird {
    directory: Directory,
    pub(crate) daemon: Daemon,
}

impl Bird {
    /// Starts it with this configuration of the BFD protocol, and waits until it answers.
    pub(crate) fn start(namespace: &Namespace, config: &str) -> Self {
        let directory = Directory::new();
        directory.write(
            "bird.conf",
            &format!("router id 10.8.0.2;\nprotocol device {{}}\nprotocol bfd {{\n{config}\n}}\n"),
        );
        let mut command = namespace.command("/usr/sbin/bird");
        command
            .args(["-f", "-c", &directory.path("bird.conf")])
            .args(["-s", &directory.path("bird.ctl")]);
        let daemon = Daemon::start(command);
        let bird = Self { directory, daemon };
        wait_for("bird", || bird.directory.exists("bird.ctl").then_some(()));
        bird
    }

    /// Whether `show bfd sessions` lists the peer as up.
    pub(crate) fn is_up(&self, peer: &str) -> bool {
        let output = Command::new("birdc")
            .args(["-s", &self.directory.path("bird.ctl"), "show", "bfd", "sessions"])
            .output()
            .expect("birdc");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines();
        lines.any(|line| line.starts_with(&format!("{peer} ")) && line.contains(" Up "))
    }
}

/// A child that is killed when dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    fn start(mut command: Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("start"))
    }

    /// `ip netns exec` has become the daemon, so the signal is for the daemon.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().try_into().expect("pid"));
        kill(pid, signal).expect("signal");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Deleted when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tbfd-{}-{count}", std::process::id()));
        fs::create_dir(&path).expect("directory");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("text").to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("write");
    }

    fn exists(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("run");
    assert!(status.success(), "{program} {arguments:?}");
}
