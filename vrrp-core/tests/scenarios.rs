//! The golden scenarios: each file under `scenarios/` says what is done and, after a rule, the whole trace of what comes of
//! it. `UPDATE_SCENARIOS=1 cargo test -p vrrp-core --test scenarios` writes the traces anew; look at what has changed.

use std::fs;
use std::path::{Path, PathBuf};

use vrrp_core::sim::script::replay;

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty(), "there are no scenarios");
    files
}

/// The first line that differs, with its number.
fn difference(expected: &str, got: &str) -> String {
    let line = expected.lines().zip(got.lines()).take_while(|(expected, got)| expected == got).count();
    let show = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    format!("line {}:\n  expected {}\n  got      {}", line + 1, show(expected), show(got))
}

/// The cells of each row of the tables in `README.md`.
fn table() -> Vec<Vec<String>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/README.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn the_list_of_scenarios_is_complete_and_names_what_is_there() {
    let rows = table();
    let numbered: Vec<&Vec<String>> =
        rows.iter().filter(|row| row.len() >= 3 && row[0].parse::<u32>().is_ok()).collect();
    let numbers: Vec<u32> = numbered.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=92).collect::<Vec<_>>());
    for row in numbered {
        // One that no file shows says why.
        assert!(row[2].contains(".txt`") || row.get(3).is_some_and(|why| !why.is_empty()), "{row:?}");
    }
    let in_cells = |row: &Vec<String>| {
        row.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect::<Vec<_>>()
    };
    let code: Vec<String> = rows.iter().flat_map(in_cells).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    for file in code.iter().filter(|code| code.ends_with(".txt") || code.ends_with(".rs")) {
        assert!(folder.join(file).exists(), "there is no {file}");
    }
    for path in scenarios() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(code.contains(&name), "{name} is not in the list");
    }
}

#[test]
fn every_scenario_goes_as_written() {
    let update = std::env::var_os("UPDATE_SCENARIOS").is_some();
    let mut problems = String::new();
    for path in scenarios() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let expected = fs::read_to_string(&path).unwrap();
        if !expected.starts_with("# ") || !expected.lines().any(|line| line == "----") {
            problems += &format!("{name}: it must begin with what it shows, and have a trace after a rule\n");
        }
        match replay(&expected) {
            Ok(got) if got == expected => {}
            Ok(got) if update => fs::write(&path, got).unwrap(),
            Ok(got) => problems += &format!("{name}, {}\n", difference(&expected, &got)),
            Err(error) => problems += &format!("{name}, {error}\n"),
        }
    }
    assert!(problems.is_empty(), "\n{problems}UPDATE_SCENARIOS=1 writes the traces anew");
}
