//! Failure scenarios: health and preemption. The numbers are those of `SCENARIOS.md`.

use std::time::Duration;

use super::{Agent, PATIENCE, Pair, VIP, client_reaches, elected, ip, only_on};

fn add_uplink(net: &Pair) {
    ip(&net.a, "link add up0 type veth peer name up1");
    ip(&net.a, "link set up0 up");
    ip(&net.a, "link set up1 up");
}

#[test]
fn scenario_73_one_that_is_degraded_yields_also_if_nobody_preempts_and_does_not_return() {
    let Some(net) = Pair::new() else { return };
    add_uplink(&net);
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 priority=150 preempt=never track=up0");
    a.expect("-> Active");
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 priority=100 preempt=never");
    b.expect("Initialize -> Backup");
    ip(&net.a, "link set up1 down");
    // A re-election: not after Active_Down_Interval, which nobody lets pass here, but after Skew_Time.
    b.expect("Backup -> Active: the Active resigned");
    a.expect("Active -> Backup: 192.0.2.2 won the election");
    assert!(only_on(&net.b, &net.a));
    ip(&net.a, "link set up1 up");
    std::thread::sleep(Duration::from_secs(5));
    assert!(!b.has_said("Active ->"), "{:#?}", b.lines());
    assert!(only_on(&net.b, &net.a));
    a.stop();
    b.stop();
}

#[test]
fn scenario_74_one_that_is_degraded_yields_at_once_and_takes_back_once_it_is_well() {
    let Some(net) = Pair::new() else { return };
    add_uplink(&net);
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 priority=150 yield=degraded track=up0");
    a.expect("-> Active");
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.100 priority=100");
    b.expect("Initialize -> Backup");
    ip(&net.a, "link set up1 down");
    b.expect("Backup -> Active: the Active resigned");
    assert!(only_on(&net.b, &net.a));
    ip(&net.a, "link set up1 up");
    b.expect("Active -> Backup: 192.0.2.1 won the election");
    assert!(only_on(&net.a, &net.b));
    a.stop();
    b.stop();
}

#[test]
fn scenario_75_one_that_recovers_from_a_fault_does_not_take_back_if_it_never_preempts() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "interval=10 preempt=never");
    net.a0.cut().unwrap();
    a.expect("Active -> Initialize: the interface is down");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    b.expect("Backup -> Active: no Active was heard");
    net.a0.heal().unwrap();
    assert!(a.says("Initialize -> Backup", 2), "{:#?}", a.lines());
    std::thread::sleep(Duration::from_secs(1));
    assert!(!b.has_said("Active ->"), "{:#?}", b.lines());
    assert!(only_on(&net.b, &net.a));
    assert!(client_reaches(&net, net.b0.mac()));
    a.stop();
    b.stop();
}
