//! From a change at the API server to the UPDATE on both wires.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use serde_json::json;

use super::world::World;
use crate::bench::latency::percentile;
use crate::kube::{Kind, scale};
use crate::manifests::BGP;

const DEADLINE: Duration = Duration::from_secs(20);

/// A pod that is not annotated at first.
const POD: u32 = 1;

/// The time until the later of the two wires had the UPDATE.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    /// From the moment when the API server's answer to the PATCH had been read. A client with more to do before it asks
    /// (kubectl starts, reads its cache, gets the object) does that before this moment. An UPDATE may well be there first:
    /// then it is 0.
    pub(super) acknowledged: Distribution,
    /// From just before the request, connection and TLS included.
    pub(super) sent: Distribution,
}

/// In milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Distribution {
    samples: usize,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Latency {
    /// Annotates a pod and takes the annotation away in turn, at random moments.
    pub(super) fn measure(world: &mut World, samples: usize) -> Result<Self> {
        let client = world.cluster.client()?;
        let path = Kind::named("Pod")?.path("default", &scale::name(POD));
        let (mut acknowledged, mut sent) = (Vec::new(), Vec::new());
        for number in 0..samples {
            // Random, so that nothing periodic in the speaker can hide.
            thread::sleep(Duration::from_micros(fastrand::u64(5_000..60_000)));
            let value = number.is_multiple_of(2).then_some("true");
            let patch = json!({ "metadata": { "annotations": { BGP: value } } });
            let (asked, answered, seen) = thread::scope(|scope| {
                let threads = world
                    .receivers
                    .each_mut()
                    .map(|receiver| scope.spawn(|| receiver.next_change(DEADLINE)));
                let asked = Instant::now();
                let reply = client.patch(&path, &patch);
                let answered = Instant::now();
                let seen = threads.map(|thread| thread.join().map_err(|_| anyhow!("a receiver panicked"))?);
                reply?.ok().context("annotate a pod")?;
                anyhow::Ok((asked, answered, seen))
            })?;
            let [one, other] = seen;
            let later = one?.max(other?);
            let since = |moment| later.saturating_duration_since(moment).as_secs_f64() * 1000.0;
            acknowledged.push(since(answered));
            sent.push(since(asked));
        }
        Ok(Self {
            acknowledged: Distribution::of(acknowledged),
            sent: Distribution::of(sent),
        })
    }
}

impl Distribution {
    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self {
            samples: samples.len(),
            p50: percentile(&samples, 50),
            p99: percentile(&samples, 99),
            max: percentile(&samples, 100),
        }
    }
}
