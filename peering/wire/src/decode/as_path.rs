use crate::reader::Reader;
use crate::{AsPath, AsSegment};

/// Width of the AS numbers in a path attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AsWidth {
    Two,
    Four,
}

/// Reads the segments of an AS_PATH or AS4_PATH. `Err` says how it is malformed by RFC 7606 section 7.2; an empty
/// path is none of its cases.
//
// GAP(RFC 9774 3): AS_SET and AS_CONFED_SET are accepted. This speaker never sends them, and switches in the field
// still aggregate; withdrawing their default route over a deprecated segment type would cut off a node.
pub(super) fn decode_segments(value: &[u8], width: AsWidth) -> Result<AsPath, &'static str> {
    let mut reader = Reader::new(value);
    let mut segments = Vec::new();
    while !reader.is_empty() {
        let Some([kind, count]) = reader.array() else {
            return Err("a single octet where a segment should begin");
        };
        if count == 0 {
            return Err("a segment without AS numbers");
        }
        let count = usize::from(count);
        let asns = match width {
            AsWidth::Two => reader.take(count * 2).map(two_octet_asns),
            AsWidth::Four => reader.take(count * 4).map(four_octet_asns),
        };
        let Some(asns) = asns else {
            return Err("a segment longer than the attribute");
        };
        segments.push(match kind {
            1 => AsSegment::Set(asns),
            2 => AsSegment::Sequence(asns),
            3 => AsSegment::ConfedSequence(asns),
            4 => AsSegment::ConfedSet(asns),
            _ => return Err("an unknown segment type"),
        });
    }
    Ok(AsPath(segments))
}

/// Whether a path has a confederation segment (RFC 5065).
pub(super) fn has_confederation(path: &AsPath) -> bool {
    path.0.iter().any(is_confederation)
}

/// AS4_PATH without its confederation segments, which must not be there (RFC 6793 section 6).
pub(super) fn without_confederation(mut path: AsPath) -> AsPath {
    path.0.retain(|segment| !is_confederation(segment));
    path
}

/// Puts the leading part of AS_PATH in front of AS4_PATH, so that the result has as many AS numbers as AS_PATH has
/// (RFC 6793 section 4.2.3). An AS4_PATH that is longer than AS_PATH is ignored.
pub(super) fn merge(as_path: AsPath, as4_path: AsPath) -> AsPath {
    let Some(mut missing) = hops(&as_path).checked_sub(hops(&as4_path)) else {
        return as_path;
    };
    let mut merged = Vec::new();
    for segment in as_path.0 {
        match segment {
            // Taken where it leads or follows what was taken: the loop ends with the last one taken.
            AsSegment::ConfedSequence(_) | AsSegment::ConfedSet(_) => merged.push(segment),
            _ if missing == 0 => break,
            AsSegment::Set(_) => {
                missing -= 1;
                merged.push(segment);
            }
            AsSegment::Sequence(mut asns) => {
                asns.truncate(missing);
                missing -= asns.len();
                merged.push(AsSegment::Sequence(asns));
            }
        }
    }
    let mut rest = as4_path.0.into_iter();
    match (merged.last_mut(), rest.next()) {
        // One sequence that was cut in two is one sequence again.
        (Some(AsSegment::Sequence(head)), Some(AsSegment::Sequence(tail))) => head.extend_from_slice(&tail),
        (_, first) => merged.extend(first),
    }
    merged.extend(rest);
    AsPath(merged)
}

/// The number of AS numbers as RFC 4271 section 9.1.2.2 counts them, a set as one, and RFC 5065 section 5.3, a
/// confederation segment as none.
fn hops(path: &AsPath) -> usize {
    let hops = path.0.iter().map(|segment| match segment {
        AsSegment::Sequence(asns) => asns.len(),
        AsSegment::Set(_) => 1,
        AsSegment::ConfedSequence(_) | AsSegment::ConfedSet(_) => 0,
    });
    hops.sum()
}

fn is_confederation(segment: &AsSegment) -> bool {
    match segment {
        AsSegment::ConfedSequence(_) | AsSegment::ConfedSet(_) => true,
        AsSegment::Sequence(_) | AsSegment::Set(_) => false,
    }
}

fn two_octet_asns(octets: &[u8]) -> Vec<u32> {
    let (chunks, _) = octets.as_chunks();
    chunks
        .iter()
        .map(|asn| u32::from(u16::from_be_bytes(*asn)))
        .collect()
}

fn four_octet_asns(octets: &[u8]) -> Vec<u32> {
    let (chunks, _) = octets.as_chunks();
    chunks.iter().map(|asn| u32::from_be_bytes(*asn)).collect()
}

#[cfg(test)]
mod tests;
