//! Waiting for conditions.

use std::error::Error;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// How long a lab waits for something that normally takes a second: generous, because machines are slow sometimes.
pub const PATIENCE: Duration = Duration::from_secs(40);

const STEP: Duration = Duration::from_millis(15);

/// An error that no waiting will mend.
#[derive(Debug)]
pub struct Hopeless(pub String);

impl fmt::Display for Hopeless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Hopeless {}

/// Asks until there is an answer, and says what was missing when the time is up.
///
/// An error of the question counts as "not yet", because daemons that are just starting refuse connections; except
/// [`Hopeless`].
pub fn until<T>(what: &str, deadline: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = ask();
        match last {
            Ok(Some(answer)) => return Ok(answer),
            Err(error) if error.is::<Hopeless>() => return Err(error.context(what.to_owned())),
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
