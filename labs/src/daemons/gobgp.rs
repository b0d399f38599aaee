//! GoBGP as a switch.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use super::switch::{Family, PeerConfig, Route, Switch, SwitchConfig};
use crate::Lab;
use crate::netns::{Netns, run};

/// A running gobgpd.
#[derive(Debug)]
pub struct Gobgp {
    netns: Netns,
}

impl Gobgp {
    /// Starts it.
    pub fn start(lab: &Lab, node: &str, config: &SwitchConfig) -> Result<Self> {
        Self::start_with(lab, node, &text(config)?)
    }

    /// Starts it with a configuration of the caller's.
    pub fn start_with(lab: &Lab, node: &str, config: &str) -> Result<Self> {
        let file = lab.write(node, "gobgpd.toml", config)?;
        let args = [
            "-f",
            &file.to_string_lossy(),
            "--api-hosts",
            "127.0.0.1:50051",
            "-p",
            "-l",
            "debug",
            "--pprof-disable",
        ];
        lab.start(node, "gobgpd", "gobgpd", args.map(str::to_owned).to_vec())?;
        let gobgp = Self {
            netns: lab.netns(node),
        };
        lab.wait_for(node, "gobgpd", || gobgp.cli("global").map(|_| true))?;
        Ok(gobgp)
    }

    /// Runs the `gobgp` command.
    pub fn cli(&self, line: &str) -> Result<String> {
        run(self.netns.command("gobgp").args(line.split_whitespace()))
    }

    /// Runs the `gobgp` command for JSON.
    pub fn json(&self, line: &str) -> Result<Value> {
        let text = self.cli(&format!("-j {line}"))?;
        serde_json::from_str(&text).with_context(|| format!("gobgp -j {line}: {text}"))
    }

    fn neighbor(&self, peer: IpAddr) -> Result<Value> {
        let all = self.json("neighbor")?;
        let list = all.as_array().context("gobgp neighbor gives no list")?;
        let address = peer.to_string();
        let found = list
            .iter()
            .find(|neighbor| neighbor["conf"]["neighbor_address"] == address.as_str());
        found.cloned().with_context(|| format!("no neighbour {peer}"))
    }
}

impl Switch for Gobgp {
    fn established(&self, peer: IpAddr) -> Result<bool> {
        const ESTABLISHED: u64 = 6;
        Ok(self.neighbor(peer)?["state"]["session_state"].as_u64() == Some(ESTABLISHED))
    }

    fn routes(&self, peer: IpAddr, family: Family) -> Result<Vec<Route>> {
        let table = self.json(&format!("neighbor {peer} adj-in -a {}", family.name()))?;
        let mut paths = Vec::new();
        collect_paths(&table, &mut paths);
        paths.into_iter().map(parse_path).collect()
    }

    fn received(&self, peer: IpAddr) -> Result<u64> {
        Ok(self.neighbor(peer)?["state"]["messages"]["received"]["update"]
            .as_u64()
            .unwrap_or_default())
    }

    fn ask_again(&self, peer: IpAddr, family: Family) -> Result<()> {
        self.cli(&format!("neighbor {peer} softresetin -a {}", family.name()))
            .map(drop)
    }
}

fn text(config: &SwitchConfig) -> Result<String> {
    let mut text = format!(
        "[global.config]\n  as = {}\n  router-id = \"{}\"\n",
        config.asn, config.router_id
    );
    for peer in &config.peers {
        session(&mut text, peer)?;
    }
    Ok(text)
}

fn session(text: &mut String, peer: &PeerConfig) -> Result<()> {
    let PeerConfig {
        local,
        remote,
        asn,
        passive,
        ..
    } = peer;
    writeln!(text, "[[neighbors]]")?;
    writeln!(
        text,
        "  [neighbors.config]\n    neighbor-address = \"{remote}\"\n    peer-as = {asn}"
    )?;
    if let Some(password) = &peer.password {
        writeln!(text, "    auth-password = \"{password}\"")?;
    }
    writeln!(
        text,
        "  [neighbors.transport.config]\n    local-address = \"{local}\"\n    passive-mode = {passive}"
    )?;
    writeln!(
        text,
        "  [neighbors.timers.config]\n    hold-time = 9\n    keepalive-interval = 3\n    connect-retry = 2"
    )?;
    writeln!(text, "    idle-hold-time-after-reset = 2")?;
    if peer.ttl_security {
        writeln!(
            text,
            "  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = 255"
        )?;
    }
    for family in &peer.families {
        let name = family.name();
        writeln!(
            text,
            "  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n      afi-safi-name = \"{name}-unicast\""
        )?;
    }
    Ok(())
}

/// Depending on the command the paths are in a list or in lists by prefix.
fn collect_paths<'a>(value: &'a Value, paths: &mut Vec<&'a Value>) {
    if value.get("nlri").is_some() {
        paths.push(value);
    } else if let Some(list) = value.as_array() {
        list.iter().for_each(|value| collect_paths(value, paths));
    } else if let Some(map) = value.as_object() {
        map.values().for_each(|value| collect_paths(value, paths));
    }
}

fn parse_path(path: &Value) -> Result<Route> {
    let attributes = path["attrs"].as_array().context("a path without attributes")?;
    let attribute = |number: u64| attributes.iter().find(|attribute| attribute["type"] == number);
    let (as_path, next_hop, mp_reach) = (attribute(2), attribute(3), attribute(14));
    let hop = next_hop
        .or(mp_reach)
        .and_then(|attribute| attribute["nexthop"].as_str());
    let segments = as_path.and_then(|path| path["as_paths"].as_array());
    let asns = segments
        .into_iter()
        .flatten()
        .filter_map(|segment| segment["asns"].as_array())
        .flatten();
    Ok(Route {
        prefix: path["nlri"]["prefix"]
            .as_str()
            .context("a path without prefix")?
            .to_owned(),
        next_hop: hop
            .with_context(|| format!("a path without next hop: {path}"))?
            .parse()?,
        as_path: asns.filter_map(|asn| u32::try_from(asn.as_u64()?).ok()).collect(),
        usable: true,
    })
}
