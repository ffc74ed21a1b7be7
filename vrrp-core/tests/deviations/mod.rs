//! The vectors that `CONFORMANCE.md` says differ.

use std::collections::BTreeSet;

/// Checks that of the vectors named `all` exactly those in `differing` are listed there.
pub(crate) fn check_listed(all: &BTreeSet<String>, differing: &BTreeSet<String>) {
    let listed = names(section("Vectors that differ, and why"), all);
    assert_eq!(&listed, differing);
}

/// Checks that of the vectors named `all` those are followed that are said to be, of those that pin a quirk; there are so many.
pub(crate) fn check_quirks(all: &BTreeSet<String>, differing: &BTreeSet<String>, count: usize) {
    let mut found = 0;
    for row in section("Vectors that pin a quirk of keepalived").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [vectors, _, followed, _] = cells[..] else { panic!("{} cells: {row}", cells.len()) };
        assert!(["yes", "no"].contains(&followed), "{row}");
        for name in names(vectors, all) {
            assert_eq!(differing.contains(&name), followed == "no", "{name}");
            found += 1;
        }
    }
    assert_eq!(found, count);
}

fn section(title: &str) -> &'static str {
    let text = include_str!("../../CONFORMANCE.md");
    let (_, section) = text.split_once(&format!("\n## {title}\n")).unwrap();
    section.split_once("\n## ").unwrap().0
}

/// The names among `all` that stand between backticks.
fn names(text: &str, all: &BTreeSet<String>) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).filter(|code| all.contains(*code)).map(str::to_owned).collect()
}
