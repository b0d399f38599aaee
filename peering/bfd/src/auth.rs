//! Authentication of Control packets (RFC 5880 §6.7).

use md5::{Digest, Md5};
use sha1::Sha1;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Discard;
use crate::packet::{
    AuthSection, ControlPacket, DIGEST_OFFSET, MAX_PACKET_LEN, MAX_PASSWORD_LEN, MD5_AUTH_LEN,
    MIN_PACKET_LEN, Packet, RawAuth, SHA1_AUTH_LEN,
};

/// The longest secret: a SHA1 key (RFC 5880 §6.7.4).
const MAX_SECRET_LEN: usize = 20;

/// How packets of a session are authenticated (RFC 5880 §4.1, Auth Type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthType {
    /// 1: a password in clear. Guards against misconfiguration, not against an attacker. Secret of 1 to 16 octets.
    SimplePassword,
    /// 2: MD5; a packet can be replayed within the window. Secret of 1 to 16 octets.
    KeyedMd5,
    /// 3: MD5, a sequence number for every packet. Secret of 1 to 16 octets.
    MeticulousKeyedMd5,
    /// 4: SHA1; a packet can be replayed within the window. Secret of 1 to 20 octets.
    KeyedSha1,
    /// 5: SHA1, a sequence number for every packet. Secret of 1 to 20 octets.
    MeticulousKeyedSha1,
}

impl AuthType {
    /// Every type, in the order of the wire values 1 to 5.
    pub const ALL: [Self; 5] = [
        Self::SimplePassword,
        Self::KeyedMd5,
        Self::MeticulousKeyedMd5,
        Self::KeyedSha1,
        Self::MeticulousKeyedSha1,
    ];

    /// The value of the Auth Type field.
    #[must_use]
    pub fn to_bits(self) -> u8 {
        match self {
            Self::SimplePassword => 1,
            Self::KeyedMd5 => 2,
            Self::MeticulousKeyedMd5 => 3,
            Self::KeyedSha1 => 4,
            Self::MeticulousKeyedSha1 => 5,
        }
    }

    /// Octets that a secret of this type can have at most (RFC 5880 §6.7.2 to §6.7.4).
    #[must_use]
    pub fn max_secret_len(self) -> usize {
        match self {
            Self::SimplePassword => MAX_PASSWORD_LEN,
            Self::KeyedMd5 | Self::MeticulousKeyedMd5 => 16,
            Self::KeyedSha1 | Self::MeticulousKeyedSha1 => MAX_SECRET_LEN,
        }
    }

    fn is_meticulous(self) -> bool {
        match self {
            Self::MeticulousKeyedMd5 | Self::MeticulousKeyedSha1 => true,
            Self::SimplePassword | Self::KeyedMd5 | Self::KeyedSha1 => false,
        }
    }
}

/// Why an authentication setting was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    /// The secret is empty or longer than the type allows.
    #[error("secret of key {id} has {len} octets: use 1 to {max} with this authentication type")]
    SecretLength {
        /// The key ID.
        id: u8,
        /// Octets of the secret.
        len: usize,
        /// Octets that the type allows.
        max: usize,
    },
    /// Two keys have the same ID.
    #[error("key ID {id} is given twice: give each key an ID of its own")]
    DuplicateKeyId {
        /// The key ID.
        id: u8,
    },
}

/// A secret with its key ID. The secret is wiped from memory on drop and never printed.
#[derive(Clone)]
pub struct Key {
    id: u8,
    /// Padded with trailing zeros, as the digests want it (RFC 5880 §6.7.3, §6.7.4).
    secret: Zeroizing<[u8; MAX_SECRET_LEN]>,
    len: usize,
}

impl Key {
    /// A key; the length of `secret` is checked when the key is given to an [`Auth`].
    #[must_use]
    pub fn new(id: u8, secret: &[u8]) -> Self {
        let mut padded = Zeroizing::new([0; MAX_SECRET_LEN]);
        for (slot, octet) in padded.iter_mut().zip(secret) {
            *slot = *octet;
        }
        Self {
            id,
            secret: padded,
            len: secret.len(),
        }
    }

    /// The key ID.
    #[must_use]
    pub fn id(&self) -> u8 {
        self.id
    }

    fn padded<const N: usize>(&self) -> &[u8] {
        self.secret.get(..N).unwrap_or_default()
    }

    fn secret(&self) -> &[u8] {
        self.secret.get(..self.len).unwrap_or_default()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && same_octets(self.secret(), other.secret())
    }
}

impl Eq for Key {}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The authentication of a session: one type, the key to send with, and the keys to accept.
///
/// To roll a key over without a flap: first make both ends accept the new key ([`Auth::accepting`]), then send with
/// it, then drop the old one (RFC 5880 §6.7.1). [`Session::set_auth`](crate::Session::set_auth) changes it in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    auth_type: AuthType,
    transmit: Key,
    accept: Vec<Key>,
}

impl Auth {
    /// Sends with `key`, and accepts it.
    ///
    /// # Errors
    ///
    /// [`AuthError::SecretLength`] if the secret does not fit the type.
    pub fn new(auth_type: AuthType, key: Key) -> Result<Self, AuthError> {
        check_length(auth_type, &key)?;
        Ok(Self {
            auth_type,
            transmit: key,
            accept: Vec::new(),
        })
    }

    /// Accepts packets made with `key`, too.
    ///
    /// # Errors
    ///
    /// [`AuthError::SecretLength`] if the secret does not fit the type, [`AuthError::DuplicateKeyId`] if the ID is
    /// taken.
    pub fn accepting(mut self, key: Key) -> Result<Self, AuthError> {
        check_length(self.auth_type, &key)?;
        if self.receive_key(key.id).is_some() {
            return Err(AuthError::DuplicateKeyId { id: key.id });
        }
        self.accept.push(key);
        Ok(self)
    }

    /// The type in use.
    #[must_use]
    pub fn auth_type(&self) -> AuthType {
        self.auth_type
    }

    /// Writes `control` with its authentication section, and returns the length of the packet.
    pub(crate) fn sign(
        &self,
        control: &ControlPacket,
        sequence: u32,
        buf: &mut [u8; MAX_PACKET_LEN],
    ) -> usize {
        let meticulous = self.auth_type.is_meticulous();
        let key_id = self.transmit.id;
        let unsigned = match self.auth_type {
            AuthType::SimplePassword => AuthSection::Password {
                key_id,
                password: self.transmit.secret(),
            },
            AuthType::KeyedMd5 | AuthType::MeticulousKeyedMd5 => AuthSection::Md5 {
                meticulous,
                key_id,
                sequence,
                digest: [0; 16],
            },
            AuthType::KeyedSha1 | AuthType::MeticulousKeyedSha1 => AuthSection::Sha1 {
                meticulous,
                key_id,
                sequence,
                digest: [0; 20],
            },
        };
        // Construction checked the length of the secret, the only thing that can fail.
        let Some(len) = control.encode(Some(unsigned), buf) else {
            return 0;
        };
        match self.auth_type {
            AuthType::SimplePassword => {}
            AuthType::KeyedMd5 | AuthType::MeticulousKeyedMd5 => {
                let digest = md5(buf.get(..len).unwrap_or_default(), &self.transmit);
                put_digest(buf, &digest);
            }
            AuthType::KeyedSha1 | AuthType::MeticulousKeyedSha1 => {
                let digest = sha1(buf.get(..len).unwrap_or_default(), &self.transmit);
                put_digest(buf, &digest);
            }
        }
        len
    }

    /// Checks a received section by the rules of RFC 5880 §6.7.2 to §6.7.4, in their order. `known` is
    /// bfd.RcvAuthSeq, or `None` while bfd.AuthSeqKnown is 0. The answer is the new bfd.RcvAuthSeq, which the caller
    /// stores: unlike in the RFC's wording, a packet whose digest is wrong leaves no trace.
    pub(crate) fn verify(
        &self,
        packet: &Packet<'_>,
        raw: RawAuth<'_>,
        known: Option<u32>,
    ) -> Result<Option<u32>, Discard> {
        if raw.auth_type != self.auth_type.to_bits() {
            return Err(Discard::AuthType);
        }
        let Some(key_id) = raw.key_id() else {
            return Err(Discard::AuthLength);
        };
        let Some(key) = self.receive_key(key_id) else {
            return Err(Discard::AuthKeyId);
        };
        let section = raw.parse()?;
        // "3 * Detect Mult" (§6.7.3): the sender's, which bounds how many packets can be lost on a session that lives.
        let window = 3 * u32::from(packet.control.detect_mult.get());
        let (sequence, authentic) = match section {
            AuthSection::Password { password, .. } => (None, same_octets(password, key.secret())),
            AuthSection::Md5 { sequence, digest, .. } => {
                self.check_sequence(sequence, known, window)?;
                (Some(sequence), same_octets(&digest, &md5(packet.bytes, key)))
            }
            AuthSection::Sha1 { sequence, digest, .. } => {
                self.check_sequence(sequence, known, window)?;
                (Some(sequence), same_octets(&digest, &sha1(packet.bytes, key)))
            }
        };
        if !authentic {
            return Err(Discard::AuthDigest);
        }
        Ok(sequence)
    }

    /// The sequence number of the next packet. A meticulous type counts every packet; the others count changes of
    /// the contents, which RFC 5880 §6.7.3 recommends.
    pub(crate) fn next_sequence(&self, current: u32, contents_changed: bool) -> u32 {
        if self.auth_type.is_meticulous() || contents_changed {
            current.wrapping_add(1)
        } else {
            current
        }
    }

    /// RFC 5880 §6.7.3, §6.7.4: the window is circular, and a meticulous type excludes the number last seen.
    fn check_sequence(&self, sequence: u32, known: Option<u32>, window: u32) -> Result<(), Discard> {
        let Some(known) = known else {
            return Ok(());
        };
        let ahead = sequence.wrapping_sub(known);
        let least = u32::from(self.auth_type.is_meticulous());
        if !(least..=window).contains(&ahead) {
            return Err(Discard::AuthSequence);
        }
        Ok(())
    }

    fn receive_key(&self, id: u8) -> Option<&Key> {
        std::iter::once(&self.transmit)
            .chain(&self.accept)
            .find(|key| key.id == id)
    }
}

fn check_length(auth_type: AuthType, key: &Key) -> Result<(), AuthError> {
    let max = auth_type.max_secret_len();
    if key.len == 0 || key.len > max {
        return Err(AuthError::SecretLength {
            id: key.id,
            len: key.len,
            max,
        });
    }
    Ok(())
}

/// RFC 5880 §6.7.3: over the whole packet, with the padded key where the digest goes.
fn md5(packet: &[u8], key: &Key) -> [u8; 16] {
    let mut hash = Md5::new();
    hash.update(packet.get(..MIN_PACKET_LEN + DIGEST_OFFSET).unwrap_or_default());
    hash.update(key.padded::<16>());
    hash.update(packet.get(MIN_PACKET_LEN + MD5_AUTH_LEN..).unwrap_or_default());
    hash.finalize().into()
}

/// RFC 5880 §6.7.4: over the whole packet, with the padded key where the hash goes.
fn sha1(packet: &[u8], key: &Key) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(packet.get(..MIN_PACKET_LEN + DIGEST_OFFSET).unwrap_or_default());
    hash.update(key.padded::<20>());
    hash.update(packet.get(MIN_PACKET_LEN + SHA1_AUTH_LEN..).unwrap_or_default());
    hash.finalize().into()
}

fn put_digest(buf: &mut [u8; MAX_PACKET_LEN], digest: &[u8]) {
    for (slot, octet) in buf.iter_mut().skip(MIN_PACKET_LEN + DIGEST_OFFSET).zip(digest) {
        *slot = *octet;
    }
}

/// Compares without stopping at the first difference, so that the time taken says nothing about a secret.
fn same_octets(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (l, r)| sum | (l ^ r));
    left.len() == right.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests;
