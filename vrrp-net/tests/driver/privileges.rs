//! What can be done without root, and what is said if something is missing.

use std::io::Write as _;

use super::{Agent, PATIENCE, Pair, VIP, eventually};

/// A user namespace of one user knows no other to become.
fn pair_of_root() -> Option<Pair> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let root = status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
    if root {
        return Pair::new();
    }
    assert_ne!(std::env::var("VRRP_TEST_REQUIRE").as_deref(), Ok("all"), "this test needs root");
    let _ = writeln!(std::io::stderr(), "SKIPPED test: it needs root, to become another user");
    None
}

#[test]
fn two_capabilities_are_enough_for_everything() {
    let Some(net) = pair_of_root() else { return };
    let mut a = Agent::start_unprivileged(&net.a, ",+net_raw,+net_admin", false);
    a.tell("add 192.0.2.100/24 interval=10 priority=150");
    a.tell("add fe80::5e:100 interval=10 priority=150 mac=virtual");
    a.tell("add 192.0.2.101 vrid=52 interval=10 accept=no");
    assert!(a.says("-> Active", 3), "{:#?}", a.lines());
    assert!(net.a.has_address(VIP).unwrap());
    a.stop();
    assert!(!net.a.has_address(VIP).unwrap());
}

#[test]
fn with_sockets_from_a_parent_one_capability_is_enough() {
    let Some(net) = pair_of_root() else { return };
    let mut a = Agent::start_unprivileged(&net.a, ",+net_admin", true);
    a.tell("add 192.0.2.100 interval=10 priority=150");
    a.tell("add fe80::5e:100 interval=10 priority=150");
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 interval=10 priority=200");
    b.expect("-> Active");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    b.stop();
    assert!(a.says("-> Active", 3), "{:#?}", a.lines());
    // The spare ones are for an interface that is made anew.
    net.a0.delete().unwrap();
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    let _a0 = net.a.attach(&net.lan, "eth0", &["192.0.2.1/24"]).unwrap();
    assert!(a.says("-> Active", 5), "{:#?}", a.lines());
    assert!(eventually(|| net.a.has_address(VIP).unwrap()));
    a.stop();
}

#[test]
fn a_missing_capability_is_named_with_the_way_out() {
    let Some(net) = pair_of_root() else { return };
    for (capabilities, missing) in [("", "CAP_NET_RAW"), (",+net_admin", "CAP_NET_RAW"), (",+net_raw", "CAP_NET_ADMIN")]
    {
        let a = Agent::start_unprivileged(&net.a, capabilities, false);
        a.expect(&format!("{missing} is missing: run as root, or: setcap cap_net_raw,cap_net_admin+ep PROGRAM"));
    }
}
