//! Passwords and keys from files. A secret is never part of an error.

use net::{Md5Key, Md5KeyError};
use secrecy::SecretString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// More than any password has.
const MAX: u64 = 4096;

/// Why a file holds no secret. Each text names what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordError {
    #[error("cannot be read: {0}; create it or correct the path")]
    Read(#[from] io::Error),
    #[error("is no regular file; name a file with the secret")]
    NoFile,
    #[error("has more than {MAX} octets; write the secret and nothing else into it")]
    TooLong,
    #[error("is not UTF-8 text; write the secret as text")]
    NoText,
    #[error("{0}")]
    Key(#[from] Md5KeyError),
}

/// A password, and whether others may read its file too.
#[derive(Debug)]
pub(super) struct Password {
    pub(super) key: Md5Key,
    pub(super) readable_by_others: bool,
}

/// A secret, and whether others may read its file too.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) text: SecretString,
    pub(super) readable_by_others: bool,
}

/// Reads a password, as [`read_secret`] does.
pub(super) fn read(path: &Path) -> Result<Password, PasswordError> {
    let secret = read_secret(path)?;
    Ok(Password {
        key: Md5Key::new(secret.text)?,
        readable_by_others: secret.readable_by_others,
    })
}

/// Reads a secret of any length. One line break at the end of the file does not count.
pub(super) fn read_secret(path: &Path) -> Result<Secret, PasswordError> {
    // A pipe would make the open wait for a writer.
    let meta = std::fs::metadata(path)?;
    if !meta.is_file() {
        return Err(PasswordError::NoFile);
    }
    let mut octets = Vec::new();
    File::open(path)?.take(MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > MAX {
        return Err(PasswordError::TooLong);
    }
    let text = String::from_utf8(octets).map_err(|_| PasswordError::NoText)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Secret {
        text: SecretString::from(text),
        readable_by_others: meta.permissions().mode() & 0o004 != 0,
    })
}

/// What deserves a line in the log about a file that others may read.
pub(super) fn readable_by_others(what: &str, path: &Path) -> String {
    format!(
        "the {what} file {} can be read by everybody; chmod o-r it (in a Secret volume: defaultMode: 0440)",
        path.display()
    )
}
