//! `twintor plan` for people.

use super::table::{printable, table};
use crate::report::PlanReport;
use fabric::{SessionPlan, SettingChange, Verdict};
use std::fmt::Write;

const HEAD: [&str; 4] = ["Plane", "Neighbor", "Action", "Why"];

/// A line for each session, and what concerns none.
pub(super) fn text(report: &PlanReport) -> String {
    let rows: Vec<_> = report.sessions.iter().map(row).collect();
    let mut text = table(HEAD, &rows);
    section(
        &mut text,
        "Without touching a session",
        report.rack.iter().map(ToString::to_string),
    );
    section(&mut text, "Warnings", report.warnings.iter().cloned());
    text
}

/// The word for what would happen to a session.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unchanged => "no-op",
        Verdict::Soft => "soft",
        Verdict::Reset => "reset",
        Verdict::Added => "added",
        Verdict::Removed => "removed",
        Verdict::Refused => "refused",
    }
}

fn row(session: &SessionPlan) -> [String; 4] {
    let changes: Vec<_> = session.changes.iter().map(SettingChange::to_string).collect();
    let why = session.reason.clone().unwrap_or_else(|| changes.join(", "));
    [
        session.plane.clone(),
        session.neighbor.to_string(),
        word(session.verdict).to_owned(),
        if why.is_empty() { "-".to_owned() } else { why },
    ]
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    for (number, line) in lines.enumerate() {
        if number == 0 {
            text.push_str(&format!("\n{title}:\n"));
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- {}", printable(&line));
    }
}
