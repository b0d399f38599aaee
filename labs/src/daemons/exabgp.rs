//! ExaBGP as a switch. It keeps no table, so its stream of events is folded into one here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use super::switch::{Family, PeerConfig, Route, Switch, SwitchConfig};
use crate::Lab;
use crate::process::read_lossy;

/// A running ExaBGP.
#[derive(Debug)]
pub struct Exabgp {
    events: PathBuf,
    orders: PathBuf,
}

impl Exabgp {
    /// Starts it.
    pub fn start(lab: &Lab, node: &str, config: &SwitchConfig) -> Result<Self> {
        let events = lab.write(node, "exabgp.events", "")?;
        let orders = lab.run_dir()?.join(format!("{node}-exabgp.orders"));
        mkfifo(&orders, Mode::S_IRUSR | Mode::S_IWUSR).context("make the pipe for orders")?;
        let helper = lab.write(
            node,
            "exabgp-helper.sh",
            // Opened for both directions, the pipe outlives its writers.
            &format!("cat 0<>{} &\nexec cat >>{}\n", orders.display(), events.display()),
        )?;
        let mut text = format!(
            "process table {{\n  run /bin/sh {};\n  encoder json;\n}}\n",
            helper.display()
        );
        for peer in &config.peers {
            session(&mut text, config, peer)?;
        }
        let file = lab.write(node, "exabgp.conf", &text)?;
        let locals = config
            .peers
            .iter()
            .map(|peer| peer.local.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        let settings = [
            ("exabgp.daemon.user", "root"),
            ("exabgp.api.cli", "false"),
            ("exabgp.api.ack", "false"),
            ("exabgp.log.level", "DEBUG"),
            ("exabgp.tcp.bind", &locals),
        ];
        // `env`, because a dot in a name is more than some shells and wrappers pass on.
        let mut args = settings.map(|(key, value)| format!("{key}={value}")).to_vec();
        args.extend(["exabgp".to_owned(), file.to_string_lossy().into_owned()]);
        lab.start(node, "exabgp", "env", args)?;
        lab.wait_for(node, "exabgp", || {
            Ok(lab
                .log(node, "exabgp")
                .contains("loaded new configuration successfully"))
        })?;
        Ok(Self { events, orders })
    }

    fn events(&self, peer: IpAddr) -> Vec<Value> {
        let text = read_lossy(&self.events);
        let events = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let peer = peer.to_string();
        events
            .filter(|event| event["neighbor"]["address"]["peer"] == peer.as_str())
            .collect()
    }
}

impl Switch for Exabgp {
    fn established(&self, peer: IpAddr) -> Result<bool> {
        let events = self.events(peer);
        let last = events
            .iter()
            .rev()
            .find_map(|event| event["neighbor"]["state"].as_str());
        Ok(last == Some("up"))
    }

    fn routes(&self, peer: IpAddr, family: Family) -> Result<Vec<Route>> {
        let mut table = BTreeMap::new();
        for event in self.events(peer) {
            if event["neighbor"]["state"] == "down" {
                table.clear();
            }
            apply(&event["neighbor"]["message"]["update"], family, &mut table)?;
        }
        Ok(table.into_values().collect())
    }

    fn received(&self, peer: IpAddr) -> Result<u64> {
        let events = self.events(peer);
        let updates = events
            .iter()
            .filter(|event| event["neighbor"]["message"]["update"]["announce"].is_object());
        Ok(updates.count() as u64)
    }

    fn ask_again(&self, peer: IpAddr, family: Family) -> Result<()> {
        let mut orders = OpenOptions::new().write(true).open(&self.orders)?;
        writeln!(
            orders,
            "neighbor {peer} announce route-refresh {} unicast",
            family.name()
        )?;
        Ok(())
    }
}

fn session(text: &mut String, config: &SwitchConfig, peer: &PeerConfig) -> Result<()> {
    writeln!(
        text,
        "neighbor {} {{\n  router-id {};",
        peer.remote, config.router_id
    )?;
    writeln!(
        text,
        "  local-address {};\n  local-as {};\n  peer-as {};",
        peer.local, config.asn, peer.asn
    )?;
    writeln!(
        text,
        "  hold-time 9;\n  capability {{ route-refresh enable; asn4 enable; }}"
    )?;
    if let Some(password) = &peer.password {
        writeln!(text, "  md5-password '{password}';")?;
    }
    if peer.ttl_security {
        writeln!(text, "  outgoing-ttl 255;\n  incoming-ttl 255;")?;
    }
    if peer.passive {
        writeln!(text, "  passive;")?;
    }
    let families = peer.families.iter().fold(String::new(), |text, family| {
        format!("{text} {} unicast;", family.name())
    });
    writeln!(text, "  family {{{families} }}")?;
    writeln!(
        text,
        "  api {{ processes [ table ]; neighbor-changes; receive {{ parsed; update; }} }}\n}}"
    )?;
    Ok(())
}

fn apply(update: &Value, family: Family, table: &mut BTreeMap<String, Route>) -> Result<()> {
    let key = format!("{} unicast", family.name());
    let path = update["attribute"]["as-path"].as_array();
    let path = path
        .into_iter()
        .flatten()
        .filter_map(|asn| u32::try_from(asn.as_u64()?).ok());
    let path = path.collect::<Vec<_>>();
    let hops = update["announce"][&key].as_object().into_iter().flatten();
    // A next hop of two addresses is reported as two next hops.
    for (hop, prefixes) in hops.filter(|(hop, _)| !hop.starts_with("fe80:")) {
        let prefixes = prefixes
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry["nlri"].as_str());
        for prefix in prefixes {
            let next_hop = hop.parse().with_context(|| format!("next hop {hop}"))?;
            let route = Route {
                prefix: prefix.to_owned(),
                next_hop,
                as_path: path.clone(),
                usable: true,
            };
            table.insert(prefix.to_owned(), route);
        }
    }
    for entry in update["withdraw"][&key].as_array().into_iter().flatten() {
        if let Some(prefix) = entry["nlri"].as_str() {
            table.remove(prefix);
        }
    }
    Ok(())
}
