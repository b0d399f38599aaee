//! The lab's Kubernetes: that the real API server does what scenarios rely on, and that the one that misbehaves on
//! request behaves like the real one as long as nothing is requested.

mod cluster;
mod faults;
mod likeness;
mod scale;
