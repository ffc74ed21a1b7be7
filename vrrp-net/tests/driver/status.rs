//! The snapshot of everything, written out and read back.

use std::time::Duration;

use vrrp_net::vrrp_core::Role;
use vrrp_net::{DriverStatus, RouterStatus};

use super::{Agent, Pair};

/// What an agent says of its first virtual router, for the `count`th time.
fn status(agent: &mut Agent, count: usize) -> (DriverStatus, RouterStatus) {
    agent.tell("status-json");
    assert!(agent.says("json: ", count), "{:#?}", agent.lines());
    let lines = agent.lines();
    let line = lines.iter().rev().find_map(|line| line.strip_prefix("json: ")).unwrap();
    let status: DriverStatus = serde_json::from_str(line).unwrap();
    assert_eq!(serde_json::to_string(&status).unwrap(), line, "what was read is what was written");
    let first = status.routers[0].clone();
    (status, first)
}

#[test]
fn mg_a_snapshot_says_what_rfc_8347_asks_for() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100/24 192.0.2.101 interval=20 priority=150 excluded=1");
    a.expect("-> Active");
    b.tell("add 192.0.2.100/24 192.0.2.101 interval=20 priority=100 excluded=1 preempt=never");
    b.expect("Initialize -> Backup");
    std::thread::sleep(Duration::from_secs(1));

    let (driver, active) = status(&mut a, 1);
    assert!(!driver.guarded);
    assert_eq!((active.interface.as_str(), active.vrid, active.protocol.as_str()), ("eth0", 51, "VRRPv3/IPv4"));
    assert_eq!((active.role, active.base_priority, active.priority), (Role::Active, 150, 150));
    assert!(active.active_for.unwrap() >= Duration::from_secs(1) && active.up_for > active.active_for);
    assert_eq!(active.became_active.as_deref(), Some("no Active was heard"));
    let own = Some("192.0.2.1".parse().unwrap());
    assert_eq!((active.primary_address, active.active_address), (own, own));
    assert_eq!((active.active_adver_interval, active.active_down_interval), (None, None));
    let last = active.last_transition.unwrap();
    assert_eq!((last.from, last.to), (Role::Backup, Role::Active));
    assert!(active.installed && active.preempts && active.accepts_packets && active.faults.is_empty());
    let addresses: Vec<_> = active.addresses.iter().map(|it| (it.address.as_str(), it.advertised)).collect();
    assert_eq!(addresses, [("192.0.2.100/24", true), ("192.0.2.101/32", true), ("10.1.0.1/32", false)]);
    assert!(active.addresses.iter().all(|it| it.installed && it.interface == "eth0"));
    assert!(active.addresses.iter().all(|it| it.lease.is_some_and(|lease| !lease.is_zero())));
    assert!(active.counters.adverts_sent >= 4 && active.counters.became_active == 1);

    let (_, backup) = status(&mut b, 1);
    assert_eq!((backup.role, backup.preempts, backup.active_for), (Role::Backup, false, None));
    assert_eq!((backup.active_address, backup.primary_address), (own, Some("192.0.2.2".parse().unwrap())));
    assert_eq!(backup.active_adver_interval, Some(Duration::from_millis(200)));
    // 156 of 256 parts of the interval, and three intervals more.
    assert_eq!(backup.skew_time, Duration::from_micros(121_875));
    assert_eq!(backup.active_down_interval, Some(Duration::from_micros(721_875)));
    let heard = backup.last_advert.unwrap();
    assert!(Some(heard.source) == own && heard.ago < Duration::from_secs(1));
    assert!(backup.counters.adverts_received >= 4);
    assert!(!backup.installed && backup.addresses.iter().all(|it| !it.installed && it.lease.is_none()));
    a.stop();
    b.stop();
}

#[test]
fn mg_a_snapshot_counts_what_was_discarded_and_why() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    a.tell("add 192.0.2.100 interval=100 version=2");
    a.expect("-> Active");
    b.tell("add 192.0.2.100 interval=10");
    b.expect("-> Active");
    std::thread::sleep(Duration::from_millis(300));
    let (_, rejecting) = status(&mut a, 1);
    assert!(rejecting.counters.version_errors > 0, "{:#?}", rejecting.counters);
    assert!(rejecting.counters.discards.iter().any(|(reason, count)| reason == "version" && *count > 0));
    a.stop();
    b.stop();
}
