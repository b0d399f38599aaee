use crate::Negotiated;
use std::net::SocketAddr;
use std::time::Instant;

/// A connection's number, given by the driver and unique per peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// We did.
    Dialed,
    /// The peer did.
    Accepted,
}

/// How far the message exchange on a connection has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Connected, our OPEN waits for the DelayOpen timer or the peer's OPEN.
    DelayOpen,
    /// Our OPEN is sent.
    OpenSent,
    /// The peer's OPEN was accepted, but the KEEPALIVE that says so is withheld until BFD is up. Towards RFC 4271 a
    /// part of OpenSent (draft-ietf-idr-bgp-bfd-strict-mode section 8.1: OpenSentBfdUpPending, and with `confirmed`
    /// OpenSentConfirmedBfdUpPending).
    AwaitsBfd {
        negotiated: Box<Negotiated>,
        /// The peer's KEEPALIVE has come already.
        confirmed: bool,
    },
    /// The peer's OPEN was accepted; its KEEPALIVE is awaited.
    OpenConfirm(Box<Negotiated>),
    /// The session is up.
    Established(Box<Negotiated>),
}

/// One TCP connection to the peer.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) direction: Direction,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) phase: Phase,
    /// Received octets that are not a whole message yet; less than one message between calls.
    pub(crate) received: Vec<u8>,
    /// Whole messages other than UPDATEs that wait for the driver; they go first.
    pub(crate) control: Vec<u8>,
    pub(crate) delay_open_at: Option<Instant>,
    pub(crate) hold_at: Option<Instant>,
    pub(crate) keepalive_at: Option<Instant>,
    pub(crate) send_hold_at: Option<Instant>,
    /// BfdHoldTimer: bounds [`Phase::AwaitsBfd`] where there is no hold timer.
    pub(crate) bfd_hold_at: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, direction: Direction, local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            id,
            direction,
            local,
            remote,
            phase: Phase::DelayOpen,
            received: Vec::new(),
            control: Vec::new(),
            delay_open_at: None,
            hold_at: None,
            keepalive_at: None,
            send_hold_at: None,
            bfd_hold_at: None,
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        [
            self.delay_open_at,
            self.hold_at,
            self.keepalive_at,
            self.send_hold_at,
            self.bfd_hold_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(crate) fn negotiated(&self) -> Option<&Negotiated> {
        match &self.phase {
            Phase::AwaitsBfd { negotiated, .. }
            | Phase::OpenConfirm(negotiated)
            | Phase::Established(negotiated) => Some(negotiated),
            Phase::DelayOpen | Phase::OpenSent => None,
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established(_))
    }
}
