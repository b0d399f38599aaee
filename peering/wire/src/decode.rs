mod as_path;
mod attributes;
mod capability;
mod nlri;
mod open;
mod update;

use crate::message::message_type;
use crate::reader::Reader;
use crate::{
    AfiSafi, Family, FamilySet, MAX_MESSAGE, Message, Notification, RefreshKind, RouteRefresh, code, subcode,
};

/// Length of the message header in octets (RFC 4271 section 4.1).
pub const HEADER_LEN: usize = 19;

/// What decoding depends on: the negotiated session. Before the OPEN exchange is over, use the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeContext {
    /// Both sides have the 4-octet AS capability (RFC 6793).
    pub four_octet_as: bool,
    /// The families negotiated; NLRI of other families are skipped.
    pub families: FamilySet,
    /// The families whose NLRI may carry an IPv6 next hop towards us (RFC 8950).
    pub extended_next_hop: FamilySet,
    /// The peer is in another AS.
    pub ebgp: bool,
    /// Largest message allowed from the peer, in octets, [`MAX_MESSAGE`] or [`crate::MAX_EXTENDED_MESSAGE`].
    pub max_message: usize,
}

impl Default for DecodeContext {
    /// A session in which no capability was exchanged: IPv4 unicast only (RFC 4760 section 8), 2-octet AS numbers
    /// (RFC 6793 section 4.2), 4096 octets (RFC 8654 section 4); the peer counts as external.
    fn default() -> Self {
        Self {
            four_octet_as: false,
            families: FamilySet::only(Family::Ipv4Unicast),
            extended_next_hop: FamilySet::EMPTY,
            ebgp: true,
            max_message: MAX_MESSAGE,
        }
    }
}

/// Length of the message at the start of `buf`, once its header is there; `None` while more octets are needed.
///
/// A wrong marker is reported from the first wrong octet on, before the header is complete: whoever speaks another
/// protocol to this port may never send 19 octets.
///
/// # Errors
/// The Message Header Error to send (RFC 4271 section 6.1): marker not all ones, unknown type, or a length that is
/// not allowed for the type (at most `max_message`; OPEN and KEEPALIVE never above 4096, RFC 8654 section 4).
pub fn frame_len(buf: &[u8], max_message: usize) -> Result<Option<usize>, Notification> {
    if buf.iter().take(16).any(|octet| *octet != 0xff) {
        return Err(Notification::new(code::MESSAGE_HEADER, subcode::NOT_SYNCHRONIZED));
    }
    let Some((header, _)) = buf.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [.., high, low, kind] = *header;
    let len = usize::from(u16::from_be_bytes([high, low]));
    // RFC 4271 section 6.1: the data of Bad Message Length is the erroneous Length field.
    let bad_length = || Notification::with_data(code::MESSAGE_HEADER, subcode::BAD_LENGTH, vec![high, low]);
    if !(HEADER_LEN..=max_message).contains(&len) {
        return Err(bad_length());
    }
    // The minimum lengths of RFC 4271 section 6.1. A ROUTE-REFRESH of a wrong length has an error code of its own
    // (RFC 7313 section 5), so here any length will do.
    let allowed = match kind {
        message_type::OPEN => 29..=MAX_MESSAGE,
        message_type::UPDATE => 23..=max_message,
        message_type::NOTIFICATION => 21..=max_message,
        message_type::KEEPALIVE => HEADER_LEN..=HEADER_LEN,
        message_type::ROUTE_REFRESH => HEADER_LEN..=max_message,
        // RFC 4271 section 6.1: the data of Bad Message Type is the erroneous Type field.
        _ => {
            return Err(Notification::with_data(
                code::MESSAGE_HEADER,
                subcode::BAD_TYPE,
                vec![kind],
            ));
        }
    };
    if !allowed.contains(&len) {
        return Err(bad_length());
    }
    Ok(Some(len))
}

/// Decodes one whole message, header included, as framed by [`frame_len`].
///
/// # Errors
/// The NOTIFICATION that RFC 4271 section 6, RFC 7313 or RFC 7606 names for a defect that must reset the session.
/// Lesser defects of an UPDATE are in [`crate::Update::defects`]. A frame that is shorter or longer than its Length
/// field is a Bad Message Length.
pub fn decode(frame: &[u8], context: &DecodeContext) -> Result<Message, Notification> {
    let bad_length = || {
        let field = frame.get(16..18).unwrap_or_default();
        Notification::with_data(code::MESSAGE_HEADER, subcode::BAD_LENGTH, field.to_vec())
    };
    if frame_len(frame, context.max_message)? != Some(frame.len()) {
        return Err(bad_length());
    }
    let Some((header, body)) = frame.split_first_chunk::<HEADER_LEN>() else {
        return Err(bad_length());
    };
    let [.., kind] = *header;
    let message = match kind {
        message_type::OPEN => Message::Open(open::decode_open(body)?),
        message_type::UPDATE => Message::Update(Box::new(update::decode_update(body, context)?)),
        message_type::NOTIFICATION => {
            let mut reader = Reader::new(body);
            let [code, subcode] = reader.array().ok_or_else(bad_length)?;
            Message::Notification(Notification::with_data(code, subcode, reader.rest().to_vec()))
        }
        message_type::ROUTE_REFRESH => Message::RouteRefresh(decode_route_refresh(frame, body)?),
        // `frame_len` lets no other type through.
        _ => Message::Keepalive,
    };
    Ok(message)
}

/// RFC 2918 section 3, RFC 7313 section 3.2.
fn decode_route_refresh(frame: &[u8], body: &[u8]) -> Result<RouteRefresh, Notification> {
    // RFC 7313 section 5: the data is the complete ROUTE-REFRESH message.
    let invalid_length = || {
        Notification::with_data(
            code::ROUTE_REFRESH,
            subcode::INVALID_REFRESH_LENGTH,
            frame.to_vec(),
        )
    };
    let mut reader = Reader::new(body);
    let [afi_high, afi_low, subtype, safi] = reader.array().ok_or_else(invalid_length)?;
    let kind = match subtype {
        0 => RefreshKind::Request,
        1 => RefreshKind::Begin,
        2 => RefreshKind::End,
        other => RefreshKind::Other(other),
    };
    // Subtypes 1 and 2 by RFC 7313 section 5. Subtype 0 may be longer only with outbound route filters (RFC 5291),
    // whose capability this speaker never sends. Other subtypes are to be ignored whatever they carry.
    if !matches!(kind, RefreshKind::Other(_)) && !reader.is_empty() {
        return Err(invalid_length());
    }
    Ok(RouteRefresh {
        family: AfiSafi {
            afi: u16::from_be_bytes([afi_high, afi_low]),
            safi,
        },
        kind,
    })
}

#[cfg(test)]
mod tests;
