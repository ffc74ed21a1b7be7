//! Hosts of the lab.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use vrrp_core::{IfIndex, VirtualAddr};

use super::bridge::{Bridge, Interface};
use super::error::LabError;
use super::namespace::Room;
use super::pinger::Pinger;
use super::process::Process;
use super::{Ground, wait_until};
use crate::netlink::{AddressChange, AddressRequest, InterfaceAddress, Link, Monitor, Netlink};

/// A host of the lab: a network namespace.
///
/// Clones are the same host.
#[derive(Clone, Debug)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ground: Arc<Ground>,
    name: String,
    /// Its place among the lab's hosts, from 1.
    number: u8,
    interfaces: AtomicU8,
    room: Room,
}

impl Host {
    pub(super) fn new(ground: &Arc<Ground>, name: &str) -> Result<Self, LabError> {
        let (number, room) = ground.admit(name)?;
        let inner = Inner {
            ground: Arc::clone(ground),
            name: name.to_owned(),
            number: u8::try_from(number).unwrap_or(u8::MAX),
            interfaces: AtomicU8::new(0),
            room,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Put an interface in and plug its cable into the switch. Each address is `ADDRESS/PREFIX`, or `ADDRESS` alone
    /// for a host address. When this returns, frames pass, and the IPv6 link-local address is there.
    ///
    /// # Errors
    /// [`LabError::Address`], [`LabError::Network`] if the name is taken.
    pub fn attach(&self, bridge: &Bridge, name: &str, addresses: &[&str]) -> Result<Interface, LabError> {
        let addresses = addresses.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        let place = self.inner.interfaces.fetch_add(1, Ordering::Relaxed);
        // Locally administered; "VR" in the middle.
        let mac = [0x02, 0x56, 0x52, 0, self.inner.number, place];
        let interface = Interface::new(self, bridge, name, mac)?;
        for address in addresses {
            self.set_address(interface.index(), address)?;
        }
        self.wait_for_link_local(interface.index())?;
        Ok(interface)
    }

    /// A command that will run in this host, in the lab's process group, with nothing to read on its standard input.
    ///
    /// It fails to start after the lab was dropped. The user must not be changed on it: entering the host needs the
    /// privileges of the caller.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).process_group(self.inner.ground.group);
        self.inner.room.namespaces.enter_on_exec(&mut command, &self.inner.ground.closed);
        command
    }

    /// Start a program in this host. For more than arguments, take [`command`](Self::command) and [`Process::start`].
    ///
    /// # Errors
    /// [`LabError::Io`] if there is no such program.
    pub fn spawn<Argument: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = Argument>,
    ) -> Result<Process, LabError> {
        Process::start(self.command(program).args(arguments))
    }

    /// A socket in this host, for any thread of the caller. The numbers are those of `socket(2)`.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Result<OwnedFd, LabError> {
        self.inner.room.socket(domain, kind, protocol)
    }

    /// A netlink socket in this host.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn netlink(&self) -> Result<Netlink, LabError> {
        Ok(Netlink::from_fd(self.inner.room.route_socket()?)?)
    }

    /// A subscription to the changes in this host.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn monitor(&self) -> Result<Monitor, LabError> {
        Ok(Monitor::from_fd(self.inner.room.route_socket()?)?)
    }

    /// The interfaces of this host.
    ///
    /// # Errors
    /// [`LabError::Network`].
    pub fn links(&self) -> Result<Vec<Link>, LabError> {
        Ok(self.inner.room.netlink().links()?)
    }

    /// The interface of this name.
    ///
    /// # Errors
    /// [`LabError::Network`] if there is none: it lists those there are.
    pub fn link(&self, name: &str) -> Result<Link, LabError> {
        Ok(self.inner.room.netlink().link_by_name(name)?)
    }

    /// The addresses of this host.
    ///
    /// # Errors
    /// [`LabError::Network`].
    pub fn addresses(&self) -> Result<Vec<InterfaceAddress>, LabError> {
        Ok(self.inner.room.netlink().addresses(None)?)
    }

    /// Whether any interface of this host has this address.
    ///
    /// # Errors
    /// [`LabError::Network`].
    pub fn has_address(&self, address: IpAddr) -> Result<bool, LabError> {
        Ok(self.addresses()?.iter().any(|own| own.address == address))
    }

    /// Wait until this host has the address, or with `present` false has not. Returns whether it came so within
    /// `limit`.
    ///
    /// # Errors
    /// [`LabError::Network`].
    pub fn wait_for_address(&self, address: IpAddr, present: bool, limit: Duration) -> Result<bool, LabError> {
        Ok(wait_until(limit, || {
            let addresses = self.inner.room.netlink().addresses(None)?;
            Ok(addresses.iter().any(|own| own.address == address) == present)
        })?)
    }

    /// The MAC address that this host thinks the neighbor has; `None` if it has not asked or nobody answered.
    ///
    /// # Errors
    /// [`LabError::Network`].
    pub fn neighbor(&self, address: IpAddr) -> Result<Option<[u8; 6]>, LabError> {
        let mut netlink = self.inner.room.netlink();
        for link in netlink.links()? {
            let neighbors = netlink.neighbors(link.index)?;
            if let Some(mac) = neighbors.iter().find(|it| it.address == address).and_then(|it| it.mac) {
                return Ok(Some(mac));
            }
        }
        Ok(None)
    }

    /// Write a setting of this host's network: `host.sysctl("net.ipv4.conf.eth0.arp_ignore", "1")`.
    ///
    /// # Errors
    /// [`LabError::Io`] if there is no such setting.
    pub fn sysctl(&self, setting: &str, value: &str) -> Result<(), LabError> {
        self.inner.room.set(setting, value)
    }

    /// Send what goes to `destination`, which is `default`, `ADDRESS/PREFIX` or `ADDRESS`, through `gateway`.
    ///
    /// # Errors
    /// [`LabError::Address`], [`LabError::Network`] if no interface reaches the gateway.
    pub fn add_route(&self, destination: &str, gateway: &str) -> Result<(), LabError> {
        let gateway = parse(gateway)?.address();
        let destination = match (destination, gateway) {
            ("default", IpAddr::V4(_)) => (IpAddr::from([0; 4]), 0),
            ("default", IpAddr::V6(_)) => (IpAddr::from([0; 16]), 0),
            (text, _) => parse(text).map(|it| (it.address(), it.prefix_len()))?,
        };
        Ok(self.inner.room.netlink().set_route(destination, gateway)?)
    }

    /// Ping an address from this host, every `interval`, until the pinger is stopped or dropped.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn ping(&self, target: Ipv4Addr, interval: Duration) -> Result<Pinger, LabError> {
        Pinger::start(self, target, interval)
    }

    pub(super) fn room(&self) -> &Room {
        &self.inner.room
    }

    /// The kernel gives an interface its IPv6 link-local address, and clears it for use, a moment after it is up.
    fn wait_for_link_local(&self, interface: IfIndex) -> Result<(), LabError> {
        if !Path::new("/proc/sys/net/ipv6").exists() {
            return Ok(());
        }
        let is_link_local = |address| matches!(address, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6));
        let addresses = || self.inner.room.netlink().addresses(Some(interface));
        // Not long: it may have been turned off in this host.
        wait_until(Duration::from_millis(500), || Ok(addresses()?.iter().any(|it| is_link_local(it.address))))?;
        // At once, unless /proc/sys cannot be written and so duplicate address detection is on.
        wait_until(Duration::from_secs(5), || Ok(!addresses()?.iter().any(|it| it.tentative)))?;
        Ok(())
    }

    fn set_address(&self, interface: IfIndex, address: VirtualAddr) -> Result<(), LabError> {
        let request = AddressRequest::new(interface, address);
        Ok(self.inner.room.netlink().change_address(AddressChange::Set(request))?)
    }
}

fn parse(text: &str) -> Result<VirtualAddr, LabError> {
    text.parse().map_err(|source| LabError::Address { text: text.to_owned(), source })
}
