//! Namespaces with a wire that can be cut, and speakers in them.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod foreign;

use std::fmt::Display;
use std::fs::File;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use net::bfd::{
    BfdDown, BfdEvent, BfdHandle, BfdLimits, BfdSessionStatus, BfdSnapshot, BfdSpec, BfdThread, Hop, State,
    spawn,
};
use nix::sched::{CloneFlags, setns};

/// How long anything may take on a loaded machine. Sessions come up in about two seconds on an idle one.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A network namespace with loopback up, deleted when dropped.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace `tbfd-PID-N`.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces and needs root: run `cargo lab test`"
        );
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tbfd-{}-{count}", std::process::id());
        run(&format!("ip netns add {name}"));
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip ARGUMENTS` in the namespace.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        run(&format!("ip -n {} {arguments}", self.name))
    }

    /// Runs a command in the namespace.
    pub(crate) fn exec(&self, command: &str) -> String {
        run(&format!("ip netns exec {} {command}", self.name))
    }

    /// A command that will run in the namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs `work` on a thread inside the namespace. Sockets and threads made there stay there.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter(&self.name);
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Two namespaces with a wire: `left` is 10.8.0.1 and fd08::1 on `west0`, `right` 10.8.0.2 and fd08::2 on `east0`.
/// Link-local addresses are fe80::1 and fe80::2. Cutting the wire leaves both interfaces up.
pub(crate) struct Wire {
    pub(crate) left: Namespace,
    pub(crate) right: Namespace,
    middle: Namespace,
}

pub(crate) const LEFT: &str = "10.8.0.1";
pub(crate) const RIGHT: &str = "10.8.0.2";
pub(crate) const LEFT6: &str = "fd08::1";
pub(crate) const RIGHT6: &str = "fd08::2";

impl Wire {
    pub(crate) fn new() -> Self {
        let (left, middle, right) = (Namespace::new(), Namespace::new(), Namespace::new());
        middle.ip("link add bridge0 type bridge");
        middle.ip("link set bridge0 up");
        let wire = Self { left, right, middle };
        wire.attach(&wire.left, "west0", "port1", 1);
        wire.attach(&wire.right, "east0", "port2", 2);
        wire
    }

    /// Takes the interface of the left end away and puts another one of the same name in its place.
    pub(crate) fn replace_left(&self) {
        self.left.ip("link delete west0");
        self.attach(&self.left, "west0", "port1", 1);
    }

    fn attach(&self, end: &Namespace, device: &str, port: &str, host: u8) {
        end.ip(&format!(
            "link add {device} type veth peer name {port} netns {}",
            self.middle.name()
        ));
        self.middle.ip(&format!("link set {port} master bridge0 up"));
        end.ip(&format!("link set {device} addrgenmode none"));
        end.ip(&format!("address add 10.8.0.{host}/24 dev {device}"));
        end.ip(&format!("address add fd08::{host}/64 dev {device} nodad"));
        end.ip(&format!("address add fe80::{host}/64 dev {device} nodad"));
        end.ip(&format!("link set {device} up"));
    }

    /// Cuts the wire; nobody notices but BFD.
    pub(crate) fn cut(&self) {
        self.middle.ip("link set port1 nomaster");
    }

    pub(crate) fn heal(&self) {
        self.middle.ip("link set port1 master bridge0");
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(what: impl Display, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no {what} within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A BFD thread in a namespace.
pub(crate) struct Speaker {
    handle: Option<BfdHandle>,
    thread: Option<BfdThread>,
    /// Everything it has told, in order.
    pub(crate) events: Vec<BfdEvent>,
}

impl Speaker {
    pub(crate) fn start(namespace: &Namespace, specs: &[BfdSpec]) -> Self {
        Self::start_with(namespace, specs, BfdLimits::default())
    }

    pub(crate) fn start_with(namespace: &Namespace, specs: &[BfdSpec], limits: BfdLimits) -> Self {
        let (handle, thread) = namespace.run(|| spawn(|| {}, limits)).expect("start");
        handle.set(specs.to_vec());
        Self {
            handle: Some(handle),
            thread: Some(thread),
            events: Vec::new(),
        }
    }

    pub(crate) fn handle(&self) -> &BfdHandle {
        self.handle.as_ref().expect("running")
    }

    pub(crate) fn snapshot(&self) -> BfdSnapshot {
        self.handle().snapshot().expect("the thread runs")
    }

    /// The session with this key.
    pub(crate) fn session(&self, key: u64) -> BfdSessionStatus {
        let mut sessions = self.snapshot().sessions.into_iter();
        sessions.find(|session| session.key == key).expect("session")
    }

    /// Fetches what is new.
    pub(crate) fn fetch(&mut self) -> &[BfdEvent] {
        let before = self.events.len();
        self.handle
            .as_ref()
            .expect("running")
            .drain_events(&mut self.events);
        &self.events[before..]
    }

    /// Forgets what was told until now.
    pub(crate) fn forget(&mut self) {
        self.fetch();
        self.events.clear();
    }

    /// Waits for an event that was not told before.
    pub(crate) fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&BfdEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = self.fetch().iter().find_map(&mut pick) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "no {what} within {DEADLINE:?}; told: {:#?}; {:#?}",
                self.events,
                self.handle().snapshot()
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn wait_up(&mut self, key: u64) {
        self.wait("Up", |event| {
            matches!(event, BfdEvent::Up { key: up, .. } if *up == key).then_some(())
        });
    }

    pub(crate) fn wait_down(&mut self, key: u64) -> BfdDown {
        self.wait("Down", |event| {
            let BfdEvent::Down(down) = event else { return None };
            (down.key == key).then_some(*down)
        })
    }

    /// Waits for an event, and gives its text.
    pub(crate) fn wait_text(&mut self, what: &str, pick: impl Fn(&BfdEvent) -> bool) -> String {
        self.wait(what, |event| pick(event).then(|| event.to_string()))
    }

    /// Waits until the session has taken part in `count` more exchanges: proof that time has passed for it.
    pub(crate) fn wait_packets(&self, key: u64, count: u64) {
        let before = self.session(key).counters.received;
        wait_for("packets", || {
            (self.session(key).counters.received >= before + count).then_some(())
        });
    }

    /// That the session never left Up.
    pub(crate) fn assert_no_down(&mut self) {
        self.fetch();
        let downs: Vec<_> = self
            .events
            .iter()
            .filter(|event| matches!(event, BfdEvent::Down(_)))
            .collect();
        assert!(downs.is_empty(), "{downs:#?}");
    }

    pub(crate) fn is_up(&self, key: u64) -> bool {
        self.session(key).state == State::Up
    }

    /// Stops it and waits for its end.
    pub(crate) fn stop(mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop();
        }
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        drop(self.handle.take());
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

/// A single-hop session at 50 ms × 3 without anything special.
pub(crate) fn spec(key: u64, peer: &str) -> BfdSpec {
    BfdSpec {
        key,
        peer: ip(peer),
        local: None,
        device: None,
        desired_min_tx: Duration::from_millis(50),
        required_min_rx: Duration::from_millis(50),
        detect_mult: mult(3),
        hop: Hop::Single,
        passive: false,
        auth: None,
        control_plane_independent: false,
    }
}

pub(crate) fn mult(mult: u8) -> NonZeroU8 {
    NonZeroU8::new(mult).expect("not zero")
}

pub(crate) fn ip(address: &str) -> IpAddr {
    address.parse().expect("address")
}

pub(crate) fn enter(namespace: &str) {
    let file = File::open(format!("/run/netns/{namespace}")).expect("open the namespace");
    setns(file, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
}

pub(crate) fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().expect("program"))
        .args(words)
        .output()
        .expect("run");
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
