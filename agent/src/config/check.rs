//! What can be checked without knowing the node: so a mistake in the entry of another rack is found here too.

use super::error::Problem;
use super::model::{ConfigFile, NodeEntry, Plane, SessionSettings};
use super::values::Host;

/// Checks a file as it is written.
///
/// # Errors
/// The first problem.
pub(super) fn file(file: &ConfigFile) -> Result<(), Problem> {
    settings("defaults", &file.defaults)?;
    planes("planes", &file.planes)?;
    node_ips("nodeIps", file.node_ips.as_deref())?;
    for (index, entry) in file.nodes.iter().enumerate() {
        node(&format!("nodes[{index}]"), entry)?;
    }
    Ok(())
}

fn node(at: &str, entry: &NodeEntry) -> Result<(), Problem> {
    let names = entry
        .r#match
        .names
        .as_ref()
        .is_some_and(|names| !names.is_empty());
    let labels = entry
        .r#match
        .labels
        .as_ref()
        .is_some_and(|labels| !labels.is_empty());
    if !names && !labels {
        return Err(Problem::new(
            format!("{at}.match"),
            "matches no node; give names, or labels (names: [\"*\"] is every node)",
        ));
    }
    node_ips(&format!("{at}.nodeIps"), entry.node_ips.as_deref())?;
    settings(&format!("{at}.defaults"), &entry.defaults)?;
    planes(&format!("{at}.planes"), &entry.planes)
}

fn planes(at: &str, planes: &[Plane]) -> Result<(), Problem> {
    for (index, plane) in planes.iter().enumerate() {
        if planes[..index].iter().any(|other| other.name == plane.name) {
            return Err(Problem::new(
                format!("{at}[{index}].name"),
                format!(
                    "there are two planes {}; give each a letter of its own",
                    plane.name
                ),
            ));
        }
        settings(&format!("{at}[{index}]"), &plane.settings)?;
    }
    Ok(())
}

fn settings(at: &str, settings: &SessionSettings) -> Result<(), Problem> {
    if settings.multihop.is_some() && settings.ttl_security.is_some() {
        return Err(Problem::new(
            format!("{at}.ttlSecurity"),
            "multihop is set as well, and they exclude each other; leave one of them out",
        ));
    }
    Ok(())
}

fn node_ips(at: &str, addresses: Option<&[Host]>) -> Result<(), Problem> {
    let addresses = addresses.unwrap_or_default();
    let several = |v4: bool| addresses.iter().filter(|host| host.0.is_ipv4() == v4).count() > 1;
    if several(true) || several(false) {
        return Err(Problem::new(
            at,
            "has several addresses of one family; give at most one of each",
        ));
    }
    Ok(())
}
