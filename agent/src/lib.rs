//! The agent.
pub mod objects;
