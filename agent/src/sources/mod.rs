//! Where objects come from.
//!
//! A source sends [`Batch`]es over a bounded channel. The events of one batch belong together: they are what one
//! change of the outside world means, and are folded into the index as one.

pub mod kubernetes;
pub mod manifests;

use crate::index::{Event, ResyncOutcome};
use crate::objects::Kind;
use std::fmt;
use tokio::sync::oneshot;

/// What one change of the outside world means.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events, in order.
    pub events: Vec<Event>,
    /// Where the batch stands in the replacement of all objects of a kind. It concerns the batches in between.
    pub resync: Option<Resync>,
    /// Trouble of the source itself that came or went.
    pub reports: Vec<ReportChange>,
    /// Whether everything that was there at the start has now been delivered. True in exactly one batch.
    pub complete: bool,
}

/// A border of a resync.
#[derive(Debug)]
pub enum Resync {
    /// All objects of this kind follow, with the events of this batch or later ones.
    Begin(Kind),
    /// After the events of this batch: what was not among them since the begin was deleted.
    End {
        /// The kind.
        kind: Kind,
        /// Whether a second answer has to be believed, however implausible it is.
        confirmed: bool,
        /// Who wants to know what came of it.
        verdict: oneshot::Sender<Verdict>,
    },
}

/// What came of a resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What was missing is deleted.
    Accepted(ResyncOutcome),
    /// Too much was missing, so nothing is deleted; ask again.
    Doubtful(ResyncOutcome),
}

impl Verdict {
    /// From how many known objects on an answer is judged. Fewer may well be deleted at a stroke.
    const KNOWN: usize = 10;

    /// Judges an answer by what it would delete: more than it keeps is not believed at once.
    pub fn of(outcome: ResyncOutcome, confirmed: bool) -> Self {
        let ResyncOutcome { missing, kept } = outcome;
        if !confirmed && missing + kept >= Self::KNOWN && missing > kept {
            return Self::Doubtful(outcome);
        }
        Self::Accepted(outcome)
    }
}

/// Something in a source that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Report {
    /// The file, or which objects or object of an API server.
    pub origin: String,
    /// Which document of the file, from 1.
    pub document: Option<usize>,
    /// The line in the file, from 1.
    pub line: Option<u64>,
    /// What is wrong and what to do.
    pub message: String,
}

/// A report that came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportChange {
    /// It was not there before.
    New(Report),
    /// It is no longer there.
    Cleared(Report),
}

impl Report {
    /// A report about something that has no documents and lines.
    pub fn new(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            document: None,
            line: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(document) = self.document {
            write!(f, " document {document}")?;
        }
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}
