//! From what holds on a node to the sessions, with everything checked that concerns more than one field.

use super::bfd;
use super::error::Problem;
use super::layers::{Merged, MergedPlane};
use super::model::SessionSettings;
use super::password;
use super::values::{HoldTime, Host, PlaneName, RestartTime, TtlChoice};
use crate::cli;
use fabric::{GracefulRestart, NeighborConfig, PlaneId, Steering};
use net::Md5Key;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::{Family, FamilySet};

/// The TCP port of BGP.
const BGP_PORT: u16 = 179;

/// What the sessions need that is not in the file.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    /// Where relative paths begin.
    pub(super) directory: &'a Path,
    /// `--auth-password`.
    pub(super) password: Option<Md5Key>,
    /// Whether the switches can connect to us.
    pub(super) listens: bool,
    /// The BFD profile of the flags, which have remarks of their own about it.
    pub(super) flags_bfd: Option<cli::Bfd>,
    /// Whether graceful restart is asked for.
    pub(super) restarts_gracefully: bool,
}

/// The sessions of this node.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    pub(super) neighbors: Vec<NeighborConfig>,
    pub(super) password_files: Vec<PathBuf>,
    /// One line each.
    pub(super) warnings: Vec<String>,
}

/// Makes the sessions.
///
/// # Errors
/// Something is missing, or settings contradict each other.
pub(super) fn sessions(merged: &Merged, around: &Surroundings<'_>) -> Result<Sessions, Problem> {
    let Some(local_as) = merged.file.local_as else {
        return Err(Problem::new("localAs", "is not set; set it, or --cluster-as"));
    };
    let mut sessions = Sessions::default();
    let mut taken: BTreeMap<IpAddr, PlaneName> = BTreeMap::new();
    for (name, plane) in &merged.planes {
        let problem = |field: &str, message: String| Problem {
            fields: plane.fields(field),
            message,
            other_file: None,
        };
        if plane.neighbors.is_empty() {
            return Err(problem(
                "neighbors",
                format!("plane {name} has no switch; give it the address of one, or leave the plane out"),
            ));
        }
        for Host(address) in &plane.neighbors {
            if let Some(other) = taken.insert(*address, *name) {
                let message = match other == *name {
                    true => format!("has {address} twice; give it once"),
                    false => format!(
                        "planes {other} and {name} both have the switch {address}; a plane is one switch and the link to it"
                    ),
                };
                return Err(problem("neighbors", message));
            }
        }
        let check = Check {
            plane,
            name: *name,
            local_as: local_as.0,
            around,
        };
        sessions
            .neighbors
            .extend(check.sessions(&mut sessions.password_files, &mut sessions.warnings)?);
    }
    // As the flags have it: all of IPv4, then all of IPv6.
    sessions
        .neighbors
        .sort_by_key(|neighbor| (neighbor.address.is_ipv6(), neighbor.plane));
    sessions.password_files.sort_unstable();
    sessions.password_files.dedup();
    sessions.warnings.sort_unstable();
    sessions.warnings.dedup();
    if sessions.neighbors.is_empty() {
        return Err(Problem::new(
            "planes",
            "there is no switch; give the planes neighbors, or set --neighbor-address or --neighbor-ipv6-address",
        ));
    }
    Ok(sessions)
}

/// One plane.
struct Check<'a> {
    plane: &'a MergedPlane,
    name: PlaneName,
    local_as: u32,
    around: &'a Surroundings<'a>,
}

impl Check<'_> {
    fn sessions(
        &self,
        password_files: &mut Vec<PathBuf>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<NeighborConfig>, Problem> {
        let settings = &self.plane.settings;
        let Some(remote_as) = settings.remote_as else {
            let name = self.name;
            return self.refuse(
                "as",
                format!("plane {name} has no AS number; set it, or as under defaults, or --neighbor-as"),
            );
        };
        let internal = remote_as.0 == self.local_as;
        self.check_attributes(internal)?;
        let passive = settings.passive.is_some_and(|passive| passive.0);
        if passive && !self.around.listens {
            return self.refuse(
                "passive",
                "needs a listener, and there is none; set listen.port (or --listen-port) to 179, or let it dial",
            );
        }
        let password = self.password(password_files, warnings)?;
        let ttl = settings.ttl().unwrap_or(TtlChoice::Multihop(1)).ttl(internal);
        let bfd = bfd::profile(self.name, self.plane, ttl, self.around, password_files, warnings)?;
        let graceful_restart = self.graceful_restart();
        let hold_time = settings.hold_time.unwrap_or(HoldTime(90)).0;
        let extended = settings.extended_next_hop.is_some_and(|extended| extended.0);
        self.check_families()?;
        let port = settings.port.and_then(|port| u16::try_from(port.0).ok());
        let neighbors = self.plane.neighbors.iter().map(|Host(address)| NeighborConfig {
            plane: PlaneId(self.name.0),
            address: *address,
            port: port.unwrap_or(BGP_PORT),
            remote_as: remote_as.0,
            hold_time,
            passive,
            ttl,
            password: password.clone(),
            families: families(extended, *address),
            extended_next_hop: extended,
            allowed_sources: of_family(settings.allowed_sources.as_deref().unwrap_or_default(), *address),
            source: of_family(settings.source.as_ref().map_or(&[], |source| &source.0), *address).pop(),
            device: settings.device.as_ref().map(|device| device.0.clone()),
            steering: steering(settings),
            bfd: bfd.clone(),
            graceful_restart,
            user_timeout: (hold_time > 0).then(|| Duration::from_secs(hold_time.into())),
        });
        Ok(neighbors.collect())
    }

    fn check_attributes(&self, internal: bool) -> Result<(), Problem> {
        let settings = &self.plane.settings;
        if settings.local_pref.is_some() && !internal {
            return self.refuse(
                "localPref",
                "LOCAL_PREF goes to switches of our own AS only (RFC 4271 section 5.1.5); leave it out, and use med, \
                 prepend or communities",
            );
        }
        if internal && settings.prepend.is_some_and(|times| times.0 > 0) {
            return self.refuse(
                "prepend",
                "our AS number is not put in front towards a switch of our own AS; leave it out, and use localPref",
            );
        }
        Ok(())
    }

    fn graceful_restart(&self) -> Option<GracefulRestart> {
        let settings = self
            .plane
            .settings
            .graceful_restart
            .filter(|settings| settings.is_on())?;
        let restart_time = settings.restart_time.unwrap_or(RestartTime(90)).0;
        Some(GracefulRestart { restart_time })
    }

    fn password(
        &self,
        password_files: &mut Vec<PathBuf>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Md5Key>, Problem> {
        let Some(file) = &self.plane.settings.password_file else {
            return Ok(self.around.password.clone());
        };
        if file.0.as_os_str().is_empty() {
            return Ok(None);
        }
        let path = self.around.directory.join(&file.0);
        let password = match password::read(&path) {
            Ok(password) => password,
            Err(error) => {
                return Err(Problem {
                    fields: self.plane.fields("passwordFile"),
                    message: format!("{} {error}", path.display()),
                    other_file: Some(path),
                });
            }
        };
        if password.readable_by_others {
            warnings.push(password::readable_by_others("password", &path));
        }
        password_files.push(path);
        Ok(Some(password.key))
    }

    /// At most one of each family, and nothing that belongs to no session.
    fn check_families(&self) -> Result<(), Problem> {
        let settings = &self.plane.settings;
        let neighbors = &self.plane.neighbors;
        if let Some([first, second]) = same_family(neighbors) {
            return self.refuse(
                "neighbors",
                format!(
                    "plane {} has both {first} and {second}; a plane is one switch, with at most one address of each family",
                    self.name
                ),
            );
        }
        let Some(sources) = settings.source.as_ref().map(|source| &source.0) else {
            return Ok(());
        };
        if let Some([first, second]) = same_family(sources) {
            return self.refuse(
                "source",
                format!("has both {first} and {second}; give at most one address of each family"),
            );
        }
        let allowed = settings.allowed_sources.as_deref().unwrap_or_default();
        for source in sources {
            let has_family = |hosts: &[Host]| hosts.iter().any(|host| host.0.is_ipv4() == source.0.is_ipv4());
            if !has_family(neighbors) {
                return self.refuse(
                    "source",
                    format!(
                        "{} is of another family than the switch of plane {}; leave it out",
                        source.0, self.name
                    ),
                );
            }
            if has_family(allowed) && !allowed.contains(source) {
                return self.refuse(
                    "source",
                    format!("{} is not among allowedSources; add it there", source.0),
                );
            }
        }
        Ok(())
    }

    fn refuse<T>(&self, field: &str, message: impl Into<String>) -> Result<T, Problem> {
        Err(Problem {
            fields: self.plane.fields(field),
            message: message.into(),
            other_file: None,
        })
    }
}

fn families(extended: bool, address: IpAddr) -> FamilySet {
    match address {
        _ if extended => FamilySet::ALL,
        IpAddr::V4(_) => FamilySet::only(Family::Ipv4Unicast),
        IpAddr::V6(_) => FamilySet::only(Family::Ipv6Unicast),
    }
}

fn steering(settings: &SessionSettings) -> Steering {
    let communities = settings.communities.iter().flatten();
    let large_communities = settings.large_communities.iter().flatten();
    Steering {
        communities: communities.map(|community| community.0).collect(),
        large_communities: large_communities.map(|community| community.0).collect(),
        med: settings.med.map(|med| med.0),
        prepend: settings
            .prepend
            .and_then(|times| u8::try_from(times.0).ok())
            .unwrap_or(0),
        local_pref: settings.local_pref.map(|value| value.0),
    }
}

fn of_family(hosts: &[Host], address: IpAddr) -> Vec<IpAddr> {
    let same = hosts.iter().filter(|host| host.0.is_ipv4() == address.is_ipv4());
    same.map(|host| host.0).collect()
}

fn same_family(hosts: &[Host]) -> Option<[IpAddr; 2]> {
    let pairs = hosts.iter().enumerate().flat_map(|(index, first)| {
        let later = hosts[index + 1..].iter();
        later.map(move |second| [first.0, second.0])
    });
    let mut pairs = pairs.filter(|[first, second]| first.is_ipv4() == second.is_ipv4() && first != second);
    pairs.next()
}
