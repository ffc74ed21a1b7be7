//! What cannot be run: refused with the value and the reason, and a trouble of that virtual router alone.

use super::{Agent, PATIENCE, Pair, VIP, ip};

#[test]
fn what_cannot_be_added_is_refused_with_the_value() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    for (command, words) in [
        ("192.0.2.101", "refused: virtual router 51"),
        ("vrid=52 192.0.2.101 2001:db8::100", "refused: 2001:db8::100"),
        ("vrid=52 192.0.2.101 peer=192.0.2.1", "refused: 192.0.2.1"),
        ("vrid=52 192.0.2.100", "refused: 192.0.2.100 is an address of virtual router 51 on eth0 already"),
        ("vrid=52 192.0.2.101 interface=eth9", "refused: no interface \"eth9\" (have: "),
        ("vrid=52 192.0.2.1", "refused: 192.0.2.1 is the only address of eth0"),
        ("vrid=52 fe80::5e:1 label=eth0:vip", "refused: address fe80::5e:1/128 cannot be set like this"),
    ] {
        a.tell(&format!("try-add {command} interval=10"));
        a.expect(words);
    }
    assert!(!a.lines().iter().any(|line| line.contains("Active ->")), "{:#?}", a.lines());
    // Nothing of what was refused is in the way.
    a.tell("add 192.0.2.101 vrid=52 interval=10");
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn an_address_that_the_kernel_refuses_is_a_fault_of_that_virtual_router_alone() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 vrid=51 interval=10");
    a.expect("-> Active");
    ip(&net.a, "link add uplink type veth peer name up1");
    net.a.sysctl("net.ipv6.conf.uplink.disable_ipv6", "1").unwrap();
    a.tell("add 192.0.2.101 vrid=52 interval=10 elsewhere=2001:db8:9::1@uplink");
    a.expect("2001:db8:9::1/128");
    a.expect("(kernel: ");
    a.expect("Active -> Initialize: the virtual addresses could not be installed");
    assert!(!net.a.has_address("192.0.2.101".parse().unwrap()).unwrap(), "all or none");
    let before = a.lines().len();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(net.a.has_address(VIP).unwrap(), "{:#?}", &a.lines()[before..]);
    a.stop();
}

#[test]
fn a_virtual_router_that_another_process_of_the_host_runs_is_waited_for() {
    let Some(net) = Pair::new() else { return };
    let (mut first, mut second) = (Agent::start(&net.a), Agent::start(&net.a));
    first.tell("add 192.0.2.100 192.0.2.105 interval=10");
    first.expect("-> Active");
    second.tell("add 192.0.2.100 interval=10 priority=200");
    second.expect("another process of this host runs this virtual router: waiting until it ends");
    // Another one is not concerned.
    second.tell("add 192.0.2.101 vrid=52 interval=10");
    second.expect("-> Active");
    second.tell("status");
    second.expect("another process of this host runs it");
    // What the other one has is not touched.
    second.tell("reconfigure 192.0.2.100 192.0.2.105 interval=10 priority=200");
    second.expect("reconfigured from");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!first.lines().iter().any(|line| line.contains("another program")), "{:#?}", first.lines());
    first.process().kill().unwrap();
    assert!(second.says("-> Active", 2), "{:#?}", second.lines());
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    second.stop();
}
