//! Rooms: network namespaces, and what is done in them from outside.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};

use super::error::{LabError, name};
use super::lock;
use crate::error::{Capability, Error};
use crate::netlink::{Netlink, VethEnd};
use crate::sys::lab::{AF_NETLINK, FileWrite, Namespaces, SOCK_RAW, Step, Visit, user_and_group};

/// A setting of the kernel: its path below /proc/sys, and its value.
type Setting = (&'static str, &'static str);

/// For the namespace of the bridges: it only forwards, and says nothing of its own.
pub(super) const SWITCH_SETTINGS: [Setting; 2] =
    [("net/ipv6/conf/all/disable_ipv6", "1"), ("net/ipv6/conf/default/disable_ipv6", "1")];

/// For hosts: IPv6 addresses can be used at once, and nobody waits for routers.
pub(super) const HOST_SETTINGS: [Setting; 4] = [
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
];

/// Whether this process can make network namespaces and configure them without a user namespace.
pub(super) fn privileged() -> bool {
    [Capability::SysAdmin, Capability::NetAdmin, Capability::NetRaw].iter().all(|it| it.is_effective())
}

/// A user namespace in which this user is root.
pub(super) fn new_user_namespace() -> Result<OwnedFd, LabError> {
    let (user, group) = user_and_group();
    let (uid_map, gid_map) = (format!("0 {user} 1"), format!("0 {group} 1"));
    let visit = Visit { new_user: Some((uid_map.as_bytes(), gid_map.as_bytes())), ..Visit::default() };
    let mut fds = visit.run().map_err(|(step, error)| LabError::not_allowed(step, &error))?;
    fds.pop().ok_or_else(|| LabError::io("make a user namespace", io::ErrorKind::UnexpectedEof.into()))
}

/// A network namespace with a netlink socket in it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(super) namespaces: Arc<Namespaces>,
    netlink: Mutex<Netlink>,
}

impl Room {
    /// A new one, with its loopback interface up.
    pub(super) fn new(user: Option<&Arc<OwnedFd>>, settings: &[Setting]) -> Result<Self, LabError> {
        let files: Vec<FileWrite> = settings.iter().filter_map(|(path, value)| file(path, value, true)).collect();
        let visit = Visit {
            user: user.map(|fd| fd.as_fd()),
            new_network: true,
            files: &files,
            socket: Some(ROUTE_SOCKET),
            ..Visit::default()
        };
        let mut fds = visit.run().map_err(|(step, error)| LabError::not_allowed(step, &error))?.into_iter();
        let (Some(network), Some(socket)) = (fds.next(), fds.next()) else {
            return Err(LabError::io("make a network namespace", io::ErrorKind::UnexpectedEof.into()));
        };
        let namespaces = Namespaces { user: user.map(Arc::clone), network };
        let mut netlink = Netlink::from_fd(socket)?;
        let loopback = netlink.link_by_name("lo")?;
        netlink.set_up(loopback.index, true).map_err(|error| match error {
            // The namespaces could be made, but give no privileges.
            Error::MissingCapability { .. } => {
                LabError::not_allowed(Step::NewNetwork, &io::ErrorKind::PermissionDenied.into())
            }
            error => error.into(),
        })?;
        Ok(Self { namespaces: Arc::new(namespaces), netlink: Mutex::new(netlink) })
    }

    /// The netlink socket in it.
    pub(super) fn netlink(&self) -> MutexGuard<'_, Netlink> {
        lock(&self.netlink)
    }

    /// A netlink socket of its own for the caller.
    pub(super) fn route_socket(&self) -> Result<OwnedFd, LabError> {
        let (domain, kind, protocol) = ROUTE_SOCKET;
        self.socket(domain, kind, protocol)
    }

    /// A socket in it.
    pub(super) fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Result<OwnedFd, LabError> {
        let operation = || format!("open a socket ({domain}, {kind}, {protocol}) in the lab");
        let mut fds = self.visit(&[], Some((domain, kind, protocol)), operation)?;
        fds.pop().ok_or_else(|| LabError::io(operation(), io::ErrorKind::UnexpectedEof.into()))
    }

    /// Write a setting, whose name has dots or slashes: `net.ipv4.ip_forward`.
    pub(super) fn set(&self, setting: &str, value: &str) -> Result<(), LabError> {
        let operation = || format!("set {setting} to {value:?} in the lab");
        // As sysctl(8): slashes in the name make it a path already, so that dots can be part of interface names.
        let path = if setting.contains('/') { setting.to_owned() } else { setting.replace('.', "/") };
        let Some(file) = file(&path, value, false) else {
            return Err(LabError::io(operation(), io::ErrorKind::InvalidInput.into()));
        };
        self.visit(&[file], None, operation).map(drop)
    }

    /// The second end of a cable, to be made in here.
    pub(super) fn veth_end<'a>(&'a self, name: &'a str, mac: [u8; 6]) -> VethEnd<'a> {
        let mut end = VethEnd::new(name);
        end.mac = Some(mac);
        end.namespace = Some(self.namespaces.network.as_fd());
        end
    }

    fn visit(
        &self,
        files: &[FileWrite],
        socket: Option<(i32, i32, i32)>,
        operation: impl Fn() -> String,
    ) -> Result<Vec<OwnedFd>, LabError> {
        let visit = Visit {
            user: self.namespaces.user.as_ref().map(|fd| fd.as_fd()),
            network: Some(self.namespaces.network.as_fd()),
            files,
            socket,
            ..Visit::default()
        };
        visit.run().map_err(|(step, error)| match step {
            Step::WriteFile | Step::Socket => LabError::io(operation(), error),
            step => LabError::io(format!("{}: {}", operation(), name(step)), error),
        })
    }
}

/// `NETLINK_ROUTE` is protocol 0.
const ROUTE_SOCKET: (i32, i32, i32) = (AF_NETLINK, SOCK_RAW, 0);

/// A file below /proc/sys to be written; `None` if the path cannot be one.
fn file(path: &str, value: &str, optional: bool) -> Option<FileWrite> {
    if path.split('/').any(|part| part == "..") {
        return None;
    }
    let path = CString::new(format!("/proc/sys/{path}")).ok()?;
    Some(FileWrite { path, text: value.as_bytes().to_vec(), optional })
}
