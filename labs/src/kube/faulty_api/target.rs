//! What a request is about.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::fault::Verb;
use crate::kube::kinds::{KINDS, Kind};

/// What the path of a request means.
pub(super) struct Target {
    /// Its place in [`KINDS`].
    pub(super) kind: usize,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) status: bool,
    query: Vec<(String, String)>,
}

impl Target {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let words = path.trim_matches('/').split('/').collect::<Vec<_>>();
        let (group, version, rest) = match words.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, name, status) = match rest {
            [plural] => (*plural, None, false),
            [plural, name] => (*plural, Some(*name), false),
            [plural, name, "status"] => (*plural, Some(*name), true),
            _ => return None,
        };
        let known = |kind: &Kind| kind.group == group && kind.version == version && kind.plural == plural;
        Some(Self {
            kind: KINDS.iter().position(known)?,
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            status,
            query: query.split('&').filter_map(parameter).collect(),
        })
    }

    /// A parameter that is set and not empty.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let value = self.query.iter().find(|(known, _)| known == name);
        value
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.query(name), Some("true" | "1"))
    }

    pub(super) fn kind(&self) -> &'static Kind {
        &KINDS[self.kind]
    }

    pub(super) fn verb(&self, method: &str) -> Verb {
        match (method, &self.name) {
            ("GET", None) if self.flag("watch") => Verb::Watch,
            ("GET", None) => Verb::List,
            ("GET", Some(_)) => Verb::Get,
            _ => Verb::Write,
        }
    }

    /// Whether the server can select by these fields: it cannot by just any.
    pub(super) fn check_fields(&self) -> Result<()> {
        for (field, _, _) in requirements(self.query("fieldSelector")) {
            let known = match field {
                "metadata.name" | "metadata.namespace" => true,
                "spec.nodeName" | "spec.restartPolicy" | "status.phase" | "status.podIP" => {
                    self.kind().name == "Pod"
                }
                _ => false,
            };
            ensure!(known, "field label not supported: {field}");
        }
        Ok(())
    }

    /// Whether a list or a watch is about this object. An object that is not there matches nothing.
    pub(super) fn selects(&self, object: Option<&str>) -> Result<bool> {
        let Some(text) = object else { return Ok(false) };
        let (labels, fields) = (self.query("labelSelector"), self.query("fieldSelector"));
        if labels.is_none() && fields.is_none() && self.namespace.is_none() {
            return Ok(true);
        }
        let object: Value = serde_json::from_str(text)?;
        let meta = &object["metadata"];
        if self
            .namespace
            .as_deref()
            .is_some_and(|only| meta["namespace"] != only)
        {
            return Ok(false);
        }
        for (field, wanted, equal) in requirements(fields) {
            let mut value = &object;
            for part in field.split('.') {
                value = &value[part];
            }
            if (value.as_str().unwrap_or_default() == wanted) != equal {
                return Ok(false);
            }
        }
        let matching =
            requirements(labels).all(|(label, wanted, equal)| (meta["labels"][label] == wanted) == equal);
        Ok(matching)
    }
}

/// A place in a list: the version it is read at, and the namespace and name of the last object.
pub(super) fn parse_token(token: &str) -> Option<(u64, &str, &str)> {
    let (revision, rest) = token.split_once(':')?;
    let (namespace, name) = rest.split_once('/')?;
    Some((revision.parse().ok()?, namespace, name))
}

fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (!name.is_empty()).then(|| (decode(name), decode(value)))
}

/// Undoes the encoding of a query.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let coded = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = after;
        match (first, coded) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a selector demands: a name, a value, and whether they are to be equal.
fn requirements(selector: Option<&str>) -> impl Iterator<Item = (&str, &str, bool)> {
    let parts = selector.into_iter().flat_map(|selector| selector.split(','));
    parts.filter_map(|part| {
        if let Some((name, value)) = part.split_once("!=") {
            return Some((name, value, false));
        }
        let (name, value) = part.split_once("==").or_else(|| part.split_once('='))?;
        Some((name, value, true))
    })
}
