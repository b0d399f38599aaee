//! Communities, and how operators write them.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

/// A standard community (RFC 1997): high 16 bits AS, low 16 bits value. Written `64512:100`, or by name where it is a
/// well-known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Community(pub u32);

impl Community {
    /// GRACEFUL_SHUTDOWN (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// LLGR_STALE (RFC 9494).
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// NO_LLGR (RFC 9494).
    pub const NO_LLGR: Self = Self(0xffff_0007);
    /// BLACKHOLE (RFC 7999).
    pub const BLACKHOLE: Self = Self(0xffff_029a);
    /// NO_EXPORT (RFC 1997).
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    /// NO_ADVERTISE (RFC 1997).
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    /// NO_EXPORT_SUBCONFED (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);
    /// NOPEER (RFC 3765).
    pub const NO_PEER: Self = Self(0xffff_ff04);
}

/// The names of the well-known communities, as switches spell them.
const WELL_KNOWN: [(&str, Community); 8] = [
    ("graceful-shutdown", Community::GRACEFUL_SHUTDOWN),
    ("llgr-stale", Community::LLGR_STALE),
    ("no-llgr", Community::NO_LLGR),
    ("blackhole", Community::BLACKHOLE),
    ("no-export", Community::NO_EXPORT),
    ("no-advertise", Community::NO_ADVERTISE),
    ("local-AS", Community::NO_EXPORT_SUBCONFED),
    ("no-peer", Community::NO_PEER),
];

/// A large community (RFC 8092). Written `4200000000:1:2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LargeCommunity {
    /// Global administrator: an AS number.
    pub global: u32,
    /// Local data part 1.
    pub local1: u32,
    /// Local data part 2.
    pub local2: u32,
}

/// A text that is no community.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommunityError {
    /// No standard community.
    #[error(
        "{0:?} is no community: write AS:VALUE, each from 0 to 65535, or one of {names}",
        names = WELL_KNOWN.map(|(name, _)| name).join(", ")
    )]
    Standard(String),
    /// No large community.
    #[error("{0:?} is no large community: write AS:VALUE:VALUE, each from 0 to 4294967295")]
    Large(String),
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WELL_KNOWN.iter().find(|(_, community)| community == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff),
        }
    }
}

impl FromStr for Community {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let by_name = WELL_KNOWN
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some((_, community)) = by_name {
            return Ok(*community);
        }
        let [asn, value] =
            numbers::<u16, 2>(text).ok_or_else(|| CommunityError::Standard(text.to_owned()))?;
        Ok(Self(u32::from(asn) << 16 | u32::from(value)))
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

impl FromStr for LargeCommunity {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let [global, local1, local2] =
            numbers::<u32, 3>(text).ok_or_else(|| CommunityError::Large(text.to_owned()))?;
        Ok(Self {
            global,
            local1,
            local2,
        })
    }
}

/// Decimal numbers between colons, exactly `N`. A sign is no part of a number here.
fn numbers<T: FromStr + Copy, const N: usize>(text: &str) -> Option<[T; N]> {
    let parts: Vec<T> = text
        .split(':')
        .map(|part| {
            let digits = part.bytes().all(|octet| octet.is_ascii_digit());
            digits.then(|| part.parse().ok())?
        })
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}
