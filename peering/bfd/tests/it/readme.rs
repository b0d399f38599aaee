//! The README promises a test for each of sixteen points: the promise is kept.

use std::fs;
use std::path::Path;

fn sources(dir: &Path, text: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for dir in ["src", "tests"] {
        sources(&root.join(dir), &mut text);
    }
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let rows: Vec<_> = readme
        .lines()
        .filter(|line| {
            line.strip_prefix("| ")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .collect();
    assert_eq!(rows.len(), 16);
    for row in rows {
        let cells: Vec<_> = row.split(" | ").collect();
        let [_, _, here, held_by] = cells[..] else {
            panic!("{row}");
        };
        assert!(here.starts_with("yes"), "{row}");
        let names: Vec<_> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            let test = format!("#[test]\nfn {name}(");
            let in_proptest = format!("    #[test]\n    fn {name}(");
            assert!(
                text.contains(&test) || text.contains(&in_proptest),
                "{name} of: {row}"
            );
        }
    }
}
