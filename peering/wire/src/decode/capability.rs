use crate::capability_code as code;
use crate::reader::Reader;
use crate::{AfiSafi, Capability, GracefulRestart, GracefulRestartFamily, LongLivedFamily};

/// Appends the capabilities of one Capabilities parameter (RFC 5492 section 4). `None` where the parameter is
/// malformed.
///
/// A known capability with a value that is none of its own is kept as [`Capability::Unknown`], that is, ignored:
/// what it offers is then not negotiated. The one exception is the 4-octet AS capability. The sender will write AS
/// numbers of four octets, and ignoring it would misread every AS_PATH.
pub(super) fn decode_capabilities(parameter: &[u8], out: &mut Vec<Capability>) -> Option<()> {
    let mut reader = Reader::new(parameter);
    while !reader.is_empty() {
        let [code, len] = reader.array()?;
        let value = reader.take(len)?;
        let capability = match decode_capability(code, value) {
            Some(capability) => capability,
            None if code == code::FOUR_OCTET_AS => return None,
            None => Capability::Unknown {
                code,
                value: value.to_vec(),
            },
        };
        out.push(capability);
    }
    Some(())
}

/// `None` where the capability is not known or its value is not one of its own.
fn decode_capability(code: u8, value: &[u8]) -> Option<Capability> {
    let mut reader = Reader::new(value);
    let capability = match code {
        // RFC 4760 section 8: AFI, reserved octet, SAFI.
        code::MULTIPROTOCOL => {
            let [high, low, _, safi] = reader.array()?;
            let afi = u16::from_be_bytes([high, low]);
            Capability::Multiprotocol(AfiSafi { afi, safi })
        }
        code::ROUTE_REFRESH => Capability::RouteRefresh,
        code::EXTENDED_NEXT_HOP => decode_extended_next_hop(&mut reader)?,
        code::EXTENDED_MESSAGE => Capability::ExtendedMessage,
        code::GRACEFUL_RESTART => decode_graceful_restart(&mut reader)?,
        code::FOUR_OCTET_AS => Capability::FourOctetAs(reader.u32()?),
        code::ENHANCED_ROUTE_REFRESH => Capability::EnhancedRouteRefresh,
        code::LONG_LIVED_GRACEFUL_RESTART => decode_long_lived(&mut reader)?,
        code::FQDN => {
            let host = text(&mut reader)?;
            let domain = text(&mut reader)?;
            Capability::Fqdn { host, domain }
        }
        code::BFD_STRICT_MODE => Capability::BfdStrictMode,
        _ => return None,
    };
    reader.is_empty().then_some(capability)
}

/// RFC 8950 section 4: NLRI AFI, NLRI SAFI (two octets here), next hop AFI.
fn decode_extended_next_hop(reader: &mut Reader<'_>) -> Option<Capability> {
    let mut pairs = Vec::new();
    while !reader.is_empty() {
        let afi = reader.u16()?;
        let safi = reader.u16()?;
        let next_hop_afi = reader.u16()?;
        // RFC 8950 section 4: unrecognized pairs are ignored; a SAFI above 255 cannot be in an UPDATE.
        let Ok(safi) = u8::try_from(safi) else { continue };
        pairs.push((AfiSafi { afi, safi }, next_hop_afi));
    }
    Some(Capability::ExtendedNextHop(pairs))
}

/// RFC 4724 section 3, the N bit from RFC 8538 section 2.
fn decode_graceful_restart(reader: &mut Reader<'_>) -> Option<Capability> {
    let head = reader.u16()?;
    let mut families = Vec::new();
    while !reader.is_empty() {
        let afi = reader.u16()?;
        let [safi, flags] = reader.array()?;
        families.push(GracefulRestartFamily {
            family: AfiSafi { afi, safi },
            forwarding: flags & 0x80 != 0,
        });
    }
    Some(Capability::GracefulRestart(GracefulRestart {
        restarting: head & 0x8000 != 0,
        notification: head & 0x4000 != 0,
        restart_time: head & 0x0fff,
        families,
    }))
}

/// RFC 9494 section 3.1.
fn decode_long_lived(reader: &mut Reader<'_>) -> Option<Capability> {
    let mut families = Vec::new();
    while !reader.is_empty() {
        let afi = reader.u16()?;
        let [safi, flags, a, b, c] = reader.array()?;
        families.push(LongLivedFamily {
            family: AfiSafi { afi, safi },
            forwarding: flags & 0x80 != 0,
            stale_time: u32::from_be_bytes([0, a, b, c]),
        });
    }
    Some(Capability::LongLivedGracefulRestart(families))
}

/// One length-prefixed name. What is not UTF-8 is replaced: a name must never cost the session. The replacement is
/// longer than what it replaces, so the result is cut to what can be said again, 255 octets.
fn text(reader: &mut Reader<'_>) -> Option<String> {
    let len = reader.u8()?;
    let mut text = String::from_utf8_lossy(reader.take(len)?).into_owned();
    text.truncate(text.floor_char_boundary(usize::from(u8::MAX)));
    Some(text)
}
