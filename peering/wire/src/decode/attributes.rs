use super::as_path::{self, AsWidth};
use super::update::Fault;
use crate::attribute_code as attr;
use crate::{
    Aggregator, AsPath, Community, DecodeContext, LargeCommunity, Origin, PathAttributes, RawAttribute,
    subcode,
};
use std::collections::HashSet;
use std::net::Ipv4Addr;

/// What the attributes of one UPDATE say, before what depends on several of them is put together. The two MP
/// attributes are not here: they carry prefixes.
pub(super) struct AttributeReader<'c> {
    context: &'c DecodeContext,
    parsed: PathAttributes,
    next_hop: NextHopAttribute,
    as4_path: Option<AsPath>,
    as4_aggregator: Option<Aggregator>,
}

/// The NEXT_HOP attribute: whether a bad address matters is known only when all NLRI are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NextHopAttribute {
    Absent,
    /// It is not the address of a host.
    Invalid,
    Valid(Ipv4Addr),
}

impl<'c> AttributeReader<'c> {
    pub(super) fn new(context: &'c DecodeContext) -> Self {
        Self {
            context,
            parsed: PathAttributes::default(),
            next_hop: NextHopAttribute::Absent,
            as4_path: None,
            as4_aggregator: None,
        }
    }

    /// The address of NEXT_HOP.
    pub(super) fn next_hop(&self) -> NextHopAttribute {
        self.next_hop
    }

    /// Reads one attribute other than the MP ones.
    pub(super) fn read(&mut self, flags: u8, code: u8, value: &[u8]) -> Result<(), Fault> {
        self.check_admissible(code)?;
        check_flags(flags, code)?;
        match code {
            attr::ORIGIN => self.origin(value),
            attr::AS_PATH => self.as_path(value),
            attr::NEXT_HOP => self.next_hop_attribute(value),
            attr::MULTI_EXIT_DISC => {
                // RFC 7606 section 7.4
                self.parsed.med = Some(number(value, "MULTI_EXIT_DISC is not of 4 octets")?);
                Ok(())
            }
            attr::LOCAL_PREF => {
                // RFC 7606 section 7.5
                self.parsed.local_pref = Some(number(value, "LOCAL_PREF is not of 4 octets")?);
                Ok(())
            }
            attr::ATOMIC_AGGREGATE => self.atomic_aggregate(value),
            attr::AGGREGATOR => self.aggregator(value),
            attr::COMMUNITIES => {
                // RFC 7606 section 7.8
                let chunks = chunks::<4>(value, "COMMUNITIES is not of a multiple of 4 octets")?;
                self.parsed.communities = chunks
                    .iter()
                    .map(|octets| Community(u32::from_be_bytes(*octets)))
                    .collect();
                Ok(())
            }
            attr::ORIGINATOR_ID => {
                // RFC 7606 section 7.9
                let id = number(value, "ORIGINATOR_ID is not of 4 octets")?;
                self.parsed.originator_id = Some(Ipv4Addr::from_bits(id));
                Ok(())
            }
            attr::CLUSTER_LIST => {
                // RFC 7606 section 7.10
                let chunks = chunks::<4>(value, "CLUSTER_LIST is not of a multiple of 4 octets")?;
                self.parsed.cluster_list = chunks.iter().copied().map(Ipv4Addr::from).collect();
                Ok(())
            }
            attr::EXTENDED_COMMUNITIES => {
                // RFC 7606 section 7.14
                let chunks = chunks::<8>(value, "EXTENDED COMMUNITIES is not of a multiple of 8 octets")?;
                self.parsed.extended_communities = chunks.to_vec();
                Ok(())
            }
            attr::AS4_PATH => self.as4_path(value),
            attr::AS4_AGGREGATOR => self.as4_aggregator(value),
            attr::LARGE_COMMUNITIES => self.large_communities(value),
            _ => {
                self.parsed.unknown.push(RawAttribute {
                    // RFC 4271 section 4.3: the lower four bits are ignored when received.
                    flags: flags & (attr::FLAG_OPTIONAL | attr::FLAG_TRANSITIVE | attr::FLAG_PARTIAL),
                    code,
                    value: value.to_vec(),
                });
                Ok(())
            }
        }
    }

    /// The attributes, with what a 2-octet speaker could not say in AS_PATH and AGGREGATOR put in from AS4_PATH and
    /// AS4_AGGREGATOR (RFC 6793 section 4.2.3). The next hop is left to the caller.
    pub(super) fn finish(self) -> PathAttributes {
        let mut attributes = self.parsed;
        if let (Some(aggregator), Some(as4_aggregator)) = (attributes.aggregator, self.as4_aggregator) {
            if aggregator.asn != u32::from(crate::AS_TRANS) {
                // Somebody who knows no AS4 attributes aggregated since they were written: both are out of date.
                return attributes;
            }
            attributes.aggregator = Some(as4_aggregator);
        }
        if let Some(as4_path) = self.as4_path {
            attributes.as_path = attributes
                .as_path
                .map(|as_path| as_path::merge(as_path, as4_path));
        }
        attributes
    }

    /// Attributes that this session must not carry are discarded whatever is in them.
    fn check_admissible(&self, code: u8) -> Result<(), Fault> {
        match code {
            // RFC 7606 sections 7.5, 7.9, 7.10
            attr::LOCAL_PREF | attr::ORIGINATOR_ID | attr::CLUSTER_LIST if self.context.ebgp => {
                Err(Fault::discard("not allowed from an external peer"))
            }
            // RFC 6793 section 6
            attr::AS4_PATH | attr::AS4_AGGREGATOR if self.context.four_octet_as => {
                Err(Fault::discard("not allowed from a peer with 4-octet AS numbers"))
            }
            _ => Ok(()),
        }
    }

    fn as_width(&self) -> AsWidth {
        if self.context.four_octet_as {
            AsWidth::Four
        } else {
            AsWidth::Two
        }
    }

    /// RFC 7606 section 7.1
    fn origin(&mut self, value: &[u8]) -> Result<(), Fault> {
        let [value] = *value else {
            return Err(Fault::withdraw(
                subcode::ATTRIBUTE_LENGTH,
                "ORIGIN is not of 1 octet",
            ));
        };
        self.parsed.origin = Some(match value {
            0 => Origin::Igp,
            1 => Origin::Egp,
            2 => Origin::Incomplete,
            _ => {
                return Err(Fault::withdraw(
                    subcode::INVALID_ORIGIN,
                    "ORIGIN has an undefined value",
                ));
            }
        });
        Ok(())
    }

    /// RFC 7606 section 7.2
    fn as_path(&mut self, value: &[u8]) -> Result<(), Fault> {
        let malformed = |what| Fault::withdraw(subcode::MALFORMED_AS_PATH, what);
        let path = as_path::decode_segments(value, self.as_width()).map_err(malformed)?;
        // RFC 7607 section 2
        if path.asns().any(|asn| asn == 0) {
            return Err(malformed("AS 0 in AS_PATH"));
        }
        // RFC 5065 section 5: this speaker is in no confederation, so no external peer is in the same one.
        if self.context.ebgp && as_path::has_confederation(&path) {
            return Err(malformed("a confederation segment from an external peer"));
        }
        self.parsed.as_path = Some(path);
        Ok(())
    }

    /// RFC 7606 section 7.3
    fn next_hop_attribute(&mut self, value: &[u8]) -> Result<(), Fault> {
        let addr = Ipv4Addr::from_bits(number(value, "NEXT_HOP is not of 4 octets")?);
        self.next_hop = if is_host_v4(addr) {
            NextHopAttribute::Valid(addr)
        } else {
            NextHopAttribute::Invalid
        };
        Ok(())
    }

    /// RFC 7606 section 7.6
    fn atomic_aggregate(&mut self, value: &[u8]) -> Result<(), Fault> {
        if !value.is_empty() {
            return Err(Fault::discard("ATOMIC_AGGREGATE is not empty"));
        }
        self.parsed.atomic_aggregate = true;
        Ok(())
    }

    /// RFC 7606 section 7.7
    fn aggregator(&mut self, value: &[u8]) -> Result<(), Fault> {
        let aggregator = match (self.as_width(), value) {
            (AsWidth::Two, &[a, b, c, d, e, f]) => Aggregator {
                asn: u32::from(u16::from_be_bytes([a, b])),
                addr: Ipv4Addr::from([c, d, e, f]),
            },
            (AsWidth::Four, &[a, b, c, d, e, f, g, h]) => Aggregator {
                asn: u32::from_be_bytes([a, b, c, d]),
                addr: Ipv4Addr::from([e, f, g, h]),
            },
            (AsWidth::Two | AsWidth::Four, _) => {
                return Err(Fault::discard("AGGREGATOR has a wrong length"));
            }
        };
        // RFC 7607 section 2
        if aggregator.asn == 0 {
            return Err(Fault::discard("AS 0 in AGGREGATOR"));
        }
        self.parsed.aggregator = Some(aggregator);
        Ok(())
    }

    /// RFC 6793 section 6: a malformed AS4_PATH is discarded.
    fn as4_path(&mut self, value: &[u8]) -> Result<(), Fault> {
        if value.is_empty() {
            return Err(Fault::discard("AS4_PATH is empty"));
        }
        let path = as_path::decode_segments(value, AsWidth::Four).map_err(Fault::discard)?;
        // RFC 7607 section 2
        if path.asns().any(|asn| asn == 0) {
            return Err(Fault::discard("AS 0 in AS4_PATH"));
        }
        self.as4_path = Some(as_path::without_confederation(path));
        Ok(())
    }

    /// RFC 6793 section 6: a malformed AS4_AGGREGATOR is discarded.
    fn as4_aggregator(&mut self, value: &[u8]) -> Result<(), Fault> {
        let &[a, b, c, d, e, f, g, h] = value else {
            return Err(Fault::discard("AS4_AGGREGATOR is not of 8 octets"));
        };
        let asn = u32::from_be_bytes([a, b, c, d]);
        // RFC 7607 section 2
        if asn == 0 {
            return Err(Fault::discard("AS 0 in AS4_AGGREGATOR"));
        }
        self.as4_aggregator = Some(Aggregator {
            asn,
            addr: Ipv4Addr::from([e, f, g, h]),
        });
        Ok(())
    }

    /// RFC 8092 section 6; redundant values are silently removed (section 3).
    fn large_communities(&mut self, value: &[u8]) -> Result<(), Fault> {
        let chunks = chunks::<12>(value, "LARGE_COMMUNITIES is not of a multiple of 12 octets")?;
        let mut seen = HashSet::with_capacity(chunks.len());
        self.parsed.large_communities = chunks
            .iter()
            .map(|&[a, b, c, d, e, f, g, h, i, j, k, l]| LargeCommunity {
                global: u32::from_be_bytes([a, b, c, d]),
                local1: u32::from_be_bytes([e, f, g, h]),
                local2: u32::from_be_bytes([i, j, k, l]),
            })
            .filter(|community| seen.insert(*community))
            .collect();
        Ok(())
    }
}

/// RFC 7606 section 3(c): Optional and Transitive bits that conflict with the attribute's own make it malformed,
/// with treat-as-withdraw; section 3(f) makes it attribute discard for the two aggregation attributes.
fn check_flags(flags: u8, code: u8) -> Result<(), Fault> {
    let Some(expected) = attr::flags_of(code) else {
        return Ok(());
    };
    if flags & (attr::FLAG_OPTIONAL | attr::FLAG_TRANSITIVE) == expected {
        return Ok(());
    }
    let what = "flags conflict with the attribute type";
    Err(match code {
        attr::ATOMIC_AGGREGATE | attr::AGGREGATOR => Fault::discard(what),
        _ => Fault::withdraw(subcode::ATTRIBUTE_FLAGS, what),
    })
}

fn number(value: &[u8], what: &'static str) -> Result<u32, Fault> {
    let octets = <[u8; 4]>::try_from(value);
    octets
        .map(u32::from_be_bytes)
        .map_err(|_| Fault::withdraw(subcode::ATTRIBUTE_LENGTH, what))
}

/// The value in pieces of `N` octets, at least one (RFC 7606 section 4: only AS_PATH and ATOMIC_AGGREGATE may be
/// empty).
fn chunks<'a, const N: usize>(value: &'a [u8], what: &'static str) -> Result<&'a [[u8; N]], Fault> {
    match value.as_chunks::<N>() {
        (chunks, []) if !chunks.is_empty() => Ok(chunks),
        _ => Err(Fault::withdraw(subcode::ATTRIBUTE_LENGTH, what)),
    }
}

/// Whether a NEXT_HOP is the address of a host (RFC 4271 section 6.3).
pub(super) fn is_host_v4(addr: Ipv4Addr) -> bool {
    let this_network = addr.octets()[0] == 0;
    !(this_network || addr.is_loopback() || addr.is_multicast() || addr.is_broadcast())
}
