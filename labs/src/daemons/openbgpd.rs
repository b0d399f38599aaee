//! OpenBGPD as a switch.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use nix::unistd::User;
use serde_json::Value;

use super::switch::{Family, PeerConfig, Route, Switch, SwitchConfig, as_path};
use crate::Lab;
use crate::netns::run;

/// A running OpenBGPD.
#[derive(Debug)]
pub struct Openbgpd {
    socket: PathBuf,
}

impl Openbgpd {
    /// Starts it.
    pub fn start(lab: &Lab, node: &str, config: &SwitchConfig) -> Result<Self> {
        make_chroot()?;
        let socket = lab.run_dir()?.join(format!("{node}-bgpd.sock"));
        let mut text = format!(
            "AS {}\nrouter-id {}\nfib-update no\nholdtime 9\nconnect-retry 2\nsocket \"{}\"\n",
            config.asn,
            config.router_id,
            socket.display()
        );
        for peer in &config.peers {
            session(&mut text, config.asn, peer)?;
        }
        text.push_str("allow from any\ndeny to any\n");
        let file = lab.write(node, "bgpd.conf", &text)?;
        // It refuses a configuration that others may read, because of the keys inside.
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let args = ["-d", "-v", "-f", &file.to_string_lossy()];
        lab.start(
            node,
            "openbgpd",
            "/usr/sbin/bgpd",
            args.map(str::to_owned).to_vec(),
        )?;
        let bgpd = Self { socket };
        lab.wait_for(node, "openbgpd", || bgpd.json("show neighbor").map(|_| true))?;
        Ok(bgpd)
    }

    fn bgpctl(&self, line: &str) -> Result<String> {
        run(Command::new("bgpctl")
            .arg("-j")
            .arg("-s")
            .arg(&self.socket)
            .args(line.split_whitespace()))
    }

    fn json(&self, line: &str) -> Result<Value> {
        let text = self.bgpctl(line)?;
        serde_json::from_str(&text).with_context(|| format!("bgpctl -j {line}: {text}"))
    }

    fn neighbor(&self, peer: IpAddr) -> Result<Value> {
        let mut answer = self.json(&format!("show neighbor {peer}"))?;
        Ok(answer["neighbors"][0].take())
    }
}

impl Switch for Openbgpd {
    fn established(&self, peer: IpAddr) -> Result<bool> {
        Ok(self.neighbor(peer)?["state"] == "Established")
    }

    fn routes(&self, peer: IpAddr, family: Family) -> Result<Vec<Route>> {
        let answer = self.json(&format!("show rib neighbor {peer} detail"))?;
        let rib = answer["rib"].as_array().map(Vec::as_slice).unwrap_or_default();
        let wanted = rib
            .iter()
            .filter(|route| Family::of(route["prefix"].as_str().unwrap_or_default()) == family);
        wanted.map(parse_route).collect()
    }

    fn received(&self, peer: IpAddr) -> Result<u64> {
        Ok(self.neighbor(peer)?["stats"]["update"]["received"]["updates"]
            .as_u64()
            .unwrap_or_default())
    }

    fn ask_again(&self, peer: IpAddr, _family: Family) -> Result<()> {
        self.bgpctl(&format!("neighbor {peer} refresh")).map(drop)
    }
}

fn session(text: &mut String, asn: u32, peer: &PeerConfig) -> Result<()> {
    writeln!(
        text,
        "neighbor {} {{\n  remote-as {}\n  local-address {}",
        peer.remote, peer.asn, peer.local
    )?;
    for (name, family) in [("IPv4", Family::Ipv4), ("IPv6", Family::Ipv6)] {
        let what = if peer.families.contains(&family) {
            "unicast"
        } else {
            "none"
        };
        writeln!(text, "  announce {name} {what}")?;
    }
    if let Some(password) = &peer.password {
        writeln!(text, "  tcp md5sig password {password}")?;
    }
    // Without it an iBGP neighbour is taken for multihop, and ttl-security has no meaning there.
    if peer.ttl_security && asn != peer.asn {
        writeln!(text, "  ttl-security yes")?;
    }
    if peer.passive {
        writeln!(text, "  passive")?;
    }
    writeln!(text, "}}")?;
    Ok(())
}

fn parse_route(route: &Value) -> Result<Route> {
    let text = |key: &str| {
        route[key]
            .as_str()
            .with_context(|| format!("a route without {key}: {route}"))
    };
    Ok(Route {
        prefix: text("prefix")?.to_owned(),
        next_hop: text("exit_nexthop")?.parse()?,
        as_path: as_path(text("aspath")?),
        usable: route["valid"] == true,
    })
}

/// Its processes lock themselves into the home directory of their user, which only the service's start script makes.
fn make_chroot() -> Result<()> {
    let user = User::from_name("_openbgpd")?.context("no user _openbgpd: is OpenBGPD installed?")?;
    fs::create_dir_all(&user.dir).with_context(|| format!("make {}", user.dir.display()))
}
