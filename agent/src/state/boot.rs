use std::fs;
use std::io;
use std::time::Duration;

/// Which boot of the host this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The kernel's random identifier of this boot.
    pub id: String,
    /// Since when the host is up.
    pub uptime: Duration,
}

impl Boot {
    /// Asks the kernel.
    ///
    /// # Errors
    /// `/proc` is not there, or not readable.
    pub fn read() -> io::Result<Self> {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?
            .trim()
            .to_owned();
        let uptime = fs::read_to_string("/proc/uptime")?;
        let seconds = uptime
            .split_whitespace()
            .next()
            .and_then(|text| text.parse().ok());
        let uptime = seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/uptime has no number"))?;
        Ok(Self { id, uptime })
    }
}
