//! Gated promotion (DESIGN 4.4).

use super::*;

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
        &[
            sends(100, Interval::DEFAULT),
            InstallAddresses,
            Announce,
            enters(Role::Claimant, Role::Active, Cause::Confirmed),
        ],
    );
    assert_eq!(claimant.deadline(), (claim + Duration::from_millis(1700), Timer::Adver));
}

/// A gated router that heard a lower Active for so long that it preempts: it, the claim, and when it was last heard.
fn preemptor(params: Params) -> (Router, Instant) {
    let mut router = Router::backup(params);
    router.handle(3500, Event::Advert(advert(RIVAL_BELOW, 50)));
    let (down_at, _) = router.deadline().unwrap();
    router.expect_at(
        down_at,
        Event::Timeout,
        &[Prepare(down_at), router.enters(Role::Backup, Role::Claimant, Cause::Preempted)],
    );
    (router, down_at)
}

#[test]
fn a_gated_router_that_preempts_asks_before_it_claims_the_role() {
    let (mut router, claim) = preemptor(gated());
    let lower = Event::Advert(advert(RIVAL_BELOW, 50));
    router.expect_at(claim + SECOND, lower, &[]);
    router.expect_at(claim + SECOND, Event::Timeout, &[]);
    router.expect_at(
        claim + Duration::from_millis(1200),
        Event::Confirm(claim),
        &[
            sends(100, Interval::DEFAULT),
            InstallAddresses,
            Announce,
            enters(Role::Claimant, Role::Active, Cause::Confirmed),
        ],
    );
}

#[test]
fn a_gated_router_that_preempts_in_vain_leaves_the_lower_active_alone() {
    let refused = [RemoveAddresses, enters(Role::Claimant, Role::Backup, Cause::Refused)];
    let (mut router, claim) = preemptor(gated());
    router.expect_at(claim, Event::Refuse(claim), &refused);
    // It asks again after its back-off, as quietly.
    let again = claim + SECOND * 5;
    router.expect_at(again - SECOND, Event::Advert(advert(RIVAL_BELOW, 50)), &[]);
    router.expect_at(again, Event::Timeout, &[Prepare(again), enters(Role::Backup, Role::Claimant, Cause::Preempted)]);

    let (mut router, claim) = preemptor(gated());
    let late = [RemoveAddresses, enters(Role::Claimant, Role::Backup, Cause::NotConfirmed)];
    router.expect_at(claim + Duration::from_millis(2500), Event::Timeout, &late);
}

#[test]
fn a_silent_claimant_speaks_when_the_lower_active_is_gone() {
    let patient = gated().with_gate(Some(Gate { timeout: SECOND * 60, back_off: SECOND }));
    let (mut router, claim) = preemptor(patient);
    assert_eq!(router.deadline(), Some((claim + DOWN, Timer::ActiveDown)));
    router.expect_at(claim + SECOND, Event::Advert(advert(RIVAL_BELOW, 50)), &[]);
    assert_eq!(router.deadline(), Some((claim + SECOND + DOWN, Timer::ActiveDown)));
    let gone = claim + SECOND + DOWN;
    router.expect_at(gone, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
    assert_eq!(router.deadline(), Some((gone + SECOND, Timer::Adver)));
    // From now on the others know of the claim, and of its end.
    router.expect_at(
        gone,
        Event::Refuse(claim),
        &[RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Claimant, Role::Backup, Cause::Refused)],
    );

    let (mut router, claim) = preemptor(patient);
    router.expect_at(claim + SECOND, Event::Advert(advert(RIVAL_BELOW, 0)), &[]);
    router.expect_at(claim + SECOND + SKEW, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
}

#[test]
fn a_silent_claimant_follows_an_active_that_it_would_not_preempt() {
    for params in [gated(), gated().with_preempt(Preempt::After(SECOND))] {
        let mut router = Router::backup(params);
        for at in 0..6 {
            router.handle(at * 1000, Event::Advert(advert(RIVAL_BELOW, 50)));
        }
        let (claim, _) = router.deadline().unwrap();
        router.run(claim);
        assert_eq!(router.role(), Role::Claimant);
        router.expect_at(claim, Event::Advert(advert(RIVAL_BELOW, 50)), &[]);
        router.expect_at(
            claim,
            Event::Advert(advert(RIVAL_BELOW, 100)),
            &[RemoveAddresses, enters(Role::Claimant, Role::Backup, Cause::Outranked(RIVAL_BELOW))],
        );
    }
}

#[test]
fn el_03_a_silent_claimant_has_nothing_to_take_back() {
    let left = |cause| [enters(Role::Claimant, Role::Initialize, cause)];
    let (mut router, claim) = preemptor(gated());
    router.expect_at(claim, Event::Shutdown, &left(Cause::Shutdown));
    let (mut router, claim) = preemptor(gated());
    router.expect_at(claim, Event::Fault(Fault::Link), &left(Cause::Fault(Fault::Link)));
    let (mut router, claim) = preemptor(gated());
    let down = [RemoveAddresses, enters(Role::Claimant, Role::Backup, Cause::Group)];
    router.expect_at(claim, Event::StepDown, &down);
}

#[test]
fn a_claim_has_a_name_of_its_own_also_in_the_same_instant() {
    let owner = gated().with_priority(Priority::OWNER);
    let asked = |router: &mut Router| match router.handle(0, Event::Startup)[..] {
        [_, Prepare(claim), _] => claim,
        ref other => panic!("{other:?}"),
    };
    let mut router = Router::new(owner);
    let mut names = vec![asked(&mut router)];
    for n in 0..6 {
        if n % 2 == 1 {
            router.handle(0, Event::Confirm(names[n]));
            assert_eq!(router.role(), Role::Active);
        }
        router.handle(0, Event::Shutdown);
        router.handle(0, Event::Shutdown);
        names.push(asked(&mut router));
        router.expect(0, Event::Confirm(names[n]), &[]);
    }
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
}

#[test]
fn a_router_that_gave_up_the_role_was_not_alone() {
    let settles = gated().with_settle(Some(SECOND * 7));
    for (event, confirmed) in [(Event::StepDown, true), (Event::StepDown, false), (Event::Refuse(DOWN_AT), false)] {
        let (mut router, claim) = claimant(settles);
        if confirmed {
            let _ = router.router.handle_event(claim, Event::Confirm(claim));
        }
        let _ = router.router.handle_event(claim, event);
        let (again, _) = router.deadline();
        let _ = router.router.handle_timeout(again);
        let _ = router.router.handle_event(again, Event::Confirm(again));
        assert!(matches!(router.router.state(), State::Active(active) if !active.unsettled), "{event:?}");
    }
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
        &[
            sends(255, Interval::DEFAULT),
            InstallAddresses,
            Announce,
            enters(Role::Claimant, Role::Active, Cause::Confirmed),
        ],
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
