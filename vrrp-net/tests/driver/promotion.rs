//! Promotion that waits for the application, planned hand-over, sync groups.

use std::time::Duration;

use vrrp_net::lab::Frame;

use super::{Agent, PATIENCE, Pair, VIP, eventually, ip};

#[test]
fn a_gated_router_has_the_addresses_only_once_it_is_confirmed() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 gate=10000");
    a.expect("waiting for the application to confirm");
    assert!(!net.a.has_address(VIP).unwrap());
    a.tell("refuse");
    a.expect("Claimant -> Backup: the application refused");
    assert!(!net.a.has_address(VIP).unwrap());
    assert!(a.says("waiting for the application to confirm", 2), "{:#?}", a.lines());
    a.tell("confirm");
    a.expect("Claimant -> Active: the application is ready");
    assert!(net.a.has_address(VIP).unwrap());
    a.stop();
    assert!(!net.a.has_address(VIP).unwrap());
}

#[test]
fn a_hand_over_takes_a_fraction_of_skew_time_and_leaves_no_gap() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100 priority=150 preempt=never");
    a.expect("Backup -> Active");
    b.tell("add 192.0.2.100 priority=100 preempt=never");
    b.expect("Initialize -> Backup");
    let capture = net.lan.capture().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    a.tell("hand-over");
    a.expect("Active -> Backup: handed over to 192.0.2.2");
    b.expect("Backup -> Active: the Active resigned");
    assert!(net.b.has_address(VIP).unwrap() && !net.a.has_address(VIP).unwrap());
    let adverts: Vec<_> = capture.frames().into_iter().filter(|frame| frame.bytes.get(23) == Some(&112)).collect();
    let resigned = adverts.iter().find(|frame| frame.bytes[36] == 0).expect("a resignation");
    let successor = adverts.iter().find(|frame| frame.bytes[29] == 2).expect("an advertisement of the successor");
    let took = successor.at.since(resigned.at);
    // Skew_Time at priority 100 is 609 ms at 1 s, and 6 ms at 10 ms.
    assert!(took < Duration::from_millis(300), "{took:?}");
    a.stop();
    b.stop();
}

#[test]
fn addresses_that_were_handed_over_stay_until_the_successor_has_announced_them_or_does_not() {
    for announces in ["", " announce=never"] {
        let Some(net) = Pair::new() else { return };
        let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
        a.tell("add 192.0.2.100 interval=10 priority=150");
        a.expect("Backup -> Active");
        b.tell(&format!("add 192.0.2.100 interval=10 priority=100{announces}"));
        b.expect("Initialize -> Backup");
        let capture = net.lan.capture().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        a.tell("leave");
        a.expect("Active -> Initialize");
        let by = |frame: &Frame, host: u8| frame.bytes.get(23) == Some(&112) && frame.bytes[29] == host;
        let successor = |frames: &[Frame]| Some(frames.iter().find(|frame| by(frame, 2))?.at);
        // It resigns once more when they are gone.
        let last_word = |frames: &[Frame]| {
            let successor = successor(frames)?;
            let mut resigned = frames.iter().filter(|frame| by(frame, 1) && frame.bytes[36] == 0);
            Some(resigned.find(|frame| frame.at > successor)?.at)
        };
        assert!(eventually(|| last_word(&capture.frames()).is_some()));
        let frames = capture.frames();
        let (successor, gone) = (successor(&frames).unwrap(), last_word(&frames).unwrap());
        let mut arps = frames.iter().filter(|frame| frame.bytes[12..14] == [8, 6]);
        let announced = arps.find(|frame| frame.bytes[6..12] == net.b0.mac()).map(|frame| frame.at);
        let longest = successor + Duration::from_millis(2);
        // One that never announces does so all the same when it hears that last word.
        let until = announced.filter(|_| announces.is_empty()).map_or(longest, |announced| announced.min(longest));
        assert!(gone >= until, "{gone:?} after {successor:?}, announced {announced:?}");
        assert!(!net.a.has_address(VIP).unwrap());
        a.stop();
        b.stop();
    }
}

#[test]
fn an_interface_that_is_renamed_while_addresses_linger_does_not_hold_the_others_up() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    // They linger for 90 ms.
    a.tell("add 192.0.2.100 interval=10 priority=150 excluded=880");
    a.expect("Backup -> Active");
    b.tell("add 192.0.2.100 interval=10 priority=100 excluded=880 announce=never");
    b.expect("Initialize -> Backup");
    let capture = net.lan.capture().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    a.tell("leave");
    let by_successor = |frame: &Frame| frame.bytes.get(23) == Some(&112) && frame.bytes[29] == 2;
    assert!(eventually(|| capture.frames().iter().any(by_successor)));
    ip(&net.a, "link set eth0 down");
    ip(&net.a, "link set eth0 name eth9");
    a.expect("Active -> Initialize");
    a.stop();
    assert!(!net.a.has_address(VIP).unwrap());
    b.stop();
}

#[test]
fn one_that_has_the_role_again_while_its_addresses_linger_advertises_before_anything_else() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    // They linger for 90 ms, and Active_Down_Interval is 36 ms.
    a.tell("add 192.0.2.100 interval=1 priority=150 preempt=never excluded=880");
    a.expect("Backup -> Active");
    b.tell("add 192.0.2.100 interval=1 priority=100 preempt=never excluded=880 announce=never");
    b.expect("Initialize -> Backup");
    let capture = net.lan.capture().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    a.tell("hand-over");
    let by = |frame: &Frame, host: u8| frame.bytes.get(23) == Some(&112) && frame.bytes[29] == host;
    assert!(eventually(|| capture.frames().iter().any(|frame| by(frame, 2))));
    b.process().kill().unwrap();
    assert!(a.says("Backup -> Active: no Active was heard", 2), "{:#?}", a.lines());
    let frames = capture.frames();
    let last = frames.iter().rposition(|frame| by(frame, 2)).unwrap();
    let mut said = frames[last..].iter().filter(|frame| frame.bytes[6..12] == net.a0.mac());
    let first = said.find(|frame| by(frame, 1) || frame.bytes[12..14] == [8, 6]).expect("an advertisement");
    assert!(by(first, 1) && first.bytes[36] == 150, "{:?}", first.bytes);
    a.stop();
}

#[test]
fn one_that_left_takes_part_again_when_it_is_told_to() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100 interval=10 priority=150");
    a.expect("Backup -> Active");
    b.tell("add 192.0.2.100 interval=10 priority=100");
    b.expect("Initialize -> Backup");
    a.tell("leave");
    a.expect("Active -> Initialize");
    b.expect("Backup -> Active");
    // It would preempt if it took part: 50 intervals show that it does not.
    std::thread::sleep(Duration::from_millis(500));
    assert!(net.b.has_address(VIP).unwrap() && !net.a.has_address(VIP).unwrap());
    a.tell("rejoin");
    assert!(a.says("Backup -> Active", 2), "{:#?}", a.lines());
    b.expect("Active -> Backup");
    a.stop();
    b.stop();
}

#[test]
fn the_members_of_a_sync_group_leave_together_and_return_together() {
    let Some(net) = Pair::new() else { return };
    let other: std::net::IpAddr = "192.0.2.101".parse().unwrap();
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 vrid=51 interval=10");
    a.tell("add 192.0.2.101 vrid=52 interval=10");
    a.tell("group");
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    assert!(net.a.has_address(VIP).unwrap() && net.a.has_address(other).unwrap());
    // A rival with a higher priority in one of the two elections.
    let mut b = Agent::start(&net.b);
    b.tell("add 192.0.2.101 vrid=52 interval=10 priority=200");
    a.expect("the sync group gave up the role");
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    assert!(net.a.wait_for_address(other, false, PATIENCE).unwrap());
    b.stop();
    assert!(net.a.wait_for_address(VIP, true, PATIENCE).unwrap());
    assert!(net.a.wait_for_address(other, true, PATIENCE).unwrap());
    a.stop();
}
