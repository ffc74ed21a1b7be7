//! Keeps `CONFORMANCE.md` honest: every row is there, every test it names exists, and no test of a row is missing in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The sections of the table, and how many rows each has.
const SECTIONS: [(&str, u32); 12] = [
    ("PF", 22),
    ("RX", 27),
    ("TX", 14),
    ("TM", 15),
    ("SM", 29),
    ("EL", 10),
    ("AN", 24),
    ("AU", 8),
    ("IV", 8),
    ("UC", 10),
    ("MG", 8),
    ("SE", 5),
];

/// What a row without a test of its own in this crate begins with; words that say why have to follow.
const ELSEWHERE: [&str; 3] = ["**vrrp-net**: ", "**not provided**", "**not applicable**"];

/// What a row may begin with that differs on purpose: its reason and its tests follow.
const DIFFERS: &str = "**differs**: ";

#[derive(Debug)]
struct Row {
    id: String,
    rule: String,
    place: String,
    text: String,
}

impl Row {
    /// Whether it says why it has no test here.
    fn is_elsewhere(&self) -> bool {
        ELSEWHERE.iter().any(|beginning| self.text.starts_with(beginning))
    }

    /// The tests named, as (file, function).
    fn tests(&self) -> Vec<(&str, &str)> {
        self.code().filter_map(|code| code.split_once("::")).filter(|(file, _)| file.ends_with(".rs")).collect()
    }

    /// The files named alone.
    fn files(&self) -> impl Iterator<Item = &str> {
        self.code().filter(|code| !code.contains("::") && (code.ends_with(".rs") || code.ends_with(".txt")))
    }

    /// What stands between backticks.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.split('`').skip(1).step_by(2)
    }

    fn names(&self, file: &str, function: &str) -> bool {
        self.tests().into_iter().any(|(other, name)| other == file && is_named(name, function))
    }
}

/// Whether `name`, which may end in `*`, stands for `function`.
fn is_named(name: &str, function: &str) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => function.starts_with(beginning),
        None => name == function,
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> Vec<Row> {
    let table = fs::read_to_string(root().join("CONFORMANCE.md")).unwrap();
    table.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
    let id = cells.first()?.trim_end_matches(" †");
    let (section, number) = id.split_once('-')?;
    let is_id = section.len() == 2 && number.len() == 2 && number.parse::<u32>().is_ok();
    if !is_id {
        return None;
    }
    let [_, rule, place, text] = cells[..] else { panic!("{id} has {} cells: {line}", cells.len()) };
    Some(Row { id: id.into(), rule: rule.into(), place: place.into(), text: text.into() })
}

/// The rows that a test's name begins with: `rx_13_rx_20_what_is_dropped` is of RX-13 and RX-20.
fn ids_in(function: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut parts = function.split('_');
    while let (Some(section), Some(number)) = (parts.next(), parts.next()) {
        let section = section.to_uppercase();
        let is_section = SECTIONS.iter().any(|(known, _)| *known == section);
        if !is_section || number.len() != 2 || number.parse::<u32>().is_err() {
            break;
        }
        ids.push(format!("{section}-{number}"));
    }
    ids
}

/// The names of all functions in a source file.
fn functions(source: &str) -> BTreeSet<String> {
    let beginnings = source.match_indices("fn ").filter(|(at, _)| {
        let before = source[..*at].chars().next_back();
        before.is_none_or(char::is_whitespace)
    });
    beginnings
        .filter_map(|(at, _)| {
            let rest = &source[at + 3..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            (end > 0 && rest[end..].starts_with(['(', '<'])).then(|| rest[..end].to_owned())
        })
        .collect()
}

/// Every Rust file below `folder`, named as in the table, with its functions.
fn sources(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    fn visit(folder: &Path, name: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{name}/{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                visit(&path, &name, found);
            } else if name.ends_with(".rs") {
                found.insert(name, functions(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(&root().join(folder), folder, &mut found);
    found
}

fn own_sources() -> BTreeMap<String, BTreeSet<String>> {
    let mut sources = sources("src");
    sources.append(&mut self::sources("tests"));
    sources
}

#[test]
fn every_row_is_there_once_and_in_order() {
    let expected: Vec<String> =
        SECTIONS.iter().flat_map(|(section, rows)| (1..=*rows).map(move |n| format!("{section}-{n:02}"))).collect();
    let found: Vec<String> = rows().into_iter().map(|row| row.id).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_row_says_what_it_asks_for_and_where_it_is_done() {
    for Row { id, rule, place, text } in rows() {
        assert!(!rule.trim().is_empty() && !place.trim().is_empty() && !text.trim().is_empty(), "{id}");
        let beginning = ELSEWHERE.iter().chain([&DIFFERS]).find(|beginning| text.starts_with(**beginning));
        assert!(
            beginning.is_some() || text.starts_with('`'),
            "{id} begins with neither a test nor a known remark: {text}"
        );
    }
}

#[test]
fn every_row_has_a_test_that_carries_its_id_unless_it_says_why_not() {
    for row in rows().iter().filter(|row| !row.is_elsewhere()) {
        let prefix = format!("{}_", row.id.to_lowercase().replace('-', "_"));
        let own = row.tests().into_iter().any(|(file, function)| {
            !file.starts_with("../") && (function.starts_with(&prefix) || ids_in(function).contains(&row.id))
        });
        assert!(own, "{} has no test here whose name carries its id: {}", row.id, row.text);
    }
}

#[test]
fn every_test_and_every_file_that_the_table_names_exists() {
    let own = own_sources();
    let (mut found, mut skipped) = (0, 0);
    for row in rows() {
        for file in row.files() {
            assert!(root().join(file).exists() || row.is_elsewhere(), "{}: there is no file {file}", row.id);
        }
        for (file, function) in row.tests() {
            // The other crates are there in the repository, but not in a published package.
            let other = match file.strip_prefix("../") {
                Some(path) if !root().join("..").join(path.split('/').next().unwrap()).exists() => {
                    skipped += 1;
                    continue;
                }
                Some(_) => fs::read_to_string(root().join(file)).ok().map(|source| functions(&source)),
                None => own.get(file).cloned(),
            };
            let functions = other.unwrap_or_else(|| panic!("{}: there is no file {file}", row.id));
            let exists = functions.iter().any(|other| is_named(function, other));
            assert!(exists, "{}: there is no test {function} in {file}", row.id);
            found += 1;
        }
    }
    println!("{found} tests are named and there; {skipped} belong to crates that are not here");
    assert!(found > 180);
}

#[test]
fn every_test_whose_name_carries_an_id_is_named_in_its_row() {
    let rows: BTreeMap<String, Row> = rows().into_iter().map(|row| (row.id.clone(), row)).collect();
    let mut missing = Vec::new();
    for (file, functions) in own_sources() {
        for function in &functions {
            for id in ids_in(function) {
                match rows.get(&id) {
                    Some(row) if row.names(&file, function) => {}
                    Some(_) => missing.push(format!("{id}: `{file}::{function}`")),
                    None => missing.push(format!("{id}, of which there is no row: `{file}::{function}`")),
                }
            }
        }
    }
    assert!(missing.is_empty(), "not in CONFORMANCE.md:\n{}", missing.join("\n"));
}

#[test]
fn se_02_the_documentation_claims_no_protection_from_attackers_on_the_link() {
    let says = |file: &str, words: &str| {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let words_of = |text: &str| text.replace("//!", " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words_of(&text).contains(words), "{file} does not say: {words}");
    };
    says("src/lib.rs", "It does not protect against somebody on the link who forges packets");
    says(
        "src/wire/auth.rs",
        "It crosses the network in clear: it keeps strangers' misconfigured routers out, not attackers.",
    );
    if root().join("../SECURITY.md").exists() {
        says("../SECURITY.md", "| on the link | **Nothing in VRRP itself.**");
    }
}

#[test]
fn the_names_of_tests_are_understood() {
    assert_eq!(ids_in("rx_13_rx_20_what_is_dropped"), ["RX-13", "RX-20"]);
    assert_eq!(ids_in("at_10_ms_it_moves"), Vec::<String>::new());
    assert_eq!(ids_in("a_router"), Vec::<String>::new());
    let source = "fn one() {}\n    fn two<T>(t: T) {}\nlet confn = 3; // fn, and\nfn three(x in y()) {}";
    assert_eq!(functions(source), BTreeSet::from(["one", "two", "three"].map(str::to_owned)));
    assert!(is_named("el_10_*", "el_10_x") && !is_named("el_10_*", "el_11_x") && !is_named("el_10_x", "el_10_xy"));
}
