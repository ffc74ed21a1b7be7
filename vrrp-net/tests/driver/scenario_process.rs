//! Failure scenarios: what happens to processes. The numbers are those of `SCENARIOS.md`.

use std::time::Duration;

use vrrp_net::now;

use super::{Agent, PATIENCE, Pair, VIP, client_reaches, elected, eventually, only_on};

#[test]
fn scenario_01_a_host_that_loses_power_is_replaced_and_clients_follow() {
    let Some(net) = Pair::new() else { return };
    let (mut a, b) = elected(&net, "interval=10");
    assert!(client_reaches(&net, net.a0.mac()));
    // The switch sees no carrier any more, and nobody is left to do anything.
    net.a0.delete().unwrap();
    a.process().kill().unwrap();
    b.expect("Backup -> Active: no Active was heard");
    assert!(client_reaches(&net, net.b0.mac()));
    b.stop();
}

#[test]
fn scenario_02_a_killed_process_leaves_no_address_and_no_client_goes_to_its_host() {
    let Some(net) = Pair::new() else { return };
    let (mut a, b) = elected(&net, "interval=10");
    assert!(client_reaches(&net, net.a0.mac()));
    a.process().kill().unwrap();
    b.expect("Backup -> Active: no Active was heard");
    // From the successor's announcement on, also while the dead one's lease still runs.
    let pinger = net.client.ping([192, 0, 2, 100].into(), Duration::from_millis(10)).unwrap();
    assert!(pinger.wait_for(PATIENCE, |reply| reply.mac == Some(net.b0.mac())).is_some());
    assert!(only_on(&net.b, &net.a), "its lease has ended");
    let replies = pinger.stop();
    let first = replies.iter().position(|reply| reply.mac == Some(net.b0.mac())).unwrap();
    assert!(replies[first..].iter().all(|reply| reply.mac != Some(net.a0.mac())), "{replies:?}");
    b.stop();
}

#[test]
fn scenario_03_one_that_is_killed_and_restarted_at_once_releases_what_it_left() {
    let Some(net) = Pair::new() else { return };
    let (mut a, b) = elected(&net, "");
    a.process().kill().unwrap();
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 priority=150");
    a.expect("Initialize -> Backup");
    // Long before the lease of 4 s has ended.
    assert!(!net.a.has_address(VIP).unwrap(), "what the predecessor left is gone as soon as it has started");
    a.expect("Backup -> Active");
    assert!(only_on(&net.a, &net.b));
    a.stop();
    b.stop();
}

#[test]
fn scenario_05_an_orderly_stop_removes_the_address_before_it_resigns() {
    let Some(net) = Pair::new() else { return };
    let (a, b) = elected(&net, "");
    let capture = net.lan.capture().unwrap();
    let mut monitor = net.a.monitor().unwrap();
    // The other one's timer runs from here, so that it can be seen who was first.
    let began = now();
    a.stop();
    assert!(!net.a.has_address(VIP).unwrap());
    b.expect("Backup -> Active: the Active resigned");
    let frames = capture.frames();
    let adverts: Vec<_> = frames.iter().filter(|frame| frame.bytes.get(23) == Some(&112)).collect();
    let resigned = adverts.iter().find(|frame| frame.bytes[36] == 0).expect("a resignation").at;
    let successor = adverts.iter().find(|frame| frame.bytes[29] == 2).expect("the successor's advertisement").at;
    assert!(began < resigned && resigned < successor);
    // Skew_Time is 609 ms; far below Active_Down_Interval, which is 3.6 s.
    assert!(successor.since(resigned) < Duration::from_secs(2), "{:?}", successor.since(resigned));
    let gone = monitor.read(100).unwrap();
    let is_vip = |change: &vrrp_net::netlink::Change| matches!(change, vrrp_net::netlink::Change::AddressRemoved(address) if address.address == VIP);
    assert!(gone.iter().any(is_vip), "{gone:?}");
    b.stop();
}

#[test]
fn scenario_06_one_that_was_stopped_loses_the_address_and_on_return_decides_once() {
    let Some(net) = Pair::new() else { return };
    let (mut a, b) = elected(&net, "interval=10");
    a.process().stop().unwrap();
    b.expect("Backup -> Active: no Active was heard");
    assert!(only_on(&net.b, &net.a), "its lease has ended");
    let capture = net.lan.capture().unwrap();
    a.process().resume().unwrap();
    b.expect("Active -> Backup: 192.0.2.1 won the election");
    assert!(only_on(&net.a, &net.b));
    assert!(client_reaches(&net, net.a0.mac()));
    // One burst of announcements: the rounds of a promotion or of a rival, not one for each advertisement in the queue.
    let arps = capture.frames().into_iter().filter(|frame| frame.bytes.get(12..14) == Some(&[8, 6]));
    let own = arps.filter(|frame| frame.bytes[6..12] == net.a0.mac() && frame.bytes[28..32] == frame.bytes[38..42]);
    let count = own.count();
    assert!((1..=16).contains(&count), "{count}");
    a.stop();
    b.stop();
}

#[test]
fn scenario_07_one_that_was_stopped_does_not_take_the_role_back_if_it_never_preempts() {
    let Some(net) = Pair::new() else { return };
    let (mut a, b) = elected(&net, "interval=10 preempt=never");
    a.process().stop().unwrap();
    b.expect("Backup -> Active: no Active was heard");
    assert!(only_on(&net.b, &net.a));
    let capture = net.lan.capture().unwrap();
    a.process().resume().unwrap();
    a.expect("Active -> Backup: 192.0.2.2 took over while this router was held up");
    std::thread::sleep(Duration::from_millis(500));
    assert!(!b.has_said("Active ->"), "{:#?}", b.lines());
    let adverts = capture.frames().into_iter().filter(|frame| frame.bytes.get(23) == Some(&112));
    assert_eq!(adverts.filter(|frame| frame.bytes[29] == 1).count(), 0, "it read before it spoke");
    assert!(only_on(&net.b, &net.a));
    a.stop();
    b.stop();
}

#[test]
fn scenario_10_a_backup_that_was_not_scheduled_reads_before_its_timer_fires() {
    let Some(net) = Pair::new() else { return };
    let (a, mut b) = elected(&net, "interval=10");
    for _ in 0..3 {
        b.process().stop().unwrap();
        // Its Active_Down_Interval is 361 ms.
        std::thread::sleep(Duration::from_millis(1500));
        b.process().resume().unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(!b.has_said("-> Active"), "{:#?}", b.lines());
    assert!(!a.has_said("Active ->"), "{:#?}", a.lines());
    a.stop();
    b.stop();
}

#[test]
fn scenario_06_a_hung_process_with_a_guardian_still_loses_its_addresses_to_the_lease() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start_guarded(&net.a);
    a.tell("add 192.0.2.100 interval=10");
    a.expect("-> Active");
    a.process().stop().unwrap();
    assert!(eventually(|| !net.a.has_address(VIP).unwrap()), "a guardian acts on death alone");
    a.process().resume().unwrap();
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    a.stop();
}
