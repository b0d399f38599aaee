use crate::AfiSafi;

/// A capability of an OPEN (RFC 5492).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Code 1, RFC 4760: one address family.
    Multiprotocol(AfiSafi),
    /// Code 2, RFC 2918.
    RouteRefresh,
    /// Code 5, RFC 8950: for each pair, NLRI of the family may carry a next hop of that AFI.
    ExtendedNextHop(Vec<(AfiSafi, u16)>),
    /// Code 6, RFC 8654.
    ExtendedMessage,
    /// Code 64, RFC 4724.
    GracefulRestart(GracefulRestart),
    /// Code 65, RFC 6793: the real AS number of the sender.
    FourOctetAs(u32),
    /// Code 70, RFC 7313.
    EnhancedRouteRefresh,
    /// Code 71, RFC 9494.
    LongLivedGracefulRestart(Vec<LongLivedFamily>),
    /// Code 73 (draft-walton-bgp-hostname-capability).
    Fqdn {
        /// Host name, at most 255 octets of UTF-8.
        host: String,
        /// Domain name, at most 255 octets of UTF-8.
        domain: String,
    },
    /// Code 74 (draft-ietf-idr-bgp-bfd-strict-mode).
    BfdStrictMode,
    /// Anything else, kept as it came.
    Unknown {
        /// Capability code.
        code: u8,
        /// Capability value, at most 255 octets.
        value: Vec<u8>,
    },
}

/// The graceful restart capability (RFC 4724 section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GracefulRestart {
    /// R bit: the sender has restarted.
    pub restarting: bool,
    /// N bit (RFC 8538): NOTIFICATIONs are followed by graceful restart.
    pub notification: bool,
    /// Restart time in seconds, 0 to 4095.
    pub restart_time: u16,
    /// The families with preserved forwarding.
    pub families: Vec<GracefulRestartFamily>,
}

/// One family of [`GracefulRestart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestartFamily {
    /// The family.
    pub family: AfiSafi,
    /// F bit: forwarding state was preserved over the restart.
    pub forwarding: bool,
}

/// One family of [`Capability::LongLivedGracefulRestart`] (RFC 9494 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongLivedFamily {
    /// The family.
    pub family: AfiSafi,
    /// F bit.
    pub forwarding: bool,
    /// Long-lived stale time in seconds, 0 to 2^24 - 1.
    pub stale_time: u32,
}
