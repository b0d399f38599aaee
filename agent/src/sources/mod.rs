//! Where objects come from.
//!
//! A source sends [`Batch`]es over a bounded channel. The events of one batch belong together: they are what one
//! change of the outside world means, and are folded into the index as one.

pub mod manifests;

use crate::index::Event;
use std::fmt;

/// What one change of the outside world means.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events, in order; at most one for each object.
    pub events: Vec<Event>,
    /// Trouble of the source itself that came or went.
    pub reports: Vec<ReportChange>,
    /// Whether everything that was there at the start has now been delivered. True in exactly one batch.
    pub complete: bool,
}

/// Something in a source that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Report {
    /// The file.
    pub file: String,
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, " document {document}")?;
        }
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}
