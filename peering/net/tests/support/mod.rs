//! Network namespaces, deadlines and kernel counters for tests against the real kernel.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use net::{Listener, TcpOptions, connect, finish_connect};
use nix::sched::{CloneFlags, setns};

/// How long anything may take on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A network namespace with loopback up, deleted when dropped.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace `tnet-PID-N`.
    ///
    /// # Panics
    ///
    /// Without root.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces and needs root: run `cargo lab test`"
        );
        let name = format!(
            "tnet-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        ip(&format!("netns add {name}"));
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip ARGUMENTS` in the namespace.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        ip(&format!("-n {} {arguments}", self.name))
    }

    /// Connects two namespaces with a veth pair; both ends are named by the caller and down.
    pub(crate) fn veth(&self, end: &str, other: &Self, other_end: &str) {
        self.ip(&format!(
            "link add {end} type veth peer name {other_end} netns {}",
            other.name
        ));
    }

    /// Runs `work` on a thread inside the namespace. Sockets made there stay there.
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

    /// Like [`Namespace::run`], with a tokio runtime whose tasks run on a thread of their own, also inside.
    pub(crate) fn run_async<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        self.run(|| {
            let name = self.name.clone();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .on_thread_start(move || enter(&name))
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(work())
        })
    }

    /// Waits until a counter of `/proc/net/netstat` has grown, does `work` in between.
    pub(crate) fn counts<T>(&self, name: &str, work: impl FnOnce() -> T) -> T {
        let before = self.counter(name);
        let result = work();
        wait_for(format!("growth of {name}"), || {
            (self.counter(name) > before).then_some(())
        });
        result
    }

    /// A counter of `/proc/net/netstat`, e.g. `TCPMinTTLDrop`.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let text = self.run(|| fs::read_to_string("/proc/thread-self/net/netstat").expect("read netstat"));
        let lines: Vec<&str> = text.lines().collect();
        lines
            .chunks(2)
            .find_map(|pair| {
                let names = pair.first()?.split_whitespace();
                let values = pair.get(1)?.split_whitespace();
                names
                    .zip(values)
                    .find_map(|(column, value)| (column == name).then(|| value.parse().ok())?)
            })
            .unwrap_or_else(|| panic!("no counter {name}"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Two namespaces with one link: `left` is 10.9.0.1 and fd09::1 on `west0`, `right` 10.9.0.2 and fd09::2 on
/// `east0`. Link-local addresses are fe80::1 and fe80::2.
pub(crate) struct Pair {
    pub(crate) left: Namespace,
    pub(crate) right: Namespace,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (left, right) = (Namespace::new(), Namespace::new());
        left.veth("west0", &right, "east0");
        for (namespace, device, host) in [(&left, "west0", 1), (&right, "east0", 2)] {
            namespace.ip(&format!("link set {device} addrgenmode none"));
            namespace.ip(&format!("address add 10.9.0.{host}/24 dev {device}"));
            namespace.ip(&format!("address add fd09::{host}/64 dev {device} nodad"));
            namespace.ip(&format!("address add fe80::{host}/64 dev {device} nodad"));
        }
        left.ip("link set west0 up");
        right.ip("link set east0 up");
        Self { left, right }
    }
}

/// Asks again and again until there is an answer.
///
/// # Panics
///
/// After [`DEADLINE`].
pub(crate) fn wait_for<T>(what: impl Display, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no {what} within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Connects and waits for the end of the handshake.
pub(crate) fn connected(peer: SocketAddr, options: &TcpOptions) -> TcpStream {
    let stream = connect(peer, options).expect("start to connect");
    wait_for(format!("connection to {peer}"), || {
        finish_connect(&stream).expect("connect").then_some(())
    });
    stream
}

/// Waits for a connection to take.
pub(crate) fn accepted(listener: &Listener) -> (TcpStream, SocketAddr) {
    wait_for("connection to accept", || listener.accept().expect("accept"))
}

/// Sends four octets and waits until the other end has read them.
pub(crate) fn pass(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"open").expect("write");
    let mut octets = [0; 4];
    wait_for("four octets", || match to.read_exact(&mut octets) {
        Ok(()) => Some(()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("read: {error}"),
    });
    assert_eq!(octets, *b"open");
}

/// Whether there is nothing to read.
pub(crate) fn silent(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn enter(namespace: &str) {
    let file = File::open(format!("/run/netns/{namespace}")).expect("open the namespace");
    setns(file, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("run ip");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
