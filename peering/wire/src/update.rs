use crate::{AfiSafi, NextHop, PathAttributes, Prefix};

/// Largest message without RFC 8654, in octets.
pub const MAX_MESSAGE: usize = 4096;
/// Largest message with RFC 8654, in octets.
pub const MAX_EXTENDED_MESSAGE: usize = 65535;

/// A decoded UPDATE. All NLRI fields are merged per direction: classic and MP alike.
///
/// A prefix in both lists counts as announced only (RFC 4271 section 4.3): apply `withdrawn` first.
//
// GAP(RFC 8950 4): where one message announces IPv4 prefixes in the classic field and in MP_REACH_NLRI, with two
// next hops, the list does not say which is which; the classic ones come first. No known speaker sends that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Prefixes withdrawn, from the classic field and MP_UNREACH_NLRI; with [`Disposition::TreatAsWithdraw`] also
    /// those that were announced.
    pub withdrawn: Vec<Prefix>,
    /// Prefixes announced with the classic NLRI field (IPv4; their next hop is `attributes.next_hop` unless
    /// MP_REACH is present too, then `classic_next_hop`) and MP_REACH_NLRI.
    pub announced: Vec<Prefix>,
    /// The path attributes; none with [`Disposition::TreatAsWithdraw`].
    pub attributes: PathAttributes,
    /// The NEXT_HOP attribute where the UPDATE carried both it and MP_REACH_NLRI.
    pub classic_next_hop: Option<NextHop>,
    /// Set when this is an End-of-RIB marker (RFC 4724 section 2) of the family.
    pub end_of_rib: Option<AfiSafi>,
    /// What was wrong with it, in the order found (RFC 7606). Empty for a clean message.
    pub defects: Vec<Defect>,
}

/// Something wrong in an UPDATE that did not reset the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// The attribute's type code; 0 where the defect is not of one attribute.
    pub attribute: u8,
    /// What RFC 7606 makes of it.
    pub disposition: Disposition,
    /// What was wrong, for a log line.
    pub what: &'static str,
}

/// The RFC 7606 section 2 error handling approaches below a session reset, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// The attribute was dropped, the rest stands.
    AttributeDiscard,
    /// The announced prefixes count as withdrawn.
    TreatAsWithdraw,
}

/// What encoding depends on: the negotiated session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeContext {
    /// Both sides have the 4-octet AS capability. Otherwise AS_PATH is written with 2-octet numbers, AS_TRANS and
    /// AS4_PATH (RFC 6793 section 4.2.2).
    pub four_octet_as: bool,
    /// Largest message allowed, [`MAX_MESSAGE`] or [`MAX_EXTENDED_MESSAGE`].
    pub max_message: usize,
}
