//! What is wrong now, for those who ask: kept by the consumer of batches, read by the HTTP server.

use crate::index::Index;
use crate::report::ProblemsReport;
use crate::sources::{Report, ReportChange};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// How many reports of the source are remembered at most. They are one for each unreadable object or document.
const REMEMBERED: usize = 10_000;

/// The writing end.
#[derive(Debug, Default)]
pub struct Board {
    reports: BTreeSet<Report>,
    shown: watch::Sender<Arc<ProblemsReport>>,
}

/// The reading end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BoardReader(watch::Receiver<Arc<ProblemsReport>>);

impl Board {
    /// A reading end.
    #[must_use]
    pub fn reader(&self) -> BoardReader {
        BoardReader(self.shown.subscribe())
    }

    /// Takes in which trouble of the source came or went.
    pub(crate) fn note(&mut self, changes: &[ReportChange]) {
        for change in changes {
            match change {
                ReportChange::New(report) if self.reports.len() < REMEMBERED => {
                    self.reports.insert(report.clone());
                }
                ReportChange::New(_) => {}
                ReportChange::Cleared(report) => {
                    self.reports.remove(report);
                }
            }
        }
    }

    /// Shows to the readers of another board from now on. Returns what is reported here and was not there.
    pub(crate) fn take_place_of(&mut self, former: Self) -> Vec<ReportChange> {
        self.shown = former.shown;
        let news = self.reports.difference(&former.reports).cloned();
        news.map(ReportChange::New).collect()
    }

    /// Shows what is wrong now. Without an index only the source's trouble: what is wrong with objects is not known
    /// before all of them are.
    pub(crate) fn show(&self, index: Option<&Index>) {
        let count = index.map(Index::problem_count).unwrap_or_default();
        let problems = index.into_iter().flat_map(Index::problems_by_severity);
        let report = ProblemsReport::new(self.reports.iter(), count, problems);
        self.shown.send_replace(Arc::new(report));
    }
}

impl BoardReader {
    /// What is wrong now.
    #[must_use]
    pub fn read(&self) -> Arc<ProblemsReport> {
        Arc::clone(&self.0.borrow())
    }
}
