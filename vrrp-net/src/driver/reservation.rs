//! One process of a host for each virtual router: two would both be Active, with one source address, and neither hears the
//! other.
//!
//! Each takes a name of the network namespace's abstract unix sockets, which the kernel frees when the process ends, however
//! it does.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use vrrp_core::{Event, Family, Instant, RouterId, Vrid};

use super::Driver;
use super::event::DriverEvent;
use super::managed::{Chore, Managed};
use crate::error::Error;
use crate::{RouterConfig, VirtualMacs, sys};

/// How often one that waits looks whether the other process has ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// That no other process runs a virtual router. Nobody is ever accepted; to be bound is all.
#[derive(Debug)]
pub(super) struct Reservation(UnixListener);

impl Reservation {
    /// The name that it holds.
    fn name(&self) -> Option<String> {
        let address = self.0.local_addr().ok()?;
        Some(String::from_utf8_lossy(address.as_abstract_name()?).into_owned())
    }
}

/// What became of a request for one.
enum Request {
    Granted(Option<Reservation>),
    /// Another process has it, of this number if that could be found out.
    Taken(Option<u32>),
}

impl Driver {
    /// Starts a virtual router; but if another process of this host runs it, not before that one has ended.
    pub(super) fn start(&mut self, now: Instant, id: RouterId) {
        let Some(managed) = self.managed.get_mut(&id) else { return };
        let request = match managed.reservation.take() {
            Some(reservation) => Request::Granted(Some(reservation)),
            None => request(&managed.config),
        };
        match request {
            Request::Granted(reservation) => {
                managed.reservation = reservation;
                managed.run_by_another = false;
                self.router.handle_event(now, id, Event::Startup);
                let faults = self.router.state(id).map(|state| state.faults()).unwrap_or_default();
                if !faults.is_empty() {
                    self.events.push(DriverEvent::Waiting { router: id, faults });
                }
            }
            Request::Taken(process) => {
                if !std::mem::replace(&mut managed.run_by_another, true) {
                    self.events.push(DriverEvent::RunByAnother { router: id, process });
                }
                self.chores.insert((now + PATIENCE, Chore::Start(id)));
            }
        }
    }
}

impl Driver {
    /// Removes what a process that died has left on this host and no virtual router of this driver has taken over: its
    /// interfaces with virtual MAC addresses, and the settings of the interfaces below them; routes, rules and static addresses.
    /// Those of virtual routers that another process runs are let be, and as long as any other process of this crate runs,
    /// all routes, rules and static addresses are. Returns the interfaces' names, and what else it was: `route 198.51.100.0/24
    /// table 254`, `rule 1000`.
    ///
    /// To be called once all virtual routers are there: those that use such an interface again
    /// [adopt](crate::VirtualMacInterface::is_adopted) it.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Io`].
    pub fn remove_leftovers(&mut self) -> Result<Vec<String>, Error> {
        let virtual_macs = match &self.virtual_macs {
            Some(virtual_macs) => virtual_macs.clone(),
            None => VirtualMacs::open()?,
        };
        let mut removed = if self.another_runs() { Vec::new() } else { self.remove_left_paths()? };
        let names: BTreeMap<_, _> = self.netlink.links()?.into_iter().map(|link| (link.index, link.name)).collect();
        let managed = &self.managed;
        let made = virtual_macs.remove_leftovers_if(|link| {
            let parent = link.lower.and_then(|lower| names.get(&lower));
            let whose = link.mac.and_then(virtual_router_of);
            let (Some(parent), Some((vrid, family))) = (parent, whose) else { return false };
            // One that this driver runs without such an interface, and nobody else then.
            let is_it = |config: &RouterConfig| {
                (&config.interface, config.vrid, config.family()) == (parent, vrid, family)
                    && config.virtual_mac.is_none()
            };
            let is_ours = managed.values().any(|managed| managed.reservation.is_some() && is_it(&managed.config));
            is_ours || matches!(request_name(&name(parent, vrid, family)), Request::Granted(_))
        })?;
        removed.extend(made);
        Ok(removed)
    }

    /// Whether another process of this host may have routes and rules of its own on it.
    fn another_runs(&self) -> bool {
        let runs = |managed: &&Managed| managed.reservation.is_some();
        let own = self.managed.values().filter(runs).map(|managed| {
            let config = &managed.config;
            name(&config.interface, config.vrid, config.family())
        });
        let statics = self.statics.reservation.as_ref().and_then(Reservation::name);
        let own: BTreeSet<String> = own.chain(statics).collect();
        let Ok(sockets) = std::fs::read_to_string("/proc/thread-self/net/unix") else { return true };
        let names = sockets.lines().filter_map(|line| line.split_whitespace().last()?.strip_prefix('@'));
        names.filter(|name| name.starts_with(NAMES)).any(|name| !own.contains(name))
    }
}

/// The virtual router with this MAC address (RFC 9568 §7.3).
fn virtual_router_of(mac: [u8; 6]) -> Option<(Vrid, Family)> {
    let vrid = Vrid::new(mac[5]).ok()?;
    [Family::V4, Family::V6].into_iter().find(|family| vrid.virtual_mac(*family) == mac).map(|family| (vrid, family))
}

/// What one with a virtual MAC address needs before anything else: the interface of a live process looks like one that a
/// dead one has left.
pub(super) fn reserve(config: &RouterConfig) -> Result<Option<Reservation>, Error> {
    match request(config) {
        Request::Granted(reservation) => Ok(reservation),
        Request::Taken(process) => {
            let interface = config.interface.clone();
            Err(Error::RunByAnother { vrid: config.vrid, interface, process })
        }
    }
}

fn request(config: &RouterConfig) -> Request {
    request_name(&name(&config.interface, config.vrid, config.family()))
}

fn name(interface: &str, vrid: Vrid, family: Family) -> String {
    format!("{NAMES}{interface}/{vrid}/{family:?}")
}

/// Says to other processes that what stays whatever the roles are is not left over.
pub(super) fn reserve_statics() -> Option<Reservation> {
    (0..MOST_STATICS).find_map(|number| match request_name(&format!("{NAMES}statics/{number}")) {
        Request::Granted(reservation) => Some(reservation),
        Request::Taken(_) => None,
    })?
}

/// What all names begin with.
const NAMES: &str = "vrrp-net/";

/// So many processes of a host may have them.
const MOST_STATICS: u32 = 64;

fn request_name(name: &str) -> Request {
    let bound = SocketAddr::from_abstract_name(name).and_then(|address| UnixListener::bind_addr(&address));
    match bound {
        Ok(listener) => Request::Granted(Some(Reservation(listener))),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match holder(name) {
            // Any program can take a name. Only one that could do without is believed.
            Ok((_, user)) if user != 0 && user != sys::effective_user() => Request::Granted(None),
            Ok((process, _)) => Request::Taken(u32::try_from(process).ok().filter(|process| *process > 0)),
            Err(_) => Request::Taken(None),
        },
        // A sandbox without unix sockets: then there is no such protection.
        Err(_) => Request::Granted(None),
    }
}

/// The process that has a name, and its user.
fn holder(name: &str) -> io::Result<(i32, u32)> {
    // Nobody accepts, so that it must not wait.
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.connect(&SockAddr::unix(format!("\0{name}"))?)?;
    sys::peer_credentials(socket.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_router_is_run_once_and_can_be_run_again_after_that() {
        let address = "192.0.2.100".parse().unwrap();
        let config = RouterConfig::new("none-such-0", Vrid::new(7).unwrap(), vec![address]);
        let Request::Granted(Some(first)) = request(&config) else { panic!("nobody else has it") };
        let Request::Taken(process) = request(&config) else { panic!("it is taken") };
        assert_eq!(process, Some(std::process::id()));
        let other = RouterConfig::new("none-such-1", Vrid::new(7).unwrap(), vec![address]);
        assert!(matches!(request(&other), Request::Granted(Some(_))));
        drop(first);
        assert!(matches!(request(&config), Request::Granted(Some(_))));
    }
}
