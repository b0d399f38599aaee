//! A cluster, an agent that follows it, and two receivers that have what it announces.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::Lab;
use crate::bench::receiver::Receiver;
use crate::bench::senders::start_twintor_on;
use crate::bench::{RECEIVERS, open, rack};
use crate::daemons::twintor;
use crate::kube::scale::Load;
use crate::kube::{Cluster, TWINTOR};

const NODE: &str = "node1";

/// How long the first reading may take.
const SYNC: Duration = Duration::from_secs(120);

/// What is measured. The rack, and the agent with it, ends before its cluster.
pub(super) struct World {
    pub(super) receivers: [Receiver; 2],
    lab: Lab,
    pub(super) cluster: Cluster,
    pub(super) load: Load,
}

impl World {
    /// Everything runs, and both receivers have what is announced.
    pub(super) fn up(pods: u32, binary: &Path) -> Result<Self> {
        let load = Load {
            pods,
            nodes: 100,
            annotated_every: 100,
        };
        let lab = rack()?;
        let cluster = Cluster::start()?;
        cluster.wire(&lab.netns(NODE))?;
        cluster.apply_role()?;
        load.fill(&cluster)?;
        let kubeconfig = cluster.kubeconfig(TWINTOR)?;
        start_twintor_on(&lab, &format!("--kubeconfig={}", kubeconfig.display()), binary)?;
        let connect = |(switch, node): (&str, [u8; 4])| {
            Receiver::connect(&lab.netns(switch), node.into(), &open()).map(Receiver::keeping)
        };
        let [one, other] = RECEIVERS.map(connect);
        let mut world = Self {
            receivers: [one?, other?],
            lab,
            cluster,
            load,
        };
        let expected = world.expected();
        world
            .until(SYNC, |table| *table == expected)
            .context("the first announcements")?;
        Ok(world)
    }

    /// The process of the agent.
    pub(super) fn agent(&self) -> Result<i32> {
        self.lab.pid(NODE, twintor::DAEMON)
    }

    /// The host routes that are to be announced at first.
    pub(super) fn expected(&self) -> HashSet<Ipv4Addr> {
        let annotated = (0..self.load.pods).filter(|number| self.load.look(*number).annotated);
        annotated.map(|number| self.load.address(number)).collect()
    }

    /// Both receivers read until a condition holds.
    pub(super) fn until(
        &mut self,
        deadline: Duration,
        holds: impl Fn(&HashSet<Ipv4Addr>) -> bool + Sync,
    ) -> Result<()> {
        let holds = &holds;
        thread::scope(|scope| {
            let threads = self
                .receivers
                .each_mut()
                .map(|receiver| scope.spawn(move || receiver.until(deadline, holds)));
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a receiver panicked"))?)
        })
    }
}
