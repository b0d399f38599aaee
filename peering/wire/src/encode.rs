pub(crate) mod attributes;
mod open;
pub(crate) mod update;

pub use open::encode_open;
pub use update::encode_update;

use crate::message::message_type;
use crate::{HEADER_LEN, MAX_MESSAGE, Notification, RefreshKind, RouteRefresh};

/// Appends a KEEPALIVE.
pub fn encode_keepalive(out: &mut Vec<u8>) {
    let start = begin_message(message_type::KEEPALIVE, out);
    end_message(start, out);
}

/// Appends a NOTIFICATION; data is cut where the message would exceed 4096 octets, which every peer accepts.
pub fn encode_notification(notification: &Notification, out: &mut Vec<u8>) {
    let start = begin_message(message_type::NOTIFICATION, out);
    out.extend_from_slice(&[notification.code, notification.subcode]);
    let room = MAX_MESSAGE - HEADER_LEN - 2;
    let data = notification.data.get(..room).unwrap_or(&notification.data);
    out.extend_from_slice(data);
    end_message(start, out);
}

/// Appends a ROUTE-REFRESH.
pub fn encode_route_refresh(refresh: &RouteRefresh, out: &mut Vec<u8>) {
    let start = begin_message(message_type::ROUTE_REFRESH, out);
    let subtype = match refresh.kind {
        RefreshKind::Request => 0,
        RefreshKind::Begin => 1,
        RefreshKind::End => 2,
        RefreshKind::Other(subtype) => subtype,
    };
    out.extend_from_slice(&refresh.family.afi.to_be_bytes());
    out.extend_from_slice(&[subtype, refresh.family.safi]);
    end_message(start, out);
}

/// Appends a header whose length is still open (RFC 4271 section 4.1) and returns where the message begins.
pub(crate) fn begin_message(kind: u8, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0xff; 16]);
    out.extend_from_slice(&[0, 0, kind]);
    start
}

/// Sets the length of the message that begins at `start`, which reaches to the end of `out`.
pub(crate) fn end_message(start: usize, out: &mut [u8]) {
    let len = out.len().saturating_sub(start);
    patch_u16(out, start + 16, len);
}

/// Appends a 2-octet length that is still open and returns its place for [`end_length`].
pub(crate) fn begin_length(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0, 0]);
    at
}

/// Sets the length field at `at` to what follows it to the end of `out`.
pub(crate) fn end_length(at: usize, out: &mut [u8]) {
    let len = out.len().saturating_sub(at + 2);
    patch_u16(out, at, len);
}

/// A length above 65535 is written as 65535. It stands only in a message that is itself above that and thus above
/// every limit; whoever may get there takes the message back.
fn patch_u16(out: &mut [u8], at: usize, value: usize) {
    let value = u16::try_from(value).unwrap_or(u16::MAX);
    if let Some(field) = out.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
