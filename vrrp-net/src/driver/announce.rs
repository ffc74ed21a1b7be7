//! Telling the hosts where the addresses are: gratuitous ARP and unsolicited neighbour advertisements.

use std::io;
use std::time::Duration;

use vrrp_core::{Instant, Phase, RouterId, State};

use super::Driver;
use super::managed::{Chore, Place};
use crate::interface::Interface;
use crate::{Announcement, sys};

/// Most packets that are sent in one turn, so that thousands of addresses cannot keep the advertisements waiting.
const PACKETS_PER_TURN: usize = 512;

/// Intervals that no Active_Down_Interval reaches (RFC 9568 §6.1: three of them and Skew_Time).
///
/// A switch may lose the first announcements and say nothing of it. If it still does so after this time, others have not
/// heard the new Active either: one of them has become Active too, is heard when the way is free, and makes this one
/// announce its addresses. If it does not, an announcement at this time reaches the hosts.
const LONGEST_WAIT: u32 = 4;

/// How long a queue that is full is left alone.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(1);

/// One packet that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unannounced {
    router: RouterId,
    /// Of an address that was installed at this instant.
    installed: Instant,
    place: Place,
}

/// Announcements of one virtual router that are under way.
#[derive(Debug)]
pub(super) struct Announcing {
    router: RouterId,
    /// Of addresses that were installed at this instant.
    installed: Instant,
    /// The next of its addresses.
    next: usize,
    /// Rounds that are left, this one included.
    rounds: u8,
}

impl Driver {
    /// The protocol wants the addresses announced: once they are there, or because a rival spoke.
    pub(super) fn announce_all_of(&mut self, id: RouterId) {
        let now = crate::now();
        let Some(managed) = self.managed.get_mut(&id) else { return };
        let Some(installed) = managed.installed else { return };
        if !managed.todo.is_empty() {
            managed.announce_installed = true;
            return;
        }
        let announcements = managed.config.announcements;
        if !announcements.rival_delay.is_zero() {
            // One at a time: rivals may speak often.
            if !std::mem::replace(&mut managed.rival_round, true) {
                self.chores.insert((now + announcements.rival_delay, Chore::AnnounceAfterRival(id, installed)));
            }
        }
        self.announce(id, announcements.rival_repeat);
    }

    pub(super) fn announce_after_rival(&mut self, id: RouterId, installed: Instant) {
        let Some(managed) = self.managed.get_mut(&id) else { return };
        managed.rival_round = false;
        let repeat = managed.config.announcements.rival_repeat;
        if managed.installed == Some(installed) && self.is_advertising(id) {
            self.announce(id, repeat);
        }
    }

    /// Everything is installed: what has been announced once is announced further times, now and later.
    pub(super) fn announce_further(&mut self, id: RouterId) {
        let now = crate::now();
        let Some(managed) = self.managed.get(&id) else { return };
        let Some(installed) = managed.installed else { return };
        let announcements = managed.config.announcements;
        if !announcements.delay.is_zero() {
            self.chores.insert((now + announcements.delay, Chore::AnnounceAgain(id, installed)));
            let others_wait = managed.config.interval.as_duration() * LONGEST_WAIT;
            if others_wait < announcements.delay {
                self.chores.insert((now + others_wait, Chore::AnnounceOnceMore(id, installed)));
            }
        }
        if let Some(period) = announcements.refresh {
            self.chores.insert((now + period, Chore::RefreshAnnouncements(id, installed)));
        }
        self.announce(id, announcements.repeat.saturating_sub(1));
    }

    /// The second round. One that hands over does not pull the hosts back.
    pub(super) fn announce_again(&mut self, id: RouterId) {
        let repeat = self.managed.get(&id).map_or(0, |managed| managed.config.announcements.repeat);
        if self.is_advertising(id) {
            self.announce(id, repeat);
        }
    }

    /// Between the first round and the second.
    pub(super) fn announce_once_more(&mut self, id: RouterId) {
        if self.is_advertising(id) {
            self.announce(id, 1);
        }
    }

    fn is_advertising(&self, id: RouterId) -> bool {
        matches!(self.router.state(id), Some(State::Active(active)) if active.phase == Phase::Advertising)
    }

    pub(super) fn refresh(&mut self, now: Instant, id: RouterId, installed: Instant) {
        let Some(announcements) = self.managed.get(&id).map(|managed| managed.config.announcements) else { return };
        if let Some(period) = announcements.refresh {
            self.chores.insert((now + period, Chore::RefreshAnnouncements(id, installed)));
            if self.is_advertising(id) {
                self.announce(id, announcements.refresh_repeat);
            }
        }
    }

    /// Announces every address of a virtual router in so many rounds; in this turn as far as its bound allows.
    pub(super) fn announce(&mut self, id: RouterId, rounds: u8) {
        let Some(installed) = self.managed.get(&id).and_then(|managed| managed.installed) else { return };
        if rounds == 0 {
            return;
        }
        match self.announcing.iter_mut().find(|announcing| announcing.router == id) {
            Some(announcing) => {
                *announcing = Announcing { router: id, installed, next: 0, rounds: rounds.max(announcing.rounds) };
            }
            None => self.announcing.push_back(Announcing { router: id, installed, next: 0, rounds }),
        }
    }

    /// Announces what is on an interface, which lost what its hosts knew.
    pub(super) fn announce_interface(&mut self, token: u64) {
        let Some(interface) = self.interfaces.get(&token) else { return };
        for id in interface.routers.iter().copied().collect::<Vec<_>>() {
            let repeat = self.managed.get(&id).map_or(0, |managed| managed.config.announcements.repeat);
            self.announce(id, repeat);
        }
    }

    /// Sends what is under way, as far as the bound of a turn and the pace of each interface allow.
    pub(super) fn announce_some(&mut self, now: Instant) {
        let mut left = PACKETS_PER_TURN.saturating_sub(self.unannounced.len());
        for _ in 0..self.announcing.len() {
            let Some(mut announcing) = self.announcing.pop_front() else { return };
            if !self.is_installed(announcing.router, announcing.installed) {
                continue;
            }
            while left > 0 && announcing.rounds > 0 {
                let Some(managed) = self.managed.get(&announcing.router) else { break };
                let Some(place) = managed.places.get(announcing.next).copied() else {
                    announcing.next = 0;
                    announcing.rounds -= 1;
                    continue;
                };
                if self.quiet.get(&place.interface).is_some_and(|until| *until > now) {
                    break;
                }
                let pace = managed.config.announcements.interval;
                if !pace.is_zero() {
                    self.quiet.insert(place.interface, now + pace);
                }
                self.announce_place(announcing.router, place);
                announcing.next += 1;
                left -= 1;
            }
            if announcing.rounds > 0 {
                self.announcing.push_back(announcing);
            }
        }
        self.send_announcements(now);
    }

    /// When there is something to announce next.
    pub(super) fn next_announcement(&self, now: Instant) -> Option<Instant> {
        let due = |announcing: &Announcing| {
            let managed = self.managed.get(&announcing.router)?;
            let place = managed.places.get(announcing.next)?;
            Some(self.quiet.get(&place.interface).copied().unwrap_or(now))
        };
        let next = self.announcing.iter().map(|announcing| due(announcing).unwrap_or(now));
        next.chain((!self.unannounced.is_empty()).then_some(now + FULL_QUEUE_PAUSE)).min()
    }

    /// Has one address announced once, together with others.
    pub(super) fn announce_place(&mut self, id: RouterId, place: Place) {
        let Some(installed) = self.managed.get(&id).and_then(|managed| managed.installed) else { return };
        self.unannounced.push_back(Unannounced { router: id, installed, place });
    }

    /// Sends what is to be announced, many with one system call. What does not go into a queue that is full goes a little
    /// later.
    pub(super) fn send_announcements(&mut self, now: Instant) {
        if self.unannounced.is_empty() || self.full_until.is_some_and(|until| until > now) {
            return;
        }
        self.full_until = None;
        let mut waiting = std::mem::take(&mut self.unannounced);
        // What is not on this host any more must not be announced.
        waiting.retain(|it| self.is_installed(it.router, it.installed) && self.announcement(it.place).is_some());
        while !waiting.is_empty() {
            let packets = waiting.iter().filter_map(|it| self.announcement(it.place));
            let (sent, error) = self.link_socket.announce(packets);
            waiting.drain(..sent.min(waiting.len()));
            match error {
                None => {}
                Some(error) if is_full(&error) => {
                    self.full_until = Some(now + FULL_QUEUE_PAUSE);
                    break;
                }
                // An interface that cannot send is a fault by other ways; it must not stop the others.
                Some(_) => drop(waiting.pop_front()),
            }
        }
        self.unannounced = waiting;
    }

    fn announcement(&self, place: Place) -> Option<Announcement> {
        let interface = self.interfaces.get(&place.interface)?;
        Some(Announcement::new(Interface::index(interface)?, interface.mac()?, place.address.address()))
    }
}

/// Whether more can be sent in a moment.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(sys::ENOBUFS)
}
