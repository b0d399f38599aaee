//! Prints the way to each peer and every change of it, with the time since the start and the CPU time used.
//!
//! ```text
//! cargo run --release -p twintor-net --example path_watch -- 10.0.0.1 fd00::1 fe80::1%eth0
//! ```

#![allow(clippy::print_stdout, reason = "printing is what it does")]

use std::error::Error;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use net::netlink::{PathWatch, Target};
use nix::time::ClockId;
use tokio::time::interval;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let peers = std::env::args()
        .skip(1)
        .map(|text| target(&text))
        .collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let (mut paths, _task) = PathWatch::spawn(peers);

    let mut every_second = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            update = paths.recv() => {
                let Some((target, path)) = update else { return Ok(()) };
                println!("{:9.3} s {} {path:?}", start.elapsed().as_secs_f64(), target.peer);
            }
            _ = every_second.tick() => {
                let cpu = Duration::from(ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?);
                println!("{:9.3} s {:.1} ms of CPU", start.elapsed().as_secs_f64(), cpu.as_secs_f64() * 1e3);
            }
        }
    }
}

/// `ADDRESS` or `ADDRESS%INTERFACE`.
fn target(text: &str) -> Result<Target, std::net::AddrParseError> {
    let (peer, interface) = match text.split_once('%') {
        Some((peer, interface)) => (peer, Some(interface.to_owned())),
        None => (text, None),
    };
    let peer: IpAddr = peer.parse()?;
    Ok(Target {
        peer,
        interface,
        source: None,
    })
}
