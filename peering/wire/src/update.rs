use crate::{AfiSafi, Family, NextHop, PathAttributes, Prefix};

/// Largest message without RFC 8654, in octets.
pub const MAX_MESSAGE: usize = 4096;
/// Largest message with RFC 8654, in octets.
pub const MAX_EXTENDED_MESSAGE: usize = 65535;

/// A decoded UPDATE. All NLRI fields are merged per direction: classic and MP alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Prefixes withdrawn, from the classic field and MP_UNREACH_NLRI; with [`Disposition::TreatAsWithdraw`] also
    /// those that were announced.
    pub withdrawn: Vec<Prefix>,
    /// Prefixes announced with the classic NLRI field (IPv4; their next hop is `attributes.next_hop` unless
    /// MP_REACH is present too, then `classic_next_hop`) and MP_REACH_NLRI.
    pub announced: Vec<Prefix>,
    /// The path attributes.
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

/// Path attributes encoded once for one family and session, ready to be followed by NLRI again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedAttributes {
    pub(crate) family: Family,
    /// The next hop goes to MP_REACH_NLRI; `None` means classic NLRI with NEXT_HOP inside `rest`.
    pub(crate) mp_next_hop: Option<NextHop>,
    /// All attributes but MP_REACH_NLRI, encoded.
    pub(crate) rest: Vec<u8>,
}

/// Packs prefixes into UPDATE messages, either announcing with one [`EncodedAttributes`] or withdrawing.
#[derive(Debug)]
pub struct UpdatePacker<'a> {
    pub(crate) attributes: Option<&'a EncodedAttributes>,
    pub(crate) family: Family,
    pub(crate) limit: usize,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) start: usize,
    pub(crate) count: usize,
}

impl EncodedAttributes {
    /// Encodes attributes for announcing prefixes of `family`.
    ///
    /// IPv4 with an IPv4 next hop uses the classic NLRI field and NEXT_HOP; everything else MP_REACH_NLRI, placed
    /// first (RFC 7606 section 5.1). Attributes follow in ascending order of type.
    pub fn new(family: Family, attributes: &PathAttributes, context: &EncodeContext) -> Self {
        let _ = (family, attributes, context);
        todo!()
    }

    /// The family of the prefixes that may follow.
    pub fn family(&self) -> Family {
        self.family
    }
}

impl<'a> UpdatePacker<'a> {
    /// Starts an announcing UPDATE at the end of `out`.
    pub fn announce(
        attributes: &'a EncodedAttributes,
        context: &EncodeContext,
        out: &'a mut Vec<u8>,
    ) -> Self {
        let _ = (attributes, context, out);
        todo!()
    }

    /// Starts a withdrawing UPDATE at the end of `out`: the classic field for IPv4, MP_UNREACH_NLRI for IPv6.
    pub fn withdraw(family: Family, context: &EncodeContext, out: &'a mut Vec<u8>) -> Self {
        let _ = (family, context, out);
        todo!()
    }

    /// Adds a prefix of the packer's family. `false` means the message is full (or the prefix is of the other
    /// family) and the prefix was not added.
    pub fn push(&mut self, prefix: &Prefix) -> bool {
        let _ = prefix;
        todo!()
    }

    /// Completes the message and returns how many prefixes it holds. A message without prefixes is taken back
    /// from `out`.
    pub fn finish(self) -> usize {
        todo!()
    }
}

/// Appends the End-of-RIB marker of a family (RFC 4724 section 2).
pub fn encode_end_of_rib(family: Family, out: &mut Vec<u8>) {
    let _ = (family, out);
    todo!()
}
