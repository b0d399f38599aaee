//! The real daemons: how each is started in a namespace, and how it is asked what it knows.

pub mod bird;
pub mod exabgp;
pub mod frr;
pub mod frr_switch;
pub mod gobgp;
pub mod openbgpd;
pub mod switch;
pub mod twintor;
