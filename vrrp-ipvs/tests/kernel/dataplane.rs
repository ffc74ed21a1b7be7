//! Connections from a client through the virtual address to real servers, in namespaces: who gets how many.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, TcpStream};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use vrrp_ipvs::{
    Destination, DestinationId, Drains, Family, Forwarding, Ipvs, Persistence, Scheduler, Service, ServiceId,
    SyncDaemon, SyncState, Table, Tunnel, TunnelChecksum, VirtualServer, plan, vrrp_core,
};

use crate::guest::on_ipvs;
use crate::net::{Host, Server, cable, run, wait_for};

/// A client and two real servers, each on a cable of its own to the director: for masquerading.
pub(crate) struct Routed {
    pub(crate) client: Host,
    pub(crate) director: Host,
    pub(crate) real: [Host; 2],
    _servers: [Server; 2],
}

impl Routed {
    pub(crate) fn new() -> Self {
        let (client, director, real) = (Host::new(), Host::new(), [Host::new(), Host::new()]);
        cable(
            "outside",
            (&client, "10.0.0.1/24 fd00::1/64"),
            (&director, "10.0.0.254/24 10.0.0.100/32 fd00::fe/64 fd00::100/128"),
        );
        for (number, host) in (1..).zip(&real) {
            let (near, far) =
                (format!("10.{number}.0.254/24 fd0{number}::fe/64"), format!("10.{number}.0.1/24 fd0{number}::1/64"));
            cable(&format!("inside{number}"), (&director, &near), (host, &far));
            host.ip(&format!("route add default via 10.{number}.0.254"));
            host.ip(&format!("-6 route add default via fd0{number}::fe"));
        }
        director.sysctl("ipv4/ip_forward", "1");
        director.sysctl("ipv6/conf/all/forwarding", "1");
        let servers = [real[0].serve(8080, "one"), real[1].serve(8080, "two")];
        Self { client, director, real, _servers: servers }
    }
}

/// A client, a director and two real servers on one network, where real servers answer the client themselves.
pub(crate) struct Flat {
    _switch: Host,
    pub(crate) client: Host,
    pub(crate) director: Host,
    pub(crate) real: [Host; 2],
    _servers: [Server; 2],
}

impl Flat {
    pub(crate) fn new() -> Self {
        let switch = Host::new();
        switch.ip("link add br0 type bridge");
        switch.ip("link set br0 up");
        let (client, director, real) = (Host::new(), Host::new(), [Host::new(), Host::new()]);
        let hosts = [
            (&client, "10.0.0.1/24 fd00::1/64"),
            (&director, "10.0.0.254/24 10.0.0.100/32 fd00::fe/64 fd00::100/128"),
            (&real[0], "10.0.0.11/24 fd00::11/64"),
            (&real[1], "10.0.0.12/24 fd00::12/64"),
        ];
        for (number, (host, addresses)) in hosts.into_iter().enumerate() {
            let name = format!("port{number}");
            cable(&name, (host, addresses), (&switch, ""));
            switch.ip(&format!("link set {name} master br0"));
        }
        let servers = [real[0].serve(80, "one"), real[1].serve(80, "two")];
        Self { _switch: switch, client, director, real, _servers: servers }
    }

    /// Gives the real servers the virtual addresses, which they answer neither ARP nor neighbour discovery for, on this
    /// interface.
    pub(crate) fn hold_the_address(&self, interface: &str) {
        for host in &self.real {
            for scope in ["all", "default"] {
                host.sysctl(&format!("ipv4/conf/{scope}/arp_ignore"), "1");
                host.sysctl(&format!("ipv4/conf/{scope}/arp_announce"), "2");
                host.sysctl(&format!("ipv4/conf/{scope}/rp_filter"), "0");
            }
            host.ip(&format!("address add 10.0.0.100/32 dev {interface}"));
            host.ip(&format!("address add fd00::100/128 dev {interface} nodad"));
            host.ip(&format!("link set {interface} up"));
            host.sysctl(&format!("ipv4/conf/{interface}/rp_filter"), "0");
        }
    }

    fn balance(&self, forwarding: Forwarding) -> Ipvs {
        let mut ipvs = self.director.ipvs();
        let reached = |text: &str| real(text, 80).with_forwarding(forwarding);
        let service = Service::new(ServiceId::tcp(address("10.0.0.100"), 80));
        set(&mut ipvs, service, [reached("10.0.0.11"), reached("10.0.0.12")]);
        ipvs
    }
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn real(text: &str, port: u16) -> Destination {
    Destination::new(DestinationId::new(address(text), port))
}

/// Makes this the only service of the table.
pub(crate) fn set(ipvs: &mut Ipvs, service: Service, destinations: impl IntoIterator<Item = Destination>) {
    let desired = Table::new([VirtualServer { service, destinations: destinations.into_iter().collect() }]).unwrap();
    let actual = ipvs.services().unwrap();
    ipvs.apply(&plan(&desired, &actual, |_| true)).unwrap();
}

pub(crate) fn counts(one: usize, two: usize) -> BTreeMap<String, usize> {
    let all = [("one".to_owned(), one), ("two".to_owned(), two)];
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

pub(crate) fn web(port: u16) -> Service {
    Service::new(ServiceId::tcp(address("10.0.0.100"), port))
}

#[test]
fn masquerading_takes_turns_by_weight() {
    on_ipvs(|| {
        let net = Routed::new();
        let mut ipvs = net.director.ipvs();
        let both = |one, two| [real("10.1.0.1", 8080).with_weight(one), real("10.2.0.1", 8080).with_weight(two)];
        set(&mut ipvs, web(80), both(1, 1));
        assert_eq!(net.client.requests("10.0.0.100:80", 10), counts(5, 5));
        set(&mut ipvs, web(80).with_scheduler(Scheduler::WEIGHTED_ROUND_ROBIN), both(1, 3));
        assert_eq!(net.client.requests("10.0.0.100:80", 8), counts(2, 6));
        // Weight 0 takes no new ones.
        set(&mut ipvs, web(80).with_scheduler(Scheduler::WEIGHTED_ROUND_ROBIN), both(0, 3));
        assert_eq!(net.client.requests("10.0.0.100:80", 4), counts(0, 4));
        set(&mut ipvs, web(80), both(1, 0));
        assert_eq!(net.client.requests("10.0.0.100:80", 4), counts(4, 0));
        // What it counted shows within the kernel's two seconds, and ipvsadm says the same.
        let total = wait_for(Duration::from_secs(10), || {
            let statistics = ipvs.service(web(80).id).unwrap().unwrap().statistics;
            (statistics.connections == 26).then_some(statistics)
        });
        let total = total.expect("26 connections were made");
        assert!(total.incoming_packets > 26 && total.outgoing_octets > total.outgoing_packets, "{total:?}");
        let text = net.director.ipvsadm("-Ln --stats --exact");
        let line = text.lines().find(|line| line.starts_with("TCP")).unwrap();
        let shown: Vec<u64> = line.split_whitespace().skip(2).map(|number| number.parse().unwrap()).collect();
        let ours = [
            total.connections,
            total.incoming_packets,
            total.outgoing_packets,
            total.incoming_octets,
            total.outgoing_octets,
        ];
        assert_eq!(ours[..], shown);
        ipvs.zero(web(80).id).unwrap();
        assert_eq!(ipvs.service(web(80).id).unwrap().unwrap().statistics.connections, 0);
        net.client.request("10.0.0.100:80").unwrap();
        wait_for(Duration::from_secs(10), || {
            (ipvs.service(web(80).id).unwrap().unwrap().statistics.connections == 1).then_some(())
        })
        .expect("one connection was made");
        ipvs.zero_all().unwrap();
        assert_eq!(ipvs.service(web(80).id).unwrap().unwrap().statistics.connections, 0);
    });
}

#[test]
fn masquerading_balances_ipv6() {
    on_ipvs(|| {
        let net = Routed::new();
        let mut ipvs = net.director.ipvs();
        let service = Service::new(ServiceId::tcp(address("fd00::100"), 80));
        set(&mut ipvs, service, [real("fd01::1", 8080), real("fd02::1", 8080)]);
        assert_eq!(net.client.requests("[fd00::100]:80", 6), counts(3, 3));
    });
}

#[test]
fn direct_routing_takes_turns() {
    on_ipvs(|| {
        let net = Flat::new();
        net.hold_the_address("lo");
        let _ipvs = net.balance(Forwarding::Direct);
        assert_eq!(net.client.requests("10.0.0.100:80", 6), counts(3, 3));
    });
}

#[test]
fn every_kind_of_tunnel_takes_turns() {
    on_ipvs(|| {
        for module in ["ipip", "ip_gre", "fou"] {
            run("modprobe", module);
        }
        let port = NonZeroU16::new(6080).unwrap();
        let kinds = [
            (Tunnel::Ipip, "tunl0"),
            (Tunnel::Gue { port, checksum: TunnelChecksum::None }, "tunl0"),
            (Tunnel::Gue { port, checksum: TunnelChecksum::Full }, "tunl0"),
            (Tunnel::Gue { port, checksum: TunnelChecksum::Remote }, "tunl0"),
            (Tunnel::Gre { checksum: false }, "gre0"),
            (Tunnel::Gre { checksum: true }, "checked"),
        ];
        for (tunnel, interface) in kinds {
            let net = Flat::new();
            if interface == "checked" {
                // The device that every namespace has drops what carries a checksum.
                for (host, own) in net.real.iter().zip(["10.0.0.11", "10.0.0.12"]) {
                    host.ip(&format!("link add checked type gre local {own} csum"));
                }
            }
            net.hold_the_address(interface);
            if matches!(tunnel, Tunnel::Gue { .. }) {
                for host in &net.real {
                    host.ip("fou add port 6080 gue");
                }
            }
            let _ipvs = net.balance(Forwarding::Tunnel(tunnel));
            assert_eq!(net.client.requests("10.0.0.100:80", 6), counts(3, 3), "{tunnel:?}");
        }
    });
}

#[test]
fn a_mark_is_balanced() {
    on_ipvs(|| {
        let net = Routed::new();
        let mut ipvs = net.director.ipvs();
        // Whatever comes to the address is marked. The guest's nf_tables has no family that it could be done with.
        let rule = "-t mangle -A PREROUTING -d 10.0.0.100 -p tcp --dport 1000:2000 -j MARK --set-mark 7";
        let mut marking = std::process::Command::new("iptables-legacy");
        match net.director.inside(|| marking.args(rule.split(' ')).status()) {
            Ok(status) => assert!(status.success(), "{status}"),
            Err(_) => return crate::guest::skip("iptables-legacy is missing: apt-get install iptables"),
        }
        let mark = ServiceId::fwmark(Family::V4, NonZeroU32::new(7).unwrap());
        set(&mut ipvs, Service::new(mark), [real("10.1.0.1", 8080), real("10.2.0.1", 8080)]);
        assert_eq!(net.client.requests("10.0.0.100:1234", 4), counts(2, 2));
        assert_eq!(net.client.requests("10.0.0.100:1999", 4), counts(2, 2));
    });
}

#[test]
fn persistence_keeps_a_client_with_its_destination() {
    on_ipvs(|| {
        let net = Routed::new();
        let mut ipvs = net.director.ipvs();
        let lasting = Persistence { timeout_seconds: 300, granularity: Default::default() };
        set(&mut ipvs, web(80).with_persistence(lasting), [real("10.1.0.1", 8080), real("10.2.0.1", 8080)]);
        let answers = net.client.requests("10.0.0.100:80", 6);
        assert_eq!(answers.len(), 1, "{answers:?}");
        let kept: Vec<u32> =
            ipvs.destinations(web(80).id).unwrap().iter().map(|one| one.persistent_connections).collect();
        assert_eq!(kept.iter().sum::<u32>(), 1, "{kept:?}");
    });
}

#[test]
fn a_connection_outlives_the_draining_of_its_destination() {
    on_ipvs(|| {
        let net = Routed::new();
        let mut ipvs = net.director.ipvs();
        // It answers when the test says so.
        let listener = net.real[0].inside(|| std::net::TcpListener::bind("0.0.0.0:9000").unwrap());
        set(&mut ipvs, web(80), [real("10.1.0.1", 9000)]);
        let mut connection = net.client.inside(|| TcpStream::connect("10.0.0.100:80").unwrap());
        let (mut answering, _) = listener.accept().unwrap();
        let status = ipvs.destinations(web(80).id).unwrap()[0];
        assert_eq!((status.active_connections, status.is_idle()), (1, false));

        let replaced = [VirtualServer { service: web(80), destinations: vec![real("10.2.0.1", 8080)] }];
        let desired = Table::new(replaced).unwrap();
        let mut drains = Drains::new(Duration::from_secs(60));
        let mut turn = |ipvs: &mut Ipvs, seconds: u64| {
            let actual = ipvs.services().unwrap();
            let now = vrrp_core::Instant::from_millis(seconds * 1000);
            ipvs.apply(&drains.plan(now, &desired, &actual, |_| true)).unwrap();
            drains.is_empty()
        };
        assert!(!turn(&mut ipvs, 0));
        // New ones go to the other, the old one goes on.
        assert_eq!(net.client.requests("10.0.0.100:80", 3), counts(0, 3));
        assert!(!turn(&mut ipvs, 1));
        std::io::Write::write_all(&mut answering, b"still here").unwrap();
        drop(answering);
        let mut text = String::new();
        connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        connection.read_to_string(&mut text).unwrap();
        assert_eq!(text, "still here");
        drop(connection);
        assert!(turn(&mut ipvs, 60));
        assert_eq!(ipvs.destinations(web(80).id).unwrap().len(), 1);
    });
}

#[test]
fn a_backup_director_learns_the_connections_of_the_master() {
    on_ipvs(|| {
        let net = Routed::new();
        let standby = Host::new();
        cable("sync", (&net.director, "10.9.0.1/24"), (&standby, "10.9.0.2/24"));
        let (mut master, mut backup) = (net.director.ipvs(), standby.ipvs());
        for (ipvs, state) in [(&mut backup, SyncState::Backup), (&mut master, SyncState::Master)] {
            set(ipvs, web(80), [real("10.1.0.1", 9000)]);
            ipvs.start_daemon(&SyncDaemon::new(state, "sync", 5)).unwrap();
        }
        let listener = net.real[0].inside(|| std::net::TcpListener::bind("0.0.0.0:9000").unwrap());
        let connection = net.client.inside(|| TcpStream::connect("10.0.0.100:80").unwrap());
        let (mut answering, _) = listener.accept().unwrap();
        // It is told of connections with a few packets.
        let learned = wait_for(Duration::from_secs(30), || {
            std::io::Write::write_all(&mut answering, b"x").unwrap();
            let status = backup.destinations(web(80).id).unwrap()[0];
            (status.active_connections + status.inactive_connections > 0).then_some(())
        });
        assert!(learned.is_some(), "{}", standby.ipvsadm("-Ln --daemon"));
        for (ipvs, state) in [(&mut backup, SyncState::Backup), (&mut master, SyncState::Master)] {
            ipvs.stop_daemon(state).unwrap();
        }
        drop((connection, answering));
    });
}
