//! The hosts of a deployment on their link.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use vrrp_net::lab::{Bridge, Capture, Host, Interface, Lab};

use crate::common::{Advert, PATIENCE, adverts, lab, table, wait_until};

/// A link with hosts and a client.
pub(crate) struct Site {
    pub(crate) hosts: Vec<Host>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) capture: Capture,
    vip: IpAddr,
    pub(crate) lan: Bridge,
    _lab: Lab,
}

impl Site {
    /// Hosts with these addresses, each on an interface of that name; `None` where there can be no lab.
    pub(crate) fn new(interface: &str, addresses: &[&str], vip: &str) -> Option<Self> {
        let lab = lab()?;
        let lan = lab.bridge("lan").unwrap();
        let (mut hosts, mut interfaces) = (Vec::new(), Vec::new());
        for (number, address) in addresses.iter().enumerate() {
            let host = lab.host(&format!("node{}", number + 1)).unwrap();
            interfaces.push(host.attach(&lan, interface, &[address]).unwrap());
            hosts.push(host);
        }
        let capture = lan.capture().unwrap();
        Some(Self { hosts, interfaces, capture, vip: vip.parse().unwrap(), lan, _lab: lab })
    }

    /// Who has the virtual address, from 0.
    pub(crate) fn holders(&self) -> Vec<usize> {
        let has = |host: &Host| host.has_address(self.vip).unwrap();
        self.hosts.iter().enumerate().filter(|(_, host)| has(host)).map(|(number, _)| number).collect()
    }

    /// Waits until these hosts and no others have the virtual address.
    pub(crate) fn wait_for_holders(&self, hosts: &[usize]) {
        let within = wait_until(PATIENCE, || self.holders() == hosts);
        assert!(within, "{:?} have {}, not {hosts:?}\n{}", self.holders(), self.vip, table(&self.adverts()));
    }

    /// It stays with them for so long.
    pub(crate) fn stays_with(&self, hosts: &[usize], time: Duration) {
        let changed = wait_until(time, || self.holders() != hosts);
        assert!(!changed, "{:?} have {}, not {hosts:?}\n{}", self.holders(), self.vip, table(&self.adverts()));
    }

    /// The advertisements so far.
    pub(crate) fn adverts(&self) -> Vec<Advert> {
        adverts(&self.capture.frames())
    }

    /// Only the Active is heard, for so long.
    pub(crate) fn only_one_advertises(&self, time: Duration) {
        let before = self.adverts().len();
        std::thread::sleep(time);
        let seen = &self.adverts()[before..];
        assert!(!seen.is_empty(), "nobody advertises");
        assert!(seen.iter().all(|advert| advert.source == seen[0].source), "{}", table(seen));
    }

    /// Somebody who listens at 127.0.0.1 on a host, until dropped.
    pub(crate) fn listen(&self, host: usize, port: u16) -> OwnedFd {
        // AF_INET, SOCK_STREAM: the numbers of socket(2).
        let socket = self.hosts[host].socket(2, 1, 0).unwrap();
        let address = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        rustix::net::bind(&socket, &address).unwrap();
        rustix::net::listen(&socket, 16).unwrap();
        socket
    }
}
