//! `include` and its variants: which files they name, and when it is an error that one is not there.

use std::path::{Path, PathBuf};

use super::source::Files;

/// What is an error about an `include`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Checks {
    /// A file that matches and cannot be read.
    pub(super) readable: bool,
    /// A name without wildcards that is of no file.
    pub(super) matching: bool,
    /// One with wildcards that matches none.
    pub(super) wildcard: bool,
    /// An alternative of braces that matches none.
    pub(super) brace: bool,
}

const ALL: Checks = Checks { readable: true, matching: true, wildcard: true, brace: true };

/// The keyword `include_check` and its options.
pub(super) const INCLUDE_CHECK: &str = "include_check";

/// The options of `include_check`.
pub(super) const OPTIONS: [&str; 4] = ["readable", "match", "wildcard_match", "brace_match"];

impl Checks {
    /// With what one of the keywords adds; `None` if it is not one of them.
    pub(super) fn of(self, keyword: &str) -> Option<Self> {
        match keyword {
            "include" => Some(self),
            "includer" => Some(Self { readable: true, ..self }),
            "includem" => Some(Self { readable: true, matching: true, ..self }),
            "includew" => Some(Self { readable: true, wildcard: true, ..self }),
            "includeb" => Some(Self { readable: true, brace: true, ..self }),
            "includea" => Some(ALL),
            _ => None,
        }
    }

    /// After an `include_check` with these options.
    ///
    /// # Errors
    /// The number of the option that is none.
    pub(super) fn changed<'a>(self, options: impl IntoIterator<Item = &'a str>) -> Result<Self, usize> {
        let mut options = options.into_iter().enumerate().peekable();
        let Some((_, first)) = options.peek() else { return Ok(ALL) };
        let mut checks = if first.starts_with(['+', '-']) { self } else { Self::default() };
        for (number, option) in options {
            let on = !option.starts_with('-');
            match option.trim_start_matches(['+', '-']) {
                "readable" => checks.readable = on,
                "match" => checks.matching = on,
                "wildcard_match" => checks.wildcard = on,
                "brace_match" => checks.brace = on,
                _ => return Err(number),
            }
        }
        // Each of the others is about files that can be read too.
        checks.readable |= checks.matching || checks.wildcard || checks.brace;
        Ok(checks)
    }
}

/// The files that an `include` names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Found {
    pub(super) paths: Vec<PathBuf>,
    /// Patterns that match nothing, and whether that is an error.
    pub(super) missing: Vec<(String, bool)>,
}

/// Finds them, relative to a folder.
pub(super) fn find(files: &dyn Files, folder: &Path, pattern: &str, checks: Checks) -> Found {
    let mut found = Found::default();
    let alternatives = braces(pattern);
    let several = alternatives.len() > 1;
    for alternative in alternatives {
        let wild = alternative.contains(['*', '?', '[']);
        let absolute = if alternative.starts_with('/') {
            alternative.clone()
        } else {
            let folder = glob::Pattern::escape(&folder.display().to_string());
            if folder.is_empty() { alternative.clone() } else { format!("{folder}/{alternative}") }
        };
        let paths = files.matching(&absolute);
        if paths.is_empty() {
            let missing = match (several, wild) {
                (true, _) => checks.brace,
                (false, true) => checks.wildcard,
                (false, false) => checks.matching,
            };
            found.missing.push((alternative, missing));
        }
        found.paths.extend(paths);
    }
    found
}

/// Most alternatives that braces may stand for.
const MOST_ALTERNATIVES: usize = 256;

/// What a pattern with `{a,b}` stands for, as in csh: one pattern for each, the first 256 of them. Braces that are not closed are what they are.
fn braces(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop().filter(|_| done.len() < MOST_ALTERNATIVES) {
        match first_braces(&pattern) {
            Some((before, parts, after)) => {
                open.extend(parts.iter().rev().map(|part| format!("{before}{part}{after}")));
            }
            None => done.push(pattern),
        }
    }
    done
}

/// What is before, in and after the first braces, with their parts separated at the outermost commas.
fn first_braces(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let start = pattern.find('{')?;
    let (mut depth, mut parts, mut from) = (0_usize, Vec::new(), start + 1);
    for (at, character) in pattern.char_indices().skip_while(|(at, _)| *at < start) {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => {
                parts.push(pattern.get(from..at)?);
                return Some((pattern.get(..start)?, parts, pattern.get(at + 1..)?));
            }
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 1 => {
                parts.push(pattern.get(from..at)?);
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keepalived::source::Memory;

    #[test]
    fn braces_are_alternatives() {
        assert_eq!(braces("{foo/{,cat,dog},bar}"), ["foo/", "foo/cat", "foo/dog", "bar"]);
        assert_eq!(braces("a{b"), ["a{b"]);
        assert_eq!(braces("a"), ["a"]);
        assert!(braces(&"{a,b}".repeat(40)).len() <= MOST_ALTERNATIVES);
    }

    #[test]
    fn the_checks_are_those_of_the_manual() {
        let none = Checks::default();
        assert_eq!(none.changed([]), Ok(ALL));
        assert_eq!(none.changed(["match"]), Ok(Checks { readable: true, matching: true, ..none }));
        assert_eq!(ALL.changed(["+match", "-wildcard_match"]), Ok(Checks { wildcard: false, ..ALL }));
        assert_eq!(none.changed(["readable", "matches"]), Err(1));
        assert_eq!((none.of("includea"), none.of("included")), (Some(ALL), None));
    }

    #[test]
    fn what_is_missing_is_an_error_if_it_is_checked() {
        let files = Memory::new([("/a/[x]/k.conf", ""), ("/a/[x]/1.inc", ""), ("/b.inc", "")]);
        let folder = Path::new("/a/[x]");
        let find = |pattern, checks| find(&files, folder, pattern, checks);
        assert_eq!(find("*.inc", ALL).paths, [Path::new("/a/[x]/1.inc")]);
        assert_eq!(find("/b.inc", ALL), Found { paths: vec!["/b.inc".into()], missing: Vec::new() });
        assert_eq!(find("2.inc", ALL).missing, [("2.inc".into(), true)]);
        assert_eq!(find("*.x", Checks { wildcard: false, ..ALL }).missing, [("*.x".into(), false)]);
        assert_eq!(find("{1,2}.inc", ALL).missing, [("2.inc".into(), true)]);
    }
}
