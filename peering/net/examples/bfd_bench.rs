//! Measures the BFD thread between network namespaces of this machine. Needs root.
//!
//! ```text
//! cargo run --release -p twintor-net --example bfd_bench -- detect [CUTS] [INTERVAL_MS] [MULT]
//! cargo run --release -p twintor-net --example bfd_bench -- scale [SESSIONS] [INTERVAL_MS] [SECONDS]
//! cargo run --release -p twintor-net --example bfd_bench -- flood [PACKETS_PER_SECOND] [SECONDS]
//! cargo run --release -p twintor-net --example bfd_bench -- soak [SECONDS] [INTERVAL_MS] [MULT] [BURNERS]
//! ```
//!
//! `soak` runs without real-time priority.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]
#![allow(clippy::unwrap_used, reason = "a measurement that fails may end so")]

#[path = "../tests/bfd_support/mod.rs"]
mod bfd_support;

use std::fs;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bfd_support::{LEFT, RIGHT, Speaker, Wire, mult, spec};
use net::bfd::{BfdEvent, BfdLimits, BfdSpec};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let mut numbers = arguments.map(|argument| argument.parse::<u32>().expect("a number"));
    let mut next = |default| numbers.next().unwrap_or(default);
    match what.as_str() {
        "detect" => detect(next(100), next(50), next(3)),
        "scale" => scale(next(500), next(50), next(20)),
        "flood" => flood(next(100_000), next(20)),
        "soak" => soak(next(60), next(50), next(3), next(2)),
        _ => println!(
            "detect [CUTS] [INTERVAL_MS] [MULT] | scale [SESSIONS] [INTERVAL_MS] [SECONDS] | flood [PPS] [SECONDS] | soak [SECONDS] [INTERVAL_MS] [MULT] [BURNERS]"
        ),
    }
}

/// How long after the theoretical limit (arrival of the last packet, plus the Detection Time) a silent cut is noticed
/// by the thread, and by somebody whom it wakes.
fn detect(cuts: u32, interval: u32, multiplier: u32) {
    let wire = Wire::new();
    let interval = Duration::from_millis(interval.into());
    let timed = |peer| BfdSpec {
        desired_min_tx: interval,
        required_min_rx: interval,
        detect_mult: mult(multiplier.try_into().unwrap()),
        ..spec(1, peer)
    };
    let (wake, woken) = mpsc::sync_channel(1);
    let waker = move || {
        // Full means that the client will look anyway.
        let _ = wake.try_send(());
    };
    let (handle, thread) = wire
        .left
        .run(|| net::bfd::spawn(waker, BfdLimits::default()))
        .unwrap();
    handle.set(vec![timed(RIGHT)]);
    let _right = Speaker::start(&wire.right, &[timed(LEFT)]);

    let mut by_thread = Vec::new();
    let mut by_client = Vec::new();
    let mut events = Vec::new();
    let next = |events: &mut Vec<BfdEvent>| loop {
        if let Some(event) = events.pop() {
            return (event, Instant::now());
        }
        woken.recv_timeout(Duration::from_secs(30)).unwrap();
        handle.drain_events(events);
        events.reverse();
    };
    for _ in 0..cuts {
        while !matches!(next(&mut events).0, BfdEvent::Up { .. }) {}
        thread::sleep(10 * interval + interval.mul_f64(fastrand::f64()));
        wire.cut();
        let (down, told) = loop {
            if let (BfdEvent::Down(down), told) = next(&mut events) {
                break (down, told);
            }
        };
        wire.heal();
        let limit = down.detection_time.unwrap();
        let over = down
            .silent_for
            .unwrap()
            .checked_sub(limit)
            .expect("not premature");
        by_thread.push(over);
        by_client.push(over + told.saturating_duration_since(down.at));
    }
    println!("{cuts} silent cuts at {interval:?} x {multiplier}, beyond the theoretical limit:");
    print_percentiles("  declared by the thread", &mut by_thread);
    print_percentiles("  known to the client   ", &mut by_client);
    println!("  thread: {:?}", handle.snapshot().unwrap().thread.lateness);
    handle.stop();
    thread.join();
}

fn print_percentiles(what: &str, durations: &mut [Duration]) {
    durations.sort_unstable();
    let at = |percent: usize| durations[(durations.len() - 1) * percent / 100];
    println!(
        "{what}: p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, max {:.1?}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
}

/// What many sessions cost; both ends run here, each on its own thread.
fn scale(sessions: u32, interval: u32, seconds: u32) {
    let wire = Wire::new();
    let address = |host: u8, number: u32| format!("10.9{host}.{}.{}", number / 250, number % 250 + 1);
    for (namespace, device, host) in [(&wire.left, "west0", 1), (&wire.right, "east0", 2)] {
        for number in 0..sessions {
            namespace.ip(&format!("address add {}/9 dev {device}", address(host, number)));
        }
    }
    let interval = Duration::from_millis(interval.into());
    let specs = |here, there| -> Vec<BfdSpec> {
        let one = |number| BfdSpec {
            local: Some(address(here, number).parse().unwrap()),
            desired_min_tx: interval,
            required_min_rx: interval,
            ..spec(number.into(), &address(there, number))
        };
        (0..sessions).map(one).collect()
    };
    let mut left = Speaker::start(&wire.left, &specs(1, 2));
    let mut right = Speaker::start(&wire.right, &specs(2, 1));
    bfd_support::wait_for("all sessions", || {
        let up = left.snapshot().sessions;
        let up = up.iter().filter(|session| session.state == net::bfd::State::Up);
        (up.count() == sessions as usize).then_some(())
    });
    left.forget();
    right.forget();

    let (before, packets) = (cpu_of_threads("bfd"), received(&left));
    thread::sleep(Duration::from_secs(seconds.into()));
    let (after, more) = (cpu_of_threads("bfd"), received(&left) - packets);

    println!(
        "{sessions} sessions at {interval:?}, {} packets/s received",
        more / u64::from(seconds)
    );
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        let share = (*after - *before).as_secs_f64() / f64::from(seconds);
        println!("  thread {index}: {:.1} % of a core", share * 100.0);
    }
    for speaker in [&mut left, &mut right] {
        println!("  {:?}", speaker.snapshot().thread.lateness);
        speaker.assert_no_down();
    }
}

fn received(speaker: &Speaker) -> u64 {
    let sessions = speaker.snapshot().sessions;
    sessions.iter().map(|session| session.counters.received).sum()
}

/// User and system time of the threads of this process that have this name.
fn cpu_of_threads(name: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        if !head.ends_with(&format!("({name}")) {
            continue;
        }
        let fields: Vec<u64> = rest.split(' ').filter_map(|field| field.parse().ok()).collect();
        // After the state, which is no number: utime and stime are fields 14 and 15 of proc(5), in 1/100 s.
        times.push(Duration::from_millis(10 * (fields[10] + fields[11])));
    }
    times
}

/// Whether sessions survive busy neighbours, in the normal scheduling class.
fn soak(seconds: u32, interval: u32, multiplier: u32, burners: u32) {
    let wire = Wire::new();
    let interval = Duration::from_millis(interval.into());
    let timed = |peer| BfdSpec {
        desired_min_tx: interval,
        required_min_rx: interval,
        detect_mult: mult(multiplier.try_into().unwrap()),
        ..spec(1, peer)
    };
    let limits = BfdLimits {
        realtime_priority: None,
        ..BfdLimits::default()
    };
    let mut left = Speaker::start_with(&wire.left, &[timed(RIGHT)], limits);
    let mut right = Speaker::start_with(&wire.right, &[timed(LEFT)], limits);
    left.wait_up(1);
    right.wait_up(1);

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..burners {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        thread::sleep(Duration::from_secs(seconds.into()));
        done.store(true, Ordering::Relaxed);
    });

    println!("{seconds} s at {interval:?} x {multiplier} with {burners} burners, normal class:");
    for speaker in [&mut left, &mut right] {
        let thread = speaker.snapshot().thread;
        println!("  {:?}, {} local stalls", thread.lateness, thread.local_stalls);
        for event in speaker.fetch() {
            println!("  {event}");
        }
    }
}

/// What junk does to one session.
fn flood(per_second: u32, seconds: u32) {
    let wire = Wire::new();
    let mut left = Speaker::start(&wire.left, &[spec(1, RIGHT)]);
    let mut right = Speaker::start(&wire.right, &[spec(1, LEFT)]);
    left.wait_up(1);
    right.wait_up(1);
    let junk = wire.right.run(|| UdpSocket::bind((RIGHT, 0))).unwrap();
    socket2::SockRef::from(&junk).set_ttl_v4(255).unwrap();
    junk.connect((LEFT, 3784)).unwrap();

    let done = AtomicBool::new(false);
    let before = cpu_of_threads("bfd");
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let started = Instant::now();
            let mut sent = 0_u64;
            while !done.load(Ordering::Relaxed) {
                let due = (started.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
                for _ in sent..due {
                    let _ = junk.send(&[0x20; 24]);
                }
                sent = sent.max(due);
                thread::sleep(Duration::from_micros(200));
            }
            sent
        });
        thread::sleep(Duration::from_secs(seconds.into()));
        done.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    let after = cpu_of_threads("bfd");

    let thread = left.snapshot().thread;
    println!(
        "{} packets of junk per second for {seconds} s: {} read, {} dropped by the kernel",
        sent / u64::from(seconds),
        thread.unattributed.total(),
        thread.kernel_drops
    );
    let shares = before.iter().zip(&after);
    for (index, (before, after)) in shares.enumerate() {
        let share = (*after - *before).as_secs_f64() / f64::from(seconds);
        println!("  thread {index}: {:.1} % of a core", share * 100.0);
    }
    println!("  {:?}", thread.lateness);
    for speaker in [&mut left, &mut right] {
        let downs = speaker
            .fetch()
            .iter()
            .filter(|event| matches!(event, BfdEvent::Down(_)));
        println!("  downs: {}", downs.count());
    }
}
