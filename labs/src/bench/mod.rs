//! `cargo lab bench`: twintor and its peers side by side, on this machine, in this run.

pub mod bfd;
pub mod kube;
mod latency;
mod mrt;
mod receiver;
mod senders;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use self::latency::Latency;
use self::receiver::{Receiver, Tally};
pub use self::senders::Sender;
use crate::clab::Role;
use crate::rawpeer::OpenMessage;
use crate::{Lab, setup, state, testrun};

/// The receivers: where each lives, and what it connects to.
const RECEIVERS: [(&str, [u8; 4]); 2] = [("tor1", [10, 1, 1, 2]), ("tor2", [10, 1, 2, 2])];

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which senders.
    pub senders: Vec<Sender>,
    /// With how many host routes.
    pub counts: Vec<u32>,
    /// How often.
    pub rounds: usize,
    /// How many samples of the latency of a change.
    pub samples: usize,
    /// The longest that loading or one round may take.
    pub time_box: Duration,
}

/// A full table to two receivers.
#[derive(Debug, Clone, Serialize)]
struct Table {
    sender: String,
    routes: u32,
    /// From connect to the last prefix on the later receiver, in seconds: the median round and the extremes.
    seconds: f64,
    fastest: f64,
    slowest: f64,
    peak_rss_mib: f64,
    updates: u64,
    prefixes_per_update: f64,
    /// How many UPDATEs it takes at least, by how many there were.
    packing: f64,
}

#[derive(Debug, Serialize)]
struct Results {
    tables: Vec<Table>,
    /// Senders that did not make it, and why.
    missing: Vec<String>,
    latency: Option<Latency>,
}

/// Measures, prints a table, and writes the figures beside the labs' state.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<ExitCode> {
    setup::machine(say)?;
    state::sweep()?;
    let binary = plan.binary(say)?;
    let mut results = Results {
        tables: Vec::new(),
        missing: Vec::new(),
        latency: None,
    };
    for count in &plan.counts {
        for sender in &plan.senders {
            say(&format!("measuring {sender} with {count} routes"));
            match measure(*sender, *count, plan, &binary) {
                Ok(table) => results.tables.push(table),
                Err(error) => results
                    .missing
                    .push(format!("{sender} with {count} routes: {error:#}")),
            }
        }
    }
    if plan.samples > 0 {
        say(&format!("measuring the latency of {} changes", plan.samples));
        results.latency = Some(latency::measure(plan.samples, &binary)?);
    }
    print(&results, say);
    let file = state::root()?.join("bench.json");
    fs::create_dir_all(state::root()?)?;
    fs::write(&file, serde_json::to_string_pretty(&results)?).context("write the figures")?;
    say(&format!("written to {}", file.display()));
    Ok(if results.missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Plan {
    /// The agent's binary, built if anything here needs it.
    fn binary(&self, say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        if self.samples == 0 && !self.senders.contains(&Sender::Twintor) {
            return Ok(PathBuf::new());
        }
        say("building twintor (release)");
        testrun::build_agent_for_speed()
    }
}

fn measure(sender: Sender, count: u32, plan: &Plan, binary: &Path) -> Result<Table> {
    let lab = rack()?;
    sender.load(&lab, count, binary).context("load")?;
    // Not measured: it shows that everything is loaded, and lets every sender do its first-time work.
    round(&lab, count, plan.time_box).context("first round")?;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        rounds.push(round(&lab, count, plan.time_box)?);
    }
    let mut seconds = rounds.iter().map(|tallies| slower(tallies)).collect::<Vec<_>>();
    seconds.sort_by(f64::total_cmp);
    let tally = rounds
        .last()
        .and_then(|tallies| tallies.first())
        .context("no rounds")?;
    let least = tally.prefixes.div_ceil(tally.fit.max(1));
    Ok(Table {
        sender: sender.to_string(),
        routes: count,
        seconds: seconds[seconds.len() / 2],
        fastest: seconds[0],
        slowest: seconds[seconds.len() - 1],
        peak_rss_mib: sender.peak_memory(&lab)? as f64 / f64::from(1 << 20),
        updates: tally.updates,
        prefixes_per_update: tally.prefixes as f64 / tally.updates as f64,
        packing: least as f64 / tally.updates as f64,
    })
}

/// The rack of the measurements: two routed links, and nothing running yet.
fn rack() -> Result<Lab> {
    Lab::builder("dual-tor")
        .without(Role::Frr)
        .without(Role::Twintor)
        .up()
}

fn open() -> OpenMessage {
    OpenMessage {
        asn: 65030,
        hold: 180,
        id: [10, 255, 0, 1].into(),
        families: vec![(1, 1)],
    }
}

/// Both receivers connect at once and read everything.
fn round(lab: &Lab, count: u32, time_box: Duration) -> Result<Vec<Tally>> {
    thread::scope(|scope| {
        let threads = RECEIVERS.map(|(switch, node)| {
            scope.spawn(move || {
                let mut receiver = Receiver::connect(&lab.netns(switch), node.into(), &open())?;
                receiver.receive(u64::from(count), time_box)
            })
        });
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a receiver panicked"))?)
            .collect()
    })
}

fn slower(tallies: &[Tally]) -> f64 {
    let took = |tally: &Tally| tally.last.duration_since(tally.connected).as_secs_f64();
    tallies.iter().map(took).fold(0.0, f64::max)
}

fn print(results: &Results, say: &mut dyn FnMut(&str)) {
    say("");
    say("full table to two receivers: connect to last prefix, median of the rounds (fastest - slowest)");
    say(&format!(
        "{:9} {:>8} {:>9} {:>19} {:>8} {:>10} {:>8} {:>8} {:>8} {:>8}",
        "sender", "routes", "seconds", "", "x", "peak MiB", "x", "UPDATEs", "per UPD", "packing"
    ));
    for table in &results.tables {
        let ours = results
            .tables
            .iter()
            .find(|other| other.sender == "twintor" && other.routes == table.routes);
        let ratio = |theirs: f64, ours: Option<f64>| {
            ours.map_or_else(|| "-".into(), |ours| format!("{:.1}", theirs / ours))
        };
        say(&format!(
            "{:9} {:>8} {:>9.4} {:>19} {:>8} {:>10.1} {:>8} {:>8} {:>8.0} {:>7.1}%",
            table.sender,
            table.routes,
            table.seconds,
            format!("({:.4} - {:.4})", table.fastest, table.slowest),
            ratio(table.seconds, ours.map(|ours| ours.seconds)),
            table.peak_rss_mib,
            ratio(table.peak_rss_mib, ours.map(|ours| ours.peak_rss_mib)),
            table.updates,
            table.prefixes_per_update,
            table.packing * 100.0
        ));
    }
    for missing in &results.missing {
        say(&format!("missing: {missing}"));
    }
    if let Some(latency) = &results.latency {
        say("");
        say("a change of a manifest to the UPDATE on both wires, in milliseconds");
        say(&latency.to_string());
    }
}
