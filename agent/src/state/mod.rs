//! The state file, `--state-file PATH`: the last complete desired set, for a start while the API server is away.
//!
//! ```text
//! file ──read──▶ Found::Set ──(nothing known in time)──▶ announced as it is, without End-of-RIB
//!                                                          │ first complete sync
//! file ◀──write, off the way, seldom── the desired set ◀───┘ only the difference is sent
//! ```
//!
//! It holds prefixes and no secrets. It is believed only if it is whole, of this node and gateway, not from the
//! future and not too old; the set in it only if this host has not been booted since, because a reboot takes the pods
//! with it. What is not believed is said in one line, and changes nothing.

mod announcer;
mod boot;
mod file;
mod format;
mod last_run;
mod writer;

#[cfg(test)]
mod tests;

pub use announcer::Remembering;
pub use boot::Boot;
pub use file::{Found, StateFile, Unusable};
pub use format::{FormatError, Identity, Snapshot};
pub use last_run::{LastRun, Remembered};

use fabric::RestartState;
use std::time::Duration;

/// What we know of our last run, to be told to the switches.
///
/// With a state file that is ours, there was one. Without, every start counts as a restart, as kube-ovn-speaker has
/// it. Forwarding outlives the process, but not a reboot: where no file tells whether there was one, a host that is up
/// for less than the restart time counts as rebooted.
pub fn restart_state(found: Option<&Found>, boot: &Boot, restart_time: Duration) -> RestartState {
    let long_up = boot.uptime >= restart_time;
    match found {
        Some(Found::Set(_)) => RestartState {
            restarting: true,
            forwarding: true,
        },
        Some(Found::OtherBoot) => RestartState {
            restarting: true,
            forwarding: false,
        },
        Some(Found::Nothing) => RestartState {
            restarting: false,
            forwarding: long_up,
        },
        None | Some(Found::Unusable(_)) => RestartState {
            restarting: true,
            forwarding: long_up,
        },
    }
}
