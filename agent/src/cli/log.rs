//! klog's flags, as far as they mean something here.

use super::CliError;
use super::parser::{Given, refuse_value};
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// Where the log goes, and how it looks.
#[derive(Clone, Debug)]
pub struct Log {
    /// The form.
    pub format: LogFormat,
    /// From which severity on lines go to stderr.
    pub stderr: LevelFilter,
    /// The file to which all lines go; `None` for none.
    pub file: Option<LogFile>,
    /// Leave out time, severity and module.
    pub skip_headers: bool,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text for each event.
    #[default]
    Text,
    /// One JSON object for each event.
    Json,
}

/// A log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Its path. When it is full, it is renamed to this with `.1` after it.
    pub path: PathBuf,
    /// Its permission bits, 0 to 0o7777.
    pub mode: u32,
    /// When it is full, in octets; `None` for never.
    pub max_size: Option<u64>,
}

/// The name of the log file where only a directory is given.
const FILE_NAME: &str = "twintor.log";

/// Flags that say something about Go's files or klog's form only.
const WITHOUT_EFFECT: &[&str] = &["vmodule", "log_backtrace_at"];
const WITHOUT_EFFECT_BOOL: &[&str] = &["one_output", "add_dir_header"];

/// What the flags say. A note for each that has no effect.
pub(super) fn log(given: &Given, warnings: &mut Vec<String>) -> Result<Log, CliError> {
    for name in WITHOUT_EFFECT {
        if given.text(name).is_some() {
            warnings.push(format!("--{name} has no effect here; use -v"));
        }
    }
    for name in WITHOUT_EFFECT_BOOL {
        if given.bool(name) {
            warnings.push(format!("--{name} has no effect here; leave it out"));
        }
    }
    let file = file(given, warnings)?;
    Ok(Log {
        format: given.log_format(),
        stderr: stderr(given, file.is_some())?,
        file,
        skip_headers: given.bool("skip_headers"),
    })
}

fn file(given: &Given, warnings: &mut Vec<String>) -> Result<Option<LogFile>, CliError> {
    let perm = given.text("log-perm").unwrap_or_default();
    let mode = u32::from_str_radix(perm, 8).ok().filter(|mode| *mode <= 0o7777);
    let Some(mode) = mode else {
        let message = format!("failed to parse log-perm {perm:?}; write an octal mode such as 640");
        return Err(CliError::Invalid(message));
    };
    let in_dir = given
        .text("log_dir")
        .map(|dir| PathBuf::from(dir).join(FILE_NAME));
    let path = given.text("log_file").map(PathBuf::from).or(in_dir);
    if given.bool("logtostderr") {
        if path.is_some() {
            warnings.push("the log file is not used: add --logtostderr=false".to_owned());
        }
        return Ok(None);
    }
    let Some(path) = path else {
        warnings.push("--logtostderr=false without --log_file or --log_dir: logging to stderr".to_owned());
        return Ok(None);
    };
    let mebibytes: u64 = given.uint("log_file_max_size");
    Ok(Some(LogFile {
        path,
        mode,
        max_size: Some(mebibytes.saturating_mul(1 << 20)).filter(|size| *size > 0),
    }))
}

/// klog: with `--logtostderr` or `--alsologtostderr` everything goes to stderr, unless the legacy behaviour is switched
/// off; beside a log file, what reaches the threshold.
fn stderr(given: &Given, has_file: bool) -> Result<LevelFilter, CliError> {
    let threshold = severity(given, "stderrthreshold")?.unwrap_or(LevelFilter::ERROR);
    let also = severity(given, "alsologtostderrthreshold")?.unwrap_or(LevelFilter::TRACE);
    let legacy = given.bool("legacy_stderr_threshold_behavior");
    let has_also = given.bool("alsologtostderr");
    Ok(match (has_file, legacy) {
        (false, true) => LevelFilter::TRACE,
        (false, false) if !given.bool("logtostderr") => LevelFilter::TRACE,
        (false, false) => threshold,
        (true, true) if has_also => LevelFilter::TRACE,
        (true, false) if has_also => also.max(threshold),
        (true, _) => threshold,
    })
}

/// A severity by klog's name or number; nothing for an empty text. Our debug and trace lines are klog's INFO.
fn severity(given: &Given, name: &str) -> Result<Option<LevelFilter>, CliError> {
    let Some(text) = given.text(name) else {
        return Ok(None);
    };
    let severity = match text.to_ascii_uppercase().as_str() {
        "INFO" | "0" => LevelFilter::TRACE,
        "WARNING" | "1" => LevelFilter::WARN,
        "ERROR" | "2" => LevelFilter::ERROR,
        "FATAL" | "3" => LevelFilter::OFF,
        _ => {
            return Err(refuse_value(
                name,
                text,
                "not a severity; use INFO, WARNING, ERROR or FATAL",
            ));
        }
    };
    Ok(Some(severity))
}
