use crate::{FamilySet, Message, Notification};

/// Length of the message header in octets (RFC 4271 section 4.1).
pub const HEADER_LEN: usize = 19;

/// What decoding depends on: the negotiated session. Before the OPEN exchange is over, use the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeContext {
    /// Both sides have the 4-octet AS capability (RFC 6793).
    pub four_octet_as: bool,
    /// The families negotiated; MP attributes of other families are skipped.
    pub families: FamilySet,
    /// The families whose NLRI may carry an IPv6 next hop towards us (RFC 8950).
    pub extended_next_hop: FamilySet,
    /// The peer is in another AS.
    pub ebgp: bool,
    /// Largest message allowed from the peer.
    pub max_message: usize,
}

/// Length of the message at the start of `buf`, once its header is there; `None` while more octets are needed.
///
/// # Errors
/// The Message Header Error to send (RFC 4271 section 6.1): marker not all ones, unknown type, or a length that is
/// not allowed for the type (at most `max_message`; OPEN and KEEPALIVE never above 4096, RFC 8654 section 4).
pub fn frame_len(buf: &[u8], max_message: usize) -> Result<Option<usize>, Notification> {
    let _ = (buf, max_message);
    todo!()
}

/// Decodes one whole message, header included, as framed by [`frame_len`].
///
/// # Errors
/// The NOTIFICATION that RFC 4271 section 6, RFC 7313 or RFC 7606 names for a defect that must reset the session.
/// Lesser defects of an UPDATE are in [`crate::Update::defects`].
pub fn decode(frame: &[u8], context: &DecodeContext) -> Result<Message, Notification> {
    let _ = (frame, context);
    todo!()
}
