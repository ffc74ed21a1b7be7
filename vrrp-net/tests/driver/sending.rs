//! Advertisements of many virtual routers go together. What becomes of one is no other's business.

use std::time::Duration;

use vrrp_net::lab::{Capture, Host};

use super::{Agent, Pair};

/// The queue of an interface, by tc(8): what is said of it here is all that packets meet.
fn set_queue(host: &Host, interface: &str, queue: &str) {
    let mut command = host.command("tc");
    let words = ["qdisc", "replace", "dev", interface, "root"];
    let status = command.args(words).args(queue.split(' ')).status().expect("tc (apt-get install iproute2)");
    assert!(status.success(), "{queue} on {interface}: {status}");
}

/// How many advertisements of a virtual router were seen on a cable.
fn adverts(capture: &Capture, vrid: u8) -> usize {
    let octet = |bytes: &[u8], at: usize| bytes.get(at).copied().unwrap_or_default();
    let is_it = |bytes: &[u8]| octet(bytes, 23) == 112 && octet(bytes, 35) == vrid && octet(bytes, 36) > 0;
    capture.frames().iter().filter(|frame| is_it(&frame.bytes)).count()
}

#[test]
fn an_advertisement_that_fails_among_others_fails_alone() {
    let Some(net) = Pair::new() else { return };
    let cables = [1, 2].map(|number| {
        net.a.attach(&net.lan, &format!("eth{number}"), &[&format!("192.0.2.{}/24", 10 + number)]).unwrap()
    });
    let mut a = Agent::start(&net.a);
    // At one time, so that they go together: the sockets of eth1 come in the middle.
    for number in 0..30 {
        a.tell(&format!("add 192.0.2.{} vrid={} interface=eth{} interval=10", 100 + number, 1 + number, number % 3));
    }
    assert!(a.says("Backup -> Active", 30), "{:#?}", a.lines());
    // It holds nothing: each packet is refused.
    set_queue(&net.a, "eth1", "pfifo limit 0");
    a.expect("send an advertisement on eth1");
    let captures = [net.a0.capture().unwrap(), cables[1].capture().unwrap()];
    // Nobody hears them: they leave the election, and only they.
    assert!(a.says("Active -> Initialize", 10), "{:#?}", a.lines());
    for number in (0..30_u8).filter(|number| number % 3 != 1) {
        let capture = &captures[if number % 3 == 0 { 0 } else { 1 }];
        assert!(super::eventually(|| adverts(capture, 1 + number) >= 10), "virtual router {} is silent", 1 + number);
    }
    let failures = |name: &str| {
        let text = format!("send an advertisement on {name}:");
        a.lines().iter().filter(|line| line.contains(&text)).count()
    };
    assert_eq!((failures("eth0"), failures("eth1"), failures("eth2")), (0, 10, 0), "{:#?}", a.lines());
    assert!(!a.says_more_than("Active -> Initialize", 10), "{:#?}", a.lines());
    a.tell("status");
    a.expect("RouterStatus");
    let lines = a.lines();
    let status = lines.iter().find(|line| line.contains("RouterStatus")).unwrap();
    let failed: Vec<bool> = status.split("sends_failed: ").skip(1).map(|rest| !rest.starts_with("0,")).collect();
    let expected: Vec<bool> = (0..30).map(|number| number % 3 == 1).collect();
    assert_eq!(failed, expected, "each is counted where it belongs");
    a.stop();
}

#[test]
fn what_is_stuck_in_one_interface_does_not_keep_the_advertisements_of_another() {
    let Some(net) = Pair::new() else { return };
    net.a.attach(&net.lan, "eth1", &["192.0.2.11/24"]).unwrap();
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 vrid=1 interval=10");
    a.expect("Backup -> Active");
    for number in 0..100 {
        a.tell(&format!("add 192.0.2.{} vrid={} interface=eth1 interval=1", 101 + number, 101 + number));
    }
    assert!(a.says("Backup -> Active", 101), "{:#?}", a.lines());
    // A thousand packets of all take years.
    set_queue(&net.a, "eth1", "tbf rate 8bit burst 2000 limit 100000000");
    // The sockets are full: first the one for all interfaces, then the one of this interface.
    a.expect("send an advertisement on eth1");
    let capture = net.a0.capture().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert!(super::eventually(|| adverts(&capture, 1) >= 20), "{:#?}", a.lines());
    assert!(!a.has_said("send an advertisement on eth0"), "{:#?}", a.lines());
    // What has left the queue by now has left the sockets: an end within the patience of the test.
    set_queue(&net.a, "eth1", "pfifo limit 1000");
    a.stop();
}
