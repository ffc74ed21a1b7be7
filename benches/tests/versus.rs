//! `versus` as a process: it measures, and what it writes has the form that others read.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use vrrp_net::lab::Lab;

/// Whether there is nothing to measure with: says so, loudly; with `VRRP_TEST_REQUIRE=all` that is a failure.
fn is_skipped() -> bool {
    let keepalived = benches::subject::version("keepalived".as_ref());
    let lab = Lab::available();
    let reasons = [keepalived.err().map(|it| format!("{it:#}")), lab.err().map(|it| it.to_string())];
    if let Some(reason) = reasons.into_iter().flatten().next() {
        let required = std::env::var("VRRP_TEST_REQUIRE").is_ok_and(|value| value == "all");
        assert!(!required, "VRRP_TEST_REQUIRE=all, but {reason}");
        eprintln!("SKIPPED, versus is not tested: {reason}");
        return true;
    }
    false
}

#[test]
fn quick_and_only_measure_one_thing_and_write_it_as_json_and_svg() {
    if is_skipped() {
        return;
    }
    let file = |name: &str| -> PathBuf {
        format!("{}/versus-{}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id()).into()
    };
    let (json, svg) = (file("rows.json"), file("chart.svg"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_versus"));
    command.args(["--quick", "--only", "memory", "--json"]).arg(&json).arg("--svg").arg(&svg);
    let output = command.output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}");
    assert!(out.contains("memory/255") && out.contains("targets missed"), "{out}");

    let rows: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = rows[0].as_object().unwrap();
    let mut keys: Vec<&str> = row.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["limit", "measure", "met", "ours", "peer", "ratio", "target", "unit"]);
    let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} is {}", row[key]));
    assert!(number("ours") > 0.0 && number("peer") > 0.0);
    // What is read of a number may differ in its last bit.
    assert!((number("ratio") * number("peer") / number("ours") - 1.0).abs() < 1e-9, "{row:?}");
    assert_eq!(row["met"], number("ratio") <= number("target"));

    let chart = std::fs::read_to_string(&svg).unwrap();
    assert!(chart.starts_with("<svg ") && chart.contains("memory/255"), "{chart}");
    std::fs::remove_file(json).unwrap();
    std::fs::remove_file(svg).unwrap();
}

#[test]
fn a_keepalived_that_is_not_there_is_named() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_versus")).args(["--peer", "/nonexistent/keepalived"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/keepalived"));
}

#[test]
fn what_cannot_be_measured_is_refused_with_what_can() {
    let output = Command::new(env!("CARGO_BIN_EXE_versus")).args(["--only", "luck"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("failover") && error.contains("flood"), "{error}");
}
