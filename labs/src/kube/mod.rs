//! Kubernetes for the lab: a real API server on a real etcd, and one that misbehaves on request.
//!
//! [`Cluster`] is etcd and kube-apiserver in a namespace that nodes of a lab can be wired to, with the custom resources of
//! Kube-OVN served and nothing else running: no controller, no kubelet. Tests write what a controller would have written.

mod apiserver_build;

pub use apiserver_build::{Binaries, ensure_apiserver};
