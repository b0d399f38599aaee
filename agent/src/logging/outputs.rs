use super::file::RotatingFile;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Where lines go: to stderr from some severity on, and all of them to a file.
#[derive(Clone, Debug)]
pub(super) struct Outputs {
    pub(super) stderr: LevelFilter,
    pub(super) file: Option<Arc<Mutex<RotatingFile>>>,
}

/// Where one line goes.
pub(super) struct Line<'a> {
    stderr: bool,
    file: Option<&'a Mutex<RotatingFile>>,
}

impl Outputs {
    fn line(&self, level: Level) -> Line<'_> {
        Line {
            stderr: level <= self.stderr,
            file: self.file.as_deref(),
        }
    }
}

impl<'a> MakeWriter<'a> for Outputs {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        self.line(Level::ERROR)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        self.line(*meta.level())
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut written = Ok(());
        if let Some(file) = self.file {
            written = file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write_all(line);
        }
        // A full disk must not silence everything.
        if self.stderr || written.is_err() {
            io::stderr().write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stderr_has_its_own_threshold() {
        let to_stderr = |stderr, level| Outputs { stderr, file: None }.line(level).stderr;
        assert!(to_stderr(LevelFilter::TRACE, Level::TRACE));
        assert!(to_stderr(LevelFilter::ERROR, Level::ERROR) && !to_stderr(LevelFilter::ERROR, Level::WARN));
        assert!(!to_stderr(LevelFilter::OFF, Level::ERROR));
    }
}
