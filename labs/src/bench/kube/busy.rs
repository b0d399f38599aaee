//! Many pods that change at a steady rate.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::usage::{Memory, Meter};
use super::world::World;
use crate::kube::scale::{Load, Look};

/// How often pods change: each time a share of those of a second.
const TICK: Duration = Duration::from_millis(100);

/// How long the exact set may take to arrive after the last change.
const SETTLED: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Busy {
    changes: usize,
    /// How many changes a second the store has taken.
    pub(super) rate: f64,
    /// From the last change to the exact set at both receivers, in milliseconds.
    pub(super) settled_ms: f64,
    /// Routes of both receivers that are missing at last, and that should not be there.
    missing: usize,
    extra: usize,
    pub(super) core_percent: f64,
    pub(super) memory: Memory,
}

/// The pods that are not as they were at first.
struct Pods {
    load: Load,
    changed: HashMap<u32, Option<Look>>,
    mark: u32,
}

impl Busy {
    /// Routes that are wrong at last.
    pub(super) fn wrong(&self) -> usize {
        self.missing + self.extra
    }

    /// Half of the changes turn an annotation over, the others delete a pod, make it again, or mean nothing. They go
    /// straight into the store: the API server, which shares the machine with the agent, has to tell of them only.
    pub(super) fn measure(world: &mut World, rate: u32, time: Duration) -> Result<Self> {
        let mut pods = Pods {
            load: world.load,
            changed: HashMap::new(),
            mark: 0,
        };
        let process = world.agent()?;
        let meter = Meter::start(process)?;
        let writer = world.load.writer(&world.cluster);
        let start = Instant::now();
        let ticks = u32::try_from(time.as_millis() / TICK.as_millis())?;
        let each = rate * u32::try_from(TICK.as_millis())? / 1000;
        let mut changes = 0;
        // Known before the last changes are made.
        let expected = OnceLock::new();
        let is_exact = |table: &HashSet<Ipv4Addr>| expected.get() == Some(table);
        let (last, exact) = thread::scope(|scope| {
            let reading = world.receivers.each_mut().map(|receiver| {
                scope.spawn(move || {
                    let reached = receiver.until(time * 4 + SETTLED, is_exact);
                    reached.map(|()| Instant::now())
                })
            });
            let mut last = start;
            for tick in 0..ticks {
                thread::sleep((start + TICK * tick).saturating_duration_since(Instant::now()));
                let batch = pods.change(each);
                changes += batch.len();
                if tick + 1 == ticks {
                    expected.get_or_init(|| pods.expected());
                }
                writer.write(&batch)?;
                last = Instant::now();
            }
            let exact = reading.map(|thread| thread.join().map_err(|_| anyhow!("a receiver panicked"))?);
            anyhow::Ok((last, exact))
        })?;
        let core_percent = meter.core_percent()?;
        let expected = pods.expected();
        let settled = exact.into_iter().map(|at| match at {
            Ok(at) => at.saturating_duration_since(last),
            // What is wrong is counted below.
            Err(_) => SETTLED,
        });
        let tables = world.receivers.each_ref().map(|receiver| receiver.table());
        let count = |one: &HashSet<Ipv4Addr>, other: &HashSet<Ipv4Addr>| one.difference(other).count();
        Ok(Self {
            changes,
            rate: changes as f64 / last.duration_since(start).max(time).as_secs_f64(),
            settled_ms: settled.max().unwrap_or_default().as_secs_f64() * 1000.0,
            missing: tables.iter().map(|table| count(&expected, table)).sum(),
            extra: tables.iter().map(|table| count(table, &expected)).sum(),
            core_percent,
            memory: Memory::of(process)?,
        })
    }
}

impl Pods {
    fn change(&mut self, count: u32) -> Vec<(u32, Option<Look>)> {
        let mut batch = HashMap::new();
        while batch.len() < count.min(self.load.pods) as usize {
            let number = fastrand::u32(0..self.load.pods);
            if batch.contains_key(&number) {
                continue;
            }
            self.mark += 1;
            let before = self.look(number);
            let after = match (before, fastrand::u8(0..4)) {
                (Some(look), 0 | 1) => Some(Look {
                    annotated: !look.annotated,
                    mark: self.mark,
                }),
                (Some(_), 2) => None,
                (Some(look), _) => Some(Look {
                    mark: self.mark,
                    ..look
                }),
                (None, way) => Some(Look {
                    annotated: way < 2,
                    mark: self.mark,
                }),
            };
            self.changed.insert(number, after);
            batch.insert(number, after);
        }
        batch.into_iter().collect()
    }

    fn look(&self, number: u32) -> Option<Look> {
        let changed = self.changed.get(&number).copied();
        changed.unwrap_or_else(|| Some(self.load.look(number)))
    }

    fn expected(&self) -> HashSet<Ipv4Addr> {
        let announced = |number: &u32| self.look(*number).is_some_and(|look| look.annotated);
        let numbers = (0..self.load.pods).filter(announced);
        numbers.map(|number| self.load.address(number)).collect()
    }
}
