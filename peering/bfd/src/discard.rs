//! Why a received packet was not used.

use thiserror::Error;

/// The reason a received packet was dropped: one variant for each discard rule of RFC 5880 §6.8.6 (with the
/// authentication rules of §6.7) and of RFC 5881 §5, in the order in which the rules are applied.
///
/// A discarded packet changes nothing in the session; the one exception is [`Discard::LocalAdminDown`], which the
/// RFC places after the variables describing the remote system have been updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
#[repr(u8)]
pub enum Discard {
    /// The payload cannot hold the 24 octets of the mandatory section.
    #[error("payload shorter than the mandatory section")]
    Truncated,
    /// The version is not 1.
    #[error("version is not 1")]
    Version,
    /// Length is below 24, or below 26 with the A bit set.
    #[error("length field below the minimum")]
    LengthTooSmall,
    /// Length is greater than the payload that carried the packet.
    #[error("length field exceeds the payload")]
    LengthExceedsPayload,
    /// Detect Mult is zero.
    #[error("detect multiplier is zero")]
    ZeroDetectMult,
    /// The Multipoint (M) bit is set.
    #[error("multipoint bit is set")]
    Multipoint,
    /// My Discriminator is zero.
    #[error("my discriminator is zero")]
    ZeroMyDiscriminator,
    /// Your Discriminator is not zero and names no session here (or not this session).
    #[error("your discriminator is unknown")]
    UnknownYourDiscriminator,
    /// Your Discriminator is zero although the state is neither Down nor AdminDown.
    #[error("your discriminator is zero in a state that requires it")]
    ZeroYourDiscriminator,
    /// Your Discriminator is zero and no session is configured for the source.
    #[error("no session for this source")]
    NoSession,
    /// The TTL or hop limit is not 255 (RFC 5881 §5), or is below the floor of a multihop session.
    #[error("TTL or hop limit below the required value")]
    Ttl,
    /// The A bit is set but the session uses no authentication.
    #[error("authenticated packet on a session without authentication")]
    AuthUnexpected,
    /// The A bit is clear but the session uses authentication.
    #[error("packet without authentication on an authenticated session")]
    AuthMissing,
    /// The authentication type is not the one in use (RFC 5880 §6.7.2 to §6.7.4).
    #[error("wrong authentication type")]
    AuthType,
    /// No receive key has this key ID.
    #[error("unknown authentication key ID")]
    AuthKeyId,
    /// The Auth Len field does not fit the authentication type or the packet.
    #[error("wrong authentication length")]
    AuthLength,
    /// The sequence number lies outside the window: a replay, or a peer that restarted a moment ago.
    #[error("authentication sequence number outside the window")]
    AuthSequence,
    /// The password or the digest is wrong.
    #[error("authentication failed")]
    AuthDigest,
    /// The local session is AdminDown (RFC 5880 §6.8.6).
    #[error("session is administratively down")]
    LocalAdminDown,
}

impl Discard {
    /// Every reason, in the order of the rules.
    pub const ALL: [Self; 19] = [
        Self::Truncated,
        Self::Version,
        Self::LengthTooSmall,
        Self::LengthExceedsPayload,
        Self::ZeroDetectMult,
        Self::Multipoint,
        Self::ZeroMyDiscriminator,
        Self::UnknownYourDiscriminator,
        Self::ZeroYourDiscriminator,
        Self::NoSession,
        Self::Ttl,
        Self::AuthUnexpected,
        Self::AuthMissing,
        Self::AuthType,
        Self::AuthKeyId,
        Self::AuthLength,
        Self::AuthSequence,
        Self::AuthDigest,
        Self::LocalAdminDown,
    ];

    /// A short `snake_case` name, for a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Version => "version",
            Self::LengthTooSmall => "length_too_small",
            Self::LengthExceedsPayload => "length_exceeds_payload",
            Self::ZeroDetectMult => "zero_detect_mult",
            Self::Multipoint => "multipoint",
            Self::ZeroMyDiscriminator => "zero_my_discriminator",
            Self::UnknownYourDiscriminator => "unknown_your_discriminator",
            Self::ZeroYourDiscriminator => "zero_your_discriminator",
            Self::NoSession => "no_session",
            Self::Ttl => "ttl",
            Self::AuthUnexpected => "auth_unexpected",
            Self::AuthMissing => "auth_missing",
            Self::AuthType => "auth_type",
            Self::AuthKeyId => "auth_key_id",
            Self::AuthLength => "auth_length",
            Self::AuthSequence => "auth_sequence",
            Self::AuthDigest => "auth_digest",
            Self::LocalAdminDown => "local_admin_down",
        }
    }
}
