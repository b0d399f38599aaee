//! What is told about the configuration file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// The configuration file of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// Its path, as the flag names it.
    pub path: String,
    /// SHA-256 of the text that is in force: equal on nodes that run with the same file.
    pub hash: String,
    /// When that text was taken over.
    pub loaded_at: Timestamp,
    /// What it warns about.
    pub warnings: Vec<String>,
    /// The sessions that could not take it over, and why.
    pub refused: Vec<String>,
    /// Why a later text is not in force; `None` where there is no such.
    pub error: Option<String>,
    /// When that was found.
    pub failed_at: Option<Timestamp>,
}

impl ConfigReport {
    /// Of a text that is in force.
    #[must_use]
    pub fn loaded(path: &Path, text: &str, warnings: &[String], now: Timestamp) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let mut hash = String::with_capacity(64);
        for octet in digest.as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(hash, "{octet:02x}");
        }
        Self {
            path: path.display().to_string(),
            hash,
            loaded_at: now,
            warnings: warnings.to_vec(),
            refused: Vec::new(),
            error: None,
            failed_at: None,
        }
    }

    /// What an operator should look at, one line each.
    pub fn complaints(&self) -> impl Iterator<Item = String> + '_ {
        let error = self
            .error
            .iter()
            .map(|error| format!("the changed configuration is not in force: {error}"));
        let refused = self
            .refused
            .iter()
            .map(|session| format!("the configuration is not in force: {session}"));
        error.chain(refused)
    }
}
