use crate::attribute_code as attr;
use crate::encode::attributes::encode_attributes;
use crate::encode::update::{encode_afi_safi, encode_mp_reach_head, nlri};
use crate::encode::{begin_length, begin_message, end_length, end_message};
use crate::message::message_type;
use crate::{AsPath, EncodeContext, Family, MAX_EXTENDED_MESSAGE, NextHop, PathAttributes, Prefix};

/// Path attributes encoded once for one family and session, ready to be followed by NLRI again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedAttributes {
    family: Family,
    next_hop: PackedNextHop,
    /// All attributes but MP_REACH_NLRI, encoded.
    rest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PackedNextHop {
    /// NEXT_HOP is among the encoded attributes, the prefixes are classic NLRI.
    Classic,
    /// Next hop and prefixes are in MP_REACH_NLRI.
    Mp(NextHop),
    /// There is none that the family can have: nothing can be announced.
    Missing,
}

/// Packs prefixes into UPDATE messages, either announcing with one [`EncodedAttributes`] or withdrawing.
///
/// One message at a time: [`push`](Self::push) until it says no, then [`finish`](Self::finish), which must be called
/// for the message to be whole, then a new packer for the prefix that was refused.
#[derive(Debug)]
#[must_use = "without `finish` an incomplete message is left behind"]
pub struct UpdatePacker<'a> {
    out: &'a mut Vec<u8>,
    family: Family,
    /// Octets that the message may have.
    limit: usize,
    /// Where the message begins in `out`.
    start: usize,
    /// The length fields that are still open, outermost first.
    lengths: [Option<usize>; 2],
    /// What follows the prefixes.
    tail: &'a [u8],
    count: usize,
}

impl EncodedAttributes {
    /// Encodes attributes for announcing prefixes of `family`.
    ///
    /// IPv4 with an IPv4 next hop uses the classic NLRI field and NEXT_HOP; everything else MP_REACH_NLRI, placed
    /// first (RFC 7606 section 5.1). Attributes follow in ascending order of type.
    ///
    /// An announcement has an ORIGIN and an AS_PATH (RFC 4271 section 5): where they are absent, IGP and the empty
    /// path are written. Without a next hop, or with an IPv4 one for IPv6 prefixes, nothing can be announced:
    /// [`UpdatePacker::push`] then always returns `false`.
    pub fn new(family: Family, attributes: &PathAttributes, context: &EncodeContext) -> Self {
        let (next_hop, classic) = match (family, attributes.next_hop) {
            (Family::Ipv4Unicast, Some(NextHop::V4(addr))) => (PackedNextHop::Classic, Some(addr)),
            (_, Some(hop @ NextHop::V6 { .. })) => (PackedNextHop::Mp(hop), None),
            (Family::Ipv6Unicast, Some(NextHop::V4(_))) | (_, None) => (PackedNextHop::Missing, None),
        };
        let mut rest = Vec::new();
        if attributes.origin.is_some() && attributes.as_path.is_some() {
            encode_attributes(attributes, classic, context.four_octet_as, &mut rest);
        } else {
            let mut complete = attributes.clone();
            complete.origin.get_or_insert_default();
            complete.as_path.get_or_insert_with(AsPath::default);
            encode_attributes(&complete, classic, context.four_octet_as, &mut rest);
        }
        Self {
            family,
            next_hop,
            rest,
        }
    }

    /// The family of the prefixes that may follow.
    pub fn family(&self) -> Family {
        self.family
    }
}

impl<'a> UpdatePacker<'a> {
    /// Starts an announcing UPDATE at the end of `out`.
    pub fn announce(
        attributes: &'a EncodedAttributes,
        context: &EncodeContext,
        out: &'a mut Vec<u8>,
    ) -> Self {
        let mut limit = context.max_message.min(MAX_EXTENDED_MESSAGE);
        let start = begin_message(message_type::UPDATE, out);
        out.extend_from_slice(&[0, 0]);
        let mut lengths = [Some(begin_length(out)), None];
        let mut tail: &[u8] = &[];
        match &attributes.next_hop {
            PackedNextHop::Classic => {
                out.extend_from_slice(&attributes.rest);
                // Complete already: only prefixes follow, and those are not among the attributes.
                if let [Some(at), _] = lengths {
                    end_length(at, out);
                }
                lengths = [None, None];
            }
            PackedNextHop::Mp(next_hop) => {
                lengths[1] = Some(begin_mp_attribute(attr::MP_REACH_NLRI, out));
                encode_mp_reach_head(attributes.family, next_hop, out);
                tail = &attributes.rest;
            }
            PackedNextHop::Missing => limit = 0,
        }
        Self {
            out,
            family: attributes.family,
            limit,
            start,
            lengths,
            tail,
            count: 0,
        }
    }

    /// Starts a withdrawing UPDATE at the end of `out`: the classic field for IPv4, MP_UNREACH_NLRI for IPv6.
    pub fn withdraw(family: Family, context: &EncodeContext, out: &'a mut Vec<u8>) -> Self {
        let start = begin_message(message_type::UPDATE, out);
        let (lengths, tail): (_, &[u8]) = match family {
            // The Total Path Attribute Length, zero, follows the prefixes.
            Family::Ipv4Unicast => ([Some(begin_length(out)), None], &[0, 0]),
            Family::Ipv6Unicast => {
                out.extend_from_slice(&[0, 0]);
                let attributes = begin_length(out);
                let unreach = begin_mp_attribute(attr::MP_UNREACH_NLRI, out);
                encode_afi_safi(family.afi_safi(), out);
                ([Some(attributes), Some(unreach)], &[])
            }
        };
        Self {
            out,
            family,
            limit: context.max_message.min(MAX_EXTENDED_MESSAGE),
            start,
            lengths,
            tail,
            count: 0,
        }
    }

    /// Adds a prefix of the packer's family. `false` means the message is full, and the prefix was not added; where
    /// it is the first one of the message, that no message can hold it: it is of the other family, the attributes
    /// alone leave no room, or they have no next hop.
    pub fn push(&mut self, prefix: &Prefix) -> bool {
        let (octets, len) = nlri(prefix);
        let Some(octets) = octets.get(..len) else {
            return false;
        };
        let size = self.out.len() - self.start + len + self.tail.len();
        if size > self.limit || prefix.family() != self.family {
            return false;
        }
        self.out.extend_from_slice(octets);
        self.count += 1;
        true
    }

    /// Completes the message and returns how many prefixes it holds. A message without prefixes is taken back
    /// from `out`.
    pub fn finish(self) -> usize {
        if self.count == 0 {
            self.out.truncate(self.start);
            return 0;
        }
        match (self.family, self.lengths) {
            // The only length field of the classic Withdrawn Routes ends where the tail begins.
            (Family::Ipv4Unicast, [Some(withdrawn), None]) => {
                end_length(withdrawn, self.out);
                self.out.extend_from_slice(self.tail);
            }
            (_, [attributes, mp]) => {
                if let Some(at) = mp {
                    end_length(at, self.out);
                }
                self.out.extend_from_slice(self.tail);
                if let Some(at) = attributes {
                    end_length(at, self.out);
                }
            }
        }
        end_message(self.start, self.out);
        self.count
    }
}

/// Appends the End-of-RIB marker of a family (RFC 4724 section 2).
pub fn encode_end_of_rib(family: Family, out: &mut Vec<u8>) {
    let start = begin_message(message_type::UPDATE, out);
    out.extend_from_slice(&[0, 0]);
    let attributes = begin_length(out);
    match family {
        Family::Ipv4Unicast => {}
        Family::Ipv6Unicast => {
            out.extend_from_slice(&[attr::FLAG_OPTIONAL, attr::MP_UNREACH_NLRI, 3]);
            encode_afi_safi(family.afi_safi(), out);
        }
    }
    end_length(attributes, out);
    end_message(start, out);
}

/// Appends the head of an MP attribute, with a 2-octet length whatever its size will be, and returns the place of
/// the length.
fn begin_mp_attribute(code: u8, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[attr::FLAG_OPTIONAL | attr::FLAG_EXTENDED_LENGTH, code]);
    begin_length(out)
}

#[cfg(test)]
mod tests;
