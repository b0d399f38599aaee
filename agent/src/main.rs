//! The binary `twintor`. All it does is in the library `agent`.

use agent::cli::{self, Command};
use agent::{capability, logging, run, show};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Fails only where there is one already, and there is nothing before this.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = match cli::parse(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(Command::Run(settings)) => settings,
        Ok(Command::Show(show)) => return show::run(&show),
        Err(error) => return error.report(),
    };
    capability::raise_bind_service();
    let ran = logging::init(settings.verbosity, &settings.log)
        .map_err(Into::into)
        .and_then(|()| run::run(&settings));
    let Err(error) = ran else {
        return ExitCode::SUCCESS;
    };
    // Nothing is left to do if stderr is gone too.
    let _ = writeln!(io::stderr(), "twintor: {error:#}");
    ExitCode::FAILURE
}
