//! One host: its interface, its process, and what it has.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use vrrp_net::ADDRESS_MARK;
use vrrp_net::lab::{Bridge, Host, Interface, Process};
use vrrp_net::netlink::{AddressChange, InterfaceAddress};

use super::world::ROUTERS;

/// How long something may take that follows at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// One host that takes part.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) host: Host,
    pub(crate) cable: Interface,
    pub(crate) process: Option<Process>,
    priority: u8,
    interval: u64,
    addresses: [String; 3],
    /// The virtual routers, as the process is told of them.
    routers: Vec<String>,
    log: Arc<Mutex<Vec<String>>>,
    verbose: bool,
}

impl Node {
    /// Puts the host on the switch and starts its process; `number` is its place among the hosts, from 1.
    pub(crate) fn new(
        host: Host,
        lan: &Bridge,
        (name, priority): (&'static str, u8),
        number: usize,
        interval: u64,
        verbose: bool,
    ) -> anyhow::Result<Self> {
        let addresses =
            [format!("192.0.2.{number}/24"), format!("2001:db8::{number}/64"), format!("fe80::{number}/64")];
        let cable = attach(&host, lan, &addresses)?;
        let routers = ROUTERS.iter().map(|router| router.words(number)).collect();
        let log = Arc::default();
        let mut node = Self { name, host, cable, process: None, priority, interval, addresses, routers, log, verbose };
        node.start()?;
        Ok(node)
    }

    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let mut command = self.host.command(std::env::current_exe()?);
        command.args(["node", "--priority", &self.priority.to_string(), "--interval", &self.interval.to_string()]);
        for router in &self.routers {
            command.arg("--router").arg(router);
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
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push(line);
                if log.len() > 2 * KEPT {
                    log.drain(..KEPT);
                }
            }
        });
        self.process = Some(process);
        Ok(())
    }

    /// Its process.
    pub(crate) fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process.as_mut().context("it runs")
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("it runs")?;
        process.terminate()?;
        let status = process.wait(PATIENCE)?.with_context(|| format!("{} did not end", self.name))?;
        anyhow::ensure!(status.success(), "{} ended with {status}: {:#?}", self.name, self.log());
        Ok(())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("it runs")?.kill()?;
        Ok(())
    }

    /// `kill -9` of its guardian.
    pub(crate) fn kill_guardian(&self) -> anyhow::Result<()> {
        for (id, name) in self.processes()? {
            if name == GUARDIAN {
                let status = self.host.command("kill").args(["-9", &id]).status().context("run kill")?;
                anyhow::ensure!(status.success(), "kill -9 {id}: {status}");
            }
        }
        Ok(())
    }

    /// The last of what it said.
    pub(crate) fn log(&self) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().rev().take(KEPT).rev().cloned().collect()
    }

    /// Takes its interface away.
    pub(crate) fn lose_interface(&self) -> anyhow::Result<()> {
        Ok(self.cable.delete()?)
    }

    /// Gives it another interface of the same name.
    pub(crate) fn gain_interface(&mut self, lan: &Bridge) -> anyhow::Result<()> {
        self.cable = attach(&self.host, lan, &self.addresses)?;
        Ok(())
    }

    /// Deletes all addresses of its interface but the link-local ones.
    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        let mut netlink = self.host.netlink()?;
        for found in netlink.addresses(Some(self.cable.index()))? {
            let link_local = matches!(found.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if let (false, Some(request)) = (link_local, found.request()) {
                // One that went along with another is not there any more.
                let _ = netlink
                    .change_address(AddressChange::Remove { interface: request.interface, address: request.address });
            }
        }
        Ok(())
    }

    /// Puts back those that are its own.
    pub(crate) fn unflush(&self) -> anyhow::Result<()> {
        for address in &self.addresses {
            let mut command = self.host.command("ip");
            let status = command.args(["address", "replace", address, "dev", "eth0"]).status().context("run ip")?;
            anyhow::ensure!(status.success(), "ip address replace {address}: {status}");
        }
        Ok(())
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let index = self.host.link(from)?.index;
        Ok(self.host.netlink()?.rename(index, to)?)
    }

    /// Deletes an address, if it is there.
    pub(crate) fn delete(&self, address: IpAddr) -> anyhow::Result<()> {
        for found in self.host.addresses()?.into_iter().filter(|found| found.address == address) {
            if let Some(request) = found.request() {
                let change = AddressChange::Remove { interface: request.interface, address: request.address };
                // It may go by itself in this moment.
                let _ = self.host.netlink()?.change_address(change);
            }
        }
        Ok(())
    }

    /// The virtual addresses that it has.
    pub(crate) fn held(&self) -> anyhow::Result<Vec<InterfaceAddress>> {
        let all = self.host.addresses()?;
        let wanted: Vec<IpAddr> = super::world::addresses().map(|(_, address)| address).collect();
        Ok(all.into_iter().filter(|found| wanted.contains(&found.address)).collect())
    }

    /// Whether something is there that should not be, or not any more. What has just been killed may take a moment.
    pub(crate) fn leaks(&self, most_descriptors: usize) -> anyhow::Result<()> {
        let patience = Instant::now() + PATIENCE;
        loop {
            match self.leak(most_descriptors)? {
                None => return Ok(()),
                Some(leak) if Instant::now() > patience => anyhow::bail!("{} has {leak}", self.name),
                Some(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn leak(&self, most_descriptors: usize) -> anyhow::Result<Option<String>> {
        let expected = if self.process.is_some() { 1 } else { 0 };
        let processes = self.processes()?;
        let guardians = processes.iter().filter(|(_, name)| name == GUARDIAN).count();
        if guardians != expected || processes.len() != 2 * expected {
            return Ok(Some(format!("the processes {processes:?}, of which {expected} should be a guardian")));
        }
        let descriptors = self.descriptors()?;
        if descriptors > most_descriptors {
            return Ok(Some(format!("{descriptors} descriptors open, {most_descriptors} at the start")));
        }
        let known: Vec<IpAddr> = super::world::addresses().map(|(_, address)| address).collect();
        let mut seen = Vec::new();
        for found in self.host.addresses()?.iter().filter(|found| found.protocol == Some(ADDRESS_MARK)) {
            // Not twice, with different prefixes or on different interfaces.
            if expected == 0 || !known.contains(&found.address) || seen.contains(&found.address) {
                return Ok(Some(format!("{found:?}")));
            }
            seen.push(found.address);
        }
        let mut links: Vec<String> = self.host.links()?.into_iter().map(|link| link.name).collect();
        links.retain(|name| name != "lo" && name != "eth0");
        let own = ROUTERS.iter().filter(|router| router.virtual_mac).count() * expected;
        if links.len() != own || !links.iter().all(|name| name.starts_with("vrrp")) {
            return Ok(Some(format!("the interfaces {links:?}, {own} of which it should have")));
        }
        Ok(None)
    }

    /// How many descriptors its process has open.
    pub(crate) fn descriptors(&self) -> anyhow::Result<usize> {
        let Some(process) = &self.process else { return Ok(0) };
        Ok(std::fs::read_dir(format!("/proc/{}/fd", process.id()))?.count())
    }

    /// Its network namespace, as `/proc` writes it; `None` if nothing runs in it.
    pub(crate) fn namespace(&self) -> Option<std::path::PathBuf> {
        std::fs::read_link(format!("/proc/{}/ns/net", self.process.as_ref()?.id())).ok()
    }

    /// What runs in its network namespace: number and name.
    fn processes(&self) -> anyhow::Result<Vec<(String, String)>> {
        // It has no number of its own to be asked for; that of a process in it will do, or that of a command.
        let output = self.host.command("readlink").arg("/proc/self/ns/net").output().context("run readlink")?;
        let namespace = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(processes_in(std::path::Path::new(&namespace)))
    }
}

/// Lines of a log that are kept.
const KEPT: usize = 60;

/// The name of a guardian.
const GUARDIAN: &str = "vrrp-guardian";

/// The processes in a network namespace, but for those that have ended: number and name.
pub(crate) fn processes_in(namespace: &std::path::Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let inside = entries.filter(|entry| {
        std::fs::read_link(entry.path().join("ns/net")).is_ok_and(|its| its == namespace)
            && std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
    });
    let named = inside.filter_map(|entry| {
        let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        Some((entry.file_name().into_string().ok()?, name.trim().to_owned()))
    });
    // `/proc/self` and `/proc/thread-self` are there under their numbers too.
    named.filter(|(id, _)| id.bytes().all(|octet| octet.is_ascii_digit())).collect()
}

fn attach(host: &Host, lan: &Bridge, addresses: &[String]) -> anyhow::Result<Interface> {
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    Ok(host.attach(lan, "eth0", &addresses)?)
}
