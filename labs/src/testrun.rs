//! `cargo lab test`: set the machine up, build the agent, run everything.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::helm::Chart;
use crate::{kube, setup, state};

/// Runs the workspace's tests; with filters, only the scenarios that match.
pub fn run(filters: &[String], say: &mut dyn FnMut(&str)) -> Result<ExitCode> {
    setup::machine(say)?;
    for id in state::sweep()? {
        say(&format!("took down {id}, whose runner had died"));
    }
    forget_failures()?;
    if filters.is_empty() {
        build_everything()?;
        kube::ensure_apiserver(say)?;
        Chart::shipped(say)?;
    } else {
        build_agent()?;
    }
    let mut cargo = cargo();
    cargo
        .arg("test")
        .env("TWINTOR_BIN", state::target_dir()?.join("debug/twintor"));
    if filters.is_empty() {
        cargo.args(["--workspace", "--no-fail-fast"]);
    } else {
        cargo.args(["--package", "twintor-lab", "--test", "scenarios"]);
    }
    // A scenario is mostly waiting, but each one brings several daemons along.
    cargo
        .args(["--", "--test-threads"])
        .arg(threads().to_string())
        .args(filters);
    let status = cargo.status().context("run cargo test")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Builds the agent that the labs run.
pub fn build_agent() -> Result<()> {
    if env::var_os("TWINTOR_BIN").is_some() {
        return Ok(());
    }
    let status = cargo()
        .args(["build", "--quiet", "--package", "twintor"])
        .status()
        .context("run cargo build")?;
    ensure!(status.success(), "cargo build --package twintor failed");
    Ok(())
}

/// Builds the agent together with the tests. Built on its own first, with the features that it alone needs, many of its
/// dependencies would be built twice.
fn build_everything() -> Result<()> {
    let status = cargo()
        .args(["build", "--workspace", "--bins", "--tests"])
        .status();
    ensure!(
        status.context("run cargo build")?.success(),
        "cargo build --workspace failed"
    );
    Ok(())
}

/// Builds the agent for measurements.
pub fn build_agent_for_speed() -> Result<PathBuf> {
    let status = cargo()
        .args(["build", "--quiet", "--release", "--package", "twintor"])
        .status();
    ensure!(
        status.context("run cargo build")?.success(),
        "cargo build --release --package twintor failed"
    );
    Ok(state::target_dir()?.join("release/twintor"))
}

pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn threads() -> usize {
    thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 6))
}

/// What failed tests of earlier runs have left for reading.
fn forget_failures() -> Result<()> {
    let Ok(entries) = fs::read_dir(state::root()?) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("failed-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
