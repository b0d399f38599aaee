//! The file as it lies on the disk.

use super::{ConfigError, Document, MAX_FILE};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigText {
    /// Its path as it was given.
    pub path: PathBuf,
    /// Where relative paths in it begin.
    pub directory: PathBuf,
    /// Its text.
    pub text: String,
}

impl ConfigText {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is larger than [`MAX_FILE`], or is no text.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let refuse = |message: String| ConfigError {
            file: path.display().to_string(),
            at: None,
            field: String::new(),
            message,
            other_file: None,
        };
        let unreadable =
            |error: io::Error| refuse(format!("cannot be read: {error}; create it or correct --config"));
        // A pipe would make the open wait for a writer.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(refuse("is no regular file; name a file".to_owned()));
        }
        let mut octets = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut octets));
        read.map_err(unreadable)?;
        if octets.len() as u64 > MAX_FILE {
            return Err(refuse(format!(
                "is larger than {} MiB; take out what is not needed",
                MAX_FILE >> 20
            )));
        }
        let text = String::from_utf8(octets).map_err(|_| refuse("is not UTF-8 text".to_owned()))?;
        Ok(Self {
            path: path.to_owned(),
            directory: directory_of(path),
            text,
        })
    }

    /// To be resolved.
    pub fn document(&self) -> Document<'_> {
        Document {
            name: self.path.to_str().unwrap_or("--config"),
            text: &self.text,
            directory: &self.directory,
        }
    }
}

/// The directory of a file; relative where the path is.
pub fn directory_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}
