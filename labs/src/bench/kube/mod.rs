//! `cargo lab bench kube`: a cluster of many pods, a real API server, and two receivers as the switches.

mod busy;
mod latency;
mod usage;
mod world;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use self::busy::Busy;
use self::latency::Latency;
use self::usage::{Idle, Memory};
use self::world::World;
use crate::kube::ensure_apiserver;
use crate::{setup, state, testrun};

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// With how many pods in the background. Idleness and load are measured with the last number.
    pub pods: Vec<u32>,
    /// How many single changes are timed with each number of pods.
    pub samples: usize,
    /// For how long the idle agent is observed.
    pub idle: Duration,
    /// How many pods change in a second.
    pub rate: u32,
    /// For how long they change.
    pub busy: Duration,
}

/// The figures with one number of pods.
#[derive(Debug, Serialize)]
struct Figures {
    pods: u32,
    annotated: u32,
    memory: Memory,
    latency: Latency,
    idle: Option<Idle>,
    busy: Option<Busy>,
}

impl Plan {
    /// The same with small numbers, which say nothing about the limits.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.pods = vec![100, 2000];
        self.samples = self.samples.min(40);
        self.idle = self.idle.min(Duration::from_secs(10));
        self.busy = self.busy.min(Duration::from_secs(5));
        self
    }
}

/// Measures, prints a table with the limits beside the figures, and writes the figures beside the labs' state. Fails if a
/// route was lost; a limit that was missed is printed as such.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<ExitCode> {
    setup::machine(say)?;
    state::sweep()?;
    ensure_apiserver(say)?;
    say("building twintor (release)");
    let binary = testrun::build_agent_for_speed()?;
    let mut all = Vec::new();
    for (position, pods) in plan.pods.iter().enumerate() {
        say(&format!("measuring with {pods} pods"));
        let last = position + 1 == plan.pods.len();
        let figures = measure(plan, *pods, last, &binary, say);
        all.push(figures.with_context(|| format!("with {pods} pods"))?);
    }
    print(&all, plan, say);
    let file = state::root()?.join("bench-kube.json");
    fs::create_dir_all(state::root()?)?;
    fs::write(&file, serde_json::to_string_pretty(&all)?).context("write the figures")?;
    say(&format!("written to {}", file.display()));
    let lost = all.iter().filter_map(|figures| figures.busy.as_ref());
    Ok(match lost.map(Busy::wrong).sum::<usize>() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn measure(plan: &Plan, pods: u32, last: bool, binary: &Path, say: &mut dyn FnMut(&str)) -> Result<Figures> {
    let mut world = World::up(pods, binary)?;
    let memory = Memory::of(world.agent()?)?;
    let idle = match last {
        true => {
            say(&format!("doing nothing for {:?}", plan.idle));
            Some(Idle::observe(&mut world, plan.idle)?)
        }
        false => None,
    };
    say(&format!("timing {} changes", plan.samples));
    let latency = Latency::measure(&mut world, plan.samples)?;
    let busy = match last {
        true => {
            say(&format!("changing {} pods/s for {:?}", plan.rate, plan.busy));
            Some(Busy::measure(&mut world, plan.rate, plan.busy)?)
        }
        false => None,
    };
    Ok(Figures {
        pods,
        annotated: world.load.annotated(),
        memory,
        latency,
        idle,
        busy,
    })
}

fn print(all: &[Figures], plan: &Plan, say: &mut dyn FnMut(&str)) {
    say("");
    say(&format!("{:58} {:>12} {:>12}", "", "measured", "limit"));
    let mut row = |what: String, measured: f64, unit: &str, limit: Option<f64>| {
        let limit = match limit {
            None => String::new(),
            Some(limit) if measured <= limit => format!("{limit} {unit}"),
            Some(limit) => format!("{limit} {unit}   MISSED"),
        };
        say(&format!(
            "{what:58} {:>12} {limit:>12}",
            format!("{measured:.2} {unit}")
        ));
    };
    for Figures { pods, latency, .. } in all {
        let name = |what: &str| format!("{pods} pods: PATCH acknowledged to both wires, {what}");
        row(name("p50"), latency.acknowledged.p50, "ms", Some(5.0));
        row(name("p99"), latency.acknowledged.p99, "ms", Some(20.0));
        row(name("max"), latency.acknowledged.max, "ms", None);
        let name = |what: &str| format!("{pods} pods: PATCH sent to both wires, {what}");
        row(name("p50"), latency.sent.p50, "ms", None);
        row(name("p99"), latency.sent.p99, "ms", None);
    }
    for Figures {
        pods,
        memory,
        idle,
        busy,
        ..
    } in all
    {
        row(
            format!("{pods} pods: RSS after sync"),
            memory.rss_mib,
            "MiB",
            Some(64.0),
        );
        row(
            format!("{pods} pods: peak RSS up to then"),
            memory.peak_mib,
            "MiB",
            Some(96.0),
        );
        if let Some(idle) = idle {
            let name = format!("{pods} pods: idle for {} s, share of a core", plan.idle.as_secs());
            row(name, idle.core_percent, "%", Some(0.5));
        }
        let Some(busy) = busy else { continue };
        let name = |what: &str| format!("{pods} pods, {} changes/s: {what}", plan.rate);
        row(name("changes made per second"), busy.rate, "/s", None);
        row(
            name("routes lost or too many"),
            busy.wrong() as f64,
            "",
            Some(0.0),
        );
        row(name("last change to the exact set"), busy.settled_ms, "ms", None);
        row(name("share of a core"), busy.core_percent, "%", None);
        row(name("peak RSS"), busy.memory.peak_mib, "MiB", Some(96.0));
    }
}
