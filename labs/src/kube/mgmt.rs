//! The management network: a bridge in the API server's namespace, and a link to each node that needs the API.

use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::netns::{Netns, ip};

/// The interface that a node gets.
pub const INTERFACE: &str = "mgmt0";

/// No topology uses this subnet.
const SUBNET: [u8; 3] = [172, 31, 255];
const FIRST_NODE: u8 = 10;
const BRIDGE: &str = "mgmt";

#[derive(Debug)]
pub(super) struct Mgmt {
    netns: Netns,
    nodes: Mutex<Vec<Netns>>,
}

impl Mgmt {
    /// Makes the namespace and the bridge.
    pub(super) fn create(netns: &Netns) -> Result<Self> {
        netns.create()?;
        netns.ip(&format!("link add name {BRIDGE} type bridge mcast_snooping 0"))?;
        netns.ip(&format!("addr add {}/24 dev {BRIDGE}", Self::server()))?;
        netns.ip(&format!("link set {BRIDGE} up"))?;
        Ok(Self {
            netns: netns.clone(),
            nodes: Mutex::default(),
        })
    }

    /// The API server's address.
    pub(super) fn server() -> Ipv4Addr {
        address(1)
    }

    /// Links a node.
    pub(super) fn wire(&self, node: &Netns) -> Result<Ipv4Addr> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let number = u8::try_from(nodes.len()).ok().filter(|number| *number < 200);
        let number = number.context("the management network is full")?;
        let port = port(number);
        let address = address(FIRST_NODE + number);
        ip(&format!(
            "link add {INTERFACE} netns {} type veth peer name {port} netns {}",
            node.name(),
            self.netns.name()
        ))?;
        self.netns.ip(&format!("link set {port} master {BRIDGE} up"))?;
        node.ip(&format!("addr add {address}/24 dev {INTERFACE}"))?;
        node.ip(&format!("link set {INTERFACE} up"))?;
        nodes.push(node.clone());
        Ok(address)
    }

    /// Takes the node's port out of the bridge: nothing passes, and nobody loses carrier.
    pub(super) fn cut(&self, node: &Netns) -> Result<()> {
        let port = self.port_of(node)?;
        self.netns.ip(&format!("link set {port} nomaster")).map(drop)
    }

    pub(super) fn heal(&self, node: &Netns) -> Result<()> {
        let port = self.port_of(node)?;
        self.netns
            .ip(&format!("link set {port} master {BRIDGE} up"))
            .map(drop)
    }

    fn port_of(&self, node: &Netns) -> Result<String> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let number = nodes.iter().position(|known| known == node);
        let number = number.with_context(|| format!("{} is not on the management network", node.name()))?;
        Ok(port(u8::try_from(number)?))
    }
}

fn address(host: u8) -> Ipv4Addr {
    let [a, b, c] = SUBNET;
    Ipv4Addr::new(a, b, c, host)
}

fn port(number: u8) -> String {
    format!("port{number}")
}
