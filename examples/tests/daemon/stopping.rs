//! A polite end: handed over, or the addresses go and then the others are told.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::common::{Node, PATIENCE, now, wait_until};
use crate::network::{Network, Place, VIP, undisturbed};
use vrrp_net::lab::longest_gap;
use vrrp_net::vrrp_core::Instant;

#[test]
fn on_sigterm_the_address_is_served_until_the_next_one_has_it() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let (mut a, b) = net.settled("1s", &[]);
        // Not with an advertisement on its heels.
        assert!(net.client_follows_to(&net.a));
        let pinger = net.client.host.ping(VIP, Duration::from_millis(5)).expect("a pinger");
        assert!(pinger.wait_for(PATIENCE, |reply| reply.received_at.is_some()).is_some());

        let told = now();
        assert_eq!(end_with("TERM", &mut a).code(), Some(0), "{:#?}", a.log().lines());
        assert!(a.log().wait_for(PATIENCE, "Active -> Initialize: handed over to 192.0.2.2"), "{:#?}", a.log().lines());
        assert!(!net.a.has(VIP.into()), "it ended, but its address is there");
        assert!(b.log().wait_for(PATIENCE, "Backup -> Active: the Active resigned"), "{:#?}", b.log().lines());
        assert!(net.client_follows_to(&net.b));
        // Once to call the successor, and once more after the addresses are gone.
        let resigned = wait_for_resignation(&net, &net.a, 2);
        let took = net.adverts_of(&net.b)[0].at.since(resigned);
        let gap = longest_gap(&pinger.stop(), told, now());
        eprintln!("SIGTERM: the next one advertised {took:?} after priority 0, no answer for {gap:?}");
        // A Skew_Time of the interval that was advertised last, 10 ms; 609 ms of that before.
        assert!(took < Duration::from_millis(500), "{took:?}");
        assert!(gap < Duration::from_millis(500), "{gap:?}");
    });
}

#[test]
fn on_sigterm_with_nobody_to_hand_over_to_the_address_goes_soon() {
    let Some(net) = Network::new() else { return };
    let mut a = net.a.start(150, "100ms", &[]);
    assert!(net.a.gets_vip(PATIENCE));
    assert_eq!(end_with("TERM", &mut a).code(), Some(0), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "Active -> Initialize: nobody took over"), "{:#?}", a.log().lines());
    assert!(!net.a.has(VIP.into()));
}

#[test]
fn a_hand_over_that_takes_too_long_for_somebody_is_cut_short_by_sigint() {
    let Some(net) = Network::new() else { return };
    let mut a = net.a.start(150, "100ms", &[]);
    assert!(net.a.gets_vip(PATIENCE));
    a.process().terminate().expect("SIGTERM");
    assert!(a.log().wait_for(PATIENCE, "told to leave: handing over"));
    assert!(net.a.has(VIP.into()), "it serves while nobody else does");
    assert_eq!(end_with("INT", &mut a).code(), Some(0), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "Active -> Initialize: told to leave"), "{:#?}", a.log().lines());
    assert!(!net.a.has(VIP.into()));
}

#[test]
fn on_sigint_the_address_goes_with_priority_0_and_the_next_one_needs_skew_time_only() {
    undisturbed(|| is_polite("INT"));
}

#[test]
fn on_sighup_without_a_file_everything_goes_on() {
    let Some(net) = Network::new() else { return };
    let mut a = net.a.start(150, "100ms", &[]);
    assert!(net.a.gets_vip(PATIENCE));
    send("HUP", &mut a);
    assert!(a.log().wait_for(PATIENCE, "there is no file"), "{:#?}", a.log().lines());
    assert!(net.advertises(&net.a, 3) && net.a.has(VIP.into()));
    assert!(net.adverts_of(&net.a).iter().all(|advert| advert.priority == 150));
}

/// At 1 s a Skew_Time and an Active_Down_Interval are 3 s apart.
fn is_polite(signal: &str) {
    let Some(net) = Network::new() else { return };
    let (mut a, b) = net.settled("1s", &[]);

    let status = end_with(signal, &mut a);
    assert_eq!(status.code(), Some(0), "{status}: {:#?}", a.log().lines());
    assert!(!net.a.has(VIP.into()), "it ended, but its address is there");
    assert!(a.log().wait_for(PATIENCE, "Active -> Initialize: told to leave"));

    assert!(net.b.gets_vip(PATIENCE));
    assert!(b.log().wait_for(PATIENCE, "Backup -> Active: the Active resigned"), "{:#?}", b.log().lines());
    let resigned = wait_for_resignation(&net, &net.a, 1);
    assert!(wait_until(PATIENCE, || !net.adverts_of(&net.b).is_empty()));
    let took = net.adverts_of(&net.b)[0].at.since(resigned);
    eprintln!("SIG{signal}: the next one advertised {took:?} after priority 0 (Skew_Time 609 ms)");
    assert!(took < Duration::from_millis(609 + 1500), "{took:?}");
    assert!(net.client_follows_to(&net.b));
}

fn send(signal: &str, node: &mut Node) {
    let command = format!("kill -{signal} {}", node.process().id());
    assert!(Command::new("sh").args(["-c", &command]).status().expect("a shell").success());
}

fn end_with(signal: &str, node: &mut Node) -> ExitStatus {
    send(signal, node);
    let status = node.process().wait(PATIENCE).expect("wait for vrrpd");
    status.unwrap_or_else(|| panic!("vrrpd did not end on SIG{signal}: {:#?}", node.log().lines()))
}

/// When priority 0 was on the wire, and that it was the last word: this often.
fn wait_for_resignation(net: &Network, place: &Place, times: usize) -> Instant {
    let resignations = || {
        let adverts = net.adverts_of(place);
        let last = adverts.iter().rposition(|advert| advert.priority > 0).map_or(0, |last| last + 1);
        adverts[last..].to_vec()
    };
    assert!(wait_until(PATIENCE, || resignations().len() == times), "{:#?}", net.adverts_of(place));
    assert_eq!(net.adverts_of(place).iter().filter(|advert| advert.priority == 0).count(), times);
    resignations()[0].at
}

#[test]
fn no_address_is_left_when_priority_0_is_on_the_wire() {
    let Some(net) = Network::new() else { return };
    // So many that removing them takes a while.
    let all: Vec<Ipv4Addr> = (1..=250).map(|number| Ipv4Addr::new(198, 51, 100, number)).collect();
    let texts: Vec<String> = all.iter().map(Ipv4Addr::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut a = net.a.start_with(&texts, 150, "100ms", &[]);
    let count = || {
        let on_it = net.a.host.addresses().expect("a list of addresses");
        on_it.iter().filter(|it| matches!(it.address, IpAddr::V4(v4) if all.contains(&v4))).count()
    };
    assert!(wait_until(PATIENCE, || count() == all.len()), "{} of {}", count(), all.len());

    send("INT", &mut a);
    let resigned = || net.adverts_of(&net.a).last().is_some_and(|last| last.priority == 0);
    // Without a pause: what is there must be seen as soon as possible after the packet.
    let patience = std::time::Instant::now() + PATIENCE;
    while !resigned() {
        assert!(std::time::Instant::now() < patience, "no priority 0: {:#?}", a.log().lines());
    }
    assert_eq!(count(), 0, "addresses that are answered for after priority 0");
    assert!(a.process().wait(PATIENCE).expect("wait").expect("it ends").success());
}

#[test]
fn a_backup_that_is_stopped_says_nothing_and_changes_nothing() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let (a, mut b) = net.settled("300ms", &[]);
        assert!(b.terminate().success());
        assert!(net.advertises(&net.a, 3));
        assert!(net.adverts_of(&net.b).is_empty());
        assert!(net.a.has(VIP.into()));
        assert_eq!(a.log().matching(" -> ").len(), 2, "{:#?}", a.log().lines());
    });
}
