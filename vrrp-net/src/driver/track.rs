//! Tracking: what becomes of other things on this host, and what the application says, as one judgement.

use vrrp_core::track::assess;
use vrrp_core::{Instant, RouterId};

use super::Driver;
use crate::error::Error;
use crate::netlink::Change;

impl Driver {
    /// Begins to watch what a virtual router tracks.
    pub(super) fn follow_sources(&mut self, id: RouterId) -> Result<(), Error> {
        let Some(managed) = self.managed.get(&id) else { return Ok(()) };
        if managed.config.tracking.is_empty() {
            return Ok(());
        }
        managed.config.tracking.iter().for_each(|source| self.view.follow(source));
        if self.view.follows_routes() {
            self.monitor.watch_routes()?;
        }
        if self.view.is_stale() {
            self.view.reread(&mut self.netlink)?;
        }
        self.assess(crate::now(), id);
        Ok(())
    }

    /// Watches nothing any more that no virtual router tracks.
    pub(super) fn unfollow(&mut self) {
        let followed = self.view.follows_routes();
        self.view.follow_only(self.managed.values().flat_map(|managed| &managed.config.tracking));
        if followed && !self.view.follows_routes() && !self.watches_routes {
            // What still comes is passed over.
            let _ = self.monitor.ignore_routes();
        }
    }

    /// Takes note of a change on this host. Whether something that is tracked may be another now.
    pub(super) fn note_for_tracking(&mut self, change: &Change) -> bool {
        let tracks = self.managed.values().any(|managed| !managed.config.tracking.is_empty());
        tracks && (self.view.apply(change) || self.view.is_stale())
    }

    /// Judges anew for every virtual router that tracks something.
    pub(super) fn assess_all(&mut self, now: Instant) {
        // What cannot be read stays stale, and is read at the next change.
        if self.view.is_stale() && self.view.reread(&mut self.netlink).is_err() {
            return;
        }
        let tracking = self.managed.iter().filter(|(_, managed)| !managed.config.tracking.is_empty());
        for id in tracking.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.assess(now, id);
        }
    }

    pub(super) fn assess(&mut self, now: Instant, id: RouterId) {
        let Some(managed) = self.managed.get(&id) else { return };
        let tracked = self.view.tracked(&managed.config.tracking).chain(managed.tracked.iter().copied());
        let assessment = assess(managed.config.priority, tracked);
        self.router.set_assessment(now, id, assessment);
    }
}
