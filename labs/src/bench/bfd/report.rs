//! The figures with their limits beside them.

use super::{Gaps, Load, Results, Row};

/// Limits of the project, in milliseconds beyond the theoretical limit.
const P50: f64 = 1.0;
const P99: f64 = 5.0;
/// Limit of a gap between packets, in intervals.
const GAP: f64 = 1.0;

/// Prints what there is, and what there is not.
pub(super) fn print(results: &Results, say: &mut dyn FnMut(&str)) {
    if !results.detection.is_empty() {
        say("");
        say(
            "detection: milliseconds beyond last packet + detection time; gaps between packets as shares of the interval",
        );
        say(&format!(
            "{:8} {:>8} {:>6}   {:>20} {:>20} {:>8}   {:>7} {:>6} {:>6} {:>6} {:>20}",
            "speaker", "interval", "losses", "p50", "p99", "max", "gaps", "min", "p50", "p99", "max"
        ));
    }
    for row in &results.detection {
        say(&detection(row));
    }
    if !results.loads.is_empty() {
        say("");
        say("load, unprivileged: false downs, and true ones (the peer really was silent); gaps as above");
    }
    for row in &results.loads {
        say(&load(row));
    }
    for row in &results.one_core {
        say("");
        say(&row.name);
        for (what, measured) in row.lines() {
            say(&format!("  {what:38} {measured}"));
        }
    }
    for missing in &results.missing {
        say(&format!("NOT MEASURED: {missing}"));
    }
}

/// A figure, its greatest permitted value, and how they compare.
pub(super) fn at_most(measured: f64, limit: f64, digits: usize) -> String {
    let mark = if measured <= limit { "ok" } else { "MISSED" };
    format!("{measured:.digits$} (<= {limit}: {mark})")
}

/// A figure, its smallest permitted value, and how they compare.
pub(super) fn at_least(measured: f64, limit: f64, digits: usize) -> String {
    let mark = if measured >= limit { "ok" } else { "MISSED" };
    format!("{measured:.digits$} (>= {limit}: {mark})")
}

fn detection(row: &Row) -> String {
    format!(
        "{:8} {:>5} ms {:>6}   {:>20} {:>20} {:>8.3}   {}",
        row.speaker,
        row.interval_ms,
        row.losses,
        at_most(row.p50, P50, 3),
        at_most(row.p99, P99, 3),
        row.max,
        gaps(&row.gaps)
    )
}

fn load(row: &Load) -> String {
    format!(
        "{:8} {:24} {:>5} s   false {:>16}, true {:>3}   {}",
        row.speaker,
        row.load,
        row.seconds,
        at_most(row.false_downs as f64, 0.0, 0),
        row.true_downs,
        gaps(&row.gaps)
    )
}

fn gaps(gaps: &Gaps) -> String {
    format!(
        "{:>7} {:>6.3} {:>6.3} {:>6.3} {:>20}",
        gaps.packets,
        gaps.min,
        gaps.p50,
        gaps.p99,
        at_most(gaps.max, GAP, 4)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_its_limit_beside_it() {
        assert_eq!(at_most(0.4321, P50, 3), "0.432 (<= 1: ok)");
        assert_eq!(at_most(5.001, P99, 3), "5.001 (<= 5: MISSED)");
        assert_eq!(at_least(99_999.0, 100_000.0, 0), "99999 (>= 100000: MISSED)");
        assert_eq!(at_least(100_000.0, 100_000.0, 0), "100000 (>= 100000: ok)");
    }
}
