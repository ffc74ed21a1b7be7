//! Live changes: what a virtual router is configured with, and the address that it advertises from.

use core::net::IpAddr;

use crate::{Action, Instant, Params, Role};

use super::addressing::check_own_address;
use super::config::check;
use super::{ConfigError, RouterId, VirtualRouterConfig, VrrpRouter};

impl VrrpRouter {
    /// Replaces the whole configuration of a virtual router without leaving its role. Returns the one before.
    ///
    /// An Active whose list of addresses changed is told to [install](Action::InstallAddresses) and to
    /// [announce](Action::Announce) them; then take away those that stand only in the configuration that is returned. What
    /// else changes holds from the next advertisement on, sent or received.
    ///
    /// A role is left only where it would not be served otherwise: a priority that is degraded by these parameters calls an
    /// election, if they say so ([`Yield`](crate::Yield)), and goes on to serve meanwhile. A claim that the application was
    /// asked about stays one, also when the [gate](Params::with_gate) is taken away: it is answered, or its time passes.
    ///
    /// What belongs to the running router stays: the primary address, unless [`source`](VirtualRouterConfig::source) names
    /// another one, which is taken to be there; what tracking adds to the priority, until it is
    /// [assessed](Self::set_assessment) again, unless these are parameters
    /// [with another effective priority](Params::with_effective_priority); counters, keys and the sync group. To move it to
    /// another interface [rebind](Self::rebind) it.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`]; [`ConfigError::OtherVrid`] or [`ConfigError::OtherFamily`], since that would be another
    /// virtual router; or what [`add`](Self::add) would refuse. Nothing changes then.
    pub fn reconfigure(
        &mut self,
        now: Instant,
        id: RouterId,
        config: VirtualRouterConfig,
    ) -> Result<VirtualRouterConfig, ConfigError> {
        let entry = self.slot_mut(id).ok_or(ConfigError::Unknown)?;
        let before = &entry.rest.config;
        if config.vrid != before.vrid {
            return Err(ConfigError::OtherVrid(before.vrid, config.vrid));
        }
        let versions = (before.params.version(), config.params.version());
        if versions.0.family() != versions.1.family() {
            return Err(ConfigError::OtherFamily { vrid: before.vrid, before: versions.0, after: versions.1 });
        }
        let primary = match config.source {
            Some(source) if before.source != Some(source) => Some(source),
            Some(_) | None => entry.router.params().primary_address(),
        };
        let params = config.params.with_primary_address(primary)?;
        let config = VirtualRouterConfig { params, ..config };
        check(&config, entry.is_signed())?;
        let same_addresses = before.addresses.len() == config.addresses.len()
            && before.addresses.iter().all(|address| config.addresses.contains(address));
        let before = core::mem::replace(&mut entry.rest.config, config);
        let actions = entry.router.replace_params(now, entry.tracked(params));
        self.queue(now, id, actions);
        if !same_addresses && self.state(id).is_some_and(|state| state.role() == Role::Active) {
            self.actions.extend([(id, Action::InstallAddresses), (id, Action::Announce)]);
        }
        Ok(before)
    }

    /// Replaces the parameters of a virtual router without leaving its role: as [`reconfigure`](Self::reconfigure) with all
    /// else as it is.
    ///
    /// # Errors
    /// As [`reconfigure`](Self::reconfigure).
    pub fn set_params(&mut self, now: Instant, id: RouterId, params: Params) -> Result<(), ConfigError> {
        let config = self.config(id).ok_or(ConfigError::Unknown)?.clone().with_params(params);
        self.reconfigure(now, id, config).map(drop)
    }

    /// Tells which address of its interface a virtual router can advertise from; without one it leaves the election. One
    /// with a [source](VirtualRouterConfig::source) of its own takes no other: tell whether that one is there.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`], or [`ConfigError::Params`] if the address is of the other family: nothing changes then.
    /// [`ConfigError::OwnAddressAsPeer`] if a peer has it, or [`ConfigError::NotLinkLocal`] over IPv6, where the peers
    /// would drop what comes from it: that is as if there were none.
    pub fn set_primary_address(
        &mut self,
        now: Instant,
        id: RouterId,
        address: Option<IpAddr>,
    ) -> Result<(), ConfigError> {
        let entry = self.slot_mut(id).ok_or(ConfigError::Unknown)?;
        let config = &mut entry.rest.config;
        let address = address.filter(|address| config.source.is_none_or(|source| source == *address));
        let checked = address.map_or(Ok(()), |address| check_own_address(config, address));
        let address = address.filter(|_| checked.is_ok());
        config.params = config.params.with_primary_address(address)?;
        let actions = entry.router.set_primary_address(now, address)?;
        self.queue(now, id, actions);
        checked
    }
}
