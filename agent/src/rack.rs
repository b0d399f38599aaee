//! From settings to the rack, and from the index to it.

use crate::cli::Settings;
use crate::index::Change;
use crate::run::Announcer;
use anyhow::Context;
use fabric::{
    BfdProfile, ListenConfig, NeighborConfig, NodeIps, PlaneId, RackConfig, RackHandle, RackThread,
    RouteChange, Steering,
};
use net::netlink::path_to;
use net::{Md5Key, Md5KeyError, Ttl};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use wire::{Family, FamilySet};

/// The TCP port of BGP.
const BGP_PORT: u16 = 179;

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
    /// Starts the rack. Waits for a route to the first switch where the router id depends on it.
    ///
    /// # Errors
    /// The password is unusable, or the operating system has no thread to give.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let router_id = router_id(settings).await;
        let config = rack_config(settings, router_id).context("--auth-password cannot be used")?;
        let (rack, thread) = fabric::spawn(config)?;
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

    async fn shut_down(&mut self) {
        self.rack.stop("twintor is stopping").await;
        let Some(thread) = self.thread.take() else { return };
        if let Err(error) = tokio::task::spawn_blocking(|| thread.join()).await {
            tracing::error!(%error, "cannot wait for the rack thread");
        }
    }
}

/// The rack that the settings describe. The first address of each family is plane `a`, the second plane `b`, …
///
/// # Errors
/// The password cannot be a TCP MD5 key.
pub fn rack_config(settings: &Settings, router_id: Ipv4Addr) -> Result<RackConfig, Md5KeyError> {
    let password = settings.auth_password.clone().map(Md5Key::new).transpose()?;
    let v4 = settings.neighbors_v4.iter().copied().map(IpAddr::V4).enumerate();
    let v6 = settings.neighbors_v6.iter().copied().map(IpAddr::V6).enumerate();
    let neighbors = v4
        .chain(v6)
        .map(|(plane, address)| NeighborConfig {
            plane: PlaneId(plane),
            address,
            port: BGP_PORT,
            remote_as: settings.neighbor_as,
            hold_time: u16::try_from(settings.hold_time.as_secs()).unwrap_or(u16::MAX),
            passive: settings.passive,
            ttl: ttl(settings),
            password: password.clone(),
            families: families(settings, address),
            extended_next_hop: settings.extended_nexthop,
            allowed_sources: allowed_sources(settings, address),
            source: None,
            device: None,
            steering: Steering::default(),
            bfd: settings.bfd.map(|bfd| BfdProfile {
                min_tx: bfd.min_tx,
                min_rx: bfd.min_rx,
                multiplier: bfd.multiplier,
                strict: false,
            }),
            user_timeout: Some(settings.hold_time),
        })
        .collect();
    Ok(RackConfig {
        local_as: settings.cluster_as,
        router_id,
        host_name: settings.node_name.clone(),
        neighbors,
        listen: ListenConfig {
            addresses: listen_addresses(settings),
        },
        node_ips: NodeIps {
            pod_v4: settings.pod_ips.v4,
            pod_v6: settings.pod_ips.v6,
            node_v4: settings.node_ips.v4,
            node_v6: settings.node_ips.v6,
        },
    })
}

/// The BGP identifier: the one that is set, else our address towards the first IPv4 switch. Waits for a route to
/// that switch where there is none yet.
pub async fn router_id(settings: &Settings) -> Ipv4Addr {
    if let Some(id) = settings.router_id {
        return id;
    }
    let mut warned = false;
    loop {
        for switch in &settings.neighbors_v4 {
            if let Ok(path) = path_to(IpAddr::V4(*switch)).await
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

fn ttl(settings: &Settings) -> Ttl {
    let internal = settings.neighbor_as == settings.cluster_as;
    if let Some(hops) = settings.ttl_security {
        return Ttl::Security { hops };
    }
    match settings.ebgp_multihop {
        _ if internal => Ttl::System,
        0 | 1 => Ttl::Direct,
        hops => Ttl::Multihop(hops),
    }
}

fn families(settings: &Settings, address: IpAddr) -> FamilySet {
    match address {
        _ if settings.extended_nexthop => FamilySet::ALL,
        IpAddr::V4(_) => FamilySet::only(Family::Ipv4Unicast),
        IpAddr::V6(_) => FamilySet::only(Family::Ipv6Unicast),
    }
}

fn allowed_sources(settings: &Settings, address: IpAddr) -> Vec<IpAddr> {
    match address {
        IpAddr::V4(_) => settings
            .allowed_sources_v4
            .iter()
            .copied()
            .map(IpAddr::V4)
            .collect(),
        IpAddr::V6(_) => settings
            .allowed_sources_v6
            .iter()
            .copied()
            .map(IpAddr::V6)
            .collect(),
    }
}

/// All addresses of the families that have a switch, or those that are set.
fn listen_addresses(settings: &Settings) -> Vec<SocketAddr> {
    let Some(port) = settings.listen_port else {
        return Vec::new();
    };
    if !settings.listen_addresses.is_empty() {
        return settings
            .listen_addresses
            .iter()
            .map(|addr| SocketAddr::new(*addr, port))
            .collect();
    }
    let v4 = (!settings.neighbors_v4.is_empty()).then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let v6 = (!settings.neighbors_v6.is_empty()).then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    v4.into_iter()
        .chain(v6)
        .map(|addr| SocketAddr::new(addr, port))
        .collect()
}
