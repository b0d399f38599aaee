//! What the five routing daemons have in common when they stand in for a switch.

use std::fmt;
use std::net::IpAddr;

use anyhow::Result;

use super::bird::Bird;
use super::exabgp::Exabgp;
use super::frr_switch::FrrSwitch;
use super::gobgp::Gobgp;
use super::openbgpd::Openbgpd;
use crate::Lab;
use crate::wait::{self, PATIENCE};

/// The daemons that can be a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// FRR.
    Frr,
    /// BIRD 2.
    Bird,
    /// GoBGP.
    Gobgp,
    /// OpenBGPD.
    Openbgpd,
    /// ExaBGP.
    Exabgp,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 unicast.
    Ipv4,
    /// IPv6 unicast.
    Ipv6,
}

/// A switch's side of its sessions.
#[derive(Debug, Clone)]
pub struct SwitchConfig {
    /// Its AS.
    pub asn: u32,
    /// Its BGP identifier.
    pub router_id: String,
    /// Its neighbours.
    pub peers: Vec<PeerConfig>,
}

/// A switch's side of one session.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The switch's own address on the link.
    pub local: IpAddr,
    /// The node's address on the link.
    pub remote: IpAddr,
    /// The node's AS.
    pub asn: u32,
    /// What the session carries.
    pub families: Vec<Family>,
    /// The TCP MD5 key.
    pub password: Option<String>,
    /// Whether packets must come with a TTL of 255.
    pub ttl_security: bool,
    /// Whether the switch only listens.
    pub passive: bool,
}

/// A route that a switch has from a neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The prefix.
    pub prefix: String,
    /// The next hop.
    pub next_hop: IpAddr,
    /// The AS path.
    pub as_path: Vec<u32>,
    /// Whether the switch would forward by it; daemons that do not look at reachability always say so.
    pub usable: bool,
}

/// A running switch.
pub trait Switch {
    /// Whether the session with this neighbour is established.
    fn established(&self, peer: IpAddr) -> Result<bool>;

    /// What the neighbour has announced and not withdrawn.
    fn routes(&self, peer: IpAddr, family: Family) -> Result<Vec<Route>>;

    /// A count that grows with every route the neighbour sends, also with one that is already there.
    fn received(&self, peer: IpAddr) -> Result<u64>;

    /// Asks the neighbour to send everything again (RFC 2918).
    fn ask_again(&self, peer: IpAddr, family: Family) -> Result<()>;
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Frr, Self::Bird, Self::Gobgp, Self::Openbgpd, Self::Exabgp];

    /// Starts a switch in a node.
    pub fn start<'a>(self, lab: &'a Lab, node: &str, config: &SwitchConfig) -> Result<Box<dyn Switch + 'a>> {
        Ok(match self {
            Self::Frr => Box::new(FrrSwitch::start(lab, node, config)?),
            Self::Bird => Box::new(Bird::start(lab, node, config)?),
            Self::Gobgp => Box::new(Gobgp::start(lab, node, config)?),
            Self::Openbgpd => Box::new(Openbgpd::start(lab, node, config)?),
            Self::Exabgp => Box::new(Exabgp::start(lab, node, config)?),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frr => "FRR",
            Self::Bird => "BIRD",
            Self::Gobgp => "GoBGP",
            Self::Openbgpd => "OpenBGPD",
            Self::Exabgp => "ExaBGP",
        })
    }
}

impl dyn Switch + '_ {
    /// Waits until the session is established.
    pub fn wait_established(&self, peer: IpAddr) -> Result<()> {
        let what = format!("the session with {peer} is established");
        wait::until_true(&what, PATIENCE, || self.established(peer))
    }

    /// Waits until the neighbour's routes are exactly these prefixes and usable, and returns them in the same order.
    pub fn wait_prefixes(&self, peer: IpAddr, family: Family, prefixes: &[&str]) -> Result<Vec<Route>> {
        let mut wanted = prefixes.to_vec();
        wanted.sort_unstable();
        let mut last = Vec::new();
        let found = wait::until("the prefixes match", PATIENCE, || {
            last = self.routes(peer, family)?;
            last.sort_by(|left, right| left.prefix.cmp(&right.prefix));
            let held = last
                .iter()
                .filter(|route| route.usable)
                .map(|route| route.prefix.as_str());
            Ok((last.len() == wanted.len() && held.eq(wanted.iter().copied())).then_some(()))
        });
        found.map_err(|error| error.context(format!("wanted {wanted:?}, the switch has {last:?}")))?;
        Ok(last)
    }
}

impl Family {
    /// The family of a prefix or an address.
    pub fn of(text: &str) -> Self {
        if text.contains(':') {
            Self::Ipv6
        } else {
            Self::Ipv4
        }
    }

    /// `ipv4` or `ipv6`, as all the daemons' command lines call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// Reads an AS path in its usual notation, ignoring sets' braces.
pub(super) fn as_path(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|asn| asn.parse().ok())
        .collect()
}
