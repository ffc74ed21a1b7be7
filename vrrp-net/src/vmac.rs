//! Interfaces with a virtual router's own MAC address (RFC 9568 §7.3): the neighbors' caches need not change when another
//! host takes over.
//!
//! Each is a macvlan over the interface that the virtual router runs on, its parent. The virtual addresses are put on it,
//! and ARP and neighbor discovery for them are answered with the virtual MAC address only (§8.1.2, §8.2.2):
//!
//! - On the parent `arp_ignore` is 1, so that it does not answer for addresses that are not its own, and `arp_announce` 2,
//!   so that its own ARP questions do not say that a virtual address is at the parent's MAC address. Both are set back when
//!   the last of the parent's interfaces goes. IPv6 does so without a setting. Another interface of the host on the same
//!   link needs the same `arp_ignore`: see [`Settings`].
//! - On the macvlan `arp_ignore` is 1, over IPv6 8, or it would answer for the host's other addresses; `rp_filter` is 2, since answers leave
//!   through the parent; nothing is derived from its MAC address (§7.4): no link-local address, no autoconfiguration.
//!
//! It is up only while the virtual router is Active: an interface that is down takes no frames that are sent to the virtual
//! MAC address (§6.4.2), and the parent hears an Active that sends from that address.
//!
//! Virtual addresses on it are best without a route to their prefix ([`AddressRequest::prefix_route`]), which the parent has;
//! but a link-local one needs `fe80::/64`, or neighbors that use link-local addresses get no answer.
//!
//! [`AddressRequest::prefix_route`]: crate::netlink::AddressRequest::prefix_route

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vrrp_core::{Family, IfIndex, Vrid};

use crate::error::Error;
use crate::netlink::{Link, Netlink, mac_text};
use crate::sys;
use crate::sysctl::{Drift, Setting, Settings};

/// Makes interfaces with virtual MAC addresses in one network namespace. Clones share what they know.
#[derive(Clone, Debug)]
pub struct VirtualMacs {
    workshop: Arc<Mutex<Workshop>>,
}

impl VirtualMacs {
    /// In the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`].
    pub fn open() -> Result<Self, Error> {
        Self::new(Netlink::open()?)
    }

    /// In the network namespace of `netlink`, which must be that of the threads that call.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Refused`].
    pub fn new(mut netlink: Netlink) -> Result<Self, Error> {
        let leftovers: Vec<Link> = netlink.links()?.into_iter().filter(|link| mark_of(link).is_some()).collect();
        let mut settings = Settings::new();
        for link in &leftovers {
            for (setting, earlier) in mark_of(link).into_iter().flat_map(earlier_values) {
                link.lower.into_iter().for_each(|parent| settings.inherit(parent, setting, earlier));
            }
        }
        Ok(Self { workshop: Arc::new(Mutex::new(Workshop { netlink, settings, leftovers })) })
    }

    /// The interface of a virtual router on `parent`, which is down unless it was adopted. Without a `name` it is
    /// `vrrp.VRID` or `vrrp6.VRID`, or if another parent's has that name, with a number behind it.
    ///
    /// One that a dead predecessor has left, with the same parent and MAC address, is adopted as it is, with its addresses.
    ///
    /// # Errors
    /// [`Error::UnknownInterface`] if there is no such parent; [`Error::InterfaceExists`] if something else has the name;
    /// [`Error::BadName`]; [`Error::Setting`]; [`Error::Refused`]; [`Error::MissingCapability`]. Nothing is left behind.
    pub fn create(
        &self,
        parent: IfIndex,
        vrid: Vrid,
        family: Family,
        name: Option<&str>,
    ) -> Result<VirtualMacInterface, Error> {
        let mac = vrid.virtual_mac(family);
        let mut workshop = self.lock();
        workshop.netlink.link(parent)?;
        let (link, adopted) = match workshop.adopt(parent, mac, name)? {
            Some(link) => (link, true),
            None => workshop.make(parent, mac, vrid, family, name)?,
        };
        let (index, name) = (link.index, link.name);
        if let Err(error) = workshop.prepare(parent, index, family) {
            // The first error is the one to tell of.
            let _ = workshop.discard(index, mac);
            return Err(error);
        }
        drop(workshop);
        let virtual_macs = self.clone();
        Ok(VirtualMacInterface { virtual_macs, parent, index, name, mac, family, adopted, removed: false })
    }

    /// The interfaces that a predecessor has left and that nobody has [created](Self::create) since. Some may belong to
    /// another process that is alive.
    pub fn leftovers(&self) -> Vec<Link> {
        self.lock().leftovers.clone()
    }

    /// Delete what a predecessor has left, and set back what it had set.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::MissingCapability`].
    pub fn remove_leftovers(&self) -> Result<(), Error> {
        self.remove_leftovers_if(|_| true).map(drop)
    }

    /// As [`remove_leftovers`](Self::remove_leftovers), of those that may go; returns their names.
    pub(crate) fn remove_leftovers_if(&self, may: impl Fn(&Link) -> bool) -> Result<Vec<String>, Error> {
        let mut workshop = self.lock();
        let (gone, kept) = std::mem::take(&mut workshop.leftovers).into_iter().partition(may);
        workshop.leftovers = gone;
        let mut names = Vec::new();
        let result = workshop.remove_all(&mut names);
        workshop.leftovers.extend(kept);
        result.map(|()| names)
    }

    /// The parents' settings that somebody has changed meanwhile: hosts may learn the wrong MAC address now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn drifted(&self) -> Result<Vec<Drift>, Error> {
        let Workshop { netlink, settings, .. } = &mut *self.lock();
        settings.drifted(netlink)
    }

    /// Also if a thread panicked meanwhile: what it left half done, the kernel tells.
    fn lock(&self) -> MutexGuard<'_, Workshop> {
        self.workshop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An interface with a virtual MAC address. Dropping it removes it.
#[derive(Debug)]
pub struct VirtualMacInterface {
    virtual_macs: VirtualMacs,
    parent: IfIndex,
    index: IfIndex,
    name: String,
    mac: [u8; 6],
    family: Family,
    adopted: bool,
    removed: bool,
}

impl VirtualMacInterface {
    /// Its number.
    pub fn index(&self) -> IfIndex {
        self.index
    }

    /// The name it got.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The virtual router's MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The interface that it is stacked on.
    pub fn parent(&self) -> IfIndex {
        self.parent
    }

    /// Whether a predecessor has left it.
    pub fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// Set it up, on the way to Active before its addresses; or down, after them. When it goes down, the kernel removes its
    /// IPv6 addresses, and the routes over it.
    ///
    /// # Errors
    /// [`Error::UnknownInterface`] if its parent was deleted, and it with that; [`Error::Refused`],
    /// [`Error::MissingCapability`].
    pub fn set_up(&self, up: bool) -> Result<(), Error> {
        let result = self.virtual_macs.lock().netlink.set_up(self.index, up);
        // Linux has changed its mind about the number.
        let busy = |error: &Error| matches!(error.raw_os_error(), Some(sys::EBUSY | sys::EADDRINUSE));
        result.map_err(|error| {
            let way_out = busy(&error).then(|| {
                let mac = mac_text(self.mac);
                format!("another interface of the same parent is up with {mac}: is another VRRP program running?")
            });
            error.with_way_out(way_out)
        })
    }

    /// Delete it and set the parent's settings back. If it is gone already, that is a success.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::MissingCapability`], [`Error::Setting`].
    pub fn remove(mut self) -> Result<(), Error> {
        self.take_away()
    }

    fn take_away(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.removed, true) {
            return Ok(());
        }
        let mut workshop = self.virtual_macs.lock();
        let discarded = workshop.discard(self.index, self.mac);
        let released: Vec<_> =
            parent_settings(self.family).iter().map(|(setting, _)| workshop.let_go(self.parent, *setting)).collect();
        released.into_iter().fold(discarded, Result::and)
    }
}

impl Drop for VirtualMacInterface {
    fn drop(&mut self) {
        // Nobody is left to tell; a successor adopts what stays.
        let _ = self.take_away();
    }
}

/// What the parent needs, so that it does not answer for the virtual addresses.
const fn parent_settings(family: Family) -> &'static [(Setting, i32)] {
    match family {
        Family::V4 => &[(Setting::ArpIgnore, 1), (Setting::ArpAnnounce, 2)],
        Family::V6 => &[],
    }
}

/// What the macvlan needs; of IPv6 only if the kernel has it.
const fn own_settings(family: Family) -> &'static [(Setting, i32)] {
    match family {
        Family::V4 => {
            &[(Setting::ArpIgnore, 1), (Setting::ArpFilter, 0), (Setting::RpFilter, 2), (Setting::DisableIpv6, 1)]
        }
        Family::V6 => {
            // Or it would answer for the host's IPv4 addresses, those of the IPv4 virtual router too.
            &[
                (Setting::ArpIgnore, 8),
                (Setting::DisableIpv6, 0),
                (Setting::AcceptRa, 0),
                (Setting::Autoconf, 0),
                (Setting::AcceptDad, 0),
            ]
        }
    }
}

/// The alias of an interface begins with this, if it is one of ours. What the parent's settings were before follows, so that
/// a successor can set them back.
const MARK: &str = "vrrp-net";

/// What the alias says after the mark; `None` if it is not ours.
fn mark_of(link: &Link) -> Option<&str> {
    link.alias.as_deref()?.strip_prefix(MARK).filter(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The settings of the parent that a mark tells of.
fn earlier_values(mark: &str) -> impl Iterator<Item = (Setting, i32)> + '_ {
    mark.split_whitespace().filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        let setting = [Setting::ArpIgnore, Setting::ArpAnnounce].into_iter().find(|setting| setting.name() == name)?;
        Some((setting, value.parse().ok()?))
    })
}

#[derive(Debug)]
struct Workshop {
    netlink: Netlink,
    settings: Settings,
    leftovers: Vec<Link>,
}

impl Workshop {
    /// What a predecessor has left for this.
    fn adopt(&mut self, parent: IfIndex, mac: [u8; 6], name: Option<&str>) -> Result<Option<Link>, Error> {
        let is_it = |link: &Link| is_macvlan(link, parent, mac);
        let Some(place) = self.leftovers.iter().position(is_it) else { return Ok(None) };
        let known = self.leftovers.swap_remove(place);
        // It may have gone since.
        let Ok(link) = self.netlink.link(known.index) else { return Ok(None) };
        if !is_it(&link) {
            return Ok(None);
        }
        if name.is_some_and(|name| name != link.name) {
            self.discard(link.index, mac)?;
            return Ok(None);
        }
        self.netlink.set_macvlan_bridging(link.index)?;
        Ok(Some(link))
    }

    /// A new one, or one that a predecessor had just made and not yet marked; and whether it is that.
    fn make(
        &mut self,
        parent: IfIndex,
        mac: [u8; 6],
        vrid: Vrid,
        family: Family,
        name: Option<&str>,
    ) -> Result<(Link, bool), Error> {
        let prefix = match family {
            Family::V4 => "vrrp",
            Family::V6 => "vrrp6",
        };
        let first = name.map_or_else(|| format!("{prefix}.{vrid}"), str::to_owned);
        let more = (2..=MOST_NAMES).map(|number| format!("{prefix}.{vrid}.{number}")).filter(|_| name.is_none());
        let mut in_the_way = None;
        for name in std::iter::once(first).chain(more) {
            let error = match self.netlink.create_macvlan(&name, parent, mac) {
                Ok(link) => return Ok((link, false)),
                Err(error) if error.raw_os_error() == Some(sys::EEXIST) => error,
                Err(error) => return Err(error),
            };
            let Ok(link) = self.netlink.link_by_name(&name) else { return Err(error) };
            if is_macvlan(&link, parent, mac) && !link.up && link.alias.is_none() {
                self.netlink.set_macvlan_bridging(link.index)?;
                return Ok((link, true));
            }
            in_the_way.get_or_insert(Error::InterfaceExists { name, what: describe(&link) });
        }
        Err(in_the_way.unwrap_or_else(|| Error::BadName { name: String::new(), what: "name of an interface" }))
    }

    /// Marks it and has everything set as it must be. On failure nothing is held.
    fn prepare(&mut self, parent: IfIndex, index: IfIndex, family: Family) -> Result<(), Error> {
        let mut wanted = Vec::new();
        let mut mark = MARK.to_owned();
        for (setting, value) in parent_settings(family) {
            let earlier = self.settings.earlier(&mut self.netlink, parent, *setting)?.unwrap_or(*value);
            mark.push_str(&format!(" {}={earlier}", setting.name()));
            // Stricter values than 1 do as well: 2 asks for the same subnet too, 8 is for silence.
            let strict = *setting == Setting::ArpIgnore && matches!(earlier, 2 | 8);
            wanted.push((*setting, if strict { earlier } else { *value }));
        }
        // First what is needed to undo it, then what is to be undone.
        self.netlink.set_alias(index, &mark)?;
        self.netlink.set_no_link_local(index)?;
        for (setting, value) in own_settings(family) {
            if self.netlink.setting(index, *setting)?.is_some() {
                self.netlink.set_setting(index, *setting, *value)?;
            }
        }
        for (place, (setting, value)) in wanted.iter().enumerate() {
            if let Err(error) = self.settings.hold(&mut self.netlink, parent, *setting, *value) {
                for (setting, _) in wanted.iter().take(place) {
                    // The first error is the one to tell of.
                    let _ = self.settings.release(&mut self.netlink, parent, *setting);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Deletes every leftover, and sets back what was set for it.
    fn remove_all(&mut self, names: &mut Vec<String>) -> Result<(), Error> {
        while let Some(link) = self.leftovers.pop() {
            let (Some(parent), Some(mac)) = (link.lower, link.mac) else { continue };
            let earlier: Vec<_> = mark_of(&link).into_iter().flat_map(earlier_values).collect();
            for (setting, _) in &earlier {
                // Held by the predecessor, so to speak; releasing sets it back.
                if let Some(value) = self.netlink.setting(parent, *setting)? {
                    self.settings.hold(&mut self.netlink, parent, *setting, value)?;
                }
            }
            self.discard(link.index, mac)?;
            for (setting, _) in earlier {
                self.let_go(parent, setting)?;
            }
            names.push(link.name);
        }
        Ok(())
    }

    /// Deletes an interface, if it is still the one that it was.
    fn discard(&mut self, index: IfIndex, mac: [u8; 6]) -> Result<(), Error> {
        match self.netlink.link(index) {
            Ok(link) if link.mac == Some(mac) && link.kind.as_deref() == Some("macvlan") => {}
            Ok(_) | Err(Error::UnknownInterface { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.netlink.delete_link(index) {
            Err(error) if error.raw_os_error() == Some(sys::ENODEV) => Ok(()),
            result => result,
        }
    }

    /// Releases a setting of a parent, unless an interface of another process still needs it: then that one sets it back.
    fn let_go(&mut self, parent: IfIndex, setting: Setting) -> Result<(), Error> {
        let word = format!("{}=", setting.name());
        let needs = |link: &Link| link.lower == Some(parent) && mark_of(link).is_some_and(|mark| mark.contains(&word));
        if self.settings.is_last(parent, setting) && self.netlink.links()?.iter().any(needs) {
            self.settings.let_go(parent, setting);
            return Ok(());
        }
        self.settings.release(&mut self.netlink, parent, setting)
    }
}

/// So many names are tried if none is given: as many parents on one host can have the same VRID.
const MOST_NAMES: u32 = 99;

fn is_macvlan(link: &Link, parent: IfIndex, mac: [u8; 6]) -> bool {
    link.kind.as_deref() == Some("macvlan") && link.lower == Some(parent) && link.mac == Some(mac)
}

fn describe(link: &Link) -> String {
    let kind = link.kind.as_deref().unwrap_or("an interface of its own");
    let mac = link.mac.map_or_else(|| "no MAC address".to_owned(), mac_text);
    let over = link.lower.map_or_else(String::new, |lower| format!(" over interface {lower}"));
    let ours = if mark_of(link).is_some() { ", of another virtual router" } else { "" };
    format!("{kind}{over} with {mac}{}{ours}", if link.up { ", up" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_keeps_what_the_parents_settings_were() {
        let read: Vec<_> = earlier_values(" arp_ignore=0 arp_announce=2 nonsense arp_ignore=x other=1").collect();
        assert_eq!(read, [(Setting::ArpIgnore, 0), (Setting::ArpAnnounce, 2)]);
    }
}
