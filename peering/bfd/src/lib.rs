#![doc = include_str!("../README.md")]

mod auth;
mod client;
mod config;
mod counters;
mod demux;
mod discard;
mod event;
mod packet;
mod ports;
mod session;

pub use auth::{Auth, AuthError, AuthType, Key};
pub use client::{Reaction, may_establish, reaction};
pub use config::{COMMON_INTERVALS, ConfigError, Field, Hop, Role, SessionConfig, common_interval};
pub use counters::Counters;
pub use demux::{Demux, DemuxError, PeerKey};
pub use discard::Discard;
pub use event::{Cause, Event, StateChange};
pub use packet::{AuthSection, ControlPacket, Diag, MAX_PACKET_LEN, MIN_PACKET_LEN, Packet, RawAuth, State};
pub use ports::{ECHO_PORT, MULTI_HOP_PORT, SINGLE_HOP_PORT, SourcePorts, TRANSMIT_TTL};
pub use session::{PacketMeta, Remote, Session};
