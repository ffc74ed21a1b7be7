//! The hosts and their switches.

use vrrp_net::lab::{Bridge, Host, Interface, Lab};

/// Hosts with some interfaces each, `eth0` and so on, one switch for all that have one name.
pub(crate) struct Net {
    pub(crate) hosts: Vec<Host>,
    pub(crate) switches: Vec<Bridge>,
    /// Those of the first host.
    pub(crate) cables: Vec<Interface>,
    /// Last, so that the hosts are gone before their network is.
    _lab: Lab,
}

impl Net {
    pub(crate) fn new(hosts: u8, interfaces: u8) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let switches =
            (0..interfaces).map(|number| lab.bridge(&format!("lan{number}"))).collect::<Result<Vec<_>, _>>()?;
        let mut net = Self { hosts: Vec::new(), switches, cables: Vec::new(), _lab: lab };
        for host in 1..=hosts {
            let place = net._lab.host(&format!("host{host}"))?;
            for (number, switch) in net.switches.iter().enumerate() {
                let cable = place.attach(switch, &format!("eth{number}"), &[&format!("10.{number}.0.{host}/24")])?;
                if host == 1 {
                    net.cables.push(cable);
                }
            }
            net.hosts.push(place);
        }
        Ok(net)
    }
}
