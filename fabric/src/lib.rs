//! The rack as seen from a node: its planes, and what each of them is told.
//!
//! [`Rack`] is the pure part: planes, sessions, next hops and gates, driven by inputs and the time. The `edge`
//! modules put it on a thread of its own with the sockets of `net`; [`spawn`] starts that thread and returns a
//! [`RackHandle`] to talk to it.
//!
//! ```text
//! RackHandle --commands--> [ rack thread: mio loop { Rack { Plane { Session { bgp::Peer } } } } ] <--TCP--> switches
//!            <--status----
//! ```

mod config;
mod coupling;
mod edge;
mod next_hop;
mod plan;
mod rack;
mod return_path;
mod status;

pub use bgp::RestartState;
pub use config::{GracefulRestart, ListenConfig, NeighborConfig, NodeIps, PlaneId, RackConfig, Steering};
pub use coupling::{BfdNews, BfdProfile, BfdStrict};
pub use edge::{RackHandle, RackThread, SpawnError, spawn};
pub use next_hop::{NextHops, next_hops};
pub use plan::{ReloadPlan, SessionPlan, SettingChange, Verdict, plan};
pub use rack::{Action, Rack, RouteChange, SessionId};
pub use return_path::{ReturnHopConfig, ReturnPathConfig};
pub use status::{
    FamilyStatus, Gate, PairState, PendingStatus, PlaneStatus, RackStatus, ReturnPathStatus,
    ReturnRouteStatus, RouteStatus, SessionStatus,
};
