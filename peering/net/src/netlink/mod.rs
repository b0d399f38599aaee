//! What the kernel knows of the way to a peer, and when it changes.
//!
//! [`path_to`] asks once, like `ip route get`. [`PathWatch`] asks again whenever links, addresses, routes or
//! rules change. [`routes`] keeps routes of our own. Everything runs in the network namespace of the thread that
//! opens the sockets.

mod events;
mod query;
pub mod routes;
mod watch;

use std::io;
use std::net::IpAddr;

use thiserror::Error;

pub use query::Netlink;
pub use watch::{Pacing, PathWatch};

/// The way to a peer, as the kernel would take it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathToPeer {
    /// The source address the kernel would use; where the target names one: that one, once it is on this host.
    pub source: Option<IpAddr>,
    /// The interface the first packet would leave by; `None` when there is no route.
    pub interface: Option<String>,
    /// Index of that interface; 0 when there is no route.
    pub if_index: u32,
    /// The peer is reached without a gateway.
    pub on_link: bool,
    /// Addresses of global scope on that interface, IPv4 first, each family in the order of the kernel. Left out
    /// is what must not become a next hop: deprecated, tentative and failed addresses, and temporary ones
    /// (RFC 8981), which go away by design.
    pub if_addresses: Vec<IpAddr>,
    /// The interface is administratively up and its lower layer (the cable) is too.
    pub up: bool,
}

impl PathToPeer {
    /// Whether the kernel has any route to the peer.
    pub fn has_route(&self) -> bool {
        self.if_index != 0
    }
}

/// Whom to look up, and over which interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The peer.
    pub peer: IpAddr,
    /// Look only at routes over this interface. A link-local peer needs it.
    pub interface: Option<String>,
    /// Use this source address. While it is not an address of this host, [`PathToPeer::source`] is `None`.
    pub source: Option<IpAddr>,
}

impl From<IpAddr> for Target {
    fn from(peer: IpAddr) -> Self {
        Self {
            peer,
            interface: None,
            source: None,
        }
    }
}

/// An address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix, in bits.
    pub prefix_length: u8,
    /// Name of the interface it is on.
    pub interface: String,
    /// Index of that interface.
    pub if_index: u32,
    /// How far it is valid.
    pub scope: Scope,
    /// Neither tentative, nor failed, nor deprecated, nor temporary.
    pub lasting: bool,
}

/// How far an address is valid (`ip address`: `scope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// On the link (IPv6 link-local, 169.254/16 where set up so).
    Link,
    /// On this host.
    Host,
    /// Another value of `rtm_scope`.
    Other(u8),
}

/// Why the kernel could not be asked.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// No netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Open(#[source] io::Error),
    /// The route lookup failed for another reason than the lack of a route.
    #[error("cannot look up the route to {peer}: {cause}")]
    Route {
        /// Whom the route leads to.
        peer: IpAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The state of an interface could not be read.
    #[error("cannot read the state of interface {interface}: {cause}")]
    Link {
        /// Name, or index in decimal.
        interface: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The addresses could not be read.
    #[error("cannot read the addresses of this host: {0}")]
    Addresses(#[source] io::Error),
    /// The stream of changes broke.
    #[error("cannot read the changes of links, addresses and routes: {0}")]
    Events(#[source] io::Error),
}

/// Asks the kernel once for the way to `target`, like `ip route get`; needs a tokio runtime.
///
/// No route is not an error but a [`PathToPeer`] without interface. Of a multipath route the kernel names one
/// path, the same one for the same addresses as long as the route stays.
///
/// # Errors
///
/// The kernel could not be asked.
pub async fn path_to(target: impl Into<Target>) -> Result<PathToPeer, NetlinkError> {
    Netlink::open()?.path_to(&target.into()).await
}

/// All addresses of this host, in the order of the kernel; needs a tokio runtime.
///
/// # Errors
///
/// The kernel could not be asked.
pub async fn local_addresses() -> Result<Vec<LocalAddress>, NetlinkError> {
    Netlink::open()?.local_addresses().await
}
