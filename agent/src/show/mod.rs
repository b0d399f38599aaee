//! The commands that look at a running agent: ask it over HTTP or its control socket, and print.

mod bfd;
pub mod client;
mod explain;
mod plan;
mod status;
mod story;
mod table;

pub use story::{FiredFirst, Moment, Story};

use crate::cli::{ExplainBfd, ExplainWhat, Output, Show, ShowBfd, ShowPlan, ShowStatus};
use crate::config::ConfigText;
use crate::report::{BfdReport, BfdStatus, PlanReport, PlanRequest, RecordingReport, StatusReport};
use client::{Agent, AskError, ControlSocket};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// With `--check`: something that was shown is not healthy.
pub const UNHEALTHY: u8 = 1;

/// Nothing was shown: the agent does not answer, or not usably, or the output cannot be written.
pub const UNKNOWN: u8 = 3;

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShowError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("there is no BFD session with {0}; twintor bfd lists those there are")]
    NoPeer(IpAddr),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Config(#[from] crate::config::ConfigError),
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    #[error("cannot write the output as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot write the output as YAML: {0}")]
    Yaml(String),
}

/// What a command has found.
pub(crate) struct Shown {
    pub(crate) octets: Vec<u8>,
    pub(crate) healthy: bool,
}

/// Runs a command and prints what it found. Exit code 0 where something was shown (and is healthy, with `--check`),
/// [`UNHEALTHY`], or [`UNKNOWN`].
pub fn run(show: &Show) -> ExitCode {
    let check = match show {
        Show::Status(ShowStatus { common }) | Show::Bfd(ShowBfd { common, .. }) => common.check,
        Show::Explain(explain) => match &explain.what {
            ExplainWhat::Bfd(ExplainBfd { common, .. }) => common.check,
        },
        Show::Plan(ShowPlan { check, .. }) => *check,
    };
    let shown = match shown(show) {
        Ok(shown) => shown,
        Err(error) => {
            // Nothing is left to do if stderr is gone too.
            let _ = writeln!(io::stderr(), "twintor: {}", table::printable(&error.to_string()));
            return ExitCode::from(UNKNOWN);
        }
    };
    let mut out = io::stdout().lock();
    let written = out.write_all(&shown.octets).and_then(|()| out.flush());
    match written {
        // A pager that was closed has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(UNKNOWN),
        Ok(()) | Err(_) if check && !shown.healthy => ExitCode::from(UNHEALTHY),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

pub(crate) fn shown(show: &Show) -> Result<Shown, ShowError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(ShowError::Start)?.block_on(async {
        match show {
            Show::Status(status) => show_status(status).await,
            Show::Bfd(bfd) => show_bfd(bfd).await,
            Show::Explain(explain) => match &explain.what {
                ExplainWhat::Bfd(bfd) => explain_bfd(bfd).await,
            },
            Show::Plan(plan) => show_plan(plan).await,
        }
    })
}

async fn show_status(show: &ShowStatus) -> Result<Shown, ShowError> {
    let agent = &show.common.agent;
    let report: StatusReport = ask(agent, "/api/v1/status").await?;
    Ok(Shown {
        octets: print(show.common.output, &report, || status::text(&report))?,
        healthy: report.complaints().is_empty(),
    })
}

async fn show_bfd(show: &ShowBfd) -> Result<Shown, ShowError> {
    let mut report: BfdReport = ask(&show.common.agent, "/api/v1/bfd").await?;
    if let Some(peer) = show.peer {
        report.peers.retain(|session| session.peer == peer);
        if report.peers.is_empty() {
            return Err(ShowError::NoPeer(peer));
        }
    }
    let output = show.common.output;
    let octets = if show.counters {
        print(output, &bfd::counters(&report), || bfd::counters_text(&report))?
    } else {
        print(output, &bfd::peers(&report), || bfd::text(&report))?
    };
    Ok(Shown {
        octets,
        healthy: report.complaints().is_empty(),
    })
}

async fn explain_bfd(show: &ExplainBfd) -> Result<Shown, ShowError> {
    let agent = &show.common.agent;
    let report: BfdReport = ask(agent, "/api/v1/bfd").await?;
    let session = report.peers.iter().find(|session| session.peer == show.peer);
    let session = session.ok_or(ShowError::NoPeer(show.peer))?;
    let path = format!("/api/v1/bfd/{}/recording", show.peer);
    let recording: RecordingReport = ask(agent, &path).await?;
    let healthy = session.status == BfdStatus::Up;
    if let Some(file) = &show.pcap {
        let capture = agent.get_ok(&format!("{path}.pcapng")).await?.body;
        if file == Path::new("-") {
            return Ok(Shown {
                octets: capture,
                healthy,
            });
        }
        std::fs::write(file, capture).map_err(|source| ShowError::Write {
            path: file.clone(),
            source,
        })?;
    }
    let story = Story::of(&recording);
    let octets = print(show.common.output, &story, || {
        explain::text(&recording, session, story.as_ref(), jiff::Timestamp::now())
    })?;
    Ok(Shown { octets, healthy })
}

async fn show_plan(show: &ShowPlan) -> Result<Shown, ShowError> {
    let file = ConfigText::read(&show.config)?;
    let directory = std::path::absolute(&file.directory).unwrap_or_else(|_| file.directory.clone());
    let request = PlanRequest {
        name: show.config.display().to_string(),
        text: file.text,
        directory,
    };
    let agent = ControlSocket::at(&show.control_socket);
    let report: PlanReport = agent.post("/api/v1/plan", &request).await?;
    Ok(Shown {
        octets: print(show.output, &report, || plan::text(&report))?,
        healthy: report.is_gentle(),
    })
}

async fn ask<T: DeserializeOwned>(agent: &Agent, path: &str) -> Result<T, ShowError> {
    let answer = agent.get_ok(path).await?;
    Ok(answer.json().map_err(|error| agent.unreadable(&error))?)
}

fn print(
    output: Output,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<Vec<u8>, ShowError> {
    let text = match output {
        Output::Table => text(),
        Output::Json => serde_json::to_string_pretty(value)? + "\n",
        Output::Yaml => serde_saphyr::to_string(value).map_err(|error| ShowError::Yaml(error.to_string()))?,
    };
    Ok(text.into_bytes())
}
