//! BGP-4 messages: encode, decode, and the RFC 7606 classification of what arrives broken.
//!
//! This crate has no I/O and no clock. It knows IPv4 and IPv6 unicast; anything else a peer sends is skipped by
//! its length and kept raw where it must be kept, never parsed.
//!
//! - [`Prefix`], [`PrefixMap`], [`Family`]: what is announced.
//! - [`Message`] with [`Open`], [`Update`], [`Notification`], [`RouteRefresh`]: what is said.
//! - [`decode()`] turns one framed message into a [`Message`]; a defect that resets the session is the
//!   [`Notification`] to send; a lesser defect of an UPDATE is in [`Update::defects`].
//! - [`UpdatePacker`] writes UPDATEs: attributes once, NLRI until the message is full.

mod attribute;
mod attribute_code;
mod capability;
mod capability_code;
mod community;
mod decode;
mod encode;
mod family;
mod message;
mod notification;
mod packer;
mod prefix;
mod prefix_map;
mod reader;
#[cfg(test)]
mod test_support;
mod update;

pub use attribute::{Aggregator, AsPath, AsSegment, NextHop, Origin, PathAttributes, RawAttribute};
pub use capability::{Capability, GracefulRestart, GracefulRestartFamily, LongLivedFamily};
pub use community::{Community, CommunityError, LargeCommunity};
pub use decode::{DecodeContext, HEADER_LEN, decode, frame_len};
pub use encode::{encode_keepalive, encode_notification, encode_open, encode_route_refresh, encode_update};
pub use family::{AfiSafi, Family, FamilySet};
pub use message::{AS_TRANS, Message, Open, RefreshKind, RouteRefresh};
pub use notification::{Notification, code, subcode};
pub use packer::{EncodedAttributes, UpdatePacker, encode_end_of_rib};
pub use prefix::{Prefix, PrefixError};
pub use prefix_map::PrefixMap;
pub use update::{Defect, Disposition, EncodeContext, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Update};
