use super::capability::decode_capabilities;
use crate::reader::Reader;
use crate::{Capability, Notification, Open, code, subcode};
use std::net::Ipv4Addr;

/// The version this speaker has: the data of Unsupported Version Number (RFC 4271 section 6.2).
const VERSION: u8 = 4;
/// Optional parameter type of the capabilities (RFC 5492 section 4).
const PARAMETER_CAPABILITIES: u8 = 2;
/// Optional parameter type that marks the extended format (RFC 9072 section 2).
const PARAMETER_EXTENDED: u8 = 255;

/// Decodes the body of an OPEN (RFC 4271 sections 4.2 and 6.2).
pub(super) fn decode_open(body: &[u8]) -> Result<Open, Notification> {
    let mut reader = Reader::new(body);
    if reader.u8().ok_or_else(malformed)? != VERSION {
        return Err(Notification::with_data(
            code::OPEN,
            subcode::UNSUPPORTED_VERSION,
            vec![0, VERSION],
        ));
    }
    let short_asn = reader.u16().ok_or_else(malformed)?;
    let hold_time = reader.u16().ok_or_else(malformed)?;
    let bgp_id = Ipv4Addr::from_bits(reader.u32().ok_or_else(malformed)?);
    let capabilities = decode_parameters(reader)?;

    let four_octet = capabilities.iter().find_map(|capability| {
        if let Capability::FourOctetAs(asn) = capability {
            Some(*asn)
        } else {
            None
        }
    });
    let asn = four_octet.unwrap_or_else(|| u32::from(short_asn));
    // RFC 7607 section 2; RFC 6793 leaves no meaning to a zero in either place.
    if asn == 0 || short_asn == 0 {
        return Err(Notification::new(code::OPEN, subcode::BAD_PEER_AS));
    }
    // RFC 4271 section 4.2: zero, or at least three seconds.
    if matches!(hold_time, 1 | 2) {
        return Err(Notification::new(code::OPEN, subcode::UNACCEPTABLE_HOLD_TIME));
    }
    // RFC 6286 section 2.2: whether it equals ours is for the session to judge.
    if bgp_id.is_unspecified() {
        return Err(Notification::new(code::OPEN, subcode::BAD_BGP_ID));
    }
    Ok(Open {
        asn,
        hold_time,
        bgp_id,
        capabilities,
    })
}

/// Reads the optional parameters, in the format of RFC 4271 section 4.2 or of RFC 9072 section 2.
fn decode_parameters(mut reader: Reader<'_>) -> Result<Vec<Capability>, Notification> {
    let mut capabilities = Vec::new();
    let len = reader.u8().ok_or_else(malformed)?;
    // RFC 9072 section 2: once the type octet says 255, the one-octet length means nothing (but it is not zero).
    let extended = len != 0 && reader.rest().first() == Some(&PARAMETER_EXTENDED);
    let len = if extended {
        let [_, high, low] = reader.array().ok_or_else(malformed)?;
        u16::from_be_bytes([high, low])
    } else {
        u16::from(len)
    };
    let mut parameters = Reader::new(reader.take(len).ok_or_else(malformed)?);
    if !reader.is_empty() {
        return Err(malformed());
    }
    while !parameters.is_empty() {
        let kind = parameters.u8().ok_or_else(malformed)?;
        let len = if extended {
            parameters.u16()
        } else {
            parameters.u8().map(u16::from)
        };
        let value = len.and_then(|len| parameters.take(len)).ok_or_else(malformed)?;
        if kind != PARAMETER_CAPABILITIES {
            return Err(Notification::new(
                code::OPEN,
                subcode::UNSUPPORTED_OPTIONAL_PARAMETER,
            ));
        }
        decode_capabilities(value, &mut capabilities).ok_or_else(malformed)?;
    }
    Ok(capabilities)
}

/// RFC 4271 section 6.2: a recognized optional parameter that is malformed has subcode 0 (Unspecific).
fn malformed() -> Notification {
    Notification::new(code::OPEN, 0)
}

#[cfg(test)]
mod tests;
