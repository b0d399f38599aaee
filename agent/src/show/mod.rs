//! The commands that look at a running agent.
pub mod client;
