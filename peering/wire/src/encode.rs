use crate::{EncodeContext, Notification, Open, RouteRefresh, Update};

/// Appends an OPEN, with extended optional parameters (RFC 9072) where the capabilities exceed 255 octets.
pub fn encode_open(open: &Open, out: &mut Vec<u8>) {
    let _ = (open, out);
    todo!()
}

/// Appends a KEEPALIVE.
pub fn encode_keepalive(out: &mut Vec<u8>) {
    let _ = out;
    todo!()
}

/// Appends a NOTIFICATION; data beyond 4096 octets is cut.
pub fn encode_notification(notification: &Notification, out: &mut Vec<u8>) {
    let _ = (notification, out);
    todo!()
}

/// Appends a ROUTE-REFRESH.
pub fn encode_route_refresh(refresh: &RouteRefresh, out: &mut Vec<u8>) {
    let _ = (refresh, out);
    todo!()
}

/// Appends one UPDATE that holds all of `update` (for tests and tools; announcements go through
/// [`crate::UpdatePacker`]). Returns `false`, and appends nothing, where it does not fit one message.
pub fn encode_update(update: &Update, context: &EncodeContext, out: &mut Vec<u8>) -> bool {
    let _ = (update, context, out);
    todo!()
}
