//! The migration page keeps up with the flags.

use super::flags::{FLAGS, NOT_YET};
use std::fs;

/// The row of a flag in docs/migration.md.
fn row(page: &str, name: &str) -> Option<String> {
    let begins = format!("| `--{name}`");
    let row = page.lines().find(|line| line.starts_with(&begins));
    row.map(str::to_owned)
}

#[test]
fn each_flag_has_a_row_that_says_whether_it_is_there() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/migration.md");
    let page = fs::read_to_string(path).expect("docs/migration.md");
    for flag in FLAGS {
        let name = flag.name;
        let row = row(&page, name).unwrap_or_else(|| panic!("docs/migration.md has no row for --{name}"));
        assert_eq!(
            row.contains("not there yet"),
            NOT_YET.contains(&name),
            "docs/migration.md: \"not there yet\" is in the row of --{name} exactly where it is in NOT_YET"
        );
    }
}
