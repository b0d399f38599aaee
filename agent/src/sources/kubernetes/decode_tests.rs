use super::decode::{Item, Line, read_line, read_page};
use super::trouble::Trouble;
use crate::objects::{Kind, Object};
use serde_json::{Value, json};

fn line(value: &Value) -> Line {
    read_line(Kind::Pod, value.to_string().as_bytes())
}

#[test]
fn a_page_with_all_kinds_of_trouble_in_it() {
    let page = json!({
        "kind": "PodList",
        "metadata": {"resourceVersion": "7", "continue": "next", "remainingItemCount": 3},
        "items": [
            {"metadata": {"name": "good", "namespace": "web"}, "spec": {"nodeName": "worker", "huge": "HUGE"}},
            {"metadata": {"name": "bad", "namespace": "web"}, "spec": {"nodeName": ["a"]}},
            {"metadata": {}},
            "text",
        ],
    });
    // JSON has no largest number.
    let text = page
        .to_string()
        .replace("\"HUGE\"", "[1e400, 99999999999999999999999]");
    let page = read_page(Kind::Pod, &text).expect("a page");
    assert_eq!(
        (page.version.as_str(), page.token.as_deref()),
        ("7", Some("next"))
    );
    let keys: Vec<_> = page
        .items
        .iter()
        .map(|item| {
            (
                matches!(item, Item::Readable(_)),
                item.key().map(|key| key.to_string()),
            )
        })
        .collect();
    assert_eq!(
        keys,
        [
            (true, Some("Pod web/good".to_owned())),
            (false, Some("Pod web/bad".to_owned())),
            (false, None),
            (false, None),
        ]
    );
}

#[test]
fn what_is_no_list_is_not_an_empty_list() {
    let empty = r#"{"metadata":{"resourceVersion":"7"},"items":null}"#;
    assert!(read_page(Kind::Pod, empty).is_ok_and(|page| page.items.is_empty() && page.token.is_none()));
    for text in [
        "",
        "{}",
        "null",
        "[]",
        "<html>",
        r#"{"kind":"Status","metadata":{},"status":"Success"}"#,
        r#"{"metadata":{"resourceVersion":"7"}}"#,
        r#"{"metadata":{"resourceVersion":""},"items":[]}"#,
        r#"{"metadata":{},"items":[]}"#,
        r#"{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"#,
    ] {
        let read = read_page(Kind::Pod, text);
        assert!(matches!(read, Err(Trouble::Nonsense(_))), "{text}: {read:?}");
    }
}

#[test]
fn lines_of_a_watch() {
    let pod = json!({"metadata": {"name": "p", "namespace": "web", "resourceVersion": "9"}});
    let Line::Upsert(Item::Readable(object), Some(version)) =
        line(&json!({"type": "MODIFIED", "object": pod}))
    else {
        panic!("not a change");
    };
    assert!(matches!(*object, Object::Pod(_)));
    assert_eq!(version, "9");
    let deleted = line(&json!({"type": "DELETED", "object": pod}));
    assert!(matches!(deleted, Line::Delete(key, _) if key.to_string() == "Pod web/p"));
    let bookmark =
        json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "11", "name": null}}});
    assert!(matches!(line(&bookmark), Line::Bookmark(version) if version == "11"));
    assert!(matches!(
        line(&json!({"type": "NEWS", "object": {}})),
        Line::Other
    ));
    let bad = json!({"metadata": {"name": "p", "resourceVersion": "10"}, "status": {"phase": {}}});
    let Line::Upsert(Item::Unreadable(Some(key), reason), Some(_)) =
        line(&json!({"type": "ADDED", "object": bad}))
    else {
        panic!("readable");
    };
    assert_eq!(key.to_string(), "Pod default/p");
    assert!(reason.contains("mapping"), "{reason}");
}

#[test]
fn errors_of_a_watch() {
    let error = |status: Value| line(&json!({"type": "ERROR", "object": status}));
    let expired = error(json!({"kind": "Status", "code": 410, "reason": "Expired"}));
    assert!(matches!(expired, Line::Error(Trouble::Expired)));
    let broken = error(json!({"code": 500, "message": "etcdserver: no leader"}));
    assert!(matches!(broken, Line::Error(Trouble::Refused { code: 500, .. })));
    for text in [
        "",
        "{",
        "null",
        r#"{"type":"ADDED"}"#,
        r#"{"type":"DELETED","object":{}}"#,
        "\u{0}",
    ] {
        let read = read_line(Kind::Pod, text.as_bytes());
        assert!(
            matches!(read, Line::Error(Trouble::Nonsense(_))),
            "{text}: {read:?}"
        );
    }
}

#[test]
fn endpoints_of_both_versions_are_read() {
    let labels = json!({"kubernetes.io/service-name": "web", "other": "x"});
    let page = json!({
        "metadata": {"resourceVersion": "7"},
        "items": [
            {
                "metadata": {"name": "new", "namespace": "web", "labels": labels},
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": ["10.16.0.1"], "nodeName": "worker", "conditions": {"ready": false, "serving": true, "terminating": true}},
                    {"addresses": ["10.16.0.2"], "conditions": {"ready": null}, "targetRef": {"kind": "Pod"}},
                ],
                "ports": null,
            },
            {
                "metadata": {"name": "old", "namespace": "web", "labels": labels},
                "addressType": "IPv6",
                "endpoints": [{"addresses": ["fd00::1"], "topology": {"kubernetes.io/hostname": "worker", "zone": "a"}}],
            },
            {"metadata": {"name": "empty", "namespace": "web"}, "endpoints": null},
        ],
    });
    let page = read_page(Kind::EndpointSlice, &page.to_string()).expect("a page");
    let slices: Vec<_> = page
        .items
        .iter()
        .map(|item| {
            let Item::Readable(object) = item else {
                panic!("{item:?}");
            };
            let Object::EndpointSlice(slice) = &**object else {
                panic!("{object:?}");
            };
            slice
        })
        .collect();
    let facts = slices.iter().map(|slice| {
        let endpoints = slice.endpoints.iter();
        let facts = endpoints.map(|endpoint| {
            let conditions = endpoint.conditions;
            (endpoint.node(), conditions.is_ready(), conditions.is_draining())
        });
        (slice.address_type.as_str(), facts.collect::<Vec<_>>())
    });
    assert_eq!(
        facts.collect::<Vec<_>>(),
        [
            ("IPv4", vec![("worker", false, true), ("", true, false)]),
            ("IPv6", vec![("worker", true, false)]),
            ("", vec![]),
        ]
    );
    let label = slices[0].metadata.labels.iter().collect::<Vec<_>>();
    assert_eq!(label, [("kubernetes.io/service-name", "web")]);
}

#[test]
fn what_the_policy_looks_at_is_read() {
    let pod = json!({
        "metadata": {"name": "p", "namespace": "web", "uid": "u-1", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": [{"type": "Ready", "status": "False"}]},
    });
    let Line::Upsert(Item::Readable(object), _) = line(&json!({"type": "ADDED", "object": pod})) else {
        panic!("a pod");
    };
    let Object::Pod(pod) = *object else {
        panic!("a pod")
    };
    assert!(pod.metadata.is_terminating);
    assert_eq!(
        (pod.metadata.uid.as_str(), pod.status.conditions.len()),
        ("u-1", 1)
    );

    let service = json!({
        "metadata": {"name": "s", "deletionTimestamp": null},
        "spec": {"type": "LoadBalancer", "externalIPs": ["198.51.100.1"], "externalTrafficPolicy": "Local"},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"hostname": "lb.example"}]}},
    });
    let text = json!({"type": "ADDED", "object": service}).to_string();
    let Line::Upsert(Item::Readable(object), _) = read_line(Kind::Service, text.as_bytes()) else {
        panic!("a service");
    };
    let Object::Service(service) = *object else {
        panic!("a service")
    };
    assert!(!service.metadata.is_terminating);
    assert_eq!(service.spec.external_ips, ["198.51.100.1"]);
    assert_eq!(service.spec.external_traffic_policy, "Local");
    let ips: Vec<_> = service
        .status
        .load_balancer
        .ingress
        .iter()
        .map(|ingress| ingress.ip.as_str())
        .collect();
    assert_eq!(ips, ["203.0.113.1", ""]);
}
