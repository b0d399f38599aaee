use crate::{ConnectionId, Negotiated};
use std::net::SocketAddr;
use wire::{Family, Notification};

/// What happened, as far as a peer is concerned (the events of RFC 4271 section 8.1).
#[derive(Debug)]
pub enum Input<'a> {
    /// Begin to peer (events 1, 3 to 7).
    Start,
    /// Cease to peer until the next `Start` (events 2 and 8).
    Stop(StopReason),
    /// The connection asked for by [`Event::Dial`] is up (event 16).
    Connected {
        /// A number that the driver has not used for this peer before.
        connection: ConnectionId,
        /// Our address and port.
        local: SocketAddr,
        /// The peer's address and port.
        remote: SocketAddr,
    },
    /// The connection asked for by [`Event::Dial`] could not be made (event 18).
    ConnectFailed,
    /// The peer has connected to us (event 17).
    Accepted {
        /// A number that the driver has not used for this peer before.
        connection: ConnectionId,
        /// Our address and port.
        local: SocketAddr,
        /// The peer's address and port.
        remote: SocketAddr,
    },
    /// Octets from the peer.
    Received {
        /// The connection they came on.
        connection: ConnectionId,
        /// The octets; messages may begin and end anywhere.
        data: &'a [u8],
    },
    /// Whether BFD allows the session to be established: it is up, or it is switched off at either end (events 30, 32
    /// and 33 of draft-ietf-idr-bgp-bfd-strict-mode). Matters only with [`crate::PeerConfig::bfd_strict`], where it is
    /// false to begin with; a failure of BFD is told with [`StopReason::BfdDown`].
    Bfd {
        /// Whether it does.
        ready: bool,
    },
    /// The connection is gone (event 18): closed by the peer, reset, or failed.
    Closed {
        /// The connection.
        connection: ConnectionId,
        /// What the operating system said.
        reason: String,
    },
}

/// Why we end a session on purpose: decides the NOTIFICATION. Where the N bit was agreed on, all but `Reset` are Hard
/// Resets, so that the peer does not keep what is not meant to be kept (RFC 8538 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Cease/Administrative Shutdown with a text for the switch's operator (RFC 9003).
    Shutdown(String),
    /// Cease/Administrative Reset with a text.
    Reset(String),
    /// Cease/Peer De-configured.
    Deconfigured,
    /// Cease/Other Configuration Change.
    ConfigChange,
    /// Cease/BFD Down (RFC 9384).
    BfdDown,
    /// We are about to restart. With graceful restart agreed on, no NOTIFICATION at all: the TCP connection is closed,
    /// which every peer takes for the begin of a restart (RFC 4724 section 4.2), with and without RFC 8538. Else as
    /// `Shutdown` with this text.
    Restart(String),
}

/// What the driver must do, or may want to know.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Open a TCP connection to the peer; answer with [`Input::Connected`] or [`Input::ConnectFailed`].
    Dial,
    /// Give up the connection attempt that the last `Dial` began; no answer is expected.
    CancelDial,
    /// Write `last` after what was taken by [`crate::Peer::poll_transmit`], then close. The peer forgets the
    /// connection: no `Closed` is expected.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// A NOTIFICATION, or nothing.
        last: Vec<u8>,
    },
    /// The session is up.
    Established {
        /// Its connection.
        connection: ConnectionId,
        /// What was agreed.
        negotiated: Box<Negotiated>,
    },
    /// The session was up and is no more.
    Down(DownReason),
    /// An attempt ended before the session was up.
    OpenFailed(DownReason),
    /// The peer asked for everything again (RFC 2918); it is being sent.
    RefreshRequested(Family),
    /// The peer has sent its End-of-RIB for the family.
    EndOfRib(Family),
    /// An UPDATE had defects that did not reset the session (RFC 7606): how many, and the first one's text.
    MalformedUpdate(&'static str),
    /// The peer has announced more prefixes than are remembered.
    PrefixLimit,
}

/// Why a session or an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownReason {
    /// We found a fault and said so.
    #[error("sent {0}")]
    Sent(Notification),
    /// The peer said so.
    #[error("received {0}")]
    Received(Notification),
    /// The TCP connection ended.
    #[error("connection lost: {0}")]
    ConnectionLost(String),
    /// We were told to stop.
    #[error("stopped: {0:?}")]
    Stopped(StopReason),
    /// The peer opened a new connection while the old session was up (RFC 4724 section 4.2).
    #[error("the peer has restarted")]
    PeerRestarted,
}
