//! Every command and attribute: what is written is read back the same, and shown so by `ipvsadm`.

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};

use vrrp_ipvs::{
    Destination, DestinationId, Error, Family, Forwarding, Granularity, Ipvs, Persistence, PersistenceEngine,
    Scheduler, SchedulerFlags, Service, ServiceId, SyncDaemon, SyncState, Tunnel, TunnelChecksum,
};

use crate::guest::on_ipvs;
use crate::net::Host;

const SCHEDULERS: [Scheduler; 14] = [
    Scheduler::ROUND_ROBIN,
    Scheduler::WEIGHTED_ROUND_ROBIN,
    Scheduler::LEAST_CONNECTION,
    Scheduler::WEIGHTED_LEAST_CONNECTION,
    Scheduler::LOCALITY_BASED_LEAST_CONNECTION,
    Scheduler::LOCALITY_BASED_LEAST_CONNECTION_REPLICATED,
    Scheduler::DESTINATION_HASH,
    Scheduler::SOURCE_HASH,
    Scheduler::MAGLEV_HASH,
    Scheduler::SHORTEST_EXPECTED_DELAY,
    Scheduler::NEVER_QUEUE,
    Scheduler::WEIGHTED_FAILOVER,
    Scheduler::WEIGHTED_OVERFLOW,
    Scheduler::WEIGHTED_RANDOM_TWOS,
];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn tcp(port: u16) -> ServiceId {
    ServiceId::tcp(address("192.0.2.1"), port)
}

fn at(text: &str) -> Destination {
    Destination::new(text.parse::<std::net::SocketAddr>().unwrap().into())
}

/// The services of the table, sorted by id, without destinations.
fn services(ipvs: &mut Ipvs) -> Vec<Service> {
    let mut services: Vec<_> = ipvs.services().unwrap().into_iter().map(|status| status.service).collect();
    services.sort_by_key(|service| service.id);
    services
}

fn destinations(ipvs: &mut Ipvs, service: ServiceId) -> Vec<Destination> {
    let mut read: Vec<_> = ipvs.destinations(service).unwrap().into_iter().map(|status| status.destination).collect();
    read.sort_by_key(|destination| destination.id);
    read
}

/// Lines of text, in order.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Version of the running kernel: (6, 1).
fn release() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn every_scheduler_is_set_by_its_name() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        for scheduler in SCHEDULERS {
            let service = Service::new(tcp(80)).with_scheduler(scheduler.clone());
            match ipvs.add_service(&service) {
                Err(Error::SchedulerMissing { .. }) if scheduler.name() == "twos" => {
                    assert!(release() < (6, 12), "this kernel should have it");
                    continue;
                }
                other => other.unwrap(),
            }
            assert_eq!(ipvs.service(tcp(80)).unwrap().unwrap().service, service);
            assert_eq!(host.listing(), [format!("TCP 192.0.2.1:80 {scheduler}")]);
            ipvs.remove_service(tcp(80)).unwrap();
            assert_eq!(ipvs.service(tcp(80)).unwrap(), None);
        }
    });
}

#[test]
fn services_of_every_kind_are_read_back() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        let mark = |mark| NonZeroU32::new(mark).unwrap();
        let kinds = [
            (tcp(80), "TCP 192.0.2.1:80 rr"),
            (tcp(0), "TCP 192.0.2.1:0 rr"),
            (tcp(65535), "TCP 192.0.2.1:65535 rr"),
            // 0x0102 and 0x0201: a port in the wrong byte order is another service.
            (tcp(258), "TCP 192.0.2.1:258 rr"),
            (tcp(513), "TCP 192.0.2.1:513 rr"),
            (ServiceId::udp(address("192.0.2.1"), 53), "UDP 192.0.2.1:53 rr"),
            (ServiceId::sctp(address("192.0.2.1"), 9), "SCTP 192.0.2.1:9 rr"),
            (ServiceId::tcp(address("2001:db8::1"), 80), "TCP [2001:db8::1]:80 rr"),
            (ServiceId::udp(address("2001:db8::1"), 53), "UDP [2001:db8::1]:53 rr"),
            (ServiceId::sctp(address("2001:db8::1"), 9), "SCTP [2001:db8::1]:9 rr"),
            (ServiceId::fwmark(Family::V4, mark(1)), "FWM 1 rr"),
            // ipvsadm shows marks as signed numbers.
            (ServiceId::fwmark(Family::V4, mark(u32::MAX)), "FWM -1 rr"),
            (ServiceId::fwmark(Family::V6, mark(7)), "FWM 7 IPv6 rr"),
        ];
        let mut expected: Vec<_> = kinds.iter().map(|(id, _)| Service::new(*id)).collect();
        expected.sort_by_key(|service| service.id);
        for service in &expected {
            ipvs.add_service(service).unwrap();
            assert_eq!(ipvs.service(service.id).unwrap().unwrap().service, *service);
        }
        assert_eq!(services(&mut ipvs), expected);
        let lines = kinds.iter().map(|(_, line)| (*line).to_owned()).collect();
        assert_eq!(sorted(host.listing()), sorted(lines));
        for (id, _) in kinds {
            ipvs.remove_service(id).unwrap();
        }
        assert_eq!(host.listing(), Vec::<String>::new());
    });
}

#[test]
fn every_setting_of_a_service_is_changed_in_place_and_read_back() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        let v6 = ServiceId::udp(address("2001:db8::1"), 5060);
        let v4 = ServiceId::udp(address("192.0.2.1"), 5060);
        let sh = |id| Service::new(id).with_scheduler(Scheduler::SOURCE_HASH);
        let lasting =
            |id, timeout_seconds, granularity| sh(id).with_persistence(Persistence { timeout_seconds, granularity });
        let flagged = |scheduler_flags| Service { scheduler_flags, ..sh(v4) };
        let third = SchedulerFlags { flag_3: true, ..SchedulerFlags::default() };
        let every_flag = SchedulerFlags::HASH_FALLBACK.union(SchedulerFlags::HASH_PORT).union(third);
        let steps = [
            (sh(v4), "UDP 192.0.2.1:5060 sh"),
            (lasting(v4, 300, Granularity::Host), "UDP 192.0.2.1:5060 sh persistent 300"),
            (lasting(v4, 1, Granularity::Prefix(24)), "UDP 192.0.2.1:5060 sh persistent 1 mask 255.255.255.0"),
            (lasting(v4, 2_678_400, Granularity::Prefix(1)), "UDP 192.0.2.1:5060 sh persistent 2678400 mask 128.0.0.0"),
            (lasting(v4, 60, Granularity::Prefix(0)), "UDP 192.0.2.1:5060 sh persistent 60 mask 0.0.0.0"),
            (
                lasting(v4, 60, Granularity::Netmask([255, 0, 255, 0].into())),
                "UDP 192.0.2.1:5060 sh persistent 60 mask 255.0.255.0",
            ),
            (
                Service { engine: Some(PersistenceEngine::SIP), ..lasting(v4, 60, Granularity::Host) },
                "UDP 192.0.2.1:5060 sh persistent 60 pe sip",
            ),
            (lasting(v4, 60, Granularity::Host), "UDP 192.0.2.1:5060 sh persistent 60"),
            (Service { one_packet: true, ..sh(v4) }, "UDP 192.0.2.1:5060 sh ops"),
            (flagged(SchedulerFlags::HASH_FALLBACK), "UDP 192.0.2.1:5060 sh (sh-fallback)"),
            (flagged(SchedulerFlags::HASH_PORT), "UDP 192.0.2.1:5060 sh (sh-port)"),
            (
                Service { scheduler: Scheduler::ROUND_ROBIN, ..flagged(every_flag) },
                "UDP 192.0.2.1:5060 rr (flag-1,flag-2,flag-3)",
            ),
            (Service { scheduler: Scheduler::ROUND_ROBIN, ..flagged(third) }, "UDP 192.0.2.1:5060 rr (flag-3)"),
            (flagged(SchedulerFlags::default()), "UDP 192.0.2.1:5060 sh"),
            (Service::new(v4).with_scheduler(Scheduler::NEVER_QUEUE), "UDP 192.0.2.1:5060 nq"),
            (sh(v6), "UDP [2001:db8::1]:5060 sh"),
            (lasting(v6, 77, Granularity::Prefix(64)), "UDP [2001:db8::1]:5060 sh persistent 77 mask 64"),
            (lasting(v6, 77, Granularity::Prefix(1)), "UDP [2001:db8::1]:5060 sh persistent 77 mask 1"),
            (lasting(v6, 77, Granularity::Host), "UDP [2001:db8::1]:5060 sh persistent 77"),
            (sh(v6), "UDP [2001:db8::1]:5060 sh"),
        ];
        ipvs.add_service(&Service::new(v4)).unwrap();
        ipvs.add_service(&Service::new(v6)).unwrap();
        for (service, line) in &steps {
            ipvs.set_service(service).unwrap();
            assert_eq!(ipvs.service(service.id).unwrap().unwrap().service, *service);
            assert!(host.listing().iter().any(|shown| shown == line), "{line:?} is not in {:?}", host.listing());
        }
        // The same when they are added so.
        for (service, line) in &steps {
            ipvs.remove_service(service.id).unwrap();
            ipvs.add_service(service).unwrap();
            assert_eq!(ipvs.service(service.id).unwrap().unwrap().service, *service);
            assert!(host.listing().iter().any(|shown| shown == line), "{line:?} is not in {:?}", host.listing());
        }
    });
}

#[test]
fn destinations_of_every_kind_are_changed_in_place_and_read_back() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        ipvs.add_service(&Service::new(tcp(80))).unwrap();
        let gue = |port, checksum| Tunnel::Gue { port: NonZeroU16::new(port).unwrap(), checksum };
        let kinds = [
            (Forwarding::Masquerade, "Masq n/a"),
            (Forwarding::Direct, "Route n/a"),
            (Forwarding::Local, "Local n/a"),
            // ipvsadm has no word for it.
            (Forwarding::Bypass, "(null) n/a"),
            (Forwarding::Tunnel(Tunnel::Ipip), "Tunnel ipip"),
            (Forwarding::Tunnel(gue(6080, TunnelChecksum::None)), "Tunnel gue:6080:-c"),
            (Forwarding::Tunnel(gue(258, TunnelChecksum::Full)), "Tunnel gue:258:+c"),
            (Forwarding::Tunnel(gue(65535, TunnelChecksum::Remote)), "Tunnel gue:65535:r+c"),
            (Forwarding::Tunnel(Tunnel::Gre { checksum: false }), "Tunnel gre:-c"),
            (Forwarding::Tunnel(Tunnel::Gre { checksum: true }), "Tunnel gre:+c"),
        ];
        let shown = |host: &Host| {
            let text = host.ipvsadm("-Ln --tun-info");
            let lines = text.lines().filter(|line| line.starts_with("  -> 10."));
            lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        // One destination that changes, and one of each kind that is added so.
        let mut one = at("10.0.0.1:258");
        ipvs.add_destination(tcp(80), &one).unwrap();
        for (weight, (forwarding, text)) in (0..).zip(kinds) {
            one = one.with_forwarding(forwarding).with_weight(weight);
            ipvs.set_destination(tcp(80), &one).unwrap();
            assert_eq!(destinations(&mut ipvs, tcp(80)), [one]);
            assert_eq!(shown(&host), [format!("-> 10.0.0.1:258 {text} {weight} 0 0")]);
            let id = DestinationId::new(address("10.0.0.2"), 513);
            let added = Destination::new(id).with_forwarding(forwarding).with_weight(2_147_483_647);
            ipvs.add_destination(tcp(80), &added).unwrap();
            assert_eq!(destinations(&mut ipvs, tcp(80)), [one, added]);
            assert!(shown(&host).contains(&format!("-> 10.0.0.2:513 {text} 2147483647 0 0")), "{:?}", shown(&host));
            ipvs.remove_destination(tcp(80), id).unwrap();
        }
        ipvs.remove_destination(tcp(80), one.id).unwrap();
        assert_eq!(destinations(&mut ipvs, tcp(80)), []);
    });
}

#[test]
fn thresholds_are_read_back() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        ipvs.add_service(&Service::new(tcp(80))).unwrap();
        let mut limited = at("10.0.0.1:80");
        ipvs.add_destination(tcp(80), &limited).unwrap();
        for (upper, lower) in [(9, 4), (9, 9), (u32::MAX, 1), (3, 0), (0, 0)] {
            (limited.upper_threshold, limited.lower_threshold) = (upper, lower);
            ipvs.set_destination(tcp(80), &limited).unwrap();
            assert_eq!(destinations(&mut ipvs, tcp(80)), [limited]);
            let text = host.ipvsadm("-Ln --thresholds");
            let line = text.lines().last().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(line, format!("-> 10.0.0.1:80 {upper} {lower} 0 0"));
        }
    });
}

#[test]
fn a_tunnel_reaches_the_other_family_and_nothing_else_does() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        let v6 = ServiceId::tcp(address("2001:db8::1"), 80);
        for (service, other) in [(tcp(80), at("[2001:db8::9]:80")), (v6, at("10.0.0.9:80"))] {
            ipvs.add_service(&Service::new(service)).unwrap();
            let tunnel = other.with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
            ipvs.add_destination(service, &tunnel).unwrap();
            assert_eq!(destinations(&mut ipvs, service), [tunnel]);
            assert!(host.listing().contains(&format!("-> {} Tunnel 1 0 0", other.id)), "{:?}", host.listing());
            let error = ipvs.add_destination(service, &other).unwrap_err();
            assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        }
    });
}

#[test]
fn what_ipvsadm_set_up_is_read() {
    on_ipvs(|| {
        let host = Host::new();
        for line in [
            "-A -t 192.0.2.1:80 -s wrr",
            "-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 3 -x 9 -y 4",
            "-a -t 192.0.2.1:80 -r 10.0.0.3 -i --tun-type gue --tun-port 6080 --tun-csum -w 0",
            "-a -t 192.0.2.1:80 -r [2001:db8::9]:80 -i --tun-type gre",
            "-A -u 192.0.2.1:5060 -s sh -p 360 -M 255.255.255.0 -o --pe sip",
            "-A -t [2001:db8::1]:80 -s mh -b mh-fallback -p 77 -M 64",
            "-A -f 8 -6 -s lc",
            "-a -f 8 -6 -r [2001:db8::2]:0 -g",
        ] {
            host.ipvsadm(line);
        }
        let mut ipvs = host.ipvs();
        let web = Service::new(tcp(80)).with_scheduler(Scheduler::WEIGHTED_ROUND_ROBIN);
        let mut limited = at("10.0.0.1:8080").with_weight(3);
        (limited.upper_threshold, limited.lower_threshold) = (9, 4);
        let gue = Tunnel::Gue { port: NonZeroU16::new(6080).unwrap(), checksum: TunnelChecksum::Full };
        let gre = Tunnel::Gre { checksum: false };
        let mut sip = Service::new(ServiceId::udp(address("192.0.2.1"), 5060)).with_scheduler(Scheduler::SOURCE_HASH);
        sip.persistence = Some(Persistence { timeout_seconds: 360, granularity: Granularity::Prefix(24) });
        (sip.engine, sip.one_packet) = (Some(PersistenceEngine::SIP), true);
        let mut v6 = Service::new(ServiceId::tcp(address("2001:db8::1"), 80)).with_scheduler(Scheduler::MAGLEV_HASH);
        v6.persistence = Some(Persistence { timeout_seconds: 77, granularity: Granularity::Prefix(64) });
        v6.scheduler_flags = SchedulerFlags::HASH_FALLBACK;
        let mark = Service::new(ServiceId::fwmark(Family::V6, NonZeroU32::new(8).unwrap()))
            .with_scheduler(Scheduler::LEAST_CONNECTION);
        let mut expected = [web.clone(), sip, v6, mark.clone()];
        expected.sort_by_key(|service| service.id);
        assert_eq!(services(&mut ipvs), expected);
        assert_eq!(
            destinations(&mut ipvs, web.id),
            [
                limited,
                at("10.0.0.3:80").with_forwarding(Forwarding::Tunnel(gue)).with_weight(0),
                at("[2001:db8::9]:80").with_forwarding(Forwarding::Tunnel(gre)),
            ]
        );
        assert_eq!(destinations(&mut ipvs, mark.id), [at("[2001:db8::2]:0").with_forwarding(Forwarding::Direct)]);
    });
}

#[test]
fn refusals_are_errors_of_their_own() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        let (web, one) = (Service::new(tcp(80)), at("10.0.0.1:80"));
        for result in [
            ipvs.set_service(&web),
            ipvs.remove_service(web.id),
            ipvs.zero(web.id),
            ipvs.add_destination(web.id, &one),
            ipvs.set_destination(web.id, &one),
            ipvs.remove_destination(web.id, one.id),
        ] {
            assert!(matches!(result, Err(Error::NoService { service }) if service == web.id), "{result:?}");
        }
        assert_eq!(ipvs.destinations(web.id).unwrap(), []);
        ipvs.add_service(&web).unwrap();
        let result = ipvs.add_service(&web);
        assert!(matches!(result, Err(Error::ServiceExists { service }) if service == web.id), "{result:?}");
        for result in [ipvs.set_destination(web.id, &one), ipvs.remove_destination(web.id, one.id)] {
            assert!(
                matches!(result, Err(Error::NoDestination { destination, .. }) if destination == one.id),
                "{result:?}"
            );
        }
        ipvs.add_destination(web.id, &one).unwrap();
        let result = ipvs.add_destination(web.id, &one);
        assert!(
            matches!(result, Err(Error::DestinationExists { destination, .. }) if destination == one.id),
            "{result:?}"
        );
        // A scheduler and a persistence engine that there are not: the service stays as it is.
        let abc = web.clone().with_scheduler(Scheduler::new("abc").unwrap());
        for result in [ipvs.set_service(&abc), ipvs.add_service(&Service { id: tcp(81), ..abc })] {
            assert!(matches!(&result, Err(Error::SchedulerMissing { engine: None, .. })), "{result:?}");
            assert!(result.unwrap_err().to_string().contains("modprobe ip_vs_abc"));
        }
        let engine = Some(PersistenceEngine::new("abc").unwrap());
        let result = ipvs.set_service(&Service { engine, ..web.clone() });
        assert!(result.unwrap_err().to_string().contains("modprobe -a ip_vs_rr ip_vs_pe_abc"));
        assert_eq!(services(&mut ipvs), [web]);
    });
}

#[test]
fn a_table_of_many_datagrams_is_read_whole() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        for port in 1..=300 {
            ipvs.add_service(&Service::new(tcp(port))).unwrap();
        }
        for port in 1..=500 {
            ipvs.add_destination(tcp(7), &Destination::new(DestinationId::new(address("10.0.0.1"), port))).unwrap();
        }
        assert_eq!(services(&mut ipvs), (1..=300).map(|port| Service::new(tcp(port))).collect::<Vec<_>>());
        let ports: Vec<_> = destinations(&mut ipvs, tcp(7)).iter().map(|destination| destination.id.port).collect();
        assert_eq!(ports, (1..=500).collect::<Vec<_>>());
        ipvs.flush().unwrap();
        assert_eq!(services(&mut ipvs), []);
    });
}

#[test]
fn sync_daemons_start_are_listed_and_stop() {
    on_ipvs(|| {
        let (host, other) = (Host::new(), Host::new());
        crate::net::cable("eth0", (&host, "10.9.0.1/24 fd09::1/64"), (&other, "10.9.0.2/24 fd09::2/64"));
        let mut ipvs = host.ipvs();
        assert_eq!(ipvs.daemons().unwrap(), []);
        let master = SyncDaemon::new(SyncState::Master, "eth0", 5);
        ipvs.start_daemon(&master).unwrap();
        let result = ipvs.start_daemon(&master);
        assert!(matches!(result, Err(Error::DaemonRuns(SyncState::Master))), "{result:?}");
        let mut backup = SyncDaemon::new(SyncState::Backup, "eth0", 255);
        backup.max_length = Some(1300);
        backup.group = Some(address("239.1.2.3"));
        (backup.port, backup.ttl) = (Some(258), Some(3));
        ipvs.start_daemon(&backup).unwrap();
        let running = ipvs.daemons().unwrap();
        // What was left to the kernel: 1500 octets of Ethernet less 20 of IP and 8 of UDP.
        let defaults = SyncDaemon {
            max_length: Some(1472),
            group: Some(address("224.0.0.81")),
            port: Some(8848),
            ttl: Some(1),
            ..master
        };
        assert_eq!(running, [defaults, backup]);
        let text = host.ipvsadm("-Ln --daemon");
        assert!(
            text.contains("master sync daemon (mcast=eth0, syncid=5, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"),
            "{text}"
        );
        assert!(
            text.contains("backup sync daemon (mcast=eth0, syncid=255, maxlen=1300, group=239.1.2.3, port=258, ttl=3)"),
            "{text}"
        );
        for state in [SyncState::Master, SyncState::Backup] {
            ipvs.stop_daemon(state).unwrap();
            let result = ipvs.stop_daemon(state);
            assert!(matches!(result, Err(Error::DaemonDoesNotRun(stopped)) if stopped == state), "{result:?}");
        }
        assert_eq!(ipvs.daemons().unwrap(), []);
        // Over IPv6, and on an interface that is not there.
        let mut v6 = SyncDaemon::new(SyncState::Master, "eth0", 1);
        v6.group = Some(address("ff02::81"));
        ipvs.start_daemon(&v6).unwrap();
        assert_eq!(ipvs.daemons().unwrap()[0].group, v6.group);
        ipvs.stop_daemon(SyncState::Master).unwrap();
        let error = ipvs.start_daemon(&SyncDaemon::new(SyncState::Master, "eth7", 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "start a synchronisation daemon of state Master on \"eth7\": No such device (os error 19)"
        );
    });
}
