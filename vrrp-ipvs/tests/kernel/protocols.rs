//! UDP and SCTP through the virtual address.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use vrrp_ipvs::{Forwarding, Protocol, Scheduler, Service, ServiceId, Tunnel, TunnelChecksum};

use crate::dataplane::{Flat, Routed, address, counts, real, set};
use crate::guest::on_ipvs;
use crate::net::{Host, run};

const PATIENCE: Duration = Duration::from_secs(5);

/// Answers every datagram that comes to `at` with `answer`, until the test is over.
fn serve_udp(host: &Host, at: &str, answer: &'static str) {
    let socket = host.inside(|| UdpSocket::bind(at).unwrap());
    std::thread::spawn(move || {
        let mut request = [0; 100];
        while let Ok((length, client)) = socket.recv_from(&mut request) {
            if &request[..length] == b"end" {
                return;
            }
            let _ = socket.send_to(answer.as_bytes(), client);
        }
    });
}

/// Ends what [`serve_udp`] began.
fn end_udp(host: &Host, at: &str) {
    host.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"end", at).unwrap());
}

/// How often each answer came to so many datagrams, each from a port of its own, or all from one.
fn ask_udp(host: &Host, server: &str, count: usize, one_port: bool) -> BTreeMap<String, usize> {
    host.inside(|| {
        let mut answers = BTreeMap::new();
        let open = || UdpSocket::bind("0.0.0.0:0").unwrap();
        let mut sockets = vec![open()];
        for _ in 0..count {
            // Those before stay open: their ports are not given again.
            if !one_port {
                sockets.push(open());
            }
            let socket = sockets.last().unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.send_to(b"who?", server).unwrap();
            let mut answer = [0; 100];
            // From the virtual address, not from the server that took it.
            let (length, from) = socket.recv_from(&mut answer).unwrap();
            assert_eq!(from.to_string(), server);
            *answers.entry(String::from_utf8_lossy(&answer[..length]).into_owned()).or_default() += 1;
        }
        answers
    })
}

fn udp() -> Service {
    Service::new(ServiceId::udp(address("10.0.0.100"), 53))
}

#[test]
fn udp_takes_turns_by_client_port() {
    on_ipvs(|| {
        let net = Routed::new();
        let mut ipvs = net.director.ipvs();
        let at = ["10.1.0.1:53", "10.2.0.1:53"];
        for ((host, at), answer) in net.real.iter().zip(at).zip(["one", "two"]) {
            serve_udp(host, at, answer);
        }
        let both = |one, two| [real("10.1.0.1", 53).with_weight(one), real("10.2.0.1", 53).with_weight(two)];
        set(&mut ipvs, udp(), both(1, 1));
        assert_eq!(ask_udp(&net.client, "10.0.0.100:53", 10, false), counts(5, 5));
        set(&mut ipvs, udp().with_scheduler(Scheduler::WEIGHTED_ROUND_ROBIN), both(1, 3));
        assert_eq!(ask_udp(&net.client, "10.0.0.100:53", 8, false), counts(2, 6));
        // All of one port are one connection, which keeps its server.
        set(&mut ipvs, udp(), both(1, 1));
        assert_eq!(ask_udp(&net.client, "10.0.0.100:53", 6, true).len(), 1);
        for (host, at) in net.real.iter().zip(at) {
            end_udp(host, at);
        }
    });
}

#[test]
fn udp_takes_turns_without_the_director_and_with_one_packet_by_datagram() {
    on_ipvs(|| {
        for module in ["ipip", "fou"] {
            run("modprobe", module);
        }
        let gue = Tunnel::Gue { port: NonZeroU16::new(6080).unwrap(), checksum: TunnelChecksum::Full };
        for (forwarding, interface) in [
            (Forwarding::Direct, "lo"),
            (Forwarding::Tunnel(Tunnel::Ipip), "tunl0"),
            (Forwarding::Tunnel(gue), "tunl0"),
        ] {
            let net = Flat::new();
            net.hold_the_address(interface);
            for (host, answer) in net.real.iter().zip(["one", "two"]) {
                if forwarding == Forwarding::Tunnel(gue) {
                    host.ip("fou add port 6080 gue");
                }
                serve_udp(host, "10.0.0.100:53", answer);
            }
            let mut ipvs = net.director.ipvs();
            let reached = |server| real(server, 53).with_forwarding(forwarding);
            set(&mut ipvs, udp(), [reached("10.0.0.11"), reached("10.0.0.12")]);
            assert_eq!(ask_udp(&net.client, "10.0.0.100:53", 6, false), counts(3, 3), "{forwarding:?}");
            // Every datagram is a connection of its own. Not by masquerading: the answers would come from the servers' own
            // addresses.
            let both = [reached("10.0.0.11"), reached("10.0.0.12")];
            set(&mut ipvs, Service { one_packet: true, ..udp() }, both);
            assert_eq!(ask_udp(&net.client, "10.0.0.100:53", 6, true), counts(3, 3), "{forwarding:?}");
            net.real.iter().for_each(|host| end_udp(host, "10.0.0.100:53"));
        }
    });
}

/// An SCTP socket of this one address: of several it would tell the other end, which no translation of addresses survives.
fn sctp(at: &str) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(socket2::Protocol::from(132))).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.bind(&at.parse::<SocketAddr>().unwrap().into()).unwrap();
    socket
}

/// Answers so many SCTP associations with `answer`.
fn serve_sctp(host: &Host, at: &str, answer: &'static str, count: usize) {
    let listener = host.inside(|| sctp(at));
    listener.listen(10).unwrap();
    std::thread::spawn(move || {
        for _ in 0..count {
            let Ok((association, _)) = listener.accept() else { return };
            let _ = association.send(answer.as_bytes());
        }
    });
}

fn ask_sctp(host: &Host, server: &str, count: usize) -> BTreeMap<String, usize> {
    let server: SocketAddr = server.parse().unwrap();
    host.inside(|| {
        let mut answers = BTreeMap::new();
        for _ in 0..count {
            let socket = sctp("10.0.0.1:0");
            socket.connect(&server.into()).unwrap();
            let mut answer = [0; 100];
            let length = std::io::Read::read(&mut &socket, &mut answer).unwrap();
            *answers.entry(String::from_utf8_lossy(&answer[..length]).into_owned()).or_default() += 1;
        }
        answers
    })
}

#[test]
fn sctp_takes_turns_by_weight_and_by_direct_routing() {
    on_ipvs(|| {
        run("modprobe", "sctp");
        let service =
            Service::new(ServiceId::Address { protocol: Protocol::Sctp, address: address("10.0.0.100"), port: 3868 });
        let net = Routed::new();
        serve_sctp(&net.real[0], "10.1.0.1:3868", "one", 5);
        serve_sctp(&net.real[1], "10.2.0.1:3868", "two", 9);
        let mut ipvs = net.director.ipvs();
        let both = |one, two| [real("10.1.0.1", 3868).with_weight(one), real("10.2.0.1", 3868).with_weight(two)];
        set(&mut ipvs, service.clone(), both(1, 1));
        assert_eq!(ask_sctp(&net.client, "10.0.0.100:3868", 6), counts(3, 3));
        set(&mut ipvs, service.clone().with_scheduler(Scheduler::WEIGHTED_ROUND_ROBIN), both(1, 3));
        assert_eq!(ask_sctp(&net.client, "10.0.0.100:3868", 8), counts(2, 6));

        let net = Flat::new();
        net.hold_the_address("lo");
        for (host, answer) in net.real.iter().zip(["one", "two"]) {
            serve_sctp(host, "10.0.0.100:3868", answer, 3);
        }
        let mut ipvs = net.director.ipvs();
        let reached = |server| real(server, 3868).with_forwarding(Forwarding::Direct);
        set(&mut ipvs, service, [reached("10.0.0.11"), reached("10.0.0.12")]);
        assert_eq!(ask_sctp(&net.client, "10.0.0.100:3868", 6), counts(3, 3));
    });
}
