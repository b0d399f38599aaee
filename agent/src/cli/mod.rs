//! The command line: for `twintor run` pflag syntax in, plain [`Settings`] out; the other commands are [`Show`].
//!
//! [`parse`] never touches the process: arguments and environment are parameters.

mod duration;
mod env;
mod flags;
mod log;
mod parser;
mod settings;
mod show;
mod values;

#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod migration_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod value_tests;

pub use duration::{DurationError, parse_duration};
pub use env::PodIps;
pub use log::{Log, LogFile, LogFormat};
pub use settings::{Bfd, GracefulRestart, Grpc, Settings, StateFileFlags};
pub(crate) use settings::{restart_bfd_remark, short_bfd_remark};
pub use show::{Common, Explain, ExplainBfd, ExplainWhat, Output, Show, ShowBfd, ShowPlan, ShowStatus};

use parser::Parsed;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Why there are no settings, or why there should be none.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Help or version was asked for.
    #[error("{plain}")]
    Help {
        /// The text for stdout.
        plain: String,
        /// The same for a terminal, with escape sequences.
        styled: String,
    },
    /// The command line cannot be read: unknown flag or command, or a value of the wrong form.
    #[error("{message}")]
    Syntax {
        /// One line that names the input.
        message: String,
        /// The usage text.
        usage: String,
    },
    /// Each flag can be read, but together they make no configuration.
    #[error("failed to parse config: {0}")]
    Invalid(String),
}

impl CliError {
    /// Tells the user, on stdout if it is what was asked for and else on stderr, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let mut out = io::stdout();
        let mut err = io::stderr();
        // Where the reader is gone, there is nobody to tell.
        let _ = match self {
            Self::Help { styled, .. } if out.is_terminal() => write!(out, "{styled}"),
            Self::Help { plain, .. } => write!(out, "{plain}"),
            Self::Syntax { message, usage } => writeln!(err, "{message}\n\n{usage}"),
            Self::Invalid(_) => writeln!(err, "{self}"),
        };
        ExitCode::from(self.exit_code())
    }

    /// The exit code of the process, as kube-ovn-speaker has it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Help { .. } => 0,
            Self::Syntax { .. } => 2,
            Self::Invalid(_) => 1,
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// `twintor run`.
    Run(Box<Settings>),
    /// A command that looks at a running agent.
    Show(Show),
}

/// Reads a command line. `args` begins with the name of the program: as `kube-ovn-speaker`, it behaves as
/// `twintor run`. `env` looks up environment variables.
///
/// # Errors
///
/// See [`CliError`]; the first problem that is found, except that all missing flags are named together.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Command, CliError> {
    let args = as_twintor(args.into_iter().collect());
    let given = match parser::parse(args)? {
        Parsed::Run(given) => given,
        Parsed::Show(show) => return Ok(Command::Show(show)),
    };
    let settings = settings::build(&given, &env)?;
    Ok(Command::Run(Box::new(settings)))
}

fn as_twintor(mut args: Vec<OsString>) -> Vec<OsString> {
    let called = args
        .first()
        .and_then(|name| Path::new(name).file_name().map(ToOwned::to_owned));
    if called.is_some_and(|name| name == "kube-ovn-speaker") {
        args.insert(1, "run".into());
    }
    args
}
