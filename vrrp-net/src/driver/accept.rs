//! `Accept_Mode`: whether this host takes packets for the addresses of an Active.

use std::net::IpAddr;

use vrrp_core::RouterId;

use super::Driver;
use super::event::DriverEvent;
use crate::error::Error;
use crate::netlink::DropTable;

impl Driver {
    /// Before the addresses are there: what comes in for them must be dropped, if they are not accepted. On failure nothing
    /// may be installed.
    pub(super) fn refuse_packets(&mut self, id: RouterId) -> Result<(), Error> {
        let accepts = self.router.params(id).is_none_or(|params| params.accepts_packets());
        let Some(managed) = self.managed.get(&id) else { return Ok(()) };
        let wanted: Vec<IpAddr> = match accepts {
            true => Vec::new(),
            false => managed.places.iter().map(|place| place.address.address()).collect(),
        };
        let before = managed.dropped.clone();
        let new: Vec<IpAddr> = wanted.iter().copied().filter(|address| !before.contains(address)).collect();
        if !new.is_empty() {
            let table = match &mut self.drop_table {
                Some(table) => table,
                None => self.drop_table.insert(DropTable::open()?),
            };
            table.add(&new)?;
        }
        let gone: Vec<IpAddr> = before.into_iter().filter(|address| !wanted.contains(address)).collect();
        if let Some(managed) = self.managed.get_mut(&id) {
            managed.dropped = wanted.into_iter().collect();
        }
        self.let_pass(id, &gone);
        Ok(())
    }

    /// The addresses are gone from this host.
    pub(super) fn accept_packets(&mut self, id: RouterId) {
        let Some(managed) = self.managed.get_mut(&id) else { return };
        let gone: Vec<IpAddr> = std::mem::take(&mut managed.dropped).into_iter().collect();
        self.let_pass(id, &gone);
    }

    fn let_pass(&mut self, id: RouterId, addresses: &[IpAddr]) {
        if let Some(table) = self.drop_table.as_mut().filter(|_| !addresses.is_empty())
            && let Err(error) = table.remove(addresses)
        {
            self.events.push(DriverEvent::SettingRefused { error });
        }
        let unused = self.managed.values().all(|managed| managed.dropped.is_empty());
        if unused && self.managed.contains_key(&id) {
            // The table goes with its socket.
            self.drop_table = None;
        }
    }
}
