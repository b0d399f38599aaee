//! From a change of a manifest to the UPDATE on both wires.

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use super::receiver::Receiver;
use super::senders::start_twintor;
use super::{RECEIVERS, open, rack};
use crate::manifests::{Manifests, Pod};

const DEADLINE: Duration = Duration::from_secs(20);

/// The distribution of the latencies, in milliseconds, on the later of the two wires.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    samples: usize,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
    /// The median of the time between the two wires.
    apart: f64,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            samples,
            p50,
            p90,
            p99,
            max,
            apart,
        } = self;
        write!(
            f,
            "twintor   p50 {p50:.2}   p90 {p90:.2}   p99 {p99:.2}   max {max:.2}   "
        )?;
        write!(f, "between the wires {apart:.2}   ({samples} samples)")
    }
}

/// Announces and withdraws in turn, at random moments.
pub(super) fn measure(samples: usize, binary: &Path) -> Result<Latency> {
    let lab = rack()?;
    let manifests = Manifests::at(lab.dir().join("objects"))?;
    manifests.subnet("ovn-default", "10.32.0.0/11", None)?;
    let pod = |policy| Pod {
        name: "web",
        addresses: "10.32.0.1",
        node: "node1",
        policy,
    };
    manifests.pod(&pod(Some("true")))?;
    start_twintor(&lab, &manifests, binary)?;
    let [one, other] =
        RECEIVERS.map(|(switch, node)| Receiver::connect(&lab.netns(switch), node.into(), &open()));
    let mut receivers = [one?, other?];
    for receiver in &mut receivers {
        receiver.receive(1, DEADLINE).context("the first announcement")?;
    }
    let mut slower = Vec::new();
    let mut apart = Vec::new();
    for number in 0..samples {
        // Random, so that nothing periodic in the speaker can hide.
        thread::sleep(Duration::from_micros(fastrand::u64(5_000..60_000)));
        let policy = (number % 2 == 1).then_some("true");
        let (asked, seen) = thread::scope(|scope| {
            let threads = receivers
                .each_mut()
                .map(|receiver| scope.spawn(|| receiver.next_change(DEADLINE)));
            let asked = Instant::now();
            let written = manifests.pod(&pod(policy));
            let seen = threads.map(|thread| thread.join().map_err(|_| anyhow!("a receiver panicked"))?);
            written.map(|()| (asked, seen))
        })?;
        let [one, other] = seen;
        let [one, other] = [one?, other?].map(|at| at.duration_since(asked).as_secs_f64() * 1000.0);
        slower.push(one.max(other));
        apart.push((one - other).abs());
    }
    slower.sort_by(f64::total_cmp);
    apart.sort_by(f64::total_cmp);
    Ok(Latency {
        samples,
        p50: percentile(&slower, 50),
        p90: percentile(&slower, 90),
        p99: percentile(&slower, 99),
        max: percentile(&slower, 100),
        apart: percentile(&apart, 50),
    })
}

/// The smallest sample that so many per cent of all do not exceed.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let position = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(position.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}
