//! `twintor explain bfd` for people.

use super::story::{FiredFirst, Story, millis};
use super::table::{printable, uptime};
use crate::report::{BfdPeer, RecordingReport};
use jiff::Timestamp;
use std::fmt::Write;

pub(super) fn text(
    recording: &RecordingReport,
    session: &BfdPeer,
    story: Option<&Story>,
    now: Timestamp,
) -> String {
    let plane = recording
        .plane
        .as_deref()
        .map(|plane| format!(" (plane {plane})"));
    let plane = plane.unwrap_or_default();
    let state_for = session.uptime.or(session.downtime);
    let state_for = state_for.map(|seconds| format!(" for {}", uptime(seconds)));
    let mut text = format!(
        "BFD with {}{} is {}{}",
        recording.peer,
        printable(&plane),
        session.status.word(),
        state_for.unwrap_or_default(),
    );
    let Some(story) = story else {
        let _ = writeln!(
            text,
            ".\nThe recorder has no failure: {} entries, the last {}.",
            recording.entries.len(),
            recording
                .entries
                .last()
                .map_or_else(|| "never".to_owned(), |entry| entry.at.to_string()),
        );
        return text;
    };
    // Writing to a string cannot fail.
    let _ = write_story(&mut text, story, now);
    text
}

fn write_story(text: &mut String, story: &Story, now: Timestamp) -> std::fmt::Result {
    let ago = now.duration_since(story.failed_at).as_secs();
    let ago = uptime(u64::try_from(ago).unwrap_or(0));
    writeln!(text, "; it failed last at {:.3}, {ago} ago.\n", story.failed_at)?;
    for moment in &story.moments {
        let offset = moment.offset_us as f64 / 1_000.0;
        writeln!(text, "{offset:>+12.1} ms  {}", printable(&moment.text))?;
    }
    let first = match story.fired_first {
        FiredFirst::Local => "we: nothing arrived in time",
        FiredFirst::Remote => "the switch: it said that its session is down",
    };
    writeln!(text, "\nFired first:  {first}")?;
    let or_unknown = |micros: Option<u64>| micros.map_or_else(|| "not recorded".to_owned(), millis);
    writeln!(
        text,
        "Silence:      {} (detection time {}); {} packets dropped in it",
        or_unknown(story.silence_us),
        or_unknown(story.detection_time_us),
        story.dropped,
    )?;
    let stall = story.local_stall_us.map_or_else(|| "none".to_owned(), millis);
    writeln!(text, "Local stall:  {stall}")?;
    writeln!(
        text,
        "Our packets:  {} before the failure, longest pause {}",
        story.sent_before,
        or_unknown(story.longest_pause_us),
    )?;
    writeln!(text, "Verdict:      {}", printable(&story.verdict))
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
