//! The scalars of the file. Each is read from its text, so that every error names what was found and what to write.

use crate::cli::parse_duration;
use net::Ttl;
use net::bfd::AuthType;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use wildmatch::WildMatch;

const SECOND: i64 = 1_000_000_000;

/// The longest name of an interface, in octets (Linux: `IFNAMSIZ` less one).
const DEVICE_MAX: usize = 15;

/// The longest BFD interval, in microseconds: it has to fit 32 bits (RFC 5880 section 4.1).
const BFD_MAX: i64 = u32::MAX as i64;

/// An AS number, 1 to 4294967295.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asn(pub u32);

/// A BGP identifier: an IPv4 address that is not `0.0.0.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterId(pub Ipv4Addr);

/// An address of a host: not unspecified, not multicast. An IPv4-mapped IPv6 address is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host(pub IpAddr);

/// A hold time (RFC 4271 section 4.2): 0 for none, or 3 s to 65535 s in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldTime(pub u16);

/// An interval of BFD: whole microseconds, 1 ms to 4294967295 µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdInterval(pub Duration);

/// A restart time (RFC 4724 section 3): 1 s to 4095 s in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartTime(pub u16);

/// A length of time, not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// How long BGP waits for BFD in strict mode, in seconds, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdHoldTime(pub u16);

/// How BFD packets are authenticated; `none` takes it from a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdAuthType(pub Option<AuthType>);

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<const MIN: u32, const MAX: u32>(pub u32);

/// `true` or `false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

/// The name of an interface: 1 to 15 octets without `/` and blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device(pub String);

/// The path of a file; empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(pub PathBuf);

/// The letter of a plane, `a` to `z`, as a number from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaneName(pub usize);

/// A value that is written as it is displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

/// The name of a node, in lower case, or a pattern for it: `*` is any text, `?` any one character.
#[derive(Clone, Debug, PartialEq)]
pub struct NodePattern(WildMatch);

/// TTL policy of a plane, as far as the file says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlChoice {
    /// `multihop`.
    Multihop(u8),
    /// `ttlSecurity`.
    Security(u8),
}

impl TtlChoice {
    /// What it means to a session; towards a switch of our own AS (`internal`) a multihop TTL is that of the system.
    pub fn ttl(self, internal: bool) -> Ttl {
        match self {
            Self::Security(hops) => Ttl::Security { hops },
            Self::Multihop(_) if internal => Ttl::System,
            Self::Multihop(0 | 1) => Ttl::Direct,
            Self::Multihop(hops) => Ttl::Multihop(hops),
        }
    }
}

impl NodePattern {
    /// Whether it is this node.
    pub fn matches(&self, node: &str) -> bool {
        self.0.matches(node)
    }
}

impl fmt::Display for PlaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fabric::PlaneId(self.0).fmt(f)
    }
}

/// How a scalar comes of its text.
trait FromText: Sized {
    /// What a value has to be, for errors.
    const WHAT: &'static str;

    /// # Errors
    /// What is wrong with the text, and what to write instead; the text itself is named by the caller.
    fn from_text(text: &str) -> Result<Self, String>;
}

struct TextVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromText> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(|reason| E::custom(format_args!("{text:?} {reason}")))
    }
}

fn read<'de, D: Deserializer<'de>, T: FromText>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_str(TextVisitor(std::marker::PhantomData))
}

macro_rules! from_text {
    ($($type:ty),+ $(,)?) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read(deserializer)
            }
        }
    )+};
}

from_text!(
    Asn,
    RouterId,
    Host,
    HoldTime,
    BfdInterval,
    RestartTime,
    Span,
    BfdHoldTime,
    BfdAuthType,
    Switch,
    Device,
    FilePath,
    PlaneName,
    NodePattern
);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Plain = read(deserializer)?;
        // These errors name their input themselves.
        text.0.parse().map(Self).map_err(D::Error::custom)
    }
}

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Plain(String);

from_text!(Plain);

impl FromText for Plain {
    const WHAT: &'static str = "a text";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl FromText for Asn {
    const WHAT: &'static str = "an AS number";

    fn from_text(text: &str) -> Result<Self, String> {
        match whole(text, 0, u32::MAX) {
            Some(0) => Err("is reserved (RFC 7607); write the number of the AS, 1 to 4294967295".to_owned()),
            Some(number) => Ok(Self(number)),
            None => Err("is no AS number; write a whole number from 1 to 4294967295".to_owned()),
        }
    }
}

impl FromText for RouterId {
    const WHAT: &'static str = "an IPv4 address";

    fn from_text(text: &str) -> Result<Self, String> {
        let id = text.parse::<Ipv4Addr>().ok().filter(|id| !id.is_unspecified());
        let wrong = || "is no BGP identifier; write an IPv4 address that no other speaker uses".to_owned();
        id.map(Self).ok_or_else(wrong)
    }
}

impl FromText for Host {
    const WHAT: &'static str = "an IP address";

    fn from_text(text: &str) -> Result<Self, String> {
        let address: IpAddr = text.parse().map_err(|_| {
            "is no IP address; write one like 10.0.0.1 or fd00::1, without a length".to_owned()
        })?;
        let address = address.to_canonical();
        if address.is_unspecified() || address.is_multicast() {
            return Err("is no address of a host; write the address of one".to_owned());
        }
        Ok(Self(address))
    }
}

impl FromText for HoldTime {
    const WHAT: &'static str = "a duration";

    fn from_text(text: &str) -> Result<Self, String> {
        let nanoseconds = duration(text)?;
        if nanoseconds != 0 && !(3 * SECOND..=65535 * SECOND).contains(&nanoseconds) {
            return Err(
                "is no hold time; write 3s to 65535s, or 0s for none (RFC 4271 section 4.2)".to_owned(),
            );
        }
        if nanoseconds % SECOND != 0 {
            return Err("is no hold time; BGP counts it in whole seconds".to_owned());
        }
        let seconds = u16::try_from(nanoseconds / SECOND);
        seconds
            .map(Self)
            .map_err(|_| "is too long; write at most 65535s".to_owned())
    }
}

impl FromText for BfdInterval {
    const WHAT: &'static str = "a duration";

    fn from_text(text: &str) -> Result<Self, String> {
        let nanoseconds = duration(text)?;
        let microseconds = nanoseconds / 1000;
        if nanoseconds % 1000 != 0 || !(1000..=BFD_MAX).contains(&microseconds) {
            return Err("is no interval of BFD; write 1ms to 4294967ms, in whole microseconds".to_owned());
        }
        Ok(Self(Duration::from_micros(microseconds.unsigned_abs())))
    }
}

impl FromText for RestartTime {
    const WHAT: &'static str = "a duration";

    fn from_text(text: &str) -> Result<Self, String> {
        let nanoseconds = duration(text)?;
        let seconds = u16::try_from(nanoseconds / SECOND).ok();
        let seconds = seconds.filter(|seconds| nanoseconds % SECOND == 0 && (1..=4095).contains(seconds));
        let wrong =
            || "is no restart time; write 1s to 4095s in whole seconds (RFC 4724 section 3)".to_owned();
        seconds.map(Self).ok_or_else(wrong)
    }
}

impl FromText for Span {
    const WHAT: &'static str = "a duration";

    fn from_text(text: &str) -> Result<Self, String> {
        let nanoseconds = u64::try_from(duration(text)?);
        let wrong = |_| "is negative; write 0s or more".to_owned();
        nanoseconds
            .map(|nanoseconds| Self(Duration::from_nanos(nanoseconds)))
            .map_err(wrong)
    }
}

impl FromText for BfdHoldTime {
    const WHAT: &'static str = "a duration";

    fn from_text(text: &str) -> Result<Self, String> {
        let nanoseconds = duration(text)?;
        let seconds = u16::try_from(nanoseconds / SECOND).unwrap_or(0);
        if seconds == 0 || nanoseconds % SECOND != 0 {
            return Err("is no hold time of strict mode; write 1s to 65535s, in whole seconds".to_owned());
        }
        Ok(Self(seconds))
    }
}

impl FromText for BfdAuthType {
    const WHAT: &'static str = "a type of authentication";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "none" => None,
            "simple" => Some(AuthType::SimplePassword),
            "keyed-md5" => Some(AuthType::KeyedMd5),
            "meticulous-md5" => Some(AuthType::MeticulousKeyedMd5),
            "keyed-sha1" => Some(AuthType::KeyedSha1),
            "meticulous-sha1" => Some(AuthType::MeticulousKeyedSha1),
            _ => {
                return Err("is no type of authentication; write meticulous-sha1, keyed-sha1, meticulous-md5, keyed-md5, \
                            simple, or none"
                    .to_owned());
            }
        }))
    }
}

impl<const MIN: u32, const MAX: u32> FromText for Whole<MIN, MAX> {
    const WHAT: &'static str = "a whole number";

    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || format!("does not fit; write a whole number from {MIN} to {MAX}");
        whole(text, MIN, MAX).map(Self).ok_or_else(wrong)
    }
}

impl FromText for Switch {
    const WHAT: &'static str = "true or false";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            _ => Err("is neither true nor false; write one of these".to_owned()),
        }
    }
}

impl FromText for Device {
    const WHAT: &'static str = "the name of an interface";

    fn from_text(text: &str) -> Result<Self, String> {
        let fits = (1..=DEVICE_MAX).contains(&text.len());
        if !fits || text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
            return Err(format!(
                "is no name of an interface; write 1 to {DEVICE_MAX} octets without / and blanks, as ip link shows it"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromText for FilePath {
    const WHAT: &'static str = "the path of a file";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.contains('\0') {
            return Err("is no path; it has a zero octet".to_owned());
        }
        Ok(Self(text.into()))
    }
}

impl FromText for PlaneName {
    const WHAT: &'static str = "the letter of a plane";

    fn from_text(text: &str) -> Result<Self, String> {
        match text.as_bytes() {
            [letter @ b'a'..=b'z'] => Ok(Self(usize::from(letter - b'a'))),
            _ => Err("is no name of a plane; write one letter, a for the first, b for the second".to_owned()),
        }
    }
}

impl FromText for NodePattern {
    const WHAT: &'static str = "the name of a node";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("names no node; write its name, or a pattern such as rack1-*".to_owned());
        }
        Ok(Self(WildMatch::new(&text.to_lowercase())))
    }
}

/// Decimal digits only.
fn whole(text: &str, min: u32, max: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten()?;
    (min..=max).contains(&number).then_some(number)
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration(text).map_err(|error| format!("is no duration: {error}"))
}
