//! BIRD 2 as a switch.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::switch::{Family, PeerConfig, Route, Switch, SwitchConfig, as_path};
use crate::Lab;
use crate::netns::run;

/// A running BIRD.
#[derive(Debug)]
pub struct Bird {
    control: PathBuf,
    peers: Vec<IpAddr>,
}

impl Bird {
    /// Starts it.
    pub fn start(lab: &Lab, node: &str, config: &SwitchConfig) -> Result<Self> {
        Self::start_with(
            lab,
            node,
            &text(config)?,
            config.peers.iter().map(|peer| peer.remote).collect(),
        )
    }

    /// Starts it with a configuration of the caller's, in which the protocols of these peers are called `peer0`, `peer1`, ….
    pub fn start_with(lab: &Lab, node: &str, config: &str, peers: Vec<IpAddr>) -> Result<Self> {
        let file = lab.write(node, "bird.conf", config)?;
        let control = lab.run_dir()?.join(format!("{node}-bird.ctl"));
        let pid = lab.run_dir()?.join(format!("{node}-bird.pid"));
        let args = [
            "-f",
            "-c",
            &file.to_string_lossy(),
            "-s",
            &control.to_string_lossy(),
            "-P",
            &pid.to_string_lossy(),
        ];
        lab.start(node, "bird", "bird", args.map(str::to_owned).to_vec())?;
        let bird = Self { control, peers };
        lab.wait_for(node, "bird", || bird.birdc("show status").map(|_| true))?;
        Ok(bird)
    }

    /// Runs a command in `birdc`.
    pub fn birdc(&self, command: &str) -> Result<String> {
        run(Command::new("birdc")
            .arg("-s")
            .arg(&self.control)
            .args(command.split_whitespace()))
    }

    fn protocol(&self, peer: IpAddr) -> Result<String> {
        let position = self.peers.iter().position(|known| *known == peer);
        Ok(format!(
            "peer{}",
            position.with_context(|| format!("no peer {peer}"))?
        ))
    }
}

impl Switch for Bird {
    fn established(&self, peer: IpAddr) -> Result<bool> {
        let shown = self.birdc(&format!("show protocols all {}", self.protocol(peer)?))?;
        Ok(shown
            .lines()
            .any(|line| line.trim().starts_with("BGP state:") && line.ends_with("Established")))
    }

    fn routes(&self, peer: IpAddr, family: Family) -> Result<Vec<Route>> {
        let table = match family {
            Family::Ipv4 => "master4",
            Family::Ipv6 => "master6",
        };
        let shown = self.birdc(&format!(
            "show route all protocol {} table {table}",
            self.protocol(peer)?
        ))?;
        parse_routes(&shown)
    }

    fn received(&self, peer: IpAddr) -> Result<u64> {
        let shown = self.birdc(&format!("show protocols all {}", self.protocol(peer)?))?;
        let counts = shown
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Import updates:"));
        Ok(counts
            .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
            .sum())
    }

    fn ask_again(&self, peer: IpAddr, _family: Family) -> Result<()> {
        let said = self.birdc(&format!("reload in {}", self.protocol(peer)?))?;
        ensure!(said.contains("reloading"), "reload in: {said}");
        Ok(())
    }
}

fn text(config: &SwitchConfig) -> Result<String> {
    let mut text = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{}}\n",
        config.router_id
    );
    text.push_str("protocol direct { ipv4; ipv6; }\n");
    for (number, peer) in config.peers.iter().enumerate() {
        write!(
            text,
            "protocol bgp peer{number} {{\n{}}}\n",
            session(config.asn, peer)
        )?;
    }
    Ok(text)
}

fn session(asn: u32, peer: &PeerConfig) -> String {
    let mut lines = vec![
        format!("local {} as {asn}", peer.local),
        format!("neighbor {} as {}", peer.remote, peer.asn),
        "direct".to_owned(),
        "hold time 9".to_owned(),
        "connect delay time 1".to_owned(),
        "connect retry time 2".to_owned(),
        "error wait time 1, 2".to_owned(),
    ];
    lines.extend(
        peer.password
            .as_ref()
            .map(|password| format!("password \"{password}\"")),
    );
    lines.extend(peer.ttl_security.then(|| "ttl security on".to_owned()));
    lines.extend(peer.passive.then(|| "passive on".to_owned()));
    lines.extend(
        peer.families
            .iter()
            .map(|family| format!("{} {{ import all; export none; }}", family.name())),
    );
    lines.into_iter().map(|line| format!("  {line};\n")).collect()
}

/// Each route starts at the left margin; what follows is indented by tabs. A further route for the same prefix starts
/// with spaces instead of the prefix.
fn parse_routes(shown: &str) -> Result<Vec<Route>> {
    let mut routes: Vec<Route> = Vec::new();
    for line in shown.lines() {
        if let Some(attribute) = line.strip_prefix('\t') {
            let Some(route) = routes.last_mut() else { continue };
            if let Some(path) = attribute.strip_prefix("BGP.as_path:") {
                route.as_path = as_path(path);
            } else if let Some(hops) = attribute.strip_prefix("BGP.next_hop:") {
                let hop = hops
                    .split_whitespace()
                    .next()
                    .context("a route without next hop")?;
                route.next_hop = hop.parse()?;
            }
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(prefix), Some(kind)) = (words.next(), words.next()) else {
            continue;
        };
        if !line.contains('[') {
            continue;
        }
        if line.starts_with(' ') {
            bail!("two routes for one prefix: {shown}");
        }
        routes.push(Route {
            prefix: prefix.to_owned(),
            next_hop: IpAddr::from([0, 0, 0, 0]),
            as_path: Vec::new(),
            usable: kind == "unicast",
        });
    }
    Ok(routes)
}
