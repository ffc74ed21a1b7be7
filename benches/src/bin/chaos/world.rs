//! The hosts that share the addresses, and the client that talks to them.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use vrrp_core::{Family, Interval, Params, Priority, Version};
use vrrp_net::lab::{Bridge, Host, Interface, Lab, Process};

use super::fault::{Fault, Kind};

/// Names and priorities.
pub(crate) const HOSTS: [(&str, u8); 3] = [("a", 200), ("b", 150), ("c", 100)];

/// The addresses of each virtual router.
const ROUTERS: [&[&str]; 2] = [&["192.0.2.100", "192.0.2.101", "192.0.2.102"], &["192.0.2.110"]];

/// All of it.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) client: Host,
    /// Active_Down_Interval of the host that waits longest.
    pub(crate) active_down_interval: Duration,
    interval: u64,
    lan: Bridge,
    /// Last, so that the hosts are gone before their network is.
    _lab: Lab,
}

/// One host.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) host: Host,
    pub(crate) cable: Interface,
    priority: u8,
    address: String,
    process: Option<Process>,
    log: Arc<Mutex<Vec<String>>>,
    verbose: bool,
}

impl World {
    pub(crate) fn new(interval: u64, verbose: bool) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let lan = lab.bridge("lan")?;
        let client = lab.host("client")?;
        client.attach(&lan, "eth0", &["192.0.2.9/24"])?;
        let mut nodes = Vec::new();
        for (number, (name, priority)) in (1..).zip(HOSTS) {
            let host = lab.host(name)?;
            let address = format!("192.0.2.{number}/24");
            let cable = host.attach(&lan, "eth0", &[&address])?;
            let log = Arc::default();
            let mut node = Node { name, host, cable, priority, address, process: None, log, verbose };
            node.start(interval)?;
            nodes.push(node);
        }
        let advert = Interval::from_centiseconds(interval)?;
        let last = HOSTS.iter().map(|(_, priority)| *priority).min().unwrap_or(1);
        let params = Params::new(Version::V3(Family::V4)).with_priority(Priority::new(last)?);
        let active_down_interval = params.active_down_interval(advert);
        Ok(Self { nodes, client, active_down_interval, interval, lan, _lab: lab })
    }

    /// Every address that is to be on one host.
    pub(crate) fn addresses() -> impl Iterator<Item = Ipv4Addr> {
        ROUTERS.iter().flat_map(|addresses| addresses.iter()).filter_map(|text| text.parse().ok())
    }

    /// One fault from beginning to end.
    pub(crate) fn strike(&mut self, fault: &Fault) -> anyhow::Result<()> {
        let interval = self.interval;
        let wait = || std::thread::sleep(fault.lasts);
        let node = self.nodes.get_mut(fault.host).context("no such host")?;
        match fault.kind {
            Kind::Kill => {
                node.process.take().context("it runs")?.kill()?;
                wait();
                node.start(interval)?;
            }
            Kind::Stop => {
                node.stop()?;
                wait();
                node.start(interval)?;
            }
            Kind::Pause => {
                let process = node.process.as_mut().context("it runs")?;
                process.stop()?;
                wait();
                process.resume()?;
            }
            Kind::Unplug => {
                node.cable.cut()?;
                wait();
                node.cable.heal()?;
            }
            Kind::Partition => {
                node.cable.cut_silently()?;
                wait();
                node.cable.heal()?;
            }
            Kind::Deafen => {
                node.cable.deafen()?;
                wait();
                node.cable.heal()?;
            }
            Kind::Mute => {
                node.cable.mute()?;
                wait();
                node.cable.heal()?;
            }
            Kind::DeleteAddress => {
                for node in &self.nodes {
                    // Whoever has it; the others have nothing to delete.
                    let mut command = node.host.command("ip");
                    command.args(["address", "del", "192.0.2.101/32", "dev", "eth0"]).stderr(Stdio::null());
                    command.status().context("run ip, of the package iproute2")?;
                }
                wait();
            }
            Kind::Recreate => {
                node.cable.delete()?;
                wait();
                node.cable = node.host.attach(&self.lan, "eth0", &[&node.address])?;
            }
            Kind::Flood => self.flood(fault.lasts)?,
        }
        Ok(())
    }

    /// Packets with the right VRID and TTL, and a checksum that is wrong.
    fn flood(&self, lasts: Duration) -> anyhow::Result<()> {
        let socket = socket2::Socket::from(self.client.socket(2, 3, 112)?);
        socket.set_multicast_ttl_v4(255)?;
        socket.set_multicast_if_v4(&Ipv4Addr::new(192, 0, 2, 9))?;
        let group = SocketAddr::new(IpAddr::from([224, 0, 0, 18]), 0).into();
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let sender = std::thread::spawn(move || {
            let packet = [0x31, 51, 0xff, 1, 0, 1, 0xba, 0xad, 192, 0, 2, 100];
            while !stop.load(Ordering::Relaxed) {
                // A full queue is part of it.
                let _ = socket.send_to(&packet, &group);
            }
        });
        std::thread::sleep(lasts);
        over.store(true, Ordering::Relaxed);
        sender.join().map_err(|_| anyhow::anyhow!("the flood ended by itself"))
    }

    /// How many descriptors each process has open.
    pub(crate) fn descriptors(&self) -> anyhow::Result<Vec<usize>> {
        self.nodes.iter().map(Node::descriptors).collect()
    }

    /// Ends everything in order, and looks what is left.
    pub(crate) fn nothing_leaks(&mut self, descriptors: &[usize]) -> anyhow::Result<()> {
        for (node, before) in self.nodes.iter().zip(descriptors) {
            let now = node.descriptors()?;
            anyhow::ensure!(now <= *before, "{} has {now} descriptors open, {before} at the start", node.name);
        }
        for node in &mut self.nodes {
            node.stop()?;
            let left = node.host.addresses()?;
            let marked: Vec<_> = left.iter().filter(|address| address.protocol == Some(112)).collect();
            anyhow::ensure!(marked.is_empty(), "{} still has {marked:?}", node.name);
            let links = node.host.links()?;
            let own = |name: &str| name == "lo" || name == "eth0";
            let other: Vec<_> = links.iter().filter(|link| !own(&link.name)).collect();
            anyhow::ensure!(other.is_empty(), "{} still has {other:?}", node.name);
        }
        Ok(())
    }
}

impl Node {
    fn start(&mut self, interval: u64) -> anyhow::Result<()> {
        let mut command = self.host.command(std::env::current_exe()?);
        command
            .arg("node")
            .arg("--priority")
            .arg(self.priority.to_string())
            .arg("--interval")
            .arg(interval.to_string());
        for addresses in ROUTERS {
            command.arg("--router").arg(addresses.join(","));
        }
        command.stderr(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let output = process.take_stderr().context("no standard error")?;
        let (log, name, verbose) = (Arc::clone(&self.log), self.name, self.verbose);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if verbose {
                    eprintln!("{name}: {line}");
                }
                log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        self.process = Some(process);
        Ok(())
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("it runs")?;
        process.terminate()?;
        let status = process.wait(Duration::from_secs(10))?.with_context(|| format!("{} did not end", self.name))?;
        anyhow::ensure!(status.success(), "{} ended with {status}: {:#?}", self.name, self.log());
        Ok(())
    }

    /// The last of what it said.
    pub(crate) fn log(&self) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().rev().take(30).rev().cloned().collect()
    }

    /// The addresses that it has, of those that are to be on one host.
    pub(crate) fn holds(&self) -> anyhow::Result<Vec<Ipv4Addr>> {
        let all: Vec<IpAddr> = self.host.addresses()?.iter().map(|address| address.address).collect();
        Ok(World::addresses().filter(|address| all.contains(&IpAddr::V4(*address))).collect())
    }

    fn descriptors(&self) -> anyhow::Result<usize> {
        let process = self.process.as_ref().context("it runs")?;
        Ok(std::fs::read_dir(format!("/proc/{}/fd", process.id()))?.count())
    }
}
