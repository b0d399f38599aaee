//! The rack on its own thread: sockets in, sockets out.

mod bfd;
mod connections;
mod driver;
mod handle;
mod listeners;
mod log;
mod return_path;

pub use handle::{RackHandle, RackThread, SpawnError, spawn};
