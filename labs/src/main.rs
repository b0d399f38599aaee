//! The lab runner, called through `cargo lab`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its user"
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use lab::bench::bfd::{Burden, Part};
use lab::bench::{self, Plan, Sender};
use lab::clab::Role;
use lab::helm::Chart;
use lab::state::{self, Record};
use lab::{Lab, demo, image, kube, netns::Netns, setup, shipped, testrun};

/// Racks in network namespaces: real switches' daemons, the built twintor, and no container engine needed.
#[derive(Parser)]
#[command(name = "cargo lab")]
struct Cli {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Subcommand)]
enum Sub {
    /// Bring up a topology and leave it up.
    Up {
        /// The name of a file in labs/topologies, or a path to a containerlab file.
        topology: String,
        /// What to call the lab; the topology's name by default.
        #[arg(long)]
        name: Option<String>,
        /// Lead every link through a bridge, so that it can be cut without the ends noticing.
        #[arg(long)]
        wires: bool,
        /// Start only the switches.
        #[arg(long)]
        without_agents: bool,
    },
    /// Take labs down.
    Down {
        /// Names or topologies; without any, the labs whose runner died.
        labs: Vec<String>,
        /// All labs.
        #[arg(long, conflicts_with = "labs")]
        all: bool,
    },
    /// Run a command in a node of a lab.
    Exec {
        /// The lab's name or topology.
        lab: String,
        /// The node.
        node: String,
        /// The command.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// List the labs there are.
    List,
    /// Show on two real switches what twintor does, from an empty machine, in half a minute.
    Demo,
    /// Build what the Kubernetes scenarios need, where the machine does not have it (once, some minutes).
    KubeBuild,
    /// Render the plain manifests in deploy/manifests from the chart.
    Render,
    /// Build the static binary of the image, lay the image's files out, and run it in there (some minutes).
    Image,
    /// Run every test of the workspace, the scenarios against real daemons included.
    Test {
        /// Only these of the lab's tests: a word that names test binaries (`scenarios`, `kube`) chooses those, any other
        /// word the tests whose name contains it.
        filters: Vec<String>,
    },
    /// Measure twintor; without a name for what, as `routes` does.
    #[command(args_conflicts_with_subcommands = true)]
    Bench {
        #[command(subcommand)]
        what: Option<Measure>,
        #[command(flatten)]
        routes: Routes,
    },
}

#[derive(Subcommand)]
enum Measure {
    /// Full tables and single changes, beside BIRD, FRR and GoBGP.
    Routes(Routes),
    /// BFD beside FRR's bfdd and BIRD: detection beyond the limit, gaps between packets, failures that are none; and what
    /// many sessions and junk cost.
    Bfd(Bfd),
    /// A cluster of many pods: from a change at a real API server to both wires, memory, load.
    Kube(Kube),
}

#[derive(Args)]
struct Routes {
    /// Only these senders.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How many host routes.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000])]
    routes: Vec<u32>,
    /// How often each full table is sent.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many single changes are timed; 0 for none.
    #[arg(long, default_value_t = 300)]
    samples: usize,
    /// The longest that one full table may take, in seconds.
    #[arg(long, default_value_t = 120)]
    time_box: u64,
}

#[derive(Args)]
struct Bfd {
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Detection, Part::Load, Part::Sessions, Part::Junk])]
    only: Vec<Part>,
    /// Only these speakers (twintor, bfdd, BIRD) in detection and load.
    #[arg(long, value_delimiter = ',')]
    speakers: Vec<String>,
    /// Intervals of detection in milliseconds; the multiplier is 3.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 50, 100, 300])]
    intervals: Vec<u64>,
    /// How often each speaker loses its peer at each interval.
    #[arg(long, default_value_t = 15)]
    losses: usize,
    /// How long each of the loads lasts under which no session may fail, in minutes; 0 for none. The project's limit is
    /// for 10.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// How long many sessions, and junk, are observed, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// A look at it: three losses, and one load of a minute on twintor alone.
    #[arg(long)]
    quick: bool,
}

impl Bfd {
    fn plan(self) -> Result<bench::bfd::Plan> {
        let speakers = bench::bfd::speakers(&self.speakers)?;
        let plan = bench::bfd::Plan {
            parts: self.only,
            load_speakers: speakers.clone(),
            speakers,
            intervals: self.intervals.into_iter().map(Duration::from_millis).collect(),
            losses: self.losses,
            loads: Burden::ALL.to_vec(),
            load: Duration::from_secs(60 * self.minutes),
            core: Duration::from_secs(self.seconds),
        };
        Ok(if self.quick { plan.quick() } else { plan })
    }
}

#[derive(Args)]
struct Kube {
    /// How many pods there are in the background; the last number is that of the idle and the busy cluster.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 10_000, 100_000])]
    pods: Vec<u32>,
    /// How many single changes are timed with each number of pods.
    #[arg(long, default_value_t = 300)]
    samples: usize,
    /// How long the idle agent is observed, in seconds.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// How many pods change in a second of the busy cluster.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// For how long they change, in seconds.
    #[arg(long, default_value_t = 30)]
    busy: u64,
    /// A look at it: up to 2000 pods, and everything shorter. Says nothing about the limits.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cargo lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Sub) -> Result<ExitCode> {
    match command {
        Sub::Up {
            topology,
            name,
            wires,
            without_agents,
        } => up(&topology, name, wires, without_agents),
        Sub::Down { labs, all } => down(&labs, all),
        Sub::Exec { lab, node, command } => exec(&lab, &node, &command),
        Sub::List => list(),
        Sub::Demo => demo::run(&mut |line| println!("{line}")),
        Sub::Bench { what, routes } => measure(what.unwrap_or(Measure::Routes(routes))),
        Sub::KubeBuild => kube_build(),
        Sub::Render => render(),
        Sub::Image => image(),
        Sub::Test { filters } => testrun::run(&filters, &mut |line| println!("{line}")),
    }
}

fn measure(what: Measure) -> Result<ExitCode> {
    let say = &mut |line: &str| println!("{line}");
    match what {
        Measure::Routes(routes) => {
            let plan = Plan {
                senders: senders(&routes.only)?,
                counts: routes.routes,
                rounds: routes.rounds,
                samples: routes.samples,
                time_box: Duration::from_secs(routes.time_box),
            };
            bench::run(&plan, say)
        }
        Measure::Bfd(bfd) => bench::bfd::run(&bfd.plan()?, say),
        Measure::Kube(kube) => bench::kube::run(&kube.plan(), say),
    }
}

impl Kube {
    fn plan(self) -> bench::kube::Plan {
        let plan = bench::kube::Plan {
            pods: self.pods,
            samples: self.samples,
            idle: Duration::from_secs(self.idle),
            rate: self.rate,
            busy: Duration::from_secs(self.busy),
        };
        if self.quick { plan.quick() } else { plan }
    }
}

fn up(topology: &str, name: Option<String>, wires: bool, without_agents: bool) -> Result<ExitCode> {
    setup::machine(&mut |line| println!("{line}"))?;
    state::sweep()?;
    let stem = Path::new(topology)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or(topology);
    let default = stem.trim_end_matches(".clab.yml").to_owned();
    let mut builder = Lab::builder(topology)
        .id(Some(name.unwrap_or(default)))
        .detached();
    if wires {
        builder = builder.wires();
    }
    if without_agents {
        builder = builder.without(Role::Twintor);
    } else {
        testrun::build_agent()?;
    }
    let lab = builder.up()?;
    println!("{} is up: {}", lab.id(), lab.dir().display());
    println!(
        "its switches:  cargo lab exec {} tor1 vtysh -N {} -c 'show bgp summary'",
        lab.id(),
        lab.netns("tor1").name()
    );
    println!("take it down:  cargo lab down {}", lab.id());
    Ok(ExitCode::SUCCESS)
}

fn down(names: &[String], all: bool) -> Result<ExitCode> {
    let mut gone = state::sweep()?;
    for record in state::list()? {
        if all
            || names
                .iter()
                .any(|name| *name == record.id || *name == record.topology)
        {
            record.remove()?;
            gone.push(record.id);
        }
    }
    if let Some(unknown) = names
        .iter()
        .find(|name| !gone.contains(name))
        .filter(|_| gone.is_empty())
    {
        bail!("no lab {unknown}");
    }
    gone.iter().for_each(|id| println!("{id} is gone"));
    Ok(ExitCode::SUCCESS)
}

fn exec(name: &str, node: &str, command: &[String]) -> Result<ExitCode> {
    let labs = state::list()?;
    let record = labs.iter().find(|lab| lab.id == name || lab.topology == name);
    let record = record.with_context(|| format!("no lab {name}"))?;
    let netns = Netns::named(format!("tl{}-{node}", record.id));
    let there = || nodes(record).collect::<Vec<_>>().join(", ");
    if !netns.exists() {
        bail!("{name} has no node {node}; there are {}", there());
    }
    let (program, args) = command.split_first().context("no command")?;
    let status = netns.command(program).args(args).status()?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

fn list() -> Result<ExitCode> {
    for record in state::list()? {
        let state = match record.owner {
            None => "up",
            Some(_) if record.stale() => "stale",
            Some(_) => "in use",
        };
        println!(
            "{:12} {:20} {state:8} {}",
            record.id,
            record.topology,
            nodes(&record).collect::<Vec<_>>().join(" ")
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn kube_build() -> Result<ExitCode> {
    let found = kube::ensure_apiserver(&mut |line| println!("{line}"))?;
    for program in [found.etcd, found.apiserver, found.kubectl] {
        println!("{}", program.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn render() -> Result<ExitCode> {
    let chart = Chart::shipped(&mut |line| println!("{line}"))?;
    for path in shipped::render(&chart)? {
        println!("wrote {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn image() -> Result<ExitCode> {
    let binary = image::build(&mut |line| println!("{line}"))?;
    println!("{}", image::check(&binary)?);
    Ok(ExitCode::SUCCESS)
}

fn senders(names: &[String]) -> Result<Vec<Sender>> {
    if names.is_empty() {
        return Ok(Sender::ALL.to_vec());
    }
    names
        .iter()
        .map(|name| Sender::named(name).with_context(|| format!("no sender {name}")))
        .collect()
}

fn nodes(record: &Record) -> impl Iterator<Item = &str> {
    let prefix = record.id.len() + 3;
    record
        .namespaces
        .iter()
        .filter_map(move |name| name.get(prefix..))
}
