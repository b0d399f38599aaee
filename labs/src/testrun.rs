//! `cargo lab test`: set the machine up, build the agent, run everything.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::helm::Chart;
use crate::{kube, setup, state};

/// Runs the workspace's tests; with words, only those of the lab's tests that they choose: see [`Choice`].
pub fn run(words: &[String], say: &mut dyn FnMut(&str)) -> Result<ExitCode> {
    setup::machine(say)?;
    for id in state::sweep()? {
        say(&format!("took down {id}, whose runner had died"));
    }
    forget_failures()?;
    let choice = Choice::of(words, &lab_tests()?);
    if words.is_empty() {
        build_everything()?;
    } else {
        build_agent()?;
    }
    // A test that needs these asks for them as well; but they take a while the first time.
    let chosen = words.is_empty() || choice.tests.len() < words.len();
    let has = |word: &str| chosen && choice.binaries.iter().any(|binary| is_named(binary, word));
    if has("kube") || has("deploy") {
        kube::ensure_apiserver(say)?;
    }
    if has("deploy") {
        Chart::shipped(say)?;
    }
    let mut cargo = cargo();
    cargo
        .args(["test", "--no-fail-fast"])
        .env("TWINTOR_BIN", state::target_dir()?.join("debug/twintor"));
    if words.is_empty() {
        cargo.arg("--workspace");
    } else {
        cargo.args(["--package", "twintor-lab"]);
        for binary in &choice.binaries {
            cargo.args(["--test", binary]);
        }
    }
    // A scenario is mostly waiting, but each one brings several daemons along.
    cargo
        .args(["--", "--test-threads"])
        .arg(threads().to_string())
        .args(&choice.tests);
    let status = cargo.status().context("run cargo test")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What some words choose. A word that is the name of test binaries, or its first part (`kube` of `kube_agent`), chooses
/// these; every other word chooses the tests whose names contain it. Without words of one sort, everything of that sort is
/// chosen.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    binaries: Vec<String>,
    tests: Vec<String>,
}

impl Choice {
    fn of(words: &[String], all: &[String]) -> Self {
        let names = |word: &&String| all.iter().any(|binary| is_named(binary, word));
        let (named, tests): (Vec<_>, Vec<_>) = words.iter().partition(names);
        let chosen = all
            .iter()
            .filter(|binary| named.is_empty() || named.iter().any(|word| is_named(binary, word)));
        Self {
            binaries: chosen.cloned().collect(),
            tests: tests.into_iter().cloned().collect(),
        }
    }
}

fn is_named(binary: &str, word: &str) -> bool {
    let rest = binary.strip_prefix(word);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// The names of the lab's test binaries.
fn lab_tests() -> Result<Vec<String>> {
    let dir = state::workspace()?.join("labs/tests");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|_| path.join("main.rs").exists()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
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

/// Builds the agent for measurements, unless `$TWINTOR_BIN` names one.
pub fn build_agent_for_speed() -> Result<PathBuf> {
    if let Some(binary) = env::var_os("TWINTOR_BIN") {
        return Ok(binary.into());
    }
    let status = cargo()
        .args(["build", "--quiet", "--release", "--package", "twintor"])
        .status();
    ensure!(
        status.context("run cargo build")?.success(),
        "cargo build --release --package twintor failed"
    );
    Ok(state::target_dir()?.join("release/twintor"))
}

/// Builds the program that measures the BFD thread alone (release).
pub(crate) fn build_bfd_bench() -> Result<PathBuf> {
    let status = cargo()
        .args(["build", "--quiet", "--release", "--package", "twintor-net"])
        .args(["--example", "bfd_bench"])
        .status();
    ensure!(
        status.context("run cargo build")?.success(),
        "cargo build --release --package twintor-net --example bfd_bench failed"
    );
    Ok(state::target_dir()?.join("release/examples/bfd_bench"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(words: &[&str]) -> (Vec<String>, Vec<String>) {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let Choice { binaries, tests } =
            Choice::of(&owned(words), &owned(&["kube", "kube_agent", "scenarios"]));
        (binaries, tests)
    }

    #[test]
    fn words_choose_binaries_or_tests() {
        for (words, binaries, tests) in [
            (&["kube"][..], &["kube", "kube_agent"][..], &[][..]),
            (&["kube_agent"], &["kube_agent"], &[]),
            (&["kube_agent", "sidecar"], &["kube_agent"], &["sidecar"]),
            (
                &["bfd", "kubectl"],
                &["kube", "kube_agent", "scenarios"],
                &["bfd", "kubectl"],
            ),
            (&[], &["kube", "kube_agent", "scenarios"], &[]),
        ] {
            let (chosen, filters) = choice(words);
            assert_eq!(
                (chosen.as_slice(), filters.as_slice()),
                (
                    binaries
                        .iter()
                        .map(|name| (*name).to_owned())
                        .collect::<Vec<_>>()
                        .as_slice(),
                    tests
                        .iter()
                        .map(|name| (*name).to_owned())
                        .collect::<Vec<_>>()
                        .as_slice(),
                ),
                "{words:?}"
            );
        }
    }

    #[test]
    fn the_labs_test_binaries_are_found() {
        let all = lab_tests().expect("a workspace");
        for name in ["kube", "kube_agent", "scenarios"] {
            assert!(all.iter().any(|known| known == name), "{all:?}");
        }
    }
}
