//! The wiring: settings → source → index → announcer.
//!
//! ```text
//! manifests thread, or    ──Batch──▶ consume ──▶ Index ──Vec<Change>──▶ Announcer (the rack)
//! one task per watched kind
//! ```
//!
//! The channel from the source is bounded, so a slow announcer slows the source and nothing piles up. The index
//! is owned by the consuming task alone.

use crate::board::Board;
use crate::cli::Settings;
use crate::config::{Labels, NodeSource, Planner, Reloader, Resolved, Resolver};
use crate::control::{Control, ControlSocket};
use crate::events::{self, EventQueue};
use crate::http;
use crate::index::{Change, Index, IndexConfig, Mode, Problem, ProblemChange, ResyncOutcome, Severity};
use crate::objects::Kind;
use crate::rack::RackAnnouncer;
use crate::sources::kubernetes::{self, KubernetesSource};
use crate::sources::manifests::{self, ManifestSource};
use crate::sources::{Batch, ReportChange, Resync, Verdict};
use crate::state::{LastRun, Remembered};
use anyhow::Context;
use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// How many batches may wait for the index. One batch is one change of the outside world; a burst larger than
/// this waits in the kernel's inotify queue.
const BATCHES: usize = 64;

/// How many lines of one kind are logged for one batch; the rest is counted. A directory full of mistakes must not
/// bury everything else.
const LINES: usize = 20;

/// How long to wait until a reading that would withdraw most of what there is is repeated.
const DOUBT: Duration = Duration::from_secs(10);

/// How long the rack may take to say good-bye. kubelet kills 30 s after the signal by default; a NAT gateway pod
/// has no grace at all.
const FAREWELL: Duration = Duration::from_secs(5);

/// Takes the changes of the desired set to the switches.
pub trait Announcer: Send {
    /// Announces and withdraws. Each prefix is in the changes at most once.
    fn apply(&mut self, changes: Vec<Change>) -> impl Future<Output = ()> + Send;

    /// Everything that was there at the start has been applied: from now on an absent prefix is meant to be absent
    /// (End-of-RIB may be sent). Called once.
    fn sync_complete(&mut self) -> impl Future<Output = ()> + Send;

    /// What was applied so far may be announced, though not everything is known: without End-of-RIB.
    fn open_early(&mut self) -> impl Future<Output = ()> + Send;

    /// The process ends by a signal.
    fn shut_down(&mut self, farewell: Farewell) -> impl Future<Output = ()> + Send;
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// By SIGTERM, as for an upgrade: a successor is expected. Switches that agreed on graceful restart keep the routes.
    Restarts,
    /// By SIGINT: for good. Every switch is told to drop the routes.
    Leaves,
}

/// Runs until SIGTERM or SIGINT. The log must be set up.
///
/// # Errors
///
/// If the source cannot be started or ends by itself, or the process lacks a basic resource.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let socket = settings
            .control_socket
            .as_deref()
            .map(ControlSocket::bind)
            .transpose()?;
        let control = Control::default();
        if let Some(socket) = socket {
            let control = control.clone();
            // It goes with the runtime, and then removes its file.
            tokio::spawn(async move { socket.serve(control).await });
        }
        let board = Board::default();
        let api = http::Api::new(settings.node_name.as_deref()).with_problems(board.reader());
        if let Some(address) = settings.http {
            http::spawn(address, api.clone());
        }
        let resolver = Resolver::new(Arc::new(settings.clone()), labels(settings).await?);
        let (text, resolved) = tokio::select! {
            started = resolver.start() => started?,
            _ = signals.next() => return Ok(()),
        };
        for warning in &resolved.warnings {
            tracing::warn!("{warning}");
        }
        let start = LastRun::look(&resolved, settings);
        let announcer = tokio::select! {
            announcer = RackAnnouncer::start(&resolved, settings.node_name.clone(), start.restart()) => announcer?,
            _ = signals.next() => return Ok(()),
        };
        let rack = announcer.rack().clone();
        api.set_rack(rack.clone());
        let (index, index_changes) = watch::channel(index_config(settings, &resolved));
        control.set_planner(Planner::new(
            resolver.clone(),
            rack.clone(),
            index_changes.clone(),
        ));
        if let Some(text) = text {
            let reloader = Reloader::new(resolver, rack, index, text, resolved);
            let reloader = reloader.context("cannot follow the changes of --config")?;
            api.set_config(reloader.status());
            tokio::spawn(reloader.run());
        }
        match start.remember(announcer) {
            Remembered::Yes(announcer) => serve(settings, index_changes, announcer, board).await,
            Remembered::No(announcer) => serve(settings, index_changes, announcer, board).await,
        }
    })
}

/// Where the labels of the node come from, should a file ask for them.
async fn labels(settings: &Settings) -> anyhow::Result<Option<Labels>> {
    // Without a file of its own, an agent may still be asked what one would do.
    let asked = settings.config.is_some() || settings.control_socket.is_some();
    let Some(node) = settings.node_name.as_deref().filter(|_| asked) else {
        return Ok(None);
    };
    let source = match settings.manifests.clone() {
        Some(dir) => NodeSource::Manifests(dir),
        None => NodeSource::Kubernetes(kubernetes::connect(settings.kubeconfig.as_deref()).await?),
    };
    Ok(Some(Labels::new(node, source)))
}

/// Runs the source and feeds the announcer until a signal comes. What is wrong is shown on the board. When what the index has to know changes, a second
/// source and index begin anew beside the first ones, and take their place when they are complete: so what stays
/// announced is not touched.
///
/// # Errors
///
/// As [`run`].
pub async fn serve(
    settings: &Settings,
    mut index: watch::Receiver<IndexConfig>,
    mut announcer: impl Announcer,
    board: Board,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let config = index.borrow_and_update().clone();
    let mut feed = Feed::start(settings, config, board).await?;
    let mut next: Option<Feed> = None;
    // What would withdraw most of what there is has to be read twice.
    let mut confirms = false;
    let mut read_again = None;
    let (farewell, ended) = loop {
        tokio::select! {
            batch = feed.batches.recv() => match batch {
                Some(batch) => feed.consumer.take(batch, &mut announcer).await,
                None => {
                    let ended = anyhow::anyhow!("the source of objects ended by itself");
                    break (Farewell::Restarts, Err(ended));
                }
            },
            batch = next_batch(&mut next) => {
                let Some(ready) = fold_aside(&mut next, batch).await else { continue };
                let verdict = Verdict::of(feed.consumer.outcome(&ready.consumer), confirms);
                let Verdict::Doubtful(outcome) = verdict else {
                    feed.replace(ready, &mut announcer).await;
                    continue;
                };
                tracing::warn!(
                    missing = outcome.missing,
                    kept = outcome.kept,
                    "with the new announcement policy most of what is announced would go; nothing is withdrawn until \
                     everything was read once more in {} s",
                    DOUBT.as_secs()
                );
                ready.stop();
                read_again = Some(tokio::time::Instant::now() + DOUBT);
            }
            question = feed.consumer.board.next_question() => question.answer(&feed.consumer.index),
            config = changed(&mut index) => {
                (confirms, read_again) = (false, None);
                start_aside(settings, config, &mut next).await;
            }
            () = at(read_again) => {
                (confirms, read_again) = (true, None);
                let config = index.borrow().clone();
                start_aside(settings, config, &mut next).await;
            }
            (farewell, name) = signals.next() => {
                tracing::info!(signal = name, "stopping");
                break (farewell, Ok(()));
            }
        }
    };
    if tokio::time::timeout(FAREWELL, announcer.shut_down(farewell))
        .await
        .is_err()
    {
        tracing::warn!(
            seconds = FAREWELL.as_secs(),
            "the switches did not take the good-bye in time"
        );
    }
    if let Some(next) = next {
        next.stop();
    }
    feed.stop();
    ended
}

async fn changed(index: &mut watch::Receiver<IndexConfig>) -> IndexConfig {
    if index.changed().await.is_err() {
        // Nobody will change it any more.
        std::future::pending::<()>().await;
    }
    index.borrow_and_update().clone()
}

async fn next_batch(next: &mut Option<Feed>) -> Option<Batch> {
    match next {
        Some(feed) => feed.batches.recv().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Begins to read everything for another index; whatever was on its way is given up.
async fn start_aside(settings: &Settings, config: IndexConfig, next: &mut Option<Feed>) {
    if let Some(superseded) = next.take() {
        superseded.stop();
    }
    match Feed::start(settings, config, Board::default()).await {
        Ok(started) => *next = Some(started),
        Err(error) => tracing::warn!("the new announcement policy cannot be taken over: {error:#}"),
    }
}

/// Folds a batch into the index that is on its way; hands that out when it is complete.
async fn fold_aside(next: &mut Option<Feed>, batch: Option<Batch>) -> Option<Feed> {
    let feed = next.as_mut()?;
    let Some(batch) = batch else {
        tracing::warn!("the source for the new announcement policy ended by itself; the old one stays");
        *next = None;
        return None;
    };
    // What it reports is told when it counts.
    let _ = feed.consumer.fold(batch, &mut Aside).await;
    if feed.consumer.complete { next.take() } else { None }
}

/// A source, and the index that it fills.
struct Feed {
    source: Source,
    batches: mpsc::Receiver<Batch>,
    consumer: Consumer,
}

impl Feed {
    async fn start(settings: &Settings, config: IndexConfig, board: Board) -> anyhow::Result<Self> {
        let (sender, batches) = mpsc::channel(BATCHES);
        let (source, events) = Source::start(settings, &config, sender).await?;
        Ok(Self {
            source,
            batches,
            consumer: Consumer::new(config).with_outlets(board, events),
        })
    }

    /// The other takes over: the difference is announced.
    async fn replace(&mut self, other: Self, announcer: &mut impl Announcer) {
        let former = std::mem::replace(self, other);
        former.source.stop_after(former.batches);
        self.consumer.take_over(former.consumer, announcer).await;
    }

    fn stop(self) {
        self.source.stop_after(self.batches);
    }
}

/// Hears what an index says that does not count yet.
struct Aside;

impl Announcer for Aside {
    async fn apply(&mut self, _: Vec<Change>) {}

    async fn open_early(&mut self) {}

    async fn sync_complete(&mut self) {}

    async fn shut_down(&mut self, _: Farewell) {}
}

/// Where the objects come from.
enum Source {
    Manifests(ManifestSource),
    Kubernetes(KubernetesSource),
}

impl Source {
    /// The source, and where problems become Events: in a cluster, unless this is the sidecar of a NAT gateway, whose
    /// account may not write any.
    async fn start(
        settings: &Settings,
        index: &IndexConfig,
        batches: mpsc::Sender<Batch>,
    ) -> anyhow::Result<(Self, Option<EventQueue>)> {
        if let Some(dir) = settings.manifests.clone() {
            return Ok((Self::Manifests(manifests::spawn(dir, batches)?), None));
        }
        let client = kubernetes::connect(settings.kubeconfig.as_deref()).await?;
        let kinds = kubernetes::watched(index);
        let source = kubernetes::spawn(&client, kinds, &batches);
        let writes_events = settings.gateway_name.is_none();
        let events = writes_events.then(|| events::spawn(client, settings.node_name.clone()));
        Ok((Self::Kubernetes(source), events))
    }

    /// The receiver has to go first: the thread may be waiting for room in it.
    fn stop_after(self, batches: mpsc::Receiver<Batch>) {
        drop(batches);
        match self {
            Self::Manifests(source) => source.stop(),
            Self::Kubernetes(source) => drop(source),
        }
    }
}

/// What the index has to know of the settings.
pub fn index_config(settings: &Settings, resolved: &Resolved) -> IndexConfig {
    let mode = match &settings.gateway_name {
        None => Mode::Node,
        Some(gateway_name) => Mode::NatGateway {
            gateway_name: gateway_name.clone(),
        },
    };
    IndexConfig {
        node_name: settings.node_name.clone(),
        families: resolved.families(),
        policy: resolved.announce,
        mode,
        missing_status_is_ready: settings.manifests.is_some(),
    }
}

/// The signals that end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }

    async fn next(&mut self) -> (Farewell, &'static str) {
        tokio::select! {
            _ = self.terminate.recv() => (Farewell::Restarts, "SIGTERM"),
            _ = self.interrupt.recv() => (Farewell::Leaves, "SIGINT"),
        }
    }
}

/// Folds batches into the index and hands the changes on.
pub(crate) struct Consumer {
    index: Index,
    board: Board,
    events: Option<EventQueue>,
    started: Instant,
    complete: bool,
}

impl Consumer {
    pub(crate) fn new(config: IndexConfig) -> Self {
        Self {
            index: Index::new(config),
            board: Board::default(),
            events: None,
            started: Instant::now(),
            complete: false,
        }
    }

    /// Tells there what is wrong, too.
    pub(crate) fn with_outlets(mut self, board: Board, events: Option<EventQueue>) -> Self {
        self.board = board;
        self.events = events;
        self
    }

    async fn take(&mut self, batch: Batch, announcer: &mut impl Announcer) {
        log_reports(&batch.reports);
        let reports = self.fold(batch, announcer).await;
        self.tell_problems(!reports.is_empty(), |_| true);
    }

    /// Returns the reports of the batch, which are noted, but not told.
    async fn fold(&mut self, batch: Batch, announcer: &mut impl Announcer) -> Vec<ReportChange> {
        self.board.note(&batch.reports);
        if let Some(Resync::Begin(kind)) = batch.resync {
            self.index.begin_resync(kind);
        }
        let changes = self.index.apply_all(batch.events);
        self.hand_on(changes, announcer).await;
        if let Some(Resync::End {
            kind,
            confirmed,
            verdict,
        }) = batch.resync
        {
            let (judged, changes) = self.end_resync(kind, confirmed);
            self.hand_on(changes, announcer).await;
            // A source that is gone needs no verdict.
            let _ = verdict.send(judged);
        }
        if batch.complete && !self.complete {
            self.complete = true;
            let took_ms = self.started.elapsed().as_millis();
            tracing::info!(desired = self.index.len(), took_ms, "all objects are known");
            announcer.sync_complete().await;
        }
        batch.reports
    }

    fn tell_problems(&mut self, has_reports: bool, is_news: impl Fn(&ProblemChange) -> bool) {
        // Before all is known, a pod may only seem to lack its subnet.
        let mut changes = if self.complete {
            self.index.take_problem_changes()
        } else {
            Vec::new()
        };
        if changes.is_empty() && !has_reports {
            return;
        }
        changes.retain(is_news);
        log_problems(&changes);
        if let Some(events) = &mut self.events {
            events.take(&changes);
        }
        self.board.show(self.complete.then_some(&self.index));
    }

    /// What would go, and what would stay, with another index.
    fn outcome(&self, other: &Self) -> ResyncOutcome {
        let missing = self
            .index
            .announced()
            .filter(|prefix| !other.index.contains(prefix))
            .count();
        ResyncOutcome {
            missing,
            kept: self.index.len() - missing,
        }
    }

    /// Announces the difference to a former index, and tells what is new in reports and problems.
    async fn take_over(&mut self, former: Self, announcer: &mut impl Announcer) {
        let new = self
            .index
            .announced()
            .filter(|prefix| !former.index.contains(prefix));
        let gone = former
            .index
            .announced()
            .filter(|prefix| !self.index.contains(prefix));
        let of = |announced| move |prefix| Change { prefix, announced };
        let changes: Vec<_> = new.map(of(true)).chain(gone.map(of(false))).collect();
        let announced = changes.iter().filter(|change| change.announced).count();
        tracing::info!(
            announced,
            withdrawn = changes.len() - announced,
            desired = self.index.len(),
            "the new announcement policy counts"
        );
        self.hand_on(changes, announcer).await;
        if !former.complete {
            announcer.sync_complete().await;
        }
        log_reports(&self.board.take_place_of(former.board));
        let known: HashSet<_> = former
            .index
            .problems()
            .map(|problem| problem.to_string())
            .collect();
        self.tell_problems(true, |change| match change {
            ProblemChange::New(problem) => !known.contains(&problem.to_string()),
            ProblemChange::Cleared(_) => true,
        });
    }

    /// Deletes what was missing, unless that is too much to be believed at once.
    fn end_resync(&mut self, kind: Kind, confirmed: bool) -> (Verdict, Vec<Change>) {
        let verdict = Verdict::of(self.index.resync_outcome(kind), confirmed);
        let changes = match verdict {
            Verdict::Accepted(_) => self.index.complete_resync(kind),
            Verdict::Doubtful(_) => {
                self.index.abandon_resync(kind);
                Vec::new()
            }
        };
        (verdict, changes)
    }

    async fn hand_on(&self, changes: Vec<Change>, announcer: &mut impl Announcer) {
        if changes.is_empty() {
            return;
        }
        let announced = changes.iter().filter(|change| change.announced).count();
        let withdrawn = changes.len() - announced;
        tracing::debug!(
            announced,
            withdrawn,
            desired = self.index.len(),
            "the desired set changed"
        );
        self.trace(&changes);
        announcer.apply(changes).await;
    }

    fn trace(&self, changes: &[Change]) {
        if !tracing::enabled!(tracing::Level::TRACE) {
            return;
        }
        for change in changes {
            if !change.announced {
                tracing::trace!(prefix = %change.prefix, "withdraw");
                continue;
            }
            // explain() looks through all objects: too slow to ask for each of many.
            let reasons = if changes.len() <= LINES {
                self.index.explain(&change.prefix)
            } else {
                Vec::new()
            };
            let reason = reasons.first().map(ToString::to_string).unwrap_or_default();
            tracing::trace!(prefix = %change.prefix, reason, "announce");
        }
    }
}

fn log_reports(reports: &[ReportChange]) {
    for change in reports.iter().take(LINES) {
        match change {
            ReportChange::New(report) => tracing::warn!(
                origin = report.origin,
                document = report.document,
                line = report.line,
                "{}",
                report.message
            ),
            ReportChange::Cleared(report) => {
                // What is wrong comes first; the remedy is of no use any more.
                let what = report.message.split(';').next().unwrap_or_default();
                tracing::info!(origin = report.origin, "no longer: {what}");
            }
        }
    }
    log_rest(reports.len());
}

fn log_problems(problems: &[ProblemChange]) {
    for change in problems.iter().take(LINES) {
        match change {
            ProblemChange::New(problem) => log_problem(problem),
            ProblemChange::Cleared(problem) => tracing::debug!(
                object = %problem.object,
                field = problem.field,
                "no longer: {}",
                problem.kind
            ),
        }
    }
    log_rest(problems.len());
}

fn log_problem(
    Problem {
        object, field, kind, ..
    }: &Problem,
) {
    let remedy = kind.remedy();
    match kind.severity() {
        Severity::Warning => tracing::warn!(%object, field, remedy, "{kind}"),
        Severity::Note => tracing::info!(%object, field, remedy, "{kind}"),
    }
}

fn log_rest(all: usize) {
    if all > LINES {
        tracing::warn!(not_shown = all - LINES, "and more of the same kind");
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
pub(crate) mod tests;
