//! The README's first command, as a user runs it.

mod common;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{PATIENCE, wait_until};
use rustix::process::{Pid, Signal, kill_process_group};

const FAILOVER: &str = env!("CARGO_BIN_EXE_failover");

#[test]
fn every_takeover_happens_and_the_results_can_be_read_by_programs() {
    if common::lab().is_none() {
        return;
    }
    let output = Command::new(FAILOVER).arg("--json").output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}\n{}", String::from_utf8_lossy(&output.stdout));
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(results["interval_ms"], 100.0);
    let outcomes = results["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), 7);
    for outcome in outcomes {
        assert_eq!(outcome["succeeded"], true, "{outcome}");
        assert_eq!(outcome["one_holder"], true, "{outcome}");
    }
    assert_eq!(outcomes[0]["bound_name"], "Active_Down_Interval");
    assert_eq!(outcomes[6]["to"], "b", "without preemption the address stays");
}

#[test]
fn an_interrupt_at_any_point_leaves_no_process_behind() {
    if common::lab().is_none() {
        return;
    }
    for millis in [0, 1, 5, 20, 60, 150, 400, 900, 2000] {
        // Its own group, as a shell gives it one, and as Ctrl-C reaches it.
        // A shell that runs the tests in the background makes them ignore the interrupt, and so would their children.
        let mut failover = Command::new("env")
            .args(["--default-signal=INT", FAILOVER, "--interval", "50ms"])
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Before that, the interrupt may still be ignored.
        let name = format!("/proc/{}/comm", failover.id());
        assert!(wait_until(PATIENCE, || std::fs::read_to_string(&name).is_ok_and(|name| name.trim() == "failover")));
        std::thread::sleep(Duration::from_millis(millis));
        let pid = Pid::from_child(&failover);
        let before = descendants(failover.id());
        kill_process_group(pid, Signal::INT).unwrap();
        let status = failover.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "after {millis} ms: {status}");
        let gone = wait_until(PATIENCE, || before.iter().all(|pid| !is_alive(*pid)));
        assert!(gone, "after {millis} ms these are left: {before:?}");
    }
}

#[test]
fn help_tells_the_options() {
    let output = Command::new(FAILOVER).arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for option in ["--interval", "--json", "--help"] {
        assert!(help.contains(option), "{help}");
    }
}

#[test]
fn an_impossible_interval_is_one_error_that_names_it() {
    for (interval, text) in [("15ms", "15ms is not a multiple of 10 ms"), ("0", "0 cs"), ("1h", "1..=4095")] {
        let output = Command::new(FAILOVER).args(["--interval", interval]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(text), "{interval}: {error}");
    }
}

/// The processes that come from this one: its warden and its hosts' processes.
fn descendants(ancestor: u32) -> Vec<u32> {
    let processes: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent_of(pid)?)))
        .collect();
    let mut found = vec![ancestor];
    loop {
        let more: Vec<u32> = processes
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            found.retain(|pid| *pid != ancestor);
            return found;
        }
        found.extend(more);
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything: the state, and the parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether it runs; a zombie that nobody has reaped yet does not.
fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}
