//! From a containerlab file to a running lab.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::clab::{ClabFile, Node, Role};
use crate::daemons::{frr, twintor};
use crate::lab::Lab;
use crate::netns::{Netns, run};
use crate::process::ProcId;
use crate::state::{self, Record};
use crate::wires::Link;

/// What to build.
#[derive(Debug, Clone)]
pub struct LabBuilder {
    topology: String,
    id: Option<String>,
    wires: bool,
    detached: bool,
    without: Vec<Role>,
}

impl LabBuilder {
    /// The topology by its name under `labs/topologies`, or a path to a containerlab file.
    pub fn new(topology: &str) -> Self {
        Self {
            topology: topology.to_owned(),
            id: None,
            wires: false,
            detached: false,
            without: Vec::new(),
        }
    }

    /// Gives the lab a name instead of a random one.
    #[must_use]
    pub fn id(mut self, id: Option<String>) -> Self {
        self.id = id;
        self
    }

    /// Leads every link through a bridge of its own, so that it can be cut without the ends noticing.
    #[must_use]
    pub fn wires(mut self) -> Self {
        self.wires = true;
        self
    }

    /// Leaves the lab up when the value is dropped.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Does not start what the file says for nodes of this role; the caller will.
    #[must_use]
    pub fn without(mut self, role: Role) -> Self {
        self.without.push(role);
        self
    }

    /// Builds it. What was built so far is taken down again when a step fails.
    pub fn up(self) -> Result<Lab> {
        let file = ClabFile::read(&topology_file(&self.topology)?)?;
        let mut lab = self.claim(file)?;
        lab.make_networks(self.wires).context("make the networks")?;
        for (name, node) in lab.file().topology.nodes.clone() {
            if !self.without.contains(&node.role()) {
                start(&lab, &name, &node).with_context(|| format!("start {name}"))?;
            }
        }
        Ok(lab)
    }

    fn claim(&self, file: ClabFile) -> Result<Lab> {
        let id = self.id.clone().unwrap_or_else(random_id);
        let middle = self.wires.then(|| format!("tl{id}-wire"));
        let namespaces = file
            .networks()
            .map(|(name, _)| format!("tl{id}-{name}"))
            .chain(middle)
            .collect::<Vec<_>>();
        let run_dirs = namespaces
            .iter()
            .map(|name| Path::new(frr::RUN_DIR).join(name))
            .chain([Path::new("/run/twintor-lab").join(&id)])
            .collect();
        let record = Record {
            id,
            topology: file.name.clone(),
            owner: (!self.detached).then(ProcId::own),
            namespaces,
            run_dirs,
        };
        let dir = record.claim()?;
        Ok(Lab::new(record, dir, file))
    }
}

impl Lab {
    fn make_networks(&mut self, wires: bool) -> Result<()> {
        for name in self.namespaces() {
            Netns::named(name.as_str()).create()?;
        }
        let middle = wires.then(|| self.netns("wire"));
        if let Some(middle) = &middle {
            middle.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        }
        let file = self.file().clone();
        for (name, node) in file.networks() {
            for (key, value) in &node.sysctls {
                self.netns(name).sysctl(key, &value.to_string())?;
            }
        }
        for (number, link) in file.topology.links.iter().enumerate() {
            let ends = link
                .ends()?
                .map(|(node, interface)| (node, self.netns(node), interface));
            self.add_link(Link::make(number, ends, middle.as_ref())?);
        }
        for (name, node) in file.networks() {
            for line in &node.exec {
                self.exec_line(name, line)?;
            }
        }
        Ok(())
    }

    /// Runs a line of the file's `exec` in a node: words, no shell, as containerlab does it.
    fn exec_line(&self, node: &str, line: &str) -> Result<()> {
        let mut words = line.split_whitespace();
        let program = words.next().context("an empty exec line")?;
        run(self.netns(node).command(program).args(words)).map(drop)
    }
}

fn start(lab: &Lab, name: &str, node: &Node) -> Result<()> {
    match node.role() {
        Role::Host => Ok(()),
        Role::Frr => frr::start_node(lab, name, node),
        Role::Twintor => twintor::start_node(lab, name, node),
    }
}

fn topology_file(name: &str) -> Result<PathBuf> {
    let path = PathBuf::from(name);
    if path
        .extension()
        .is_some_and(|extension| extension == "yml" || extension == "yaml")
    {
        return fs::canonicalize(&path).with_context(|| format!("find {name}"));
    }
    let dir = state::workspace()?.join("labs/topologies");
    let path = dir.join(format!("{name}.clab.yml"));
    if path.exists() {
        return Ok(path);
    }
    let there = fs::read_dir(&dir)?
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .strip_suffix(".clab.yml")
                .map(str::to_owned)
        })
        .collect::<Vec<_>>();
    anyhow::bail!("no topology {name}; there are {}", there.join(", "))
}

fn random_id() -> String {
    std::iter::repeat_with(fastrand::lowercase).take(5).collect()
}
