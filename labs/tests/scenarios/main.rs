//! Scenarios against real routing daemons, judged by what the switches hold.

mod bad_peers;
mod dual_tor;
mod matrix;
mod model;
mod rack;
mod support;
mod trouble;
