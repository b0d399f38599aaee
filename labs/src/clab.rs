//! The part of the containerlab file format that the topologies here use.
//!
//! An unknown key is an error rather than something quietly not done: a topology must mean the same under
//! `containerlab deploy` and under the runner.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// A containerlab file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClabFile {
    /// The name of the lab.
    pub name: String,
    /// Its nodes and links.
    pub topology: Topology,
    /// The directory of the file: what `binds` are relative to.
    #[serde(skip)]
    pub dir: PathBuf,
}

/// Nodes and the links between them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Links, in the order of the file.
    #[serde(default)]
    pub links: Vec<LinkDef>,
}

/// One node: a container for containerlab, a namespace (or a process in another node's namespace) for the runner.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Node {
    /// Always `linux`.
    pub kind: String,
    /// The image; the runner derives from it what to start.
    pub image: String,
    /// `none`, or `container:NODE` for a process that lives in NODE's network.
    pub network_mode: Option<String>,
    /// Arguments of the image's entry point.
    pub cmd: Option<String>,
    /// `host:container` pairs, the host side relative to the file.
    #[serde(default)]
    pub binds: Vec<String>,
    /// Kernel settings of the node's network.
    #[serde(default)]
    pub sysctls: BTreeMap<String, Scalar>,
    /// Commands run in the node once its links are there.
    #[serde(default)]
    pub exec: Vec<String>,
}

/// One link.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkDef {
    /// `node:interface`, twice.
    pub endpoints: [String; 2],
}

/// A number or a word.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A number.
    Number(i64),
    /// A word.
    Text(String),
}

/// What an image name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// FRR.
    Frr,
    /// The agent under test.
    Twintor,
    /// Only a network stack.
    Host,
}

impl ClabFile {
    /// Reads a file and checks that it is closed in itself.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let mut file: Self =
            serde_saphyr::from_str(&text).with_context(|| format!("parse {}", path.display()))?;
        file.dir = path.parent().unwrap_or_else(|| Path::new(".")).to_owned();
        file.check()
            .with_context(|| format!("check {}", path.display()))?;
        Ok(file)
    }

    /// The nodes that have a network of their own.
    pub fn networks(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.topology
            .nodes
            .iter()
            .filter(|(_, node)| node.shares().is_none())
    }

    fn check(&self) -> Result<()> {
        for (name, node) in &self.topology.nodes {
            ensure!(
                node.kind == "linux",
                "node {name}: kind {} is not realised by the runner",
                node.kind
            );
            if let Some(other) = node.shares() {
                let Some(other) = self.topology.nodes.get(other) else {
                    bail!("node {name} shares the network of {other}, which is not there");
                };
                ensure!(other.shares().is_none(), "node {name} shares a shared network");
            }
            for bind in node.binds()? {
                let host = self.dir.join(bind.host);
                ensure!(
                    host.exists(),
                    "node {name}: {} is bound but not there",
                    host.display()
                );
            }
        }
        for link in &self.topology.links {
            for (node, _) in link.ends()? {
                let there = self
                    .topology
                    .nodes
                    .get(node)
                    .is_some_and(|node| node.shares().is_none());
                ensure!(
                    there,
                    "link {:?} ends at {node}, which has no network of its own",
                    link.endpoints
                );
            }
        }
        Ok(())
    }
}

/// One bind, taken apart.
#[derive(Debug, Clone, Copy)]
pub struct Bind<'a> {
    /// The path beside the file.
    pub host: &'a str,
    /// The path inside the container.
    pub container: &'a str,
}

impl Node {
    /// What the image stands for.
    pub fn role(&self) -> Role {
        let name = self.image.rsplit('/').next().unwrap_or(&self.image);
        match name.split(':').next().unwrap_or(name) {
            "frr" => Role::Frr,
            "twintor" => Role::Twintor,
            _ => Role::Host,
        }
    }

    /// The node whose network this one shares.
    pub fn shares(&self) -> Option<&str> {
        self.network_mode.as_deref()?.strip_prefix("container:")
    }

    /// The binds, taken apart.
    pub fn binds(&self) -> Result<Vec<Bind<'_>>> {
        let split = |bind: &'_ str| -> Result<(usize, usize)> {
            let mut parts = bind.splitn(3, ':');
            let (Some(host), Some(container)) = (parts.next(), parts.next()) else {
                bail!("bind {bind:?} is not host:container");
            };
            Ok((host.len(), container.len()))
        };
        self.binds
            .iter()
            .map(|bind| {
                let (host, container) = split(bind)?;
                Ok(Bind {
                    host: &bind[..host],
                    container: &bind[host + 1..host + 1 + container],
                })
            })
            .collect()
    }
}

impl LinkDef {
    /// The two ends as node and interface.
    pub fn ends(&self) -> Result<[(&str, &str); 2]> {
        let [left, right] = &self.endpoints;
        let (Some(left), Some(right)) = (left.split_once(':'), right.split_once(':')) else {
            bail!("endpoints {:?} are not node:interface", self.endpoints);
        };
        Ok([left, right])
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}
