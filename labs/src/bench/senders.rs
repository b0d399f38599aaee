//! The speakers that are compared, each loaded with the same host routes in the way that suits it best.

use std::fmt::{self, Write as _};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::mrt;
use crate::Lab;
use crate::daemons::bird::Bird;
use crate::daemons::frr::Frr;
use crate::daemons::gobgp::Gobgp;
use crate::daemons::twintor;
use crate::manifests::{Manifests, Pod};
use crate::netns::run;

/// Where the host routes begin; all of them are in 10.32.0.0/11.
const BASE: u32 = 0x0a20_0000;
const NODE: &str = "node1";
const PODS_OF: u32 = 1000;

/// A speaker that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// twintor, from a directory of pods.
    Twintor,
    /// BIRD, from a static protocol.
    Bird,
    /// FRR, from the kernel's table.
    Frr,
    /// GoBGP, from an MRT file.
    Gobgp,
}

impl Sender {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Twintor, Self::Bird, Self::Frr, Self::Gobgp];

    /// The sender of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|sender| sender.to_string().eq_ignore_ascii_case(name))
    }

    /// Starts it in the node, waiting for the two receivers to connect, and gives it this many host routes.
    pub fn load(self, lab: &Lab, count: u32, binary: &Path) -> Result<()> {
        match self {
            Self::Twintor => load_twintor(lab, count, binary),
            Self::Bird => load_bird(lab, count),
            Self::Frr => load_frr(lab, count),
            Self::Gobgp => load_gobgp(lab, count),
        }
    }

    /// The most memory that its processes ever had resident, in bytes.
    pub fn peak_memory(self, lab: &Lab) -> Result<u64> {
        let daemons: &[&str] = match self {
            Self::Twintor => &[twintor::DAEMON],
            Self::Bird => &["bird"],
            // zebra is left out: its memory is the price of a kernel table, which the others do not keep here.
            Self::Frr => &["bgpd"],
            Self::Gobgp => &["gobgpd"],
        };
        daemons.iter().map(|daemon| peak(lab.pid(NODE, daemon)?)).sum()
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Twintor => "twintor",
            Self::Bird => "BIRD",
            Self::Frr => "FRR",
            Self::Gobgp => "GoBGP",
        })
    }
}

/// Starts twintor in the node with these objects.
pub(super) fn start_twintor(lab: &Lab, manifests: &Manifests, binary: &Path) -> Result<()> {
    start_twintor_on(lab, &format!("--manifests={}", manifests.dir().display()), binary)
}

/// Starts twintor in the node with the objects of this source, given as an argument.
pub(super) fn start_twintor_on(lab: &Lab, source: &str, binary: &Path) -> Result<()> {
    let args = [
        "run",
        source,
        "--node-name=node1",
        "--cluster-as=65000",
        "--neighbor-as=65030",
        "--neighbor-address=10.1.1.1,10.1.2.1",
        "--router-id=10.1.1.2",
        "--passivemode",
    ];
    lab.start(
        NODE,
        twintor::DAEMON,
        &binary.to_string_lossy(),
        args.map(str::to_owned).to_vec(),
    )
}

fn load_twintor(lab: &Lab, count: u32, binary: &Path) -> Result<()> {
    let manifests = Manifests::at(lab.dir().join("objects"))?;
    manifests.subnet("ovn-default", "10.32.0.0/11", None)?;
    for first in (0..count).step_by(PODS_OF as usize) {
        let last = count.min(first + PODS_OF);
        let addresses = (first..last)
            .map(|number| address(number).to_string())
            .collect::<Vec<_>>()
            .join(",");
        let name = format!("pod{first}");
        manifests.pod(&Pod {
            name: &name,
            addresses: &addresses,
            node: NODE,
            policy: Some("true"),
        })?;
    }
    start_twintor(lab, &manifests, binary)
}

fn load_bird(lab: &Lab, count: u32) -> Result<()> {
    let routes = lines(count, |text, address| {
        writeln!(text, "route {address}/32 blackhole;")
    })?;
    let routes = lab.write(NODE, "routes.conf", &routes)?;
    let mut config = format!(
        "log stderr all;\nrouter id 10.1.1.2;\nprotocol device {{}}\nprotocol direct {{ ipv4; }}\n\
         protocol static ours {{\nipv4;\ninclude \"{}\";\n}}\n",
        routes.display()
    );
    for (number, (local, remote)) in [("10.1.1.2", "10.1.1.1"), ("10.1.2.2", "10.1.2.1")]
        .into_iter()
        .enumerate()
    {
        writeln!(
            config,
            "protocol bgp peer{number} {{ local {local} as 65000; neighbor {remote} as 65030; passive on; \
             error wait time 1, 1; ipv4 {{ import none; export where proto = \"ours\"; }}; }}"
        )?;
    }
    let peers = vec!["10.1.1.1".parse()?, "10.1.2.1".parse()?];
    Bird::start_with(lab, NODE, &config, peers).map(drop)
}

fn load_frr(lab: &Lab, count: u32) -> Result<()> {
    // One routing table entry per prefix is what FRR redistributes from; typing them into vtysh would take minutes.
    let batch = lines(count, |text, address| {
        writeln!(text, "route add blackhole {address}/32")
    })?;
    let batch = lab.write(NODE, "routes.batch", &batch)?;
    run(lab.netns(NODE).command("ip").arg("-batch").arg(&batch))?;
    let config = "\
router bgp 65000
 bgp router-id 10.1.1.2
 no bgp ebgp-requires-policy
 neighbor 10.1.1.1 remote-as 65030
 neighbor 10.1.1.1 passive
 neighbor 10.1.2.1 remote-as 65030
 neighbor 10.1.2.1 passive
 address-family ipv4 unicast
  redistribute kernel route-map OURS
 exit-address-family
exit
ip prefix-list OURS permit 10.32.0.0/11 le 32
route-map OURS permit 10
 match ip address prefix-list OURS
exit
";
    Frr::start(lab, NODE, config, &["bgpd".to_owned()]).map(drop)
}

fn load_gobgp(lab: &Lab, count: u32) -> Result<()> {
    let mut config = "[global.config]\n  as = 65000\n  router-id = \"10.1.1.2\"\n".to_owned();
    for remote in ["10.1.1.1", "10.1.2.1"] {
        writeln!(
            config,
            "[[neighbors]]\n  [neighbors.config]\n    neighbor-address = \"{remote}\"\n    peer-as = 65030\n  \
             [neighbors.transport.config]\n    passive-mode = true\n  \
             [neighbors.timers.config]\n    idle-hold-time-after-reset = 1"
        )?;
    }
    let gobgp = Gobgp::start_with(lab, NODE, &config)?;
    let file = lab.dir().join(NODE).join("routes.mrt");
    // The command ends before its queue is empty, so what is lost at the end has to be of no use.
    let padding = std::iter::repeat_n(address(0), 5000);
    mrt::write(&file, (0..count).map(address).chain(padding)).context("write the MRT file")?;
    gobgp.cli(&format!(
        "mrt inject global {} --no-ipv6 --nexthop 10.1.1.2",
        file.display()
    ))?;
    let table = gobgp.cli("global rib summary")?;
    ensure!(
        table.contains(&format!("Destination: {count},")),
        "the table after loading: {table}"
    );
    Ok(())
}

fn lines(count: u32, line: impl Fn(&mut String, Ipv4Addr) -> fmt::Result) -> Result<String> {
    let mut text = String::new();
    for number in 0..count {
        line(&mut text, address(number))?;
    }
    Ok(text)
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(BASE + number)
}

fn peak(pid: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read the memory peak")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    let kilobytes = line.split_whitespace().next().context("an empty VmHWM")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}
