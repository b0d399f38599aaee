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
use crate::config::{self, ConfigError, ConfigText, NodeFacts, Resolved};
use crate::events::{self, EventQueue};
use crate::http;
use crate::index::{Change, Index, IndexConfig, Mode, Problem, ProblemChange, Severity};
use crate::objects::Kind;
use crate::rack::RackAnnouncer;
use crate::sources::kubernetes::{self, KubernetesSource};
use crate::sources::manifests::{self, ManifestSource};
use crate::sources::{Batch, ReportChange, Resync, Verdict};
use anyhow::Context;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// How many batches may wait for the index. One batch is one change of the outside world; a burst larger than
/// this waits in the kernel's inotify queue.
const BATCHES: usize = 64;

/// How many lines of one kind are logged for one batch; the rest is counted. A directory full of mistakes must not
/// bury everything else.
const LINES: usize = 20;

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

    /// The process ends by a signal.
    fn shut_down(&mut self) -> impl Future<Output = ()> + Send;
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
        let resolved = resolve(settings)?;
        for warning in &resolved.warnings {
            tracing::warn!("{warning}");
        }
        let board = Board::default();
        let api = http::Api::new(settings.node_name.as_deref()).with_problems(board.reader());
        if let Some(address) = settings.http {
            http::spawn(address, api.clone());
        }
        let announcer = tokio::select! {
            announcer = RackAnnouncer::start(&resolved, settings.node_name.clone()) => announcer?,
            _ = signals.next() => return Ok(()),
        };
        api.set_rack(announcer.rack().clone());
        serve(settings, index_config(settings, &resolved), announcer, board).await
    })
}

/// What flags and file say together.
fn resolve(settings: &Settings) -> Result<Resolved, ConfigError> {
    let text = settings.config.as_deref().map(ConfigText::read).transpose()?;
    let node = NodeFacts {
        name: settings.node_name.clone(),
        labels: None,
    };
    config::resolve(text.as_ref().map(ConfigText::document), settings, &node)
}

/// Runs the source and feeds the announcer until a signal comes. What is wrong is shown on the board.
///
/// # Errors
///
/// As [`run`].
pub async fn serve(
    settings: &Settings,
    index: IndexConfig,
    mut announcer: impl Announcer,
    board: Board,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let (sender, batches) = mpsc::channel(BATCHES);
    let (source, events) = Source::start(settings, &index, sender).await?;

    let mut consumer = Consumer::new(index).with_outlets(board, events);
    let ended = tokio::select! {
        () = consumer.consume(batches, &mut announcer) => Err(anyhow::anyhow!("the source of objects ended by itself")),
        name = signals.next() => {
            tracing::info!(signal = name, "stopping");
            Ok(())
        }
    };
    if tokio::time::timeout(FAREWELL, announcer.shut_down())
        .await
        .is_err()
    {
        tracing::warn!(
            seconds = FAREWELL.as_secs(),
            "the switches did not take the good-bye in time"
        );
    }
    // The receiver went with the consuming future.
    source.stop();
    ended
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

    /// The receiver must be gone, so that the thread cannot be waiting for it.
    fn stop(self) {
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

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
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

    /// Until the source ends.
    pub(crate) async fn consume(
        &mut self,
        mut batches: mpsc::Receiver<Batch>,
        announcer: &mut impl Announcer,
    ) {
        while let Some(batch) = batches.recv().await {
            self.take(batch, announcer).await;
        }
    }

    async fn take(&mut self, batch: Batch, announcer: &mut impl Announcer) {
        log_reports(&batch.reports);
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
        self.tell_problems(&batch.reports);
    }

    fn tell_problems(&mut self, reports: &[ReportChange]) {
        self.board.note(reports);
        // Before all is known, a pod may only seem to lack its subnet.
        let changes = if self.complete {
            self.index.take_problem_changes()
        } else {
            Vec::new()
        };
        if changes.is_empty() && reports.is_empty() {
            return;
        }
        log_problems(&changes);
        if let Some(events) = &mut self.events {
            events.take(&changes);
        }
        self.board.show(self.complete.then_some(&self.index));
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
