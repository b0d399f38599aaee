//! One task for each kind: list, watch, and list again where a watch cannot go on.

use super::backoff::Backoff;
use super::decode::{Item, Line, Page, read_line, read_page};
use super::lines::Lines;
use super::startup::Standing;
use super::trouble::{Trouble, Verb};
use super::watched::{PAGE, Watched};
use crate::index::Event;
use crate::objects::{Kind, ObjectKey};
use crate::sources::{Batch, Report, ReportChange, Resync, Verdict};
use futures_util::FutureExt;
use http::Request;
use kube::Client;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long one page of a list may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a watch may take to begin.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// After how many seconds the server is asked to end a watch: the least, and how many more at random, so that the nodes
/// of a cluster do not come back at once. A server sends a bookmark before the end.
const WATCH_SECONDS: (u64, u64) = (35, 15);

/// How much later than asked for the end of a watch may come until the connection counts as dead.
const WATCH_GRACE: Duration = Duration::from_secs(10);

/// A watch that ended sooner did not work.
const SHORT_WATCH: Duration = Duration::from_millis(500);

/// How many times in a row a watch may be refused until a list is asked for instead.
const REFUSALS: u32 = 3;

/// How many times in a row a watch may fail until an operator hears of it; one broken connection is nothing.
const SILENT_FAILURES: u32 = 1;

/// How long to wait until an implausible list is asked for again.
pub(super) const DOUBT: Duration = Duration::from_secs(10);

/// How many lines of a watch are folded as one at most.
const LINES: usize = 256;

/// Follows one kind.
pub(super) struct Follower {
    client: Client,
    watched: Watched,
    batches: mpsc::Sender<Batch>,
    standings: mpsc::Sender<(Kind, Standing)>,
    list_backoff: Backoff,
    watch_backoff: Backoff,
    /// What does not work now, as it was reported.
    troubles: BTreeMap<Verb, (Trouble, Report)>,
    /// The objects that cannot be read, as it was reported.
    unreadable: BTreeMap<ObjectKey, Report>,
    /// The last list was not believed.
    doubt: bool,
}

/// The consumer is gone, so there is nothing left to do.
struct Ended;

/// What some objects mean, on its way into a batch.
#[derive(Default)]
struct Step {
    events: Vec<Event>,
    reports: Vec<ReportChange>,
}

/// What a complete list leaves behind.
struct Listed {
    version: String,
    unreadable: BTreeMap<ObjectKey, Report>,
    /// Some object could not even be told apart.
    nameless: bool,
}

impl Follower {
    pub(super) fn new(
        client: Client,
        watched: Watched,
        batches: mpsc::Sender<Batch>,
        standings: mpsc::Sender<(Kind, Standing)>,
    ) -> Self {
        Self {
            client,
            watched,
            batches,
            standings,
            list_backoff: Backoff::new(),
            watch_backoff: Backoff::new(),
            troubles: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            doubt: false,
        }
    }

    /// Until the consumer is gone.
    pub(super) async fn run(mut self) {
        // Ended means that the consumer does not want to know more.
        let _ = self.follow().await;
    }

    async fn follow(&mut self) -> Result<Infallible, Ended> {
        loop {
            let version = self.list().await?;
            self.note(Standing::Listed).await;
            self.watch(version).await?;
        }
    }

    /// Lists everything, however long it takes, and returns the version from which a watch goes on.
    async fn list(&mut self) -> Result<String, Ended> {
        let mut limit = Some(PAGE);
        let listed = loop {
            self.send(Batch {
                resync: Some(Resync::Begin(self.watched.kind)),
                ..Batch::default()
            })
            .await?;
            if let Some(listed) = self.pages(limit).await? {
                break listed;
            }
            // A list that takes longer than the server remembers has to come in one piece.
            limit = None;
        };
        self.end(listed).await
    }

    /// All pages of one list; `None` if it expired on the way.
    async fn pages(&mut self, limit: Option<u32>) -> Result<Option<Listed>, Ended> {
        let mut token = None;
        let mut unreadable = BTreeMap::new();
        let mut nameless = false;
        loop {
            let uri = self.watched.list_uri(limit, token.as_deref());
            let page = match self.page(&uri).await {
                Ok(page) => page,
                Err(Trouble::Expired) if token.is_some() => return Ok(None),
                Err(Trouble::Unknown) if self.watched.fall_back() => continue,
                Err(trouble) => {
                    self.suffer_list(trouble).await?;
                    continue;
                }
            };
            self.list_backoff.reset();
            let mut step = Step::default();
            for item in page.items {
                nameless |= item.key().is_none();
                if let Some((key, report)) = self.unreadable_report(&item) {
                    unreadable.insert(key, report);
                }
                self.take(item, &mut step);
            }
            self.send_step(step).await?;
            token = page.token;
            if token.is_none() {
                return Ok(Some(Listed {
                    version: page.version,
                    unreadable,
                    nameless,
                }));
            }
        }
    }

    async fn page(&self, uri: &str) -> Result<Page, Trouble> {
        let request = request(uri)?;
        let text = timeout(LIST_TIMEOUT, self.client.request_text(request))
            .await
            .map_err(|_| Trouble::Unreachable("no answer in time".to_owned()))?
            .map_err(|error| Trouble::from_error(&error))?;
        read_page(self.watched.kind, &text)
    }

    /// Has the index delete what was not in the list, and returns the version of the list.
    async fn end(&mut self, listed: Listed) -> Result<String, Ended> {
        let mut reports = self.recover(Verb::List);
        self.unreadable.retain(|key, report| {
            let still = listed.unreadable.contains_key(key);
            if !still {
                reports.push(ReportChange::Cleared(report.clone()));
            }
            still
        });
        let plural = self.watched.plural();
        if listed.nameless {
            tracing::warn!(
                plural,
                "an object of the list has no readable name, so nothing is taken as deleted by it"
            );
            self.send(Batch {
                reports,
                ..Batch::default()
            })
            .await?;
            return Ok(listed.version);
        }
        let (sender, verdict) = oneshot::channel();
        let end = Resync::End {
            kind: self.watched.kind,
            confirmed: self.doubt,
            verdict: sender,
        };
        self.send(Batch {
            reports,
            resync: Some(end),
            ..Batch::default()
        })
        .await?;
        match verdict.await.map_err(|_| Ended)? {
            Verdict::Accepted(outcome) => {
                if self.doubt {
                    let (deleted, kept) = (outcome.missing, outcome.kept);
                    tracing::warn!(plural, deleted, kept, "the second list decides what is deleted");
                }
                self.doubt = false;
            }
            Verdict::Doubtful(outcome) => {
                tracing::warn!(
                    plural,
                    missing = outcome.missing,
                    kept = outcome.kept,
                    "most of what is announced is missing from the list; nothing is withdrawn until a second list \
                     confirms it in {} s",
                    DOUBT.as_secs()
                );
                self.doubt = true;
            }
        }
        Ok(listed.version)
    }

    /// Watches until a new list is needed.
    async fn watch(&mut self, mut version: String) -> Result<(), Ended> {
        let list_again = self.doubt.then(|| Instant::now() + DOUBT);
        let mut failures = 0;
        let mut refusals = 0;
        let mut first = true;
        loop {
            let is_first = std::mem::take(&mut first);
            let before = version.clone();
            let begun = Instant::now();
            let ended = self.watch_once(&mut version, list_again).await?;
            if list_again.is_some_and(|at| at <= Instant::now()) {
                return Ok(());
            }
            if version != before {
                (failures, refusals) = (0, 0);
                self.watch_backoff.reset();
            }
            let trouble = match ended {
                Ok(()) if begun.elapsed() >= SHORT_WATCH => {
                    (failures, refusals) = (0, 0);
                    self.watch_backoff.reset();
                    if version == before && self.has_fallen_back(&version).await {
                        return Ok(());
                    }
                    continue;
                }
                Ok(()) => {
                    self.pause(None, list_again).await;
                    continue;
                }
                Err(trouble) => trouble,
            };
            failures += 1;
            tracing::debug!(
                plural = self.watched.plural(),
                failures,
                ?trouble,
                "a watch failed"
            );
            if trouble == Trouble::Expired {
                // A version that is too old as soon as it was listed is not to become a storm of lists.
                if is_first && version == before {
                    self.pause(None, list_again).await;
                }
                return Ok(());
            }
            if failures > SILENT_FAILURES {
                let reports = self.suffer(Verb::Watch, &trouble);
                self.send_reports(reports).await?;
            }
            self.pause(trouble.wait(), list_again).await;
            if !matches!(trouble, Trouble::Unreachable(_)) {
                refusals += 1;
            }
            if refusals >= REFUSALS {
                return Ok(());
            }
        }
    }

    /// Whether the server's version lies before ours. A server whose store was replaced opens a watch from a version that
    /// it has not reached, and says nothing, not even a bookmark.
    async fn has_fallen_back(&self, version: &str) -> bool {
        let page = self.page(&self.watched.list_uri(Some(1), None)).await;
        page.is_ok_and(|page| is_before(&page.version, version))
    }

    /// One watch to its end. The version follows what was delivered.
    async fn watch_once(
        &mut self,
        version: &mut String,
        list_again: Option<Instant>,
    ) -> Result<Result<(), Trouble>, Ended> {
        let (least, more) = WATCH_SECONDS;
        let seconds = least + fastrand::u64(0..=more);
        let silent = Instant::now() + Duration::from_secs(seconds) + WATCH_GRACE;
        let until = list_again.map_or(silent, |at| at.min(silent));
        let request = match request(&self.watched.watch_uri(version, seconds)) {
            Ok(request) => request,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let client = self.client.clone();
        let opened = timeout(OPEN_TIMEOUT, client.request_stream(request)).await;
        let stream = match opened {
            Err(_) => return Ok(Err(Trouble::Unreachable("no answer in time".to_owned()))),
            Ok(Err(error)) => return Ok(Err(Trouble::from_error(&error))),
            Ok(Ok(stream)) => stream,
        };
        let recovered = self.recover(Verb::Watch);
        self.send_reports(recovered).await?;
        let mut lines = Lines::new(Box::pin(stream));
        loop {
            let Ok(line) = timeout_at(until, lines.next()).await else {
                let dead = Trouble::Unreachable("the connection of the watch is dead".to_owned());
                return Ok(if until == silent { Err(dead) } else { Ok(()) });
            };
            let mut step = Step::default();
            let mut ended = self.take_line(line, &mut step, version);
            // Everything that is here already belongs to the same moment.
            for _ in 1..LINES {
                if ended.is_some() {
                    break;
                }
                let Some(line) = lines.next().now_or_never() else {
                    break;
                };
                ended = self.take_line(line, &mut step, version);
            }
            self.send_step(step).await?;
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    /// Takes in one line; how the watch ended, if that was the last one.
    fn take_line(
        &mut self,
        line: io::Result<Option<&[u8]>>,
        step: &mut Step,
        version: &mut String,
    ) -> Option<Result<(), Trouble>> {
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) => return Some(Ok(())),
            Err(error) => return Some(Err(Trouble::Unreachable(error.to_string()))),
        };
        let line = read_line(self.watched.kind, line);
        if let Some(newer) = line.version() {
            if is_before(newer, version) {
                return Some(Err(Trouble::Expired));
            }
            newer.clone_into(version);
        }
        match line {
            Line::Upsert(item, _) => self.take(item, step),
            Line::Delete(key, _) => {
                let cleared = self.unreadable.remove(&key).map(ReportChange::Cleared);
                step.reports.extend(cleared);
                step.events.push(Event::Delete(key));
            }
            Line::Error(trouble) => return Some(Err(trouble)),
            Line::Bookmark(_) | Line::Other => {}
        }
        None
    }

    fn take(&mut self, item: Item, step: &mut Step) {
        match (self.unreadable_report(&item), item.key()) {
            (Some((key, report)), _) => {
                if self.unreadable.get(&key) != Some(&report) {
                    let former = self.unreadable.insert(key, report.clone());
                    step.reports.extend(former.map(ReportChange::Cleared));
                    step.reports.push(ReportChange::New(report));
                }
            }
            (None, Some(key)) => {
                let cleared = self.unreadable.remove(&key).map(ReportChange::Cleared);
                step.reports.extend(cleared);
            }
            (None, None) => {}
        }
        step.events.extend(item.into_event());
    }

    fn unreadable_report(&self, item: &Item) -> Option<(ObjectKey, Report)> {
        let Item::Unreadable(Some(key), reason) = item else {
            return None;
        };
        let message = format!("cannot be read: {reason}; what was known of it stays in use");
        Some((key.clone(), Report::new(key.to_string(), message)))
    }

    /// Says what is wrong with listing, and waits.
    async fn suffer_list(&mut self, trouble: Trouble) -> Result<(), Ended> {
        let standing = if trouble.is_lasting() {
            Standing::Refused
        } else {
            Standing::Waiting
        };
        self.note(standing).await;
        let reports = self.suffer(Verb::List, &trouble);
        self.send_reports(reports).await?;
        sleep(self.list_backoff.next(trouble.wait())).await;
        Ok(())
    }

    /// What is to be reported of a trouble: nothing if it was said already.
    fn suffer(&mut self, verb: Verb, trouble: &Trouble) -> Vec<ReportChange> {
        let former = self.troubles.get(&verb);
        if former.is_some_and(|(former, _)| former.is_like(trouble)) {
            return Vec::new();
        }
        let message = trouble.explain(verb, &self.watched);
        let message = format!("{message}; what is known stays as it is");
        let report = Report::new(self.watched.plural(), message);
        let former = self.troubles.insert(verb, (trouble.clone(), report.clone()));
        let cleared = former.map(|(_, report)| ReportChange::Cleared(report));
        cleared.into_iter().chain([ReportChange::New(report)]).collect()
    }

    /// What is to be reported when something works.
    fn recover(&mut self, verb: Verb) -> Vec<ReportChange> {
        let former = self.troubles.remove(&verb);
        let cleared = former.map(|(_, report)| ReportChange::Cleared(report));
        cleared.into_iter().collect()
    }

    /// Waits after a failed watch, but not beyond that moment.
    async fn pause(&mut self, asked: Option<Duration>, list_again: Option<Instant>) {
        let wake = Instant::now() + self.watch_backoff.next(asked);
        let wake = list_again.map_or(wake, |at| at.min(wake));
        tokio::time::sleep_until(wake).await;
    }

    async fn note(&self, standing: Standing) {
        // Nobody listens any more once the start is over.
        let _ = self.standings.send((self.watched.kind, standing)).await;
    }

    async fn send_step(&self, step: Step) -> Result<(), Ended> {
        let Step { events, reports } = step;
        if events.is_empty() && reports.is_empty() {
            return Ok(());
        }
        self.send(Batch {
            events,
            reports,
            ..Batch::default()
        })
        .await
    }

    async fn send_reports(&self, reports: Vec<ReportChange>) -> Result<(), Ended> {
        self.send_step(Step {
            reports,
            ..Step::default()
        })
        .await
    }

    async fn send(&self, batch: Batch) -> Result<(), Ended> {
        self.batches.send(batch).await.map_err(|_| Ended)
    }
}

/// Whether a version lies before another one. Versions are numbers that only grow; they fall back where the store of the
/// cluster was replaced by an older or a new one, and then only a list tells what there is.
fn is_before(version: &str, other: &str) -> bool {
    match (version.parse::<u64>(), other.parse::<u64>()) {
        (Ok(version), Ok(other)) => version < other,
        _ => false,
    }
}

fn request(uri: &str) -> Result<Request<Vec<u8>>, Trouble> {
    Request::get(uri)
        .header(http::header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|error| Trouble::Nonsense(error.to_string()))
}
