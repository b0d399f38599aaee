use super::text::{Text, text};
use super::{BGP_ANNOTATION, GATEWAY_LABEL, IP_ADDRESS_SUFFIX, LOGICAL_SWITCH_SUFFIX, SERVICE_LABEL};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// Name, namespace, and the annotations and labels that are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// `metadata.name`.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// `metadata.namespace`; empty where it is not given.
    #[serde(deserialize_with = "text")]
    pub namespace: String,
    /// `metadata.uid`, which an Event needs to name the object; empty in a manifest.
    #[serde(deserialize_with = "text")]
    pub uid: String,
    /// Whether there is a `metadata.deletionTimestamp`: the object is being deleted.
    #[serde(rename = "deletionTimestamp", deserialize_with = "is_there")]
    pub is_terminating: bool,
    /// `metadata.annotations`.
    pub annotations: Marks,
    /// `metadata.labels`.
    pub labels: Marks,
}

/// Annotations or labels. Reading keeps only the keys that mean something to twintor; the last-applied
/// configuration and its like can be bigger than everything else in an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks(BTreeMap<String, String>);

impl Marks {
    /// The value of a key; `None` where it is absent or empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Sets a key.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// All keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Marks {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let mut marks = Self::default();
        for (key, value) in pairs {
            marks.set(key, value);
        }
        marks
    }
}

impl<'de> Deserialize<'de> for Marks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(MarksVisitor)
    }
}

fn is_used(key: &str) -> bool {
    key == BGP_ANNOTATION
        || key == GATEWAY_LABEL
        || key == SERVICE_LABEL
        || key.ends_with(IP_ADDRESS_SUFFIX)
        || key.ends_with(LOGICAL_SWITCH_SUFFIX)
}

/// Whether a field has any value at all.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

struct MarksVisitor;

impl<'de> Visitor<'de> for MarksVisitor {
    type Value = Marks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of annotations or labels")
    }

    fn visit_none<E>(self) -> Result<Marks, E> {
        Ok(Marks::default())
    }

    fn visit_unit<E>(self) -> Result<Marks, E> {
        Ok(Marks::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Marks, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Marks, A::Error> {
        let mut marks = Marks::default();
        while let Some(Text(key)) = access.next_key()? {
            if !is_used(&key) {
                access.next_value::<IgnoredAny>()?;
                continue;
            }
            let Text(value) = access.next_value()?;
            marks.0.insert(key, value);
        }
        Ok(marks)
    }
}
