//! Path attributes other than the MP ones.

use crate::attribute_code as attr;
use crate::{AS_TRANS, Aggregator, AsPath, AsSegment, Origin, PathAttributes, RawAttribute};
use std::net::Ipv4Addr;

/// Appends the attributes in ascending order of type. `next_hop` is the NEXT_HOP attribute; the field of that name
/// in `attributes` is not looked at. Attributes in `unknown` with a type code that has a field of its own, or one
/// that was there before, are left out.
///
/// To a speaker without 4-octet AS numbers (`four_octet_as` false) AS_PATH and AGGREGATOR have AS_TRANS where a
/// number does not fit, and AS4_PATH and AS4_AGGREGATOR say what it was (RFC 6793 section 4.2.2).
pub(crate) fn encode_attributes(
    attributes: &PathAttributes,
    next_hop: Option<Ipv4Addr>,
    four_octet_as: bool,
    out: &mut Vec<u8>,
) {
    let mut writer = Writer {
        unknown: unknown_in_order(&attributes.unknown),
        out,
    };
    if let Some(origin) = attributes.origin {
        let value = match origin {
            Origin::Igp => 0,
            Origin::Egp => 1,
            Origin::Incomplete => 2,
        };
        writer.known(attr::ORIGIN, |out| out.push(value));
    }
    if let Some(path) = &attributes.as_path {
        writer.known(attr::AS_PATH, |out| encode_segments(path, four_octet_as, out));
    }
    if let Some(addr) = next_hop {
        writer.known(attr::NEXT_HOP, |out| out.extend_from_slice(&addr.octets()));
    }
    if let Some(med) = attributes.med {
        writer.known(attr::MULTI_EXIT_DISC, |out| {
            out.extend_from_slice(&med.to_be_bytes());
        });
    }
    if let Some(local_pref) = attributes.local_pref {
        writer.known(attr::LOCAL_PREF, |out| {
            out.extend_from_slice(&local_pref.to_be_bytes());
        });
    }
    if attributes.atomic_aggregate {
        writer.known(attr::ATOMIC_AGGREGATE, |_| ());
    }
    if let Some(aggregator) = attributes.aggregator {
        writer.known(attr::AGGREGATOR, |out| {
            encode_aggregator(aggregator, four_octet_as, out);
        });
    }
    if !attributes.communities.is_empty() {
        writer.known(attr::COMMUNITIES, |out| {
            for community in &attributes.communities {
                out.extend_from_slice(&community.0.to_be_bytes());
            }
        });
    }
    if let Some(id) = attributes.originator_id {
        writer.known(attr::ORIGINATOR_ID, |out| out.extend_from_slice(&id.octets()));
    }
    if !attributes.cluster_list.is_empty() {
        writer.known(attr::CLUSTER_LIST, |out| {
            for id in &attributes.cluster_list {
                out.extend_from_slice(&id.octets());
            }
        });
    }
    if !attributes.extended_communities.is_empty() {
        writer.known(attr::EXTENDED_COMMUNITIES, |out| {
            out.extend_from_slice(attributes.extended_communities.as_flattened());
        });
    }
    if !four_octet_as && let Some(path) = attributes.as_path.as_ref().and_then(as4_path) {
        writer.known(attr::AS4_PATH, |out| encode_segments(&path, true, out));
    }
    if !four_octet_as
        && let Some(aggregator) = attributes.aggregator
        && u16::try_from(aggregator.asn).is_err()
    {
        writer.known(attr::AS4_AGGREGATOR, |out| {
            encode_aggregator(aggregator, true, out);
        });
    }
    if !attributes.large_communities.is_empty() {
        writer.known(attr::LARGE_COMMUNITIES, |out| {
            for community in &attributes.large_communities {
                out.extend_from_slice(&community.global.to_be_bytes());
                out.extend_from_slice(&community.local1.to_be_bytes());
                out.extend_from_slice(&community.local2.to_be_bytes());
            }
        });
    }
    writer.unknown_below(None);
}

/// Appends one attribute. The length has two octets only where it exceeds 255 (RFC 4271 section 4.3).
pub(crate) fn encode_attribute(flags: u8, code: u8, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[flags, code, 0]);
    value(out);
    let len = out.len() - (start + 3);
    if let Ok(len) = u8::try_from(len) {
        if let Some(field) = out.get_mut(start + 2) {
            *field = len;
        }
        return;
    }
    // Above 65535 octets no message can hold the attribute, so what stands here is never sent.
    let [high, low] = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    out.insert(start + 3, low);
    if let Some([flags, _, length]) = out.get_mut(start..start + 3) {
        *flags |= attr::FLAG_EXTENDED_LENGTH;
        *length = high;
    }
}

struct Writer<'o, 'u> {
    out: &'o mut Vec<u8>,
    /// Not written yet, in ascending order of type.
    unknown: std::iter::Peekable<std::vec::IntoIter<&'u RawAttribute>>,
}

impl Writer<'_, '_> {
    fn known(&mut self, code: u8, value: impl FnOnce(&mut Vec<u8>)) {
        self.unknown_below(Some(code));
        encode_attribute(attr::flags_of(code).unwrap_or_default(), code, self.out, value);
    }

    /// Writes the unknown attributes with a type below `code`, or all that are left.
    fn unknown_below(&mut self, code: Option<u8>) {
        while let Some(attribute) = self
            .unknown
            .next_if(|attribute| code.is_none_or(|code| attribute.code < code))
        {
            let flags = attribute.flags & (attr::FLAG_OPTIONAL | attr::FLAG_TRANSITIVE | attr::FLAG_PARTIAL);
            encode_attribute(flags, attribute.code, self.out, |out| {
                out.extend_from_slice(&attribute.value);
            });
        }
    }
}

fn unknown_in_order(unknown: &[RawAttribute]) -> std::iter::Peekable<std::vec::IntoIter<&RawAttribute>> {
    let mut sorted: Vec<_> = unknown
        .iter()
        .filter(|attribute| attr::flags_of(attribute.code).is_none())
        .collect();
    sorted.sort_by_key(|attribute| attribute.code);
    sorted.dedup_by_key(|attribute| attribute.code);
    sorted.into_iter().peekable()
}

/// Appends the segments of a path, each cut where it exceeds the 255 AS numbers that one can hold.
fn encode_segments(path: &AsPath, four_octet_as: bool, out: &mut Vec<u8>) {
    for segment in &path.0 {
        let (kind, asns) = match segment {
            AsSegment::Set(asns) => (1, asns),
            AsSegment::Sequence(asns) => (2, asns),
            AsSegment::ConfedSequence(asns) => (3, asns),
            AsSegment::ConfedSet(asns) => (4, asns),
        };
        for chunk in asns.chunks(usize::from(u8::MAX)) {
            out.extend_from_slice(&[kind, u8::try_from(chunk.len()).unwrap_or(u8::MAX)]);
            for asn in chunk {
                encode_asn(*asn, four_octet_as, out);
            }
        }
    }
}

fn encode_aggregator(aggregator: Aggregator, four_octet_as: bool, out: &mut Vec<u8>) {
    encode_asn(aggregator.asn, four_octet_as, out);
    out.extend_from_slice(&aggregator.addr.octets());
}

fn encode_asn(asn: u32, four_octet_as: bool, out: &mut Vec<u8>) {
    if four_octet_as {
        out.extend_from_slice(&asn.to_be_bytes());
    } else {
        // RFC 6793 section 4.2.2
        let asn = u16::try_from(asn).unwrap_or(AS_TRANS);
        out.extend_from_slice(&asn.to_be_bytes());
    }
}

/// The path for AS4_PATH: without confederation segments, and only where AS_PATH alone does not say it all (RFC 6793
/// section 4.2.2).
fn as4_path(path: &AsPath) -> Option<AsPath> {
    let segments = path.0.iter().filter(|segment| match segment {
        AsSegment::Sequence(_) | AsSegment::Set(_) => true,
        AsSegment::ConfedSequence(_) | AsSegment::ConfedSet(_) => false,
    });
    let path = AsPath(segments.cloned().collect());
    let needed = path.asns().any(|asn| u16::try_from(asn).is_err());
    needed.then_some(path)
}
