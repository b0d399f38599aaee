//! Waiting for conditions.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// How long a lab waits for something that normally takes a second: generous, because machines are slow sometimes.
pub const PATIENCE: Duration = Duration::from_secs(40);

const STEP: Duration = Duration::from_millis(15);

/// Asks until there is an answer, and says what was missing when the time is up.
///
/// An error of the question counts as "not yet": daemons that are just starting refuse connections.
pub fn until<T>(what: &str, deadline: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = ask();
        match last {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) | Err(_) if start.elapsed() < deadline => thread::sleep(STEP),
            Ok(None) => return Err(anyhow!("not within {deadline:?}: {what}")),
            Err(error) => return Err(error.context(format!("not within {deadline:?}: {what}"))),
        }
    }
}

/// Like [`until`], for a condition without an answer.
pub fn until_true(what: &str, deadline: Duration, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, deadline, || Ok(ask()?.then_some(())))
}
