//! The part of [`VrrpRouter`] that signs and verifies (feature `auth-hmac`).

use alloc::boxed::Box;

use crate::Instant;
use crate::hmac::{Authenticator, Config, Mode, Received, WallClock};
use crate::wire::{Authentication, ChecksumAcceptance, Discard, Envelope};

use super::config::check_len;
use super::receive::Read;
use super::{AdvertError, ConfigError, RouterId, VrrpRouter};

/// The time of day, told once and carried on from there.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    told: Option<(Instant, WallClock)>,
    /// The last time at which anything happened: actions are carried out then.
    now: Instant,
}

impl Clock {
    /// Time goes on.
    pub(super) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// The time of day. Never told, it is 1970: nothing that is received can be fresh then.
    fn at(&self, now: Instant) -> WallClock {
        self.told.map_or(WallClock::new(0, 0), |(then, wall)| wall.after(now.since(then)))
    }
}

impl VrrpRouter {
    /// Tells the time of day at `now`: what `auth_hmac` signs with and verifies by. Needed by no virtual router without
    /// it.
    ///
    /// Tell it before [`set_hmac`](Self::set_hmac), and best on each turn of the loop: from then on it is reckoned from
    /// `now`, and so misses a clock that is set or slewed.
    pub fn set_wall_clock(&mut self, now: Instant, wall: WallClock) {
        self.clock.told = Some((now, wall));
        self.clock.tick(now);
    }

    /// Gives a virtual router keys, or other keys, another mode or another window; `None` takes the extension away. Its
    /// role does not change, and what it sent and received stays known as long as it has keys.
    ///
    /// Do it before [`Event::Startup`](crate::Event::Startup), so that nothing is believed unsigned.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`], [`ConfigError::NoWallClock`], [`ConfigError::PasswordAndHmac`], or [`ConfigError::Mtu`] if
    /// there is no room for signatures.
    pub fn set_hmac(&mut self, id: RouterId, config: Option<Config>) -> Result<(), ConfigError> {
        let has_clock = self.clock.told.is_some();
        let entry = self.slot_mut(id).ok_or(ConfigError::Unknown)?;
        if config.is_some() {
            check_len(&entry.rest.config, true)?;
        }
        match (config, &mut entry.hmac, entry.rest.config.authentication) {
            (None, hmac, _) => *hmac = None,
            (Some(_), _, Authentication::SimpleText(_)) => {
                return Err(ConfigError::PasswordAndHmac(entry.rest.config.vrid));
            }
            (Some(_), _, Authentication::None) if !has_clock => {
                return Err(ConfigError::NoWallClock(entry.rest.config.vrid));
            }
            (Some(config), Some(hmac), Authentication::None) => hmac.reconfigure(config),
            (Some(config), hmac @ None, Authentication::None) => *hmac = Some(Box::new(Authenticator::new(config))),
        }
        Ok(())
    }

    /// The keys, mode and window of a virtual router, if it has any.
    pub fn hmac(&self, id: RouterId) -> Option<&Config> {
        self.slot(id)?.hmac.as_ref().map(|hmac| hmac.config())
    }

    /// Takes a datagram for a virtual router that has keys.
    pub(super) fn accept_signed(
        &mut self,
        read: Read,
        id: RouterId,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<RouterId, Discard> {
        let wall = self.clock.at(read.now);
        let unknown = Discard::Vrid(payload.get(1).copied().unwrap_or_default());
        let entry = self.slot_mut(id).ok_or(unknown)?;
        let hmac = entry.hmac.as_ref().ok_or(unknown)?;
        let result = hmac.receive(wall, envelope, payload, &entry.expected());
        // Unsigned, this may be damage as well as the other form: see `alarm_of`.
        let is_proven =
            hmac.config().mode == Mode::Enforce || entry.rest.config.accepted_checksum != ChecksumAcceptance::Either;
        if matches!(result, Err(Discard::Checksum)) && !is_proven {
            return Err(Discard::Checksum);
        }
        let result = result.map(|Received { accepted, pending }| {
            entry.rest.counters.adverts_unsigned += u64::from(!pending.is_signed());
            entry.rest.counters.clock_skewed += u64::from(pending.is_skewed());
            if let Some(hmac) = &mut entry.hmac {
                hmac.commit(pending);
            }
            accepted
        });
        self.take(read, id, envelope.source, result)
    }

    /// Stamps the advertisement that is built next; `again` if it is a copy of the last one.
    pub(super) fn stamp(&mut self, id: RouterId, again: bool) -> Result<(), AdvertError> {
        let wall = self.clock.at(self.clock.now);
        let entry = self.slot_mut(id).ok_or(AdvertError::Unknown)?;
        if let Some(hmac) = &mut entry.hmac
            && !(again && hmac.last_stamp().is_some())
        {
            hmac.stamp(wall);
        }
        Ok(())
    }
}
