//! Logs for operators, on stderr or in a file.
//!
//! | `-v` | what is logged |
//! |---|---|
//! | 0 | info: what changed, and what somebody should look at (warn, error) |
//! | 1, 2 | and the decisions of the agent and of the rack (debug of `agent` and `fabric`) |
//! | 3, 4 | and the protocols: session states, BFD (debug of all rooms) |
//! | 5 and up | and every prefix and message (trace of all rooms) |
//!
//! Other libraries are heard from warn on, whatever the verbosity; the Kubernetes client only from `-v 3` on, because
//! what it complains about is reported by the source, once and with a remedy.

mod file;
mod outputs;

use crate::cli::{Log, LogFormat};
use file::RotatingFile;
use outputs::Outputs;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Something in the process already logs.
    #[error("cannot set up the log: {0}")]
    Taken(#[from] tracing::dispatcher::SetGlobalDefaultError),
}

/// Begins to log. Once per process. A log file that cannot be opened is replaced by stderr, with a line about it: routes
/// do not depend on a log.
///
/// # Errors
///
/// [`LogError`] if the process already has a log.
pub fn init(verbosity: i32, log: &Log) -> Result<(), LogError> {
    let mut outputs = Outputs {
        stderr: log.stderr,
        file: None,
    };
    let mut failure = None;
    if let Some(config) = &log.file {
        match RotatingFile::open(config.clone()) {
            Ok(file) => outputs.file = Some(Arc::new(Mutex::new(file))),
            Err(error) => {
                failure = Some((config.path.display(), error));
                outputs.stderr = LevelFilter::TRACE;
            }
        }
    }
    let filter = EnvFilter::new(directives(verbosity));
    let colours = outputs.file.is_none() && std::io::stderr().is_terminal();
    let builder = fmt()
        .with_writer(outputs)
        .with_env_filter(filter)
        .with_ansi(colours);
    match log.format {
        LogFormat::Text if log.skip_headers => {
            let builder = builder.without_time().with_level(false).with_target(false);
            tracing::subscriber::set_global_default(builder.finish())?;
        }
        LogFormat::Text => tracing::subscriber::set_global_default(builder.finish())?,
        LogFormat::Json => {
            let builder = builder
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false);
            tracing::subscriber::set_global_default(builder.finish())?;
        }
    }
    if let Some((path, error)) = failure {
        tracing::warn!(%path, %error, "the log file cannot be opened; logging to stderr instead");
    }
    Ok(())
}

/// The filter of a verbosity, in the syntax of [`EnvFilter`].
fn directives(verbosity: i32) -> String {
    const UPPER: &[&str] = &["agent", "twintor", "fabric"];
    const LOWER: &[&str] = &["net", "bgp", "bfd", "wire"];
    let (upper, lower) = match verbosity {
        ..=0 => ("info", "info"),
        1..=2 => ("debug", "info"),
        3..=4 => ("debug", "debug"),
        5.. => ("trace", "trace"),
    };
    let client = if verbosity < 3 { "off" } else { "warn" };
    let mut directives = format!("warn,kube_client={client}");
    for (rooms, level) in [(UPPER, upper), (LOWER, lower)] {
        for room in rooms {
            directives.push_str(&format!(",{room}={level}"));
        }
    }
    directives
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbosity_opens_the_rooms_from_the_top() {
        assert!(directives(-1).ends_with("fabric=info,net=info,bgp=info,bfd=info,wire=info"));
        assert_eq!(directives(0), directives(-1));
        assert!(directives(2).contains("agent=debug") && directives(2).contains("bgp=info"));
        assert!(directives(4).contains("bgp=debug"));
        assert!(directives(5).contains("agent=trace") && directives(99).contains("wire=trace"));
        for verbosity in -1..7 {
            assert!(EnvFilter::try_new(directives(verbosity)).is_ok());
        }
    }
}
