use crate::Family;
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An IP prefix whose host bits are always zero.
///
/// `10.0.0.1/24` and `10.0.0.0/24` are the same prefix; this type makes them compare equal by truncating at every
/// way in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(IpNet);

/// Why a text is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a prefix such as 10.0.0.0/24 or 2001:db8::/64")]
pub struct PrefixError(pub String);

impl Prefix {
    /// The prefix of this address and length, host bits cleared; `None` if the length exceeds 32 or 128 bits.
    pub fn new(addr: IpAddr, len: u8) -> Option<Self> {
        IpNet::new(addr, len).ok().map(|net| Self(net.trunc()))
    }

    /// The /32 or /128 of one address.
    pub fn host(addr: IpAddr) -> Self {
        Self(IpNet::from(addr))
    }

    /// The network address.
    pub fn addr(&self) -> IpAddr {
        self.0.addr()
    }

    /// The length in bits.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a prefix has a length, but is no container"
    )]
    pub fn len(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether this is the default route of its family.
    pub fn is_default(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is a host route (/32 or /128).
    pub fn is_host(&self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// The family in which it is announced.
    pub fn family(&self) -> Family {
        match self.0 {
            IpNet::V4(_) => Family::Ipv4Unicast,
            IpNet::V6(_) => Family::Ipv6Unicast,
        }
    }

    /// The same as an [`IpNet`].
    pub fn net(&self) -> IpNet {
        self.0
    }

    /// Whether the address lies inside.
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.0.contains(&addr)
    }
}

impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Self {
        Self(net.trunc())
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `address/length` (host bits are cleared) or a bare address (a host route).
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let text = text.trim();
        let parsed = if text.contains('/') {
            text.parse::<IpNet>().ok().map(Self::from)
        } else {
            text.parse::<IpAddr>().ok().map(Self::host)
        };
        parsed.ok_or_else(|| PrefixError(text.to_owned()))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
