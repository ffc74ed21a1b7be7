//! Advertisements that go together: each virtual router keeps its own times, and nothing else is hurried.
#![cfg(feature = "alloc")]

mod common;

use common::{RIVAL_ABOVE, RIVAL_BELOW, centiseconds, params, priority};
use core::time::Duration;
use vrrp_core::{
    Action, Advert, After, Event, Family, Fault, Gate, HandOver, IfIndex, Instant, Params, Priority, Role, RouterId,
    State, Version, VirtualRouterConfig, Vrid, VrrpRouter, Yield,
};

const V3: Version = Version::V3(Family::V4);
const INTERVAL: Duration = Duration::from_millis(100);
/// A hundredth of it.
const EARLY: Duration = Duration::from_millis(1);

fn micros(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1000)
}

fn at_100_ms() -> Params {
    params(V3).with_advert_interval(centiseconds(10)).unwrap()
}

fn owner() -> Params {
    at_100_ms().with_priority(Priority::OWNER)
}

/// Adds one on an interface of its own.
fn add(router: &mut VrrpRouter, number: u32, params: Params) -> RouterId {
    let config = VirtualRouterConfig::new(Vrid::new(51).unwrap(), params, ["192.0.2.100".parse().unwrap()]);
    router.add(IfIndex::new(number).unwrap(), config).unwrap()
}

fn actions(router: &mut VrrpRouter) -> Vec<(RouterId, Action)> {
    std::iter::from_fn(|| router.poll_action()).collect()
}

fn is_advert((_, action): &(RouterId, Action)) -> bool {
    matches!(action, Action::SendAdvert(claim) if claim.priority.is_some())
}

/// One that has been Active since 0 and advertises next after the interval.
fn active(router: &mut VrrpRouter, number: u32, at: Instant) -> RouterId {
    let id = add(router, number, owner());
    router.handle_event(at, id, Event::Startup);
    assert_eq!(router.state(id).unwrap().role(), Role::Active);
    id
}

#[test]
fn each_virtual_router_keeps_its_mean_interval_and_is_never_more_than_a_hundredth_early() {
    let mut router = VrrpRouter::new();
    let starts: Vec<(RouterId, Instant)> = (1..=200)
        .map(|number| {
            let at = micros(u64::from(number) * 500);
            (active(&mut router, number, at), at)
        })
        .collect();
    actions(&mut router);
    let (mut wakes, mut sent, mut lateness) = (0, vec![Vec::new(); starts.len()], 0_u64);
    while let Some(due) = router.poll_timeout().filter(|due| *due < micros(10_000_000)) {
        // The process is up to half a millisecond late, as it comes.
        lateness = (lateness * 211 + 97) % 500;
        let now = due + Duration::from_micros(lateness);
        wakes += 1;
        router.handle_timeout_together(now);
        for (id, _) in actions(&mut router).iter().filter(|it| is_advert(it)) {
            let place = starts.iter().position(|(other, _)| other == id).unwrap();
            sent[place].push(now);
        }
    }
    for ((_, start), times) in starts.iter().zip(&sent) {
        assert!(times.len() >= 98, "{}", times.len());
        for (number, at) in (1_u32..).zip(times) {
            // Not of the interval since the last one: what was early or late does not add up.
            let due = *start + INTERVAL * number;
            assert!(*at + EARLY >= due, "advertisement {number} went {:?} early", due.since(*at));
            assert!(*at <= due + Duration::from_micros(500), "advertisement {number} went {:?} late", at.since(due));
        }
    }
    let adverts: usize = sent.iter().map(Vec::len).sum();
    assert!(wakes * 2 <= adverts, "{wakes} wake-ups for {adverts} advertisements");
}

#[test]
fn one_that_is_due_later_than_a_hundredth_of_its_own_interval_waits() {
    for (micros_after, goes) in [(1_000, true), (1_001, false)] {
        let mut router = VrrpRouter::new();
        let first = active(&mut router, 1, Instant::ZERO);
        let second = active(&mut router, 2, micros(micros_after));
        actions(&mut router);
        router.handle_timeout_together(Instant::ZERO + INTERVAL);
        let sent: Vec<RouterId> = actions(&mut router).into_iter().map(|(id, _)| id).collect();
        assert_eq!(sent, if goes { vec![first, second] } else { vec![first] });
        let next = Instant::ZERO + INTERVAL * if goes { 2 } else { 1 };
        assert_eq!(router.poll_timeout(), Some(if goes { next } else { next + Duration::from_micros(micros_after) }));
    }
}

#[test]
fn nothing_goes_early_when_no_deadline_has_come() {
    let mut router = VrrpRouter::new();
    active(&mut router, 1, Instant::ZERO);
    actions(&mut router);
    let due = Instant::ZERO + INTERVAL;
    router.handle_timeout_together(due - EARLY - Duration::from_nanos(1));
    assert_eq!((actions(&mut router), router.poll_timeout()), (vec![], Some(due)));
}

/// Virtual routers in every situation, some in a sync group.
struct Host {
    router: VrrpRouter,
    ids: Vec<RouterId>,
    /// Everything that was done, with its time and who did it.
    adverts: Vec<Vec<Instant>>,
    others: Vec<(Instant, usize, Action)>,
}

impl Host {
    fn new() -> Self {
        let mut router = VrrpRouter::new();
        let gate = Gate { timeout: Duration::from_millis(350), back_off: Duration::from_millis(50) };
        let kinds = [
            owner(),
            at_100_ms(),
            at_100_ms().with_priority(priority(150)).with_gate(Some(gate)),
            at_100_ms().with_yield(Yield::WhenDegraded).with_effective_priority(priority(50)),
            at_100_ms().with_hand_over(HandOver { deadline: Duration::from_millis(333), ..HandOver::default() }),
        ];
        let numbers = (1..).zip(kinds.iter().cycle()).take(60);
        let ids: Vec<RouterId> = numbers.map(|(number, params)| add(&mut router, number, *params)).collect();
        // An owner, a plain one and one that hands over.
        router.add_group(Instant::ZERO, &[ids[55], ids[56], ids[59]]).unwrap();
        let adverts = vec![Vec::new(); ids.len()];
        Self { router, ids, adverts, others: Vec::new() }
    }

    fn event(&mut self, now: Instant, number: usize, event: Event) {
        self.router.handle_event(now, self.ids[number], event);
        self.take(now);
    }

    fn take(&mut self, now: Instant) {
        for (id, action) in actions(&mut self.router) {
            let number = self.ids.iter().position(|other| *other == id).unwrap();
            match action {
                Action::SendAdvert(claim) if claim.priority.is_some() => self.adverts[number].push(now),
                action => self.others.push((now, number, action)),
            }
        }
    }
}

/// What happens to virtual routers, some of it more than once, at times that are nobody's deadline.
fn happenings() -> Vec<(Instant, usize, Event)> {
    let mut happenings: Vec<(Instant, usize, Event)> =
        (0..60).map(|number| (micros(137 + number as u64 * 1_700), number, Event::Startup)).collect();
    let rival = |source, value| {
        let interval = centiseconds(10);
        Event::Advert(Advert { source, priority: Priority::from_wire(value), interval })
    };
    for turn in 0..40_u64 {
        let at = |offset: u64| micros(600_011 + turn * 97_003 + offset);
        let number = usize::try_from(turn).unwrap();
        happenings.push((at(0), (number * 7) % 60, rival(RIVAL_ABOVE, 200)));
        happenings.push((at(11), (number * 11 + 1) % 60, rival(RIVAL_BELOW, 90)));
        happenings.push((at(17), (number * 13 + 4) % 60, Event::HandOver(After::Stay)));
        happenings.push((at(29), (number * 17 + 2) % 60, rival(RIVAL_ABOVE, 0)));
        happenings.push((at(31), (number * 19 + 3) % 60, Event::Fault(Fault::Application)));
        happenings.push((at(60_037), (number * 19 + 3) % 60, Event::Recovered(Fault::Application)));
    }
    happenings.sort_by_key(|(at, ..)| *at);
    happenings
}

#[test]
fn takeovers_elections_claims_hand_overs_and_groups_keep_their_times() {
    let (mut alone, mut together) = (Host::new(), Host::new());
    let mut happenings = happenings().into_iter().peekable();
    let end = micros(8_000_000);
    loop {
        let deadlines = [alone.router.poll_timeout(), together.router.poll_timeout()];
        let happening = happenings.peek().map(|(at, ..)| *at);
        let Some(now) = deadlines.into_iter().flatten().chain(happening).min().filter(|now| *now < end) else { break };
        while let Some((_, number, event)) = happenings.next_if(|(at, ..)| *at <= now) {
            alone.event(now, number, event);
            together.event(now, number, event);
        }
        alone.router.handle_timeout(now);
        alone.take(now);
        together.router.handle_timeout_together(now);
        together.take(now);
        for (number, id) in alone.ids.iter().enumerate() {
            let role = |host: &Host| host.router.state(*id).unwrap().role();
            assert_eq!(role(&alone), role(&together), "virtual router {number} at {now:?}");
        }
    }
    let sorted = |host: &Host| {
        // At one time one of the two may have served them in another order.
        let mut others: Vec<String> = host.others.iter().map(|it| format!("{it:?}")).collect();
        others.sort_unstable();
        others
    };
    assert!(alone.others.len() > 500, "{} actions", alone.others.len());
    assert_eq!(sorted(&alone), sorted(&together));
    let sent: usize = alone.adverts.iter().map(Vec::len).sum();
    assert!(sent > 2000, "{sent} advertisements");
    for (number, (alone, together)) in alone.adverts.iter().zip(&together.adverts).enumerate() {
        assert!(alone.len().abs_diff(together.len()) <= 1, "virtual router {number}");
    }
}

/// An Active at priority 100 whose advertisement has gone half a millisecond early, and when it would have been due.
fn one_that_went_early() -> (VrrpRouter, RouterId, Instant) {
    let mut router = VrrpRouter::new();
    let id = add(&mut router, 1, at_100_ms());
    router.handle_event(Instant::ZERO, id, Event::Startup);
    let down_at = router.poll_timeout().unwrap();
    router.handle_timeout(down_at);
    let due = router.poll_timeout().unwrap();
    let other = active(&mut router, 2, due - Duration::from_micros(500) - INTERVAL);
    actions(&mut router);
    router.handle_timeout_together(due - Duration::from_micros(500));
    let sent: Vec<RouterId> = actions(&mut router).into_iter().filter(is_advert).map(|(id, _)| id).collect();
    assert_eq!(sent, [other, id]);
    (router, id, due)
}

#[test]
fn what_comes_between_an_early_advertisement_and_its_time_finds_an_active_as_ever() {
    // Before what the state machine was told last.
    let back = Duration::from_micros(200);
    let rival = |value| {
        let interval = centiseconds(10);
        Event::Advert(Advert { source: RIVAL_ABOVE, priority: Priority::from_wire(value), interval })
    };

    let (mut router, id, due) = one_that_went_early();
    router.handle_timeout_together(due - back);
    router.handle_event(due - back, id, Event::Timeout);
    assert_eq!(actions(&mut router), [], "nothing is due");
    let State::Active(state) = router.state(id).unwrap() else { panic!("it is Active") };
    assert_eq!(state.advert_at, due + INTERVAL);

    let (mut router, id, due) = one_that_went_early();
    router.handle_event(due - back, id, rival(90));
    assert!(actions(&mut router).iter().any(is_advert), "a lower priority is answered at once");
    assert_eq!(router.state(id).unwrap().role(), Role::Active);

    let (mut router, id, due) = one_that_went_early();
    router.handle_event(due - back, id, rival(200));
    let State::Backup(backup) = router.state(id).unwrap() else { panic!("it has yielded") };
    let wait = router.params(id).unwrap().active_down_interval(centiseconds(10));
    assert_eq!(backup.down_at, due - back + wait);

    let (mut router, id, due) = one_that_went_early();
    router.handle_event(due - back, id, Event::HandOver(After::Stay));
    router.handle_timeout(due);
    router.handle_timeout(due - back + HandOver::default().deadline);
    assert_eq!(router.state(id).unwrap().role(), Role::Active, "nobody wanted it");
}
