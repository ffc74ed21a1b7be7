//! Elections that an Active calls: because it is degraded (DESIGN 4.2), and to settle a cold start (DESIGN 4.3).

use super::*;

#[test]
fn el_10_a_degraded_active_shortens_the_interval_resigns_and_serves_on() {
    let mut active = Election::active(nopreempt());
    let now = active.now + Duration::from_millis(400);
    // By the priority that the others know, so that they accept it; the resignation is for their Skew_Time.
    active.lower(now, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
    assert_eq!(active.role(), Role::Active);
    // It stands with its lowered priority: 206/256 of 200 ms, less half of 1/256.
    assert_eq!(active.deadline(), (now + Duration::from_nanos(160_546_875), Timer::Election));
}

#[test]
fn el_10_a_degraded_active_over_v2_resigns_alone() {
    let params = common::params(Version::V2).with_preempt(Preempt::Never);
    let mut active = Election::active(params);
    let now = active.now + Duration::from_millis(400);
    active.lower(now, 50, &[resigns(Interval::DEFAULT)]);
    // 206/256 s, less half of 1/256 s.
    assert_eq!(active.deadline(), (now + Duration::from_nanos(802_734_375), Timer::Election));
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
    active.lower(now, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
    let better = advert(RIVAL_BELOW, 100);
    let cause = Cause::Outranked(RIVAL_BELOW);
    let answered = now + Duration::from_millis(70);
    active.expect(
        answered,
        Event::Advert(better),
        &[RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Active, Role::Backup, cause)],
    );
    // It follows the new Active by its lowered priority.
    assert_eq!(active.deadline(), (answered + Duration::from_nanos(3_804_687_500), Timer::ActiveDown));
}

#[test]
fn el_10_without_preemption_the_first_that_speaks_gets_the_role_also_if_it_is_lower() {
    let mut active = Election::active(nopreempt());
    let now = active.now + SECOND;
    active.lower(now, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
    let cause = Cause::Outranked(RIVAL_BELOW);
    active.expect(
        now,
        Event::Advert(advert(RIVAL_BELOW, 40)),
        &[RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Active, Role::Backup, cause)],
    );
}

#[test]
fn el_10_with_preemption_a_lower_one_does_not_get_the_role() {
    let mut active = Election::active(common::params(V3).with_yield(Yield::WhenDegraded));
    let now = active.now + SECOND;
    active.lower(now, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
    let before = active.deadline();
    active.expect(now, Event::Advert(advert(RIVAL_BELOW, 40)), &[]);
    active.expect(now, Event::Advert(advert(RIVAL_BELOW, 0)), &[]);
    assert_eq!((active.role(), active.deadline()), (Role::Active, before));
}

/// With a better one no less than half of what a priority counts lies between the two, and with an equal.
#[test]
fn el_10_whoever_is_better_by_one_speaks_before_it_and_an_equal_after_it() {
    for (version, step) in [(V3, Duration::from_nanos(781_250)), (Version::V2, Duration::from_nanos(3_906_250))] {
        for value in 1..=253 {
            let params = common::params(version).with_preempt(Preempt::Never);
            let mut active = Election::active(params.with_priority(Priority::new(254).unwrap()));
            let called = active.now;
            let actions = active.router.set_effective_priority(called, priority(value));
            let claims: Vec<Claim> = actions.into_iter().filter_map(claim).collect();
            let (claim_at, _) = active.deadline();

            // It hears all of that at once, and began before.
            let speaks_at = |value| {
                let mut backup = vrrp_core::VirtualRouter::new(params.with_priority(priority(value)));
                let _ = backup.handle_event(called - SECOND, Event::Startup);
                for claim in &claims {
                    let heard = Advert { priority: claim.priority, interval: claim.interval, ..advert(ME, 1) };
                    let _ = backup.handle_event(called, Event::Advert(heard));
                }
                assert_eq!(backup.state().role(), Role::Backup);
                backup.poll_timeout().unwrap()
            };
            let (better, equal) = (speaks_at(value + 1), speaks_at(value));
            assert!(better + step / 2 <= claim_at + Duration::from_nanos(2), "{version:?} {value}");
            assert!(claim_at + step / 2 <= equal + Duration::from_nanos(2), "{version:?} {value}");
        }
    }
}

#[test]
fn el_10_if_an_equal_speaks_all_the_same_the_address_decides_so_that_the_role_does_not_swap() {
    for (rival, moves) in [(RIVAL_BELOW, false), (RIVAL_ABOVE, true)] {
        let mut active = Election::active(nopreempt());
        let now = active.now + SECOND;
        active.lower(now, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
        let (claim_at, _) = active.deadline();
        let equal = Event::Advert(advert(rival, 50));
        if moves {
            let lost = [
                RemoveAddresses,
                resigns(Interval::DEFAULT),
                enters(Role::Active, Role::Backup, Cause::Outranked(rival)),
            ];
            active.expect(now, equal, &lost);
        } else {
            active.expect(now, equal, &[]);
            // It told the hosts about itself.
            active.expect(claim_at, Event::Timeout, &[sends(50, Interval::DEFAULT), Announce]);
            // Once is enough.
            active.expect(claim_at + SECOND, Event::Timeout, &[sends(50, Interval::DEFAULT)]);
        }
    }
}

#[test]
fn el_10_a_router_that_is_held_up_in_its_election_lets_an_equal_have_the_role() {
    let mut active = Election::active(nopreempt());
    let now = active.now + SECOND;
    active.lower(now, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
    let lost = enters(Role::Active, Role::Backup, Cause::Outranked(RIVAL_BELOW));
    active.expect(
        now + SECOND * 10,
        Event::Advert(advert(RIVAL_BELOW, 50)),
        &[RemoveAddresses, resigns(Interval::DEFAULT), lost],
    );
}

#[test]
fn el_10_if_nobody_is_better_it_goes_on_without_a_gap() {
    let mut active = Election::active(nopreempt());
    let now = active.now + Duration::from_millis(300);
    active.lower(now, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
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
    active.lower(called, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
    let (at, _) = active.deadline();
    active.expect(at, Event::Timeout, &[sends(50, Interval::DEFAULT)]);
    // It falls further: the next one is due when it is due.
    active.lower(called + SECOND, 40, &[]);
    assert_eq!(active.advertise_until_election(), called + Duration::from_secs(10));
    let again = called + Duration::from_secs(10);
    active.expect(again, Event::Timeout, &[sends(40, ELECTION), resigns(ELECTION)]);
    // 216/256 of 200 ms, less half of 1/256.
    assert_eq!(active.deadline(), (again + Duration::from_nanos(168_359_375), Timer::Election));
}

#[test]
fn el_10_one_that_recovers_keeps_the_role_and_asks_no_more() {
    let mut active = Election::active(nopreempt());
    let called = active.now;
    active.lower(called, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
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
    active.lower(now, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
    let cause = Cause::Outranked(RIVAL_BELOW);
    let lost = [RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Active, Role::Backup, cause)];
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
    active.expect(settle_at, Event::Timeout, &[sends(100, ELECTION), resigns(ELECTION)]);
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
    active.lower(now, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
    let (at, _) = active.deadline();
    active.expect(at, Event::Timeout, &[sends(50, Interval::DEFAULT)]);
    active.expect(at, Event::HandOver(After::Stay), &[sends(50, SHORT), resigns(SHORT)]);
    let (at, _) = active.deadline();
    active.expect(at, Event::Timeout, &[sends(50, Interval::DEFAULT), Announce]);
    assert!(active.deadline().0 > at);
}

#[test]
fn el_10_new_parameters_leave_what_tracking_took() {
    let mut active = Election::active(nopreempt().with_yield(Yield::Never));
    let now = active.now;
    active.lower(now, 50, &[]);
    for (base, effective) in [(120, 70), (254, 204), (20, 1), (100, 81)] {
        let _ = active.router.set_params(now, nopreempt().with_yield(Yield::Never).with_priority(priority(base)));
        assert_eq!(active.router.params().base_priority(), priority(base));
        assert_eq!(active.router.params().priority(), priority(effective), "of {base}");
    }
    active.lower(now, 100, &[]);
    let _ = active.router.set_params(now, nopreempt().with_priority(priority(120)));
    assert_eq!(active.router.params().priority(), priority(120));
    let _ = active.router.set_params(now, nopreempt().with_priority(Priority::OWNER));
    assert_eq!(active.router.params().priority(), Priority::OWNER);
}

#[test]
fn tx_11_a_router_without_an_address_waits_for_one() {
    for params in [Params::new(V3), Params::new(V3).with_priority(Priority::OWNER)] {
        let mut router = vrrp_core::VirtualRouter::new(params);
        assert!(router.handle_event(Instant::ZERO, Event::Startup).is_empty());
        assert!(router.state().faults().contains(Fault::PrimaryAddress));
        assert_eq!(router.poll_timeout(), None);
        let mut other = router;
        // Whichever way it is told.
        let _ = router.set_params(millis(10), params.with_primary_address(Some(ME)).unwrap());
        let _ = other.set_primary_address(millis(10), Some(ME)).unwrap();
        assert_eq!(router, other);
        assert_ne!(router.state().role(), Role::Initialize);
        let _ = router.set_params(millis(20), params);
        assert_eq!((router.state().role(), router.poll_timeout()), (Role::Initialize, None));
    }
}

// Cold start settles by priority.

#[test]
fn an_active_that_never_heard_another_calls_one_election_to_settle() {
    let mut active = Election::active(nopreempt().with_settle(Some(SECOND * 7)));
    let promoted = active.now;
    assert_eq!(active.advertise_until_election(), promoted + SECOND * 7);
    let settle_at = promoted + SECOND * 7;
    active.expect(settle_at, Event::Timeout, &[sends(100, ELECTION), resigns(ELECTION)]);
    assert_eq!(active.deadline(), (settle_at + ELECTION_TIME, Timer::Election));
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
