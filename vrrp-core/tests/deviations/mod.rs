//! The vectors that `CONFORMANCE.md` says differ.

use std::collections::BTreeSet;

/// Checks that of the vectors named `all` exactly those in `differing` are listed there.
pub(crate) fn check_listed(all: &BTreeSet<String>, differing: &BTreeSet<String>) {
    let text = include_str!("../../CONFORMANCE.md");
    let (_, section) = text.split_once("\n## Vectors that differ, and why\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let listed = section.split('`').skip(1).step_by(2).filter(|code| all.contains(*code));
    assert_eq!(&listed.map(str::to_owned).collect::<BTreeSet<_>>(), differing);
}
