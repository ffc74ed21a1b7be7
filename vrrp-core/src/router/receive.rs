//! The receive path: whose datagram it is, and what is counted and raised when it is dropped.

use core::net::IpAddr;
use core::time::Duration;

use crate::wire::accept::check_addressing;
use crate::wire::{Accepted, AddressListMatch, Discard, Envelope, Packet, Reason, SIGNATURE_LEN};
use crate::{Alarm, Event, Family, IfIndex, Instant, State, Vrid};

use super::places::Key;
use super::{RouterId, VrrpRouter};

/// When a datagram was read, and how long it had been there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) now: Instant,
    waited: Duration,
}

impl Read {
    /// The time of the event that its advertisement is.
    fn counts_from(self, state: &State) -> Instant {
        match state {
            State::Backup(backup) => (self.now - self.waited).max(backup.armed_at),
            State::Initialize(_) | State::Claimant(_) | State::Active(_) => self.now,
        }
    }
}

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
        self.handle_waiting_datagram(now, Duration::ZERO, interface, envelope, payload)
    }

    /// As [`handle_datagram`](Self::handle_datagram), for one that had been waiting for so long when it was read: a Backup's
    /// Active_Down_Timer starts when its advertisement came, so that the time to wake up delays no takeover. Nothing else is
    /// backdated: several that have waited together are answered together, and a router that was held up is held to have been.
    ///
    /// Bound `waited` to a part of the interval: of what waited longer the oldest may be all that a full queue has kept.
    ///
    /// # Errors
    /// As [`handle_datagram`](Self::handle_datagram).
    pub fn handle_waiting_datagram(
        &mut self,
        now: Instant,
        waited: Duration,
        interface: IfIndex,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<RouterId, Discard> {
        self.accept(Read { now, waited }, interface, envelope, payload).inspect_err(|discard| {
            self.count_discard(interface, Some(Family::of(envelope.source)), payload, *discard);
        })
    }

    /// Counts a datagram that the caller itself had to drop, for instance because its IP header was nonsense.
    pub fn count_undecodable(&mut self, discard: Discard) {
        self.discards.record(discard);
    }

    fn accept(
        &mut self,
        read: Read,
        interface: IfIndex,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<RouterId, Discard> {
        let vrid = payload.get(1).and_then(|octet| Vrid::new(*octet).ok());
        let slot = vrid.and_then(|vrid| self.places.get(Key::new(interface, Family::of(envelope.source), vrid)));
        let Some((slot, entry)) = slot.and_then(|slot| Some((slot, self.slots.get_mut(slot)?.as_mut()?))) else {
            // For nobody here. First of all it must be an advertisement (RFC 5082 §3: the TTL before anything else).
            let packet = Packet::parse(envelope, payload)?;
            return Err(Discard::Vrid(packet.vrid_octet()));
        };
        let id = RouterId { slot, generation: entry.generation };
        #[cfg(feature = "auth-hmac")]
        if entry.hmac.is_some() {
            return self.accept_signed(read, id, envelope, payload);
        }
        let expected = entry.expected();
        match Packet::parse_with(envelope, payload, expected.ttl) {
            Ok(packet) => {
                let result = packet.accept(envelope, &expected);
                self.take(read, id, envelope.source, result)
            }
            Err(discard) => {
                if is_one_signature_too_long(discard) && check_addressing(envelope, &expected).is_ok() {
                    self.raise(read.now, id, Alarm::RejectedPeer(envelope.source, discard.reason()));
                }
                Err(discard)
            }
        }
    }

    /// Takes over what came of the checks of one virtual router.
    pub(super) fn take(
        &mut self,
        read: Read,
        id: RouterId,
        source: IpAddr,
        result: Result<Accepted, Discard>,
    ) -> Result<RouterId, Discard> {
        let now = read.now;
        match result {
            Ok(accepted) => {
                self.note(now, id, &accepted);
                if accepted.notes.address_list == AddressListMatch::Disjoint {
                    self.raise(now, id, Alarm::VridClash(source));
                }
                let heard_at = self.state(id).map_or(now, |state| read.counts_from(&state));
                self.apply(heard_at, id, Event::Advert(accepted.advert));
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
            && let Some(slot) = self.places.get(Key::new(interface, family, vrid))
            && let Some(entry) = self.slots.get_mut(slot).and_then(Option::as_mut)
        {
            entry.rest.counters.discards.record(discard);
        }
    }
}

/// Whether the length is that of an advertisement that a peer signed, which this router has no keys for. The peer will
/// not take ours either.
fn is_one_signature_too_long(discard: Discard) -> bool {
    match discard {
        Discard::Length { expected, got } => usize::from(got) == usize::from(expected) + SIGNATURE_LEN,
        _ => false,
    }
}

/// What a discarded packet for a virtual router of ours may mean, beyond being garbage.
///
/// A checksum that fails in both forms is damage, and no peer that is configured otherwise: it never gets here. What does
/// has the form that a strict router does not accept, or a signature that proves where it comes from.
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
