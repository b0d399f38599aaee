//! An open watch.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{MsgFlags, recv};
use serde_json::json;

use super::State;
use super::fault::Fault;
use super::serve::{Connection, Target, status_object};
use super::store::{Change, Entry};
use crate::kube::http::write_chunk;

/// How often a connection on which nothing happens is looked at.
pub(super) const GLANCE: Duration = Duration::from_millis(50);

/// The real server sends a last bookmark so long before it ends a watch.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// What the real server takes when the client does not say; it adds up to as much again by chance.
const TIMEOUT: u64 = 1800;

struct Watching<'a> {
    connection: &'a Connection<'a>,
    target: &'a Target,
    /// The faults that the request met.
    met: Vec<Fault>,
    start: Instant,
    timeout: Duration,
    next_bookmark: Option<Duration>,
    watch_era: u64,
    /// The next entry of the log.
    cursor: u64,
}

enum Step {
    Send(Vec<String>),
    Wait(Duration),
    Swallow,
    End,
}

/// Serves a watch to its end.
pub(super) fn watch(connection: &Connection<'_>, target: &Target, met: Vec<Fault>) -> Result<()> {
    let seconds = target.query("timeoutSeconds").map_or(Ok(TIMEOUT), str::parse)?;
    let timeout = Duration::from_secs(seconds);
    let wants = target.flag("allowWatchBookmarks");
    let mut state = connection.shared.lock();
    let watching = Watching {
        connection,
        target,
        met,
        start: Instant::now(),
        timeout,
        next_bookmark: timeout.checked_sub(LAST_BOOKMARK).filter(|_| wants),
        watch_era: state.watch_era,
        cursor: state.store.end(),
    };
    let first = watching.catch_up(&state);
    state.watches.push(target.kind);
    drop(state);
    let served = watching.serve(first);
    let mut state = connection.shared.lock();
    let position = state.watches.iter().position(|kind| *kind == target.kind);
    position.map(|position| state.watches.swap_remove(position));
    served
}

/// Whether the client has closed the connection.
pub(super) fn left(socket: &TcpStream) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    matches!(recv(socket.as_raw_fd(), &mut [0], flags), Ok(0))
}

impl Watching<'_> {
    fn serve(mut self, first: Result<Vec<String>>) -> Result<()> {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut socket = self.connection.socket;
        socket.write_all(head.as_bytes())?;
        match first {
            Ok(lines) => self.send(&lines)?,
            Err(_) => {
                write_chunk(&mut socket, gone().as_bytes())?;
                return write_chunk(&mut socket, b"").context("end the watch");
            }
        }
        loop {
            let step = {
                let mut state = self.connection.shared.lock();
                match self.step(&state)? {
                    Step::Wait(rest) => {
                        state = self.connection.shared.wait(state, rest.min(GLANCE));
                        drop(state);
                        if left(self.connection.socket) {
                            return Ok(());
                        }
                        continue;
                    }
                    step @ (Step::Send(_) | Step::Swallow | Step::End) => step,
                }
            };
            match step {
                Step::Send(lines) => self.send(&lines)?,
                Step::Swallow => return self.connection.swallow(Duration::MAX),
                Step::End | Step::Wait(_) => return write_chunk(&mut socket, b"").context("end the watch"),
            }
        }
    }

    /// What the watch starts with: everything there is, or what has happened since its version.
    fn catch_up(&self, state: &State) -> Result<Vec<String>> {
        let store = &state.store;
        let mut lines = Vec::new();
        let from = self
            .target
            .query("resourceVersion")
            .filter(|version| *version != "0");
        let Some(from) = from else {
            for (_, text) in store.list(self.target.kind, None) {
                if self.target.selects(Some(text))? {
                    lines.push(event("ADDED", text));
                }
            }
            return Ok(lines);
        };
        let from = from.parse::<u64>()?;
        anyhow::ensure!(from >= store.oldest(), "too old");
        let faults = self.faults(state);
        for change in store.since(from).filter(|change| change.kind == self.target.kind) {
            lines.extend(self.lines(change, &faults)?);
        }
        Ok(lines)
    }

    fn step(&mut self, state: &State) -> Result<Step> {
        let open = self.start.elapsed();
        let faults = self.faults(state);
        if state.era != self.connection.era || state.watch_era != self.watch_era || open >= self.timeout {
            return Ok(Step::End);
        }
        let mut rest = self.timeout - open;
        for fault in &faults {
            match fault {
                Fault::BlackHole => return Ok(Step::Swallow),
                Fault::Gone => {
                    // The error is the last event.
                    self.timeout = Duration::ZERO;
                    return Ok(Step::Send(vec![gone()]));
                }
                Fault::ShortWatch(limit) if open >= *limit => return Ok(Step::End),
                Fault::ShortWatch(limit) => rest = rest.min(*limit - open),
                Fault::Status(_)
                | Fault::TooMany(_)
                | Fault::Slow(_)
                | Fault::Truncated
                | Fault::EmptyList
                | Fault::HalfList
                | Fault::Duplicates
                | Fault::Stale
                | Fault::BookmarksOnly => {}
            }
        }
        if let Some(at) = self.next_bookmark {
            if open >= at {
                self.next_bookmark = None;
                return Ok(Step::Send(self.bookmark(state)));
            }
            rest = rest.min(at - open);
        }
        let Ok(entry) = state.store.entry(self.cursor) else {
            self.timeout = Duration::ZERO;
            return Ok(Step::Send(vec![gone()]));
        };
        let Some(entry) = entry else {
            return Ok(Step::Wait(rest));
        };
        self.cursor += 1;
        let lines = match entry {
            Entry::Change(change) if change.kind == self.target.kind => self.lines(change, &faults)?,
            Entry::Raw { kind, text } if *kind == self.target.kind => vec![format!("{text}\n")],
            Entry::Bookmark if self.target.flag("allowWatchBookmarks") => self.bookmark(state),
            Entry::Change(_) | Entry::Raw { .. } | Entry::Bookmark => Vec::new(),
        };
        Ok(Step::Send(lines))
    }

    fn faults(&self, state: &State) -> Vec<Fault> {
        let mut faults = self.met.clone();
        faults.extend(state.rules.meet_open(self.target.kind().name));
        faults
    }

    /// A change as this watch sees it: an object that stops matching its selector is deleted for it.
    fn lines(&self, change: &Change, faults: &[Fault]) -> Result<Vec<String>> {
        let was = self.target.selects(change.before.as_deref())?;
        let is = !change.deleted && self.target.selects(Some(&change.object))?;
        let line = match (was, is) {
            (false, false) => return Ok(Vec::new()),
            (false, true) => event("ADDED", &change.object),
            (true, true) => event("MODIFIED", &change.object),
            (true, false) => event("DELETED", &change.object),
        };
        if faults.contains(&Fault::BookmarksOnly) {
            return Ok(vec![self.bookmark_at(change.revision)]);
        }
        let mut lines = vec![line.clone()];
        if faults.contains(&Fault::Duplicates) {
            lines.push(line);
        }
        if faults.contains(&Fault::Stale)
            && let Some(before) = change.before.as_ref().map(Arc::as_ref)
        {
            lines.push(event("MODIFIED", before));
        }
        Ok(lines)
    }

    fn bookmark(&self, state: &State) -> Vec<String> {
        vec![self.bookmark_at(state.store.revision())]
    }

    fn bookmark_at(&self, revision: u64) -> String {
        let kind = self.target.kind();
        let object = json!({
            "kind": kind.name,
            "apiVersion": kind.api_version(),
            "metadata": { "resourceVersion": revision.to_string(), "creationTimestamp": null },
        });
        event("BOOKMARK", &object.to_string())
    }

    fn send(&self, lines: &[String]) -> Result<()> {
        let mut socket = self.connection.socket;
        for line in lines {
            let truncated = {
                let state = self.connection.shared.lock();
                self.faults(&state).contains(&Fault::Truncated)
            };
            if truncated {
                let half = &line.as_bytes()[..line.len() / 2];
                write_chunk(&mut socket, half)?;
                anyhow::bail!("broken off as asked");
            }
            write_chunk(&mut socket, line.as_bytes())?;
        }
        Ok(())
    }
}

fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn gone() -> String {
    event(
        "ERROR",
        &status_object(410, "too old resource version").to_string(),
    )
}
