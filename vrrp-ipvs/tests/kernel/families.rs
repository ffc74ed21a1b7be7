//! Direct routing and tunnels over IPv6, and tunnels of the other family than what goes through them.

use std::num::NonZeroU16;

use vrrp_ipvs::{Forwarding, Ipvs, Service, ServiceId, Tunnel, TunnelChecksum};

use crate::dataplane::{Flat, address, counts, real, set};
use crate::guest::on_ipvs;
use crate::net::run;

/// Balances port 80 of this address over real servers that are reached at those.
fn balance(net: &Flat, at: &str, over: [&str; 2], forwarding: Forwarding) -> Ipvs {
    let mut ipvs = net.director.ipvs();
    let service = Service::new(ServiceId::tcp(address(at), 80));
    set(&mut ipvs, service, over.map(|server| real(server, 80).with_forwarding(forwarding)));
    ipvs
}

/// Gives the real servers a device of this type that takes what comes through IPv6, with the virtual addresses.
fn end_here(net: &Flat, device: &str) {
    let (kind, options) = device.split_once(' ').unwrap_or((device, ""));
    for (host, own) in net.real.iter().zip(V6) {
        host.ip(&format!("link add through type {kind} {options} local {own}"));
    }
    net.hold_the_address("through");
}

const V4: [&str; 2] = ["10.0.0.11", "10.0.0.12"];
const V6: [&str; 2] = ["fd00::11", "fd00::12"];

#[test]
fn direct_routing_takes_turns_over_ipv6() {
    on_ipvs(|| {
        let net = Flat::new();
        net.hold_the_address("lo");
        let _ipvs = balance(&net, "fd00::100", V6, Forwarding::Direct);
        assert_eq!(net.client.requests("[fd00::100]:80", 6), counts(3, 3));
    });
}

#[test]
fn every_kind_of_tunnel_takes_turns_over_ipv6() {
    on_ipvs(|| {
        for module in ["ip6_tunnel", "ip6_gre", "fou", "fou6"] {
            run("modprobe", module);
        }
        let port = NonZeroU16::new(6080).unwrap();
        // The devices that every namespace has, ip6tnl0 and ip6gre0, take nothing.
        let kinds = [
            (Tunnel::Ipip, "ip6tnl mode any"),
            (Tunnel::Gue { port, checksum: TunnelChecksum::None }, "ip6tnl mode any"),
            (Tunnel::Gue { port, checksum: TunnelChecksum::Full }, "ip6tnl mode any"),
            (Tunnel::Gue { port, checksum: TunnelChecksum::Remote }, "ip6tnl mode any"),
            (Tunnel::Gre { checksum: false }, "ip6gre"),
            (Tunnel::Gre { checksum: true }, "ip6gre csum"),
        ];
        for (tunnel, device) in kinds {
            let net = Flat::new();
            end_here(&net, device);
            if matches!(tunnel, Tunnel::Gue { .. }) {
                for host in &net.real {
                    host.ip("-6 fou add port 6080 gue");
                }
            }
            let _ipvs = balance(&net, "fd00::100", V6, Forwarding::Tunnel(tunnel));
            let answers = std::panic::catch_unwind(|| net.client.requests("[fd00::100]:80", 6));
            assert_eq!(answers.unwrap_or_default(), counts(3, 3), "{tunnel:?}");
        }
    });
}

#[test]
fn ipv6_takes_turns_through_ipv4() {
    on_ipvs(|| {
        run("modprobe", "sit");
        let net = Flat::new();
        net.hold_the_address("sit0");
        let _ipvs = balance(&net, "fd00::100", V4, Forwarding::Tunnel(Tunnel::Ipip));
        assert_eq!(net.client.requests("[fd00::100]:80", 6), counts(3, 3));
    });
}

#[test]
fn ipv4_takes_turns_through_ipv6() {
    on_ipvs(|| {
        run("modprobe", "ip6_tunnel");
        let net = Flat::new();
        end_here(&net, "ip6tnl mode any");
        let _ipvs = balance(&net, "10.0.0.100", V6, Forwarding::Tunnel(Tunnel::Ipip));
        assert_eq!(net.client.requests("10.0.0.100:80", 6), counts(3, 3));
    });
}
