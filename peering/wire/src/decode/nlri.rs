use crate::reader::Reader;
use crate::{Family, Prefix};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Appends the prefixes of an NLRI or Withdrawn Routes field. `None` where it is syntactically incorrect (RFC 7606
/// section 5.3): a length above 32 or 128 bits, or a last prefix longer than what is left of the field.
///
/// Bits behind the prefix length mean nothing (RFC 4271 section 4.3) and are cleared.
//
// GAP(RFC 4271 6.3): a prefix that is only semantically wrong (multicast, say) is not dropped here. What may be
// imported is for the import filter to decide.
pub(super) fn decode_nlri(family: Family, field: &[u8], out: &mut Vec<Prefix>) -> Option<()> {
    let mut reader = Reader::new(field);
    while !reader.is_empty() {
        let bits = reader.u8()?;
        let octets = reader.take(bits.div_ceil(8))?;
        let addr = match family {
            Family::Ipv4Unicast => IpAddr::from(Ipv4Addr::from(padded::<4>(octets)?)),
            Family::Ipv6Unicast => IpAddr::from(Ipv6Addr::from(padded::<16>(octets)?)),
        };
        out.push(Prefix::new(addr, bits)?);
    }
    Some(())
}

/// The octets followed by zeros; `None` where there are more than `N`.
fn padded<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    out.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(out)
}
