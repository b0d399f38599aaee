//! Capability codes (RFC 5492; the documents are named at [`crate::Capability`]).

pub(crate) const MULTIPROTOCOL: u8 = 1;
pub(crate) const ROUTE_REFRESH: u8 = 2;
pub(crate) const EXTENDED_NEXT_HOP: u8 = 5;
pub(crate) const EXTENDED_MESSAGE: u8 = 6;
pub(crate) const GRACEFUL_RESTART: u8 = 64;
pub(crate) const FOUR_OCTET_AS: u8 = 65;
pub(crate) const ENHANCED_ROUTE_REFRESH: u8 = 70;
pub(crate) const LONG_LIVED_GRACEFUL_RESTART: u8 = 71;
pub(crate) const FQDN: u8 = 73;
pub(crate) const BFD_STRICT_MODE: u8 = 74;
