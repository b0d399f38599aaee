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
