//! The codec from outside: round trips, foreign codecs as oracles, and mutated messages.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "a test fails by panicking, and the foreign enums are large or not exhaustive"
)]

mod mutation;
mod oracle_netgauze;
mod oracle_rustbgpd;
mod roundtrip;
mod strategies;
