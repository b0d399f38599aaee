//! A directory of Kubernetes objects: what an agent under test reads instead of an API server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// The annotation that asks for an announcement.
pub const BGP: &str = "ovn.kubernetes.io/bgp";

/// A directory of manifests that changes like an API server's contents: each object at once or not at all.
#[derive(Debug, Clone)]
pub struct Manifests {
    dir: PathBuf,
}

/// A pod, as far as it matters here.
#[derive(Debug, Clone)]
pub struct Pod<'a> {
    /// Its name, and that of its file.
    pub name: &'a str,
    /// Its addresses, separated by commas.
    pub addresses: &'a str,
    /// Where it runs.
    pub node: &'a str,
    /// The value of the annotation, if it is annotated.
    pub policy: Option<&'a str>,
}

impl Manifests {
    /// A directory, made if need be.
    pub fn at(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a pod.
    pub fn pod(&self, pod: &Pod<'_>) -> Result<()> {
        let mut annotations = Map::new();
        annotations.insert("ovn.kubernetes.io/ip_address".into(), pod.addresses.into());
        annotations.insert("ovn.kubernetes.io/logical_switch".into(), "ovn-default".into());
        annotations.extend(pod.policy.map(|policy| (BGP.to_owned(), policy.into())));
        self.put(
            pod.name,
            &json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": { "name": pod.name, "namespace": "default", "annotations": annotations },
                "spec": { "nodeName": pod.node },
            }),
        )
    }

    /// Writes a subnet.
    pub fn subnet(&self, name: &str, cidr: &str, policy: Option<&str>) -> Result<()> {
        let annotations = policy
            .map(|policy| (BGP.to_owned(), policy.into()))
            .into_iter()
            .collect::<Map<_, _>>();
        self.put(
            name,
            &json!({
                "apiVersion": "kubeovn.io/v1",
                "kind": "Subnet",
                "metadata": { "name": name, "annotations": annotations },
                "spec": { "protocol": "Dual", "cidrBlock": cidr, "natOutgoing": false },
            }),
        )
    }

    /// Writes an object into a file of this name.
    pub fn put(&self, name: &str, object: &Value) -> Result<()> {
        self.write(&format!("{name}.json"), &serde_json::to_string_pretty(object)?)
    }

    /// Writes a file, by renaming a complete one into place.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let mut fresh = self.dir.clone();
        fresh.as_mut_os_string().push(".new");
        fs::write(&fresh, text).with_context(|| format!("write {}", fresh.display()))?;
        fs::rename(&fresh, self.dir.join(file)).with_context(|| format!("write {file}"))
    }

    /// Removes an object's file.
    pub fn remove(&self, name: &str) -> Result<()> {
        let file = self.dir.join(format!("{name}.json"));
        fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))
    }
}
