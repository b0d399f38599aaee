//! Two sessions talk over a simulated link, each with a clock of its own. Nothing here sleeps.

#![allow(clippy::unwrap_used, reason = "a test helper fails the test that called it")]

mod pair;

mod auth;
mod detection;
mod lifecycle;
mod parameters;
mod readme;
