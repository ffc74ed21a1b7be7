//! One virtual router under test, in virtual time: events in, exact actions out.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use core::net::{IpAddr, Ipv4Addr};
use std::collections::VecDeque;

use vrrp_core::{
    Action, Advert, Cause, Claim, Event, Instant, Interval, Params, Priority, Role, State, Timer, Transition, Version,
    VirtualRouter,
};

pub const ME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
pub const RIVAL_BELOW: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
pub const RIVAL_ABOVE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));

pub fn millis(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub fn priority(value: u8) -> Priority {
    Priority::new(value).unwrap()
}

pub fn centiseconds(value: u64) -> Interval {
    Interval::from_centiseconds(value).unwrap()
}

/// An advertisement each second; priority 0 is a resignation.
pub fn advert(source: IpAddr, priority: u8) -> Advert {
    Advert { source, priority: Priority::from_wire(priority), interval: Interval::DEFAULT }
}

/// Priority 100, one second, preemption, sent from [`ME`] (or its IPv6 sister).
pub fn params(version: Version) -> Params {
    let source = match version {
        Version::V3(vrrp_core::Family::V6) => "fe80::a".parse().unwrap(),
        Version::V2 | Version::V3(vrrp_core::Family::V4) => ME,
    };
    Params::new(version).with_primary_address(Some(source)).unwrap()
}

pub struct Router {
    router: VirtualRouter,
    now: Instant,
}

impl Router {
    pub fn new(params: Params) -> Self {
        Self { router: VirtualRouter::new(params), now: Instant::ZERO }
    }

    pub fn new_at(source: IpAddr, value: u8) -> Self {
        let params = Params::new(Version::V3(vrrp_core::Family::V4)).with_priority(priority(value));
        Self::new(params.with_primary_address(Some(source)).unwrap())
    }

    /// A router that was started at 0.
    pub fn backup(params: Params) -> Self {
        let mut router = Self::new(params);
        router.handle(0, Event::Startup);
        assert!(router.role() == Role::Backup || params.priority().is_owner());
        router
    }

    /// A router that was started at 0 and heard nobody.
    pub fn active(params: Params) -> Self {
        let mut router = Self::backup(params);
        if router.role() == Role::Backup {
            let (down_at, _) = router.deadline().unwrap();
            router.run(down_at);
        }
        assert_eq!(router.role(), Role::Active);
        router
    }

    pub fn handle(&mut self, at: u64, event: Event) -> Vec<Action> {
        self.handle_at(millis(at), event)
    }

    pub fn handle_at(&mut self, now: Instant, event: Event) -> Vec<Action> {
        self.now = now;
        self.router.handle_event(now, event).into_iter().collect()
    }

    /// Exactly these actions, and no more.
    #[track_caller]
    pub fn expect(&mut self, at: u64, event: Event, actions: &[Action]) {
        self.expect_at(millis(at), event, actions);
    }

    #[track_caller]
    pub fn expect_at(&mut self, now: Instant, event: Event, actions: &[Action]) {
        assert_eq!(self.handle_at(now, event), actions, "{event:?} at {now}");
        if let Some((deadline, timer)) = self.deadline() {
            assert!(event != Event::Timeout || deadline > now, "{timer:?} is still due after a timeout");
        }
    }

    pub fn run(&mut self, now: Instant) -> Vec<Action> {
        self.handle_at(now, Event::Timeout)
    }

    pub fn reconfigure(&mut self, at: u64, params: Params) {
        self.reconfigure_at(millis(at), params);
    }

    pub fn reconfigure_at(&mut self, now: Instant, params: Params) {
        assert!(self.router.set_params(now, params).is_empty());
    }

    pub fn state(&self) -> State {
        self.router.state()
    }

    pub fn role(&self) -> Role {
        self.state().role()
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    pub fn priority(&self) -> u8 {
        self.router.params().priority().get()
    }

    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        self.router.deadline()
    }

    pub fn sends(&self, value: u8) -> Action {
        Action::SendAdvert(Claim { priority: Some(priority(value)), interval: self.router.params().advert_interval() })
    }

    pub fn resigns(&self) -> Action {
        Action::SendAdvert(Claim { priority: None, interval: self.router.params().advert_interval() })
    }

    pub fn enters(&self, from: Role, to: Role, cause: Cause) -> Action {
        Action::Transition(Transition { from, to, cause })
    }
}

/// Runs routers on a perfect LAN: `starts` in milliseconds, until `end`. Panics if two stay Active for longer than it
/// takes an advertisement to arrive, which is at once.
pub fn run_lan(routers: &mut [Router], starts: &[u64], end: u64) {
    let mut starts: Vec<(Instant, usize)> = starts.iter().enumerate().map(|(n, at)| (millis(*at), n)).collect();
    loop {
        let start = starts.iter().copied().min();
        let deadline = routers.iter().enumerate().filter_map(|(n, router)| Some((router.deadline()?.0, n))).min();
        let (now, n, event) = match (start, deadline) {
            (Some((at, n)), Some((due, _))) if at <= due => (at, n, Event::Startup),
            (_, Some((due, n))) => (due, n, Event::Timeout),
            (Some((at, n)), None) => (at, n, Event::Startup),
            (None, None) => return,
        };
        if now > millis(end) {
            return;
        }
        if event == Event::Startup {
            starts.retain(|(_, other)| *other != n);
        }
        let mut pending = VecDeque::from([(n, event)]);
        // In the order sent: a claim with a short interval comes before the resignation that it prepares.
        while let Some((n, event)) = pending.pop_front() {
            let source = routers[n].router.params().primary_address().unwrap();
            for action in routers[n].handle_at(now, event) {
                if let Action::SendAdvert(claim) = action {
                    let advert = Advert { source, priority: claim.priority, interval: claim.interval };
                    pending.extend((0..routers.len()).filter(|m| *m != n).map(|m| (m, Event::Advert(advert))));
                }
            }
        }
        let actives = routers.iter().filter(|router| router.role() == Role::Active).count();
        assert!(actives <= 1, "{actives} Actives at {now}");
    }
}
