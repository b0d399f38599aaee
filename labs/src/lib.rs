//! The lab: racks made of network namespaces, with real routing daemons as the switches and the built `twintor` as the
//! agent, driven from outside like a user would.
//!
//! A topology is a containerlab file (`labs/topologies/*.clab.yml`); [`Lab`] realises the same file without a container
//! engine. Everything a lab starts is recorded in its state directory, so that [`Lab`]'s `Drop`, `cargo lab down` or a
//! later run after a crash can take it away again.

pub mod bench;
pub mod bfdpeer;
mod build;
pub mod capture;
pub mod clab;
pub mod daemons;
pub mod demo;
pub mod helm;
pub mod image;
pub mod kernel;
pub mod kube;
mod lab;
pub mod manifests;
pub mod netns;
pub mod probe;
pub mod process;
pub mod rawpeer;
pub mod setup;
pub mod shipped;
pub mod state;
pub mod testrun;
pub mod wait;
pub mod watch;
mod wires;

pub use build::LabBuilder;
pub use lab::Lab;
pub use wires::Link;
