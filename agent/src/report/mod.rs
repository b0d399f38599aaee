//! What the HTTP API says and the commands read: one set of types for both ends.

mod bfd;
mod config;
mod plan;
mod problems;
mod recording;

pub use bfd::{BfdCounters, BfdExtra, BfdListener, BfdPeer, BfdReport, BfdStatus, BfdThread};
pub use config::ConfigReport;
pub use plan::{PlanReport, PlanRequest};
pub use problems::{LISTED, ProblemReport, ProblemsReport};
pub use recording::{Entry, EventReport, PacketReport, RecordingReport};

use fabric::{PairState, RackStatus, ReturnPathStatus, RouteStatus};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The answer of `/api/v1/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// The version of the agent.
    pub version: String,
    /// The node it announces for, if that has a name.
    pub node: Option<String>,
    /// The rack.
    #[serde(flatten)]
    pub rack: RackStatus,
    /// The BFD sessions; `None` if the BFD thread does not answer.
    pub bfd: Option<BfdReport>,
    /// What cannot be announced or not be read. It does not make the node unhealthy: everything else is announced.
    #[serde(default)]
    pub problems: ProblemsReport,
    /// The configuration file; `None` where the agent runs with flags alone.
    #[serde(default)]
    pub config: Option<ConfigReport>,
}

/// The answer of `/api/v1/routes/{prefix}`.
#[derive(Clone, Debug, Serialize)]
pub struct RouteReport {
    /// The prefix, host bits cleared.
    pub prefix: String,
    /// How far it has come on each session; empty if it is not announced.
    pub sessions: Vec<RouteStatus>,
    /// Why it is announced, or why not.
    #[serde(flatten)]
    pub explanation: Option<Explanation>,
}

/// Why a prefix is announced, or why not; at most a hundred objects of each sort.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The objects because of which it is announced, each with the annotation and the policy that decided so.
    pub reasons: Vec<String>,
    /// The objects that have this address and do not announce it as such, each with what decided so.
    pub withheld: Vec<String>,
}

impl StatusReport {
    /// What an operator should look at, one line each; empty if all is well.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.rack.complete {
            lines.push("the desired set is not complete yet".to_owned());
        }
        if self.rack.pair != PairState::Both {
            lines.push(format!("the pair is {}", pair_word(self.rack.pair)));
        }
        for plane in &self.rack.planes {
            let down = plane
                .sessions
                .iter()
                .filter(|session| session.uptime_seconds.is_none());
            lines.extend(down.map(|session| {
                let (plane, neighbor, state) = (&plane.name, session.neighbor, &session.state);
                format!("plane {plane}: the session with {neighbor} is {state}")
            }));
        }
        lines.extend(self.config.iter().flat_map(ConfigReport::complaints));
        lines.extend(self.rack.return_path.iter().flat_map(return_path_complaints));
        match &self.bfd {
            None => lines.push("the BFD thread does not answer".to_owned()),
            Some(bfd) => lines.extend(bfd.complaints()),
        }
        lines
    }

    /// The BFD session with a switch.
    #[must_use]
    pub fn bfd_of(&self, peer: IpAddr) -> Option<&BfdPeer> {
        self.bfd
            .as_ref()?
            .peers
            .iter()
            .find(|session| session.peer == peer)
    }
}

fn return_path_complaints(path: &ReturnPathStatus) -> Vec<String> {
    let trouble = path.trouble.iter();
    let errors = path.routes.iter().filter_map(|route| route.error.as_ref());
    trouble
        .chain(errors)
        .map(|error| format!("return path: {error}"))
        .collect()
}

/// The word for the state of the pair, as in the JSON.
#[must_use]
pub fn pair_word(pair: PairState) -> &'static str {
    match pair {
        PairState::Both => "both",
        PairState::Degraded => "degraded",
        PairState::Isolated => "isolated",
    }
}
