//! What a new configuration means for each session. Pure: nothing is done here.

mod check;
mod diff;
#[cfg(test)]
mod tests;

use crate::config::{NeighborConfig, NodeIps, RackConfig};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// What a reload does to one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing: not an octet is sent.
    Unchanged,
    /// The settings are taken over while the session goes on.
    Soft,
    /// The session is closed with Cease/Other Configuration Change and opened anew.
    Reset,
    /// The session is new.
    Added,
    /// The session is closed with Cease/Peer De-configured, for good.
    Removed,
    /// The new settings are unusable: the session stays as it is.
    Refused,
}

/// One setting that differs. A secret is named, never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// The setting in an operator's words.
    pub setting: String,
    /// Its value so far; `None` for a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its value to come; `None` for a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether it takes a reset of the session.
    pub resets: bool,
}

/// What a reload does to one session, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPlan {
    /// The plane: `a`, `b`, … For a session that moves, the one it has so far.
    pub plane: String,
    /// The switch.
    pub neighbor: IpAddr,
    /// What happens.
    pub verdict: Verdict,
    /// The settings that differ.
    pub changes: Vec<SettingChange>,
    /// Why the new settings are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a reload does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadPlan {
    /// The sessions: those of the new configuration in its order, then those that are removed.
    pub sessions: Vec<SessionPlan>,
    /// What changes without touching any session.
    pub rack: Vec<SettingChange>,
}

/// Everything that one session is made of, its share of the rack's settings included: while a reload goes from plane
/// to plane, two sessions may have different ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) local_as: u32,
    pub(crate) router_id: Ipv4Addr,
    pub(crate) host_name: Option<String>,
    pub(crate) node_ips: NodeIps,
    pub(crate) neighbor: NeighborConfig,
}

/// Compares two configurations. `sources` are our present addresses on the sessions, by switch, as far as they are
/// known: they decide whether a new list of allowed sources lets a session go on.
pub fn plan(current: &RackConfig, new: &RackConfig, sources: &BTreeMap<IpAddr, IpAddr>) -> ReloadPlan {
    let present: Vec<Settings> = settings_of(current).collect();
    let present = present
        .iter()
        .map(|settings| (settings, sources.get(&settings.neighbor.address).copied()));
    ReloadPlan {
        sessions: session_plans(present, new),
        rack: rack_changes(current, new),
    }
}

/// What changes without touching any session.
pub(crate) fn rack_changes(current: &RackConfig, new: &RackConfig) -> Vec<SettingChange> {
    let listen = diff::listen(&current.listen, &new.listen);
    let return_path = diff::return_path(current.return_path.as_ref(), new.return_path.as_ref());
    listen.into_iter().chain(return_path).collect()
}

/// The settings of each session of a configuration.
pub(crate) fn settings_of(config: &RackConfig) -> impl Iterator<Item = Settings> {
    // Whoever adds a setting has to say here whether sessions have a share in it.
    let RackConfig {
        local_as,
        router_id,
        host_name,
        neighbors,
        listen: _,
        node_ips,
        return_path: _,
    } = config;
    neighbors.iter().map(|neighbor| Settings {
        local_as: *local_as,
        router_id: *router_id,
        host_name: host_name.clone(),
        node_ips: *node_ips,
        neighbor: neighbor.clone(),
    })
}

/// Compares the sessions there are, each with our present address on it, to those of a configuration.
pub(crate) fn session_plans<'a>(
    present: impl IntoIterator<Item = (&'a Settings, Option<IpAddr>)>,
    new: &RackConfig,
) -> Vec<SessionPlan> {
    let mut present: BTreeMap<IpAddr, (&Settings, Option<IpAddr>)> = present
        .into_iter()
        .map(|entry| (entry.0.neighbor.address, entry))
        .collect();
    let mut seen = BTreeSet::new();
    let mut plans = Vec::new();
    for wanted in settings_of(new) {
        let address = wanted.neighbor.address;
        if !seen.insert(address) {
            plans.push(SessionPlan::refused(
                &wanted,
                format!("the switch {address} is there twice: it can have one session"),
            ));
            continue;
        }
        let former = present.remove(&address);
        plans.push(SessionPlan::new(former, &wanted));
    }
    plans.extend(
        present
            .values()
            .map(|(settings, _)| SessionPlan::of_removal(settings)),
    );
    plans
}

impl SessionPlan {
    fn new(former: Option<(&Settings, Option<IpAddr>)>, wanted: &Settings) -> Self {
        if let Some(reason) = check::fault(wanted) {
            return Self::refused(wanted, reason);
        }
        match former {
            Some((former, source)) => Self::of_change(former, wanted, source),
            None => Self {
                verdict: Verdict::Added,
                ..Self::of_removal(wanted)
            },
        }
    }

    /// For a session that is there, and settings that are sound.
    pub(crate) fn of_change(former: &Settings, wanted: &Settings, source: Option<IpAddr>) -> Self {
        let changes = diff::settings(former, wanted, source);
        let verdict = match changes.iter().any(|change| change.resets) {
            _ if changes.is_empty() => Verdict::Unchanged,
            true => Verdict::Reset,
            false => Verdict::Soft,
        };
        Self {
            verdict,
            changes,
            ..Self::of_removal(former)
        }
    }

    /// For a session that is there and not wanted any more.
    pub(crate) fn of_removal(former: &Settings) -> Self {
        Self {
            plane: former.neighbor.plane.to_string(),
            neighbor: former.neighbor.address,
            verdict: Verdict::Removed,
            changes: Vec::new(),
            reason: None,
        }
    }

    fn refused(wanted: &Settings, reason: String) -> Self {
        Self {
            plane: wanted.neighbor.plane.to_string(),
            neighbor: wanted.neighbor.address,
            verdict: Verdict::Refused,
            changes: Vec::new(),
            reason: Some(reason),
        }
    }
}

impl ReloadPlan {
    /// Whether nothing would be done.
    pub fn is_empty(&self) -> bool {
        let unchanged = |session: &SessionPlan| session.verdict == Verdict::Unchanged;
        self.rack.is_empty() && self.sessions.iter().all(unchanged)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unchanged => "unchanged",
            Self::Soft => "soft",
            Self::Reset => "reset",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Refused => "refused",
        })
    }
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{} {from} -> {to}", self.setting),
            _ => write!(f, "{} changed", self.setting),
        }
    }
}

impl fmt::Display for SessionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.plane, self.neighbor, self.verdict)?;
        let mut separator = ": ";
        for change in &self.changes {
            write!(f, "{separator}{change}")?;
            separator = ", ";
        }
        if let Some(reason) = &self.reason {
            write!(f, "{separator}{reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ReloadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for session in &self.sessions {
            write!(f, "{separator}{session}")?;
            separator = "; ";
        }
        for change in &self.rack {
            write!(f, "{separator}{change}")?;
            separator = "; ";
        }
        Ok(())
    }
}
