//! What can be done without root, and what is said if something is missing.

use std::io::Write as _;

use vrrp_net::{Announcement, LinkSocket};

use super::{Agent, PATIENCE, Pair, VIP, client_reaches, elected, eventually, only_on};

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

#[test]
fn a_successor_without_the_capability_goes_on_with_the_sockets_of_the_one_before() {
    let Some(net) = pair_of_root() else { return };
    let mut a = Agent::start(&net.a);
    let adds = ["add 192.0.2.100 interval=10 priority=150", "add fe80::5e:100 interval=10 priority=150"];
    adds.iter().for_each(|add| a.tell(add));
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    a.tell("succeed");
    assert!(a.says("ready", 2), "{:#?}", a.lines());
    assert!(!net.a.has_address(VIP).unwrap());
    adds.iter().for_each(|add| a.tell(add));
    assert!(a.says("-> Active", 4), "{:#?}", a.lines());
    // Also those that hear who claims an address.
    let link = net.client.link("eth0").unwrap();
    let rogue = LinkSocket::from_fd(net.client.socket(17, 3, 0).unwrap()).unwrap();
    for address in ["192.0.2.100", "fe80::5e:100"] {
        let claim = Announcement::new(link.index, link.mac.unwrap(), address.parse().unwrap());
        let is_reported = || {
            assert!(matches!(rogue.announce([claim]), (1, None)));
            a.has_said(&format!("{address} is claimed by another host"))
        };
        assert!(eventually(is_reported), "{:#?}", a.lines());
    }
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 interval=10 priority=200");
    b.expect("-> Active");
    a.expect("Active -> Backup: 192.0.2.2 won the election");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    b.stop();
    a.stop();
}

#[test]
fn scenario_57_one_that_loses_the_right_to_change_addresses_says_so_and_leaves() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = elected(&net, "interval=10");
    let missing = "CAP_NET_ADMIN is missing: run as root, or: setcap";
    // What it cannot remove goes with its lease, since it cannot renew that either.
    a.tell("lose-net-admin");
    a.expect(missing);
    a.expect("Active -> Initialize: the virtual addresses could not be installed");
    b.expect("Backup -> Active");
    assert!(only_on(&net.b, &net.a), "{:#?}", a.lines());
    assert!(client_reaches(&net, net.b0.mac()));
    // One that is to take over says so too, and the other one goes on.
    assert!(a.says("Initialize -> Backup", 2), "{:#?}", a.lines());
    let refusals = a.lines().iter().filter(|line| line.contains(missing)).count();
    assert!(a.says(missing, refusals + 1), "{:#?}", a.lines());
    assert!(eventually(|| net.b.has_address(VIP).unwrap() && !net.a.has_address(VIP).unwrap()));
    b.tell("lose-net-raw");
    b.tell("remove");
    assert!(net.b.wait_for_address(VIP, false, PATIENCE).unwrap());
    b.stop();
    a.stop();
}

#[test]
fn scenario_57_one_that_loses_the_right_to_open_sockets_goes_on_with_those_it_has() {
    let Some(net) = Pair::new() else { return };
    let (mut a, b) = elected(&net, "interval=10");
    a.tell("lose-net-raw");
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(!a.has_said("Active ->") && !b.has_said("-> Active"), "{:#?} {:#?}", a.lines(), b.lines());
    // One that is made anew needs another.
    net.a0.delete().unwrap();
    b.expect("Backup -> Active");
    let _a0 = net.a.attach(&net.lan, "eth0", &["192.0.2.1/24"]).unwrap();
    a.expect("eth0 cannot be used: ");
    a.expect("CAP_NET_RAW is missing: run as root, or: setcap");
    assert!(only_on(&net.b, &net.a));
    a.stop();
    b.stop();
}
