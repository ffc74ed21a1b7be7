//! Two `proxy` processes, the upstreams behind them, and a client that opens a connection every few milliseconds.

mod common;

#[path = "proxy/network.rs"]
mod network;

use std::process::Command;
use std::time::Duration;

use common::{PATIENCE, TempDir, now, wait_until};
use network::{Network, Outcome, PLAIN};
use vrrp_net::vrrp_core::Instant;

/// Longer than a SYN that was lost takes to be repeated (1 s, then 2 s).
const REPEATED: Duration = Duration::from_secs(4);
/// Longer than a connection takes that nothing happens to.
const UNDER_WAY: Duration = Duration::from_millis(200);

#[test]
fn killing_either_loses_no_connection_that_begins_after_the_other_is_active() {
    let Some(net) = Network::new() else { return };
    let (mut a, mut b) = net.settled(PLAIN);
    let client = net.client();
    assert!(client.is_served_by("a", PATIENCE));

    let killed = now();
    a.kill();
    assert!(net.becomes_active(&b), "{:#?}", b.log().lines());
    let taken = now();
    // By the guardian of the one that was killed, not by Active_Down_Interval.
    assert!(b.log().wait_for(PATIENCE, "Backup -> Active: the Active resigned"), "{:#?}", b.log().lines());
    assert!(client.is_served_by("b", PATIENCE));
    a = net.start_a(PLAIN);
    assert!(net.stands_by(&a), "{:#?}", a.log().lines());

    // One that is under way when the address moves is lost.
    let settled = now();
    std::thread::sleep(UNDER_WAY);
    let killed_again = now();
    b.kill();
    assert!(net.becomes_active(&a), "{:#?}", a.log().lines());
    let taken_again = now();
    assert!(client.is_served_by("a", PATIENCE));
    std::thread::sleep(REPEATED);

    let connections = client.stop();
    let lost = |from: Instant, to: Instant| {
        let began = connections.iter().filter(move |it| (from..to).contains(&it.began));
        began.filter(|it| it.outcome == Outcome::Lost).count()
    };
    for (killed, taken) in [(killed, taken), (killed_again, taken_again)] {
        eprintln!(
            "kill -9: {:?} until the other is Active; {} lost meanwhile",
            taken.since(killed),
            lost(killed, taken)
        );
    }
    assert_eq!((lost(taken, settled), lost(taken_again, now())), (0, 0), "{connections:#?}");
}

#[test]
fn on_sigterm_no_connection_fails_at_all() {
    let Some(net) = Network::new() else { return };
    let (mut a, mut b) = net.settled(PLAIN);
    let client = net.client();
    assert!(client.is_served_by("a", PATIENCE));
    assert_eq!(a.terminate().code(), Some(0), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "handing over; 0 connections are cut"), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "handed over to 192.0.2.2"), "{:#?}", a.log().lines());
    assert!(client.is_served_by("b", PATIENCE));
    // And back.
    let a = net.start_a(PLAIN);
    assert!(net.stands_by(&a), "{:#?}", a.log().lines());
    std::thread::sleep(UNDER_WAY);
    assert_eq!(b.terminate().code(), Some(0), "{:#?}", b.log().lines());
    assert!(client.is_served_by("a", PATIENCE));
    std::thread::sleep(REPEATED);

    let connections = client.stop();
    let served = |by: &str| connections.iter().filter(|it| it.outcome == Outcome::Served(by.to_owned())).count();
    let slowest = connections.iter().map(|it| it.took).max().unwrap_or_default();
    eprintln!("SIGTERM: {} served by a, {} by b; the slowest took {slowest:?}", served("a"), served("b"));
    let lost: Vec<_> = connections.iter().filter(|it| it.outcome == Outcome::Lost).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:#?}", lost.len(), connections.len());
}

#[test]
fn a_connection_that_does_not_end_is_cut_after_the_time_to_drain() {
    let Some(net) = Network::new() else { return };
    let (mut a, b) = net.settled("drain = \"1s\"");
    let idle = net.idle_connections(1);
    assert!(net.upstream_a().wait_for_connections(1));
    assert_eq!(a.terminate().code(), Some(0), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "handing over; 1 connections are cut"), "{:#?}", a.log().lines());
    assert!(net.becomes_active(&b), "{:#?}", b.log().lines());
    drop(idle);
}

#[test]
fn the_one_with_upstreams_serves_and_without_any_neither_does() {
    let Some(mut net) = Network::new() else { return };
    let (a, b) = net.settled(PLAIN);
    net.kill_upstream_of_a();
    assert!(
        a.log().wait_for(PATIENCE, "Active -> Initialize: something that is tracked is down"),
        "{:#?}",
        a.log().lines()
    );
    assert!(net.becomes_active(&b), "{:#?}", b.log().lines());
    let client = net.client();
    assert!(client.is_served_by("b", PATIENCE));
    client.stop();

    net.kill_upstream_of_b();
    assert!(wait_until(PATIENCE, || !net.has_address("b")), "{:#?}", b.log().lines());
    assert!(!net.has_address("a"));

    net.revive_upstream_of_a();
    assert!(net.becomes_active(&a), "{:#?}", a.log().lines());
    assert!(net.client().is_served_by("a", PATIENCE));
}

#[test]
fn the_one_with_more_upstreams_takes_over_and_a_dead_one_is_passed_by() {
    let Some(net) = Network::new() else { return };
    // The first one is dead.
    let a = net.start_a_with(&[9999, 9000]);
    assert!(net.becomes_active(&a), "{:#?}", a.log().lines());
    let client = net.client();
    assert!(client.is_served_by("a", PATIENCE));
    std::thread::sleep(UNDER_WAY);
    let connections = client.stop();
    assert!(connections.len() > 10, "{connections:#?}");
    assert!(connections.iter().all(|it| it.outcome == Outcome::Served("a".to_owned())), "{connections:#?}");

    // It lacks nothing: its priority is higher by the weight of one.
    let b = net.start_b(PLAIN);
    assert!(net.becomes_active(&b), "{:#?}", b.log().lines());
    assert!(a.log().wait_for(PATIENCE, "Active -> Backup: 192.0.2.2 won the election"), "{:#?}", a.log().lines());
    assert!(net.client().is_served_by("b", PATIENCE));
}

#[test]
fn thousands_of_connections_that_stand_still_and_an_upstream_that_dies_do_not_disturb_the_election() {
    let Some(mut net) = Network::new() else { return };
    let (a, b) = net.settled("upstream-weight = 0\nconnections = 3000");
    let idle = net.idle_connections(2000);
    assert!(net.upstream_a().wait_for_connections(2000));
    let client = net.client();
    assert!(client.is_served_by("a", PATIENCE));
    let adverts = net.adverts_of_a();
    assert!(wait_until(PATIENCE, || net.adverts_of_a() > adverts + 20), "{:#?}", a.log().lines());

    // All of them die at once, in mid-connection; then there is none.
    net.kill_upstream_of_a();
    assert!(net.becomes_active(&b), "{:#?}", b.log().lines());
    assert!(client.is_served_by("b", PATIENCE));
    drop(idle);
    let roles = |node: &common::Node| node.log().matching(" -> ").len();
    // Nothing but those: to Backup, when an upstream had answered; to Active; and out.
    assert_eq!(a.log().matching("Backup -> Active").len(), 1, "{:#?}", a.log().lines());
    assert_eq!(b.log().matching("Backup -> Active").len(), 1, "{:#?}", b.log().lines());
    assert!(roles(&b) <= 4, "{:#?}", b.log().lines());
}

#[test]
fn a_wrong_setting_is_named_with_what_would_be_right() {
    let folder = TempDir::new();
    let refused = |text: &str| {
        let file = folder.write("proxy.toml", text);
        let output = Command::new(env!("CARGO_BIN_EXE_proxy")).arg("--config").arg(file).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let with = |text: &str| {
        let router = "[router]\ninterface = \"eth0\"\nvrid = 51\naddresses = [\"192.0.2.100\"]\n";
        refused(&format!("{text}\n{router}"))
    };
    assert!(with("port = 80\nupstreams = []").contains("upstreams is empty"));
    assert!(with("port = 0\nupstreams = [\"192.0.2.1:80\"]").contains("port 0 is not 1..=65535"));
    assert!(with("port = 80\nupstreams = [\"192.0.2.1\"]").contains("proxy.toml:2: "));
    assert!(with("port = 80\nupstreams = [\"192.0.2.1:80\"]\nupstream-weight = 5").contains("5 is not -253..=0"));
    assert!(with("port = 80\nupstreams = [\"192.0.2.1:80\"]\ncheck-interval = 0").contains("10ms or more"));
    assert!(with("port = 80\nupstreams = [\"192.0.2.1:80\"]\nconnections = 0").contains("at least 1"));
    assert!(with("port = 80\nupstreams = [\"192.0.2.1:80\"]\nbacklog = 0").contains("unknown field `backlog`"));
    assert!(refused("port = 80\nupstreams = [\"192.0.2.1:80\"]").contains("missing field `router`"));
}
