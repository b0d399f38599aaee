use super::{begin_length, begin_message, end_length, end_message};
use crate::capability_code as code;
use crate::message::message_type;
use crate::{AS_TRANS, Capability, MAX_MESSAGE, Open};

/// Optional parameter type of the capabilities (RFC 5492 section 4).
const PARAMETER_CAPABILITIES: u8 = 2;
/// OPEN without capabilities, plus the overhead of the extended format: RFC 9072 section 2.
const EXTENDED_OVERHEAD: usize = 29 + 3 + 3;

/// Appends an OPEN, with extended optional parameters (RFC 9072) where the capabilities exceed what one parameter of
/// the classic format holds, 253 octets.
///
/// All capabilities are in one parameter (RFC 5492 section 4). What exceeds the value of one capability, 255 octets,
/// is cut behind the last whole entry; capabilities that do not fit 4096 octets are left out.
pub fn encode_open(open: &Open, out: &mut Vec<u8>) {
    let start = begin_message(message_type::OPEN, out);
    // RFC 6793 section 4.2: the real number is in the capability.
    let asn = u16::try_from(open.asn).unwrap_or(AS_TRANS);
    out.push(4);
    out.extend_from_slice(&asn.to_be_bytes());
    out.extend_from_slice(&open.hold_time.to_be_bytes());
    out.extend_from_slice(&open.bgp_id.octets());

    let capabilities = encode_capabilities(&open.capabilities);
    if capabilities.is_empty() {
        out.push(0);
    } else if let (Ok(parameter_len), Ok(len)) = (
        u8::try_from(capabilities.len() + 2),
        u8::try_from(capabilities.len()),
    ) {
        out.extend_from_slice(&[parameter_len, PARAMETER_CAPABILITIES, len]);
        out.extend_from_slice(&capabilities);
    } else {
        // RFC 9072 section 2
        out.extend_from_slice(&[255, 255]);
        let parameters = begin_length(out);
        out.push(PARAMETER_CAPABILITIES);
        let parameter = begin_length(out);
        out.extend_from_slice(&capabilities);
        end_length(parameter, out);
        end_length(parameters, out);
    }
    end_message(start, out);
}

fn encode_capabilities(capabilities: &[Capability]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut value = Vec::new();
    for capability in capabilities {
        value.clear();
        let code = encode_value(capability, &mut value);
        value.truncate(usize::from(u8::MAX));
        let Ok(len) = u8::try_from(value.len()) else {
            continue;
        };
        if EXTENDED_OVERHEAD + out.len() + 2 + value.len() > MAX_MESSAGE {
            continue;
        }
        out.extend_from_slice(&[code, len]);
        out.extend_from_slice(&value);
    }
    out
}

/// Appends the value and returns the code.
fn encode_value(capability: &Capability, out: &mut Vec<u8>) -> u8 {
    match capability {
        Capability::Multiprotocol(pair) => {
            out.extend_from_slice(&pair.afi.to_be_bytes());
            out.extend_from_slice(&[0, pair.safi]);
            code::MULTIPROTOCOL
        }
        Capability::RouteRefresh => code::ROUTE_REFRESH,
        Capability::ExtendedNextHop(pairs) => {
            for (pair, next_hop_afi) in pairs.iter().take(255 / 6) {
                out.extend_from_slice(&pair.afi.to_be_bytes());
                out.extend_from_slice(&u16::from(pair.safi).to_be_bytes());
                out.extend_from_slice(&next_hop_afi.to_be_bytes());
            }
            code::EXTENDED_NEXT_HOP
        }
        Capability::ExtendedMessage => code::EXTENDED_MESSAGE,
        Capability::GracefulRestart(restart) => {
            let flags = u16::from(restart.restarting) << 15 | u16::from(restart.notification) << 14;
            let head = flags | restart.restart_time.min(0x0fff);
            out.extend_from_slice(&head.to_be_bytes());
            for entry in restart.families.iter().take((255 - 2) / 4) {
                out.extend_from_slice(&entry.family.afi.to_be_bytes());
                out.extend_from_slice(&[entry.family.safi, u8::from(entry.forwarding) << 7]);
            }
            code::GRACEFUL_RESTART
        }
        Capability::FourOctetAs(asn) => {
            out.extend_from_slice(&asn.to_be_bytes());
            code::FOUR_OCTET_AS
        }
        Capability::EnhancedRouteRefresh => code::ENHANCED_ROUTE_REFRESH,
        Capability::LongLivedGracefulRestart(families) => {
            for entry in families.iter().take(255 / 7) {
                let [_, a, b, c] = entry.stale_time.min(0x00ff_ffff).to_be_bytes();
                out.extend_from_slice(&entry.family.afi.to_be_bytes());
                out.extend_from_slice(&[entry.family.safi, u8::from(entry.forwarding) << 7, a, b, c]);
            }
            code::LONG_LIVED_GRACEFUL_RESTART
        }
        Capability::Fqdn { host, domain } => {
            // Both names and their lengths are in one value of 255 octets; the host name is the one that matters.
            let host = cut(host, 253);
            let domain = cut(domain, 253 - host.len());
            for name in [host, domain] {
                out.push(u8::try_from(name.len()).unwrap_or_default());
                out.extend_from_slice(name.as_bytes());
            }
            code::FQDN
        }
        Capability::BfdStrictMode => code::BFD_STRICT_MODE,
        Capability::Unknown { code, value } => {
            out.extend_from_slice(value);
            *code
        }
    }
}

/// The beginning of a text, at most `max` octets, on a character boundary.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}
