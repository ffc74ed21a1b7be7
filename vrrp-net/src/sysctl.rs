//! Settings of the kernel for one interface: read, set, and set back when nobody needs them any more.
//!
//! All are read, and those of IPv4 set, by netlink: in the network namespace of the socket, and also where `/proc/sys` is
//! read-only, as in most containers. Those of IPv6 can only be written below `/proc/sys`, which is that of the calling
//! thread's network namespace.

use std::collections::BTreeMap;
use std::io;

use vrrp_core::IfIndex;

use crate::error::Error;
use crate::netlink::{InterfaceSettings, Netlink};
use crate::sys;

/// A setting of the kernel that each interface has (Documentation/networking/ip-sysctl.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Setting {
    /// `net.ipv4.conf.*.arp_ignore`: 1: ARP is answered only for addresses of the interface that the question came in by.
    ArpIgnore,
    /// `net.ipv4.conf.*.arp_announce`: 2: ARP questions say an address of the interface that they leave by.
    ArpAnnounce,
    /// `net.ipv4.conf.*.arp_filter`: 1: ARP is answered only by the interface that the answer's packets would leave by.
    ArpFilter,
    /// `net.ipv4.conf.*.rp_filter`: 1: packets whose answers would leave by another interface are dropped; 2: only those
    /// that have no way back at all. The higher one of the interface's and `all`'s counts.
    RpFilter,
    /// `net.ipv4.conf.*.promote_secondaries`: 1: deleting an address leaves the later ones of its prefix alone.
    PromoteSecondaries,
    /// `net.ipv6.conf.*.disable_ipv6`.
    DisableIpv6,
    /// `net.ipv6.conf.*.accept_ra`: whether router advertisements are heeded.
    AcceptRa,
    /// `net.ipv6.conf.*.autoconf`: whether router advertisements make addresses.
    Autoconf,
    /// `net.ipv6.conf.*.accept_dad`: whether duplicate address detection is done.
    AcceptDad,
}

impl Setting {
    /// Its last name: `arp_ignore`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ArpIgnore => "arp_ignore",
            Self::ArpAnnounce => "arp_announce",
            Self::ArpFilter => "arp_filter",
            Self::RpFilter => "rp_filter",
            Self::PromoteSecondaries => "promote_secondaries",
            Self::DisableIpv6 => "disable_ipv6",
            Self::AcceptRa => "accept_ra",
            Self::Autoconf => "autoconf",
            Self::AcceptDad => "accept_dad",
        }
    }

    /// Where the kernel keeps it.
    const fn place(self) -> Place {
        match self {
            Self::RpFilter => Place::V4(8),
            Self::ArpFilter => Place::V4(13),
            Self::ArpAnnounce => Place::V4(18),
            Self::ArpIgnore => Place::V4(19),
            Self::PromoteSecondaries => Place::V4(20),
            Self::AcceptRa => Place::V6(3),
            Self::Autoconf => Place::V6(5),
            Self::DisableIpv6 => Place::V6(26),
            Self::AcceptDad => Place::V6(27),
        }
    }
}

/// The family, and the number in linux/ip.h or linux/ipv6.h.
#[derive(Clone, Copy)]
enum Place {
    V4(u16),
    V6(u16),
}

impl Netlink {
    /// The value of a setting on one interface; `None` if the kernel does not have it, above all because it has no IPv6.
    ///
    /// # Errors
    /// [`Error::UnknownInterface`], [`Error::Io`].
    pub fn setting(&mut self, interface: IfIndex, setting: Setting) -> Result<Option<i32>, Error> {
        Ok(value(&self.interface_settings(interface)?, setting))
    }

    /// Set a setting on one interface. If it has that value already, nothing is written.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::MissingCapability`], [`Error::UnknownInterface`]; for a setting of IPv6
    /// [`Error::Setting`], which names the file, if `/proc/sys` is read-only or that of another network namespace.
    pub fn set_setting(&mut self, interface: IfIndex, setting: Setting, wanted: i32) -> Result<(), Error> {
        if self.setting(interface, setting)? == Some(wanted) {
            return Ok(());
        }
        match setting.place() {
            Place::V4(number) => self.set_v4_setting(interface, number, wanted, setting.name()),
            Place::V6(_) => {
                let name = self.link(interface)?.name;
                write_file(&name, setting, wanted)?;
                if self.setting(interface, setting)? == Some(wanted) {
                    return Ok(());
                }
                let elsewhere = "the netlink socket is in another network namespace than this thread: set it there";
                Err(failure(&name, setting, wanted, io::ErrorKind::NotFound.into(), elsewhere.to_owned()))
            }
        }
    }
}

/// Settings that are held at a value as long as somebody needs it, and are set back after that.
///
/// It has no socket of its own, so dropping it sets nothing back: [`release`](Self::release) does.
#[derive(Debug, Default)]
pub struct Settings {
    held: BTreeMap<(IfIndex, Setting), Held>,
    /// What a predecessor has found, which did not get to set it back.
    inherited: BTreeMap<(IfIndex, Setting), i32>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    users: u32,
    earlier: i32,
    value: i32,
}

/// A setting that somebody else has changed while it was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// The interface.
    pub interface: IfIndex,
    /// The setting.
    pub setting: Setting,
    /// What it is held at.
    pub wanted: i32,
    /// What it is.
    pub found: i32,
}

impl Settings {
    /// Nothing is held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Have a setting at `value` until [`release`](Self::release) was called as often as this.
    ///
    /// # Errors
    /// What [`Netlink::set_setting`] gives; [`Error::Unsupported`] if it is held at another value.
    pub fn hold(
        &mut self,
        netlink: &mut Netlink,
        interface: IfIndex,
        setting: Setting,
        value: i32,
    ) -> Result<(), Error> {
        let earlier = self.earlier(netlink, interface, setting)?.unwrap_or(value);
        if let Some(held) = self.held.get_mut(&(interface, setting)) {
            if held.value != value {
                let (name, other) = (setting.name(), held.value);
                let what = format!("{name} of interface {interface} cannot be {value}: it is held at {other} already");
                return Err(Error::Unsupported(what));
            }
            held.users = held.users.saturating_add(1);
            return Ok(());
        }
        netlink.set_setting(interface, setting, value)?;
        self.held.insert((interface, setting), Held { users: 1, earlier, value });
        Ok(())
    }

    /// Undo one [`hold`](Self::hold). After the last one the setting is as it was before the first, unless somebody else
    /// has changed it meanwhile. An interface that is gone needs nothing.
    ///
    /// # Errors
    /// What [`Netlink::set_setting`] gives.
    pub fn release(&mut self, netlink: &mut Netlink, interface: IfIndex, setting: Setting) -> Result<(), Error> {
        match self.let_go(interface, setting) {
            Some(held) => restore(netlink, interface, setting, held),
            None => Ok(()),
        }
    }

    /// The settings that are not what they are held at.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn drifted(&self, netlink: &mut Netlink) -> Result<Vec<Drift>, Error> {
        let mut drifted = Vec::new();
        for (&(interface, setting), held) in &self.held {
            let found = match netlink.setting(interface, setting) {
                Ok(found) => found,
                Err(Error::UnknownInterface { .. }) => None,
                Err(error) => return Err(error),
            };
            let wanted = held.value;
            drifted.extend(found.filter(|found| *found != wanted).map(|found| Drift {
                interface,
                setting,
                wanted,
                found,
            }));
        }
        Ok(drifted)
    }

    /// What a setting was before anybody held it; `None` if the kernel does not have it.
    pub(crate) fn earlier(
        &self,
        netlink: &mut Netlink,
        interface: IfIndex,
        setting: Setting,
    ) -> Result<Option<i32>, Error> {
        let key = (interface, setting);
        let known = self.held.get(&key).map(|held| held.earlier).or(self.inherited.get(&key).copied());
        if known.is_some() { Ok(known) } else { netlink.setting(interface, setting) }
    }

    /// Takes over what a predecessor has found.
    pub(crate) fn inherit(&mut self, interface: IfIndex, setting: Setting, earlier: i32) {
        self.inherited.insert((interface, setting), earlier);
    }

    /// Whether the next release sets it back.
    pub(crate) fn is_last(&self, interface: IfIndex, setting: Setting) -> bool {
        self.held.get(&(interface, setting)).is_some_and(|held| held.users == 1)
    }

    /// Undoes one hold without setting anything back. After the last one, what there would be to set back.
    pub(crate) fn let_go(&mut self, interface: IfIndex, setting: Setting) -> Option<Held> {
        let key = (interface, setting);
        let held = self.held.get_mut(&key)?;
        held.users = held.users.saturating_sub(1);
        if held.users > 0 {
            return None;
        }
        self.inherited.remove(&key);
        self.held.remove(&key)
    }
}

/// Sets back what is still as it was held.
fn restore(netlink: &mut Netlink, interface: IfIndex, setting: Setting, held: Held) -> Result<(), Error> {
    let result = match netlink.setting(interface, setting) {
        Ok(Some(found)) if found == held.value => netlink.set_setting(interface, setting, held.earlier),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match result {
        Err(Error::UnknownInterface { .. }) => Ok(()),
        result => result,
    }
}

fn value(settings: &InterfaceSettings, setting: Setting) -> Option<i32> {
    match setting.place() {
        Place::V4(number) => settings.v4(number),
        Place::V6(number) => settings.v6(number),
    }
}

/// Writes a setting of IPv6.
fn write_file(interface: &str, setting: Setting, value: i32) -> Result<(), Error> {
    let name = setting.name();
    let path = format!("{SETTINGS}/{interface}/{name}");
    std::fs::write(path, value.to_string()).map_err(|source| {
        let way_out = match source.raw_os_error() {
            Some(sys::EROFS) => format!(
                "/proc/sys is read-only here, as in most containers: set net.ipv6.conf.default.{name} to {value} from outside \
                 before the interface is made (docker run --sysctl net.ipv6.conf.default.{name}={value})"
            ),
            Some(sys::EACCES | sys::EPERM) => {
                format!("CAP_NET_ADMIN is needed, or by hand: sysctl -w net/ipv6/conf/{interface}/{name}={value}")
            }
            _ => format!("By hand: sysctl -w net/ipv6/conf/{interface}/{name}={value}"),
        };
        failure(interface, setting, value, source, way_out)
    })
}

fn failure(interface: &str, setting: Setting, value: i32, source: io::Error, way_out: String) -> Error {
    let file = format!("{SETTINGS}/{interface}/{}", setting.name());
    Error::Setting { file, value, source, way_out }
}

const SETTINGS: &str = "/proc/sys/net/ipv6/conf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_where_the_kernel_shows_it() {
        let mut netlink = Netlink::open().unwrap();
        let loopback = netlink.link_by_name("lo").unwrap().index;
        let all = [
            Setting::ArpIgnore,
            Setting::ArpAnnounce,
            Setting::ArpFilter,
            Setting::RpFilter,
            Setting::PromoteSecondaries,
            Setting::DisableIpv6,
            Setting::AcceptRa,
            Setting::Autoconf,
            Setting::AcceptDad,
        ];
        for setting in all {
            let family = if matches!(setting.place(), Place::V4(_)) { "ipv4" } else { "ipv6" };
            let file = format!("/proc/sys/net/{family}/conf/lo/{}", setting.name());
            let shown = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
            assert_eq!(netlink.setting(loopback, setting).unwrap(), shown, "{file}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_with_what_to_set() {
        let error = write_file("nosuch0", Setting::AcceptRa, 0).unwrap_err().to_string();
        assert!(error.starts_with("set /proc/sys/net/ipv6/conf/nosuch0/accept_ra to 0: "), "{error}");
        assert!(error.contains("net/ipv6/conf/nosuch0/accept_ra=0"), "{error}");
    }
}
