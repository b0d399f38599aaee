//! FRR behind the interface that all switches share.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use super::frr::Frr;
use super::switch::{Family, Route, Switch, SwitchConfig, as_path};
use crate::Lab;

/// An FRR whose configuration is derived from what all switches have in common.
#[derive(Debug)]
pub struct FrrSwitch<'a> {
    frr: Frr<'a>,
}

impl<'a> FrrSwitch<'a> {
    /// Starts it.
    pub fn start(lab: &'a Lab, node: &str, config: &SwitchConfig) -> Result<Self> {
        Ok(Self {
            frr: Frr::start(lab, node, &text(config)?, &["bgpd".to_owned()])?,
        })
    }
}

impl Switch for FrrSwitch<'_> {
    fn established(&self, peer: IpAddr) -> Result<bool> {
        Ok(self.frr.session(&peer.to_string())?.state == "Established")
    }

    fn routes(&self, peer: IpAddr, family: Family) -> Result<Vec<Route>> {
        let answer = self
            .frr
            .json(&format!("show bgp {} unicast json", family.name()))?;
        let peer = peer.to_string();
        let paths = answer["routes"].as_object().into_iter().flatten();
        let paths = paths.flat_map(|(_, paths)| paths.as_array().into_iter().flatten());
        paths
            .filter(|path| path["peerId"] == peer.as_str())
            .map(parse_path)
            .collect()
    }

    fn received(&self, peer: IpAddr) -> Result<u64> {
        let peer = peer.to_string();
        let answer = self.frr.json(&format!("show bgp neighbors {peer} json"))?;
        Ok(answer[&peer]["messageStats"]["updatesRecv"]
            .as_u64()
            .unwrap_or_default())
    }

    fn ask_again(&self, peer: IpAddr, family: Family) -> Result<()> {
        self.frr
            .vtysh(&format!("clear bgp {} unicast {peer} soft in", family.name()))
            .map(drop)
    }
}

fn text(config: &SwitchConfig) -> Result<String> {
    let mut text = format!("frr defaults datacenter\nrouter bgp {}\n", config.asn);
    writeln!(
        text,
        " bgp router-id {}\n no bgp ebgp-requires-policy",
        config.router_id
    )?;
    writeln!(text, " no bgp default ipv4-unicast\n timers bgp 3 9")?;
    for peer in &config.peers {
        let remote = peer.remote;
        writeln!(
            text,
            " neighbor {remote} remote-as {}\n neighbor {remote} timers connect 2",
            peer.asn
        )?;
        writeln!(text, " neighbor {remote} update-source {}", peer.local)?;
        if let Some(password) = &peer.password {
            writeln!(text, " neighbor {remote} password {password}")?;
        }
        if peer.ttl_security {
            writeln!(text, " neighbor {remote} ttl-security hops 1")?;
        }
        if peer.passive {
            writeln!(text, " neighbor {remote} passive")?;
        }
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        writeln!(text, " address-family {} unicast", family.name())?;
        for peer in config.peers.iter().filter(|peer| peer.families.contains(&family)) {
            writeln!(text, "  neighbor {} activate", peer.remote)?;
        }
        writeln!(text, " exit-address-family")?;
    }
    writeln!(text, "exit")?;
    Ok(text)
}

fn parse_path(path: &Value) -> Result<Route> {
    let hops = path["nexthops"].as_array().map(Vec::as_slice).unwrap_or_default();
    let global = hops
        .iter()
        .find(|hop| hop["scope"] != "link-local")
        .and_then(|hop| hop["ip"].as_str());
    Ok(Route {
        prefix: path["network"]
            .as_str()
            .context("a path without network")?
            .to_owned(),
        next_hop: global
            .with_context(|| format!("a path without next hop: {path}"))?
            .parse()?,
        as_path: as_path(path["path"].as_str().unwrap_or_default()),
        usable: path["valid"] == true,
    })
}
