use super::documents::{FileContent, parse};

fn shown(content: &FileContent) -> Vec<String> {
    content
        .objects
        .iter()
        .map(|object| object.key().to_string())
        .collect()
}

fn defects(content: &FileContent) -> Vec<(usize, u64, Option<String>)> {
    let defects = content.defects.iter();
    defects
        .map(|defect| {
            (
                defect.document,
                defect.line,
                defect.key.as_ref().map(ToString::to_string),
            )
        })
        .collect()
}

const MANY: &str = "\
# a comment first
---
apiVersion: kubeovn.io/v1
kind: Subnet
metadata:
  name: ovn-default
spec: {cidrBlock: 10.16.0.0/16}
--- # the next one
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: web}
---
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: b}}
- {apiVersion: v1, kind: Service, metadata: {name: c}}
...
";

#[test]
fn many_documents_and_lists() {
    let content = parse("x.yaml", MANY);
    assert_eq!(
        shown(&content),
        [
            "Subnet ovn-default",
            "Pod web/a",
            "Pod default/b",
            "Service default/c"
        ]
    );
    assert!(content.defects.is_empty(), "{content:?}");
    let windows = parse("x.yml", &format!("\u{feff}{}", MANY.replace('\n', "\r\n")));
    assert_eq!(shown(&windows), shown(&content));
}

#[test]
fn empty_files_are_empty() {
    for text in [
        "",
        "\n",
        "# nothing\n",
        "---\n",
        "---\n---\n...\n",
        "null\n",
        "  \n\t\n",
    ] {
        let content = parse("x.yaml", text);
        assert!(
            content.objects.is_empty() && content.defects.is_empty(),
            "{text:?}: {content:?}"
        );
    }
    let content = parse("x.json", " \n ");
    assert!(content.objects.is_empty() && content.defects.is_empty());
}

#[test]
fn json_values_one_after_another() {
    let text = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}

        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}, "x": 123456789012345678901234567890}
        {"apiVersion": "v1", "kind": "ConfigMap"}
        {"apiVersion": "v1", "kind"
    "#;
    let content = parse("x.json", text);
    assert_eq!(shown(&content), ["Pod default/a", "Pod default/b"]);
    assert_eq!(defects(&content), [(3, 4, None), (4, 6, None)]);
}

#[test]
fn a_bad_document_does_not_hide_the_others_and_is_identified() {
    let text = "\
apiVersion: v1
kind: Pod
metadata: {name: good}
---
apiVersion: v1
kind: Pod
metadata:
  namespace: web # here
  name: \"broken\"
spec: {nodeName: [}
---
apiVersion: v1
kind: Pod
metadata: {name: typed}
spec: {nodeName: [1]}
---
kind: Secret
apiVersion: v1
---
: : :
---
apiVersion: v1
kind: Service
metadata: {name: last}
";
    let content = parse("x.yaml", text);
    assert_eq!(shown(&content), ["Pod default/good", "Service default/last"]);
    assert_eq!(
        defects(&content),
        [
            (2, 10, Some("Pod web/broken".to_owned())),
            (3, 12, Some("Pod default/typed".to_owned())),
            (4, 17, None),
            (5, 20, None),
        ]
    );
    let may_be: Vec<_> = content
        .defects
        .iter()
        .map(|defect| defect.may_be_object)
        .collect();
    assert_eq!(may_be, [true, true, false, true]);
    for defect in &content.defects {
        assert_eq!(defect.message.lines().count(), 1, "{}", defect.message);
    }
}

#[test]
fn annotations_keep_the_words_of_people() {
    let text = "\
apiVersion: kubeovn.io/v1
kind: Subnet
metadata:
  name: s
  annotations: {ovn.kubernetes.io/bgp: yes}
";
    let content = parse("x.yaml", text);
    let bgp = content.objects[0].meta().annotations.get("ovn.kubernetes.io/bgp");
    assert_eq!(bgp, Some("yes"));
}

#[test]
fn a_block_text_may_hold_what_looks_like_a_document() {
    let text = "\
apiVersion: v1
kind: Pod
metadata:
  name: a
  annotations:
    note: |
      ---
      kind: Pod
";
    assert_eq!(shown(&parse("x.yaml", text)), ["Pod default/a"]);
}

#[test]
fn directives_belong_to_the_document_after_them() {
    let text = "%YAML 1.2\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
    let content = parse("x.yaml", text);
    assert_eq!(shown(&content), ["Pod default/a"], "{content:?}");
}

#[test]
fn rubbish_and_alias_bombs_are_defects() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
        g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    let deep = "[".repeat(10_000);
    for text in [
        "\0\0\0",
        "{",
        "a: b: c",
        "\t- x",
        "- 1\n- 2",
        "just text",
        bomb,
        &deep,
    ] {
        assert_eq!(
            parse("x.yaml", text).defects.len(),
            1,
            "{}",
            &text[..text.len().min(20)]
        );
        assert_eq!(parse("x.json", text).defects.len(), 1);
    }
}

#[test]
fn a_million_addresses_are_not_too_many() {
    let list = vec!["10.0.0.1"; 100_000].join(",");
    let pod = |name: usize| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: p{name}\n  annotations:\n    ovn.kubernetes.io/ip_address: {list}\n"
        )
    };
    let text: String = (0..3).map(pod).collect();
    let content = parse("x.yaml", &text);
    assert_eq!(
        (content.objects.len(), content.defects.len()),
        (3, 0),
        "{:?}",
        content.defects
    );
}
