//! The hosts and their switches.

use anyhow::Context;
use vrrp_net::lab::{Bridge, Host, Interface, Lab};

/// Hosts with some interfaces each, `eth0` and so on, one switch for all that have one name.
pub struct Net {
    hosts: Vec<Host>,
    switches: Vec<Bridge>,
    /// Of each host.
    cables: Vec<Vec<Interface>>,
    /// Last, so that the hosts are gone before their network is.
    _lab: Lab,
}

impl Net {
    /// Host 2 has 10.3.0.2 on `eth3`. With one interface all virtual addresses are on the link of every host.
    ///
    /// # Errors
    /// This machine lets no lab be made.
    pub fn new(hosts: u8, interfaces: u8) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let switches =
            (0..interfaces).map(|number| lab.bridge(&format!("lan{number}"))).collect::<Result<Vec<_>, _>>()?;
        let mut net = Self { hosts: Vec::new(), switches, cables: Vec::new(), _lab: lab };
        let length = if interfaces == 1 { 9 } else { 24 };
        for host in 1..=hosts {
            let place = net._lab.host(&format!("host{host}"))?;
            let attach = |(number, switch): (usize, &Bridge)| {
                place.attach(switch, &format!("eth{number}"), &[&format!("10.{number}.0.{host}/{length}")])
            };
            let cables = net.switches.iter().enumerate().map(attach).collect::<Result<_, _>>()?;
            net.cables.push(cables);
            net.hosts.push(place);
        }
        Ok(net)
    }

    /// A host by its number, from 1.
    ///
    /// # Errors
    /// There is no such host.
    pub fn host(&self, number: u8) -> anyhow::Result<&Host> {
        self.hosts.get(usize::from(number).wrapping_sub(1)).with_context(|| format!("there is no host {number}"))
    }

    /// All interfaces of a host.
    pub fn cables(&self, host: u8) -> &[Interface] {
        self.cables.get(usize::from(host).wrapping_sub(1)).map_or(&[], Vec::as_slice)
    }

    /// The first interface of a host.
    ///
    /// # Errors
    /// There is none.
    pub fn cable(&self, host: u8) -> anyhow::Result<&Interface> {
        self.cables(host).first().with_context(|| format!("host {host} has no interface"))
    }

    /// The switch of the first interfaces.
    ///
    /// # Errors
    /// There is none.
    pub fn switch(&self) -> anyhow::Result<&Bridge> {
        self.switches.first().context("there is no switch")
    }
}
