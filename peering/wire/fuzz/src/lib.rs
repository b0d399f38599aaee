//! What the fuzz targets of the BGP codec have in common.

use wire::{DecodeContext, FamilySet, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Message, Notification, decode};

/// A session; each bit of the octet is one thing that was negotiated.
pub fn context(bits: u8) -> DecodeContext {
    let bit = |at: u8| bits & (1 << at) != 0;
    DecodeContext {
        four_octet_as: bit(0),
        families: if bit(1) {
            FamilySet::ALL
        } else {
            DecodeContext::default().families
        },
        extended_next_hop: if bit(2) { FamilySet::ALL } else { FamilySet::EMPTY },
        ebgp: bit(3),
        max_message: if bit(4) { MAX_EXTENDED_MESSAGE } else { MAX_MESSAGE },
    }
}

/// Decodes a message of this type whose first octet of `data` says in which session, the rest being its body.
/// `None` where there is nothing to decode.
pub fn decode_body(kind: u8, data: &[u8]) -> Option<(DecodeContext, Result<Message, Notification>)> {
    let (bits, body) = data.split_first()?;
    let context = context(*bits);
    let len = u16::try_from(19 + body.len()).ok()?;
    let mut frame = vec![0xff; 16];
    frame.extend_from_slice(&len.to_be_bytes());
    frame.push(kind);
    frame.extend_from_slice(body);
    let message = decode(&frame, &context);
    if let Err(notification) = &message {
        assert!(notification.data.len() <= frame.len());
    }
    Some((context, message))
}
