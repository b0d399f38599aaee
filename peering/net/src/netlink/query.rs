//! Questions to the kernel over one netlink connection.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::Handle;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::options::may_name_device;

use super::{LocalAddress, NetlinkError, PathToPeer, Scope, Target};

/// The kernel answers in microseconds, or in the time it takes somebody else to give back the routing lock.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

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
        // Strict, the kernel sends the addresses of the one interface in question. Before Linux 4.20 it sends all.
        let (mut connection, handle, _) = rtnetlink::new_connection_with_strict_check()
            .or_else(|_| rtnetlink::new_connection())
            .map_err(NetlinkError::Open)?;
        // Tells the end of a list from the end of the connection.
        connection.set_forward_done(true);
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
        let question = RouteNetlinkMessage::GetLink(link_question());
        let links = self
            .ask(question, Answer::List)
            .await
            .map_err(NetlinkError::Addresses)?;
        let links: Vec<LinkMessage> = links.into_iter().filter_map(into_link).collect();
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
        let source = match target.source {
            Some(source) if self.is_local(source, over).await? => Some(source.to_canonical()),
            Some(_) | None => None,
        };
        let Some(hop) = self.route(target.peer.to_canonical(), over, source).await? else {
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
            source: match target.source {
                Some(_) => source,
                None => hop.source,
            },
            interface: Some(interface.name),
            if_index: hop.interface,
            on_link: hop.on_link,
            if_addresses: interface.addresses,
            up: interface.up,
        })
    }

    /// `None` when the kernel has no route, or one that says "unreachable".
    async fn route(
        &self,
        peer: IpAddr,
        over: Option<u32>,
        source: Option<IpAddr>,
    ) -> Result<Option<Hop>, NetlinkError> {
        let answer = self.lookup(peer, over, source).await?;
        Ok(answer.as_ref().and_then(Hop::of))
    }

    /// Whether the kernel keeps for itself what is sent to an address, so that we may send from it. An IPv6 address
    /// whose duplicate detection is not over does not count yet.
    async fn is_local(&self, address: IpAddr, over: Option<u32>) -> Result<bool, NetlinkError> {
        let address = address.to_canonical();
        let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let route = self.lookup(address, over.filter(|_| link_local), None).await?;
        Ok(route.is_some_and(|route| route.header.kind == RouteType::Local))
    }

    async fn lookup(
        &self,
        peer: IpAddr,
        over: Option<u32>,
        source: Option<IpAddr>,
    ) -> Result<Option<RouteMessage>, NetlinkError> {
        let (family, length) = match peer {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        let mut question = RouteMessage::default();
        question.header.address_family = family;
        question.header.destination_prefix_length = length;
        question.attributes.push(RouteAttribute::Destination(peer.into()));
        question.attributes.extend(over.map(RouteAttribute::Oif));
        if let Some(source) = source {
            question.header.source_prefix_length = length;
            question.attributes.push(RouteAttribute::Source(source.into()));
        }

        match self
            .ask(RouteNetlinkMessage::GetRoute(question), Answer::One)
            .await
        {
            Ok(answer) => Ok(answer.into_iter().find_map(into_route)),
            Err(cause) if is_no_route(&cause) => Ok(None),
            Err(cause) => Err(NetlinkError::Route { peer, cause }),
        }
    }

    /// `None` when there is no interface of that index (any more).
    async fn interface(&self, index: u32) -> Result<Option<Interface>, NetlinkError> {
        let mut question = link_question();
        question.header.index = index;
        let Some(link) = self.link(question, || index.to_string()).await? else {
            return Ok(None);
        };
        let Some(name) = name_of(&link) else {
            return Ok(None);
        };

        let addresses = self.addresses(index).await?;
        let usable = |message: &&AddressMessage| {
            message.header.index == index && scope_of(message) == Scope::Global && is_lasting(message)
        };
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
        if !may_name_device(name) {
            return Ok(None);
        }
        let mut question = link_question();
        question.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let link = self.link(question, || name.to_owned()).await?;
        Ok(link.map(|link| link.header.index))
    }

    async fn link(
        &self,
        question: LinkMessage,
        label: impl FnOnce() -> String,
    ) -> Result<Option<LinkMessage>, NetlinkError> {
        match self
            .ask(RouteNetlinkMessage::GetLink(question), Answer::One)
            .await
        {
            Ok(answer) => Ok(answer.into_iter().find_map(into_link)),
            Err(cause) if is_no_interface(&cause) => Ok(None),
            Err(cause) => Err(NetlinkError::Link {
                interface: label(),
                cause,
            }),
        }
    }

    /// The addresses of one interface, or of all for index 0.
    async fn addresses(&self, index: u32) -> Result<Vec<AddressMessage>, NetlinkError> {
        let mut question = AddressMessage::default();
        question.header.index = index;
        match self
            .ask(RouteNetlinkMessage::GetAddress(question), Answer::List)
            .await
        {
            Ok(answer) => Ok(answer.into_iter().filter_map(into_address).collect()),
            Err(cause) if is_no_interface(&cause) => Ok(Vec::new()),
            Err(cause) => Err(NetlinkError::Addresses(cause)),
        }
    }

    /// One question and its whole answer. An answer that breaks off is an error, so that a broken connection never
    /// looks like a host without routes or addresses.
    async fn ask(
        &self,
        question: RouteNetlinkMessage,
        answer: Answer,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(question);
        request.header.flags = match answer {
            Answer::One => NLM_F_REQUEST,
            Answer::List => NLM_F_REQUEST | NLM_F_DUMP,
        };
        let broken = || io::Error::new(io::ErrorKind::BrokenPipe, "the netlink connection broke");
        let mut replies = self.handle.clone().request(request).map_err(|_| broken())?;

        let all = async {
            let mut all = Vec::new();
            while let Some(reply) = replies.next().await {
                #[allow(clippy::wildcard_enum_match_arm, reason = "the enum is open")]
                match reply.payload {
                    NetlinkPayload::InnerMessage(message) => all.push(message),
                    NetlinkPayload::Done(_) => return Ok(all),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
                if answer == Answer::One && !all.is_empty() {
                    return Ok(all);
                }
            }
            Err(broken())
        };
        timeout(ANSWER_WITHIN, all)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What a question is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    One,
    List,
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

/// Without the counters of the interface, which are most of the answer.
fn link_question() -> LinkMessage {
    let mut question = LinkMessage::default();
    question
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    question
}

fn into_link(message: RouteNetlinkMessage) -> Option<LinkMessage> {
    let RouteNetlinkMessage::NewLink(link) = message else {
        return None;
    };
    Some(link)
}

fn into_route(message: RouteNetlinkMessage) -> Option<RouteMessage> {
    let RouteNetlinkMessage::NewRoute(route) = message else {
        return None;
    };
    Some(route)
}

fn into_address(message: RouteNetlinkMessage) -> Option<AddressMessage> {
    let RouteNetlinkMessage::NewAddress(address) = message else {
        return None;
    };
    Some(address)
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

fn is_no_interface(cause: &io::Error) -> bool {
    cause.raw_os_error() == Some(libc::ENODEV)
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
