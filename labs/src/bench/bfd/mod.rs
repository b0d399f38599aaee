//! `cargo lab bench bfd`: how fast and how sure BFD is, beside FRR's bfdd and BIRD.
//!
//! Everything is read from a capture in the speaker's own namespace, so both ends of a measurement are on one clock. The
//! peer is scripted, and falls silent when it is told to. Many sessions and junk are measured on the BFD thread alone.

mod report;
mod thread;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use self::thread::OneCore;
use crate::bfdpeer::{BfdPeer, Timing};
use crate::capture::Capture;
use crate::clab::Role;
use crate::daemons::bird::Bird;
use crate::daemons::frr::Frr;
use crate::daemons::twintor;
use crate::manifests::Manifests;
use crate::wait::{self, PATIENCE};
use crate::{Lab, setup, state, testrun};

const NODE: &str = "10.1.1.2";
const PEER: &str = "10.1.1.1";
const MULTIPLIER: u8 = 3;
/// The longest that a session is left in Up before the peer falls silent.
const SETTLED: Duration = Duration::from_millis(1500);
/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which parts.
    pub parts: Vec<Part>,
    /// Which speakers, for detection and load.
    pub speakers: Vec<Speaker>,
    /// Which of them under load.
    pub load_speakers: Vec<Speaker>,
    /// At which intervals.
    pub intervals: Vec<Duration>,
    /// How many losses of the peer at each.
    pub losses: usize,
    /// Which loads.
    pub loads: Vec<Burden>,
    /// How long each load lasts.
    pub load: Duration,
    /// How long many sessions, and junk, are observed; whole seconds.
    pub core: Duration,
}

impl Plan {
    /// The same, shorter: a few losses, and one load of at most a minute on twintor alone.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.losses = self.losses.min(3);
        self.loads = vec![Burden::ALL[0]];
        self.load = self.load.min(Duration::from_secs(60));
        self.core = self.core.min(Duration::from_secs(5));
        self.load_speakers = vec![Speaker::Twintor];
        self
    }
}

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// How soon a lost peer is noticed, and the gaps between packets.
    Detection,
    /// Failures that are none, on a busy machine.
    Load,
    /// 500 sessions on one core.
    Sessions,
    /// 100,000 junk packets a second beside one session.
    Junk,
}

/// What a session has to bear in [`Part::Load`].
#[derive(Debug, Clone, Copy)]
pub struct Burden {
    interval: Duration,
    burners: usize,
    quota: bool,
}

impl Burden {
    /// Those of the project's limits.
    pub const ALL: [Self; 3] = [
        Self::new(50, 2, false),
        Self::new(100, 4, false),
        Self::new(100, 0, true),
    ];

    const fn new(interval_ms: u64, burners: usize, quota: bool) -> Self {
        Self {
            interval: Duration::from_millis(interval_ms),
            burners,
            quota,
        }
    }
}

impl fmt::Display for Burden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} x {MULTIPLIER}, ", self.interval)?;
        if self.quota {
            return f.write_str("10 % of a core");
        }
        write!(f, "{} burners", self.burners)
    }
}

/// A speaker of BFD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The agent.
    Twintor,
    /// FRR's bfdd.
    Bfdd,
    /// BIRD.
    Bird,
}

/// One speaker at one interval.
#[derive(Debug, Clone, Serialize)]
struct Row {
    speaker: String,
    interval_ms: u64,
    losses: usize,
    /// Milliseconds from (last packet received + detection time) to the packet that says Down.
    p50: f64,
    p99: f64,
    max: f64,
    gaps: Gaps,
}

/// Gaps between periodic packets as shares of the interval.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Gaps {
    packets: usize,
    min: f64,
    p50: f64,
    p99: f64,
    max: f64,
}

/// One load.
#[derive(Debug, Clone, Serialize)]
struct Load {
    speaker: String,
    load: String,
    seconds: u64,
    /// Times that the speaker said Down although the peer had not been silent for a detection time.
    false_downs: usize,
    /// Times that the peer was really silent for so long: the load hits the script as well.
    true_downs: usize,
    gaps: Gaps,
}

#[derive(Debug, Default, Serialize)]
struct Results {
    detection: Vec<Row>,
    loads: Vec<Load>,
    one_core: Vec<OneCore>,
    missing: Vec<String>,
}

/// A packet of a capture.
struct Seen {
    at: f64,
    ours: bool,
    state: u8,
    diag: u8,
    special: bool,
}

/// The speakers with these names; all, if there are none.
pub fn speakers(names: &[String]) -> Result<Vec<Speaker>> {
    const ALL: [Speaker; 3] = [Speaker::Twintor, Speaker::Bfdd, Speaker::Bird];
    if names.is_empty() {
        return Ok(ALL.to_vec());
    }
    let find = |name: &String| {
        let found = ALL
            .into_iter()
            .find(|speaker| speaker.to_string().eq_ignore_ascii_case(name));
        found.with_context(|| format!("no speaker {name}; there are twintor, bfdd and BIRD"))
    };
    names.iter().map(find).collect()
}

/// Measures, prints tables with the limits beside the figures, and writes the figures beside the labs' state. Fails if
/// something could not be measured, after all the rest; a limit that was missed is printed as such.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<ExitCode> {
    setup::machine(say)?;
    state::sweep()?;
    let mut results = Results::default();
    for part in &plan.parts {
        let done = match part {
            Part::Detection => measure_detection(plan, &mut results, say),
            Part::Load => measure_load(plan, &mut results, say),
            Part::Sessions => thread::sessions(plan.core, say).map(|row| results.one_core.push(row)),
            Part::Junk => thread::junk(plan.core, say).map(|row| results.one_core.push(row)),
        };
        if let Err(error) = done {
            results.missing.push(format!("{part}: {error:#}"));
        }
    }
    report::print(&results, say);
    let file = state::root()?.join("bench-bfd.json");
    fs::create_dir_all(state::root()?)?;
    fs::write(&file, serde_json::to_string_pretty(&results)?).context("write the figures")?;
    say(&format!("written to {}", file.display()));
    Ok(if results.missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn measure_detection(plan: &Plan, results: &mut Results, say: &mut dyn FnMut(&str)) -> Result<()> {
    let binary = agent(say)?;
    for interval in &plan.intervals {
        for speaker in &plan.speakers {
            say(&format!("{speaker} at {interval:?} x {MULTIPLIER}"));
            match detection(*speaker, *interval, plan.losses, &binary) {
                Ok(row) => results.detection.push(row),
                Err(error) => results
                    .missing
                    .push(format!("{speaker} at {interval:?}: {error:#}")),
            }
        }
    }
    Ok(())
}

fn measure_load(plan: &Plan, results: &mut Results, say: &mut dyn FnMut(&str)) -> Result<()> {
    if plan.load.is_zero() {
        return Ok(());
    }
    let binary = agent(say)?;
    for burden in &plan.loads {
        for speaker in &plan.load_speakers {
            say(&format!("{speaker} at {burden} for {} s", plan.load.as_secs()));
            match load(*speaker, *burden, plan.load, &binary) {
                Ok(row) => results.loads.push(row),
                Err(error) => results.missing.push(format!("{speaker} at {burden}: {error:#}")),
            }
        }
    }
    Ok(())
}

fn agent(say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    say("building twintor (release)");
    testrun::build_agent_for_speed()
}

fn rack(speaker: Speaker, interval: Duration, binary: &Path, unprivileged: bool) -> Result<Lab> {
    let lab = Lab::builder("single-tor")
        .without(Role::Frr)
        .without(Role::Twintor)
        .up()?;
    speaker.start(&lab, interval, binary, unprivileged)?;
    Ok(lab)
}

fn peer(lab: &Lab, interval: Duration) -> Result<BfdPeer> {
    let timing = Timing {
        interval,
        multiplier: MULTIPLIER,
    };
    BfdPeer::start_with(&lab.netns("tor1"), PEER.parse()?, NODE.parse()?, timing)
}

fn detection(speaker: Speaker, interval: Duration, losses: usize, binary: &Path) -> Result<Row> {
    let lab = rack(speaker, interval, binary, false)?;
    let peer = peer(&lab, interval)?;
    let capture = Capture::start_with(&lab, "node1", "udp port 3784")?;
    for _ in 0..losses {
        wait::until_true("the session is up", PATIENCE, || speaker.is_up(&lab, binary))?;
        // A phase of its own for each loss.
        let settled = (20 * interval).min(SETTLED);
        std::thread::sleep(settled + interval.mul_f64(fastrand::f64()));
        peer.set_silent(true);
        wait::until_true("the loss is noticed", PATIENCE, || {
            Ok(!speaker.is_up(&lab, binary)?)
        })?;
        peer.set_silent(false);
    }
    let seen = read(capture)?;
    let limit = interval.as_secs_f64() * f64::from(MULTIPLIER);
    let mut beyond: Vec<f64> = downs(&seen)
        .into_iter()
        .map(|silence| (silence - limit) * 1e3)
        .collect();
    // What came too early was no expiry of the speaker's, but is a false failure: it stays in, below zero.
    ensure!(!beyond.is_empty(), "no failure in the capture");
    beyond.sort_by(f64::total_cmp);
    Ok(Row {
        speaker: speaker.to_string(),
        interval_ms: u64::try_from(interval.as_millis())?,
        losses: beyond.len(),
        p50: percentile(&beyond, 50),
        p99: percentile(&beyond, 99),
        max: percentile(&beyond, 100),
        gaps: gaps(&seen, interval),
    })
}

fn load(speaker: Speaker, burden: Burden, time: Duration, binary: &Path) -> Result<Load> {
    let Burden {
        interval,
        burners,
        quota,
    } = burden;
    let lab = rack(speaker, interval, binary, true)?;
    let _peer = peer(&lab, interval)?;
    let limited = quota.then(|| Quota::tenth(&lab, speaker)).transpose()?;
    wait::until_true("the session is up", PATIENCE, || speaker.is_up(&lab, binary))?;
    let capture = Capture::start_with(&lab, "node1", "udp port 3784")?;
    let burning = (0..burners)
        .map(|_| Burner::start())
        .collect::<Result<Vec<_>>>()?;
    std::thread::sleep(time);
    drop(burning);
    drop(limited);
    let seen = read(capture)?;
    let limit = interval.as_secs_f64() * f64::from(MULTIPLIER);
    let (true_downs, false_downs) = downs(&seen)
        .into_iter()
        .partition::<Vec<f64>, _>(|silence| *silence >= limit);
    Ok(Load {
        speaker: speaker.to_string(),
        load: burden.to_string(),
        seconds: time.as_secs(),
        false_downs: false_downs.len(),
        true_downs: true_downs.len(),
        gaps: gaps(&seen, interval),
    })
}

fn read(capture: Capture<'_>) -> Result<Vec<Seen>> {
    let fields = [
        "frame.time_epoch",
        "ip.src",
        "bfd.sta",
        "bfd.diag",
        "bfd.flags.p",
        "bfd.flags.f",
    ];
    let lines = capture.finish()?.lines("bfd", &fields)?;
    lines
        .iter()
        .map(|line| parse(line).with_context(|| format!("a packet: {line}")))
        .collect()
}

fn parse(line: &str) -> Option<Seen> {
    let mut fields = line.split('\t');
    let at = fields.next()?.parse().ok()?;
    let ours = fields.next()? == NODE;
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    let (state, diag) = (number(fields.next()?)?, number(fields.next()?)?);
    let special = fields.any(|flag| matches!(flag, "1" | "True"));
    Some(Seen {
        at,
        ours,
        state,
        diag,
        special,
    })
}

/// For each time that the speaker gave up in Up: how long it had heard nothing.
fn downs(seen: &[Seen]) -> Vec<f64> {
    let mut downs = Vec::new();
    let (mut up, mut heard) = (false, 0.0);
    for packet in seen {
        if !packet.ours {
            heard = packet.at;
        } else if up && packet.state == 1 && packet.diag == 1 {
            downs.push(packet.at - heard);
        }
        if packet.ours {
            up = packet.state == 3;
        }
    }
    downs
}

/// Between packets of the speaker in Up, as shares of the interval. What answers a Poll is outside of the schedule.
fn gaps(seen: &[Seen], interval: Duration) -> Gaps {
    let mut gaps = Vec::new();
    let mut last: Option<f64> = None;
    let ours = seen.iter().filter(|packet| packet.ours);
    for packet in ours {
        if packet.state != 3 || packet.special {
            last = None;
            continue;
        }
        gaps.extend(last.map(|last| (packet.at - last) / interval.as_secs_f64()));
        last = Some(packet.at);
    }
    gaps.sort_by(f64::total_cmp);
    if gaps.is_empty() {
        return Gaps::default();
    }
    Gaps {
        packets: gaps.len(),
        min: percentile(&gaps, 0),
        p50: percentile(&gaps, 50),
        p99: percentile(&gaps, 99),
        max: percentile(&gaps, 100),
    }
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    // Nearest rank: of a few samples, the 99th percentile is the largest.
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

impl Speaker {
    fn start(self, lab: &Lab, interval: Duration, binary: &Path, unprivileged: bool) -> Result<()> {
        let ms = interval.as_millis();
        match self {
            Self::Twintor => {
                let manifests = Manifests::at(lab.dir().join("objects"))?;
                let args = [
                    "run".to_owned(),
                    format!("--manifests={}", manifests.dir().display()),
                    "--node-name=node1".to_owned(),
                    "--cluster-as=65000".to_owned(),
                    "--neighbor-as=65030".to_owned(),
                    format!("--router-id={NODE}"),
                    format!("--neighbor-address={PEER}"),
                    "--enable-bfd".to_owned(),
                    format!("--bfd-min-tx={ms}"),
                    format!("--bfd-min-rx={ms}"),
                ];
                if !unprivileged {
                    return lab.start("node1", twintor::DAEMON, &binary.to_string_lossy(), args.to_vec());
                }
                // Without CAP_SYS_NICE, as in a pod.
                let prefix = ["--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"].map(str::to_owned);
                let program = binary.display().to_string();
                let all = prefix.into_iter().chain([program]).chain(args).collect();
                lab.start("node1", twintor::DAEMON, "setpriv", all)
            }
            Self::Bfdd => {
                let config = format!(
                    "bfd\n peer {PEER}\n  detect-multiplier {MULTIPLIER}\n  receive-interval {ms}\n  transmit-interval {ms}\n  \
                     no shutdown\n exit\nexit\n"
                );
                Frr::start(lab, "node1", &config, &["bfdd".to_owned()]).map(drop)
            }
            Self::Bird => {
                let config = format!(
                    "log stderr all;\nrouter id {NODE};\nprotocol device {{}}\nprotocol bfd {{ interface \"eth1\" {{ min rx \
                     interval {ms} ms; min tx interval {ms} ms; idle tx interval 1 s; multiplier {MULTIPLIER}; }}; neighbor \
                     {PEER} dev \"eth1\" local {NODE}; }}\n"
                );
                Bird::start_with(lab, "node1", &config, Vec::new()).map(drop)
            }
        }
    }

    fn is_up(self, lab: &Lab, binary: &Path) -> Result<bool> {
        match self {
            Self::Twintor => {
                let shown = lab.exec("node1", &[&binary.to_string_lossy(), "bfd", PEER])?;
                Ok(shown.contains("Status: up"))
            }
            Self::Bfdd => {
                let peers = Frr::of(lab, "node1").json("show bfd peers json")?;
                Ok(peers[0]["status"] == "up")
            }
            Self::Bird => {
                let control = lab.run_dir()?.join("node1-bird.ctl");
                let shown = crate::netns::run(
                    Command::new("birdc")
                        .arg("-s")
                        .arg(control)
                        .args(["show", "bfd", "sessions"]),
                )?;
                Ok(shown.contains(" Up "))
            }
        }
    }

    fn daemon(self) -> &'static str {
        match self {
            Self::Twintor => twintor::DAEMON,
            Self::Bfdd => "bfdd",
            Self::Bird => "bird",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detection => "detection",
            Self::Load => "load",
            Self::Sessions => "sessions",
            Self::Junk => "junk",
        })
    }
}

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Twintor => "twintor",
            Self::Bfdd => "bfdd",
            Self::Bird => "BIRD",
        })
    }
}

/// A process that does nothing, as fast as it can.
struct Burner(Child);

impl Burner {
    fn start() -> Result<Self> {
        let child = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn();
        Ok(Self(child.context("start a burner")?))
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A tenth of a core for a daemon, by cgroup v1 or v2, whichever is there.
struct Quota {
    group: PathBuf,
    pid: i32,
}

impl Quota {
    fn tenth(lab: &Lab, speaker: Speaker) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let v1 = root.join("cpu/cpu.shares").exists();
        let parent = if v1 { root.join("cpu") } else { root.to_owned() };
        let group = parent.join(format!("twintor-lab-{}", lab.id()));
        fs::create_dir_all(&group).context("make a control group")?;
        let write = |file: &str, text: &str| {
            fs::write(group.join(file), text).with_context(|| format!("write {file} of {}", group.display()))
        };
        if v1 {
            write("cpu.cfs_period_us", "100000")?;
            write("cpu.cfs_quota_us", "10000")?;
        } else {
            fs::write(parent.join("cgroup.subtree_control"), "+cpu").context("let groups limit the CPU")?;
            write("cpu.max", "10000 100000")?;
        }
        let pid = lab.pid("node1", speaker.daemon())?;
        write("cgroup.procs", &pid.to_string())?;
        Ok(Self { group, pid })
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // A group can be removed only when nobody is in it.
        if let Some(parent) = self.group.parent() {
            let _ = fs::write(parent.join("cgroup.procs"), self.pid.to_string());
        }
        let _ = fs::remove_dir(&self.group);
    }
}
