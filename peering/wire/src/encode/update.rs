use super::attributes::{encode_attribute, encode_attributes};
use super::{begin_length, begin_message, end_length, end_message};
use crate::attribute_code as attr;
use crate::message::message_type;
use crate::{AfiSafi, EncodeContext, Family, MAX_EXTENDED_MESSAGE, NextHop, Prefix, Update};
use std::net::{IpAddr, Ipv4Addr};

/// Appends one UPDATE that holds all of `update` (for tests and tools; announcements go through
/// [`crate::UpdatePacker`]). Returns `false`, and appends nothing, where it does not fit one message, or where what
/// is announced has no next hop with which it could be.
pub fn encode_update(update: &Update, context: &EncodeContext, out: &mut Vec<u8>) -> bool {
    let Some(hops) = NextHops::of(update) else {
        return false;
    };
    let start = begin_message(message_type::UPDATE, out);

    let withdrawn = begin_length(out);
    encode_prefixes(&update.withdrawn, Family::Ipv4Unicast, out);
    end_length(withdrawn, out);

    let attributes = begin_length(out);
    // RFC 7606 section 5.1: the MP attributes come first.
    if let Some((family, next_hop)) = hops.mp {
        encode_attribute(attr::FLAG_OPTIONAL, attr::MP_REACH_NLRI, out, |out| {
            encode_mp_reach_head(family, &next_hop, out);
            if hops.classic.is_none() || family == Family::Ipv6Unicast {
                encode_prefixes(&update.announced, family, out);
            }
        });
    }
    if let Some(pair) = mp_unreach_family(update) {
        encode_attribute(attr::FLAG_OPTIONAL, attr::MP_UNREACH_NLRI, out, |out| {
            encode_afi_safi(pair, out);
            encode_prefixes(&update.withdrawn, Family::Ipv6Unicast, out);
        });
    }
    encode_attributes(&update.attributes, hops.classic, context.four_octet_as, out);
    end_length(attributes, out);

    if hops.classic.is_some() {
        encode_prefixes(&update.announced, Family::Ipv4Unicast, out);
    }
    end_message(start, out);
    if out.len() - start > context.max_message.min(MAX_EXTENDED_MESSAGE) {
        out.truncate(start);
        return false;
    }
    true
}

/// Where the next hops of an UPDATE go.
struct NextHops {
    /// NEXT_HOP.
    classic: Option<Ipv4Addr>,
    /// MP_REACH_NLRI.
    mp: Option<(Family, NextHop)>,
}

impl NextHops {
    /// `None` where some prefix would be without a next hop, or with one that its family cannot have.
    fn of(update: &Update) -> Option<Self> {
        let has = |family| update.announced.iter().any(|prefix| prefix.family() == family);
        let (v4, v6) = (has(Family::Ipv4Unicast), has(Family::Ipv6Unicast));
        match (update.attributes.next_hop, update.classic_next_hop) {
            (None, None) if !v4 && !v6 => Some(Self {
                classic: None,
                mp: None,
            }),
            (Some(NextHop::V4(addr)), None) if !v6 => Some(Self {
                classic: Some(addr),
                mp: None,
            }),
            (Some(hop @ NextHop::V6 { .. }), None) if !(v4 && v6) => {
                let family = if v4 {
                    Family::Ipv4Unicast
                } else {
                    Family::Ipv6Unicast
                };
                Some(Self {
                    classic: None,
                    mp: Some((family, hop)),
                })
            }
            (Some(hop @ NextHop::V6 { .. }), Some(NextHop::V4(addr))) => Some(Self {
                classic: Some(addr),
                mp: Some((Family::Ipv6Unicast, hop)),
            }),
            (Some(hop @ NextHop::V4(_)), Some(NextHop::V4(addr))) if !v6 => Some(Self {
                classic: Some(addr),
                mp: Some((Family::Ipv4Unicast, hop)),
            }),
            _ => None,
        }
    }
}

/// The family of the MP_UNREACH_NLRI that the UPDATE needs.
fn mp_unreach_family(update: &Update) -> Option<AfiSafi> {
    let ipv6 = Family::Ipv6Unicast;
    if update.withdrawn.iter().any(|prefix| prefix.family() == ipv6) {
        return Some(ipv6.afi_safi());
    }
    // RFC 4724 section 2: the End-of-RIB marker of IPv4 unicast is an UPDATE with nothing in it.
    update
        .end_of_rib
        .filter(|pair| *pair != Family::Ipv4Unicast.afi_safi())
}

/// Appends those of the prefixes that are of the family.
fn encode_prefixes(prefixes: &[Prefix], family: Family, out: &mut Vec<u8>) {
    for prefix in prefixes.iter().filter(|prefix| prefix.family() == family) {
        let (octets, len) = nlri(prefix);
        out.extend_from_slice(octets.get(..len).unwrap_or_default());
    }
}

/// A prefix as NLRI (RFC 4271 section 4.3): length in bits, and as many octets of the address as that takes. The
/// second value is how many of the octets count.
pub(crate) fn nlri(prefix: &Prefix) -> ([u8; 17], usize) {
    let mut octets = [0; 17];
    let (bits, rest) = octets.split_at_mut(1);
    bits.fill(prefix.len());
    match prefix.addr() {
        IpAddr::V4(addr) => {
            if let Some((head, _)) = rest.split_first_chunk_mut() {
                *head = addr.octets();
            }
        }
        IpAddr::V6(addr) => rest.copy_from_slice(&addr.octets()),
    }
    let len = 1 + usize::from(prefix.len().div_ceil(8));
    (octets, len)
}

/// Appends AFI and SAFI as they begin both MP attributes.
pub(crate) fn encode_afi_safi(pair: AfiSafi, out: &mut Vec<u8>) {
    out.extend_from_slice(&pair.afi.to_be_bytes());
    out.push(pair.safi);
}

/// Appends what precedes the prefixes in MP_REACH_NLRI (RFC 4760 section 3, RFC 2545 section 3, RFC 8950 section 3).
pub(crate) fn encode_mp_reach_head(family: Family, next_hop: &NextHop, out: &mut Vec<u8>) {
    encode_afi_safi(family.afi_safi(), out);
    match next_hop {
        NextHop::V4(addr) => {
            out.push(4);
            out.extend_from_slice(&addr.octets());
        }
        NextHop::V6 {
            global,
            link_local: None,
        } => {
            out.push(16);
            out.extend_from_slice(&global.octets());
        }
        NextHop::V6 {
            global,
            link_local: Some(link_local),
        } => {
            out.push(32);
            out.extend_from_slice(&global.octets());
            out.extend_from_slice(&link_local.octets());
        }
    }
    out.push(0);
}
