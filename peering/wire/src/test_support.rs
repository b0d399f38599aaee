//! Building blocks for messages made by hand.

use crate::{DecodeContext, FamilySet, MAX_MESSAGE};

/// An eBGP session with 4-octet AS numbers and both families.
pub(crate) const EBGP: DecodeContext = DecodeContext {
    four_octet_as: true,
    families: FamilySet::ALL,
    extended_next_hop: FamilySet::EMPTY,
    ebgp: true,
    max_message: MAX_MESSAGE,
};

/// The same as [`EBGP`], with a peer in the same AS.
pub(crate) const IBGP: DecodeContext = DecodeContext { ebgp: false, ..EBGP };

/// A message of this type with this body.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff; 16];
    out.extend(u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    out.push(kind);
    out.extend(body);
    out
}

/// An UPDATE of these fields.
pub(crate) fn update(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut body = Vec::new();
    body.extend(u16::try_from(withdrawn.len()).unwrap().to_be_bytes());
    body.extend(withdrawn);
    body.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
    body.extend(attributes);
    body.extend(nlri);
    message(2, &body)
}

/// An OPEN from AS 65001 with these optional parameters, length octet included.
pub(crate) fn open(parameters: &[u8]) -> Vec<u8> {
    let mut body = vec![4, 0xfd, 0xe9, 0, 90, 192, 0, 2, 1];
    body.extend(parameters);
    message(1, &body)
}
