//! What goes beyond the RFC (DESIGN section 4), rule by rule, with the exact actions.

mod common;

use common::{ME, RIVAL_ABOVE, RIVAL_BELOW, Router, advert, centiseconds, millis, priority};
use core::net::IpAddr;
use core::time::Duration;
use vrrp_core::Action::{Announce, InstallAddresses, Prepare, RemoveAddresses};
use vrrp_core::wire::{Authentication, ChecksumForm, Discard, Envelope, Password, Reason, Repr};
use vrrp_core::{
    Action, Advert, After, Alarm, Cause, Claim, ConfigError, Event, Family, Fault, Gate, HandOver, Heard, IfIndex,
    Instant, Interval, Params, Phase, Preempt, Priority, Role, RouterId, State, Timer, Transition, Version,
    VirtualRouterConfig, Vrid, VrrpRouter, Yield, track,
};

const V3: Version = Version::V3(Family::V4);

/// Skew_Time at priority 100 of an Active that advertises each second, and of one that shortened that to 1 cs.
const SKEW: Duration = Duration::from_micros(609_375);
const SHORT_SKEW: Duration = Duration::from_nanos(6_093_750);
/// Active_Down_Interval at priority 100 and one second.
const DOWN: Duration = Duration::from_micros(3_609_375);
const SECOND: Duration = Duration::from_secs(1);

fn nopreempt() -> Params {
    common::params(V3).with_preempt(Preempt::Never)
}

fn sends(value: u8, interval: Interval) -> Action {
    Action::SendAdvert(Claim { priority: Some(priority(value)), interval })
}

fn resigns(interval: Interval) -> Action {
    Action::SendAdvert(Claim { priority: None, interval })
}

fn enters(from: Role, to: Role, cause: Cause) -> Action {
    Action::Transition(Transition { from, to, cause })
}

const SHORT: Interval = Interval::SHORTEST;

/// One virtual router with parameters that may change, and exact actions.
struct Election {
    router: vrrp_core::VirtualRouter,
    now: Instant,
}

impl Election {
    fn active(params: Params) -> Self {
        let mut router = vrrp_core::VirtualRouter::new(params);
        let _ = router.handle_event(Instant::ZERO, Event::Startup);
        if let Some(down_at) = router.poll_timeout().filter(|_| router.state().role() == Role::Backup) {
            let _ = router.handle_timeout(down_at);
            return Self { router, now: down_at };
        }
        Self { router, now: Instant::ZERO }
    }

    #[track_caller]
    fn expect(&mut self, now: Instant, event: Event, actions: &[Action]) {
        self.now = now;
        let found: Vec<Action> = self.router.handle_event(now, event).into_iter().collect();
        assert_eq!(found, actions, "{event:?} at {now}");
    }

    /// Lets time pass, advertising on time, until the next election is due; gives that time.
    fn advertise_until_election(&mut self) -> Instant {
        loop {
            let (at, _) = self.router.deadline().unwrap();
            if matches!(self.router.state(), State::Active(active) if active.election_at == Some(at)) {
                return at;
            }
            let actions: Vec<Action> = self.router.handle_timeout(at).into_iter().collect();
            assert!(matches!(actions[..], [Action::SendAdvert(_)]), "{actions:?}");
        }
    }

    #[track_caller]
    fn lower(&mut self, now: Instant, value: u8, actions: &[Action]) {
        self.now = now;
        let params = self.router.params().with_effective_priority(priority(value));
        let found: Vec<Action> = self.router.set_params(now, params).into_iter().collect();
        assert_eq!(found, actions, "priority {value} at {now}");
    }

    fn role(&self) -> Role {
        self.router.state().role()
    }

    fn deadline(&self) -> (Instant, Timer) {
        self.router.deadline().unwrap()
    }
}

// Re-election when degraded (DESIGN 4.2).

#[test]
fn el_10_a_degraded_active_shortens_the_interval_resigns_and_serves_on() {
    let mut active = Election::active(nopreempt());
    let now = active.now + Duration::from_millis(400);
    // By the priority that the others know, so that they accept it; the resignation is for their Skew_Time.
    active.lower(now, 50, &[sends(100, SHORT), resigns(SHORT)]);
    assert_eq!(active.role(), Role::Active);
    // It stands with its lowered priority: 206/256 of 10 ms.
    assert_eq!(active.deadline(), (now + Duration::from_nanos(8_046_875), Timer::Election));
}

#[test]
fn el_10_a_degraded_active_over_v2_resigns_alone() {
    let params = common::params(Version::V2).with_preempt(Preempt::Never);
    let mut active = Election::active(params);
    let now = active.now + Duration::from_millis(400);
    active.lower(now, 50, &[resigns(Interval::DEFAULT)]);
    // 206/256 s.
    assert_eq!(active.deadline(), (now + Duration::from_nanos(804_687_500), Timer::Election));
}

#[test]
fn el_10_no_shorter_interval_is_advertised_where_the_usual_one_is_as_short() {
    let params = nopreempt().with_advert_interval(SHORT).unwrap();
    let mut active = Election::active(params);
    let now = active.now;
    active.lower(now, 50, &[resigns(SHORT)]);
}

#[test]
fn el_10_whoever_is_better_speaks_first_and_gets_the_role() {
    let mut active = Election::active(nopreempt());
    let now = active.now + SECOND;
    active.lower(now, 50, &[sends(100, SHORT), resigns(SHORT)]);
    let better = advert(RIVAL_BELOW, 100);
    let cause = Cause::Outranked(RIVAL_BELOW);
    let answered = now + Duration::from_millis(7);
    active.expect(answered, Event::Advert(better), &[RemoveAddresses, enters(Role::Active, Role::Backup, cause)]);
    // It follows the new Active by its lowered priority.
    assert_eq!(active.deadline(), (answered + Duration::from_nanos(3_804_687_500), Timer::ActiveDown));
}

#[test]
fn el_10_without_preemption_the_first_that_speaks_gets_the_role_also_if_it_is_lower() {
    let mut active = Election::active(nopreempt());
    let now = active.now + SECOND;
    active.lower(now, 50, &[sends(100, SHORT), resigns(SHORT)]);
    let cause = Cause::Outranked(RIVAL_BELOW);
    active.expect(
        now,
        Event::Advert(advert(RIVAL_BELOW, 40)),
        &[RemoveAddresses, enters(Role::Active, Role::Backup, cause)],
    );
}

#[test]
fn el_10_with_preemption_a_lower_one_does_not_get_the_role() {
    let mut active = Election::active(common::params(V3).with_yield(Yield::WhenDegraded));
    let now = active.now + SECOND;
    active.lower(now, 50, &[sends(100, SHORT), resigns(SHORT)]);
    let before = active.deadline();
    active.expect(now, Event::Advert(advert(RIVAL_BELOW, 40)), &[]);
    active.expect(now, Event::Advert(advert(RIVAL_BELOW, 0)), &[]);
    assert_eq!((active.role(), active.deadline()), (Role::Active, before));
}

#[test]
fn el_10_if_nobody_is_better_it_goes_on_without_a_gap() {
    let mut active = Election::active(nopreempt());
    let now = active.now + Duration::from_millis(300);
    active.lower(now, 50, &[sends(100, SHORT), resigns(SHORT)]);
    let (at, _) = active.deadline();
    active.expect(at - Duration::from_nanos(1), Event::Timeout, &[]);
    // No removal, no second installation, no announcement: the addresses never moved.
    active.expect(at, Event::Timeout, &[sends(50, Interval::DEFAULT)]);
    assert_eq!(active.deadline(), (at + SECOND, Timer::Adver));
}

#[test]
fn el_10_it_asks_again_only_after_re_election() {
    let mut active = Election::active(nopreempt());
    let called = active.now;
    active.lower(called, 50, &[sends(100, SHORT), resigns(SHORT)]);
    let (at, _) = active.deadline();
    active.expect(at, Event::Timeout, &[sends(50, Interval::DEFAULT)]);
    // It falls further: the next one is due when it is due.
    active.lower(called + SECOND, 40, &[]);
    assert_eq!(active.advertise_until_election(), called + Duration::from_secs(10));
    let again = called + Duration::from_secs(10);
    active.expect(again, Event::Timeout, &[sends(40, SHORT), resigns(SHORT)]);
    // 216/256 of 10 ms.
    assert_eq!(active.deadline(), (again + Duration::from_nanos(8_437_500), Timer::Election));
}

#[test]
fn el_10_one_that_recovers_keeps_the_role_and_asks_no_more() {
    let mut active = Election::active(nopreempt());
    let called = active.now;
    active.lower(called, 50, &[sends(100, SHORT), resigns(SHORT)]);
    let (at, _) = active.deadline();
    active.expect(at, Event::Timeout, &[sends(50, Interval::DEFAULT)]);
    active.lower(called + SECOND, 100, &[]);
    let due = active.advertise_until_election();
    active.expect(due, Event::Timeout, &[]);
    for _ in 0..20 {
        let (at, timer) = active.deadline();
        assert_eq!(timer, Timer::Adver);
        active.expect(at, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
    }
}

#[test]
fn el_10_a_router_that_lost_the_election_stays_backup_when_it_recovers() {
    let mut active = Election::active(nopreempt());
    let now = active.now;
    active.lower(now, 50, &[sends(100, SHORT), resigns(SHORT)]);
    let cause = Cause::Outranked(RIVAL_BELOW);
    let lost = [RemoveAddresses, enters(Role::Active, Role::Backup, cause)];
    active.expect(now, Event::Advert(advert(RIVAL_BELOW, 90)), &lost);
    active.lower(now + SECOND, 100, &[]);
    for n in 1..100 {
        active.expect(now + SECOND * n, Event::Advert(advert(RIVAL_BELOW, 90)), &[]);
        active.expect(now + SECOND * n, Event::Timeout, &[]);
    }
    assert_eq!(active.role(), Role::Backup);
}

#[test]
fn el_10_a_router_that_preempts_leaves_it_to_the_others_unless_told() {
    let mut active = Election::active(common::params(V3));
    let now = active.now;
    active.lower(now, 50, &[]);
    assert_eq!(active.deadline().1, Timer::Adver);
    let mut active = Election::active(nopreempt().with_yield(Yield::Never));
    active.lower(now, 50, &[]);
    assert_eq!(active.deadline().1, Timer::Adver);
}

#[test]
fn el_10_one_that_became_active_degraded_asks_after_re_election() {
    let mut active = Election::active(nopreempt().with_effective_priority(priority(50)));
    let promoted = active.now;
    assert_eq!(active.advertise_until_election(), promoted + Duration::from_secs(10));
}

#[test]
fn el_10_a_priority_that_falls_during_a_hand_over_calls_an_election_after_it() {
    let mut active = Election::active(nopreempt());
    let now = active.now;
    active.expect(now, Event::HandOver(After::Stay), &[sends(100, SHORT), resigns(SHORT)]);
    active.lower(now + SECOND, 50, &[]);
    let (at, _) = active.deadline();
    active.expect(at, Event::Timeout, &[sends(50, Interval::DEFAULT), Announce]);
    let State::Active(state) = active.router.state() else { panic!("not Active") };
    assert!(state.election_at.is_some_and(|due| due <= at + Duration::from_secs(10)), "{state:?}");
}

#[test]
fn el_10_a_priority_that_falls_while_it_settles_calls_an_election_after_it() {
    let mut active = Election::active(nopreempt().with_settle(Some(SECOND * 7)));
    let settle_at = active.advertise_until_election();
    active.expect(settle_at, Event::Timeout, &[sends(100, SHORT), resigns(SHORT)]);
    active.lower(settle_at, 50, &[]);
    let (at, _) = active.deadline();
    active.expect(at, Event::Timeout, &[sends(50, Interval::DEFAULT)]);
    let State::Active(state) = active.router.state() else { panic!("not Active") };
    assert!(state.election_at.is_some_and(|due| due <= at + Duration::from_secs(10)), "{state:?}");
}

#[test]
fn after_a_hand_over_nothing_is_due() {
    let hand_over = HandOver { interval: SHORT, deadline: SECOND * 20 };
    let mut active = Election::active(nopreempt().with_hand_over(hand_over));
    let now = active.now;
    active.lower(now, 50, &[sends(100, SHORT), resigns(SHORT)]);
    let (at, _) = active.deadline();
    active.expect(at, Event::Timeout, &[sends(50, Interval::DEFAULT)]);
    active.expect(at, Event::HandOver(After::Stay), &[sends(50, SHORT), resigns(SHORT)]);
    let (at, _) = active.deadline();
    active.expect(at, Event::Timeout, &[sends(50, Interval::DEFAULT), Announce]);
    assert!(active.deadline().0 > at);
}

// Cold start settles by priority (DESIGN 4.3).

#[test]
fn an_active_that_never_heard_another_calls_one_election_to_settle() {
    let mut active = Election::active(nopreempt().with_settle(Some(SECOND * 7)));
    let promoted = active.now;
    assert_eq!(active.advertise_until_election(), promoted + SECOND * 7);
    let settle_at = promoted + SECOND * 7;
    active.expect(settle_at, Event::Timeout, &[sends(100, SHORT), resigns(SHORT)]);
    assert_eq!(active.deadline(), (settle_at + SHORT_SKEW, Timer::Election));
    let (at, _) = active.deadline();
    active.expect(at, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
    for _ in 0..20 {
        let (at, timer) = active.deadline();
        assert_eq!(timer, Timer::Adver, "one election only");
        active.expect(at, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
    }
}

#[test]
fn an_active_that_heard_another_before_does_not_settle() {
    let mut router = vrrp_core::VirtualRouter::new(nopreempt().with_settle(Some(SECOND * 7)));
    let _ = router.handle_event(Instant::ZERO, Event::Startup);
    let _ = router.handle_event(millis(10), Event::Advert(advert(RIVAL_BELOW, 50)));
    let down_at = router.poll_timeout().unwrap();
    let _ = router.handle_timeout(down_at);
    assert!(matches!(router.state(), State::Active(active) if !active.unsettled && active.election_at.is_none()));
}

#[test]
fn the_timer_shown_is_the_one_that_fires() {
    let mut active = Election::active(nopreempt().with_settle(Some(SECOND * 7)));
    let at = active.advertise_until_election();
    assert_eq!(active.deadline(), (at, Timer::Election));
}

#[test]
fn the_owner_does_not_settle() {
    let active = Election::active(nopreempt().with_priority(Priority::OWNER).with_settle(Some(SECOND)));
    assert!(matches!(active.router.state(), State::Active(active) if !active.unsettled));
}

#[test]
fn a_cold_start_ends_with_the_highest_priority_whoever_was_first() {
    for starts in [[0, 500], [0, 3_700], [500, 0]] {
        let router = |source, value| {
            let params = nopreempt().with_priority(priority(value)).with_settle(Some(SECOND * 7));
            Router::new(params.with_primary_address(Some(source)).unwrap())
        };
        let mut routers = [router(ME, 100), router(RIVAL_ABOVE, 150)];
        common::run_lan(&mut routers, &starts, 20_000);
        assert_eq!(routers.each_ref().map(Router::role), [Role::Backup, Role::Active], "{starts:?}");
    }
}

// Gated promotion (DESIGN 4.4).

fn gated() -> Params {
    let gate = Gate { timeout: Duration::from_millis(2500), back_off: SECOND * 5 };
    common::params(V3).with_gate(Some(gate))
}

/// A claimant, and the claim's name.
fn claimant(params: Params) -> (Election, Instant) {
    let active = Election::active(params);
    assert_eq!(active.role(), Role::Claimant);
    let claim = active.now;
    (active, claim)
}

#[test]
fn a_gated_router_advertises_and_asks_and_installs_nothing() {
    let mut router = Router::backup(gated());
    let (down_at, _) = router.deadline().unwrap();
    router.expect_at(
        down_at,
        Event::Timeout,
        &[router.sends(100), Prepare(down_at), router.enters(Role::Backup, Role::Claimant, Cause::NoResponse)],
    );
    assert_eq!(router.deadline(), Some((down_at + SECOND, Timer::Adver)));
    router.expect_at(down_at + SECOND, Event::Timeout, &[router.sends(100)]);
    router.expect_at(down_at + SECOND * 2, Event::Timeout, &[router.sends(100)]);
    assert_eq!(router.deadline(), Some((down_at + Duration::from_millis(2500), Timer::Gate)));
}

#[test]
fn a_confirmed_claimant_installs_and_announces() {
    let (mut claimant, claim) = claimant(gated());
    claimant.expect(
        claim + Duration::from_millis(700),
        Event::Confirm(claim),
        &[InstallAddresses, Announce, enters(Role::Claimant, Role::Active, Cause::Confirmed)],
    );
    // It has advertised all the time, and goes on in step.
    assert_eq!(claimant.deadline(), (claim + SECOND, Timer::Adver));
}

#[test]
fn a_refused_claimant_resigns_and_stands_back() {
    let (mut claimant, claim) = claimant(gated());
    let now = claim + Duration::from_millis(10);
    claimant.expect(
        now,
        Event::Refuse(claim),
        &[RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Claimant, Role::Backup, Cause::Refused)],
    );
    // 5 s of back-off, which is longer than Active_Down_Interval.
    assert_eq!(claimant.deadline(), (now + SECOND * 5, Timer::ActiveDown));
    // A resignation does not end it.
    claimant.expect(now + SECOND, Event::Advert(advert(RIVAL_BELOW, 0)), &[]);
    assert_eq!(claimant.deadline(), (now + SECOND * 5, Timer::ActiveDown));
    // Nor does the Active that goes; one that stays pushes the timer on as ever.
    claimant.expect(now + SECOND * 4, Event::Advert(advert(RIVAL_ABOVE, 200)), &[]);
    assert_eq!(claimant.deadline(), (now + SECOND * 4 + DOWN, Timer::ActiveDown));
}

#[test]
fn a_claimant_that_is_not_answered_in_time_stands_back() {
    let (mut claimant, claim) = claimant(gated());
    let until = claim + Duration::from_millis(2500);
    claimant.expect(
        until,
        Event::Timeout,
        &[RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Claimant, Role::Backup, Cause::NotConfirmed)],
    );
    assert_eq!(claimant.deadline(), (until + SECOND * 5, Timer::ActiveDown));
}

#[test]
fn a_late_answer_to_an_earlier_claim_has_no_effect() {
    let (mut claimant, first) = claimant(gated());
    let _ = claimant.router.handle_event(first, Event::Refuse(first));
    claimant.expect(first, Event::Confirm(first), &[]);
    let (down_at, _) = claimant.deadline();
    claimant.expect(
        down_at,
        Event::Timeout,
        &[sends(100, Interval::DEFAULT), Prepare(down_at), enters(Role::Backup, Role::Claimant, Cause::NoResponse)],
    );
    let before = claimant.router.state();
    claimant.expect(down_at, Event::Confirm(first), &[]);
    claimant.expect(down_at, Event::Refuse(first), &[]);
    assert_eq!(claimant.router.state(), before);
}

#[test]
fn a_gated_owner_asks_too() {
    let (mut claimant, claim) = claimant(gated().with_priority(Priority::OWNER));
    assert_eq!(claim, Instant::ZERO);
    claimant.expect(
        claim,
        Event::Confirm(claim),
        &[InstallAddresses, Announce, enters(Role::Claimant, Role::Active, Cause::Confirmed)],
    );
}

#[test]
fn a_claimant_yields_to_a_better_rival_and_answers_a_worse_one() {
    let (mut claimant, claim) = claimant(gated());
    let worse = Event::Advert(advert(RIVAL_BELOW, 99));
    for _ in 0..3 {
        claimant.expect(claim, worse, &[sends(100, Interval::DEFAULT)]);
    }
    // sm_25: within bounds.
    claimant.expect(claim, worse, &[]);
    claimant.expect(claim, Event::Advert(advert(ME, 100)), &[Action::Alarm(Alarm::SameAddress(ME))]);
    claimant.expect(
        claim,
        Event::Advert(advert(RIVAL_BELOW, 101)),
        &[RemoveAddresses, enters(Role::Claimant, Role::Backup, Cause::Outranked(RIVAL_BELOW))],
    );
}

#[test]
fn a_claimant_that_was_held_up_lets_whoever_took_over() {
    let (mut claimant, claim) = claimant(gated());
    claimant.expect(
        claim + DOWN,
        Event::Advert(advert(RIVAL_BELOW, 1)),
        &[RemoveAddresses, enters(Role::Claimant, Role::Backup, Cause::Stalled(RIVAL_BELOW))],
    );
}

#[test]
fn a_gated_active_that_was_held_up_lets_whoever_took_over() {
    let (mut claimant, claim) = claimant(gated());
    let _ = claimant.router.handle_event(claim, Event::Confirm(claim));
    claimant.expect(
        claim + DOWN,
        Event::Advert(advert(RIVAL_BELOW, 1)),
        &[RemoveAddresses, enters(Role::Active, Role::Backup, Cause::Stalled(RIVAL_BELOW))],
    );
}

#[test]
fn a_claimant_leaves_with_a_resignation_and_without_a_removal() {
    let (mut leaving, claim) = claimant(gated());
    let actions = |cause| [resigns(Interval::DEFAULT), enters(Role::Claimant, Role::Initialize, cause)];
    leaving.expect(claim, Event::Shutdown, &actions(Cause::Shutdown));
    let (mut leaving, claim) = claimant(gated());
    leaving.expect(claim, Event::HandOver(After::Leave), &actions(Cause::Shutdown));
    let (mut leaving, claim) = claimant(gated());
    leaving.expect(claim, Event::Fault(Fault::Link), &actions(Cause::Fault(Fault::Link)));
}

#[test]
fn sm_15_a_claimant_answers_a_resignation_so_that_lower_ones_hold_still() {
    let (mut claimant, claim) = claimant(gated());
    let now = claim + Duration::from_millis(100);
    // A copy, or the old Active's second one. A Backup of 50 would fire after its Skew_Time of 0.8 s.
    claimant.expect(now, Event::Advert(advert(RIVAL_BELOW, 0)), &[sends(100, Interval::DEFAULT)]);
    assert_eq!(claimant.deadline(), (now + SECOND, Timer::Adver));
}

// Planned hand-over (DESIGN 4.5).

#[test]
fn a_hand_over_shortens_the_interval_resigns_and_serves_on() {
    for after in [After::Leave, After::Stay] {
        let mut active = Election::active(common::params(V3));
        let now = active.now + Duration::from_millis(10);
        active.expect(now, Event::HandOver(after), &[sends(100, SHORT), resigns(SHORT)]);
        assert_eq!(active.role(), Role::Active);
        assert_eq!(active.deadline(), (now + SECOND * 2, Timer::HandOver));
        // It does not advertise meanwhile.
        active.expect(now + SECOND, Event::Timeout, &[]);
    }
}

#[test]
fn the_interval_of_a_hand_over_is_a_parameter_but_never_longer_than_the_usual_one() {
    let with = |interval| HandOver { interval, deadline: SECOND };
    let mut active = Election::active(common::params(V3).with_hand_over(with(centiseconds(5))));
    let now = active.now;
    let five = centiseconds(5);
    active.expect(now, Event::HandOver(After::Leave), &[sends(100, five), resigns(five)]);
    let mut active = Election::active(common::params(V3).with_hand_over(with(centiseconds(500))));
    active.expect(now, Event::HandOver(After::Leave), &[resigns(Interval::DEFAULT)]);
    let mut active = Election::active(common::params(Version::V2).with_hand_over(with(SHORT)));
    active.expect(now, Event::HandOver(After::Leave), &[resigns(Interval::DEFAULT)]);
}

#[test]
fn the_successor_ends_a_hand_over_whatever_its_priority() {
    let cause = Cause::HandedOver(RIVAL_BELOW);
    let successor = Event::Advert(advert(RIVAL_BELOW, 1));
    let mut active = Election::active(common::params(V3));
    let now = active.now;
    let _ = active.router.handle_event(now, Event::HandOver(After::Leave));
    // Not its own resignation's echo, nor another's.
    active.expect(now, Event::Advert(advert(RIVAL_BELOW, 0)), &[]);
    active.expect(now, successor, &[RemoveAddresses, enters(Role::Active, Role::Initialize, cause)]);
    assert_eq!(active.router.state(), State::new());

    let mut active = Election::active(common::params(V3));
    let _ = active.router.handle_event(now, Event::HandOver(After::Stay));
    active.expect(now, successor, &[RemoveAddresses, enters(Role::Active, Role::Backup, cause)]);
    assert_eq!(active.deadline(), (now + DOWN, Timer::ActiveDown));
}

#[test]
fn without_a_successor_it_goes_on_or_leaves_as_asked() {
    let mut active = Election::active(common::params(V3));
    let now = active.now;
    let _ = active.router.handle_event(now, Event::HandOver(After::Stay));
    let end = now + SECOND * 2;
    active.expect(end, Event::Timeout, &[sends(100, Interval::DEFAULT), Announce]);
    assert_eq!(active.deadline(), (end + SECOND, Timer::Adver));

    let mut active = Election::active(common::params(V3));
    let _ = active.router.handle_event(now, Event::HandOver(After::Leave));
    active.expect(
        end,
        Event::Timeout,
        &[RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Active, Role::Initialize, Cause::NoSuccessor)],
    );
    assert_eq!(active.router.state(), State::new());
}

#[test]
fn a_shutdown_during_a_hand_over_leaves_at_once() {
    let mut active = Election::active(common::params(V3));
    let now = active.now;
    let _ = active.router.handle_event(now, Event::HandOver(After::Stay));
    active.expect(
        now,
        Event::Shutdown,
        &[RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Active, Role::Initialize, Cause::Shutdown)],
    );
}

#[test]
fn a_fault_or_the_group_ends_a_hand_over() {
    let mut active = Election::active(common::params(V3));
    let now = active.now;
    let _ = active.router.handle_event(now, Event::HandOver(After::Stay));
    active.expect(
        now,
        Event::Fault(Fault::Link),
        &[
            RemoveAddresses,
            resigns(Interval::DEFAULT),
            enters(Role::Active, Role::Initialize, Cause::Fault(Fault::Link)),
        ],
    );
    let mut active = Election::active(common::params(V3));
    let _ = active.router.handle_event(now, Event::HandOver(After::Stay));
    active.expect(
        now,
        Event::StepDown,
        &[RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Active, Role::Backup, Cause::Group)],
    );
}

#[test]
fn a_second_order_changes_what_follows_and_not_when() {
    let mut active = Election::active(common::params(V3));
    let now = active.now;
    let _ = active.router.handle_event(now, Event::HandOver(After::Stay));
    active.expect(now + SECOND, Event::HandOver(After::Leave), &[]);
    assert_eq!(active.deadline(), (now + SECOND * 2, Timer::HandOver));
    let State::Active(state) = active.router.state() else { panic!("not Active") };
    assert_eq!(state.phase, Phase::HandingOver(now + SECOND * 2, After::Leave));
}

#[test]
fn a_hand_over_while_it_stands_in_an_election_resigns_no_second_time() {
    let mut active = Election::active(nopreempt());
    let now = active.now;
    active.lower(now, 50, &[sends(100, SHORT), resigns(SHORT)]);
    active.expect(now, Event::HandOver(After::Leave), &[]);
    assert_eq!(active.deadline(), (now + SECOND * 2, Timer::HandOver));
}

#[test]
fn the_owner_hands_over_too_and_stays_away() {
    let mut owner = Election::active(common::params(V3).with_priority(Priority::OWNER));
    owner.expect(millis(10), Event::HandOver(After::Leave), &[sends(255, SHORT), resigns(SHORT)]);
    owner.expect(
        millis(20),
        Event::Advert(advert(RIVAL_BELOW, 1)),
        &[RemoveAddresses, enters(Role::Active, Role::Initialize, Cause::HandedOver(RIVAL_BELOW))],
    );
    owner.expect(millis(2000), Event::Timeout, &[]);
}

#[test]
fn where_there_is_nothing_to_hand_over_only_leaving_means_something() {
    let mut backup = Router::backup(common::params(V3));
    backup.expect(10, Event::HandOver(After::Stay), &[]);
    backup.expect(10, Event::HandOver(After::Leave), &[enters(Role::Backup, Role::Initialize, Cause::Shutdown)]);
    backup.expect(10, Event::HandOver(After::Leave), &[]);
    assert_eq!(backup.state(), State::new());
}

// Preemption and alarms.

#[test]
fn a_persistent_rival_is_an_alarm_after_three_answers_it_did_not_heed() {
    let mut active = Election::active(common::params(V3));
    let answer = [sends(100, Interval::DEFAULT), Announce];
    let alarm = Action::Alarm(Alarm::PersistentRival(RIVAL_BELOW));
    for n in 0..5 {
        let (due, _) = active.deadline();
        active.expect(due, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
        let rival = Event::Advert(advert(RIVAL_BELOW, 50));
        if n < 3 {
            active.expect(due, rival, &answer);
        } else {
            active.expect(due, rival, &[answer[0], answer[1], alarm]);
            // Once an interval, however often it claims.
            active.expect(due, rival, &answer);
        }
    }
}

#[test]
fn a_rival_that_heeds_an_answer_is_no_alarm() {
    let mut active = Election::active(common::params(V3));
    for _ in 0..10 {
        let (due, _) = active.deadline();
        active.expect(due, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
        let answer = [sends(100, Interval::DEFAULT), Announce];
        active.expect(due, Event::Advert(advert(RIVAL_BELOW, 50)), &answer);
        // A whole interval without it.
        for _ in 0..2 {
            let (due, _) = active.deadline();
            active.expect(due, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
        }
    }
}

#[test]
fn a_persistent_rival_is_an_alarm_also_where_rivals_are_not_answered() {
    let mut active = Election::active(common::params(V3).with_answer_rivals(false));
    let mut alarms = 0;
    for _ in 0..10 {
        let (due, _) = active.deadline();
        active.expect(due, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
        alarms += active.router.handle_event(due, Event::Advert(advert(RIVAL_BELOW, 50))).into_iter().count();
    }
    assert!(alarms > 0);
}

#[test]
fn sm_24_a_preemption_delay_does_not_hold_the_owner_back() {
    let preempt = Preempt::After(SECOND * 60);
    let mut owner = Router::new(common::params(V3).with_priority(Priority::OWNER).with_preempt(preempt));
    owner.handle(0, Event::Startup);
    owner.handle(1, Event::Advert(advert(RIVAL_ABOVE, 255)));
    assert_eq!(owner.role(), Role::Backup);
    let before = owner.deadline();
    owner.handle(1000, Event::Advert(advert(RIVAL_ABOVE, 254)));
    assert_eq!(owner.deadline(), before, "a lower Active is not accepted");
}

#[test]
fn el_07_a_backup_that_is_told_not_to_preempt_any_more_does_not() {
    let mut backup = Router::backup(common::params(V3));
    backup.handle(3000, Event::Advert(advert(RIVAL_BELOW, 50)));
    backup.reconfigure(3100, nopreempt());
    // The Active is alive: its next advertisement is due at 4000.
    let actions = backup.handle(3700, Event::Timeout);
    assert_eq!(actions, [], "{:?}", backup.state());
}

#[test]
fn the_state_fits_into_two_cache_lines() {
    assert!(size_of::<State>() <= 128, "{} octets", size_of::<State>());
}

// VRRPv2 interval tolerance.

#[test]
fn rx_18_a_v2_router_that_learns_intervals_follows_a_slower_active() {
    let slow = Advert { interval: Interval::from_seconds(3).unwrap(), ..advert(RIVAL_ABOVE, 200) };
    let mut strict = Router::backup(common::params(Version::V2));
    strict.handle(0, Event::Advert(slow));
    assert_eq!(strict.deadline().unwrap().0, Instant::ZERO + DOWN);
    let mut lenient = Router::backup(common::params(Version::V2).with_learn_v2_interval(true));
    lenient.handle(0, Event::Advert(slow));
    // 3 * 3 s + 156/256 s: the Skew_Time of VRRPv2 does not depend on the interval.
    assert_eq!(lenient.deadline().unwrap().0, Instant::ZERO + SECOND * 9 + SKEW);
}

// `VrrpRouter`: sync groups, tracking, alarms by datagram.

fn vrid(value: u8) -> Vrid {
    Vrid::new(value).unwrap()
}

fn interface(index: u32) -> IfIndex {
    IfIndex::new(index).unwrap()
}

fn config(id: u8, params: Params) -> VirtualRouterConfig {
    VirtualRouterConfig::new(vrid(id), params, ["192.0.2.100".parse().unwrap()])
}

struct Host {
    router: VrrpRouter,
    ids: Vec<RouterId>,
}

impl Host {
    /// Virtual routers 1 to `count`, each on an interface of its own, not started.
    fn new(count: u8, params: Params) -> Self {
        let mut router = VrrpRouter::new();
        let ids = (1..=count).map(|n| router.add(interface(n.into()), config(n, params)).unwrap()).collect();
        Self { router, ids }
    }

    /// The same as one sync group, started at 0.
    fn group(count: u8, params: Params) -> Self {
        let mut host = Self::new(count, params);
        host.router.add_group(Instant::ZERO, &host.ids.clone()).unwrap();
        for id in host.ids.clone() {
            host.router.handle_event(Instant::ZERO, id, Event::Startup);
        }
        host.actions();
        host
    }

    fn actions(&mut self) -> Vec<(usize, Action)> {
        let ids = &self.ids;
        let which = |id| ids.iter().position(|other| *other == id).unwrap();
        std::iter::from_fn(|| self.router.poll_action()).map(|(id, action)| (which(id), action)).collect()
    }

    fn roles(&self) -> Vec<Role> {
        self.ids.iter().map(|id| self.router.state(*id).unwrap().role()).collect()
    }

    fn event(&mut self, now: Instant, n: usize, event: Event) -> Vec<(usize, Action)> {
        self.router.handle_event(now, self.ids[n], event);
        self.actions()
    }

    /// Fires everything until `until`.
    fn run(&mut self, until: Instant) -> Vec<(usize, Action)> {
        let mut actions = Vec::new();
        while let Some(at) = self.router.poll_timeout().filter(|at| *at <= until) {
            self.router.handle_timeout(at);
            actions.extend(self.actions());
        }
        actions
    }
}

const DOWN_AT: Instant = Instant::from_nanos(3_609_375_000);

#[test]
fn a_sync_group_takes_over_together() {
    let mut host = Host::group(2, common::params(V3));
    assert_eq!(host.run(DOWN_AT - Duration::from_nanos(1)), []);
    // No host is told before both sides serve.
    let active = enters(Role::Backup, Role::Active, Cause::NoResponse);
    let order = [sends(100, Interval::DEFAULT), InstallAddresses, Announce, active];
    assert_eq!(host.run(DOWN_AT), order.map(|action| [(0, action), (1, action)]).concat());
}

#[test]
fn a_sync_group_promotes_only_when_all_can() {
    let mut host = Host::group(2, common::params(V3));
    let second = host.ids[1];
    // The second one still hears its Active; the first one's is gone: that is only a part of the peers, if it lasts.
    host.router.handle_event(millis(3000), second, Event::Advert(advert(RIVAL_ABOVE, 200)));
    assert_eq!(host.run(millis(6000)), []);
    host.router.handle_event(millis(6000), second, Event::Advert(advert(RIVAL_ABOVE, 200)));
    assert_eq!(host.run(DOWN_AT + DOWN - Duration::from_nanos(1)), []);
    assert_eq!(host.run(DOWN_AT + DOWN), [(0, Action::Alarm(Alarm::PartialView))]);
    assert_eq!(host.roles(), [Role::Backup, Role::Backup]);
    // Then that one goes too: both take over, at its time.
    let promoted = host.run(millis(6000) + DOWN);
    assert_eq!(promoted.iter().filter(|(_, action)| *action == InstallAddresses).count(), 2);
    assert_eq!(host.roles(), [Role::Active, Role::Active]);
}

#[test]
fn a_member_that_hears_its_active_again_is_not_held_any_more() {
    let mut host = Host::group(2, common::params(V3));
    for n in 0..2 {
        let id = host.ids[n];
        host.router.handle_event(millis(3000), id, Event::Advert(advert(RIVAL_ABOVE, 200)));
    }
    assert_eq!(host.run(millis(6000)), []);
    let first = host.ids[0];
    host.router.handle_event(millis(6000), first, Event::Advert(advert(RIVAL_ABOVE, 200)));
    assert_eq!(host.router.poll_timeout(), Some(millis(3000) + DOWN));
}

#[test]
fn a_sync_group_leaves_together() {
    let mut host = Host::group(2, common::params(V3));
    host.run(DOWN_AT);
    let now = millis(4000);
    let actions = host.event(now, 0, Event::Advert(advert(RIVAL_ABOVE, 200)));
    assert_eq!(
        actions,
        [
            (0, RemoveAddresses),
            (0, sends(100, Interval::DEFAULT)),
            (0, enters(Role::Active, Role::Backup, Cause::Outranked(RIVAL_ABOVE))),
            (1, RemoveAddresses),
            (1, resigns(Interval::DEFAULT)),
            (1, enters(Role::Active, Role::Backup, Cause::Group)),
        ]
    );
}

#[test]
fn a_fault_of_a_member_spreads_and_ends_for_all() {
    let mut host = Host::group(3, common::params(V3));
    host.run(DOWN_AT);
    let now = millis(4000);
    host.event(now, 1, Event::Fault(Fault::Link));
    assert_eq!(host.roles(), [Role::Initialize; 3]);
    let faults = |host: &Host, n: usize| host.router.state(host.ids[n]).unwrap().faults();
    assert!(faults(&host, 0).contains(Fault::Group) && !faults(&host, 1).contains(Fault::Group));
    // One that serves nothing needs no timer.
    assert_eq!(host.router.poll_timeout(), None);
    host.event(now + SECOND, 1, Event::Recovered(Fault::Link));
    assert_eq!(host.roles(), [Role::Backup; 3]);
    host.run(now + SECOND + DOWN);
    assert_eq!(host.roles(), [Role::Active; 3]);
}

#[test]
fn addresses_that_one_member_cannot_install_are_taken_from_all() {
    let mut host = Host::group(2, common::params(V3));
    host.router.handle_timeout(DOWN_AT);
    // The caller installs the first one's, and fails at the second's.
    let mut installed = Vec::new();
    while let Some((id, action)) = host.router.poll_action() {
        let n = host.ids.iter().position(|other| *other == id).unwrap();
        match action {
            InstallAddresses if n == 1 => {
                host.router.cancel_actions(id);
                host.router.handle_event(DOWN_AT, id, Event::Fault(Fault::Install));
            }
            InstallAddresses => installed.push(n),
            RemoveAddresses => installed.retain(|other| *other != n),
            _ => {}
        }
    }
    assert_eq!(installed, []);
    assert_eq!(host.roles(), [Role::Initialize; 2]);
    // Both try again after the fault hold.
    host.run(DOWN_AT + SECOND * 10);
    assert_eq!(host.roles(), [Role::Backup; 2]);
}

#[test]
fn a_member_of_a_group_cannot_join_another() {
    let mut host = Host::group(2, common::params(V3));
    let ids = host.ids.clone();
    assert_eq!(host.router.add_group(Instant::ZERO, &ids[..1]), Err(ConfigError::OtherGroup(vrid(1))));
}

#[test]
fn a_group_that_is_dissolved_lets_its_members_go() {
    let mut host = Host::new(2, common::params(V3));
    let ids = host.ids.clone();
    let group = host.router.add_group(Instant::ZERO, &ids).unwrap();
    host.event(Instant::ZERO, 0, Event::Startup);
    host.event(Instant::ZERO, 1, Event::Startup);
    host.event(millis(10), 1, Event::Fault(Fault::Link));
    host.router.remove_group(millis(20), group);
    assert_eq!(host.roles(), [Role::Backup, Role::Initialize]);
    host.run(millis(20) + DOWN);
    assert_eq!(host.roles(), [Role::Active, Role::Initialize]);
}

#[test]
fn a_group_recovers_when_its_members_recover_one_after_the_other() {
    let mut host = Host::new(2, common::params(V3));
    for n in 0..2 {
        host.event(Instant::ZERO, n, Event::Startup);
        host.event(Instant::ZERO, n, Event::Fault(Fault::Link));
    }
    let ids = host.ids.clone();
    host.router.add_group(Instant::ZERO, &ids).unwrap();
    host.event(millis(10), 0, Event::Recovered(Fault::Link));
    host.event(millis(20), 1, Event::Recovered(Fault::Link));
    assert_eq!(host.roles(), [Role::Backup; 2]);
}

#[test]
fn a_group_goes_on_without_a_member_that_is_removed() {
    let mut host = Host::group(2, common::params(V3));
    let second = host.ids[1];
    host.router.handle_event(millis(3000), second, Event::Advert(advert(RIVAL_ABOVE, 200)));
    // The first one's time has come, and it is held.
    host.run(millis(4000));
    assert_eq!(host.roles()[0], Role::Backup);
    host.router.remove(millis(4000), second);
    host.ids.truncate(1);
    host.run(millis(60_000));
    assert_eq!(host.roles(), [Role::Active]);
}

#[test]
fn a_group_goes_on_without_a_faulty_member_that_is_removed() {
    let mut host = Host::group(2, common::params(V3));
    host.event(millis(10), 1, Event::Fault(Fault::Link));
    let second = host.ids[1];
    host.router.remove(millis(4000), second);
    host.ids.truncate(1);
    host.run(millis(60_000));
    assert_eq!(host.roles(), [Role::Active]);
}

#[test]
fn a_member_that_was_held_goes_when_the_last_one_has_gone() {
    let mut host = Host::new(1, common::params(V3));
    let owner = common::params(V3).with_priority(Priority::OWNER);
    host.ids.push(host.router.add(interface(2), config(2, owner)).unwrap());
    let ids = host.ids.clone();
    host.router.add_group(Instant::ZERO, &ids).unwrap();
    host.event(Instant::ZERO, 0, Event::Startup);
    host.run(millis(4000));
    host.event(millis(5000), 1, Event::Startup);
    host.run(millis(5000));
    assert_eq!(host.roles(), [Role::Active; 2]);
}

#[test]
fn el_10_an_assessment_lowers_the_priority_and_moves_the_role() {
    let mut host = Host::new(1, nopreempt());
    host.event(Instant::ZERO, 0, Event::Startup);
    host.run(DOWN_AT);
    let id = host.ids[0];
    let check = |up| track::Tracked { impact: track::Impact::Weight(-60), inverted: false, up };
    let assess = |host: &mut Host, now, up| {
        let base = host.router.params(id).unwrap().base_priority();
        host.router.set_assessment(now, id, track::assess(base, [check(up)]));
        host.actions()
    };
    assert_eq!(assess(&mut host, millis(4000), true), []);
    assert_eq!(assess(&mut host, millis(4000), false), [(0, sends(100, SHORT)), (0, resigns(SHORT))]);
    assert_eq!(host.router.params(id).unwrap().priority(), priority(40));
    assert_eq!(
        host.event(millis(4007), 0, Event::Advert(advert(RIVAL_BELOW, 90))),
        [(0, RemoveAddresses), (0, enters(Role::Active, Role::Backup, Cause::Outranked(RIVAL_BELOW))),]
    );
    assert_eq!(assess(&mut host, millis(5000), true), []);
    assert_eq!(host.router.params(id).unwrap().priority(), priority(100));
}

#[test]
fn a_tracked_fault_takes_the_router_out_until_it_is_assessed_good() {
    let mut host = Host::new(1, common::params(V3));
    host.event(Instant::ZERO, 0, Event::Startup);
    host.run(DOWN_AT);
    let id = host.ids[0];
    let assessment = |fault| track::Assessment { priority: priority(100), fault };
    host.router.set_assessment(millis(4000), id, assessment(true));
    let left = enters(Role::Active, Role::Initialize, Cause::Fault(Fault::Tracking));
    assert_eq!(host.actions(), [(0, RemoveAddresses), (0, resigns(Interval::DEFAULT)), (0, left)]);
    host.router.set_assessment(millis(5000), id, assessment(true));
    assert_eq!(host.actions(), []);
    host.router.set_assessment(millis(6000), id, assessment(false));
    let back = enters(Role::Initialize, Role::Backup, Cause::Startup);
    assert_eq!(host.actions(), [(0, RemoveAddresses), (0, back)]);
}

/// A peer's datagram for virtual router 1, changed.
struct Datagram {
    version: Version,
    source: IpAddr,
    priority: u8,
    interval: Interval,
    authentication: Authentication,
    address: &'static str,
}

impl Datagram {
    fn v2() -> Self {
        Self { version: Version::V2, ..Self::v3() }
    }

    fn v3() -> Self {
        Self {
            version: V3,
            source: RIVAL_ABOVE,
            priority: 50,
            interval: Interval::DEFAULT,
            authentication: Authentication::None,
            address: "192.0.2.100",
        }
    }

    fn arrive(&self, host: &mut Host, now: Instant) -> Result<RouterId, Discard> {
        let addresses = [self.address.parse().unwrap()];
        let repr = Repr {
            priority: Priority::from_wire(self.priority),
            interval: self.interval,
            authentication: self.authentication,
            ..Repr::new(self.version, vrid(1), &addresses)
        };
        let mut octets = vec![0; repr.buffer_len()];
        repr.emit(self.source, Family::V4.group(), ChecksumForm::PseudoHeader, &mut octets).unwrap();
        let envelope = Envelope { source: self.source, destination: Family::V4.group(), ttl: Some(255) };
        host.router.handle_datagram(now, interface(1), &envelope, &octets)
    }
}

fn rejected(reason: Reason) -> Vec<(usize, Action)> {
    vec![(0, Action::Alarm(Alarm::RejectedPeer(RIVAL_ABOVE, reason)))]
}

#[test]
fn se_04_a_plausible_peer_that_is_rejected_is_an_alarm_with_the_reason() {
    let other = Authentication::SimpleText(Password::new("other").unwrap());
    let cases = [
        (V3, Datagram::v2(), Reason::Version),
        (Version::V2, Datagram::v3(), Reason::Version),
        (Version::V2, Datagram { interval: Interval::from_seconds(2).unwrap(), ..Datagram::v2() }, Reason::Interval),
        (Version::V2, Datagram { authentication: other, ..Datagram::v2() }, Reason::AuthTypeMismatch),
        (Version::V2, Datagram { address: "192.0.2.101", ..Datagram::v2() }, Reason::AddressList),
    ];
    for (version, datagram, reason) in cases {
        let mut host = Host::new(1, common::params(version));
        assert_eq!(datagram.arrive(&mut host, Instant::ZERO).map_err(Discard::reason), Err(reason));
        assert_eq!(host.actions(), rejected(reason));
    }
}

#[test]
fn se_04_another_password_is_an_alarm() {
    let mut router = VrrpRouter::new();
    let password = |text| Authentication::SimpleText(Password::new(text).unwrap());
    let settings = config(1, common::params(Version::V2)).with_authentication(password("ours"));
    let ids = vec![router.add(interface(1), settings).unwrap()];
    let mut host = Host { router, ids };
    let datagram = Datagram { authentication: password("theirs"), ..Datagram::v2() };
    assert_eq!(datagram.arrive(&mut host, Instant::ZERO), Err(Discard::AuthFailure));
    assert_eq!(host.actions(), rejected(Reason::AuthFailure));
}

#[test]
fn se_04_garbage_is_no_alarm() {
    let mut host = Host::new(1, common::params(V3));
    let envelope = Envelope { source: RIVAL_ABOVE, destination: Family::V4.group(), ttl: Some(254) };
    let ttl = host.router.handle_datagram(Instant::ZERO, interface(1), &envelope, &[0x31, 1, 100, 1, 0, 100, 0, 0]);
    assert_eq!(ttl, Err(Discard::Ttl(Some(254))));
    assert_eq!(host.actions(), []);
}

#[test]
fn se_04_an_alarm_of_one_kind_comes_at_most_once_a_minute_each() {
    let mut host = Host::new(1, common::params(V3));
    let mut alarms = Vec::new();
    for second in 0..180 {
        let _ = Datagram::v2().arrive(&mut host, millis(second * 1000));
        alarms.extend(host.actions().into_iter().map(|_| second));
    }
    assert_eq!(alarms, [0, 60, 120]);
    // Of another kind at once.
    let _ = Datagram { address: "203.0.113.1", ..Datagram::v3() }.arrive(&mut host, millis(179_001));
    assert_eq!(host.actions(), [(0, Action::Alarm(Alarm::VridClash(RIVAL_ABOVE)))]);
}

#[test]
fn se_04_disjoint_addresses_are_a_vrid_clash_and_overlapping_ones_are_not() {
    let mut router = VrrpRouter::new();
    let mut settings = config(1, common::params(V3));
    settings.addresses.push("192.0.2.101".parse().unwrap());
    let ids = vec![router.add(interface(1), settings).unwrap()];
    let mut host = Host { router, ids };
    assert!(Datagram::v3().arrive(&mut host, Instant::ZERO).is_ok());
    assert_eq!(host.actions(), []);
    assert!(Datagram { address: "203.0.113.1", ..Datagram::v3() }.arrive(&mut host, Instant::ZERO).is_ok());
    assert_eq!(host.actions(), [(0, Action::Alarm(Alarm::VridClash(RIVAL_ABOVE)))]);
}

#[test]
fn se_04_our_own_address_as_the_source_is_an_alarm() {
    let mut host = Host::new(1, common::params(V3));
    let reflected = Datagram { source: ME, ..Datagram::v3() }.arrive(&mut host, Instant::ZERO);
    assert_eq!(reflected, Err(Discard::SelfReceived));
    assert_eq!(host.actions(), [(0, Action::Alarm(Alarm::SameAddress(ME)))]);
}

#[test]
fn el_04_a_second_owner_is_an_alarm_once_a_minute() {
    let mut host = Host::new(1, common::params(V3).with_priority(Priority::OWNER));
    host.event(Instant::ZERO, 0, Event::Startup);
    let second = Datagram { priority: 255, source: RIVAL_BELOW, ..Datagram::v3() };
    let mut alarms = 0;
    for n in 0..120 {
        second.arrive(&mut host, millis(n * 1000)).unwrap();
        host.router.handle_timeout(millis(n * 1000));
        let alarm = Action::Alarm(Alarm::SecondOwner(RIVAL_BELOW));
        alarms += host.actions().into_iter().filter(|(_, action)| *action == alarm).count();
    }
    assert_eq!(alarms, 2);
}

#[test]
fn a_timeout_at_the_end_of_time_returns() {
    let mut host = Host::new(1, common::params(V3));
    host.event(Instant::ZERO, 0, Event::Startup);
    host.router.handle_timeout(Instant::FAR_FUTURE);
}

#[test]
fn a_backup_says_what_it_heard() {
    let mut backup = Router::backup(nopreempt());
    let heard = |backup: &Router| match backup.state() {
        State::Backup(backup) => backup.heard,
        other => panic!("{other:?}"),
    };
    assert_eq!(heard(&backup), Heard::Nobody);
    backup.handle(1, Event::Advert(advert(RIVAL_BELOW, 1)));
    assert_eq!(heard(&backup), Heard::Active);
    backup.handle(2, Event::Advert(advert(RIVAL_BELOW, 0)));
    assert_eq!(heard(&backup), Heard::Resignation);
}
