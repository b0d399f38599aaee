use super::attributes::{AttributeReader, NextHopAttribute, is_host_v4};
use super::nlri::decode_nlri;
use crate::attribute_code as attr;
use crate::reader::Reader;
use crate::{
    AfiSafi, DecodeContext, Defect, Disposition, Family, NextHop, Notification, Prefix, Update, code, subcode,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A defect of one attribute that does not reset the session by itself.
pub(super) struct Fault {
    disposition: Disposition,
    /// The UPDATE Message Error subcode, should the session be reset after all.
    subcode: u8,
    what: &'static str,
}

impl Fault {
    pub(super) fn discard(what: &'static str) -> Self {
        Self {
            disposition: Disposition::AttributeDiscard,
            subcode: 0,
            what,
        }
    }

    pub(super) fn withdraw(subcode: u8, what: &'static str) -> Self {
        Self {
            disposition: Disposition::TreatAsWithdraw,
            subcode,
            what,
        }
    }
}

/// Decodes the body of an UPDATE (RFC 4271 sections 4.3 and 6.3, RFC 4760, RFC 7606).
///
/// A prefix in both lists is to be treated as if it had not been withdrawn (RFC 4271 section 4.3): who applies the
/// result takes the withdrawn ones first.
pub(super) fn decode_update(body: &[u8], context: &DecodeContext) -> Result<Update, Notification> {
    let mut reader = Reader::new(body);
    // RFC 7606 section 3(b): lengths that exceed the message reset the session.
    let malformed = || error(subcode::MALFORMED_ATTRIBUTE_LIST);
    let withdrawn = reader
        .u16()
        .and_then(|len| reader.take(len))
        .ok_or_else(malformed)?;
    let attributes = reader
        .u16()
        .and_then(|len| reader.take(len))
        .ok_or_else(malformed)?;
    let nlri = reader.rest();

    let mut decoder = UpdateDecoder::new(context);
    // RFC 7606 section 3(i), 3(j): both classic fields are checked alike.
    decoder.classic_prefixes(withdrawn, Direction::Withdraw)?;
    decoder.attribute_list(attributes)?;
    decoder.classic_prefixes(nlri, Direction::Announce)?;
    decoder.finish(withdrawn, attributes, nlri)
}

#[derive(Clone, Copy)]
enum Direction {
    Announce,
    Withdraw,
}

struct UpdateDecoder<'a, 'c> {
    context: &'c DecodeContext,
    attributes: AttributeReader<'c>,
    withdrawn: Vec<Prefix>,
    announced: Vec<Prefix>,
    /// The next hop of an MP_REACH_NLRI of a negotiated family.
    mp_next_hop: Option<NextHop>,
    /// Type codes seen, one bit each.
    seen: [u64; 4],
    /// The family of MP_UNREACH_NLRI where it has no prefixes.
    empty_unreach: Option<AfiSafi>,
    /// Some attribute other than MP_UNREACH_NLRI was there, or was too broken to tell.
    other_attributes: bool,
    /// There is an NLRI field, or an MP_REACH_NLRI with prefixes (of any family).
    reachable: bool,
    defects: Vec<Defect>,
    /// What to send if the first defect that asks for treat-as-withdraw resets the session after all: the subcode
    /// and the attribute.
    first_withdraw: Option<(u8, &'a [u8])>,
}

impl<'a, 'c> UpdateDecoder<'a, 'c> {
    fn new(context: &'c DecodeContext) -> Self {
        Self {
            context,
            attributes: AttributeReader::new(context),
            withdrawn: Vec::new(),
            announced: Vec::new(),
            mp_next_hop: None,
            seen: [0; 4],
            empty_unreach: None,
            other_attributes: false,
            reachable: false,
            defects: Vec::new(),
            first_withdraw: None,
        }
    }

    /// Reads the Withdrawn Routes or the NLRI field.
    fn classic_prefixes(&mut self, field: &[u8], direction: Direction) -> Result<(), Notification> {
        let mut prefixes = Vec::new();
        // RFC 7606 section 3(j)
        decode_nlri(Family::Ipv4Unicast, field, &mut prefixes)
            .ok_or_else(|| error(subcode::INVALID_NETWORK_FIELD))?;
        if prefixes.is_empty() {
            return Ok(());
        }
        if !self.context.families.contains(Family::Ipv4Unicast) {
            self.discard(0, "classic IPv4 prefixes without IPv4 unicast negotiated");
            return Ok(());
        }
        match direction {
            Direction::Announce => {
                // Classic prefixes stand before those of MP_REACH_NLRI.
                prefixes.append(&mut self.announced);
                self.announced = prefixes;
            }
            Direction::Withdraw => self.withdrawn.append(&mut prefixes),
        }
        Ok(())
    }

    /// Walks over the path attributes (RFC 7606 sections 3 and 4).
    fn attribute_list(&mut self, list: &'a [u8]) -> Result<(), Notification> {
        let mut reader = Reader::new(list);
        while !reader.is_empty() {
            let start = reader.rest();
            let is_mp = matches!(start.get(1), Some(&(attr::MP_REACH_NLRI | attr::MP_UNREACH_NLRI)));
            // RFC 7606 section 3(j): the prefixes of an MP attribute that is cut cannot be found.
            let cut_mp = || attribute_error(subcode::OPTIONAL_ATTRIBUTE, start);
            let Some((flags, code, len)) = read_header(&mut reader) else {
                if is_mp {
                    return Err(cut_mp());
                }
                // RFC 7606 section 4: the Total Attribute Length finds the NLRI field nevertheless.
                self.other_attributes = true;
                let fault = Fault::withdraw(
                    subcode::MALFORMED_ATTRIBUTE_LIST,
                    "octets left over behind the last attribute",
                );
                self.fault(0, fault, start);
                return Ok(());
            };
            let Some(value) = reader.take(len) else {
                if is_mp {
                    return Err(cut_mp());
                }
                self.other_attributes = true;
                let fault = Fault::withdraw(
                    subcode::ATTRIBUTE_LENGTH,
                    "an attribute longer than what is left of the list",
                );
                self.fault(code, fault, start);
                return Ok(());
            };
            let whole = start.get(..start.len() - reader.rest().len()).unwrap_or_default();
            let repeated = !self.mark_seen(code);
            if is_mp {
                // RFC 7606 section 3(g)
                if repeated {
                    return Err(error(subcode::MALFORMED_ATTRIBUTE_LIST));
                }
                self.mp_attribute(flags, code, value)
                    .ok_or_else(|| attribute_error(subcode::OPTIONAL_ATTRIBUTE, whole))?;
                continue;
            }
            self.other_attributes = true;
            if repeated {
                // RFC 7606 section 3(g): the first one counts.
                self.discard(code, "the attribute is there more than once");
                continue;
            }
            if flags & attr::FLAG_OPTIONAL == 0 && attr::flags_of(code).is_none() {
                // RFC 4271 section 6.3, which RFC 7606 leaves as it is. No compliant speaker passes such an
                // attribute on, so it is the peer itself that means something we cannot know.
                return Err(attribute_error(subcode::UNRECOGNIZED_WELL_KNOWN, whole));
            }
            if let Err(fault) = self.attributes.read(flags, code, value) {
                self.fault(code, fault, whole);
            }
        }
        Ok(())
    }

    /// Reads MP_REACH_NLRI or MP_UNREACH_NLRI (RFC 4760 sections 3 and 4). `None` where it is syntactically incorrect
    /// (RFC 7606 sections 5.3 and 7.11), which resets the session.
    ///
    /// In place of a session reset RFC 7606 allows to disable the family. One that was not negotiated is disabled
    /// already, so nothing of it but AFI and SAFI is looked at.
    fn mp_attribute(&mut self, flags: u8, code: u8, value: &[u8]) -> Option<()> {
        let reach = code == attr::MP_REACH_NLRI;
        let mut reader = Reader::new(value);
        let afi = reader.u16()?;
        let safi = reader.u8()?;
        let pair = AfiSafi { afi, safi };
        self.other_attributes |= reach;
        let family = Family::from_afi_safi(pair).filter(|family| self.context.families.contains(*family));
        let Some(family) = family else {
            self.reachable |= reach;
            if !reach && reader.is_empty() {
                self.empty_unreach = Some(pair);
            } else {
                self.discard(code, "of an address family that was not negotiated");
            }
            return Some(());
        };
        if flags & (attr::FLAG_OPTIONAL | attr::FLAG_TRANSITIVE) != attr::FLAG_OPTIONAL {
            return None;
        }
        if !reach {
            if reader.is_empty() {
                self.empty_unreach = Some(pair);
            }
            return decode_nlri(family, reader.rest(), &mut self.withdrawn);
        }
        let len = reader.u8()?;
        let next_hop = self.mp_next_hop(family, reader.take(len)?)?;
        // RFC 4760 section 3: the reserved octet is ignored.
        reader.u8()?;
        decode_nlri(family, reader.rest(), &mut self.announced)?;
        self.reachable |= !reader.is_empty();
        self.mp_next_hop = Some(next_hop);
        if !is_host(&next_hop) {
            let fault = Fault::withdraw(
                subcode::OPTIONAL_ATTRIBUTE,
                "the next hop is not the address of a host",
            );
            self.fault(code, fault, &[]);
        }
        Some(())
    }

    /// The next hop of MP_REACH_NLRI; `None` where its length is not one of the family's (RFC 7606 section 7.11,
    /// RFC 2545 section 3, RFC 8950 section 3).
    fn mp_next_hop(&self, family: Family, octets: &[u8]) -> Option<NextHop> {
        let v6_allowed = match family {
            Family::Ipv4Unicast => self.context.extended_next_hop.contains(family),
            Family::Ipv6Unicast => true,
        };
        if family == Family::Ipv4Unicast
            && let Ok(octets) = <[u8; 4]>::try_from(octets)
        {
            return Some(NextHop::V4(Ipv4Addr::from(octets)));
        }
        if !v6_allowed {
            return None;
        }
        let (global, rest) = octets.split_first_chunk::<16>()?;
        let global = Ipv6Addr::from(*global);
        if rest.is_empty() {
            return Some(NextHop::V6 {
                global,
                link_local: None,
            });
        }
        let second = Ipv6Addr::from(<[u8; 16]>::try_from(rest).ok()?);
        Some(NextHop::V6 {
            global,
            // RFC 2545 section 3 has nothing else in this place; what is there instead is of no use.
            link_local: second.is_unicast_link_local().then_some(second),
        })
    }

    /// Judges the message as a whole and puts the result together.
    fn finish(mut self, withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Result<Update, Notification> {
        self.reachable |= !nlri.is_empty();
        self.check_next_hop(nlri);
        self.check_mandatory(nlri);
        if let Some((subcode, attribute)) = self.first_withdraw
            && self.other_attributes
            && !self.reachable
        {
            // RFC 7606 section 5.2: attributes, one of them broken, and no route to withdraw for it. The routes may
            // be in the broken part.
            return Err(attribute_error(subcode, attribute));
        }

        let mut update = Update {
            withdrawn: self.withdrawn,
            announced: self.announced,
            defects: self.defects,
            ..Update::default()
        };
        // RFC 4724 section 2
        if withdrawn.is_empty() && nlri.is_empty() && self.first_withdraw.is_none() && !self.other_attributes
        {
            update.end_of_rib = match self.empty_unreach {
                None if attributes.is_empty() => Some(Family::Ipv4Unicast.afi_safi()),
                pair => pair,
            };
        }
        if self.first_withdraw.is_some() {
            // RFC 7606 section 2, treat-as-withdraw. Nobody may use what is left of the attributes.
            update.withdrawn.append(&mut update.announced);
            return Ok(update);
        }
        let classic = match self.attributes.next_hop() {
            NextHopAttribute::Valid(addr) => Some(NextHop::V4(addr)),
            NextHopAttribute::Absent | NextHopAttribute::Invalid => None,
        };
        update.attributes = self.attributes.finish();
        if let Some(next_hop) = self.mp_next_hop {
            update.attributes.next_hop = Some(next_hop);
            update.classic_next_hop = classic;
        } else {
            update.attributes.next_hop = classic;
        }
        Ok(update)
    }

    /// A NEXT_HOP that is not the address of a host (RFC 4271 section 6.3, RFC 7606 section 3(e)) counts only where
    /// there is classic NLRI: beside MP_REACH_NLRI alone it is ignored (RFC 4760 section 3).
    fn check_next_hop(&mut self, nlri: &[u8]) {
        if self.attributes.next_hop() != NextHopAttribute::Invalid {
            return;
        }
        if nlri.is_empty() {
            self.discard(attr::NEXT_HOP, "not the address of a host");
            return;
        }
        let fault = Fault::withdraw(subcode::INVALID_NEXT_HOP, "not the address of a host");
        self.fault(attr::NEXT_HOP, fault, &[]);
    }

    /// RFC 7606 section 3(d): a well-known mandatory attribute that is missing means treat-as-withdraw. ORIGIN and
    /// AS_PATH are mandatory with any NLRI, NEXT_HOP with the classic field (RFC 4760 section 3).
    fn check_mandatory(&mut self, nlri: &[u8]) {
        if !self.reachable {
            return;
        }
        let mandatory = [
            (attr::ORIGIN, true),
            (attr::AS_PATH, true),
            (attr::NEXT_HOP, !nlri.is_empty()),
        ];
        for (code, needed) in mandatory {
            if needed && !self.has_seen(code) {
                let fault = Fault::withdraw(subcode::MISSING_WELL_KNOWN, "a mandatory attribute is missing");
                self.fault(code, fault, &[]);
            }
        }
    }

    fn discard(&mut self, attribute: u8, what: &'static str) {
        self.fault(attribute, Fault::discard(what), &[]);
    }

    /// Notes a defect. RFC 7606 section 3(h): the strongest one decides.
    fn fault(&mut self, attribute: u8, fault: Fault, octets: &'a [u8]) {
        if fault.disposition == Disposition::TreatAsWithdraw && self.first_withdraw.is_none() {
            self.first_withdraw = Some((fault.subcode, octets));
        }
        self.defects.push(Defect {
            attribute,
            disposition: fault.disposition,
            what: fault.what,
        });
    }

    /// Notes a type code; `false` where it was noted before.
    fn mark_seen(&mut self, code: u8) -> bool {
        let fresh = !self.has_seen(code);
        if let Some(word) = self.seen.get_mut(usize::from(code / 64)) {
            *word |= 1 << (code % 64);
        }
        fresh
    }

    fn has_seen(&self, code: u8) -> bool {
        let word = self.seen.get(usize::from(code / 64)).copied();
        word.unwrap_or_default() & (1 << (code % 64)) != 0
    }
}

/// Flags, type code and length of an attribute (RFC 4271 section 4.3); `None` where fewer octets are left than that
/// takes.
fn read_header(reader: &mut Reader<'_>) -> Option<(u8, u8, u16)> {
    let [flags, code] = reader.array()?;
    let len = if flags & attr::FLAG_EXTENDED_LENGTH == 0 {
        reader.u8().map(u16::from)?
    } else {
        reader.u16()?
    };
    Some((flags, code, len))
}

fn is_host(next_hop: &NextHop) -> bool {
    match next_hop {
        NextHop::V4(addr) => is_host_v4(*addr),
        // On an unnumbered link some speakers have nothing but the link-local address to say.
        NextHop::V6 {
            global,
            link_local: Some(_),
        } if global.is_unspecified() => true,
        NextHop::V6 { global, .. } => {
            !(global.is_unspecified() || global.is_loopback() || global.is_multicast())
        }
    }
}

fn error(subcode: u8) -> Notification {
    Notification::new(code::UPDATE, subcode)
}

/// RFC 4271 section 6.3: the data of an attribute's error is the attribute, type, length and value.
fn attribute_error(subcode: u8, attribute: &[u8]) -> Notification {
    Notification::with_data(code::UPDATE, subcode, attribute.to_vec())
}

#[cfg(test)]
mod tests;
