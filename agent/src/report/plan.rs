//! What is told about a configuration that is not in force.

use fabric::{SessionPlan, SettingChange, Verdict};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The question of `twintor plan`, to `/api/v1/plan` of the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// What the file is called in messages.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Where relative paths in it begin if the agent runs without a configuration file.
    pub directory: PathBuf,
}

/// The answer: what the agent would do if its file had that text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// The file.
    pub file: String,
    /// The sessions: those of the new file in its order, then those that would be removed.
    pub sessions: Vec<SessionPlan>,
    /// What would change without touching a session.
    pub rack: Vec<SettingChange>,
    /// What the new file warns about.
    pub warnings: Vec<String>,
}

impl PlanReport {
    /// Whether the file could be taken over without losing a session or leaving one out.
    #[must_use]
    pub fn is_gentle(&self) -> bool {
        let harms = |session: &SessionPlan| matches!(session.verdict, Verdict::Reset | Verdict::Refused);
        !self.sessions.iter().any(harms)
    }
}
