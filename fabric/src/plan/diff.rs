//! Which settings differ, and which of them a session cannot take over while it is up.

use super::{SettingChange, Settings};
use crate::config::{ListenConfig, NeighborConfig, NodeIps, Steering, as_set};
use crate::coupling::{BfdProfile, BfdStrict};
use crate::return_path::ReturnPathConfig;
use net::Ttl;
use net::bfd::Auth;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

/// Whether a change takes a reset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Soft,
    Reset,
}
use Effect::{Reset, Soft};

/// What differs between the settings of a session. `source` is our present address on it, where it is known.
pub(super) fn settings(former: &Settings, wanted: &Settings, source: Option<IpAddr>) -> Vec<SettingChange> {
    // Taken apart in full, here and below: a new setting cannot be forgotten.
    let Settings {
        local_as,
        router_id,
        host_name,
        node_ips,
        neighbor,
    } = former;
    let mut diff = Diff(Vec::new());
    diff.note("local AS", Reset, local_as, &wanted.local_as, u32::to_string);
    diff.note(
        "router id",
        Reset,
        router_id,
        &wanted.router_id,
        ToString::to_string,
    );
    // Told with the next OPEN: a name is not worth a reset.
    diff.note("host name", Soft, host_name, &wanted.host_name, optional);
    diff.note("node IPs", Soft, node_ips, &wanted.node_ips, show_node_ips);
    diff.neighbor(neighbor, &wanted.neighbor, source);
    diff.0
}

/// Where the rack listens.
pub(super) fn listen(former: &ListenConfig, wanted: &ListenConfig) -> Option<SettingChange> {
    let ListenConfig { addresses } = former;
    let mut diff = Diff(Vec::new());
    diff.note("listen addresses", Soft, addresses, &wanted.addresses, |list| {
        list_of(list)
    });
    diff.0.pop()
}

/// The return path.
pub(super) fn return_path(
    former: Option<&ReturnPathConfig>,
    wanted: Option<&ReturnPathConfig>,
) -> Option<SettingChange> {
    let mut diff = Diff(Vec::new());
    diff.note("return path", Soft, &former, &wanted, |path| {
        path.map_or_else(|| "off".to_owned(), ToString::to_string)
    });
    diff.0.pop()
}

struct Diff(Vec<SettingChange>);

impl Diff {
    fn note<T: PartialEq + ?Sized>(
        &mut self,
        setting: &str,
        effect: Effect,
        former: &T,
        wanted: &T,
        show: impl Fn(&T) -> String,
    ) {
        if former == wanted {
            return;
        }
        self.0.push(SettingChange {
            setting: setting.to_owned(),
            from: Some(show(former)),
            to: Some(show(wanted)),
            resets: effect == Reset,
        });
    }

    fn note_secret<T: PartialEq>(&mut self, setting: &str, effect: Effect, former: &T, wanted: &T) {
        if former == wanted {
            return;
        }
        self.0.push(SettingChange {
            setting: setting.to_owned(),
            from: None,
            to: None,
            resets: effect == Reset,
        });
    }

    fn neighbor(&mut self, former: &NeighborConfig, wanted: &NeighborConfig, present: Option<IpAddr>) {
        let NeighborConfig {
            plane,
            // What a session is known by.
            address: _,
            port,
            remote_as,
            hold_time,
            passive,
            ttl,
            source,
            device,
            password,
            families,
            extended_next_hop,
            allowed_sources,
            steering,
            bfd,
            graceful_restart,
            user_timeout,
        } = former;
        self.note("plane", Soft, plane, &wanted.plane, ToString::to_string);
        self.note("port", Reset, port, &wanted.port, u16::to_string);
        self.note("AS", Reset, remote_as, &wanted.remote_as, u32::to_string);
        self.note("hold time", Reset, hold_time, &wanted.hold_time, |seconds| {
            format!("{seconds} s")
        });
        self.note("passive", Soft, passive, &wanted.passive, bool::to_string);
        self.note("TTL", Reset, ttl, &wanted.ttl, show_ttl);
        self.note("source", Reset, source, &wanted.source, optional);
        self.note("device", Reset, device, &wanted.device, optional);
        self.note_secret("password", Reset, password, &wanted.password);
        self.note("families", Reset, families, &wanted.families, |families| {
            list_of(&families.iter().collect::<Vec<_>>())
        });
        self.note(
            "extended next hop",
            Reset,
            extended_next_hop,
            &wanted.extended_next_hop,
            bool::to_string,
        );
        let still_allowed = wanted.allowed_sources.is_empty()
            || present.is_none_or(|present| wanted.allowed_sources.contains(&present));
        self.note(
            "allowed sources",
            if still_allowed { Soft } else { Reset },
            &as_set(allowed_sources),
            &as_set(&wanted.allowed_sources),
            |list| list_of(list),
        );
        self.note(
            "graceful restart",
            Reset,
            graceful_restart,
            &wanted.graceful_restart,
            |restart| {
                restart.map_or_else(
                    || "off".to_owned(),
                    |restart| format!("{} s", restart.restart_time),
                )
            },
        );
        self.steering(steering, &wanted.steering);
        self.bfd(bfd.as_ref(), wanted.bfd.as_ref());
        self.note(
            "TCP user timeout",
            Soft,
            user_timeout,
            &wanted.user_timeout,
            |timeout| timeout.map_or_else(|| "none".to_owned(), show_duration),
        );
    }

    fn steering(&mut self, former: &Steering, wanted: &Steering) {
        let Steering {
            communities,
            large_communities,
            med,
            prepend,
            local_pref,
        } = former;
        self.note(
            "communities",
            Soft,
            &as_set(communities),
            &as_set(&wanted.communities),
            |list| list_of(list),
        );
        self.note(
            "large communities",
            Soft,
            &as_set(large_communities),
            &as_set(&wanted.large_communities),
            |list| list_of(list),
        );
        self.note("MED", Soft, med, &wanted.med, optional);
        self.note("prepend", Soft, prepend, &wanted.prepend, u8::to_string);
        self.note("local preference", Soft, local_pref, &wanted.local_pref, optional);
    }

    fn bfd(&mut self, former: Option<&BfdProfile>, wanted: Option<&BfdProfile>) {
        let is_strict =
            |profile: Option<&BfdProfile>| profile.is_some_and(|profile| profile.strict.is_some());
        let (Some(old), Some(new)) = (former, wanted) else {
            let on = |profile: &Option<&BfdProfile>| if profile.is_some() { "on" } else { "off" }.to_owned();
            // In strict mode the session waits for BFD: it cannot have done so before.
            let effect = if is_strict(former) == is_strict(wanted) {
                Soft
            } else {
                Reset
            };
            self.note("BFD", effect, &former, &wanted, on);
            return;
        };
        let BfdProfile {
            min_tx,
            min_rx,
            multiplier,
            passive,
            min_ttl,
            auth,
            strict,
        } = old;
        // RFC 5880 section 6.8.3: changed by a poll sequence.
        self.note("BFD transmit interval", Soft, min_tx, &new.min_tx, |at| {
            show_duration(*at)
        });
        self.note("BFD receive interval", Soft, min_rx, &new.min_rx, |at| {
            show_duration(*at)
        });
        self.note(
            "BFD multiplier",
            Soft,
            multiplier,
            &new.multiplier,
            ToString::to_string,
        );
        // A new BFD session; the old one goes AdminDown, which is no failure (RFC 5882 section 3.2).
        self.note("BFD passive role", Soft, passive, &new.passive, bool::to_string);
        self.note("BFD least TTL", Soft, min_ttl, &new.min_ttl, optional);
        // RFC 5880 section 6.7.1: keys change in place; the switch has to accept the new one already.
        self.note("BFD authentication", Soft, auth, &new.auth, show_auth);
        self.note("BFD strict mode", Reset, strict, &new.strict, show_strict);
    }
}

/// Nothing secret: another secret of the same key shows as the same text twice.
fn show_auth(auth: &Option<Auth>) -> String {
    auth.as_ref()
        .map_or_else(|| "none".to_owned(), |auth| format!("{:?}", auth.auth_type()))
}

fn show_strict(strict: &Option<BfdStrict>) -> String {
    strict.map_or_else(
        || "off".to_owned(),
        |strict| format!("on, BFD hold time {}", show_duration(strict.hold_time)),
    )
}

fn optional<T: Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), T::to_string)
}

fn list_of<T: Display>(list: &[T]) -> String {
    if list.is_empty() {
        return "none".to_owned();
    }
    let texts: Vec<String> = list.iter().map(T::to_string).collect();
    texts.join(" ")
}

fn show_duration(duration: Duration) -> String {
    format!("{duration:?}")
}

fn show_ttl(ttl: &Ttl) -> String {
    match ttl {
        Ttl::Direct => "1".to_owned(),
        Ttl::Multihop(hops) => format!("multihop {hops}"),
        Ttl::Security { hops } => format!("security over {hops} hops"),
        Ttl::System => "of the system".to_owned(),
    }
}

fn show_node_ips(ips: &NodeIps) -> String {
    let NodeIps {
        pod_v4,
        pod_v6,
        node_v4,
        node_v6,
    } = ips;
    format!(
        "{} for {}, {} for {}",
        optional(node_v4),
        optional(pod_v4),
        optional(node_v6),
        optional(pod_v6)
    )
}
