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
