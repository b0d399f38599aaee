//! The agent.
pub mod index;
pub mod objects;
