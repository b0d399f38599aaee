//! FRR: zebra, bgpd and friends as one switch.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{Group, User};
use serde_json::Value;

use crate::Lab;
use crate::clab::Node;
use crate::netns::run;
use crate::wait;

/// Where FRR's packages keep sockets; `-N NAME` appends the name.
pub const RUN_DIR: &str = "/var/run/frr";

const PROGRAMS: &str = "/usr/lib/frr";
const ALWAYS: [&str; 1] = ["zebra"];

/// An FRR in a node of a lab.
#[derive(Debug)]
pub struct Frr<'a> {
    lab: &'a Lab,
    node: String,
}

/// A path for a prefix as bgpd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BgpPath {
    /// The neighbour it came from.
    pub peer: String,
    /// The next hop.
    pub next_hop: String,
    /// Whether bgpd may use it: above all, whether the next hop is reachable.
    pub valid: bool,
    /// Whether it is the best path or one of its equals.
    pub multipath: bool,
    /// The AS path.
    pub as_path: String,
}

/// The state of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `Established`, or how far it got.
    pub state: String,
    /// How often it was established.
    pub established: u64,
    /// When it was established, in seconds of the epoch; 0 if it is not.
    pub since: u64,
    /// How many prefixes were accepted.
    pub prefixes: u64,
}

impl Session {
    /// Whether this is still the session that it was then. The moment is FRR's own estimate, so it may differ by a second.
    pub fn is_still(&self, then: &Self) -> bool {
        let Self {
            state,
            established,
            since,
            prefixes,
        } = self;
        since.abs_diff(then.since) <= 1
            && (state, established, prefixes) == (&then.state, &then.established, &then.prefixes)
    }
}

/// Starts an FRR node of a topology with the files that it binds.
pub fn start_node(lab: &Lab, name: &str, node: &Node) -> Result<()> {
    let bound = |container: &str| -> Result<String> {
        let binds = node.binds()?;
        let bind = binds.iter().find(|bind| bind.container == container);
        let bind = bind.with_context(|| format!("nothing is bound to {container}"))?;
        let path = lab.file().dir.join(bind.host);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let daemons = bound("/etc/frr/daemons")?;
    let enabled = daemons
        .lines()
        .filter_map(|line| line.trim().strip_suffix("d=yes"));
    let daemons = enabled.map(|stem| format!("{stem}d")).collect::<Vec<_>>();
    Frr::start(lab, name, &bound("/etc/frr/frr.conf")?, &daemons)?;
    Ok(())
}

impl<'a> Frr<'a> {
    /// A handle to the FRR that runs in a node.
    pub fn of(lab: &'a Lab, node: &str) -> Self {
        Self {
            lab,
            node: node.to_owned(),
        }
    }

    /// Starts zebra and these daemons, and loads the configuration.
    pub fn start(lab: &'a Lab, node: &str, config: &str, daemons: &[String]) -> Result<Self> {
        let frr = Self::of(lab, node);
        frr.make_run_dir()?;
        frr.configure(config)?;
        for daemon in ALWAYS.into_iter().chain(daemons.iter().map(String::as_str)) {
            frr.start_daemon(daemon)?;
        }
        frr.load()?;
        Ok(frr)
    }

    /// Replaces the configuration file; it takes effect at the next load.
    pub fn configure(&self, config: &str) -> Result<()> {
        let dir = format!("etc/{}", self.pathspace());
        self.lab.write(
            &self.node,
            &format!("{dir}/vtysh.conf"),
            "service integrated-vtysh-config\n",
        )?;
        self.lab
            .write(&self.node, &format!("{dir}/frr.conf"), config)
            .map(drop)
    }

    /// Kills bgpd without mercy: no NOTIFICATION, the kernel closes its connections.
    pub fn kill_bgpd(&self) -> Result<()> {
        self.lab.stop(&self.node, "bgpd", Signal::SIGKILL)
    }

    /// Starts bgpd again with the same configuration.
    pub fn start_bgpd(&self) -> Result<()> {
        self.lab.start_again(&self.node, "bgpd")?;
        self.wait_for("bgpd")?;
        self.load()
    }

    /// Runs a command in `vtysh`.
    pub fn vtysh(&self, command: &str) -> Result<String> {
        run(self.vtysh_command().args(["-c", command]))
    }

    /// Runs several commands in one `vtysh`, such as a change of the configuration.
    pub fn vtysh_all(&self, commands: &[&str]) -> Result<String> {
        let mut vtysh = self.vtysh_command();
        for command in commands {
            vtysh.args(["-c", command]);
        }
        run(&mut vtysh)
    }

    /// Runs a `show … json` command.
    pub fn json(&self, command: &str) -> Result<Value> {
        let text = self.vtysh(command)?;
        serde_json::from_str(&text).with_context(|| format!("{command}: {text}"))
    }

    /// bgpd's paths for a prefix.
    pub fn bgp_paths(&self, prefix: &str) -> Result<Vec<BgpPath>> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let answer = self.json(&format!("show bgp {family} unicast {prefix} json"))?;
        let paths = answer["paths"].as_array().map(Vec::as_slice).unwrap_or_default();
        paths.iter().map(BgpPath::parse).collect()
    }

    /// The prefixes in bgpd's table, sorted.
    pub fn bgp_prefixes(&self, family: &str) -> Result<Vec<String>> {
        let answer = self.json(&format!("show bgp {family} unicast json"))?;
        let routes = answer["routes"].as_object();
        let mut prefixes = routes
            .map(|routes| routes.keys().cloned().collect::<Vec<_>>())
            .unwrap_or_default();
        prefixes.sort();
        Ok(prefixes)
    }

    /// The next hops that zebra has installed in the kernel for a prefix by BGP, sorted.
    pub fn installed(&self, prefix: &str) -> Result<Vec<String>> {
        let family = if prefix.contains(':') { "ipv6" } else { "ip" };
        let answer = self.json(&format!("show {family} route {prefix} json"))?;
        let mut hops = Vec::new();
        for route in answer[prefix].as_array().into_iter().flatten() {
            if route["protocol"] != "bgp" || route["installed"] != true || route["selected"] != true {
                continue;
            }
            let next_hops = route["nexthops"].as_array().into_iter().flatten();
            hops.extend(
                next_hops
                    .filter(|hop| hop["fib"] == true && hop["active"] == true)
                    .filter_map(|hop| {
                        let via = hop["ip"].as_str()?;
                        Some(if via.starts_with("fe80:") {
                            format!("{via}%{}", hop["interfaceName"].as_str()?)
                        } else {
                            via.to_owned()
                        })
                    }),
            );
        }
        hops.sort();
        Ok(hops)
    }

    /// A session.
    pub fn session(&self, peer: &str) -> Result<Session> {
        let answer = self.json(&format!("show bgp neighbors {peer} json"))?;
        let neighbor = &answer[peer];
        let state = neighbor["bgpState"]
            .as_str()
            .with_context(|| format!("no neighbour {peer}"))?;
        let families = neighbor["addressFamilyInfo"].as_object();
        let prefixes = families.into_iter().flat_map(|families| families.values());
        Ok(Session {
            state: state.to_owned(),
            established: neighbor["connectionsEstablished"].as_u64().unwrap_or_default(),
            since: neighbor["bgpTimerUpEstablishedEpoch"]
                .as_u64()
                .unwrap_or_default(),
            prefixes: prefixes
                .filter_map(|family| family["acceptedPrefixCounter"].as_u64())
                .sum(),
        })
    }

    /// Waits until a session is established.
    pub fn wait_established(&self, peer: &str) -> Result<()> {
        let what = format!("{} has an established session with {peer}", self.node);
        wait::until_true(&what, wait::PATIENCE, || {
            Ok(self.session(peer)?.state == "Established")
        })
    }

    /// Waits until exactly these next hops are installed for a prefix.
    pub fn wait_installed(&self, prefix: &str, hops: &[&str]) -> Result<()> {
        let mut wanted = hops.to_vec();
        wanted.sort_unstable();
        let what = format!("{} has {prefix} installed via {wanted:?}", self.node);
        wait::until_true(&what, wait::PATIENCE, || {
            let hops = self.installed(prefix)?;
            ensure!(hops == wanted, "installed via {hops:?}");
            Ok(true)
        })
    }

    fn start_daemon(&self, daemon: &str) -> Result<()> {
        let program = format!("{PROGRAMS}/{daemon}");
        let pid_file = self.run_dir().join(format!("{daemon}.pid"));
        let pid_file = pid_file.to_string_lossy();
        let space = self.pathspace();
        // The configuration is vtysh's business, as in the packages' own start script.
        let args = [
            "-N",
            &space,
            "-f",
            "/dev/null",
            "-i",
            &pid_file,
            "--log",
            "stdout",
            "-A",
            "127.0.0.1",
        ];
        self.lab
            .start(&self.node, daemon, &program, args.map(str::to_owned).to_vec())?;
        self.wait_for(daemon)
    }

    fn wait_for(&self, daemon: &str) -> Result<()> {
        self.lab.wait_for(&self.node, daemon, || {
            run(self.vtysh_command().args(["-d", daemon, "-c", "show version"])).map(|_| true)
        })
    }

    fn load(&self) -> Result<()> {
        let said = run(self.vtysh_command().arg("-b"))?;
        let wrong = said.lines().find(|line| line.contains("% "));
        ensure!(wrong.is_none(), "the configuration of {}: {said}", self.node);
        Ok(())
    }

    fn vtysh_command(&self) -> Command {
        let mut vtysh = Command::new("vtysh");
        vtysh
            .args(["-N", &self.pathspace(), "--config_dir"])
            .arg(self.lab.dir().join(&self.node).join("etc"));
        vtysh
    }

    fn make_run_dir(&self) -> Result<()> {
        let dir = self.run_dir();
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let user = User::from_name("frr")?.context("no user frr: is FRR installed?")?;
        let group = Group::from_name("frrvty")?.map_or(user.gid, |group| group.gid);
        chown(&dir, Some(user.uid.as_raw()), Some(group.as_raw()))
            .with_context(|| format!("own {}", dir.display()))
    }

    fn run_dir(&self) -> PathBuf {
        Path::new(RUN_DIR).join(self.pathspace())
    }

    fn pathspace(&self) -> String {
        self.lab.netns(&self.node).name().to_owned()
    }
}

impl BgpPath {
    fn parse(path: &Value) -> Result<Self> {
        let hop = path["nexthops"]
            .as_array()
            .and_then(|hops| hops.first())
            .context("a path without next hop")?;
        let peer = path["peer"]["peerId"].as_str().context("a path without peer")?;
        let best = path["bestpath"]["overall"] == true;
        Ok(Self {
            peer: peer.to_owned(),
            next_hop: hop["ip"].as_str().unwrap_or_default().to_owned(),
            valid: path["valid"] == true,
            multipath: best || path["multipath"] == true,
            as_path: path["aspath"]["string"].as_str().unwrap_or_default().to_owned(),
        })
    }
}
