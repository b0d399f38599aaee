//! What a recording tells of the last failure. Pure.

use crate::report::{Entry, EventReport, PacketReport, RecordingReport};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// While a session is not up, we speak at least once a second. What was recorded later than this after a failure does
/// not follow it directly: the recorder has forgotten what was in between.
const CONTIGUOUS: SignedDuration = SignedDuration::from_secs(2);

/// The diagnostic of an end that has heard nothing for its detection time.
const LOST: &str = "control_detection_time_expired";

/// How a session failed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The switch.
    pub peer: IpAddr,
    /// Its plane.
    pub plane: Option<String>,
    /// When it failed.
    pub failed_at: Timestamp,
    /// Who noticed first.
    pub fired_first: FiredFirst,
    /// What made the session fail, as in the event of the recorder.
    pub cause: String,
    /// Our diagnostic.
    pub diag: String,
    /// The diagnostic that the switch had sent last.
    pub remote_diag: String,
    /// From the last packet that was used to the failure, µs; `None` if none is recorded.
    pub silence_us: Option<u64>,
    /// What the intervals of both ends make of it, µs; `None` if they are not recorded.
    pub detection_time_us: Option<u64>,
    /// How long this process did not run shortly before, µs.
    pub local_stall_us: Option<u64>,
    /// Packets that the switch sent in that time and that were not used.
    pub dropped: u64,
    /// Why the last of them was not used.
    pub dropped_because: Option<String>,
    /// Packets that we sent in the last detection time of the switch before the failure.
    pub sent_before: usize,
    /// The longest time in which we sent nothing then, µs.
    pub longest_pause_us: Option<u64>,
    /// The moments that matter, in order.
    pub moments: Vec<Moment>,
    /// What follows from all that.
    pub verdict: String,
}

/// Who noticed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FiredFirst {
    /// We: nothing arrived for a detection time.
    Local,
    /// The switch: it said that its session is down.
    Remote,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Microseconds after the failure; before it, negative.
    pub offset_us: i64,
    /// What.
    pub text: String,
}

impl Story {
    /// The last failure in a recording; `None` if there is none.
    #[must_use]
    pub fn of(recording: &RecordingReport) -> Option<Self> {
        let is_failure = |entry: &Entry| matches!(entry.event, EventReport::State { failure: true, .. });
        let at = recording.entries.iter().rposition(is_failure)?;
        let (before, rest) = recording.entries.split_at(at);
        let (failure, after) = rest.split_first()?;
        let EventReport::State {
            cause,
            diag,
            remote_diag,
            ..
        } = &failure.event
        else {
            return None;
        };
        let failed_at = failure.at;
        let remote_fired = cause == "remote_down";
        // What the switch said to end the session is not what it said while all was well.
        let heard = if remote_fired {
            last_heard_up(before)
        } else {
            last_heard(before)
        };
        let last = heard.map(|(index, packet)| (&before[index], packet));
        let since_last = heard.map_or(before, |(index, _)| &before[index + 1..]);
        let window = remote_detection(before).unwrap_or(Duration::from_secs(1));
        let sent = sent_within(since_up(before), failed_at, window);
        let detection_time_us = last.and_then(|(_, packet)| local_detection(before, packet));
        // After a stall, silence is forgiven for one detection time.
        let blame = window.max(Duration::from_micros(detection_time_us.unwrap_or(0))) * 2;
        let mut story = Self {
            peer: recording.peer,
            plane: recording.plane.clone(),
            failed_at,
            fired_first: if remote_fired {
                FiredFirst::Remote
            } else {
                FiredFirst::Local
            },
            cause: cause.clone(),
            diag: diag.clone(),
            remote_diag: remote_diag.clone(),
            silence_us: last.map(|(entry, _)| between(entry.at, failed_at)),
            detection_time_us,
            local_stall_us: stall(before, failed_at, blame),
            dropped: dropped(since_last).0,
            dropped_because: dropped(since_last).1,
            sent_before: sent.len(),
            longest_pause_us: longest_pause(&sent, failed_at),
            moments: Vec::new(),
            verdict: String::new(),
        };
        let after = aftermath(after, failed_at);
        story.moments = moments(last, before, failure, after);
        story.verdict = story.judge(last.map(|(_, packet)| packet), after, window);
        Some(story)
    }

    fn judge(&self, before: Option<&PacketReport>, after: &[Entry], window: Duration) -> String {
        if let Some(stalled) = self.local_stall_us {
            let stalled = millis(stalled);
            return format!(
                "this process did not run for {stalled}: the fault is on this node (no CPU, a paused machine), not the switch's"
            );
        }
        let starved = self
            .longest_pause_us
            .is_some_and(|pause| u128::from(pause) > window.as_micros());
        match self.fired_first {
            FiredFirst::Remote if starved && self.remote_diag == LOST => {
                "the switch heard nothing from us, and we sent nothing for longer than it waits: the fault is on this node"
                    .to_owned()
            }
            FiredFirst::Remote => match self.remote_diag.as_str() {
                LOST => {
                    "the switch heard nothing from us although we sent on time: our packets were lost on the way to it"
                        .to_owned()
                }
                "neighbor_signaled_session_down" => {
                    "the switch took a packet of ours for the end of the session: the two ends crossed while coming up".to_owned()
                }
                "none" => "the switch ended the session and gives no reason: its BFD was restarted or reconfigured".to_owned(),
                reason => format!("the switch ended the session and says why: {reason}"),
            },
            FiredFirst::Local => self.judge_silence(before, after),
        }
    }

    fn judge_silence(&self, before: Option<&PacketReport>, after: &[Entry]) -> String {
        if let Some(reason) = &self.dropped_because {
            return format!("packets of the switch arrived, but were not used: {reason}");
        }
        let Some((entry, back)) = first_heard(after) else {
            return "the switch fell silent; what came next is not recorded: it died, or the link did"
                .to_owned();
        };
        let is_other = before.is_some_and(|before| before.my_discriminator != back.my_discriminator);
        if is_other {
            return "the switch came back with another discriminator: it, or its BFD, was restarted"
                .to_owned();
        }
        if back.state == "up" {
            let late = millis(between(self.failed_at, entry.at));
            return format!(
                "the switch had noticed nothing and was heard again {late} later: its packets were late or lost for a moment \
                 (a busy switch, a lossy link), or the detection time is too short"
            );
        }
        match back.diag.as_str() {
            "neighbor_signaled_session_down" => {
                "the switch heard us all the time: only the way from it to us was broken".to_owned()
            }
            LOST => {
                "the switch lost us as well: the way was broken in both directions, or the switch stood still"
                    .to_owned()
            }
            "administratively_down" => "an administrator turned BFD off on the switch".to_owned(),
            _ => "the switch was silent and came back".to_owned(),
        }
    }
}

/// What follows the failure without a gap.
fn aftermath(after: &[Entry], failed_at: Timestamp) -> &[Entry] {
    let mut last = failed_at;
    let contiguous = after.iter().take_while(|entry| {
        let close = entry.at.duration_since(last) < CONTIGUOUS;
        last = entry.at;
        close
    });
    &after[..contiguous.count()]
}

fn moments(
    last: Option<(&Entry, &PacketReport)>,
    before: &[Entry],
    failure: &Entry,
    after: &[Entry],
) -> Vec<Moment> {
    let since_last = || {
        before
            .iter()
            .filter(|entry| last.is_none_or(|(last, _)| entry.at >= last.at))
    };
    let offset = |entry: &Entry| {
        let micros = entry.at.duration_since(failure.at).as_micros();
        i64::try_from(micros).unwrap_or(i64::MAX)
    };
    let mut moments = Vec::new();
    let mut add = |entry: &Entry, text: String| {
        moments.push(Moment {
            offset_us: offset(entry),
            text,
        });
    };
    if let Some((entry, packet)) = last {
        add(
            entry,
            format!("last packet of the switch: {}", packet_text(packet)),
        );
    }
    for entry in since_last() {
        if let Some(text) = notable(&entry.event) {
            add(entry, text);
        }
    }
    let end =
        since_last().find_map(|entry| Some((entry, heard(entry).filter(|packet| packet.state != "up")?)));
    if let Some((entry, packet)) = end {
        add(
            entry,
            format!("the packet that ended it: {}", packet_text(packet)),
        );
    }
    let last_sent = since_last()
        .filter_map(|entry| Some((entry, sent(entry)?)))
        .next_back();
    if let Some((entry, packet)) = last_sent {
        add(entry, format!("our last packet: {}", packet_text(packet)));
    }
    add(failure, notable(&failure.event).unwrap_or_default());
    let first_sent = after.iter().find_map(|entry| Some((entry, sent(entry)?)));
    if let Some((entry, packet)) = first_sent {
        add(
            entry,
            format!("our first packet after it: {}", packet_text(packet)),
        );
    }
    if let Some((entry, packet)) = first_heard(after) {
        add(
            entry,
            format!("first packet of the switch: {}", packet_text(packet)),
        );
    }
    for entry in after {
        if let Some(text) = notable(&entry.event) {
            add(entry, text);
        }
    }
    moments.sort_by_key(|moment| moment.offset_us);
    moments
}

/// The text of what is no packet that was used.
fn notable(event: &EventReport) -> Option<String> {
    Some(match event {
        EventReport::Received {
            dropped: Some(reason),
            repeated,
            ..
        } => match repeated {
            0 => format!("a packet was dropped: {reason}"),
            more => format!("{} packets were dropped: {reason}", u64::from(*more) + 1),
        },
        EventReport::Sent { taken: false, .. } => {
            "a packet of ours was not sent: the system refused it".to_owned()
        }
        EventReport::State {
            from,
            to,
            cause,
            diag,
            remote_diag,
            ..
        } => format!("{from} -> {to}: {cause} (diagnostic {diag}, of the switch {remote_diag})"),
        EventReport::RemoteDisabled => "the switch turned BFD off".to_owned(),
        EventReport::RemoteEnabled => "the switch turned BFD on".to_owned(),
        EventReport::LocalStall { stalled_us } => {
            format!("this process had not run for {}", millis(*stalled_us))
        }
        EventReport::Grace => "silence was forgiven for one detection time".to_owned(),
        EventReport::Received { .. } | EventReport::Sent { .. } | EventReport::PollCompleted => return None,
    })
}

fn packet_text(packet: &PacketReport) -> String {
    let interval = millis(packet.desired_min_tx_us.into());
    format!(
        "{}, diagnostic {}, {interval} x {}",
        packet.state, packet.diag, packet.detect_multiplier
    )
}

/// A packet of the switch that was used.
fn heard(entry: &Entry) -> Option<&PacketReport> {
    let EventReport::Received {
        dropped: None,
        packet,
        ..
    } = &entry.event
    else {
        return None;
    };
    packet.as_ref()
}

/// A packet of ours that left.
fn sent(entry: &Entry) -> Option<&PacketReport> {
    let EventReport::Sent { taken: true, packet } = &entry.event else {
        return None;
    };
    packet.as_ref()
}

fn last_heard(entries: &[Entry]) -> Option<(usize, &PacketReport)> {
    let indexed = entries.iter().enumerate();
    indexed
        .rev()
        .find_map(|(index, entry)| Some((index, heard(entry)?)))
}

fn last_heard_up(entries: &[Entry]) -> Option<(usize, &PacketReport)> {
    let indexed = entries.iter().enumerate();
    let mut heard = indexed
        .rev()
        .filter_map(|(index, entry)| Some((index, heard(entry)?)));
    heard.find(|(_, packet)| packet.state == "up")
}

fn first_heard(entries: &[Entry]) -> Option<(&Entry, &PacketReport)> {
    entries.iter().find_map(|entry| Some((entry, heard(entry)?)))
}

fn last_sent(entries: &[Entry]) -> Option<&PacketReport> {
    entries.iter().rev().find_map(sent)
}

/// RFC 5880 section 6.8.4, with the intervals of the last packets of both ends.
fn local_detection(before: &[Entry], heard: &PacketReport) -> Option<u64> {
    let ours = last_sent(before)?;
    let interval = u64::from(heard.desired_min_tx_us.max(ours.required_min_rx_us));
    Some(interval * u64::from(heard.detect_multiplier))
}

/// The same at the other end.
fn remote_detection(before: &[Entry]) -> Option<Duration> {
    let ours = last_sent(before)?;
    let (_, theirs) = last_heard(before)?;
    let interval = u64::from(ours.desired_min_tx_us.max(theirs.required_min_rx_us));
    Some(Duration::from_micros(
        interval * u64::from(ours.detect_multiplier),
    ))
}

/// What was noted since the session came up: before that, we speak slowly.
fn since_up(before: &[Entry]) -> &[Entry] {
    let is_up = |entry: &Entry| matches!(&entry.event, EventReport::State { to, .. } if to == "up");
    let start = before.iter().rposition(is_up).unwrap_or(0);
    &before[start..]
}

/// When we sent, from one detection time of the switch before the failure on, with the packet before that.
fn sent_within(before: &[Entry], failed_at: Timestamp, window: Duration) -> Vec<Timestamp> {
    let mut times = Vec::new();
    for entry in before.iter().rev().filter(|entry| sent(entry).is_some()) {
        times.push(entry.at);
        if age(entry, failed_at) > window {
            break;
        }
    }
    times.reverse();
    times
}

fn longest_pause(sent: &[Timestamp], failed_at: Timestamp) -> Option<u64> {
    let nexts = sent.iter().skip(1).chain([&failed_at]);
    sent.iter()
        .zip(nexts)
        .map(|(one, next)| between(*one, *next))
        .max()
}

/// The longest stall that ended at most `blame` before the failure.
fn stall(before: &[Entry], failed_at: Timestamp, blame: Duration) -> Option<u64> {
    // Entries are in the order in which they were noted: after a stall, packets that had waited come after it.
    let recent = before.iter().filter(|entry| age(entry, failed_at) <= blame);
    let stalled = |entry: &Entry| {
        let EventReport::LocalStall { stalled_us } = entry.event else {
            return None;
        };
        Some(stalled_us)
    };
    recent.filter_map(stalled).max()
}

/// How many packets were not used, and why the last of them was not.
fn dropped(entries: &[Entry]) -> (u64, Option<String>) {
    let mut count = 0;
    let mut last = None;
    for entry in entries {
        if let EventReport::Received {
            dropped: Some(reason),
            repeated,
            ..
        } = &entry.event
        {
            count += u64::from(*repeated) + 1;
            last = Some(reason.clone());
        }
    }
    (count, last)
}

fn age(entry: &Entry, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(entry.at)).unwrap_or_default()
}

fn between(one: Timestamp, other: Timestamp) -> u64 {
    u64::try_from(other.duration_since(one).as_micros()).unwrap_or(0)
}

/// Milliseconds with a tenth where it says something.
pub(super) fn millis(micros: u64) -> String {
    if micros.is_multiple_of(1_000) {
        format!("{} ms", micros / 1_000)
    } else {
        format!("{:.1} ms", micros as f64 / 1_000.0)
    }
}

#[cfg(test)]
#[path = "story_tests.rs"]
mod tests;
