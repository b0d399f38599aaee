//! Links between nodes, and the ways to cut them.

use anyhow::{Context, Result, bail};

use crate::netns::{Netns, ip};

/// One link of a running lab.
#[derive(Debug, Clone)]
pub struct Link {
    ends: [End; 2],
    wire: Option<Wire>,
}

#[derive(Debug, Clone)]
struct End {
    node: String,
    netns: Netns,
    interface: String,
}

/// A bridge in the middle namespace that both ends hang on, so that a link can die without either end losing carrier.
#[derive(Debug, Clone)]
struct Wire {
    netns: Netns,
    bridge: String,
    ports: [String; 2],
}

impl Link {
    /// Makes the link: directly, or through a bridge of its own in the middle namespace.
    pub(crate) fn make(
        number: usize,
        ends: [(&str, Netns, &str); 2],
        middle: Option<&Netns>,
    ) -> Result<Self> {
        let ends = ends.map(|(node, netns, interface)| End {
            node: node.to_owned(),
            netns,
            interface: interface.to_owned(),
        });
        let link = match middle {
            None => {
                veth(
                    &ends[0].netns,
                    &ends[0].interface,
                    &ends[1].netns,
                    &ends[1].interface,
                )?;
                Self { ends, wire: None }
            }
            Some(netns) => {
                let wire = Wire::make(number, netns, &ends)?;
                Self {
                    ends,
                    wire: Some(wire),
                }
            }
        };
        for end in &link.ends {
            end.netns.ip(&format!("link set {} up", end.interface))?;
        }
        Ok(link)
    }

    /// Whether the link is between these two nodes.
    pub fn connects(&self, left: &str, right: &str) -> bool {
        let [one, other] = &self.ends;
        (one.node == left && other.node == right) || (one.node == right && other.node == left)
    }

    /// The interface of a node on this link.
    pub fn interface(&self, node: &str) -> Result<&str> {
        Ok(&self.ends[self.end(node)?].interface)
    }

    /// Both ends lose carrier, like a pulled cable.
    pub fn cut_loudly(&self) -> Result<()> {
        let Some(wire) = &self.wire else {
            return self.ends[0].set("down");
        };
        wire.ports
            .iter()
            .try_for_each(|port| wire.ip(&format!("link set {port} down")))
    }

    /// Nothing passes any more, and neither end can see it.
    pub fn cut_silently(&self) -> Result<()> {
        let wire = self.wire()?;
        wire.ip(&format!("link set {} nomaster", wire.ports[0]))
    }

    /// What this node sends is lost; what the other sends arrives.
    pub fn cut_from(&self, node: &str) -> Result<()> {
        let end = self.end(node)?;
        let wire = self.wire()?;
        let device = &wire.ports[end];
        let rules = format!(
            "add table netdev cut; add chain netdev cut from{end} {{ type filter hook ingress device {device} priority 0; policy drop; }}"
        );
        crate::netns::run(wire.netns.command("nft").arg(rules)).map(drop)
    }

    /// Everything works again.
    pub fn heal(&self) -> Result<()> {
        let Some(wire) = &self.wire else {
            return self.ends[0].set("up");
        };
        // Adding before deleting makes the deletion work whether or not there was a cut.
        crate::netns::run(
            wire.netns
                .command("nft")
                .arg("add table netdev cut; delete table netdev cut"),
        )?;
        for port in &wire.ports {
            wire.ip(&format!("link set {port} master {} up", wire.bridge))?;
        }
        Ok(())
    }

    fn end(&self, node: &str) -> Result<usize> {
        let position = self.ends.iter().position(|end| end.node == node);
        position.with_context(|| format!("{node} is not on this link"))
    }

    fn wire(&self) -> Result<&Wire> {
        let Some(wire) = &self.wire else {
            bail!("the lab was not built with wires")
        };
        Ok(wire)
    }
}

impl End {
    fn set(&self, state: &str) -> Result<()> {
        self.netns
            .ip(&format!("link set {} {state}", self.interface))
            .map(drop)
    }
}

impl Wire {
    fn make(number: usize, netns: &Netns, ends: &[End; 2]) -> Result<Self> {
        let wire = Self {
            netns: netns.clone(),
            bridge: format!("sw{number}"),
            ports: [format!("w{number}left"), format!("w{number}right")],
        };
        // Snooping would hold back neighbour discovery until it has learnt the groups.
        wire.ip(&format!(
            "link add name {} type bridge mcast_snooping 0",
            wire.bridge
        ))?;
        wire.ip(&format!("link set {} up", wire.bridge))?;
        for (end, port) in ends.iter().zip(&wire.ports) {
            veth(&end.netns, &end.interface, netns, port)?;
            wire.ip(&format!("link set {port} master {} up", wire.bridge))?;
        }
        Ok(wire)
    }

    fn ip(&self, line: &str) -> Result<()> {
        self.netns.ip(line).map(drop)
    }
}

fn veth(left: &Netns, left_name: &str, right: &Netns, right_name: &str) -> Result<()> {
    let (left, right) = (left.name(), right.name());
    ip(&format!(
        "link add {left_name} netns {left} type veth peer name {right_name} netns {right}"
    ))
    .map(drop)
}
