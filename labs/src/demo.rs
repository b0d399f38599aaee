//! `cargo lab demo`.

use std::process::ExitCode;

use anyhow::{Result, bail};

/// Runs the demonstration.
pub fn run(_say: &mut dyn FnMut(&str)) -> Result<ExitCode> {
    bail!("not built yet")
}
