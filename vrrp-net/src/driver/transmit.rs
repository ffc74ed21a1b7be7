//! Carrying out what the protocol wants done, in its order.

use std::io;

use vrrp_core::{Action, Claim, Event, Fault, Phase, Role, RouterId, State};

use super::Driver;
use super::addresses::REMOVED_BEFORE_RESIGNATION;
use super::event::DriverEvent;
use super::managed::Chore;
use crate::error::Error;
use crate::{MAX_ADVERT_LEN, Outgoing, sys};

impl Driver {
    /// Carries out every action but the changes of addresses, which are queued: they go to the kernel in batches.
    pub(super) fn perform(&mut self) {
        while let Some((id, action)) = self.router.poll_action() {
            match action {
                Action::SendAdvert(claim) => {
                    self.raise_virtual_mac(id);
                    self.advertise(id, claim);
                }
                Action::InstallAddresses => self.install(id),
                Action::RemoveAddresses => self.uninstall(id),
                Action::Announce => self.announce_all_of(id),
                Action::Transition(transition) => {
                    self.tell(id, DriverEvent::Transition { router: id, transition });
                }
                Action::Alarm(alarm) => self.tell(id, DriverEvent::Alarm { router: id, alarm }),
                Action::Prepare(claim) => self.tell(id, DriverEvent::Prepare { router: id, claim }),
                // Actions of a later version of the core.
                _ => {}
            }
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
        match self.managed.get_mut(&id) {
            Some(managed) if managed.is_removing() && managed.todo.len() <= REMOVED_BEFORE_RESIGNATION => {
                managed.deferred.push(claim);
            }
            Some(_) => self.send_advert(id, claim),
            None => {}
        }
    }

    pub(super) fn send_advert(&mut self, id: RouterId, claim: Claim) {
        let result = self.transmit(id, claim);
        let Some(managed) = self.managed.get_mut(&id) else { return };
        match result {
            Ok(()) => {
                managed.send_failing = None;
                self.router.count_sent(id, claim);
            }
            // A resignation that cannot be sent changes nothing: the others wait for Active_Down_Interval. Nor does the last
            // advertisement of one that has yielded.
            Err(_) if claim.priority.is_none() => {}
            Err(_) if self.router.state(id).is_none_or(|state| state.role() != Role::Active) => {}
            Err(error) => self.send_failed(id, error),
        }
    }

    /// Sends an advertisement to the group, or one copy to each peer. It has failed if it reached nobody.
    fn transmit(&mut self, id: RouterId, claim: Claim) -> io::Result<()> {
        let Some(family) = self.managed.get(&id).map(|managed| managed.config.family()) else { return Ok(()) };
        let mut buffer = [0; MAX_ADVERT_LEN];
        self.outbox.clear();
        for number in 0..self.router.destinations(id).len() {
            let destination = self.router.destinations(id).get(number).copied();
            let built = match (number, destination) {
                (0, _) => self.router.build_advert(id, claim, &mut buffer),
                (_, Some(destination)) => self.router.build_copy(id, claim, destination, &mut buffer),
                (_, None) => break,
            };
            let advert = built.map_err(io::Error::other)?;
            self.outbox.push((advert, buffer.get(..advert.len).unwrap_or_default().to_vec()));
        }
        // Before anything follows from it that is to be undone; and what the guardian would say is newer than this.
        self.guard(id);
        let sender = self.managed.get(&id).and_then(|managed| self.interfaces.get(&managed.sender));
        let Some(socket) = sender.and_then(|interface| interface.socket(family)) else {
            return Err(io::ErrorKind::NetworkDown.into());
        };
        let adverts = self.outbox.iter().map(|(advert, payload)| {
            let mut outgoing = Outgoing::new(advert.source, advert.destination, payload);
            outgoing.ttl = advert.ttl;
            outgoing
        });
        let adverts: Vec<Outgoing<'_>> = adverts.collect();
        let mut failure = Ok(());
        match socket.send(&adverts, |_, error| failure = Err(error)) {
            0 => failure,
            _ => Ok(()),
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
