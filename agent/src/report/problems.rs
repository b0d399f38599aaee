use crate::index::{Problem, ProblemCount, Severity};
use crate::sources::Report;
use serde::{Deserialize, Serialize};

/// How many problems are listed at most; all are counted.
pub const LISTED: usize = 500;

/// The answer of `/api/v1/problems`: what cannot be announced, or not be read, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemsReport {
    /// How many there are that somebody should look at.
    pub warnings: usize,
    /// How many there are that are only good to know when asking why.
    pub notes: usize,
    /// The first 500 of them: those of the source, then the warnings, then the notes, each in the order of the objects.
    pub listed: Vec<ProblemReport>,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemReport {
    /// `warning` or `note`.
    pub severity: String,
    /// The object; or the file, or which objects of the API server.
    pub subject: String,
    /// The field of the object; `None` where it is not one object's.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do; `None` where the message says it.
    pub remedy: Option<String>,
}

impl ProblemsReport {
    /// Puts together what the sources and the index have to complain of.
    pub(crate) fn new<'a>(
        reports: impl ExactSizeIterator<Item = &'a Report>,
        count: ProblemCount,
        problems: impl Iterator<Item = Problem>,
    ) -> Self {
        Self {
            warnings: count.warnings + reports.len(),
            notes: count.notes,
            listed: reports
                .map(ProblemReport::of_source)
                .chain(problems.map(|problem| ProblemReport::of_object(&problem)))
                .take(LISTED)
                .collect(),
        }
    }
}

impl ProblemReport {
    fn of_source(report: &Report) -> Self {
        let mut subject = report.origin.clone();
        if let Some(document) = report.document {
            subject.push_str(&format!(" document {document}"));
        }
        if let Some(line) = report.line {
            subject.push_str(&format!(" line {line}"));
        }
        Self {
            severity: severity_word(Severity::Warning).to_owned(),
            subject,
            field: None,
            message: report.message.clone(),
            remedy: None,
        }
    }

    fn of_object(problem: &Problem) -> Self {
        Self {
            severity: severity_word(problem.kind.severity()).to_owned(),
            subject: problem.object.to_string(),
            field: Some(problem.field.clone()),
            message: problem.kind.to_string(),
            remedy: Some(problem.kind.remedy().to_owned()),
        }
    }

    /// All of it in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{}: ", self.subject);
        if let Some(field) = &self.field {
            line.push_str(&format!("{field}: "));
        }
        line.push_str(&self.message);
        if let Some(remedy) = &self.remedy {
            line.push_str(&format!("; {remedy}"));
        }
        line
    }
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
