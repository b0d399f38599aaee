//! What the project ships beside its binary: manifests that are rendered from the chart.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::helm::Chart;
use crate::state;

const HEAD: &str =
    "# Rendered from deploy/chart/twintor by `cargo lab render`: change the chart, not this file.\n";

/// A plain manifest: its name under `deploy/manifests`, the template it is made of, and the values.
struct Manifest {
    name: &'static str,
    template: &'static str,
    values: fn() -> Value,
}

const MANIFESTS: [Manifest; 3] = [
    Manifest {
        name: "rbac.yaml",
        template: "twintor/templates/rbac.yaml",
        values: || json!({}),
    },
    Manifest {
        name: "daemonset.yaml",
        template: "twintor/templates/daemonset.yaml",
        values: || json!({}),
    },
    Manifest {
        name: "nat-gateway.yaml",
        template: "twintor/templates/nat-gateway.yaml",
        values: || json!({ "natGateway": { "rbac": true } }),
    },
];

/// The plain manifests as the chart gives them: path and text.
pub fn manifests(chart: &Chart) -> Result<Vec<(PathBuf, String)>> {
    let dir = state::workspace()?.join("deploy/manifests");
    let requests = MANIFESTS.iter().map(|manifest| chart.with((manifest.values)()));
    let renderings = chart.render(&requests.collect::<Vec<_>>())?;
    let files = MANIFESTS.iter().zip(renderings).map(|(manifest, rendering)| {
        let files = rendering.map_err(anyhow::Error::msg)?;
        let text = files.get(manifest.template);
        let text = text.with_context(|| format!("the chart has no {}", manifest.template))?;
        Ok((dir.join(manifest.name), format!("{HEAD}{}\n", text.trim())))
    });
    files.collect()
}

/// Writes the plain manifests; returns what has changed.
pub fn render(chart: &Chart) -> Result<Vec<PathBuf>> {
    let mut changed = Vec::new();
    for (path, text) in manifests(chart)? {
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        changed.push(path);
    }
    Ok(changed)
}
