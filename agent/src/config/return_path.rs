//! The section `returnPath:`, the node's own routes back into the fabric.

use super::error::Problem;
use super::model::OneOrMore;
use super::values::{PlaneName, Switch, Text, Whole};
use fabric::{NeighborConfig, PlaneId, ReturnHopConfig, ReturnPathConfig};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU32};
use wire::Prefix;

/// The section `returnPath:`. Its presence switches the return path on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReturnPathSettings {
    /// Whether the routes are kept. Default: true.
    pub enabled: Option<Switch>,
    /// Where they lead. Default: the default route of each family that a switch has an address of.
    pub prefixes: Option<Vec<Text<Prefix>>>,
    /// Their metric, 1 to 4294967295; the lower one wins. Default: 50.
    pub metric: Option<Whole<1, { u32::MAX }>>,
    /// Their table, 1 to 4294967295. Default: 254, the main one.
    pub table: Option<Whole<1, { u32::MAX }>>,
    /// Leave them when the agent ends. Default: false.
    pub leave_on_exit: Option<Switch>,
    /// What is different on some planes.
    #[serde(default)]
    pub planes: Vec<ReturnPlane>,
}

/// An entry of `returnPath.planes:`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReturnPlane {
    /// The plane, `a` to `z`. Required.
    pub name: PlaneName,
    /// The next hop, one or a list of at most one of each family. With an IPv6 one alone it is that of IPv4 routes too.
    /// Default: the switch.
    pub gateway: Option<OneOrMore>,
    /// Share of the flows, 1 to 255. Default: 1.
    pub weight: Option<Whole<1, 255>>,
    /// The gateway is on the link although no address there says so. Default: false.
    pub on_link: Option<Switch>,
}

impl ReturnPathSettings {
    /// The names of the fields in the file.
    #[cfg(test)]
    pub(super) const FIELDS: &[&str] = &[
        "prefixes",
        "metric",
        "table",
        "leaveOnExit",
        "planes",
        "gateway",
        "weight",
        "onLink",
    ];

    /// Makes the return path of a rack with these sessions; `None` where it is switched off.
    ///
    /// # Errors
    /// A destination or a plane is there twice, or has no next hop.
    pub(super) fn resolve(&self, neighbors: &[NeighborConfig]) -> Result<Option<ReturnPathConfig>, Problem> {
        if self.enabled.is_some_and(|enabled| !enabled.0) {
            return Ok(None);
        }
        let planes = self.planes(neighbors)?;
        let mut config = ReturnPathConfig::default_routes();
        config
            .prefixes
            .retain(|prefix| reaches(prefix, neighbors, &planes));
        if let Some(prefixes) = &self.prefixes {
            config.prefixes = self.destinations(prefixes, neighbors, &planes)?;
        }
        config.planes = planes;
        config.table = self.table.map_or(config.table, |table| table.0);
        let metric = self.metric.and_then(|metric| NonZeroU32::new(metric.0));
        config.metric = metric.unwrap_or(config.metric);
        config.leave_on_exit = self.leave_on_exit.is_some_and(|leave| leave.0);
        Ok(Some(config))
    }

    fn destinations(
        &self,
        prefixes: &[Text<Prefix>],
        neighbors: &[NeighborConfig],
        planes: &BTreeMap<PlaneId, ReturnHopConfig>,
    ) -> Result<Vec<Prefix>, Problem> {
        let refuse = |index: usize, message: String| {
            Err(Problem::new(format!("returnPath.prefixes[{index}]"), message))
        };
        if prefixes.is_empty() {
            return Err(Problem::new(
                "returnPath.prefixes",
                "is empty; name a prefix, leave it out for the default routes, or set returnPath.enabled: false",
            ));
        }
        for (index, Text(prefix)) in prefixes.iter().enumerate() {
            if prefixes[..index].iter().any(|other| other.0 == *prefix) {
                return refuse(index, format!("{prefix} is there twice; give it once"));
            }
            if !reaches(prefix, neighbors, planes) {
                return refuse(
                    index,
                    format!(
                        "there is no next hop for {prefix}: no switch has an address of its family; set gateway under \
                         returnPath.planes, or leave it out"
                    ),
                );
            }
        }
        Ok(prefixes.iter().map(|prefix| prefix.0).collect())
    }

    fn planes(&self, neighbors: &[NeighborConfig]) -> Result<BTreeMap<PlaneId, ReturnHopConfig>, Problem> {
        let mut planes = BTreeMap::new();
        for (index, plane) in self.planes.iter().enumerate() {
            let name = plane.name;
            let refuse = |field: &str, message: String| {
                Err(Problem::new(
                    format!("returnPath.planes[{index}].{field}"),
                    message,
                ))
            };
            let id = PlaneId(name.0);
            if neighbors.iter().all(|neighbor| neighbor.plane != id) {
                return refuse(
                    "name",
                    format!("there is no plane {name}; add it under planes, or leave it out here"),
                );
            }
            let (mut v4, mut v6) = (None, None);
            for host in plane.gateway.iter().flat_map(|gateway| &gateway.0) {
                let twice = match host.0 {
                    IpAddr::V4(_) => v4.replace(host.0).is_some(),
                    IpAddr::V6(address) => v6.replace(address).is_some(),
                };
                if twice {
                    return refuse(
                        "gateway",
                        "has several addresses of one family; give at most one of each".to_owned(),
                    );
                }
            }
            let has_v4 = neighbors
                .iter()
                .any(|neighbor| neighbor.plane == id && neighbor.address.is_ipv4());
            let over_v6 = v6.map(IpAddr::V6).filter(|_| !has_v4);
            let weight = plane.weight.and_then(|weight| u8::try_from(weight.0).ok());
            let hop = ReturnHopConfig {
                gateway_v4: v4.or(over_v6),
                gateway_v6: v6,
                weight: weight.and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN),
                on_link: plane.on_link.is_some_and(|on_link| on_link.0),
            };
            if planes.insert(id, hop).is_some() {
                return refuse("name", format!("plane {name} is there twice; give it once"));
            }
        }
        Ok(planes)
    }
}

/// Whether some plane has a next hop for a prefix.
fn reaches(
    prefix: &Prefix,
    neighbors: &[NeighborConfig],
    planes: &BTreeMap<PlaneId, ReturnHopConfig>,
) -> bool {
    let v6 = prefix.addr().is_ipv6();
    let has_gateway = |hop: &ReturnHopConfig| match v6 {
        false => hop.gateway_v4.is_some(),
        true => hop.gateway_v6.is_some(),
    };
    let has_address = |neighbor: &NeighborConfig| neighbor.address.is_ipv6() == v6;
    planes.values().any(has_gateway) || neighbors.iter().any(has_address)
}

#[cfg(test)]
#[path = "return_path_tests.rs"]
mod tests;
