//! The receive path: whose datagram it is, and what is counted and raised when it is dropped.

use core::net::IpAddr;

use crate::wire::{Accepted, AddressListMatch, Discard, Envelope, Expected, Packet, Reason};
use crate::{Alarm, Event, Family, IfIndex, Instant, Vrid};

use super::{RouterId, Slot, VrrpRouter};

impl VrrpRouter {
    /// Hands in a datagram of IP protocol 112 that arrived on `interface`: `payload` without the IP header, and what
    /// that header said. Returns the virtual router that took it.
    ///
    /// # Errors
    /// Why it was dropped (RFC 9568 §7.1). It is counted, and has changed nothing.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        interface: IfIndex,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<RouterId, Discard> {
        self.accept(now, interface, envelope, payload).inspect_err(|discard| {
            self.count_discard(interface, Some(Family::of(envelope.source)), payload, *discard);
        })
    }

    /// Counts a datagram that the caller itself had to drop, for instance because its IP header was nonsense.
    pub fn count_undecodable(&mut self, discard: Discard) {
        self.discards.record(discard);
    }

    fn accept(
        &mut self,
        now: Instant,
        interface: IfIndex,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<RouterId, Discard> {
        #[cfg(feature = "auth-hmac")]
        if let Some(result) = self.accept_signed(now, interface, envelope, payload) {
            return result;
        }
        let packet = Packet::parse(envelope, payload)?;
        let unknown = Discard::Vrid(packet.vrid_octet());
        let vrid = packet.vrid().ok_or(unknown)?;
        let slot = *self.by_key.get(&(interface, Family::of(envelope.source), vrid)).ok_or(unknown)?;
        let entry = self.slots.get_mut(slot).and_then(Option::as_mut).ok_or(unknown)?;
        let id = RouterId { slot, generation: entry.generation };
        let result = packet.accept(envelope, &entry.expected());
        self.take(now, id, envelope.source, result)
    }

    /// Takes over what came of the checks of one virtual router.
    pub(super) fn take(
        &mut self,
        now: Instant,
        id: RouterId,
        source: IpAddr,
        result: Result<Accepted, Discard>,
    ) -> Result<RouterId, Discard> {
        match result {
            Ok(accepted) => {
                if let Some(entry) = self.slot_mut(id) {
                    entry.note(&accepted);
                }
                if accepted.notes.address_list == AddressListMatch::Disjoint {
                    self.raise(now, id, Alarm::VridClash(source));
                }
                self.apply(now, id, Event::Advert(accepted.advert));
                Ok(id)
            }
            Err(discard) => {
                if let Some(alarm) = alarm_of(source, discard) {
                    self.raise(now, id, alarm);
                }
                Err(discard)
            }
        }
    }

    fn count_discard(&mut self, interface: IfIndex, family: Option<Family>, payload: &[u8], discard: Discard) {
        self.discards.record(discard);
        // Also where the packet says that it belongs, if there is such a virtual router.
        if let (Some(family), Some(vrid)) = (family, payload.get(1).and_then(|octet| Vrid::new(*octet).ok()))
            && let Some(slot) = self.by_key.get(&(interface, family, vrid)).copied()
            && let Some(entry) = self.slots.get_mut(slot).and_then(Option::as_mut)
        {
            entry.counters.discards.record(discard);
        }
    }
}

/// What a discarded packet for a virtual router of ours may mean, beyond being garbage.
fn alarm_of(source: IpAddr, discard: Discard) -> Option<Alarm> {
    match discard.reason() {
        reason @ (Reason::Version
        | Reason::Checksum
        | Reason::AuthType
        | Reason::AuthTypeMismatch
        | Reason::AuthFailure
        | Reason::AuthExtMissing
        | Reason::AuthExtMalformed
        | Reason::AuthExtStale
        | Reason::AuthExtUnknownKey
        | Reason::AuthExtInvalidHmac
        | Reason::AuthExtReplay
        | Reason::Interval
        | Reason::AddressList) => Some(Alarm::RejectedPeer(source, reason)),
        Reason::SelfReceived => Some(Alarm::SameAddress(source)),
        _ => None,
    }
}

impl Slot {
    pub(super) fn expected(&self) -> Expected<'_> {
        Expected {
            interval: self.router.params().advert_interval(),
            any_v2_interval: self.router.params().learns_v2_interval(),
            authentication: self.config.authentication,
            addresses: &self.config.addresses,
            primary: self.router.params().primary_address(),
            ..Expected::new(self.router.params().version(), self.config.vrid)
        }
    }

    fn note(&mut self, accepted: &Accepted) {
        self.counters.adverts_received += 1;
        self.counters.resignations_received += u64::from(accepted.advert.priority.is_none());
        self.counters.interval_differs += u64::from(accepted.notes.interval_differs);
        self.counters.address_list_differs += u64::from(accepted.notes.is_address_list_error());
        if let Some(form) = accepted.notes.checksum_form {
            self.counters.other_checksum_form += u64::from(form != self.checksum_form());
            self.heard_checksum = Some(form);
        }
    }
}
