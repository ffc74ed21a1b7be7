//! Switches forget which ports listen to a group unless they are told again, and only a querier asks.
//!
//! Advertisements go to groups that switches must flood (RFC 4541 §2.1.2), but there are some that do not: a Backup behind one
//! hears nothing after some minutes and claims the role beside the Active.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Bound;
use std::time::Duration;

use vrrp_core::{Family, Instant, RouterId};

use super::Driver;
use super::managed::Chore;
use crate::error::Error;

/// Switches forget after 260 s (RFC 3376 §8.4), some of them sooner.
pub(super) const REFRESH: Duration = Duration::from_secs(60);

impl Driver {
    /// How often switches are told again that the VRRP group is listened to on each interface; 60 s unless set, `None`: only
    /// when a link comes back. Meanwhile the interface hears nothing for some microseconds.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn set_membership_refresh(&mut self, period: Option<Duration>) -> Result<(), Error> {
        self.membership_refresh = period;
        self.schedule_rejoining(crate::now());
        self.finish_turn()
    }

    /// Begins the round anew.
    pub(super) fn schedule_rejoining(&mut self, now: Instant) {
        self.chores.retain(|(_, chore)| !matches!(chore, Chore::Rejoin(_)));
        if let Some(period) = self.membership_refresh.filter(|_| !self.managed.is_empty()) {
            self.chores.insert((now + period, Chore::Rejoin(0)));
        }
    }

    /// One interface at a time: each of them has its turn once in a period.
    pub(super) fn rejoin_next(&mut self, now: Instant, from: u64) {
        let (Some(period), false) = (self.membership_refresh, self.managed.is_empty()) else { return };
        let token = self.interfaces.range(from..).next().or(self.interfaces.first_key_value()).map(|(token, _)| *token);
        let Some(token) = token else { return };
        self.join_anew(token);
        let following = (Bound::Excluded(token), Bound::Unbounded);
        let next = self.interfaces.range(following).next().map_or(0, |(token, _)| *token);
        let count = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX).max(1);
        self.chores.insert((now + (period / count).max(SHORTEST_PAUSE), Chore::Rejoin(next)));
    }

    /// Tells the switches of an interface again what is listened to.
    pub(super) fn join_anew(&mut self, token: u64) {
        let Some(interface) = self.interfaces.get(&token) else { return };
        // Without an address a group may not be joined yet.
        let has_address = |id: &RouterId| self.router.params(*id).is_some_and(|it| it.primary_address().is_some());
        let routers = interface.routers.iter().filter(|id| has_address(id)).filter_map(|id| self.managed.get(id));
        let groups: BTreeSet<IpAddr> =
            routers.filter_map(|managed| managed.config.addressing.group(managed.config.family())).collect();
        let rejoin = |group| Some(interface.socket(Family::of(group))?.rejoin(group));
        let results: Vec<Result<(), Error>> = groups.into_iter().filter_map(rejoin).collect();
        results.into_iter().filter_map(Result::err).for_each(|error| self.interface_failed(token, error));
    }
}

/// A round of many interfaces takes longer, rather than all of the time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
