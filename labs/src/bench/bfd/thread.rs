//! Many sessions, and junk: the BFD thread alone, held to one core. Measured by `peering/net/examples/bfd_bench.rs`.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::report::{at_least, at_most};
use crate::testrun;

const SESSIONS: u32 = 500;
const INTERVAL_MS: u32 = 50;
/// Packets of junk in a second that have to arrive.
const JUNK: u32 = 100_000;
/// A little more is sent, because the sender's pace is not exact.
const JUNK_SENT: u32 = JUNK + JUNK / 100;
/// Each session has to be heard at least once an interval.
const HEARD: f64 = SESSIONS as f64 * 1000.0 / INTERVAL_MS as f64;

/// What one run on one core has shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct OneCore {
    pub(super) name: String,
    /// Packets in a second that one end received, junk included.
    rate: f64,
    rate_limit: f64,
    /// What the kernel threw away because it was not read in time.
    kernel_drops: Option<u64>,
    false_downs: usize,
    threads: Vec<BfdThread>,
}

/// A BFD thread of the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct BfdThread {
    /// Percent of the core.
    cpu: f64,
    /// Lateness in milliseconds, where it was told.
    late: Option<Late>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Late {
    p50: f64,
    p99: f64,
    max: f64,
}

impl OneCore {
    /// What is to be printed, and the figure with its limit.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![
            ("packets/s".to_owned(), at_least(self.rate, self.rate_limit, 0)),
            ("false downs".to_owned(), at_most(self.false_downs as f64, 0.0, 0)),
        ];
        if let Some(drops) = self.kernel_drops {
            lines.push(("dropped by the kernel".to_owned(), drops.to_string()));
        }
        let all = self.threads.iter().map(|thread| thread.cpu).sum();
        lines.push(("% of one core, both ends".to_owned(), at_most(all, 100.0, 1)));
        for (index, thread) in self.threads.iter().enumerate() {
            lines.push((
                format!("% of one core, end {}", index + 1),
                format!("{:.1}", thread.cpu),
            ));
            if let Some(late) = thread.late {
                let what = format!("ms late, end {}", index + 1);
                lines.push((
                    what,
                    format!("p50 {:.3}, p99 {:.3}, max {:.3}", late.p50, late.p99, late.max),
                ));
            }
        }
        lines
    }
}

/// Many sessions between two threads.
pub(super) fn sessions(time: Duration, say: &mut dyn FnMut(&str)) -> Result<OneCore> {
    let numbers = [SESSIONS, INTERVAL_MS, seconds(time)?];
    let name = format!("{SESSIONS} sessions at {INTERVAL_MS} ms x 3, both ends on one core");
    measure("scale", &numbers, name, HEARD, say)
}

/// Junk beside one session.
pub(super) fn junk(time: Duration, say: &mut dyn FnMut(&str)) -> Result<OneCore> {
    let numbers = [JUNK_SENT, seconds(time)?];
    let name = format!("{JUNK} junk packets/s, both ends and the sender on one core");
    measure("flood", &numbers, name, f64::from(JUNK), say)
}

fn seconds(time: Duration) -> Result<u32> {
    Ok(u32::try_from(time.as_secs())?.max(1))
}

fn measure(
    what: &str,
    numbers: &[u32],
    name: String,
    limit: f64,
    say: &mut dyn FnMut(&str),
) -> Result<OneCore> {
    say("building peering/net's bfd_bench (release)");
    let program = testrun::build_bfd_bench()?;
    say(&name);
    let output = Command::new("taskset")
        .args(["--cpu-list", &last_core()?])
        .arg(&program)
        .arg(what)
        .args(numbers.iter().map(u32::to_string))
        .output()
        .context("run taskset")?;
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    // It ends in a panic that lists the failures of the end where there were some.
    let failures = error.lines().filter(|line| line.trim() == "Down(").count();
    ensure!(
        output.status.success() || failures > 0,
        "bfd_bench {what} failed: {}",
        error.trim()
    );
    let Some(mut row) = parse(&told, name, limit) else {
        bail!(
            "bfd_bench {what} has told something else than figures: {}",
            told.trim()
        );
    };
    row.false_downs += failures;
    Ok(row)
}

/// The last one of those that this process may use.
fn last_core() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let last = list.and_then(|list| list.trim().rsplit([',', '-']).next());
    last.map(str::to_owned)
        .context("no Cpus_allowed_list in /proc/self/status")
}

fn parse(told: &str, name: String, rate_limit: f64) -> Option<OneCore> {
    let head = told.lines().next()?;
    let kernel_drops = before(head, " dropped by the kernel");
    let rate = match kernel_drops {
        // What has arrived, not what was sent.
        Some(drops) => (before(head, " read")? + drops) / before(head, " s:")?,
        None => before(head, " packets/s")?,
    };
    let shares = told.lines().filter_map(|line| before(line, " % of a core"));
    let mut late = told
        .lines()
        .filter(|line| line.trim().starts_with("Lateness"))
        .map(lateness);
    let threads: Vec<_> = shares
        .map(|cpu| BfdThread {
            cpu,
            late: late.next().flatten(),
        })
        .collect();
    let downs = told
        .lines()
        .filter_map(|line| line.trim().strip_prefix("downs: "));
    let first = threads.first()?;
    first.late?;
    Some(OneCore {
        name,
        rate,
        rate_limit,
        kernel_drops: kernel_drops.map(|drops| drops as u64),
        false_downs: downs
            .map(|count| count.parse::<usize>().ok())
            .sum::<Option<usize>>()?,
        threads,
    })
}

/// The number in front of these words.
fn before(line: &str, words: &str) -> Option<f64> {
    line.split_once(words)?.0.rsplit(' ').next()?.parse().ok()
}

fn lateness(line: &str) -> Option<Late> {
    let field = |name: &str| {
        let rest = line.split_once(&format!("{name}: "))?.1;
        milliseconds(rest.split([',', ' ']).next()?)
    };
    Some(Late {
        p50: field("p50")?,
        p99: field("p99")?,
        max: field("max")?,
    })
}

/// A duration as Rust writes it.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("ns", 1e-6), ("µs", 1e-3), ("ms", 1.0), ("s", 1e3)];
    let (number, factor) = units
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_sessions_are_read() {
        let told = "500 sessions at 50ms, 11795 packets/s received\n  thread 0: 23.4 % of a core\n  thread 1: 22.9 % of a core\n  \
                    Lateness { count: 79618, p50: 22.624µs, p99: 128µs, max: 18.98914ms, .. }\n  \
                    Lateness { count: 79382, p50: 22.624µs, p99: 1.5s, max: 27.323525ms, .. }\n";
        let row = parse(told, "many".to_owned(), HEARD).unwrap();
        assert_eq!((row.rate, row.kernel_drops, row.false_downs), (11795.0, None, 0));
        let cpu: Vec<f64> = row.threads.iter().map(|thread| thread.cpu).collect();
        assert_eq!(cpu, [23.4, 22.9]);
        let second = row.threads[1].late.unwrap();
        assert!((second.p50 - 0.022_624).abs() < 1e-9 && (second.p99 - 1500.0).abs() < 1e-9);
        assert!(
            row.lines()
                .contains(&("packets/s".to_owned(), "11795 (>= 10000: ok)".to_owned()))
        );
    }

    #[test]
    fn junk_is_read() {
        let told = "60000 packets of junk per second for 10 s: 599993 read, 7 dropped by the kernel\n  thread 0: 9.7 % of a core\n  \
                    thread 1: 0.0 % of a core\n  Lateness { count: 222, p50: 19.024µs, p99: 53.824µs, max: 228.572µs, .. }\n  \
                    downs: 2\n  downs: 1\n";
        let row = parse(told, "junk".to_owned(), f64::from(JUNK)).unwrap();
        assert_eq!(
            (row.rate, row.kernel_drops, row.false_downs),
            (60000.0, Some(7), 3)
        );
        assert_eq!(row.threads[1].late, None);
        let lines = row.lines();
        assert!(lines.contains(&("packets/s".to_owned(), "60000 (>= 100000: MISSED)".to_owned())));
        assert!(lines.contains(&("false downs".to_owned(), "3 (<= 0: MISSED)".to_owned())));
    }

    #[test]
    fn what_holds_no_figures_is_not_read() {
        assert_eq!(parse("", String::new(), HEARD), None);
        assert_eq!(parse("detect [CUTS]", String::new(), HEARD), None);
    }
}
