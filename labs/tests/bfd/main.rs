//! BFD against FRR's bfdd, BIRD and a scripted peer, judged by what the switches and the wire show.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests: what cannot go on has failed"
)]

mod bird;
mod configured;
mod damping;
mod faults;
mod hostile;
mod return_path;
mod support;
mod switch;
