//! The ways to run a driver: on a thread of its own, with a real-time priority, in a tokio runtime.

use super::{Agent, PATIENCE, Pair, VIP};

#[cfg(feature = "tokio")]
#[test]
fn a_driver_runs_in_a_tokio_runtime() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start_in_tokio(&net.a);
    a.tell("add 192.0.2.100 interval=10 priority=150 excluded=500");
    a.expect("Backup -> Active");
    assert!(net.a.has_address(VIP).unwrap());
    let mut b = Agent::start_in_tokio(&net.b);
    b.tell("add 192.0.2.100 interval=10 priority=200 excluded=500");
    b.expect("Backup -> Active");
    a.expect("Active -> Backup");
    b.stop();
    assert!(a.says("Backup -> Active", 2), "{:#?}", a.lines());
    a.stop();
    assert!(!net.a.has_address(VIP).unwrap());
}

#[cfg(feature = "tokio")]
#[test]
fn what_comes_of_a_call_is_told_at_once_and_not_with_the_next_timer() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start_in_tokio(&net.a);
    // Its first timer is two minutes away.
    a.tell("add 192.0.2.100 interval=4095");
    a.expect("Initialize -> Backup");
    a.tell("able no");
    a.expect("Backup -> Initialize: the application cannot serve");
    a.stop();
}

#[test]
fn a_driver_runs_with_a_real_time_priority_or_says_what_it_needs() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start_real_time(&net.a, 10);
    assert!(super::eventually(|| a.lines().iter().any(|line| line.contains("started") || line == "ready")));
    if a.lines().iter().any(|line| line.contains("not started")) {
        // Allowed to nobody here, and said so.
        return a.expect("real-time priority 10 (1..=99, CAP_SYS_NICE or RLIMIT_RTPRIO)");
    }
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    // SCHED_RR is policy 2; fields 40 and 41 of proc_pid_stat(5).
    let tasks = std::fs::read_dir(format!("/proc/{}/task", a.process().id())).unwrap();
    let real_time = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap()).any(|stat| {
        let after_name: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split_whitespace().collect();
        stat.contains("(vrrp)") && (after_name[37], after_name[38]) == ("10", "2")
    });
    assert!(real_time);
    a.stop();
}

#[test]
fn a_real_time_priority_that_there_is_not_is_refused() {
    let Some(net) = Pair::new() else { return };
    let a = Agent::start_real_time(&net.a, 100);
    a.expect("not started: run at real-time priority 100 (1..=99, CAP_SYS_NICE or RLIMIT_RTPRIO)");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
}
