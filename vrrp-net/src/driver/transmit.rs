//! Carrying out what the protocol wants done, in its order.

use std::io;

use vrrp_core::{Action, Cause, Claim, Event, Family, Fault, IfIndex, Phase, Role, RouterId, State};

use super::Driver;
use super::addresses::REMOVED_BEFORE_RESIGNATION;
use super::event::DriverEvent;
use super::managed::Chore;
use crate::error::Error;
use crate::{MAX_ADVERT_LEN, Outgoing, sys};

/// Octets of advertisements that go out together: a thousand small ones.
const OUTBOX: usize = 64 * 1024;

/// Advertisements on their way out, so that those of many virtual routers go with one system call.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Of all of them, one after the other.
    octets: Vec<u8>,
    /// Of these so many are in use.
    used: usize,
    letters: Vec<Letter>,
}

/// One copy of an advertisement.
#[derive(Clone, Copy, Debug)]
struct Letter {
    router: RouterId,
    claim: Claim,
    /// The interface that it is sent on.
    sender: u64,
    family: Family,
    /// Where its octets begin.
    start: usize,
    advert: vrrp_core::Outgoing,
    /// The interface's number and MAC address, if it goes to the group of an Ethernet: then it leaves as a whole frame.
    frame: Option<(IfIndex, [u8; 6])>,
    /// Whether it is the first copy.
    first: bool,
    /// Whether the one before could not be sent.
    after_failure: bool,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { octets: vec![0; OUTBOX], used: 0, letters: Vec::new() }
    }

    /// Without room, for the moment in which it is emptied.
    const fn nowhere() -> Self {
        Self { octets: Vec::new(), used: 0, letters: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.octets.len() - self.used < MAX_ADVERT_LEN
    }

    fn outgoing(&self, place: usize) -> Option<Outgoing<'_>> {
        let Letter { start, advert, .. } = self.letters.get(place)?;
        let mut outgoing =
            Outgoing::new(advert.source, advert.destination, self.octets.get(*start..start + advert.len)?);
        outgoing.ttl = advert.ttl;
        Some(outgoing)
    }
}

impl Driver {
    /// Carries out every action but the changes of addresses, which are queued: they go to the kernel in batches.
    pub(super) fn perform(&mut self) {
        let mut has_waited = false;
        loop {
            while let Some((id, action)) = self.router.poll_action() {
                match action {
                    Action::SendAdvert(claim) => self.advertise(id, claim),
                    Action::InstallAddresses => {
                        // The first advertisement of a takeover does not wait for what follows from it.
                        if !std::mem::replace(&mut has_waited, true) {
                            self.send_outbox();
                        }
                        self.install(id);
                    }
                    Action::RemoveAddresses => self.uninstall(id),
                    Action::Announce => self.announce_all_of(id),
                    Action::Transition(transition) => {
                        if let Cause::HandedOver(_) = transition.cause {
                            self.linger(id);
                        }
                        self.tell(id, DriverEvent::Transition { router: id, transition });
                    }
                    Action::Alarm(alarm) => self.tell(id, DriverEvent::Alarm { router: id, alarm }),
                    Action::Prepare(claim) => self.tell(id, DriverEvent::Prepare { router: id, claim }),
                    // Actions of a later version of the core.
                    _ => {}
                }
            }
            if self.outbox.letters.is_empty() {
                return;
            }
            // One that cannot be sent may be news for the protocol.
            self.send_outbox();
        }
    }

    /// Tells the application, but not before what it is told of has been done.
    fn tell(&mut self, id: RouterId, event: DriverEvent) {
        match self.managed.get_mut(&id) {
            Some(managed) if !managed.todo.is_empty() => managed.held.push(event),
            Some(_) | None => self.events.push(event),
        }
    }

    /// Sends an advertisement; one that follows the removal of addresses only once they are gone, unless there are so
    /// many that the others would have to wait.
    fn advertise(&mut self, id: RouterId, claim: Claim) {
        let is_active = self.router.state(id).is_some_and(|state| state.role() == Role::Active);
        let Some(managed) = self.managed.get_mut(&id) else { return };
        if is_active && claim.priority.is_some() {
            // It has the role again before the addresses were gone.
            managed.deferred.clear();
        } else if managed.is_removing() && managed.todo.len() <= REMOVED_BEFORE_RESIGNATION {
            managed.deferred.push(claim);
            return;
        }
        if managed.virtual_mac.is_some() && !managed.raised {
            self.raise_virtual_mac(id);
        }
        self.send_advert(id, claim);
    }

    /// Puts an advertisement into the outbox: one to the group, or one copy for each peer. It leaves at the end of
    /// [`perform`](Self::perform) at the latest.
    pub(super) fn send_advert(&mut self, id: RouterId, claim: Claim) {
        let Some(managed) = self.managed.get(&id) else { return };
        let (sender, family, after_failure) = (managed.sender, managed.config.family(), managed.send_failing.is_some());
        let interface = self.interfaces.get(&sender).filter(|_| !managed.config.addressing.is_unicast());
        let frame = interface.and_then(|interface| interface.index().zip(interface.mac()));
        // The loopback interface has a MAC address of zeros.
        let frame = frame.filter(|(_, mac)| *mac != [0; 6]);
        for number in 0..self.router.destinations(id).len() {
            if self.outbox.is_full() {
                self.send_outbox();
            }
            let Some(buffer) = self.outbox.octets.get_mut(self.outbox.used..) else { return };
            let built = match (number, self.router.destinations(id).get(number).copied()) {
                (0, _) => self.router.build_advert(id, claim, buffer),
                (_, Some(destination)) => self.router.build_copy(id, claim, destination, buffer),
                (_, None) => return,
            };
            let advert = match built {
                Ok(advert) => advert,
                Err(error) => return self.not_sent(id, claim, io::Error::other(error)),
            };
            let (start, first) = (self.outbox.used, number == 0);
            self.outbox.used += advert.len;
            let letter = Letter { router: id, claim, sender, family, start, advert, frame, first, after_failure };
            self.outbox.letters.push(letter);
        }
        // Before anything follows from it that is to be undone; and what the guardian would say is newer than this.
        if self.has_guardian() {
            self.guard(id);
        }
    }

    /// Sends what is in the outbox, for each interface and family together.
    pub(super) fn send_outbox(&mut self) {
        let mut outbox = std::mem::replace(&mut self.outbox, Outbox::nowhere());
        // Those of one virtual router stay in their order.
        outbox
            .letters
            .sort_unstable_by_key(|letter| (letter.frame.is_none(), letter.sender, letter.family, letter.start));
        let mut failures: Vec<(usize, io::Error)> = Vec::new();
        let mut from = outbox.letters.partition_point(|letter| letter.frame.is_some());
        let (frames, datagrams) = outbox.letters.split_at_checked(from).unwrap_or_default();
        let advert = |place: usize| {
            let (interface, mac) = frames.get(place)?.frame?;
            Some((interface, mac, outbox.outgoing(place)?))
        };
        self.link_socket.send_adverts(frames.len(), advert, |place, error| failures.push((place, error)));
        // The one socket for frames may be full of those of an interface that is stuck. Each interface has others.
        failures.retain(|(place, error)| {
            let (letter, outgoing) = (frames.get(*place), outbox.outgoing(*place));
            let interface = letter.and_then(|letter| self.interfaces.get(&letter.sender));
            let socket = letter.zip(interface).and_then(|(letter, interface)| interface.socket(letter.family));
            let full = error.kind() == io::ErrorKind::WouldBlock;
            let sent = |(socket, it): (&crate::AdvertSocket, Outgoing<'_>)| socket.send(&[it], |_, _| {}) == 1;
            !(full && socket.zip(outgoing).is_some_and(sent))
        });
        for letters in datagrams.chunk_by(|a, b| (a.sender, a.family) == (b.sender, b.family)) {
            let socket = letters
                .first()
                .and_then(|letter| self.interfaces.get(&letter.sender).and_then(|it| it.socket(letter.family)));
            match socket {
                Some(socket) => {
                    let advert = |place: usize| outbox.outgoing(from + place);
                    socket.send_each(letters.len(), advert, |place, error| failures.push((from + place, error)));
                }
                None => {
                    let down = |place| (place, io::ErrorKind::NetworkDown.into());
                    failures.extend((from..from + letters.len()).map(down));
                }
            }
            from += letters.len();
        }
        let mut failures = failures.into_iter().peekable();
        let mut copies = outbox.letters.iter().enumerate().peekable();
        while let Some((place, letter)) = copies.next() {
            // It has failed if it reached nobody.
            let mut failure = failures.next_if(|(failed, _)| *failed == place).map(|(_, error)| error);
            while let Some((place, _)) = copies.next_if(|(_, copy)| !copy.first) {
                if failures.next_if(|(failed, _)| *failed == place).is_none() {
                    failure = None;
                }
            }
            match failure {
                None => self.sent(letter),
                Some(error) => self.not_sent(letter.router, letter.claim, error),
            }
        }
        outbox.used = 0;
        outbox.letters.clear();
        self.outbox = outbox;
    }

    fn sent(&mut self, letter: &Letter) {
        // The copies for the last of many peers may have missed the first ones' departure.
        if letter.first {
            self.router.count_sent(letter.router, letter.claim);
        }
        if letter.after_failure
            && let Some(managed) = self.managed.get_mut(&letter.router)
        {
            managed.send_failing = None;
        }
    }

    fn not_sent(&mut self, id: RouterId, claim: Claim, error: io::Error) {
        let active = self.router.state(id).is_some_and(|state| state.role() == Role::Active);
        // A resignation that cannot be sent changes nothing: the others wait for Active_Down_Interval. Nor does the last
        // advertisement of one that has yielded.
        if claim.priority.is_some() && active {
            self.send_failed(id, error);
        }
    }

    /// Nobody hears this router. Once the others must have taken over, it leaves the election (fails safe).
    fn send_failed(&mut self, id: RouterId, error: io::Error) {
        self.router.count_send_failed(id);
        let now = sys::boottime_now();
        let (Some(managed), Some(params)) = (self.managed.get_mut(&id), self.router.params(id)) else { return };
        // A queue that is full for a moment is empty before the others miss anything.
        self.chores.insert((now + params.advert_interval().as_duration() / 4, Chore::Resend(id)));
        match managed.send_failing {
            None => {
                managed.send_failing = Some(now);
                let error = Error::io(format!("send an advertisement on {}", managed.config.interface), error);
                self.events.push(DriverEvent::SendFailed { router: id, error });
            }
            Some(since) if now >= since + params.active_down_interval(params.advert_interval()) => {
                // What would have followed, above all an announcement, must not happen.
                self.router.cancel_actions(id);
                managed.forget_todo();
                self.router.handle_event(now, id, Event::Fault(Fault::Send));
            }
            Some(_) => {}
        }
    }

    /// Sends once more what could not be sent, if it is still true.
    pub(super) fn resend(&mut self, id: RouterId) {
        let failing = self.managed.get(&id).is_some_and(|managed| managed.send_failing.is_some());
        if let Some(State::Active(active)) = self.router.state(id)
            && active.phase == Phase::Advertising
            && failing
            && let Some(params) = self.router.params(id)
        {
            let claim = Claim { priority: Some(params.priority()), interval: params.advert_interval() };
            self.send_advert(id, claim);
        }
    }
}
