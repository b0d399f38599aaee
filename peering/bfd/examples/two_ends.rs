//! Two sessions in one process, with a clock that only this program moves: they come up, one of them asks for a
//! shorter interval, and then the link between them is cut.
//!
//! The order of the calls in `turn` is the one that a thread with real sockets keeps, too.

#![allow(clippy::print_stdout, reason = "an example has something to show")]

use std::num::{NonZeroU8, NonZeroU32};
use std::time::{Duration, Instant};

use bfd::{Event, MAX_PACKET_LEN, PacketMeta, Reaction, Session, SessionConfig, TRANSMIT_TTL, reaction};

const NAMES: [&str; 2] = ["node", "switch"];
const MULT: NonZeroU8 = NonZeroU8::new(3).unwrap();

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let mut ends = Vec::new();
    for discriminator in [0x0a, 0x0b] {
        let discriminator = NonZeroU32::new(discriminator).ok_or("zero")?;
        let interval = Duration::from_millis(300);
        let config = SessionConfig::new(discriminator, interval, interval, MULT)?;
        ends.push(Session::new(config, start, discriminator.get().into()));
    }
    let mut sockets: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];

    let mut now = start;
    while now < start + Duration::from_secs(12) {
        if now == start + Duration::from_secs(5) {
            println!(
                "{:>6} ms  (both ends want packets every 50 ms)",
                (now - start).as_millis()
            );
            for end in &mut ends {
                end.set_intervals(Duration::from_millis(50), Duration::from_millis(50), now)?;
            }
        }
        let cut = now >= start + Duration::from_secs(10);
        if now == start + Duration::from_secs(10) {
            println!("{:>6} ms  (the link is cut)", (now - start).as_millis());
        }
        for this in [0, 1] {
            let received = std::mem::take(&mut sockets[this]);
            let sent = turn(&mut ends[this], received, NAMES[this], start, now);
            if !cut {
                sockets[1 - this].extend(sent);
            }
        }
        now += Duration::from_millis(1);
    }
    Ok(())
}

/// One turn of the loop around a session.
fn turn(
    session: &mut Session,
    received: Vec<Vec<u8>>,
    name: &str,
    start: Instant,
    now: Instant,
) -> Vec<Vec<u8>> {
    for payload in received {
        // With sockets: TTL and kernel timestamp from the ancillary data.
        let meta = PacketMeta {
            ttl: TRANSMIT_TTL,
            received_at: now,
        };
        if let Err(reason) = session.handle_packet(&payload, meta, now) {
            println!("{name} dropped a packet: {reason}");
        }
    }
    session.handle_timeout(now);
    let mut sent = Vec::new();
    let mut buf = [0; MAX_PACKET_LEN];
    while let Some(len) = session.poll_transmit(now, &mut buf) {
        sent.push(buf[..len].to_vec());
    }
    while let Some(event) = session.poll_event() {
        let at = (now - start).as_millis();
        let Event::StateChanged(change) = event else {
            println!(
                "{at:>6} ms  {name:<7} {event:?}, detection time {:?}",
                session.detection_time()
            );
            continue;
        };
        let (from, to, cause) = (change.from.label(), change.to.label(), change.cause.label());
        println!("{at:>6} ms  {name:<7} {from} -> {to} ({cause})");
        if let Reaction::TearDown { .. } = reaction(&change) {
            println!("{at:>6} ms  {name:<7} takes its BGP session down");
        }
    }
    sent
}
