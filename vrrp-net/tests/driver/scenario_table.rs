//! `SCENARIOS.md` says only what is so.

use std::collections::BTreeSet;
use std::path::Path;

/// Every test that the table names is there, every scenario's test is named in it, and no number is left out.
#[test]
fn the_table_of_scenarios_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("SCENARIOS.md")).unwrap();
    let mut tests = BTreeSet::new();
    for folder in [root.join("tests"), root.join("src"), root.join("../vrrp-core/src"), root.join("../vrrp-core/tests")]
    {
        collect(&folder, &mut tests);
    }
    let golden = std::fs::read_dir(root.join("../vrrp-core/tests/scenarios")).unwrap().filter_map(Result::ok);
    tests.extend(golden.filter_map(|entry| entry.file_name().into_string().ok()));
    let named: BTreeSet<String> = table.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let missing: Vec<_> = named.difference(&tests).collect();
    assert!(missing.is_empty(), "named in the table, but there is no such test: {missing:#?}");
    let untold: Vec<_> = tests.iter().filter(|it| it.starts_with("scenario_") && !named.contains(*it)).collect();
    assert!(untold.is_empty(), "not in the table: {untold:#?}");
    let numbers: Vec<usize> =
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok()).collect();
    assert_eq!(numbers, (1..=92).collect::<Vec<_>>(), "each scenario has a row, in order");
}

/// The names of the tests in the files below a folder.
fn collect(folder: &Path, tests: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let after = lines.windows(2).filter(|pair| pair[0].starts_with("#[test]"));
            tests.extend(after.filter_map(|pair| Some(pair[1].strip_prefix("fn ")?.split('(').next()?.to_owned())));
        }
    }
}
