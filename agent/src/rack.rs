//! From settings to the rack, and from the index to it.

use crate::config::Resolved;
use crate::index::Change;
use crate::run::{Announcer, Farewell};
use fabric::{RackHandle, RackThread, RestartState, RouteChange};
use net::netlink::path_to;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// How often the route to the first switch is asked for while it is needed as the router id.
const ROUTER_ID_RETRY: Duration = Duration::from_secs(1);

/// How many changes the rack thread is given at a time: it looks after its sockets in between.
const BATCH: usize = 4096;

/// Takes the changes of the desired set to the rack thread.
#[derive(Debug)]
pub struct RackAnnouncer {
    rack: RackHandle,
    thread: Option<RackThread>,
}

impl RackAnnouncer {
    /// Starts the rack, and tells the switches this host name and what became of our last run. Waits for a route to the first switch where the router
    /// id depends on it.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub async fn start(
        resolved: &Resolved,
        host_name: Option<String>,
        restart: RestartState,
    ) -> anyhow::Result<Self> {
        let config = resolved.rack(router_id(resolved).await, host_name);
        let (rack, thread) = fabric::spawn(config, restart)?;
        Ok(Self {
            rack,
            thread: Some(thread),
        })
    }

    /// The rack, to ask it.
    pub fn rack(&self) -> &RackHandle {
        &self.rack
    }
}

impl Announcer for RackAnnouncer {
    async fn apply(&mut self, changes: Vec<Change>) {
        for batch in changes.chunks(BATCH) {
            let changes = batch.iter().map(|Change { prefix, announced }| RouteChange {
                prefix: *prefix,
                announced: *announced,
            });
            self.rack.apply(changes.collect()).await;
        }
    }

    async fn sync_complete(&mut self) {
        self.rack.set_complete().await;
    }

    async fn open_early(&mut self) {
        self.rack.open_early().await;
    }

    async fn shut_down(&mut self, farewell: Farewell) {
        match farewell {
            Farewell::Restarts => self.rack.restart("twintor is restarting").await,
            Farewell::Leaves => self.rack.stop("twintor is stopping").await,
        }
        let Some(thread) = self.thread.take() else { return };
        if let Err(error) = tokio::task::spawn_blocking(|| thread.join()).await {
            tracing::error!(%error, "cannot wait for the rack thread");
        }
    }
}

/// The BGP identifier: the one that is set, else our address towards the first IPv4 switch. Waits for a route to
/// that switch where there is none yet.
pub async fn router_id(resolved: &Resolved) -> Ipv4Addr {
    if let Some(id) = resolved.router_id {
        return id;
    }
    let mut warned = false;
    loop {
        for neighbor in &resolved.neighbors {
            if neighbor.address.is_ipv4()
                && let Ok(path) = path_to(neighbor.address).await
                && let Some(IpAddr::V4(source)) = path.source
            {
                return source;
            }
        }
        if !std::mem::replace(&mut warned, true) {
            tracing::warn!(
                "no route to any switch yet, so no router id; set --router-id to start without one"
            );
        }
        tokio::time::sleep(ROUTER_ID_RETRY).await;
    }
}
