//! Plans on a real table: applied once, and again, and after other programs had their way with it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use vrrp_ipvs::vrrp_core::Instant;
use vrrp_ipvs::{
    Destination, DestinationId, Drains, Error, Family, Forwarding, Granularity, Ipvs, Operation, Persistence,
    Scheduler, Service, ServiceId, Table, Tunnel, TunnelChecksum, VirtualServer, plan,
};

use crate::guest::on_ipvs;
use crate::net::Host;

fn id(port: u16) -> ServiceId {
    ServiceId::tcp(IpAddr::from([192, 0, 2, 1]), port)
}

fn destination(host: u8) -> Destination {
    Destination::new(DestinationId::new(IpAddr::from([10, 0, 0, host]), 80))
}

fn server(port: u16, destinations: impl IntoIterator<Item = Destination>) -> VirtualServer {
    VirtualServer { service: Service::new(id(port)), destinations: destinations.into_iter().collect() }
}

/// A table with every form of every setting, those that the kernel gives back in another form among them.
fn everything() -> Table {
    let mut servers = Vec::new();
    for (port, granularity) in (80_u16..).zip([
        Granularity::Host,
        Granularity::Prefix(32),
        Granularity::Prefix(0),
        Granularity::Netmask([255, 255, 255, 255].into()),
        Granularity::Netmask([255, 255, 0, 0].into()),
        Granularity::Netmask([255, 0, 255, 0].into()),
    ]) {
        let mut one = server(port, []);
        one.service = one.service.with_persistence(Persistence { timeout_seconds: 60, granularity });
        servers.push(one);
    }
    let port = NonZeroU16::new(6080).unwrap();
    let ways = [
        Forwarding::Masquerade,
        Forwarding::Local,
        Forwarding::Direct,
        Forwarding::Bypass,
        Forwarding::Tunnel(Tunnel::Ipip),
        Forwarding::Tunnel(Tunnel::Gue { port, checksum: TunnelChecksum::Remote }),
        Forwarding::Tunnel(Tunnel::Gre { checksum: true }),
        Forwarding::Tunnel(Tunnel::Other { kind: 2, port: 0, flags: 1 }),
        Forwarding::Other(3),
    ];
    let reached = (1..).zip(ways).map(|(host, way)| destination(host).with_forwarding(way).with_weight(host.into()));
    servers.push(server(8080, reached));
    // To an address of the director itself, by a way that could become another.
    let own = Destination::new(DestinationId::new(IpAddr::from([127, 0, 0, 1]), 80));
    servers.push(server(8081, [own, destination(1).with_forwarding(Forwarding::Direct)]));
    let mark = ServiceId::fwmark(Family::V6, NonZeroU32::new(7).unwrap());
    let far = Destination::new(DestinationId::new("2001:db8::2".parse().unwrap(), 0));
    servers.push(VirtualServer {
        service: Service::new(mark).with_scheduler(Scheduler::MAGLEV_HASH),
        destinations: vec![far.with_forwarding(Forwarding::Direct)],
    });
    Table::new(servers).unwrap()
}

/// Reads, plans and applies; the operations as text.
fn settle(ipvs: &mut Ipvs, desired: &Table) -> Vec<String> {
    let actual = ipvs.services().unwrap();
    let plan = plan(desired, &actual, |_| true);
    ipvs.apply(&plan).unwrap();
    plan.operations().iter().map(ToString::to_string).collect()
}

#[test]
fn a_plan_applied_twice_does_nothing_the_second_time() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        let desired = everything();
        assert_eq!(settle(&mut ipvs, &desired).len(), 9 + 12);
        let listing = host.listing();
        assert_eq!(listing.len(), 9 + 12, "{listing:?}");
        assert_eq!(settle(&mut ipvs, &desired), Vec::<String>::new());
        // The same after it went through a file.
        let stored: Table = serde_json::from_str(&serde_json::to_string(&desired).unwrap()).unwrap();
        assert_eq!(stored, desired);
        assert_eq!(settle(&mut ipvs, &stored), Vec::<String>::new());
        assert_eq!(host.listing(), listing);
    });
}

#[test]
fn connections_and_counters_survive_a_change_of_weight() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        let _server = host.serve(80, "");
        let local = |weight| {
            let id = DestinationId::new(IpAddr::from([127, 0, 0, 1]), 80);
            let one = Destination::new(id).with_forwarding(Forwarding::Local).with_weight(weight);
            Table::new([VirtualServer {
                service: Service::new(ServiceId::tcp(IpAddr::from([127, 0, 0, 9]), 80)),
                destinations: vec![one],
            }])
            .unwrap()
        };
        settle(&mut ipvs, &local(1));
        host.request("127.0.0.9:80").unwrap();
        let count = |ipvs: &mut Ipvs| {
            let status = ipvs.services().unwrap()[0].destinations[0];
            status.active_connections + status.inactive_connections
        };
        assert_eq!(count(&mut ipvs), 1);
        let operations = settle(&mut ipvs, &local(5));
        assert_eq!(operations, ["set destination 127.0.0.1:80 of TCP 127.0.0.9:80 (weight 5)"]);
        assert_eq!(count(&mut ipvs), 1);
    });
}

#[test]
fn what_is_not_owned_is_left_as_it_is() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        host.ipvsadm("-A -t 192.0.2.1:90 -s sh");
        host.ipvsadm("-a -t 192.0.2.1:90 -r 10.0.0.9:80 -m");
        let desired = Table::new([server(80, [destination(1)]), server(90, [])]).unwrap();
        let mine = BTreeSet::from([id(80)]);
        let actual = ipvs.services().unwrap();
        let first = plan(&desired, &actual, |service| mine.contains(&service));
        assert_eq!(first.foreign(), [id(90)]);
        ipvs.apply(&first).unwrap();
        let empty = Table::default();
        let actual = ipvs.services().unwrap();
        ipvs.apply(&plan(&empty, &actual, |service| mine.contains(&service))).unwrap();
        assert_eq!(host.listing(), ["TCP 192.0.2.1:90 sh", "-> 10.0.0.9:80 Masq 1 0 0"]);
    });
}

#[test]
fn what_others_did_between_reading_and_applying_is_healed() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        let before = Table::new([server(80, [destination(1), destination(2)]), server(82, [])]).unwrap();
        let mut changed = server(80, [destination(1).with_weight(7), destination(3)]);
        changed.service.scheduler = Scheduler::WEIGHTED_ROUND_ROBIN;
        let after = Table::new([changed, server(81, [destination(1)])]).unwrap();
        let races: [&[&str]; 6] = [
            &["-C"],
            &["-D -t 192.0.2.1:80"],
            &["-d -t 192.0.2.1:80 -r 10.0.0.1:80", "-d -t 192.0.2.1:80 -r 10.0.0.2:80"],
            &["-A -t 192.0.2.1:81 -s sh", "-a -t 192.0.2.1:81 -r 10.0.0.1:80 -m -w 9"],
            &["-a -t 192.0.2.1:80 -r 10.0.0.3:80 -m -w 9"],
            &["-D -t 192.0.2.1:82"],
        ];
        for race in races {
            ipvs.flush().unwrap();
            settle(&mut ipvs, &before);
            let actual = ipvs.services().unwrap();
            let plan = plan(&after, &actual, |_| true);
            for line in race {
                host.ipvsadm(line);
            }
            let applied = ipvs.apply(&plan).unwrap();
            assert!(applied.healed > 0, "{race:?}: {applied:?}");
            assert_eq!(applied.operations, plan.operations().len());
            assert_eq!(settle(&mut ipvs, &after), Vec::<String>::new(), "{race:?}");
        }
    });
}

#[test]
fn an_apply_that_was_interrupted_is_ended_by_the_next() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        let desired = everything();
        let whole = plan(&desired, &[], |_| true).operations().len();
        for done in 0..whole {
            ipvs.flush().unwrap();
            for operation in plan(&desired, &[], |_| true).operations().iter().take(done) {
                match operation {
                    Operation::AddService(service) => ipvs.add_service(service).unwrap(),
                    Operation::AddDestination { service, destination } => {
                        ipvs.add_destination(*service, destination).unwrap();
                    }
                    other => panic!("{other} on an empty table"),
                }
            }
            assert_eq!(settle(&mut ipvs, &desired).len(), whole - done);
            assert_eq!(settle(&mut ipvs, &desired), Vec::<String>::new());
        }
    });
}

#[test]
fn a_service_that_cannot_be_had_is_reported_and_the_others_are_done() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        settle(&mut ipvs, &Table::new([server(80, [destination(1)])]).unwrap());
        let mut impossible = server(80, [destination(2)]);
        impossible.service.scheduler = Scheduler::new("abc").unwrap();
        let desired = Table::new([impossible, server(81, [destination(1)])]).unwrap();
        let actual = ipvs.services().unwrap();
        let error = ipvs.apply(&plan(&desired, &actual, |_| true)).unwrap_err();
        assert!(matches!(error.failures[0].error, Error::SchedulerMissing { .. }), "{error}");
        assert_eq!(error.failures.len(), 1);
        let expected =
            ["TCP 192.0.2.1:80 rr", "-> 10.0.0.1:80 Masq 1 0 0", "TCP 192.0.2.1:81 rr", "-> 10.0.0.1:80 Masq 1 0 0"];
        let mut listing = host.listing();
        if listing[0].contains(":81") {
            listing.rotate_left(2);
        }
        assert_eq!(listing, expected);
    });
}

#[test]
fn a_drained_destination_ends_its_connections_first() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        let _server = host.serve(80, "");
        let service = ServiceId::tcp(IpAddr::from([127, 0, 0, 9]), 80);
        let own = |last| Destination::new(DestinationId::new(IpAddr::from([127, 0, 0, last]), 80));
        let of = |hosts: &[u8]| {
            let destinations = hosts.iter().map(|&last| own(last).with_forwarding(Forwarding::Local)).collect();
            Table::new([VirtualServer { service: Service::new(service), destinations }]).unwrap()
        };
        settle(&mut ipvs, &of(&[1]));
        // Closed at once by the server: kept by IPVS for some time as inactive.
        host.request("127.0.0.9:80").unwrap();
        let mut drains = Drains::new(Duration::from_secs(600));
        let desired = of(&[2]);
        let mut turn = |ipvs: &mut Ipvs, seconds: u64| {
            let actual = ipvs.services().unwrap();
            let plan = drains.plan(Instant::from_millis(seconds * 1000), &desired, &actual, |_| true);
            ipvs.apply(&plan).unwrap();
            plan.operations().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            turn(&mut ipvs, 0),
            [
                "add destination 127.0.0.2:80 of TCP 127.0.0.9:80 (weight 1)",
                "drain destination 127.0.0.1:80 of TCP 127.0.0.9:80"
            ]
        );
        assert_eq!(turn(&mut ipvs, 1), Vec::<String>::new());
        let old = ipvs.destinations(service).unwrap().into_iter().find(|status| status.destination.id == own(1).id);
        assert_eq!(old.map(|status| (status.destination.weight, status.is_idle())), Some((0, false)));
        assert_eq!(turn(&mut ipvs, 600), ["remove destination 127.0.0.1:80 of TCP 127.0.0.9:80"]);
        assert_eq!(turn(&mut ipvs, 601), Vec::<String>::new());
        assert_eq!(ipvs.destinations(service).unwrap().len(), 1);
    });
}
