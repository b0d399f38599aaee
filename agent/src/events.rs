//! Kubernetes Events on the objects that cannot be announced as they ask for.
//!
//! ```text
//! the consumer ──try_send──▶ bounded queue ──▶ one task: wait 5 s, rate limit ──▶ POST, 409 = another speaker was faster
//! ```
//!
//! Never in the way of a route: what does not fit into the queue gets no Event; status and log have it anyway. An Event is
//! created and never changed: its name follows from the object and the problem, so that all speakers of a cluster write
//! one. Without the right to create Events the writer says so once and drops what comes.

mod event;
mod rate;

#[cfg(test)]
mod tests;

use crate::index::{Problem, ProblemChange, Severity};
use event::NewEvent;
use http::Request;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use kube::Client;
use rate::Rate;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How many problems may wait for their Event; as many changes may wait to be looked at.
const WAITING: usize = 256;

/// How long a problem has to last. A new subnet is not Ready for a moment, and that is nobody's fault.
const SETTLE: Duration = Duration::from_secs(5);

/// How often one Event is tried where the server does not answer, or answers that it cannot now.
const ATTEMPTS: u32 = 3;

/// How long to wait before the second attempt; before the third twice as long.
const RETRY: Duration = Duration::from_secs(2);

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long no Event is tried after the server has refused one for lack of the right.
const FORBIDDEN_PAUSE: Duration = Duration::from_secs(600);

/// Where to put problems that are to become Events.
#[derive(Debug)]
pub struct EventQueue {
    queue: mpsc::Sender<ProblemChange>,
    overflows: bool,
}

/// Starts the writer on the current runtime. It ends with the queue.
pub fn spawn(client: Client, node: Option<String>) -> EventQueue {
    let (queue, changes) = mpsc::channel(WAITING);
    let writer = Writer {
        client,
        node,
        rate: Rate::new(Instant::now()),
        forbidden_until: None,
        told: false,
    };
    tokio::spawn(writer.run(changes));
    EventQueue {
        queue,
        overflows: false,
    }
}

impl EventQueue {
    /// Takes those problems that came and went and that somebody should look at. Never waits.
    pub(crate) fn take(&mut self, changes: &[ProblemChange]) {
        let mut left_out = 0;
        for change in changes {
            let (problem, is_new) = match change {
                ProblemChange::New(problem) => (problem, true),
                ProblemChange::Cleared(problem) => (problem, false),
            };
            if problem.kind.severity() != Severity::Warning {
                continue;
            }
            // Without an identity there is nothing to attach an Event to.
            if is_new && problem.uid.is_empty() {
                continue;
            }
            match self.queue.try_send(change.clone()) {
                Ok(()) => self.overflows = false,
                Err(_) if is_new => left_out += 1,
                Err(_) => {}
            }
        }
        if left_out > 0 && !std::mem::replace(&mut self.overflows, true) {
            tracing::info!(
                left_out,
                "more problems than can be written as Events; twintor status has all of them"
            );
        }
    }
}

struct Writer {
    client: Client,
    node: Option<String>,
    rate: Rate,
    /// Until when nothing is tried.
    forbidden_until: Option<Instant>,
    /// It was said that the right is missing.
    told: bool,
}

/// What came of a request.
#[derive(Debug)]
enum Outcome {
    /// There is an Event now.
    Written,
    /// There was one already.
    Known,
    /// The right is missing.
    Forbidden(String),
    /// Not now; perhaps later.
    Later(String),
    /// Never.
    Refused(String),
}

impl Writer {
    async fn run(mut self, mut changes: mpsc::Receiver<ProblemChange>) {
        let mut waiting = VecDeque::new();
        loop {
            let due = waiting.front().map(|(due, _)| *due);
            let settled = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // What went meanwhile is heard of before anything is written.
                biased;
                change = changes.recv(), if waiting.len() < WAITING => match change {
                    Some(ProblemChange::New(problem)) => waiting.push_back((Instant::now() + SETTLE, problem)),
                    Some(ProblemChange::Cleared(problem)) => {
                        waiting.retain(|(_, other)| !is_same(other, &problem));
                    }
                    None => return,
                },
                () = settled => {
                    if let Some((_, problem)) = waiting.pop_front() {
                        self.write(&problem).await;
                    }
                }
            }
        }
    }

    async fn write(&mut self, problem: &Problem) {
        if self.forbidden_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let event = NewEvent::of(problem, self.node.as_deref(), Timestamp::now());
        let object = &problem.object;
        for attempt in 1..=ATTEMPTS {
            sleep_until(self.rate.next(Instant::now())).await;
            match self.post(&event).await {
                Outcome::Written => return tracing::debug!(%object, "Event written"),
                Outcome::Known => return tracing::debug!(%object, "another speaker has written that Event"),
                Outcome::Forbidden(reason) => return self.pause(&reason),
                Outcome::Refused(reason) => {
                    return tracing::debug!(%object, reason, "the API server does not take an Event");
                }
                Outcome::Later(reason) => {
                    tracing::debug!(%object, attempt, reason, "an Event cannot be written now");
                    sleep(RETRY * attempt).await;
                }
            }
        }
    }

    fn pause(&mut self, reason: &str) {
        self.forbidden_until = Some(Instant::now() + FORBIDDEN_PAUSE);
        if !std::mem::replace(&mut self.told, true) {
            tracing::info!(
                reason,
                "no Events are written at objects with problems: allow the verb create on events in apiGroup \"\" in the \
                 ClusterRole of this speaker"
            );
        }
    }

    async fn post(&self, event: &NewEvent) -> Outcome {
        let request = Request::post(&event.uri)
            .header(CONTENT_TYPE, "application/json")
            .body(event.body.to_string().into_bytes());
        let request = match request {
            Ok(request) => request,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        match timeout(ANSWER_WITHIN, self.client.request_text(request)).await {
            Err(_) => Outcome::Later("no answer in time".to_owned()),
            Ok(Ok(_)) => Outcome::Written,
            Ok(Err(kube::Error::Api(status))) => judge(&status),
            Ok(Err(error)) => Outcome::Later(error.to_string()),
        }
    }
}

/// Whether it is the same problem; the identity of a deleted object is not known any more.
fn is_same(one: &Problem, other: &Problem) -> bool {
    one.object == other.object && one.field == other.field && one.kind == other.kind
}

fn judge(status: &kube::core::Status) -> Outcome {
    let message = status.message.clone();
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let is_ending = causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating");
    match status.code {
        409 => Outcome::Known,
        // A namespace that ends takes nothing more in; that says nothing about others.
        403 if is_ending => Outcome::Refused(message),
        403 => Outcome::Forbidden(message),
        401 | 429 | 500.. => Outcome::Later(message),
        _ => Outcome::Refused(message),
    }
}
