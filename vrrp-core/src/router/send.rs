//! The transmit path: the octets of an advertisement, and where they go.

use core::net::IpAddr;

use crate::wire::{EmitError, Repr};
use crate::{Claim, IfIndex};

use super::{AdvertError, RouterId, Slot, VrrpRouter};

/// Where an advertisement that was built goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The interface to send on; `None` while it does not exist.
    pub interface: Option<IfIndex>,
    /// Source address for the IP header: the checksum may cover it.
    pub source: IpAddr,
    /// Destination address for the IP header.
    pub destination: IpAddr,
    /// TTL or hop limit for the IP header: 255, unless the peers are behind routers.
    pub ttl: u8,
    /// Octets written to the buffer.
    pub len: usize,
}

impl VrrpRouter {
    /// Where each advertisement of a virtual router goes: the group, or every unicast peer. Build it once for the first,
    /// [`build_advert`](Self::build_advert), and then a [copy](Self::build_copy) for each other one.
    pub fn destinations(&self, id: RouterId) -> &[IpAddr] {
        self.slot(id).map(|entry| entry.rest.config.addressing.destinations(entry.family())).unwrap_or_default()
    }

    /// Builds the advertisement of [`Action::SendAdvert`](crate::Action::SendAdvert), for the first of its
    /// [destinations](Self::destinations), in `buffer`, which 1036 octets suffice for over IPv4 and 4088
    /// over IPv6, each and 28 more for one that is signed.
    ///
    /// # Errors
    /// [`AdvertError`]: what is missing.
    pub fn build_advert(&mut self, id: RouterId, claim: Claim, buffer: &mut [u8]) -> Result<Outgoing, AdvertError> {
        #[cfg(feature = "auth-hmac")]
        self.stamp(id, false)?;
        let entry = self.slot_mut(id).ok_or(AdvertError::Unknown)?;
        let group = entry.family().group();
        // There is always one: see `check_addressing`.
        let first = entry.rest.config.addressing.destinations(entry.family()).first().copied().unwrap_or(group);
        let advert = entry.emit(claim, first, buffer)?;
        entry.rest.last_source = Some(advert.source);
        Ok(advert)
    }

    /// Builds one more copy of the advertisement that was built last, for another destination. A receiver takes the
    /// copies for one advertisement: if they are signed, they have one sequence.
    ///
    /// # Errors
    /// [`AdvertError`]: what is missing.
    pub fn build_copy(
        &mut self,
        id: RouterId,
        claim: Claim,
        destination: IpAddr,
        buffer: &mut [u8],
    ) -> Result<Outgoing, AdvertError> {
        #[cfg(feature = "auth-hmac")]
        self.stamp(id, true)?;
        self.slot(id).ok_or(AdvertError::Unknown)?.emit(claim, destination, buffer)
    }

    /// Counts an advertisement that was sent, once however many copies there were.
    pub fn count_sent(&mut self, id: RouterId, claim: Claim) {
        if let Some(entry) = self.slot_mut(id) {
            entry.rest.counters.adverts_sent += 1;
            entry.rest.counters.resignations_sent += u64::from(claim.priority.is_none());
        }
    }

    /// Counts an advertisement that could not be sent, once however many copies there were. That it cannot be sent for
    /// Active_Down_Interval is [`Fault::Send`](crate::Fault::Send), which the caller tells.
    pub fn count_send_failed(&mut self, id: RouterId) {
        if let Some(entry) = self.slot_mut(id) {
            entry.rest.counters.sends_failed += 1;
        }
    }
}

impl Slot {
    fn emit(&self, claim: Claim, destination: IpAddr, buffer: &mut [u8]) -> Result<Outgoing, AdvertError> {
        // A router that has just lost its address resigns from it all the same: the others need not wait.
        let last = self.rest.last_source.filter(|_| claim.priority.is_none());
        let source = self.router.params().primary_address().or(last).ok_or(AdvertError::NoPrimaryAddress)?;
        let repr = Repr {
            version: self.router.params().version(),
            vrid: self.rest.config.vrid,
            priority: claim.priority,
            interval: claim.interval,
            authentication: self.rest.config.authentication,
            addresses: &self.rest.config.addresses,
        };
        let len = self.write(&repr, source, destination, buffer)?;
        let ttl = self.rest.config.addressing.ttl().sent();
        Ok(Outgoing { interface: self.interface, source, destination, ttl, len })
    }

    fn write(
        &self,
        repr: &Repr<'_>,
        source: IpAddr,
        destination: IpAddr,
        buffer: &mut [u8],
    ) -> Result<usize, EmitError> {
        // Whoever gets here has drawn a stamp, if there are keys: see `VrrpRouter::stamp`.
        #[cfg(feature = "auth-hmac")]
        if let Some(hmac) = &self.hmac
            && let Some(stamp) = hmac.last_stamp()
        {
            return hmac.emit(stamp, repr, source, destination, self.checksum_form(), buffer);
        }
        repr.emit(source, destination, self.checksum_form(), buffer)
    }
}
