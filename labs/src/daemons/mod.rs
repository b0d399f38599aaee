//! The real daemons: how each is started in a namespace, and how it is asked what it knows.

pub mod frr;
pub mod twintor;
