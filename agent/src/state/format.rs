//! The octets of the file: one line of JSON, then one line for each prefix.

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use wire::{Family, Prefix, PrefixMap};

/// The only version so far.
pub(super) const VERSION: u32 = 1;
const FORMAT: &str = "twintor-state";

/// Whose file it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The node, in lower case.
    pub node: Option<String>,
    /// The NAT gateway, in a sidecar.
    pub gateway: Option<String>,
}

/// What a file says.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Whose it is.
    pub identity: Identity,
    /// The boot it was written in.
    pub boot_id: String,
    /// When it was written.
    pub written_at: Timestamp,
    /// The desired set.
    pub prefixes: PrefixMap<()>,
}

/// Why octets are no state file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The first line does not say so.
    #[error("it is not a state file of twintor")]
    Foreign,
    /// By another release.
    #[error("it has version {0}, and this release reads version {VERSION}")]
    Version(u32),
    /// The head lacks something.
    #[error("its head cannot be read: {0}")]
    Head(String),
    /// The rest is not what the head says.
    #[error("it is damaged or cut off: its checksum is not right")]
    Damaged,
    /// Not a prefix.
    #[error("line {0} is no prefix")]
    Prefix(usize),
}

/// What every version has.
#[derive(Serialize, Deserialize)]
struct Mark {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(flatten)]
    mark: Mark,
    #[serde(flatten)]
    identity: Identity,
    boot_id: String,
    written_at: Timestamp,
    prefixes: usize,
    sha256: String,
}

impl Snapshot {
    /// The file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = String::with_capacity(self.prefixes.len() * 16);
        for family in Family::ALL {
            for (prefix, ()) in self.prefixes.after(family, None) {
                // Writing to a String does not fail.
                let _ = writeln!(body, "{prefix}");
            }
        }
        let head = Head {
            mark: Mark {
                format: FORMAT.to_owned(),
                version: VERSION,
            },
            identity: self.identity.clone(),
            boot_id: self.boot_id.clone(),
            written_at: self.written_at,
            prefixes: self.prefixes.len(),
            sha256: String::new(),
        };
        let sha256 = checksum(&head, &body);
        let head = Head { sha256, ..head };
        let mut octets = head_line(&head).into_bytes();
        octets.push(b'\n');
        octets.extend_from_slice(body.as_bytes());
        octets
    }

    /// What the file says.
    ///
    /// # Errors
    /// [`FormatError`]
    pub(super) fn decode(octets: &[u8]) -> Result<Self, FormatError> {
        let text = std::str::from_utf8(octets).map_err(|_| FormatError::Foreign)?;
        let (first, body) = text.split_once('\n').unwrap_or((text, ""));
        let mark: Mark = serde_json::from_str(first).map_err(|_| FormatError::Foreign)?;
        if mark.format != FORMAT {
            return Err(FormatError::Foreign);
        }
        if mark.version != VERSION {
            return Err(FormatError::Version(mark.version));
        }
        let head: Head = serde_json::from_str(first).map_err(|error| FormatError::Head(error.to_string()))?;
        if checksum(&head, body) != head.sha256 || body.lines().count() != head.prefixes {
            return Err(FormatError::Damaged);
        }
        let mut prefixes = PrefixMap::new();
        for (number, line) in body.lines().enumerate() {
            let prefix: Prefix = line.parse().map_err(|_| FormatError::Prefix(number + 2))?;
            prefixes.insert(prefix, ());
        }
        Ok(Self {
            identity: head.identity,
            boot_id: head.boot_id,
            written_at: head.written_at,
            prefixes,
        })
    }
}

fn head_line(head: &Head) -> String {
    serde_json::to_string(head).unwrap_or_default()
}

/// Over the head without its checksum, and the body.
fn checksum(head: &Head, body: &str) -> String {
    let head = Head {
        mark: Mark {
            format: head.mark.format.clone(),
            version: head.mark.version,
        },
        identity: head.identity.clone(),
        boot_id: head.boot_id.clone(),
        written_at: head.written_at,
        prefixes: head.prefixes,
        sha256: String::new(),
    };
    let mut all = head_line(&head).into_bytes();
    all.push(b'\n');
    all.extend_from_slice(body.as_bytes());
    let mut text = String::with_capacity(64);
    for octet in digest(&SHA256, &all).as_ref() {
        let _ = write!(text, "{octet:02x}");
    }
    text
}
