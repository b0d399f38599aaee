//! What is wrong now, and why a prefix is announced or not: known to the consumer of batches, asked by the HTTP server.

use crate::index::Index;
use crate::report::{Explanation, ProblemsReport};
use crate::sources::{Report, ReportChange};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use wire::Prefix;

/// How many reports of the source are remembered at most. They are one for each unreadable object or document.
const REMEMBERED: usize = 10_000;

/// How many questions may wait. An answer looks through all objects, so they are for people.
const QUESTIONS: usize = 4;

/// How many objects an explanation names at most of each sort.
const NAMED: usize = 100;

/// The end of who knows.
#[derive(Debug)]
pub struct Board {
    reports: BTreeSet<Report>,
    shown: watch::Sender<Arc<ProblemsReport>>,
    asker: mpsc::Sender<Question>,
    asked: mpsc::Receiver<Question>,
}

/// The end of who wants to know. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BoardReader {
    shown: watch::Receiver<Arc<ProblemsReport>>,
    asker: mpsc::Sender<Question>,
}

/// Somebody wants to know why a prefix is announced, or why not.
#[derive(Debug)]
pub(crate) struct Question {
    prefix: Prefix,
    answer: oneshot::Sender<Explanation>,
}

impl Default for Board {
    fn default() -> Self {
        let (asker, asked) = mpsc::channel(QUESTIONS);
        Self {
            reports: BTreeSet::new(),
            shown: watch::Sender::default(),
            asker,
            asked,
        }
    }
}

impl Question {
    /// Answers.
    pub(crate) fn answer(self, index: &Index) {
        let reasons = index.explain(&self.prefix);
        let withheld = index.withheld(&self.prefix);
        let explanation = Explanation {
            reasons: reasons.iter().take(NAMED).map(ToString::to_string).collect(),
            withheld: withheld.iter().take(NAMED).map(ToString::to_string).collect(),
        };
        // Who asked may be gone.
        let _ = self.answer.send(explanation);
    }
}

impl Board {
    /// A reading end.
    #[must_use]
    pub fn reader(&self) -> BoardReader {
        BoardReader {
            shown: self.shown.subscribe(),
            asker: self.asker.clone(),
        }
    }

    /// The next question; never if there is none.
    pub(crate) async fn next_question(&mut self) -> Question {
        match self.asked.recv().await {
            Some(question) => question,
            // Not to happen: this end holds a sender itself.
            None => std::future::pending().await,
        }
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

    /// Shows to the readers of another board from now on, and answers them. Returns what is reported here and was not there.
    pub(crate) fn take_place_of(&mut self, former: Self) -> Vec<ReportChange> {
        (self.shown, self.asker, self.asked) = (former.shown, former.asker, former.asked);
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
        Arc::clone(&self.shown.borrow())
    }

    /// Why a prefix is announced, or why not; `None` if too many ask at once.
    pub async fn explain(&self, prefix: Prefix) -> Option<Explanation> {
        let (answer, answered) = oneshot::channel();
        self.asker.try_send(Question { prefix, answer }).ok()?;
        answered.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Event, IndexConfig, Mode, Policy};
    use crate::objects::{Object, read_document};
    use serde_json::json;
    use wire::FamilySet;

    fn index() -> Index {
        let mut policy = Policy::default();
        policy.aggregate.ipv4 = Some(28);
        let mut index = Index::new(IndexConfig {
            node_name: None,
            families: FamilySet::ALL,
            policy,
            mode: Mode::Node,
            missing_status_is_ready: true,
        });
        let annotations = json!({
            "ovn.kubernetes.io/bgp": "true",
            "ovn.kubernetes.io/ip_address": "10.16.0.5",
            "ovn.kubernetes.io/logical_switch": "s",
        });
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "kubeovn.io/v1", "kind": "Subnet", "metadata": {"name": "s"}, "spec": {"cidrBlock": "10.16.0.0/24"}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": annotations}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q", "annotations": {"ovn.kubernetes.io/bgp": "maybe"}}},
        ]});
        let objects = read_document(&objects)
            .into_iter()
            .map(|object| object.expect("readable"));
        let upsert = |object: Object| Event::Upsert(Box::new(object));
        index.apply_all(objects.map(upsert));
        index
    }

    #[tokio::test]
    async fn questions_are_answered_from_the_index() {
        let index = index();
        let mut board = Board::default();
        let reader = board.reader();
        let ask = |text: &str| reader.explain(text.parse().expect("a prefix"));
        let answer = async |board: &mut Board| {
            board.next_question().await.answer(&index);
            board.next_question().await.answer(&index);
        };
        let (block, host, ()) = tokio::join!(ask("10.16.0.0/28"), ask("10.16.0.5/32"), answer(&mut board));
        let (block, host) = (block.expect("an answer"), host.expect("an answer"));
        assert_eq!(
            block.reasons,
            [
                "Pod default/p: the block (announce.aggregate) of its address on network ovn, subnet s; policy true"
            ]
        );
        assert!(block.withheld.is_empty() && host.reasons.is_empty());
        assert_eq!(
            host.withheld,
            ["Pod default/p: it is announced within 10.16.0.0/28 (announce.aggregate)"]
        );

        // Who asked the former board is answered by the one that took its place.
        let mut heir = Board::default();
        heir.take_place_of(board);
        let answered = async { heir.next_question().await.answer(&index) };
        let (again, ()) = tokio::join!(ask("10.16.0.0/28"), answered);
        assert_eq!(again, Some(block));
    }

    #[test]
    fn problems_are_counted_and_listed_those_of_the_source_first() {
        let index = index();
        let mut board = Board::default();
        let reader = board.reader();
        let report = Report::new("pods", "cannot list pods: forbidden");
        board.note(&[ReportChange::New(report.clone())]);
        board.show(None);
        assert_eq!(
            reader.read().warnings,
            1,
            "what is wrong with objects is not known yet"
        );
        board.show(Some(&index));
        let shown = reader.read();
        let lines: Vec<_> = shown.listed.iter().map(|problem| problem.line()).collect();
        assert_eq!((shown.warnings, shown.notes), (2, 0), "{lines:?}");
        assert_eq!(lines[0], "pods: cannot list pods: forbidden");
        assert!(
            lines[1].starts_with("Pod default/q: ovn.kubernetes.io/bgp: value \"maybe\""),
            "{lines:?}"
        );
        board.note(&[ReportChange::Cleared(report)]);
        board.show(Some(&index));
        assert_eq!(reader.read().warnings, 1);
    }
}
