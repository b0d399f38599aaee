//! The commands that look at a running agent, as clap reads them.

use crate::control::DEFAULT_PATH;
use crate::show::client::Agent;
use clap::{Args, Subcommand, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;

/// A command that looks at a running agent.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Show {
    /// The pair, its planes and their sessions
    Status(ShowStatus),
    /// BFD sessions, as FRR's "show bfd peers" has them
    Bfd(ShowBfd),
    /// Why something is as it is
    Explain(Explain),
    /// What a new configuration file would do to the sessions; nothing is changed
    Plan(ShowPlan),
}

/// `twintor status`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ShowStatus {
    /// How.
    #[command(flatten)]
    pub common: Common,
}

/// `twintor bfd [PEER]`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ShowBfd {
    /// Address of a switch [default: all]
    pub peer: Option<IpAddr>,
    /// Counters, as FRR's "show bfd peers counters" has them
    #[arg(long)]
    pub counters: bool,
    /// How.
    #[command(flatten)]
    pub common: Common,
}

/// `twintor explain …`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Explain {
    /// What.
    #[command(subcommand)]
    pub what: ExplainWhat,
}

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ExplainWhat {
    /// How BFD with a switch failed last, from the flight recorder
    Bfd(ExplainBfd),
}

/// `twintor explain bfd PEER`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ExplainBfd {
    /// Address of the switch
    pub peer: IpAddr,
    /// Write the recorded packets to this file too, as pcapng; - is stdout, instead of the story
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// How.
    #[command(flatten)]
    pub common: Common,
}

/// `twintor plan --config FILE`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ShowPlan {
    /// The new configuration file; relative paths in it begin where they do in the file of the agent
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Control socket of the agent
    #[arg(long, value_name = "PATH", default_value = DEFAULT_PATH)]
    pub control_socket: PathBuf,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Exit with 1 if a session would be reset or refused
    #[arg(long)]
    pub check: bool,
}

/// What all that ask over HTTP take.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Common {
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Exit with 1 if anything shown is not healthy
    #[arg(long)]
    pub check: bool,
    /// HTTP address of the agent
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:10667")]
    pub agent: Agent,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
