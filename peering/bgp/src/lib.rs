//! One BGP-4 peer: its state machine, what was negotiated, and what it is told (the Adj-RIB-Out).
//!
//! The crate is sans-IO. [`Peer`] is given inputs and the time, and is asked what to do next:
//!
//! - [`Peer::handle`] takes what happened ([`Input`]); [`Peer::handle_timeout`] says that time has passed;
//! - [`Peer::poll_timeout`] tells when to call `handle_timeout` next;
//! - [`Peer::poll_event`] tells what the driver must do or may want to know ([`Event`]);
//! - [`Peer::poll_transmit`] fills a buffer for a connection that can be written to.
//!
//! There is one state machine per *peer*, not per connection: while both sides dial, a peer has two connections and
//! decides between them by RFC 4271 section 6.8.
//!
//! Nothing a peer announces is imported (RFC 8212): it is validated, counted and capped ([`AdjRibIn`]).

mod adj_in;
mod adj_out;
mod bfd;
mod config;
mod connection;
mod event;
mod negotiate;
mod peer;
mod receive;

pub use adj_in::AdjRibIn;
pub use adj_out::{AdjRibOut, ClassId, DefineError, ExportAttributes, Stage};
pub use config::{GracefulRestartConfig, PeerConfig, RestartState, RetryPolicy};
pub use connection::{ConnectionId, Direction};
pub use event::{DownReason, Event, Input, StopReason};
pub use negotiate::Negotiated;
pub use peer::{Counters, Peer, State};
