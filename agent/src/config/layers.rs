//! From a file and the flags to what holds on one node.
//!
//! Lowest first: the defaults of the flags, the flags that are given and the file (which must not contradict each
//! other), then every entry of `nodes:` that matches, in its order. At the end a plane's own settings go before
//! `defaults:`.

use super::NodeFacts;
use super::error::Problem;
use super::model::{BfdSettings, ConfigFile, GracefulRestartSettings, NodeEntry, Plane, SessionSettings};
use super::values::{
    Asn, BfdInterval, FilePath, HoldTime, Host, PlaneName, RestartTime, RouterId, Span, Switch, Text, Whole,
};
use crate::cli::Settings;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What holds on this node.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) file: ConfigFile,
    pub(super) planes: BTreeMap<PlaneName, MergedPlane>,
    /// Which entries of `nodes:` were applied.
    entries: Vec<usize>,
}

/// One plane, with the defaults under its own settings.
#[derive(Debug)]
pub(super) struct MergedPlane {
    pub(super) neighbors: Vec<Host>,
    pub(super) settings: SessionSettings,
    /// Where its parts stand in the file, the part that counts most first.
    at: Vec<String>,
}

impl MergedPlane {
    /// Where a field of the plane may stand.
    pub(super) fn fields(&self, name: &str) -> Vec<String> {
        self.at.iter().map(|at| format!("{at}.{name}")).collect()
    }
}

impl Merged {
    /// Where a field of the top may stand.
    pub(super) fn fields(&self, name: &str) -> Vec<String> {
        let entries = self.entries.iter().rev();
        let entries = entries.map(|entry| format!("nodes[{entry}].{name}"));
        entries.chain([name.to_owned()]).collect()
    }
}

/// Lays the matching entries over the file.
///
/// # Errors
/// An entry asks for labels, and they are not known.
pub(super) fn merge(mut file: ConfigFile, node: &NodeFacts) -> Result<Merged, Problem> {
    let mut at: BTreeMap<PlaneName, Vec<String>> = BTreeMap::new();
    for (index, plane) in file.planes.iter().enumerate() {
        at.entry(plane.name).or_default().push(format!("planes[{index}]"));
    }
    let mut defaults_at = vec!["defaults".to_owned()];
    let mut entries = Vec::new();
    for (index, entry) in std::mem::take(&mut file.nodes).into_iter().enumerate() {
        if !matches(&entry, index, node)? {
            continue;
        }
        entries.push(index);
        defaults_at.insert(0, format!("nodes[{index}].defaults"));
        for (number, plane) in entry.planes.iter().enumerate() {
            let parts = at.entry(plane.name).or_default();
            parts.insert(0, format!("nodes[{index}].planes[{number}]"));
        }
        file.local_as = entry.local_as.or(file.local_as);
        file.router_id = entry.router_id.or(file.router_id);
        file.node_ips = entry.node_ips.or(file.node_ips);
        file.defaults = entry.defaults.over(file.defaults);
        for plane in entry.planes {
            lay_over(&mut file.planes, plane);
        }
    }
    let mut planes = BTreeMap::new();
    for plane in std::mem::take(&mut file.planes) {
        let mut at = at.remove(&plane.name).unwrap_or_default();
        at.extend(defaults_at.iter().cloned());
        let merged = MergedPlane {
            neighbors: plane.neighbors.unwrap_or_default(),
            settings: plane.settings.over(file.defaults.clone()),
            at,
        };
        planes.insert(plane.name, merged);
    }
    Ok(Merged {
        file,
        planes,
        entries,
    })
}

fn lay_over(planes: &mut Vec<Plane>, above: Plane) {
    let Some(below) = planes.iter_mut().find(|plane| plane.name == above.name) else {
        planes.push(above);
        return;
    };
    below.neighbors = above.neighbors.or_else(|| below.neighbors.take());
    below.settings = above.settings.over(std::mem::take(&mut below.settings));
}

fn matches(entry: &NodeEntry, index: usize, node: &NodeFacts) -> Result<bool, Problem> {
    if let Some(names) = &entry.r#match.names {
        let name = node.name.as_deref();
        if !names
            .iter()
            .any(|pattern| name.is_some_and(|name| pattern.matches(name)))
        {
            return Ok(false);
        }
    }
    let Some(wanted) = &entry.r#match.labels else {
        return Ok(true);
    };
    let Some(labels) = &node.labels else {
        let name = node.name.as_deref().unwrap_or("without a name");
        return Err(Problem::new(
            format!("nodes[{index}].match.labels"),
            format!(
                "the labels of node {name} are not known; match by names, or let the speaker read its Node object"
            ),
        ));
    };
    Ok(wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// Fills a file with the flags.
///
/// # Errors
/// A flag and the file contradict each other; both are named.
pub(super) fn fill(file: &mut ConfigFile, flags: &Settings) -> Result<(), Problem> {
    let fill = Fill { flags };
    fill.top(file)?;
    fill.defaults(&mut file.defaults)?;
    fill.bfd(&mut file.defaults)?;
    fill.graceful_restart(&mut file.defaults)?;
    fill.state_file(file)?;
    let v4 = flags.neighbors_v4.iter().copied().map(IpAddr::V4);
    fill.neighbors(file, "neighbor-address", v4)?;
    let v6 = flags.neighbors_v6.iter().copied().map(IpAddr::V6);
    fill.neighbors(file, "neighbor-ipv6-address", v6)
}

struct Fill<'a> {
    flags: &'a Settings,
}

impl Fill<'_> {
    fn top(&self, file: &mut ConfigFile) -> Result<(), Problem> {
        let flags = self.flags;
        let local_as = Some(flags.cluster_as).filter(|asn| *asn != 0).map(Asn);
        self.value("cluster-as", "localAs", local_as, &mut file.local_as)?;
        // What the environment says is a default.
        let router_id = flags.router_id.map(RouterId);
        self.value("router-id", "routerId", router_id, &mut file.router_id)?;
        let node_ips = flags.node_ips.v4.map(IpAddr::V4).into_iter();
        let node_ips: Vec<_> = node_ips
            .chain(flags.node_ips.v6.map(IpAddr::V6))
            .map(Host)
            .collect();
        self.value("node-ips", "nodeIps", Some(node_ips), &mut file.node_ips)?;
        let listen = file.listen.get_or_insert_default();
        let port = Some(Whole(u32::from(flags.listen_port.unwrap_or(0))));
        self.value("listen-port", "listen.port", port, &mut listen.port)?;
        let addresses = flags.listen_addresses.iter().copied().map(Text).collect();
        self.value(
            "listen-address",
            "listen.addresses",
            Some(addresses),
            &mut listen.addresses,
        )
    }

    fn defaults(&self, defaults: &mut SessionSettings) -> Result<(), Problem> {
        let flags = self.flags;
        let neighbor_as = Some(flags.neighbor_as).filter(|asn| *asn != 0).map(Asn);
        self.value("neighbor-as", "defaults.as", neighbor_as, &mut defaults.remote_as)?;
        let hold_time = u16::try_from(flags.hold_time.as_secs()).unwrap_or(u16::MAX);
        self.value(
            "holdtime",
            "defaults.holdTime",
            Some(HoldTime(hold_time)),
            &mut defaults.hold_time,
        )?;
        self.value(
            "passivemode",
            "defaults.passive",
            Some(Switch(flags.passive)),
            &mut defaults.passive,
        )?;
        let extended = Some(Switch(flags.extended_nexthop));
        self.value(
            "extended-nexthop",
            "defaults.extendedNextHop",
            extended,
            &mut defaults.extended_next_hop,
        )?;
        if flags.auth_password.is_some() && defaults.password_file.is_some() {
            return Err(Problem::new(
                "defaults.passwordFile",
                "there is --auth-password as well; leave that out, arguments can be read by everybody on the node",
            ));
        }
        self.allowed_sources(defaults)?;
        self.ttl(defaults)
    }

    fn ttl(&self, defaults: &mut SessionSettings) -> Result<(), Problem> {
        let flags = self.flags;
        let both = |flag: &str, field: &str| {
            let message =
                format!("there is --{flag} as well, and they exclude each other; leave one of them out");
            Err(Problem::new(format!("defaults.{field}"), message))
        };
        if let Some(hops) = flags.ttl_security {
            if defaults.multihop.is_some() {
                return both("ttl-security", "multihop");
            }
            let hops = Some(Whole(hops.into()));
            return self.value(
                "ttl-security",
                "defaults.ttlSecurity",
                hops,
                &mut defaults.ttl_security,
            );
        }
        if defaults.ttl_security.is_some() {
            return match self.is_given("ebgp-multihop") && flags.ebgp_multihop != 1 {
                true => both("ebgp-multihop", "ttlSecurity"),
                false => Ok(()),
            };
        }
        let hops = Some(Whole(flags.ebgp_multihop.into()));
        self.value("ebgp-multihop", "defaults.multihop", hops, &mut defaults.multihop)
    }

    fn allowed_sources(&self, defaults: &mut SessionSettings) -> Result<(), Problem> {
        let flags = self.flags;
        let v4 = flags.allowed_sources_v4.iter().copied().map(IpAddr::V4);
        let v6 = flags.allowed_sources_v6.iter().copied().map(IpAddr::V6);
        let given: Vec<_> = v4.chain(v6).map(Host).collect();
        if given.is_empty() {
            return Ok(());
        }
        let flag = match flags.allowed_sources_v4.is_empty() {
            true => "allowed-source-ipv6-addresses",
            false => "allowed-source-addresses",
        };
        self.value(
            flag,
            "defaults.allowedSources",
            Some(given),
            &mut defaults.allowed_sources,
        )
    }

    fn bfd(&self, defaults: &mut SessionSettings) -> Result<(), Problem> {
        let Some(profile) = self.flags.bfd else {
            let is_on = defaults.bfd.as_ref().is_some_and(BfdSettings::is_on);
            return match is_on && self.is_given("enable-bfd") {
                true => Err(Problem::new(
                    "defaults.bfd",
                    "BFD is on, but --enable-bfd=false; leave that out",
                )),
                false => Ok(()),
            };
        };
        let bfd: &mut BfdSettings = defaults.bfd.get_or_insert_default();
        self.value(
            "enable-bfd",
            "defaults.bfd.enabled",
            Some(Switch(true)),
            &mut bfd.enabled,
        )?;
        let (min_tx, min_rx) = (
            Some(BfdInterval(profile.min_tx)),
            Some(BfdInterval(profile.min_rx)),
        );
        self.value("bfd-min-tx", "defaults.bfd.minTx", min_tx, &mut bfd.min_tx)?;
        self.value("bfd-min-rx", "defaults.bfd.minRx", min_rx, &mut bfd.min_rx)?;
        let multiplier = Some(Whole(profile.multiplier.get().into()));
        self.value(
            "bfd-detection-multiplier",
            "defaults.bfd.multiplier",
            multiplier,
            &mut bfd.multiplier,
        )
    }

    fn graceful_restart(&self, defaults: &mut SessionSettings) -> Result<(), Problem> {
        let Some(restart) = self.flags.graceful_restart else {
            let is_on = defaults.graceful_restart.is_some_and(|restart| restart.is_on());
            return match is_on && self.is_given("graceful-restart") {
                true => Err(Problem::new(
                    "defaults.gracefulRestart",
                    "graceful restart is on, but --graceful-restart=false; leave that out",
                )),
                false => Ok(()),
            };
        };
        let settings: &mut GracefulRestartSettings = defaults.graceful_restart.get_or_insert_default();
        self.value(
            "graceful-restart",
            "defaults.gracefulRestart.enabled",
            Some(Switch(true)),
            &mut settings.enabled,
        )?;
        let seconds = u16::try_from(restart.time.as_secs()).ok();
        self.value(
            "graceful-restart-time",
            "defaults.gracefulRestart.restartTime",
            seconds.map(RestartTime),
            &mut settings.restart_time,
        )
    }

    fn state_file(&self, file: &mut ConfigFile) -> Result<(), Problem> {
        let flags = &self.flags.state_file;
        let settings = file.state_file.get_or_insert_default();
        let path = flags.path.clone().map(FilePath);
        self.value("state-file", "stateFile.path", path, &mut settings.path)?;
        let (max_age, wait) = (Some(Span(flags.max_age)), Some(Span(flags.wait)));
        self.value(
            "state-file-max-age",
            "stateFile.maxAge",
            max_age,
            &mut settings.max_age,
        )?;
        self.value("state-file-wait", "stateFile.wait", wait, &mut settings.wait)
    }

    /// The first address belongs to plane `a`, the second to plane `b`, …
    fn neighbors(
        &self,
        file: &mut ConfigFile,
        flag: &str,
        addresses: impl Iterator<Item = IpAddr>,
    ) -> Result<(), Problem> {
        for (number, address) in addresses.enumerate() {
            let name = PlaneName(number);
            let index = file.planes.iter().position(|plane| plane.name == name);
            let index = index.unwrap_or_else(|| {
                let settings = SessionSettings::default();
                file.planes.push(Plane {
                    name,
                    neighbors: None,
                    settings,
                });
                file.planes.len() - 1
            });
            let neighbors = file.planes[index].neighbors.get_or_insert_default();
            let found = neighbors
                .iter()
                .find(|host| host.0.is_ipv4() == address.is_ipv4());
            match found {
                Some(found) if found.0 == address => {}
                Some(found) => {
                    let message = format!(
                        "plane {name} has {}, but --{flag} has {address} in that place; leave one of them out or make \
                         them equal",
                        found.0
                    );
                    return Err(Problem::new(format!("planes[{index}].neighbors"), message));
                }
                None => neighbors.push(Host(address)),
            }
        }
        Ok(())
    }

    /// Fills one field. A flag that is not given has only a default to say.
    fn value<T: PartialEq + Shown>(
        &self,
        flag: &str,
        field: &str,
        from_flag: Option<T>,
        in_file: &mut Option<T>,
    ) -> Result<(), Problem> {
        let Some(found) = in_file else {
            *in_file = from_flag;
            return Ok(());
        };
        let Some(given) = from_flag.filter(|_| self.is_given(flag)) else {
            return Ok(());
        };
        if *found == given {
            return Ok(());
        }
        let (found, given) = (found.shown(), given.shown());
        Err(Problem::new(
            field,
            format!("is {found} here, but --{flag} is {given}; leave one of them out or make them equal"),
        ))
    }

    fn is_given(&self, flag: &str) -> bool {
        self.flags.given.contains(flag)
    }
}

/// A value in an error.
trait Shown {
    fn shown(&self) -> String;
}

impl Shown for Asn {
    fn shown(&self) -> String {
        self.0.to_string()
    }
}

impl Shown for RouterId {
    fn shown(&self) -> String {
        self.0.to_string()
    }
}

impl Shown for Host {
    fn shown(&self) -> String {
        self.0.to_string()
    }
}

impl Shown for Switch {
    fn shown(&self) -> String {
        self.0.to_string()
    }
}

impl Shown for HoldTime {
    fn shown(&self) -> String {
        format!("{}s", self.0)
    }
}

impl Shown for BfdInterval {
    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }
}

impl Shown for RestartTime {
    fn shown(&self) -> String {
        format!("{}s", self.0)
    }
}

impl Shown for Span {
    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }
}

impl Shown for FilePath {
    fn shown(&self) -> String {
        self.0.display().to_string()
    }
}

impl<const MIN: u32, const MAX: u32> Shown for Whole<MIN, MAX> {
    fn shown(&self) -> String {
        self.0.to_string()
    }
}

impl<T: std::fmt::Display> Shown for Text<T> {
    fn shown(&self) -> String {
        self.0.to_string()
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn shown(&self) -> String {
        let items: Vec<_> = self.iter().map(T::shown).collect();
        if items.is_empty() {
            "empty".to_owned()
        } else {
            items.join(",")
        }
    }
}
