use super::Boot;
use super::format::{FormatError, Identity, Snapshot};
use jiff::Timestamp;
use nix::libc;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::PrefixMap;

/// The largest file that is read, in octets: two million prefixes.
const MAX: u64 = 64 << 20;
/// Clocks may be this far apart over a restart.
const CLOCK_SLACK: Duration = Duration::from_secs(300);

/// Where the state is kept, and what of it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// Its path.
    pub path: PathBuf,
    /// Older than this it is not believed.
    pub max_age: Duration,
    /// How long the first complete sync may take until the set of the file stands in for it.
    pub wait: Duration,
}

/// What a start finds.
#[derive(Debug)]
pub enum Found {
    /// A desired set that may be announced.
    Set(PrefixMap<()>),
    /// A state of ours from before the last boot: its set is of no use, the pods have gone with the boot.
    OtherBoot,
    /// No file: the first start.
    Nothing,
    /// A file that is not believed.
    Unusable(Unusable),
}

/// Why a file is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// More than we would write.
    #[error("it has more than {MAX} octets")]
    TooLarge,
    /// It is not what we write.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Of somebody else.
    #[error("it belongs to {0}")]
    Foreign(String),
    /// The clock was set back, or the file was made elsewhere.
    #[error("it is from the future: {0}")]
    Future(Timestamp),
    /// Nobody has looked after it for too long.
    #[error("it is from {0}, older than {max}", max = humane(*.1))]
    Old(Timestamp, Duration),
}

impl StateFile {
    /// Reads and judges the file.
    pub fn read(&self, identity: &Identity, boot: &Boot, now: Timestamp) -> Found {
        match self.judge(identity, now) {
            Ok(Some(snapshot)) if snapshot.boot_id == boot.id => Found::Set(snapshot.prefixes),
            Ok(Some(_)) => Found::OtherBoot,
            Ok(None) => Found::Nothing,
            Err(reason) => Found::Unusable(reason),
        }
    }

    fn judge(&self, identity: &Identity, now: Timestamp) -> Result<Option<Snapshot>, Unusable> {
        let Some(octets) = read(&self.path)? else {
            return Ok(None);
        };
        let snapshot = Snapshot::decode(&octets)?;
        if snapshot.identity != *identity {
            return Err(Unusable::Foreign(snapshot.identity.to_string()));
        }
        let age = now.as_second().saturating_sub(snapshot.written_at.as_second());
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        if age < -seconds(CLOCK_SLACK) {
            return Err(Unusable::Future(snapshot.written_at));
        }
        if age > seconds(self.max_age) {
            return Err(Unusable::Old(snapshot.written_at, self.max_age));
        }
        Ok(Some(snapshot))
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.node, &self.gateway) {
            (Some(node), None) => write!(f, "node {node:?}"),
            (None, Some(gateway)) => write!(f, "gateway {gateway:?}"),
            (Some(node), Some(gateway)) => write!(f, "gateway {gateway:?} on node {node:?}"),
            (None, None) => f.write_str("a speaker without a name"),
        }
    }
}

fn humane(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Unusable> {
    // A pipe in its place must not hang the start.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file").into());
    }
    let mut octets = Vec::new();
    file.take(MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > MAX {
        return Err(Unusable::TooLarge);
    }
    Ok(Some(octets))
}

/// Replaces the file as a whole, mode 0600: a reader finds the former or the new content, after a power cut as well.
///
/// # Errors
/// The file system does not let us.
pub(super) fn replace(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
