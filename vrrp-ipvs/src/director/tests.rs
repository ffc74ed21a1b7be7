use std::net::SocketAddr;
use std::time::Duration;

use super::fake::Fake;
use super::*;
use crate::check::{Check, Failure, Passed, Probe, Stage, Verdict};
use crate::fake::FakeKernel;
use crate::model::{DestinationId, Forwarding, Scheduler};
use crate::service::{Group, RealServer, SorryServer};

const SERVERS: [&str; 2] = ["10.0.0.1:80", "10.0.0.2:80"];

/// A web server whose checks the test speaks for.
fn web() -> VirtualServer {
    let server = |address: &str| {
        let address: SocketAddr = address.parse().unwrap();
        RealServer { checks: vec![Check::new(address, Probe::Application)], ..RealServer::new(address) }
    };
    let sorry = SorryServer { address: "10.0.0.9:80".parse().unwrap(), inhibit: false };
    let pool = service::VirtualServer {
        servers: SERVERS.map(server).to_vec(),
        sorry_server: Some(sorry),
        ..service::VirtualServer::default()
    };
    VirtualServer::new("web", Group(vec!["192.0.2.100 80".parse().unwrap(), "fwmark 5".parse().unwrap()]), pool)
}

fn config() -> Config {
    Config { virtual_servers: vec![web()], ..Config::default() }
}

fn started(config: Config) -> Director<Fake> {
    let mut director = Director::new(Fake::default(), config).unwrap();
    director.process().unwrap();
    director
}

fn tell(director: &mut Director<Fake>, server: usize, verdict: Verdict) -> Vec<String> {
    let check = director.status().virtual_servers[0].checks[server].check;
    director.checks().tell(check, verdict).unwrap();
    words(&director.process().unwrap())
}

fn down() -> Verdict {
    Err(Failure::TimedOut(Stage::Connect))
}

fn up() -> Verdict {
    Ok(Passed { weight: None })
}

fn words(events: &[DirectorEvent]) -> Vec<String> {
    events.iter().map(ToString::to_string).collect()
}

/// Every service's destinations in the kernel, by their last octet.
fn in_kernel(director: &Director<Fake>) -> Vec<Vec<u8>> {
    let host = |id: &DestinationId| match id.address {
        std::net::IpAddr::V4(address) => address.octets()[3],
        std::net::IpAddr::V6(_) => 0,
    };
    director.kernel.table.services.values().map(|(_, destinations)| destinations.keys().map(host).collect()).collect()
}

#[test]
fn it_begins_with_every_server_at_every_frontend() {
    let mut director = Director::new(Fake::default(), config()).unwrap();
    assert_eq!(
        words(&director.process().unwrap()),
        ["web: quorum gained, weight 2", "the kernel's table is as wanted after 6 operations"]
    );
    assert_eq!(in_kernel(&director), [[1, 2], [1, 2]]);
    assert_eq!(director.process().unwrap(), []);
}

#[test]
fn a_server_that_fails_leaves_the_kernel_and_the_sorry_server_takes_over() {
    let mut director = started(config());
    assert_eq!(
        tell(&mut director, 0, down()),
        [
            "web: 10.0.0.1:80 does not serve: no connection in time",
            "the kernel's table is as wanted after 2 operations"
        ]
    );
    assert_eq!(in_kernel(&director), [[2], [2]]);
    let lost = tell(&mut director, 1, down());
    assert_eq!(lost[1..3], ["web: quorum lost, weight 0", "web: sorry server 10.0.0.9:80 takes over"]);
    assert_eq!(in_kernel(&director), [[9], [9]]);
    assert_eq!(
        tell(&mut director, 0, up()),
        [
            "web: 10.0.0.1:80 serves",
            "web: quorum gained, weight 1",
            "web: sorry server 10.0.0.9:80 rests",
            "the kernel's table is as wanted after 4 operations"
        ]
    );
    assert_eq!(in_kernel(&director), [[1], [1]]);
}

#[test]
fn an_attempt_that_failed_is_said_of_its_server_and_changes_nothing() {
    let mut director = started(config());
    let (before, operations) = (director.status(), director.kernel.operations);
    let check = director.status().virtual_servers[0].checks[1].check;
    director.take(&CheckEvent::AttemptFailed { check, reason: Failure::Status(503) });
    assert_eq!(words(&director.process().unwrap()), ["web: an attempt to reach 10.0.0.2:80 failed: status 503"]);
    assert_eq!((director.status(), director.kernel.operations), (before, operations));
}

#[test]
fn a_lost_quorum_lowers_the_priority() {
    let mut director = started(config());
    let base = vrrp_core::Priority::new(150).unwrap();
    let priority = |director: &Director<Fake>| {
        vrrp_core::track::assess(base, director.tracked(Impact::Weight(-60))).priority.get()
    };
    assert_eq!(priority(&director), 150);
    for server in 0..2 {
        tell(&mut director, server, down());
    }
    assert_eq!(priority(&director), 90);
    tell(&mut director, 0, up());
    assert_eq!(priority(&director), 150);
}

#[test]
fn a_warm_table_stays_and_a_cold_one_is_there_from_claimant_on() {
    for (standby, backup) in [(Standby::Warm, 2), (Standby::Cold, 0)] {
        let mut director = started(Config { standby, ..config() });
        for (role, services) in [
            (Role::Initialize, backup),
            (Role::Backup, backup),
            (Role::Claimant, 2),
            (Role::Active, 2),
            (Role::Backup, backup),
        ] {
            director.set_role(role).unwrap();
            director.process().unwrap();
            assert_eq!(in_kernel(&director).len(), services, "{standby:?} {role}");
        }
    }
}

#[test]
fn a_cold_table_is_emptied_at_once_however_long_servers_are_drained() {
    let mut director = started(Config { standby: Standby::Cold, drain: Duration::from_secs(600), ..config() });
    director.set_role(Role::Active).unwrap();
    director.process().unwrap();
    for (_, destinations) in director.kernel.table.services.values_mut() {
        destinations.values_mut().for_each(|status| status.active_connections = 1);
    }
    director.set_role(Role::Backup).unwrap();
    director.process().unwrap();
    assert!(in_kernel(&director).is_empty());
}

#[test]
fn what_changes_on_a_cold_backup_is_in_its_table_when_it_takes_over() {
    let mut director = started(Config { standby: Standby::Cold, ..config() });
    director.set_role(Role::Backup).unwrap();
    assert_eq!(tell(&mut director, 0, down()), ["web: 10.0.0.1:80 does not serve: no connection in time"]);
    assert!(in_kernel(&director).is_empty());
    director.set_role(Role::Active).unwrap();
    director.process().unwrap();
    assert_eq!(in_kernel(&director), [[2], [2]]);
}

#[test]
fn the_synchronisation_daemon_follows_the_role() {
    let mut director = started(Config { sync: Some(Sync::new("eth0", 5)), ..config() });
    for (role, state) in [
        (Role::Backup, SyncState::Backup),
        (Role::Active, SyncState::Master),
        (Role::Backup, SyncState::Backup),
        (Role::Initialize, SyncState::Backup),
    ] {
        director.set_role(role).unwrap();
        director.process().unwrap();
        let running: Vec<_> = director.kernel.daemons.iter().map(|daemon| (daemon.state, daemon.sync_id)).collect();
        assert_eq!(running, [(state, 5)], "{role}");
    }
}

#[test]
fn ha_suspend_lets_the_checks_rest_until_the_addresses_come() {
    let mut config = config();
    config.virtual_servers[0].pool.ha_suspend = true;
    for server in &mut config.virtual_servers[0].pool.servers {
        server.checks[0].probe = Probe::Tcp;
    }
    let mut director = started(config);
    let resting = |director: &Director<Fake>| {
        let checks = &director.status().virtual_servers[0].checks;
        checks.iter().all(|check| check.schedule.phase == crate::check::schedule::Phase::Suspended)
    };
    assert!(resting(&director));
    director.set_role(Role::Active).unwrap();
    assert!(!resting(&director));
    director.set_role(Role::Backup).unwrap();
    assert!(resting(&director));
}

#[test]
fn the_descriptor_is_readable_while_there_is_something_to_do() {
    let ready = |director: &Director<Fake>| {
        let at_once = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut polled = [rustix::event::PollFd::new(director, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut polled, Some(&at_once)).unwrap() > 0
    };
    let settle = |director: &mut Director<Fake>| {
        for _ in 0..4 {
            director.process().unwrap();
        }
    };
    let mut director = Director::new(Fake::default(), config()).unwrap();
    assert!(ready(&director));
    settle(&mut director);
    assert!(!ready(&director));
    director.set_role(Role::Active).unwrap();
    assert!(ready(&director));
    settle(&mut director);
    assert!(!ready(&director));
    let check = director.status().virtual_servers[0].checks[0].check;
    director.checks().tell(check, down()).unwrap();
    assert!(ready(&director));
}

#[test]
fn shutdown_takes_out_what_is_its_and_says_what_the_servers_are_told() {
    let mut config = Config { sync: Some(Sync::new("eth0", 5)), ..config() };
    config.virtual_servers[0].pool.omega = true;
    let mut director = started(config);
    director.set_role(Role::Active).unwrap();
    director.process().unwrap();
    assert_eq!(
        words(&director.shutdown().unwrap()),
        [
            "web: 10.0.0.1:80 is let go",
            "web: 10.0.0.2:80 is let go",
            "web: quorum lost, weight 0",
            "the kernel's table is as wanted after 2 operations"
        ]
    );
}

#[test]
fn shutdown_of_a_director_that_is_refused_ends_too() {
    let mut director = started(config());
    director.kernel.fails_after = Some(0);
    let events = director.shutdown().unwrap();
    assert!(matches!(&events[..], [DirectorEvent::Refused { .. }]), "{events:?}");
}

#[test]
fn exceptions_are_reached_in_their_own_way() {
    let mut config = config();
    config.virtual_servers[0].forwarding = Forwarding::Direct;
    config.virtual_servers[0].exceptions = vec![Exception {
        server: "10.0.0.9:80".parse().unwrap(),
        forwarding: Some(Forwarding::Masquerade),
        upper_threshold: 9,
        lower_threshold: 0,
    }];
    let mut director = started(config);
    for server in 0..2 {
        tell(&mut director, server, down());
    }
    let (_, destinations) = director.kernel.table.services.values().next().unwrap();
    let sorry = destinations.values().next().unwrap().destination;
    assert_eq!((sorry.forwarding, sorry.upper_threshold), (Forwarding::Masquerade, 9));
    tell(&mut director, 0, up());
    let (_, destinations) = director.kernel.table.services.values().next().unwrap();
    assert_eq!(destinations.values().next().unwrap().destination.forwarding, Forwarding::Direct);
}

#[test]
fn a_configuration_that_makes_no_sense_says_what_of_it() {
    let wrong = |change: fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        Director::new(Fake::default(), config).unwrap_err().to_string()
    };
    assert_eq!(wrong(|c| c.inspect = Duration::ZERO), "inspect 0ns is too short: at least 100ms");
    assert_eq!(wrong(|c| c.sync = Some(Sync::new("eth0", 0))), "sync: sync_id 0 is not 1..=255");
    assert!(wrong(|c| c.virtual_servers.push(web())).starts_with("virtual server \"web\" is there twice"));
    assert!(
        wrong(|c| {
            c.virtual_servers.push(VirtualServer { name: "again".into(), ..web() });
        })
        .contains("\"again\": TCP 192.0.2.100:80 is in the table twice")
    );
    assert!(wrong(|c| c.virtual_servers[0].frontends = Group::default()).contains("has no address"));
    assert_eq!(wrong(|c| c.virtual_servers[0].pool.quorum = 0), "virtual server \"web\": quorum 0 is not 1 or more");
    assert!(
        wrong(|c| c.virtual_servers[0].frontends.0.push("fwmark 5 inet6".parse().unwrap()))
            .contains("FWM 5 IPv6: 10.0.0.1:80 is of the other address family")
    );
    assert!(
        wrong(|c| c.virtual_servers[0].pool.servers[0].checks[0].schedule.rise = 0).contains("check 0 of server 0")
    );
    let exception = "10.0.0.7:80".parse().unwrap();
    let mut config = config();
    config.virtual_servers[0].exceptions =
        vec![Exception { server: exception, forwarding: None, upper_threshold: 0, lower_threshold: 0 }];
    assert_eq!(
        config.validate().unwrap_err().to_string(),
        "virtual server \"web\": the exception 10.0.0.7:80 is none of its servers"
    );
}

#[test]
fn a_configuration_is_written_and_read_back_and_a_status_is_written() {
    let mut config = Config { sync: Some(Sync::new("eth0", 5)), standby: Standby::Cold, ..config() };
    config.virtual_servers[0].scheduler = Scheduler::WEIGHTED_LEAST_CONNECTION;
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    assert!(serde_json::from_str::<Config>(r#"{"virtual_server": []}"#).is_err());
    let director = started(config);
    let status = serde_json::to_value(director.status()).unwrap();
    assert_eq!(status["role"], "initialize");
    assert_eq!(status["virtual_servers"][0]["name"], "web");
    assert!(status["virtual_servers"][0]["checks"][1]["target"].is_string());
}

#[test]
fn what_another_program_does_meanwhile_is_undone_by_the_next_inspection() {
    let mut director = started(Config { inspect: Duration::from_millis(100), ..config() });
    let wanted = director.kernel.table.clone();
    director.kernel.table = FakeKernel::default();
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while director.kernel.table != wanted {
        assert!(std::time::Instant::now() < end, "it was not undone");
        let mut polled = [rustix::event::PollFd::new(&director, rustix::event::PollFlags::IN)];
        let second = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
        rustix::event::poll(&mut polled, Some(&second)).unwrap();
        director.process().unwrap();
    }
}

/// The events until nothing is left to be done.
fn settle(director: &mut Director<Fake>) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..4 {
        all.extend(words(&director.process().unwrap()));
    }
    all
}

#[test]
fn a_server_that_is_added_does_not_bring_back_one_that_is_down() {
    let mut director = started(config());
    tell(&mut director, 0, down());
    let mut larger = config();
    let third = RealServer::new("10.0.0.3:80".parse().unwrap());
    larger.virtual_servers[0].pool.servers.insert(0, third);
    let before = director.kernel.operations;
    director.reconfigure(larger).unwrap();
    settle(&mut director);
    assert_eq!(in_kernel(&director), [[2, 3], [2, 3]]);
    // The third was added at both frontends, and nothing else was done meanwhile.
    assert_eq!(director.kernel.operations - before, 2);
    assert_eq!(director.checks.status().len(), 2, "the old checks are gone");
    assert_eq!(tell(&mut director, 1, down())[0], "web: 10.0.0.2:80 does not serve: no connection in time");
    assert_eq!(in_kernel(&director), [[3], [3]]);
}

#[test]
fn an_unchanged_pool_goes_on_with_its_checks_at_other_frontends() {
    let mut director = started(config());
    tell(&mut director, 0, down());
    let checks = |director: &Director<Fake>| director.owners.keys().copied().collect::<Vec<_>>();
    let before = checks(&director);
    let mut moved = config();
    moved.virtual_servers[0].frontends = Group(vec!["192.0.2.200 80".parse().unwrap()]);
    moved.virtual_servers[0].scheduler = Scheduler::LEAST_CONNECTION;
    director.reconfigure(moved).unwrap();
    assert_eq!(settle(&mut director), ["the kernel's table is as wanted after 4 operations"]);
    assert_eq!(checks(&director), before);
    let services: Vec<String> = director.kernel.table.services.keys().map(ToString::to_string).collect();
    assert_eq!((services, in_kernel(&director)), (vec!["TCP 192.0.2.200:80".to_owned()], vec![vec![2]]));
}

#[test]
fn what_a_configuration_has_no_more_is_drained_and_then_not_touched_any_more() {
    let mut config = Config { drain: Duration::from_secs(600), inspect: Duration::from_millis(100), ..config() };
    let mut director = started(config.clone());
    let old = FakeKernel::clone(&director.kernel.table);
    let uses = |director: &mut Director<Fake>, connections| {
        for (_, destinations) in director.kernel.table.services.values_mut() {
            destinations.values_mut().for_each(|status| status.active_connections = connections);
        }
    };
    uses(&mut director, 1);
    config.virtual_servers.clear();
    director.reconfigure(config).unwrap();
    settle(&mut director);
    assert_eq!(in_kernel(&director).len(), 2);
    assert_eq!(director.status().draining.len(), 4);
    uses(&mut director, 0);
    director.keep(now() + Duration::from_secs(2));
    assert!(in_kernel(&director).is_empty());
    // Somebody else has them now.
    director.kernel.table = old.clone();
    director.keep(now() + Duration::from_secs(4));
    assert_eq!(director.kernel.table, old);
}

#[test]
fn what_a_killed_director_left_behind_is_removed_if_it_is_taken_over_and_only_then() {
    let left = Table::new([
        left_behind(ServiceId::tcp("192.0.2.77".parse().unwrap(), 0)),
        left_behind(ServiceId::fwmark(crate::model::Family::V4, 7.try_into().unwrap())),
    ]);
    let left = left.unwrap();
    let somebody_s = left_behind(ServiceId::udp("192.0.2.78".parse().unwrap(), 53));
    let theirs = Table::new([somebody_s.clone()]).unwrap();
    let all = Table::new(Vec::from(left.clone()).into_iter().chain([somebody_s])).unwrap();
    let mut director = Director::new(Fake::of(&all), config()).unwrap();
    settle(&mut director);
    assert_eq!(director.kernel.table.services.len(), 3 + 2, "nothing says that they are its own");
    director.take_over(left.ids()).unwrap();
    assert_eq!(settle(&mut director), ["the kernel's table is as wanted after 2 operations"]);
    assert_eq!(director.kernel.table.only(|service| !director.balanced.contains(service)), FakeKernel::of(&theirs));
    // From now on they are anybody's again.
    director.kernel.table = FakeKernel::of(&all);
    director.keep(now() + Duration::from_secs(60));
    assert_eq!(director.kernel.table.only(|service| !director.balanced.contains(service)), FakeKernel::of(&all));
}

fn left_behind(id: ServiceId) -> crate::model::VirtualServer {
    let lasting = crate::model::Persistence { timeout_seconds: 60, granularity: Default::default() };
    crate::model::VirtualServer {
        service: crate::model::Service::new(id).with_persistence(lasting),
        destinations: vec![crate::model::Destination::new("10.0.0.9:0".parse::<SocketAddr>().unwrap().into())],
    }
}

#[test]
fn a_synchronisation_daemon_that_is_not_configured_any_more_is_stopped_once() {
    let with = Config { sync: Some(Sync::new("eth0", 5)), ..config() };
    let mut director = started(with);
    assert_eq!(director.kernel.daemons.len(), 1);
    director.reconfigure(config()).unwrap();
    settle(&mut director);
    assert_eq!(director.kernel.daemons, []);
    director.kernel.daemons = vec![Sync::new("eth1", 6).daemon(SyncState::Master)];
    director.keep(now() + Duration::from_secs(60));
    assert_eq!(director.kernel.daemons.len(), 1, "that of somebody else");
}

#[test]
fn a_wrong_configuration_changes_nothing() {
    let mut director = started(config());
    let (before, checks) = (director.status(), director.checks.status().len());
    let mut wrong = config();
    wrong.virtual_servers.push(VirtualServer {
        name: "other".into(),
        frontends: Group(vec!["192.0.2.9 80".parse().unwrap()]),
        ..web()
    });
    wrong.virtual_servers[0].pool.quorum = 2;
    wrong.virtual_servers[1].pool.servers[0].checks[0].schedule.rise = 0;
    assert!(director.reconfigure(wrong).unwrap_err().to_string().starts_with("virtual server \"other\""));
    assert_eq!((director.status(), director.checks.status().len()), (before, checks));
}
