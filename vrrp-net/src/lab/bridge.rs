//! Switches, and the cables between them and the hosts.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use vrrp_core::IfIndex;

use super::capture::Capture;
use super::error::LabError;
use super::host::Host;
use super::{Ground, wait_until};
use crate::filter;
use crate::netlink::{BridgePortFlags, VethEnd};
use crate::sys;
use crate::sys::lab::{AF_PACKET, SOCK_RAW};

/// A switch of the lab.
#[derive(Clone, Debug)]
pub struct Bridge {
    ground: Arc<Ground>,
    name: String,
    index: IfIndex,
}

impl Bridge {
    pub(super) fn new(ground: &Arc<Ground>, name: &str) -> Result<Self, LabError> {
        let mut netlink = ground.switch.netlink();
        let index = netlink.create_bridge(name)?.index;
        netlink.set_up(index, true)?;
        drop(netlink);
        Ok(Self { ground: Arc::clone(ground), name: name.to_owned(), index })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Record the VRRP, ARP and neighbor discovery frames that it forwards.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn capture(&self) -> Result<Capture, LabError> {
        Capture::start(&self.ground.switch, self.index, &[filter::ACCEPT])
    }
}

/// An interface of a host, and the cable from it to the switch.
///
/// Clones are the same interface. It stays if this is dropped; [`delete`](Self::delete) removes it.
#[derive(Clone, Debug)]
pub struct Interface {
    host: Host,
    bridge: Bridge,
    name: String,
    index: IfIndex,
    mac: [u8; 6],
    /// The other end of the cable.
    port: IfIndex,
}

/// The first port of the switches has this number. Hosts' interfaces have lower ones: if both ends of a cable had the
/// same number in their namespaces, the kernel would take the cable for an ordinary interface and tell of its carrier
/// up to a second late (`linkwatch_urgent_event`, net/core/link_watch.c).
const FIRST_PORT: u32 = 100_000;

/// How long a cable may take until frames go through.
const PATIENCE: Duration = Duration::from_secs(5);

impl Interface {
    pub(super) fn new(host: &Host, bridge: &Bridge, name: &str, mac: [u8; 6]) -> Result<Self, LabError> {
        let switch = &bridge.ground.switch;
        let number = bridge.ground.next_port();
        let port_name = format!("port{number}");
        let mut end = VethEnd::new(&port_name);
        end.index = IfIndex::new(FIRST_PORT + number).ok();
        let port = switch.netlink().create_veth(&end, &host.room().veth_end(name, mac))?.index;

        let index = host.link(name)?.index;
        let interface = Self { host: host.clone(), bridge: bridge.clone(), name: name.to_owned(), index, mac, port };
        interface.host.room().netlink().set_up(index, true)?;
        interface.heal()?;
        Ok(interface)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number in the host.
    pub fn index(&self) -> IfIndex {
        self.index
    }

    /// Its Ethernet address: locally administered, and the same in every run.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The host it belongs to.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Pull the cable: no frame passes, and the host sees it, because the carrier is lost.
    ///
    /// # Errors
    /// [`LabError::Network`] if the interface was deleted.
    pub fn cut(&self) -> Result<(), LabError> {
        Ok(self.bridge.ground.switch.netlink().set_up(self.port, false)?)
    }

    /// Cut the connection somewhere behind the next switch: no frame passes, but the carrier stays.
    ///
    /// # Errors
    /// [`LabError::Network`] if the interface was deleted.
    pub fn cut_silently(&self) -> Result<(), LabError> {
        Ok(self.bridge.ground.switch.netlink().set_master(self.port, None)?)
    }

    /// Cut one way: the host's frames pass, but it hears nobody.
    ///
    /// # Errors
    /// [`LabError::Network`] if the interface was deleted.
    pub fn deafen(&self) -> Result<(), LabError> {
        let flags = BridgePortFlags { flood: false, learning: false, locked: false };
        Ok(self.bridge.ground.switch.netlink().set_bridge_port(self.port, flags)?)
    }

    /// Cut the other way: the host hears everybody, but nobody hears it. Needs Linux 5.16.
    ///
    /// # Errors
    /// [`LabError::Network`] if the interface was deleted.
    pub fn mute(&self) -> Result<(), LabError> {
        let flags = BridgePortFlags { flood: true, learning: false, locked: true };
        Ok(self.bridge.ground.switch.netlink().set_bridge_port(self.port, flags)?)
    }

    /// Undo every cut, and return when frames pass again.
    ///
    /// # Errors
    /// [`LabError::Network`] if the interface was deleted.
    pub fn heal(&self) -> Result<(), LabError> {
        let switch = &self.bridge.ground.switch;
        switch.netlink().set_master(self.port, Some(self.bridge.index))?;
        switch.netlink().set_bridge_port(self.port, BridgePortFlags::default())?;
        switch.netlink().set_up(self.port, true)?;
        // If the host has set its end down, this is all that can be done.
        if self.host.link(&self.name).is_ok_and(|link| link.up) {
            wait_until(PATIENCE, || Ok(switch.netlink().link(self.port)?.running))?;
            wait_until(PATIENCE, || Ok(self.host.room().netlink().link(self.index)?.running))?;
        }
        Ok(())
    }

    /// Remove the interface from the host, as when a network card is pulled out. [`Host::attach`] puts another in,
    /// which has another number even with the same name.
    ///
    /// # Errors
    /// [`LabError::Network`] if it was deleted before.
    pub fn delete(&self) -> Result<(), LabError> {
        Ok(self.bridge.ground.switch.netlink().delete_link(self.port)?)
    }

    /// Record the VRRP, ARP and neighbor discovery frames on this interface, in both directions.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn capture(&self) -> Result<Capture, LabError> {
        Capture::start(self.host.room(), self.index, &[filter::ACCEPT])
    }

    /// As [`capture`](Self::capture), of what the host sends alone: a flood that it receives costs the recording nothing.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn capture_sent(&self) -> Result<Capture, LabError> {
        Capture::start(self.host.room(), self.index, &filter::SENT)
    }

    /// A packet socket at the switch's end of the cable: each frame that is sent through it reaches this host and nobody
    /// else, without a switch on its way. It receives nothing.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn outlet(&self) -> Result<OwnedFd, LabError> {
        let socket = self.bridge.ground.switch.socket(AF_PACKET, SOCK_RAW, 0)?;
        let bound = sys::bind_packet(socket.as_fd(), self.port, 0);
        bound.map_err(|error| LabError::io(format!("send frames to {}", self.name), error))?;
        Ok(socket)
    }
}
