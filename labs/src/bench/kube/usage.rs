//! What the agent takes of the machine.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;

use super::world::World;

/// Resident memory in MiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Memory {
    /// At this moment.
    pub(super) rss_mib: f64,
    /// The most there ever was.
    pub(super) peak_mib: f64,
}

/// An agent with nothing to do.
#[derive(Debug, Serialize)]
pub(super) struct Idle {
    seconds: f64,
    /// Processor time by wall time.
    pub(super) core_percent: f64,
}

/// Processor time between two moments.
pub(super) struct Meter {
    process: i32,
    start: Instant,
    before: Duration,
}

impl Memory {
    pub(super) fn of(process: i32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).context("read the memory")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            Ok::<_, anyhow::Error>(kilobytes.with_context(|| format!("no {name}"))? / 1024.0)
        };
        Ok(Self {
            rss_mib: field("VmRSS:")?,
            peak_mib: field("VmHWM:")?,
        })
    }
}

impl Idle {
    /// Lets time pass; the receivers only keep their sessions.
    pub(super) fn observe(world: &mut World, time: Duration) -> Result<Self> {
        let meter = Meter::start(world.agent()?)?;
        let end = Instant::now() + time;
        world.until(time * 2, |_| Instant::now() >= end)?;
        Ok(Self {
            seconds: meter.start.elapsed().as_secs_f64(),
            core_percent: meter.core_percent()?,
        })
    }
}

impl Meter {
    pub(super) fn start(process: i32) -> Result<Self> {
        Ok(Self {
            process,
            start: Instant::now(),
            before: processor_time(process)?,
        })
    }

    pub(super) fn core_percent(&self) -> Result<f64> {
        let used = processor_time(self.process)?.saturating_sub(self.before);
        Ok(100.0 * used.as_secs_f64() / self.start.elapsed().as_secs_f64())
    }
}

/// User and system time of all threads, those that have ended included.
fn processor_time(process: i32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("read the processor time")?;
    let (_, fields) = stat
        .rsplit_once(')')
        .context("no name in the state of a process")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the kernel has no ticks")?;
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}
