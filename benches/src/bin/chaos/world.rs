//! The hosts that share the addresses, and the client that talks to them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use vrrp_core::{Family, Interval, Params, Priority, Version, Vrid};
use vrrp_net::lab::{Bridge, Lab};

use super::client::Client;
use super::fault::{Fault, Kind, Round};
use super::host::{Node, processes_in};

/// Names and priorities.
pub(crate) const HOSTS: [(&str, u8); 3] = [("a", 200), ("b", 150), ("c", 100)];

/// The number of the first virtual router.
pub(crate) const FIRST_VRID: u8 = 51;

/// A virtual router that all hosts have.
pub(crate) struct Router {
    addresses: &'static [&'static str],
    pub(crate) virtual_mac: bool,
    /// What the other hosts' addresses begin with, for one that speaks to each of them.
    peers: Option<&'static str>,
}

/// Both families, by multicast, with a MAC address of their own, and by unicast.
pub(crate) const ROUTERS: [Router; 6] = [
    Router { addresses: &["192.0.2.100", "192.0.2.101/24", "192.0.2.102/24"], virtual_mac: false, peers: None },
    Router { addresses: &["192.0.2.110"], virtual_mac: true, peers: None },
    Router { addresses: &["192.0.2.120"], virtual_mac: false, peers: Some("192.0.2.") },
    Router { addresses: &["fe80::5e:100", "2001:db8::100/64"], virtual_mac: false, peers: None },
    Router { addresses: &["fe80::5e:110/64", "2001:db8::110"], virtual_mac: true, peers: None },
    Router { addresses: &["2001:db8::120"], virtual_mac: false, peers: Some("fe80::") },
];

impl Router {
    /// As the process on the host of this number is told of it.
    pub(crate) fn words(&self, number: usize) -> String {
        let others = (1..=HOSTS.len()).filter(|other| *other != number);
        let peers =
            self.peers.iter().flat_map(|prefix| others.clone().map(move |other| format!("peer={prefix}{other}")));
        // The kernel gives it another link-local address too.
        let source = self.peers.iter().map(|prefix| format!("from={prefix}{number}"));
        let mac = self.virtual_mac.then(|| "mac".to_owned());
        self.addresses
            .iter()
            .map(|address| (*address).to_owned())
            .chain(peers)
            .chain(source)
            .chain(mac)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The MAC address of its own, if it has one.
    fn mac(&self, number: usize, family: Family) -> Option<[u8; 6]> {
        let vrid = Vrid::new(FIRST_VRID.checked_add(u8::try_from(number).ok()?)?).ok()?;
        self.virtual_mac.then(|| vrid.virtual_mac(family))
    }
}

/// Every address that is to be on one host, and the place of its virtual router.
pub(crate) fn addresses() -> impl Iterator<Item = (usize, IpAddr)> {
    let bare = |text: &str| text.split('/').next().and_then(|text| text.parse().ok());
    ROUTERS
        .iter()
        .enumerate()
        .flat_map(move |(number, router)| router.addresses.iter().filter_map(move |text| Some((number, bare(text)?))))
}

pub(crate) fn address_count() -> usize {
    addresses().count()
}

/// The MAC address that the client must have of an address that is on this host.
pub(crate) fn expected_mac(router: usize, address: IpAddr, node: &Node) -> [u8; 6] {
    let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
    let own = ROUTERS.get(router).and_then(|it| it.mac(router, family));
    own.unwrap_or_else(|| node.cable.mac())
}

/// All of it.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) client: Client,
    /// Active_Down_Interval of the host that waits longest.
    pub(crate) active_down_interval: Duration,
    lan: Bridge,
    flood: Option<Flood>,
    /// Last, so that the hosts are gone before their network is.
    _lab: Lab,
}

impl World {
    pub(crate) fn new(interval: u64, verbose: bool) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let lan = lab.bridge("lan")?;
        let host = lab.host("client")?;
        host.attach(&lan, "eth0", &["192.0.2.9/24", "2001:db8::9/64"])?;
        let client = Client::new(host)?;
        let mut nodes = Vec::new();
        for (number, named) in (1..).zip(HOSTS) {
            nodes.push(Node::new(lab.host(named.0)?, &lan, named, number, interval, verbose)?);
        }
        let advert = Interval::from_centiseconds(interval)?;
        let last = HOSTS.iter().map(|(_, priority)| *priority).min().unwrap_or(1);
        let params = Params::new(Version::V3(Family::V4)).with_priority(Priority::new(last)?);
        let active_down_interval = params.active_down_interval(advert);
        Ok(Self { nodes, client, active_down_interval, lan, flood: None, _lab: lab })
    }

    /// One round from the beginning of its faults to their end.
    pub(crate) fn strike(&mut self, round: &Round) -> anyhow::Result<()> {
        for fault in &round.faults {
            self.begin(fault).with_context(|| fault.to_string())?;
        }
        std::thread::sleep(round.lasts);
        for fault in &round.faults {
            self.end(fault).with_context(|| format!("the end of: {fault}"))?;
        }
        Ok(())
    }

    fn begin(&mut self, fault: &Fault) -> anyhow::Result<()> {
        if fault.kind == Kind::Flood {
            self.flood = Some(Flood::start(&self.client)?);
        }
        let node = self.nodes.get_mut(fault.host).context("no such host")?;
        match fault.kind {
            Kind::Kill => node.kill()?,
            Kind::KillGuardian => node.kill_guardian()?,
            Kind::KillBoth => {
                // Neither is to see the other's end.
                node.process()?.stop()?;
                node.kill_guardian()?;
                node.kill()?;
            }
            Kind::Stop => node.stop()?,
            Kind::Pause | Kind::Hang => node.process()?.stop()?,
            Kind::Unplug => node.cable.cut()?,
            Kind::Partition => node.cable.cut_silently()?,
            Kind::Deafen => node.cable.deafen()?,
            Kind::Mute => node.cable.mute()?,
            Kind::DeleteAddress => {
                let (_, address) = addresses().nth(fault.pick % address_count()).context("no such address")?;
                self.nodes.iter().try_for_each(|node| node.delete(address))?;
            }
            Kind::Flush => node.flush()?,
            Kind::Recreate => node.lose_interface()?,
            Kind::Rename => node.rename("eth0", "other0")?,
            Kind::Flood => {}
        }
        Ok(())
    }

    fn end(&mut self, fault: &Fault) -> anyhow::Result<()> {
        let node = self.nodes.get_mut(fault.host).context("no such host")?;
        match fault.kind {
            Kind::Kill | Kind::KillBoth | Kind::Stop => node.start()?,
            Kind::Pause | Kind::Hang => node.process()?.resume()?,
            Kind::Unplug | Kind::Partition | Kind::Deafen | Kind::Mute => node.cable.heal()?,
            Kind::Flush => node.unflush()?,
            Kind::Recreate => node.gain_interface(&self.lan)?,
            Kind::Rename => node.rename("other0", "eth0")?,
            Kind::Flood => self.flood.take().context("there was one")?.stop()?,
            Kind::KillGuardian | Kind::DeleteAddress => {}
        }
        Ok(())
    }

    /// The most descriptors that any of the processes has open.
    pub(crate) fn descriptors(&self) -> anyhow::Result<usize> {
        let counts = self.nodes.iter().map(Node::descriptors).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(counts.into_iter().max().unwrap_or_default())
    }

    /// Whether anything is on a host that should not be.
    pub(crate) fn leaks(&self, most_descriptors: usize) -> anyhow::Result<()> {
        self.nodes.iter().try_for_each(|node| node.leaks(most_descriptors))
    }

    /// Ends everything in order, and looks whether anything is left.
    pub(crate) fn end_all(mut self) -> anyhow::Result<()> {
        let namespaces: Vec<_> = self.nodes.iter().filter_map(Node::namespace).collect();
        anyhow::ensure!(namespaces.len() == HOSTS.len(), "not every host runs: {namespaces:?}");
        for node in &mut self.nodes {
            node.stop()?;
            node.leaks(0)?;
        }
        drop(self);
        for namespace in namespaces {
            let left = processes_in(&namespace);
            anyhow::ensure!(left.is_empty(), "after the end, {left:?} are in {}", namespace.display());
        }
        Ok(())
    }
}

/// Packets with the right protocol and TTL that are worth nothing, as fast as they go.
struct Flood {
    over: Arc<AtomicBool>,
    sender: JoinHandle<()>,
}

impl Flood {
    fn start(client: &Client) -> anyhow::Result<Self> {
        let socket = socket2::Socket::from(client.host().socket(2, 3, 112)?);
        socket.set_multicast_ttl_v4(255)?;
        socket.set_multicast_if_v4(&Ipv4Addr::new(192, 0, 2, 9))?;
        let group = SocketAddr::new(IpAddr::from([224, 0, 0, 18]), 0).into();
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let sender = std::thread::spawn(move || {
            // A wrong checksum at the highest priority, an interval of 0, one that ends early, and one that is empty.
            let packets: [&[u8]; 4] = [
                &[0x31, FIRST_VRID, 0xff, 1, 0, 1, 0xba, 0xad, 192, 0, 2, 100],
                &[0x31, FIRST_VRID, 0xff, 1, 0, 0, 0xba, 0xad, 192, 0, 2, 100],
                &[0x31, FIRST_VRID + 1, 0xff, 9, 0, 1],
                &[],
            ];
            for packet in packets.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // A full queue is part of it.
                let _ = socket.send_to(packet, &group);
            }
        });
        Ok(Self { over, sender })
    }

    fn stop(self) -> anyhow::Result<()> {
        self.over.store(true, Ordering::Relaxed);
        self.sender.join().map_err(|_| anyhow::anyhow!("the flood ended by itself"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(flood) = self.flood.take() {
            let _ = flood.stop();
        }
    }
}
