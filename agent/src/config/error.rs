//! What is wrong with a file, and where.

use std::fmt;
use std::path::PathBuf;

/// One line that names the file, the place, the field, what was found, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// Line and column, from 1; `None` where it is no single place.
    pub at: Option<(u64, u64)>,
    /// The field, like `planes[1].holdTime`; empty for the file as a whole.
    pub field: String,
    /// What was found and what to do.
    pub message: String,
    /// Another file that is at fault.
    pub other_file: Option<PathBuf>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What is wrong before it is known where the field stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Where the field may stand, the most likely place first.
    pub(super) fields: Vec<String>,
    /// What was found and what to do.
    pub(super) message: String,
    /// Another file that is at fault.
    pub(super) other_file: Option<PathBuf>,
}

impl Problem {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            fields: vec![field.into()],
            message: message.into(),
            other_file: None,
        }
    }
}
