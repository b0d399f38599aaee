//! Kubernetes for the lab: a real API server on a real etcd, and one that misbehaves on request.
//!
//! [`Cluster`] is etcd and kube-apiserver in a namespace that nodes of a lab can be wired to, with the custom resources of
//! Kube-OVN served and nothing else running: no controller, no kubelet. Tests write what a controller would have written.
//! [`FaultyApi`] serves the same kinds from inside the test, with faults that a real server cannot be asked for.

mod apiserver_build;
mod client;
mod cluster;
pub mod faulty_api;
mod http;
mod kinds;
mod mgmt;
pub mod objects;
pub mod scale;
mod users;

pub use apiserver_build::{Binaries, ensure_apiserver};
pub(crate) use apiserver_build::{GO, cache_dir, lock};
pub use client::{ApiClient, Reply, Watch};
pub use cluster::{Cluster, ClusterBuilder};
pub use faulty_api::{Fault, FaultyApi, Rule, Verb};
pub use kinds::{KINDS, Kind, path_of};
pub use mgmt::INTERFACE;
pub use users::{ADMIN, OVN, STRANGER, TWINTOR, User, VPC_NAT_GW};

#[expect(
    clippy::print_stderr,
    reason = "a build of minutes, and what a destructor finds"
)]
fn tell(line: &str) {
    eprintln!("{line}");
}
