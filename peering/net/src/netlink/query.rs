//! Questions to the kernel over one netlink connection.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::Handle;
use tokio::task::AbortHandle;

use super::{LocalAddress, NetlinkError, PathToPeer, Scope, Target};

/// An open connection to the kernel. Its task ends when it is dropped.
#[derive(Debug)]
pub struct Netlink {
    handle: Handle,
    connection: AbortHandle,
}

impl Netlink {
    /// Opens a connection in the network namespace of this thread; needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The host is short of descriptors or memory.
    pub fn open() -> Result<Self, NetlinkError> {
        // Strict, or the kernel ignores the interface of an address dump and sends every address of the host.
        let (connection, handle, _) =
            rtnetlink::new_connection_with_strict_check().map_err(NetlinkError::Open)?;
        let connection = tokio::spawn(connection).abort_handle();
        Ok(Self { handle, connection })
    }

    /// The way to one target, see [`path_to`](super::path_to).
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub async fn path_to(&self, target: &Target) -> Result<PathToPeer, NetlinkError> {
        self.path_over(target, &mut HashMap::new()).await
    }

    /// The ways to several targets, in their order. Reads every interface involved once.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub async fn paths_to(&self, targets: &[Target]) -> Result<Vec<PathToPeer>, NetlinkError> {
        let mut interfaces = HashMap::new();
        let mut paths = Vec::with_capacity(targets.len());
        for target in targets {
            paths.push(self.path_over(target, &mut interfaces).await?);
        }
        Ok(paths)
    }

    /// All addresses of this host, see [`local_addresses`](super::local_addresses).
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub async fn local_addresses(&self) -> Result<Vec<LocalAddress>, NetlinkError> {
        let links: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .set_filter_mask(AddressFamily::Unspec, vec![LinkExtentMask::SkipStats])
            .execute()
            .try_collect()
            .await
            .map_err(|error| NetlinkError::Addresses(into_io(error)))?;
        let names: HashMap<u32, String> = links
            .iter()
            .filter_map(|link| Some((link.header.index, name_of(link)?.to_owned())))
            .collect();

        let addresses = self.addresses(0).await?;
        // An interface that came after the first question has no name yet; its addresses come with it next time.
        let local = |message: &AddressMessage| {
            Some(LocalAddress {
                address: address_of(message)?,
                prefix_length: message.header.prefix_len,
                interface: names.get(&message.header.index)?.clone(),
                if_index: message.header.index,
                scope: scope_of(message),
                lasting: is_lasting(message),
            })
        };
        Ok(addresses.iter().filter_map(local).collect())
    }

    async fn path_over(
        &self,
        target: &Target,
        interfaces: &mut HashMap<u32, Option<Interface>>,
    ) -> Result<PathToPeer, NetlinkError> {
        let over = match &target.interface {
            None => None,
            Some(name) => match self.index_of(name).await? {
                Some(index) => Some(index),
                None => return Ok(PathToPeer::default()),
            },
        };
        let Some(hop) = self.route(target.peer.to_canonical(), over).await? else {
            return Ok(PathToPeer::default());
        };

        let interface = match interfaces.get(&hop.interface) {
            Some(known) => known.clone(),
            None => {
                let interface = self.interface(hop.interface).await?;
                interfaces.insert(hop.interface, interface.clone());
                interface
            }
        };
        // The interface went away between two questions: so did the route.
        let Some(interface) = interface else {
            return Ok(PathToPeer::default());
        };

        Ok(PathToPeer {
            source: hop.source,
            interface: Some(interface.name),
            if_index: hop.interface,
            on_link: hop.on_link,
            if_addresses: interface.addresses,
            up: interface.up,
        })
    }

    /// `None` when the kernel has no route, or one that says "unreachable".
    async fn route(&self, peer: IpAddr, over: Option<u32>) -> Result<Option<Hop>, NetlinkError> {
        let mut question = RouteMessage::default();
        (
            question.header.address_family,
            question.header.destination_prefix_length,
        ) = match peer {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        question.attributes.push(RouteAttribute::Destination(peer.into()));
        question.attributes.extend(over.map(RouteAttribute::Oif));

        let answer: Result<Vec<RouteMessage>, _> =
            self.handle.route().get(question).execute().try_collect().await;
        match answer.map_err(into_io) {
            Ok(routes) => Ok(routes.first().and_then(Hop::of)),
            Err(cause) if is_no_route(&cause) => Ok(None),
            Err(cause) => Err(NetlinkError::Route { peer, cause }),
        }
    }

    /// `None` when there is no interface of that index (any more).
    async fn interface(&self, index: u32) -> Result<Option<Interface>, NetlinkError> {
        let question = self.handle.link().get().match_index(index);
        let Some(link) = self.link(question, || index.to_string()).await? else {
            return Ok(None);
        };
        let Some(name) = name_of(&link) else {
            return Ok(None);
        };

        let addresses = self.addresses(index).await?;
        let usable = |message: &&AddressMessage| scope_of(message) == Scope::Global && is_lasting(message);
        let mut addresses: Vec<IpAddr> = addresses.iter().filter(usable).filter_map(address_of).collect();
        addresses.sort_by_key(IpAddr::is_ipv6);

        let up = link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
        Ok(Some(Interface {
            name: name.to_owned(),
            up,
            addresses,
        }))
    }

    async fn index_of(&self, name: &str) -> Result<Option<u32>, NetlinkError> {
        let question = self.handle.link().get().match_name(name);
        let link = self.link(question, || name.to_owned()).await?;
        Ok(link.map(|link| link.header.index))
    }

    async fn link(
        &self,
        question: rtnetlink::LinkGetRequest,
        label: impl FnOnce() -> String,
    ) -> Result<Option<LinkMessage>, NetlinkError> {
        let question = question.set_filter_mask(AddressFamily::Unspec, vec![LinkExtentMask::SkipStats]);
        let answer: Result<Vec<LinkMessage>, _> = question.execute().try_collect().await;
        match answer.map_err(into_io) {
            Ok(links) => Ok(links.into_iter().next()),
            Err(cause) if cause.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(cause) => Err(NetlinkError::Link {
                interface: label(),
                cause,
            }),
        }
    }

    /// The addresses of one interface, or of all for index 0.
    async fn addresses(&self, index: u32) -> Result<Vec<AddressMessage>, NetlinkError> {
        let mut question = self.handle.address().get();
        question.message_mut().header.index = index;
        let answer: Result<Vec<AddressMessage>, _> = question.execute().try_collect().await;
        match answer.map_err(into_io) {
            Ok(addresses) => Ok(addresses),
            Err(cause) if cause.raw_os_error() == Some(libc::ENODEV) => Ok(Vec::new()),
            Err(cause) => Err(NetlinkError::Addresses(cause)),
        }
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

#[derive(Clone, Debug)]
struct Interface {
    name: String,
    up: bool,
    addresses: Vec<IpAddr>,
}

/// What a route lookup answers.
#[derive(Debug, PartialEq, Eq)]
struct Hop {
    source: Option<IpAddr>,
    interface: u32,
    on_link: bool,
}

impl Hop {
    fn of(route: &RouteMessage) -> Option<Self> {
        if !matches!(route.header.kind, RouteType::Unicast | RouteType::Local) {
            return None;
        }

        let mut hop = Self {
            source: None,
            interface: 0,
            on_link: true,
        };
        for attribute in &route.attributes {
            #[allow(
                clippy::wildcard_enum_match_arm,
                reason = "thirty attributes, four of interest"
            )]
            match attribute {
                RouteAttribute::Oif(index) => hop.interface = *index,
                RouteAttribute::PrefSource(RouteAddress::Inet(v4)) => hop.source = Some((*v4).into()),
                RouteAttribute::PrefSource(RouteAddress::Inet6(v6)) => hop.source = Some((*v6).into()),
                RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => hop.on_link = false,
                _ => {}
            }
        }
        hop.source = hop.source.filter(|source| !source.is_unspecified());
        (hop.interface != 0).then_some(hop)
    }
}

fn name_of(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|attribute| {
        let LinkAttribute::IfName(name) = attribute else {
            return None;
        };
        Some(name.as_str())
    })
}

/// `IFA_LOCAL` where there is one (IPv4, point-to-point), for `IFA_ADDRESS` is the other end then.
fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| {
        let AddressAttribute::Local(address) = attribute else {
            return None;
        };
        Some(*address)
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| {
            let AddressAttribute::Address(address) = attribute else {
                return None;
            };
            Some(*address)
        })
    })
}

fn scope_of(message: &AddressMessage) -> Scope {
    let scope = message.header.scope;
    if scope == AddressScope::Universe {
        return Scope::Global;
    }
    if scope == AddressScope::Link {
        return Scope::Link;
    }
    if scope == AddressScope::Host {
        return Scope::Host;
    }
    Scope::Other(scope.into())
}

fn is_lasting(message: &AddressMessage) -> bool {
    let flags = message.attributes.iter().find_map(|attribute| {
        let AddressAttribute::Flags(flags) = attribute else {
            return None;
        };
        Some(*flags)
    });
    let flags = flags.unwrap_or_else(|| AddressFlags::from_bits_retain(message.header.flags.bits().into()));

    let passing = AddressFlags::Deprecated | AddressFlags::Tentative | AddressFlags::Dadfailed;
    // The same bit says "secondary" for IPv4 and "temporary" for IPv6.
    let temporary = message.header.family == AddressFamily::Inet6 && flags.contains(AddressFlags::Secondary);
    !flags.intersects(passing) && !temporary
}

/// The kernel words "there is no way" in as many errors as there are kinds of route: no route, `unreachable`,
/// `prohibit`, `blackhole`; and no interface.
fn is_no_route(cause: &io::Error) -> bool {
    matches!(
        cause.raw_os_error(),
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL | libc::ENODEV)
    )
}

fn into_io(error: rtnetlink::Error) -> io::Error {
    let rtnetlink::Error::NetlinkError(message) = error else {
        return io::Error::other(error.to_string());
    };
    message.to_io()
}
