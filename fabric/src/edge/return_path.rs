//! The routes of the return path, as the rack thread sees them.

use crate::config::PlaneId;
use crate::rack::Rack;
use crate::return_path::{ReturnPath, ReturnPathConfig};
use crate::status::{ReturnPathStatus, ReturnRouteStatus};
use mio::Waker;
use net::netlink::routes::{KeptRoute, PROTOCOL, Route, RouteHop, RouteKeeper, advice, spawn};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Family;

const FAMILIES: [Family; 2] = [Family::Ipv4Unicast, Family::Ipv6Unicast];

/// Owns the thread that keeps the routes.
#[derive(Debug)]
pub(super) struct ReturnPathEdge {
    keeper: RouteKeeper,
    path: ReturnPath,
}

impl ReturnPathEdge {
    /// Starts the thread.
    pub(super) fn start(config: ReturnPathConfig, waker: Arc<Waker>) -> std::io::Result<Self> {
        let notify = move || {
            // The status is told after the rack thread's next timer at the latest.
            let _ = waker.wake();
        };
        let keeper = spawn(config.keeper(), notify)?;
        Ok(Self {
            keeper,
            path: ReturnPath::new(config),
        })
    }

    pub(super) fn config(&self) -> &ReturnPathConfig {
        self.path.config()
    }

    /// Chooses the planes again. `cause` is when that became necessary.
    pub(super) fn update(&mut self, rack: &Rack, cause: Instant) {
        for family in FAMILIES {
            let ways = rack.ways(family, self.path.config());
            let Some(routes) = self.path.update(family, &ways) else {
                continue;
            };
            let planes = names(self.path.planes(family));
            log(family, &planes, &routes);
            self.keeper.set(routes, cause);
        }
    }

    /// Whether the status has changed since this was asked last.
    pub(super) fn take_news(&self) -> bool {
        self.keeper.take_news()
    }

    pub(super) fn status(&self) -> ReturnPathStatus {
        let kept = self.keeper.status();
        let config = self.path.config();
        let micros = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let policies = [(false, kept.hash_policies.v4), (true, kept.hash_policies.v6)];
        let is_used = |v6: bool| config.prefixes.iter().any(|prefix| prefix.addr().is_ipv6() == v6);
        ReturnPathStatus {
            table: config.table,
            metric: config.metric.get(),
            protocol: PROTOCOL,
            trouble: kept.trouble,
            routes: kept.routes.iter().map(|route| self.route(route)).collect(),
            moves: kept.moves,
            restored: kept.restored,
            last_move_micros: kept.last_move.map(micros),
            slowest_move_micros: kept.slowest_move.map(micros),
            advice: policies
                .into_iter()
                .filter(|(v6, _)| is_used(*v6))
                .filter_map(|(v6, policy)| advice(v6, policy))
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Ends the thread, and removes exactly our routes unless they are to be left, by choice or for a successor.
    pub(super) fn stop(self, hands_over: bool) {
        let leave = hands_over || self.path.config().leave_on_exit;
        self.keeper.stop(leave);
    }

    /// Ends the thread and removes the routes: the return path is not wanted any more.
    pub(super) fn remove(self) {
        self.keeper.stop(false);
    }

    fn route(&self, kept: &KeptRoute) -> ReturnRouteStatus {
        let family = match kept.destination.addr() {
            IpAddr::V4(_) => Family::Ipv4Unicast,
            IpAddr::V6(_) => Family::Ipv6Unicast,
        };
        ReturnRouteStatus {
            prefix: kept.destination.to_string(),
            planes: self.path.planes(family).map(|plane| plane.to_string()).collect(),
            gateways: kept.hops.iter().map(|hop| hop.gateway).collect(),
            installed: kept.installed,
            error: kept.error.clone(),
        }
    }
}

fn names(planes: impl Iterator<Item = PlaneId>) -> String {
    let names: Vec<String> = planes.map(|plane| plane.to_string()).collect();
    names.join(",")
}

fn log(family: Family, planes: &str, routes: &[Route]) {
    let hops: Vec<String> = routes
        .first()
        .map(|route| route.hops.iter().map(show).collect())
        .unwrap_or_default();
    let hops = hops.join(",");
    tracing::info!(%family, planes, hops, "return path");
}

fn show(hop: &RouteHop) -> String {
    hop.gateway.to_string()
}
