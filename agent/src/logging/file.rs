use crate::cli::LogFile;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

/// A log file that begins anew when it is full; the full one is kept under the same name with `.1` after it.
#[derive(Debug)]
pub(super) struct RotatingFile {
    config: LogFile,
    file: File,
    written: u64,
}

impl RotatingFile {
    /// Opens the file to append to it. One that is there gets the mode too.
    pub(super) fn open(config: LogFile) -> io::Result<Self> {
        let file = open(&config)?;
        let written = file.metadata()?.len();
        Ok(Self {
            config,
            file,
            written,
        })
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(&self.config.path, self.former())?;
        self.file = open(&self.config)?;
        self.written = 0;
        Ok(())
    }

    fn former(&self) -> PathBuf {
        let mut name = OsString::from(&self.config.path);
        name.push(".1");
        name.into()
    }
}

impl Write for RotatingFile {
    /// Each call is a whole line, so that no line is torn between two files.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let size = line.len() as u64;
        let full = self
            .config
            .max_size
            .is_some_and(|max| self.written > 0 && self.written.saturating_add(size) > max);
        // A file that cannot be replaced is better than no log.
        if full && self.rotate().is_err() {
            self.written = 0;
        }
        self.file.write_all(line)?;
        self.written += size;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(config: &LogFile) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(config.mode)
        .open(&config.path)?;
    // The mask of the process does not count, and an existing file gets the mode as well; the owner may be another.
    let _ = file.set_permissions(Permissions::from_mode(config.mode));
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &tempfile::TempDir, max_size: Option<u64>) -> LogFile {
        LogFile {
            path: dir.path().join("speaker.log"),
            mode: 0o604,
            max_size,
        }
    }

    #[test]
    fn begins_anew_when_full_and_keeps_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = file(&dir, Some(10));
        let mut log = RotatingFile::open(config.clone()).expect("opens");
        for line in ["one\n", "two\n", "three\n", "a line that is too long alone\n"] {
            log.write_all(line.as_bytes()).expect("written");
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("there");
        assert_eq!(read("speaker.log"), "a line that is too long alone\n");
        assert_eq!(read("speaker.log.1"), "three\n");
        assert_eq!(
            fs::metadata(&config.path).expect("there").permissions().mode() & 0o777,
            0o604
        );
    }

    #[test]
    fn goes_on_with_what_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        for _ in 0..2 {
            let mut log = RotatingFile::open(file(&dir, None)).expect("opens");
            log.write_all(b"line\n").expect("written");
        }
        let text = fs::read_to_string(dir.path().join("speaker.log")).expect("there");
        assert_eq!(text, "line\nline\n");
    }
}
