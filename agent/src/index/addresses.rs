//! Reading addresses and CIDRs as users and Kube-OVN write them.

use super::word::excerpt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::{Family, FamilySet, Prefix};

/// The addresses of one pod on one network: four or sixteen bytes each, ordered, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    v4: Box<[Ipv4Addr]>,
    v6: Box<[Ipv6Addr]>,
}

impl Addresses {
    /// The host routes, IPv4 first, in order.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = Prefix> + '_ {
        let v4 = self.v4.iter().map(|addr| Prefix::host(IpAddr::V4(*addr)));
        let v6 = self.v6.iter().map(|addr| Prefix::host(IpAddr::V6(*addr)));
        v4.chain(v6)
    }

    pub(super) fn contains(&self, prefix: &Prefix) -> bool {
        if !prefix.is_host() {
            return false;
        }
        match prefix.addr() {
            IpAddr::V4(addr) => self.v4.binary_search(&addr).is_ok(),
            IpAddr::V6(addr) => self.v6.binary_search(&addr).is_ok(),
        }
    }
}

/// What stands in a list of addresses or CIDRs beside what can be announced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    /// The first part that is neither an address nor a CIDR, or one that is never routed.
    pub(super) bad: Option<Box<str>>,
    /// The families that no peer is configured for.
    pub(super) peerless: FamilySet,
    /// Whether there was any part at all.
    pub(super) any: bool,
}

impl Leftovers {
    fn sort_out(&mut self, part: &str, parsed: Option<Prefix>, families: FamilySet) -> Option<Prefix> {
        self.any = true;
        let Some(prefix) = parsed.filter(is_routable) else {
            self.bad.get_or_insert_with(|| excerpt(part));
            return None;
        };
        if !families.contains(prefix.family()) {
            self.peerless.insert(prefix.family());
            return None;
        }
        Some(prefix)
    }
}

/// Reads a comma list of addresses and keeps those of the given families.
pub(super) fn read_addresses(list: &str, families: FamilySet) -> (Addresses, Leftovers) {
    let mut leftovers = Leftovers::default();
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for part in parts(list) {
        let Some(prefix) = leftovers.sort_out(part, read_host(part), families) else {
            continue;
        };
        match prefix.addr() {
            IpAddr::V4(addr) => v4.push(addr),
            IpAddr::V6(addr) => v6.push(addr),
        }
    }
    let addresses = Addresses {
        v4: ordered(v4),
        v6: ordered(v6),
    };
    (addresses, leftovers)
}

/// Reads a list of single addresses (not comma lists) as host routes of the given families.
pub(super) fn read_hosts<'a>(
    hosts: impl IntoIterator<Item = &'a str>,
    families: FamilySet,
) -> (Box<[Prefix]>, Leftovers) {
    read_prefixes(hosts, read_host, families)
}

/// Reads a comma list of CIDRs, host bits cleared, and keeps those of the given families.
pub(super) fn read_cidrs(list: &str, families: FamilySet) -> (Box<[Prefix]>, Leftovers) {
    read_prefixes(parts(list), read_cidr, families)
}

fn read_prefixes<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    read: fn(&str) -> Option<Prefix>,
    families: FamilySet,
) -> (Box<[Prefix]>, Leftovers) {
    let mut leftovers = Leftovers::default();
    let mut prefixes = Vec::new();
    for text in texts {
        prefixes.extend(leftovers.sort_out(text, read(text), families));
    }
    (ordered(prefixes), leftovers)
}

fn read_host(text: &str) -> Option<Prefix> {
    let addr: IpAddr = text.trim().parse().ok()?;
    // As the incumbent's Go library does, `::ffff:10.0.0.1` is IPv4.
    Some(Prefix::host(addr.to_canonical()))
}

fn read_cidr(text: &str) -> Option<Prefix> {
    if !text.contains('/') {
        return None;
    }
    text.parse().ok()
}

fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Whether a router takes the prefix at all: loopback, multicast, link-local IPv6 and the unspecified host are
/// martians everywhere (RFC 6890).
fn is_routable(prefix: &Prefix) -> bool {
    let addr = prefix.addr();
    if addr.is_loopback() || addr.is_multicast() {
        return false;
    }
    if prefix.is_host() && addr.is_unspecified() {
        return false;
    }
    match addr {
        IpAddr::V4(_) => true,
        IpAddr::V6(addr) => !addr.is_unicast_link_local(),
    }
}

fn ordered<T: Ord>(mut list: Vec<T>) -> Box<[T]> {
    list.sort_unstable();
    list.dedup();
    list.into_boxed_slice()
}

/// The family in the words of an operator.
pub(super) fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "IPv4",
        Family::Ipv6Unicast => "IPv6",
    }
}
