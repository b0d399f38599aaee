//! The agent: from Kubernetes objects to the announcements of one node.
//!
//! - [`cli`]: the command line and environment, as plain [`Settings`](cli::Settings).
//! - [`config`]: the structured configuration, from its text to the sessions.
//! - [`control`]: the control socket.
//! - [`objects`]: the Kubernetes objects, reduced to what is used.
//! - [`sources`]: where the objects come from, as batches of events.
//! - [`index`]: a pure fold of those events into changes of the desired set, with reasons.
//! - [`board`]: what is wrong now, for those who ask.
//! - [`events`]: the same, as Kubernetes Events on the objects at fault.
//! - [`http`]: health and status over HTTP.
//! - [`report`]: what is told there, and read by the commands.
//! - [`show`]: the commands that look at a running agent.
//! - [`logging`]: what operators read.
//! - [`rack`]: the way from settings and changes to the rack thread.
//! - [`capability`]: the right to bind port 179.
//! - [`state`]: the desired set in a file, for a start without the API server.
//! - [`run`]: the wiring of all that.

pub mod board;
pub mod capability;
pub mod cli;
pub mod config;
pub mod control;
pub mod events;
pub mod http;
pub mod index;
pub mod logging;
pub mod objects;
pub mod rack;
pub mod report;
pub mod run;
pub mod show;
pub mod sources;
pub mod state;
