//! Node objects in a directory of manifests: only their labels are of use, and only to the configuration.

use super::documents::values;
use super::watch::is_manifest;
use crate::objects::is_node;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A Node is looked for in files up to this size, in octets: a list of all pods is none of them.
const MAX_FILE: u64 = 1 << 20;

/// The labels of the `v1` Node of that name; `None` where there is none. The file whose name sorts first wins. Files
/// that cannot be read, and those of more than 1 MiB, are passed over.
pub fn node_labels(dir: &Path, node: &str) -> Option<BTreeMap<String, String>> {
    let entries = fs::read_dir(dir).ok()?.filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| is_manifest(name)).collect();
    names.sort_unstable();
    names.iter().find_map(|name| in_file(dir, name, node))
}

fn in_file(dir: &Path, name: &str, node: &str) -> Option<BTreeMap<String, String>> {
    let path = dir.join(name);
    let meta = fs::metadata(&path).ok()?;
    if !meta.is_file() || meta.len() > MAX_FILE {
        return None;
    }
    let text = fs::read_to_string(&path).ok()?;
    let documents = values(name, &text);
    let items = documents.iter().flat_map(|document| {
        let items = document.0.get("items").and_then(Value::as_array);
        items.map_or_else(|| std::slice::from_ref(&document.0), Vec::as_slice)
    });
    let mut nodes = items.filter(|item| is_node(item));
    let is_it = |item: &&Value| {
        let name = item["metadata"]["name"].as_str();
        name.is_some_and(|name| name.eq_ignore_ascii_case(node))
    };
    let found = nodes.find(is_it)?;
    let labels = found["metadata"]["labels"].as_object().into_iter().flatten();
    let texts = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    Some(texts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_of_the_own_node_are_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("writable");
        assert_eq!(node_labels(dir.path(), "n1"), None);
        write("broken.yaml", "kind: [");
        write(
            "nodes.yaml",
            "apiVersion: v1\nkind: Node\nmetadata: {name: n2, labels: {rack: r2}}\n---\napiVersion: v1\nkind: List\nitems:\n\
             - {apiVersion: v1, kind: Node, metadata: {name: N1, labels: {rack: r1, a/b: \"\"}}}\n",
        );
        let labels = node_labels(dir.path(), "n1").expect("there is one");
        assert_eq!(
            labels,
            BTreeMap::from([
                ("rack".to_owned(), "r1".to_owned()),
                ("a/b".to_owned(), String::new())
            ])
        );
        write(
            "a.json",
            r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}"#,
        );
        assert_eq!(node_labels(dir.path(), "n1"), Some(BTreeMap::new()));
    }
}
