//! `twintor status` for people.

use super::table::{printable, table, uptime};
use crate::report::{ProblemsReport, StatusReport, pair_word};
use fabric::{FamilyStatus, PlaneStatus, ReturnPathStatus, SessionStatus};
use std::fmt::Write;

const HEAD: [&str; 11] = [
    "Plane", "Neighbor", "AS", "State", "Up/Down", "BFD", "Next hop", "Desired", "Sent", "Rcvd", "Reason",
];

/// How many problems are shown.
const SHOWN: usize = 5;

/// A head, a line for each session, and what is to be looked at.
pub(super) fn text(report: &StatusReport) -> String {
    let rack = &report.rack;
    let mut text = String::new();
    let node = report
        .node
        .as_deref()
        .map(|node| format!("{node}, "))
        .unwrap_or_default();
    let synced = if rack.complete {
        "complete"
    } else {
        "waiting for the first full sync"
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{}AS {}, router ID {}, twintor {}\nPair: {}, desired set: {synced}\n",
        printable(&node),
        rack.local_as,
        rack.router_id,
        printable(&report.version),
        pair_word(rack.pair),
    );
    let rows = rack.planes.iter().flat_map(|plane| {
        let sessions = plane.sessions.iter();
        sessions.map(|session| row(report, plane, session))
    });
    text.push_str(&table(HEAD, &rows.collect::<Vec<_>>()));
    text.push_str(&rack.return_path.as_ref().map(return_path).unwrap_or_default());
    text.push_str(&problems(&report.problems));
    let complaints = report.complaints();
    if !complaints.is_empty() {
        text.push_str("\nNot healthy:\n");
    }
    for complaint in complaints {
        let _ = writeln!(text, "- {}", printable(&complaint));
    }
    text
}

/// A line for each route of ours.
fn return_path(path: &ReturnPathStatus) -> String {
    let mut text = format!(
        "\nReturn path: table {}, metric {}, proto {}\n",
        path.table, path.metric, path.protocol
    );
    for route in &path.routes {
        let gateways: Vec<String> = route.gateways.iter().map(ToString::to_string).collect();
        let over = match (route.planes.is_empty(), gateways.is_empty()) {
            (true, true) => "no plane yet".to_owned(),
            (_, true) => format!("planes {}, not installed", route.planes.join(" ")),
            (true, false) => format!("via {}, as an earlier agent left it", gateways.join(" ")),
            (false, false) => format!("planes {}, via {}", route.planes.join(" "), gateways.join(" ")),
        };
        text.push_str(&format!("- {}: {over}\n", printable(&route.prefix)));
    }
    for advice in &path.advice {
        text.push_str(&format!(
            "- all flows between two addresses share a plane: {}\n",
            printable(advice)
        ));
    }
    text
}

/// The count, and the first few.
fn problems(report: &ProblemsReport) -> String {
    if report.warnings + report.notes == 0 {
        return String::new();
    }
    let mut text = format!("\nProblems: {}, notes: {}\n", report.warnings, report.notes);
    for problem in report.listed.iter().take(SHOWN) {
        text.push_str(&format!("- {}\n", printable(&problem.line())));
    }
    let more = (report.warnings + report.notes).saturating_sub(SHOWN);
    if more > 0 {
        text.push_str(&format!("- and {more} more: see twintor status -o json\n"));
    }
    text
}

fn row(report: &StatusReport, plane: &PlaneStatus, session: &SessionStatus) -> [String; 11] {
    let bfd = report
        .bfd_of(session.neighbor)
        .map_or("-", |bfd| bfd.status.word());
    let sum = |of: fn(&FamilyStatus) -> usize| session.families.iter().map(of).sum::<usize>().to_string();
    let is_up = session.uptime_seconds.is_some();
    let reason = session
        .blocked
        .as_ref()
        .or(session.last_error.as_ref())
        .filter(|_| !is_up);
    let next_hops = session.families.iter().filter_map(|family| family.next_hop);
    let next_hops: Vec<_> = next_hops.map(|hop| hop.to_string()).collect();
    let since = match session.uptime_seconds {
        Some(seconds) => uptime(seconds),
        None if session.established_count == 0 => "never".to_owned(),
        None => "down".to_owned(),
    };
    [
        plane.name.clone(),
        session.neighbor.to_string(),
        session.remote_as.to_string(),
        session.state.clone(),
        since,
        bfd.to_owned(),
        or_dash(next_hops.join(",")),
        sum(|family| family.desired),
        sum(|family| family.sent),
        sum(|family| family.received),
        reason.cloned().unwrap_or_else(|| "-".to_owned()),
    ]
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
