use super::{
    Endpoint, EndpointSlice, IptablesEip, IptablesEipSpec, IptablesEipStatus, Kind, Meta, Object, ObjectKey,
    Pod, PodSpec, PodStatus, Service, ServiceSpec, ServiceStatus, Subnet, SubnetSpec, SubnetStatus,
    VpcNatGateway,
};
use serde::Deserialize;
use serde_json::Value;

/// Why a document, or one item of a list, is no object that is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ReadError {
    /// Which object it would have been, as far as the document says so.
    pub key: Option<ObjectKey>,
    /// What is wrong with it.
    pub kind: ReadErrorKind,
}

/// What is wrong with a document. Each text names the input and says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadErrorKind {
    /// The document is a scalar or a list.
    #[error("is no Kubernetes object; it must be a mapping with apiVersion, kind and metadata")]
    NotAMapping,
    /// There is no `kind`.
    #[error("has no kind; twintor reads {known}", known = kinds())]
    NoKind,
    /// The kind is not one that is read.
    #[error("unknown kind {0:?}; twintor reads {known}", known = kinds())]
    UnknownKind(String),
    /// The kind is known, but in another group or version.
    #[error("{kind} has apiVersion {found:?}; write {expected:?}", expected = kind.api_version())]
    WrongVersion {
        /// The kind.
        kind: Kind,
        /// What the document says; empty if nothing.
        found: String,
    },
    /// There is no `metadata.name`.
    #[error("{0} has no metadata.name; give it one")]
    NoName(Kind),
    /// A list has `items` that are no list.
    #[error("{0} has no list in items; write items: []")]
    NoItems(String),
    /// A field that is used has the wrong type.
    #[error("{key}: {section} is unreadable: {reason}")]
    Field {
        /// The object.
        key: ObjectKey,
        /// `metadata`, `spec`, `status` or `endpoints`.
        section: &'static str,
        /// What the decoder says.
        reason: String,
    },
}

impl ReadErrorKind {
    /// Whether the document may be a damaged object of a kind that is read, rather than something else.
    pub(crate) fn may_be_object(&self) -> bool {
        match self {
            Self::UnknownKind(_) | Self::WrongVersion { .. } => false,
            Self::NotAMapping | Self::NoKind | Self::NoName(_) | Self::NoItems(_) | Self::Field { .. } => {
                true
            }
        }
    }
}

impl From<ReadErrorKind> for ReadError {
    fn from(kind: ReadErrorKind) -> Self {
        Self { key: None, kind }
    }
}

/// Reads one document: nothing for an empty one, one object, or each item of a `List` (`List`, `PodList`, …) in
/// its order. One unreadable item does not hide the others.
pub fn read_document(value: &Value) -> Vec<Result<Object, ReadError>> {
    if value.is_null() {
        return Vec::new();
    }
    if !value.is_object() {
        return vec![Err(ReadErrorKind::NotAMapping.into())];
    }
    let kind = string_at(value, "kind");
    if is_node(value) {
        return Vec::new();
    }
    let Some(item_kind) = kind.strip_suffix("List") else {
        return vec![read_object(value, kind, string_at(value, "apiVersion"))];
    };
    if !item_kind.is_empty() && Kind::from_name(item_kind).is_none() {
        return vec![Err(ReadErrorKind::UnknownKind(kind.to_owned()).into())];
    }
    read_list(value, kind, item_kind)
}

fn read_list(list: &Value, kind: &str, item_kind: &str) -> Vec<Result<Object, ReadError>> {
    let items = match list.get("items") {
        Some(Value::Array(items)) => items,
        Some(Value::Null) => return Vec::new(),
        None | Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            return vec![Err(ReadErrorKind::NoItems(kind.to_owned()).into())];
        }
    };
    let list_version = string_at(list, "apiVersion");
    let items = items.iter().filter(|item| !is_node(item));
    let read = items.map(|item| {
        if !item.is_object() {
            return Err(ReadErrorKind::NotAMapping.into());
        }
        // The API server leaves kind and apiVersion out of the items of a typed list.
        let kind = Some(string_at(item, "kind")).filter(|kind| !kind.is_empty());
        let version = Some(string_at(item, "apiVersion")).filter(|version| !version.is_empty());
        let fallback = if item_kind.is_empty() { "" } else { list_version };
        read_object(item, kind.unwrap_or(item_kind), version.unwrap_or(fallback))
    });
    read.collect()
}

fn read_object(value: &Value, kind: &str, version: &str) -> Result<Object, ReadError> {
    if kind.is_empty() {
        return Err(ReadErrorKind::NoKind.into());
    }
    let Some(kind) = Kind::from_name(kind) else {
        return Err(ReadErrorKind::UnknownKind(kind.to_owned()).into());
    };
    if !kind.is_read_as(version) {
        let found = version.to_owned();
        return Err(ReadErrorKind::WrongVersion { kind, found }.into());
    }
    let unnamed = ObjectKey::new(kind, "", "");
    let metadata: Meta = section(value, "metadata", &unnamed)?.unwrap_or_default();
    if metadata.name.is_empty() {
        return Err(ReadErrorKind::NoName(kind).into());
    }
    let key = ObjectKey::new(kind, &metadata.namespace, &metadata.name);
    let object = match kind {
        Kind::Pod => Object::Pod(Pod {
            metadata,
            spec: section::<PodSpec>(value, "spec", &key)?.unwrap_or_default(),
            status: section::<PodStatus>(value, "status", &key)?.unwrap_or_default(),
        }),
        Kind::Service => Object::Service(Service {
            metadata,
            spec: section::<ServiceSpec>(value, "spec", &key)?.unwrap_or_default(),
            status: section::<ServiceStatus>(value, "status", &key)?.unwrap_or_default(),
        }),
        Kind::EndpointSlice => Object::EndpointSlice(EndpointSlice {
            metadata,
            address_type: string_at(value, "addressType").to_owned(),
            endpoints: section::<Vec<Endpoint>>(value, "endpoints", &key)?.unwrap_or_default(),
        }),
        Kind::Subnet => Object::Subnet(Subnet {
            metadata,
            spec: section::<SubnetSpec>(value, "spec", &key)?.unwrap_or_default(),
            status: section::<SubnetStatus>(value, "status", &key)?,
        }),
        Kind::IptablesEip => Object::IptablesEip(IptablesEip {
            metadata,
            spec: section::<IptablesEipSpec>(value, "spec", &key)?.unwrap_or_default(),
            status: section::<IptablesEipStatus>(value, "status", &key)?,
        }),
        Kind::VpcNatGateway => Object::VpcNatGateway(VpcNatGateway { metadata }),
    };
    Ok(object)
}

/// Whether it is a `v1` Node. Those announce nothing; the configuration may ask for their labels.
pub(crate) fn is_node(value: &Value) -> bool {
    string_at(value, "kind") == "Node" && string_at(value, "apiVersion") == "v1"
}

fn section<'a, T: Deserialize<'a>>(
    value: &'a Value,
    name: &'static str,
    key: &ObjectKey,
) -> Result<Option<T>, ReadError> {
    let Some(section) = value.get(name) else {
        return Ok(None);
    };
    Option::<T>::deserialize(section).map_err(|error| ReadError {
        key: Some(key.clone()).filter(|key| !key.name.is_empty()),
        kind: ReadErrorKind::Field {
            key: key.clone(),
            section: name,
            reason: error.to_string(),
        },
    })
}

fn string_at<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn kinds() -> String {
    let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    format!("{} and List", names.join(", "))
}
