//! Agents that read an API server, seen from the switches.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests: what cannot go on has failed"
)]

mod account;
mod bad_input;
mod cases;
mod faults;
mod networks;
mod node_labels;
mod outage;
mod policy;
mod sidecar;
mod starting;
mod support;
