//! What nobody should send, what nobody should do to the process, and interfaces that are pulled away.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod bfd_support;

use std::io::{BufRead, BufReader, Lines, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bfd_support::{LEFT, LEFT6, Namespace, RIGHT, RIGHT6, Speaker, Wire, enter, ip, mult, spec, wait_for};
use net::bfd::{BfdEvent, BfdSpec, Discard, State};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::SockRef;

/// A Control packet in state Down, which takes a session that believes it down.
fn down_packet(my: u32, your: u32) -> [u8; 24] {
    let mut packet = [0; 24];
    packet[..4].copy_from_slice(&[0x20, 0x40, 3, 24]);
    packet[4..8].copy_from_slice(&my.to_be_bytes());
    packet[8..12].copy_from_slice(&your.to_be_bytes());
    for at in [12, 16] {
        packet[at..at + 4].copy_from_slice(&1_000_000_u32.to_be_bytes());
    }
    packet
}

/// A socket that sends with this TTL or hop limit.
fn sender(namespace: &Namespace, from: &str, ttl: u8) -> UdpSocket {
    let socket = namespace
        .run(|| UdpSocket::bind(SocketAddr::new(ip(from), 0)))
        .unwrap();
    let options = SockRef::from(&socket);
    if ip(from).is_ipv4() {
        options.set_ttl_v4(ttl.into()).unwrap();
    } else {
        options.set_unicast_hops_v6(ttl.into()).unwrap();
    }
    socket
}

#[test]
fn packet_that_has_crossed_a_router_is_not_believed() {
    let wire = Wire::new();
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT), spec(2, RIGHT6)]);
    let _right = Speaker::start(&wire.right, &[spec(1, LEFT), spec(2, LEFT6)]);
    wait_for("both sessions", || (left.is_up(1) && left.is_up(2)).then_some(()));

    for (key, from, to) in [(1, RIGHT, LEFT), (2, RIGHT6, LEFT6)] {
        left.forget();
        let session = left.session(key);
        let packet = down_packet(
            session.remote.discriminator.unwrap().get(),
            session.local_discriminator.get(),
        );
        let to = SocketAddr::new(ip(to), 3784);
        for ttl in [1, 64, 254] {
            sender(&wire.right, from, ttl).send_to(&packet, to).unwrap();
        }
        wait_for("three discards", || {
            (left.session(key).counters.discarded(Discard::Ttl) == 3).then_some(())
        });
        left.assert_no_down();

        // The same packet from the link is believed: the test above was about the TTL and nothing else.
        sender(&wire.right, from, 255).send_to(&packet, to).unwrap();
        left.wait_down(key);
    }
}

#[test]
fn strangers_and_nonsense_are_counted() {
    let wire = Wire::new();
    wire.right.ip("address add 10.8.0.9/24 dev east0");
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT)]);
    let _right = Speaker::start(&wire.right, &[spec(1, LEFT)]);
    left.wait_up(1);

    let to = SocketAddr::new(ip(LEFT), 3784);
    let stranger = sender(&wire.right, "10.8.0.9", 255);
    let mut zero_mult = down_packet(5, 0);
    zero_mult[2] = 0;
    for packet in [
        &down_packet(5, 0)[..],
        &down_packet(5, 6),
        &zero_mult,
        b"",
        &[0xff; 1000],
    ] {
        stranger.send_to(packet, to).unwrap();
    }

    wait_for("discards", || {
        let counted = left.snapshot().thread.unattributed;
        let reasons = [
            Discard::NoSession,
            Discard::UnknownYourDiscriminator,
            Discard::ZeroDetectMult,
            Discard::Truncated,
            Discard::Version,
        ];
        reasons
            .iter()
            .all(|reason| counted.of(*reason) == 1)
            .then_some(())
    });
    let (address, interface) = left.snapshot().thread.last_unknown.unwrap();
    assert_eq!(address, stranger.local_addr().unwrap());
    assert!(interface.is_some());
    left.assert_no_down();
}

#[test]
fn flood_of_junk_flaps_nothing() {
    const PER_SECOND: u32 = 100_000;
    let wire = Wire::new();
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT)]);
    let mut right = Speaker::start(&wire.right, &[spec(1, LEFT)]);
    left.wait_up(1);
    right.wait_up(1);

    let done = AtomicBool::new(false);
    let (sent, took) = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&wire.right, PER_SECOND, &done));
        left.wait_packets(1, 100);
        right.wait_packets(1, 100);
        done.store(true, Ordering::Relaxed);
        flood.join().unwrap()
    });

    let thread = left.snapshot().thread;
    println!(
        "{sent} packets of junk in {took:.1?}: {} dropped by the kernel, lateness p99 {:?} max {:?}",
        thread.kernel_drops,
        thread.lateness.percentile(99.0),
        thread.lateness.max()
    );
    assert!(thread.unattributed.total() > 10_000);
    left.assert_no_down();
    right.assert_no_down();
}

/// Sends junk of several kinds until it is done; says how much and in which time.
fn flood(from: &Namespace, per_second: u32, done: &AtomicBool) -> (u32, Duration) {
    let socket = sender(from, RIGHT, 255);
    socket.connect((LEFT, 3784)).unwrap();
    let kinds = [
        &[0xff; 64][..],
        &down_packet(5, 6),
        &down_packet(5, 0)[..20],
        b"x",
    ];
    let started = Instant::now();
    let mut sent = 0;
    while !done.load(Ordering::Relaxed) {
        let due = (started.elapsed().as_secs_f64() * f64::from(per_second)) as u32;
        for number in sent..due.min(sent + 1_000) {
            // A full queue is no reason to stop.
            let _ = socket.send(kinds[number as usize % kinds.len()]);
        }
        sent = sent.max(due.min(sent + 1_000));
        thread::yield_now();
    }
    (sent, started.elapsed())
}

#[test]
fn interface_is_replaced_under_a_passive_session() {
    let wire = Wire::new();
    let passive = BfdSpec {
        passive: true,
        device: Some("west0".to_owned()),
        ..spec(1, RIGHT)
    };
    let mut left = Speaker::start(&wire.left, &[passive]);
    let mut right = Speaker::start(&wire.right, &[spec(1, LEFT)]);
    left.wait_up(1);
    right.wait_up(1);
    right.stop();
    left.wait_down(1);

    wire.replace_left();
    // Nothing but looking can tell a session that does not send.
    wait_for("silence", || {
        (left.session(1).transmit_interval.is_none()).then_some(())
    });
    right = Speaker::start(&wire.right, &[spec(1, LEFT)]);

    left.wait_up(1);
    right.wait_up(1);
}

#[test]
fn interface_is_replaced_under_a_session_that_is_up() {
    let wire = Wire::new();
    let bound = BfdSpec {
        device: Some("west0".to_owned()),
        // So that the session outlives the change.
        required_min_rx: Duration::from_secs(2),
        detect_mult: mult(100),
        ..spec(1, RIGHT)
    };
    let mut left = Speaker::start(&wire.left, &[bound]);
    let mut right = Speaker::start(&wire.right, &[spec(1, LEFT)]);
    left.wait_up(1);
    right.wait_up(1);

    wire.replace_left();

    left.wait_packets(1, 3);
    right.wait_packets(1, 50);
    left.assert_no_down();
    right.assert_no_down();
}

/// A speaker in a process of its own, which can be stopped and continued.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(namespace: &Namespace, mult: u8) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "speaker_in_a_process", "--ignored", "--nocapture"])
            .env("SPEAKER_NAMESPACE", namespace.name())
            .env("SPEAKER_MULT", mult.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// What it tells until then.
    fn told_until(&mut self, text: &str) -> Vec<String> {
        let mut told = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            let found = line.contains(text);
            told.push(line);
            if found {
                return told;
            }
        }
        panic!("no {text}: {told:#?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the other process of the tests below"]
fn speaker_in_a_process() {
    let Ok(namespace) = std::env::var("SPEAKER_NAMESPACE") else {
        return;
    };
    let detect_mult = mult(std::env::var("SPEAKER_MULT").unwrap().parse().unwrap());
    enter(&namespace);
    let (handle, thread) = net::bfd::spawn(|| {}, net::bfd::BfdLimits::default()).unwrap();
    let spec = BfdSpec {
        detect_mult,
        ..spec(1, RIGHT)
    };
    handle.set(vec![spec]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().read(&mut [0]);
            done.store(true, Ordering::Relaxed);
        });
        let mut events = Vec::new();
        while !done.load(Ordering::Relaxed) {
            handle.drain_events(&mut events);
            for event in events.drain(..) {
                println!("{event:?}");
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    handle.stop();
    thread.join();
}

/// Stops the process until the other end has sent so many packets.
fn stall(process: &Process, right: &Speaker, packets: u64) {
    let sent = || right.session(1).counters.transmitted;
    let before = sent();
    process.signal(Signal::SIGSTOP);
    wait_for("packets into the void", || {
        (sent() >= before + packets).then_some(())
    });
    process.signal(Signal::SIGCONT);
}

#[test]
fn stall_of_the_process_is_told_and_takes_nothing_down() {
    let wire = Wire::new();
    // The other end bears 5 s of silence.
    let mut process = Process::start(&wire.left, 100);
    let mut right = Speaker::start(&wire.right, &[spec(1, LEFT)]);
    process.told_until("Up {");
    right.wait_up(1);
    right.wait_packets(1, 5);

    stall(&process, &right, 20);

    let told = process.told_until("LocalStall");
    assert!(!told.iter().any(|line| line.contains("Down(")), "{told:#?}");
    right.wait_packets(1, 20);
    right.assert_no_down();
    drop(process.child.stdin.take());
    let rest: Vec<String> = process.lines.by_ref().map(Result::unwrap).collect();
    let downs = rest.iter().filter(|line| line.contains("Down("));
    assert!(
        downs.clone().all(|line| line.contains("LocalAdminDown")),
        "{rest:#?}"
    );
}

#[test]
fn other_end_that_gave_up_during_our_stall_is_not_blamed() {
    let wire = Wire::new();
    let mut process = Process::start(&wire.left, 3);
    let mut right = Speaker::start(&wire.right, &[spec(1, LEFT)]);
    process.told_until("Up {");
    right.wait_up(1);

    process.signal(Signal::SIGSTOP);
    right.wait_down(1);
    wait_for("state Down to be sent", || {
        (right.session(1).state == State::Down).then_some(())
    });
    process.signal(Signal::SIGCONT);

    let told = process.told_until("Down(").pop().unwrap();
    assert!(told.contains("cause: RemoteDown"), "{told}");
    assert!(told.contains("local_stall: true"), "{told}");
    let up = |event: &BfdEvent| matches!(event, BfdEvent::Up { .. }).then_some(());
    right.wait("Up again", up);
}
