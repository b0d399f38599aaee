//! What a start makes of the last run.

use super::{Boot, Found, Identity, Remembering, StateFile, restart_state};
use crate::cli::Settings;
use crate::config::Resolved;
use crate::rack::RackAnnouncer;
use fabric::RestartState;
use jiff::Timestamp;

/// The state file as it was found, if there is to be one.
#[derive(Debug)]
pub struct LastRun {
    boot: Boot,
    restart: RestartState,
    kept: Option<(StateFile, Identity, Found)>,
}

/// An announcer that keeps the state file, where one is asked for.
#[derive(Debug)]
pub enum Remembered {
    /// It does.
    Yes(Remembering),
    /// None is asked for.
    No(RackAnnouncer),
}

impl LastRun {
    /// Reads the state file. What is not believed is said, and changes nothing.
    pub fn look(resolved: &Resolved, settings: &Settings) -> Self {
        let boot = Boot::read().unwrap_or_else(|error| {
            tracing::warn!(%error, "the kernel does not tell when it was booted; this start counts as one after a reboot");
            Boot::default()
        });
        let kept = resolved.state_file.clone().map(|file| {
            let identity = Identity {
                node: settings.node_name.clone(),
                gateway: settings.gateway_name.clone(),
            };
            let found = file.read(&identity, &boot, Timestamp::now());
            tell(&file, &found);
            (file, identity, found)
        });
        let found = kept.as_ref().map(|(_, _, found)| found);
        let restart = restart_state(found, &boot, resolved.restart_time());
        Self { boot, restart, kept }
    }

    /// What the switches are to be told of it.
    pub fn restart(&self) -> RestartState {
        self.restart
    }

    /// Lets an announcer keep the state file.
    pub fn remember(self, announcer: RackAnnouncer) -> Remembered {
        let Some((file, identity, found)) = self.kept else {
            return Remembered::No(announcer);
        };
        let last = match found {
            Found::Set(set) => Some(set),
            Found::OtherBoot | Found::Nothing | Found::Unusable(_) => None,
        };
        Remembered::Yes(Remembering::start(announcer, &file, identity, &self.boot, last))
    }
}

fn tell(file: &StateFile, found: &Found) {
    let path = file.path.display();
    match found {
        Found::Set(set) => tracing::info!(%path, prefixes = set.len(), "found the state of the last run"),
        Found::OtherBoot => {
            tracing::info!(%path, "the state file is from before the last boot: its prefixes are not used");
        }
        Found::Nothing => tracing::info!(%path, "there is no state file yet"),
        Found::Unusable(reason) => tracing::warn!(%path, %reason, "the state file is ignored"),
    }
}
