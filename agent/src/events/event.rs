use crate::index::Problem;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Where Events of objects that live in no namespace go.
const NO_NAMESPACE: &str = "default";

/// The longest piece of an object's name in the name of an Event; with the rest it stays below the 253 characters that
/// a name may have.
const NAME_PART: usize = 200;

/// An Event that is to be created.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NewEvent {
    /// The path to create it at.
    pub(super) uri: String,
    pub(super) body: Value,
}

impl NewEvent {
    /// The Event (core/v1) of a problem, whoever finds it: its name says which object and which problem, so a second
    /// speaker finds it there already.
    pub(super) fn of(problem: &Problem, node: Option<&str>, now: Timestamp) -> Self {
        let object = &problem.object;
        let namespace = match &*object.namespace {
            "" => NO_NAMESPACE,
            namespace => namespace,
        };
        let (field, kind) = (&problem.field, &problem.kind);
        let message = format!("{field}: {kind}; {}", kind.remedy());
        let time = jiff::fmt::temporal::DateTimePrinter::new()
            .precision(Some(0))
            .timestamp_to_string(&now);
        let body = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name(problem), "namespace": namespace},
            "involvedObject": {
                "apiVersion": object.kind.api_version(),
                "kind": object.kind.name(),
                "namespace": &*object.namespace,
                "name": &*object.name,
                "uid": &*problem.uid,
            },
            "type": "Warning",
            "reason": kind.reason(),
            "message": message,
            "source": {"component": "twintor", "host": node.unwrap_or_default()},
            "reportingComponent": "twintor",
            "reportingInstance": node.unwrap_or_default(),
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        });
        Self {
            uri: format!("/api/v1/namespaces/{namespace}/events"),
            body,
        }
    }
}

fn name(problem: &Problem) -> String {
    let object = &problem.object;
    let part: String = object.name.chars().take(NAME_PART).collect();
    let part = part.trim_end_matches(|last: char| !last.is_ascii_alphanumeric());
    let all = format!(
        "{}/{}/{}/{}/{}/{}",
        object.kind, object.namespace, object.name, problem.uid, problem.field, problem.kind
    );
    format!("{part}.{:016x}", fnv(&all))
}

/// FNV-1a with 64 bits. Speakers of different versions must come to the same name, so it must never change.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::ProblemKind;
    use crate::objects::{Kind, ObjectKey};

    fn problem(object: ObjectKey) -> Problem {
        Problem {
            object,
            uid: "u-1".into(),
            field: "ovn.kubernetes.io/bgp".to_owned(),
            kind: ProblemKind::UnknownValue("on".into()),
        }
    }

    fn event(problem: &Problem, node: &str) -> NewEvent {
        NewEvent::of(problem, Some(node), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn says_what_is_wrong_with_which_object() {
        let event = event(&problem(ObjectKey::new(Kind::Pod, "web", "sample")), "node1");
        assert_eq!(event.uri, "/api/v1/namespaces/web/events");
        let body = &event.body;
        assert_eq!(
            body["involvedObject"],
            json!({"apiVersion": "v1", "kind": "Pod", "namespace": "web", "name": "sample", "uid": "u-1"})
        );
        assert_eq!(
            (&body["type"], &body["reason"]),
            (&json!("Warning"), &json!("UnknownValue"))
        );
        assert_eq!(body["firstTimestamp"], "1970-01-01T00:00:00Z");
        let message = body["message"].as_str().unwrap_or_default();
        assert!(
            message.starts_with("ovn.kubernetes.io/bgp: value \"on\" means nothing"),
            "{message}"
        );
    }

    #[test]
    fn an_object_without_namespace_has_its_events_in_default() {
        let event = event(&problem(ObjectKey::new(Kind::Subnet, "", "s")), "node1");
        assert_eq!(event.uri, "/api/v1/namespaces/default/events");
        assert_eq!(event.body["metadata"]["namespace"], "default");
        assert_eq!(event.body["involvedObject"]["namespace"], "");
        assert_eq!(event.body["involvedObject"]["apiVersion"], "kubeovn.io/v1");
    }

    #[test]
    fn every_speaker_gives_it_the_same_name_and_other_problems_another() {
        let name = |problem: &Problem, node| event(problem, node).body["metadata"]["name"].clone();
        let one = problem(ObjectKey::new(Kind::Pod, "web", "sample"));
        // Not to be changed: speakers of different versions run side by side during an update.
        assert_eq!(name(&one, "node1"), "sample.b8eeb457945d7cac");
        assert_eq!(name(&one, "node1"), name(&one, "node2"));
        let mut again = one.clone();
        again.uid = "u-2".into();
        let mut other = one.clone();
        other.kind = ProblemKind::UnknownValue("off".into());
        assert!(name(&again, "") != name(&one, "") && name(&other, "") != name(&one, ""));
        let long = problem(ObjectKey::new(
            Kind::Pod,
            "web",
            &format!("{}.a", "x".repeat(199)),
        ));
        let long = name(&long, "").as_str().unwrap_or_default().to_owned();
        assert!(long.len() == 199 + 17 && long.starts_with("xxx"), "{long}");
    }
}
