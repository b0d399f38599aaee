//! From what the API server sends to events. Pure.

use super::trouble::Trouble;
use crate::index::Event;
use crate::objects::{
    EndpointSlice, IptablesEip, Kind, Object, ObjectKey, Pod, Service, Subnet, VpcNatGateway,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    /// The version of the whole list; a watch goes on from it.
    pub(super) version: String,
    /// How to ask for the next page; `None` on the last one.
    pub(super) token: Option<String>,
}

/// One object that the server has.
#[derive(Debug)]
pub(super) enum Item {
    /// It can be read.
    Readable(Box<Object>),
    /// It cannot; which one it is, as far as that can be read, and why.
    Unreadable(Option<ObjectKey>, String),
}

/// One line of a watch.
#[derive(Debug)]
pub(super) enum Line {
    /// There is a new or changed object.
    Upsert(Item, Option<String>),
    /// An object is gone.
    Delete(ObjectKey, Option<String>),
    /// Nothing changed up to this version.
    Bookmark(String),
    /// The watch ends.
    Error(Trouble),
    /// A kind of line that does not concern us.
    Other,
}

impl Item {
    pub(super) fn key(&self) -> Option<ObjectKey> {
        match self {
            Self::Readable(object) => Some(object.key()),
            Self::Unreadable(key, _) => key.clone(),
        }
    }

    /// What it means to the index; nothing where it cannot be told apart.
    pub(super) fn into_event(self) -> Option<Event> {
        match self {
            Self::Readable(object) => Some(Event::Upsert(object)),
            Self::Unreadable(key, _) => key.map(Event::Keep),
        }
    }
}

impl Line {
    /// The version of the kind's history that it brings.
    pub(super) fn version(&self) -> Option<&str> {
        match self {
            Self::Upsert(_, version) | Self::Delete(_, version) => version.as_deref(),
            Self::Bookmark(version) => Some(version),
            Self::Error(_) | Self::Other => None,
        }
    }
}

/// Reads one page. Anything but a list with a version is refused as a whole: what is no list must not be taken as an
/// empty one.
pub(super) fn read_page(kind: Kind, text: &str) -> Result<Page, Trouble> {
    #[derive(Deserialize)]
    struct List<'a> {
        metadata: ListMeta,
        #[serde(borrow, deserialize_with = "nullable")]
        items: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ListMeta {
        resource_version: String,
        #[serde(default, rename = "continue", deserialize_with = "nullable")]
        token: String,
    }
    let list: List<'_> = serde_json::from_str(text).map_err(|error| Trouble::nonsense(&error))?;
    if list.metadata.resource_version.is_empty() {
        return Err(Trouble::Nonsense("a list without resourceVersion".to_owned()));
    }
    Ok(Page {
        items: list.items.into_iter().map(|raw| read_item(kind, raw)).collect(),
        version: list.metadata.resource_version,
        token: Some(list.metadata.token).filter(|token| !token.is_empty()),
    })
}

/// Reads one line of a watch.
pub(super) fn read_line(kind: Kind, line: &[u8]) -> Line {
    #[derive(Deserialize)]
    struct Raw<'a> {
        r#type: String,
        #[serde(borrow)]
        object: &'a RawValue,
    }
    let raw: Raw<'_> = match serde_json::from_slice(line) {
        Ok(raw) => raw,
        Err(error) => return Line::Error(Trouble::nonsense(&error)),
    };
    let head = Head::read(raw.object);
    match raw.r#type.as_str() {
        "ADDED" | "MODIFIED" => Line::Upsert(read_item(kind, raw.object), head.version()),
        "DELETED" => match head.key(kind) {
            Some(key) => Line::Delete(key, head.version()),
            None => Line::Error(Trouble::Nonsense("a deleted object without a name".to_owned())),
        },
        "BOOKMARK" => head.version().map_or(Line::Other, Line::Bookmark),
        "ERROR" => match serde_json::from_str::<ErrorStatus>(raw.object.get()) {
            Ok(status) => Line::Error(Trouble::from_code(status.code, &status.message, None)),
            Err(error) => Line::Error(Trouble::nonsense(&error)),
        },
        _ => Line::Other,
    }
}

fn read_item(kind: Kind, raw: &RawValue) -> Item {
    let text = raw.get();
    let read = match kind {
        Kind::Pod => serde_json::from_str::<Pod>(text).map(Object::Pod),
        Kind::Subnet => serde_json::from_str::<Subnet>(text).map(Object::Subnet),
        Kind::Service => serde_json::from_str::<Service>(text).map(Object::Service),
        Kind::EndpointSlice => serde_json::from_str::<EndpointSlice>(text).map(Object::EndpointSlice),
        Kind::IptablesEip => serde_json::from_str::<IptablesEip>(text).map(Object::IptablesEip),
        Kind::VpcNatGateway => serde_json::from_str::<VpcNatGateway>(text).map(Object::VpcNatGateway),
    };
    match read {
        Ok(object) if object.meta().name.is_empty() => {
            Item::Unreadable(None, "it has no metadata.name".to_owned())
        }
        Ok(object) => Item::Readable(Box::new(object)),
        Err(error) => Item::Unreadable(Head::read(raw).key(kind), error.to_string()),
    }
}

/// Which object it is, and of which version. Empty where it does not say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: HeadMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HeadMeta {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    namespace: String,
    #[serde(deserialize_with = "nullable")]
    resource_version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorStatus {
    code: u16,
    message: String,
}

impl Head {
    fn read(raw: &RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }

    fn key(&self, kind: Kind) -> Option<ObjectKey> {
        let meta = &self.metadata;
        Some(ObjectKey::new(kind, &meta.namespace, &meta.name)).filter(|key| !key.name.is_empty())
    }

    fn version(&self) -> Option<String> {
        Some(self.metadata.resource_version.clone()).filter(|version| !version.is_empty())
    }
}

fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
