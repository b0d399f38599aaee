//! Scenarios against real routing daemons, judged by what the switches hold.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests: what cannot go on has failed"
)]

mod bad_peers;
mod config;
mod dual_tor;
mod matrix;
mod model;
mod rack;
mod restart;
mod steering;
mod support;
mod trouble;
