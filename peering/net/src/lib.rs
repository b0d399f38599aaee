//! The sockets of a BGP speaker, and what the kernel knows of the way to a peer.
//!
//! Three parts that share nothing:
//!
//! * **TCP for BGP**: [`connect`], [`Listener`] and [`adopt`] hand out non-blocking `mio` streams that already
//!   carry everything a session asks for: TCP MD5 (RFC 2385), GTSM (RFC 5082), source address, device, DSCP.
//!   An option that cannot be set is an error and never a weaker connection.
//! * **[`netlink`]**: which source address and which interface the kernel takes towards a peer, and a stream of
//!   the changes.
//! * **[`bfd`](mod@crate::bfd)**: a real-time thread that runs BFD sessions.
//!
//! ```text
//!   TcpOptions ──> connect ──> mio stream ──writable──> finish_connect ──> session
//!   Listener ──accept──> mio stream ──adopt(TcpOptions)──────────────────> session
//!   PathWatch ──(peer, PathToPeer)──> fabric (next hop, source, link state)
//! ```
//!
//! This crate holds the only `unsafe` of the house, in the private modules `sys` (one call of `setsockopt`) and
//! `bfd::sys`.

pub mod bfd;
mod error;
mod listener;
pub mod netlink;
mod options;
mod sys;
mod tcp;

pub use error::{Operation, SocketError};
pub use listener::Listener;
pub use options::{MD5_KEY_MAX, Md5Key, Md5KeyError, TcpOptions, Ttl};
pub use tcp::{adopt, connect, finish_connect, set_user_timeout};
