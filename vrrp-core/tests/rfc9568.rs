//! RFC 9568 §6 (RFC 5798 where the same): the state machine, rule by rule. A test's name starts with the row of the
//! conformance table that it holds.

mod common;

use common::{ME, RIVAL_ABOVE, RIVAL_BELOW, Router, advert, centiseconds, millis, priority};
use core::time::Duration;
use vrrp_core::Action::{Announce, InstallAddresses, RemoveAddresses};
use vrrp_core::{
    Alarm, Cause, Event, Family, Fault, Heard, Initialize, Params, Preempt, Priority, Role, State, Timer, Version,
};

const V3: Version = Version::V3(Family::V4);

fn params() -> Params {
    common::params(V3)
}

// §6.4.1 Initialize

#[test]
fn sm_01_the_owner_is_active_from_the_start_ipv4() {
    let mut router = Router::new(params().with_priority(Priority::OWNER));
    router.expect(
        0,
        Event::Startup,
        &[router.sends(255), InstallAddresses, Announce, router.enters(Role::Initialize, Role::Active, Cause::Startup)],
    );
    assert_eq!(router.deadline(), Some((millis(1000), Timer::Adver)));
}

#[test]
fn sm_02_the_owner_is_active_from_the_start_ipv6() {
    let params = common::params(Version::V3(Family::V6)).with_priority(Priority::OWNER);
    let mut router = Router::new(params);
    router.expect(
        0,
        Event::Startup,
        &[router.sends(255), InstallAddresses, Announce, router.enters(Role::Initialize, Role::Active, Cause::Startup)],
    );
}

#[test]
fn sm_03_tm_07_everyone_else_starts_as_backup_without_a_packet() {
    let mut router = Router::new(params());
    router.expect(0, Event::Startup, &[RemoveAddresses, router.enters(Role::Initialize, Role::Backup, Cause::Startup)]);
    // By its own interval.
    assert_eq!(router.deadline(), Some((millis(3609) + Duration::from_micros(375), Timer::ActiveDown)));
}

#[test]
fn sm_04_rx_26_in_initialize_everything_but_startup_is_ignored() {
    for event in [
        Event::Shutdown,
        Event::Timeout,
        Event::Reconfigured,
        Event::Recovered(Fault::Link),
        Event::Advert(advert(RIVAL_ABOVE, 200)),
        Event::Advert(advert(RIVAL_ABOVE, 0)),
    ] {
        let mut router = Router::new(params());
        router.expect(5, event, &[]);
        assert_eq!(router.state(), State::new(), "{event:?}");
    }
}

// §6.4.2 Backup

#[test]
fn sm_05_a_backup_that_is_shut_down_says_nothing() {
    let mut router = Router::backup(params());
    router.expect(10, Event::Shutdown, &[router.enters(Role::Backup, Role::Initialize, Cause::Shutdown)]);
    assert_eq!(router.deadline(), None);
}

#[test]
fn sm_06_sm_07_a_backup_that_hears_nobody_advertises_installs_and_announces_in_that_order() {
    for version in [V3, Version::V3(Family::V6), Version::V2] {
        let mut router = Router::backup(common::params(version));
        let (down_at, _) = router.deadline().unwrap();
        router.expect_at(down_at - Duration::from_nanos(1), Event::Timeout, &[]);
        router.expect_at(
            down_at,
            Event::Timeout,
            &[
                router.sends(100),
                InstallAddresses,
                Announce,
                router.enters(Role::Backup, Role::Active, Cause::NoResponse),
            ],
        );
        assert_eq!(router.deadline(), Some((down_at + Duration::from_secs(1), Timer::Adver)));
    }
}

#[test]
fn sm_08_tm_09_a_resignation_leaves_skew_time_and_teaches_no_interval() {
    let mut router = Router::backup(params());
    let mut resignation = advert(RIVAL_ABOVE, 0);
    resignation.interval = centiseconds(4095);
    router.expect(500, Event::Advert(resignation), &[]);
    let down_at = millis(500) + Duration::from_micros(609_375);
    assert_eq!(router.deadline(), Some((down_at, Timer::ActiveDown)));
    router.expect_at(
        down_at,
        Event::Timeout,
        &[router.sends(100), InstallAddresses, Announce, router.enters(Role::Backup, Role::Active, Cause::Resigned)],
    );
}

#[test]
fn sm_09_a_backup_learns_the_interval_of_a_higher_active() {
    let mut router = Router::backup(params());
    let mut heard = advert(RIVAL_BELOW, 101);
    heard.interval = centiseconds(300);
    router.expect(2000, Event::Advert(heard), &[]);
    // 3 * 3 s + 156/256 * 3 s
    assert_eq!(router.deadline(), Some((millis(2000) + Duration::from_micros(10_828_125), Timer::ActiveDown)));
}

#[test]
fn sm_10_el_07_without_preemption_a_lower_active_is_accepted() {
    let mut router = Router::backup(params().with_preempt(Preempt::Never));
    for n in 1..=1000 {
        router.expect(n * 1000, Event::Advert(advert(RIVAL_BELOW, 1)), &[]);
        router.expect(n * 1000, Event::Timeout, &[]);
    }
    assert_eq!(router.role(), Role::Backup);
}

#[test]
fn sm_11_tm_08_with_preemption_a_lower_active_is_discarded_and_the_timer_runs_on() {
    let mut router = Router::backup(params());
    let before = router.deadline();
    let mut lower = advert(RIVAL_ABOVE, 99);
    lower.interval = centiseconds(4095);
    router.expect(3000, Event::Advert(lower), &[]);
    assert_eq!(router.deadline(), before, "neither timer nor interval");
    let (down_at, _) = before.unwrap();
    router.expect_at(
        down_at,
        Event::Timeout,
        &[router.sends(100), InstallAddresses, Announce, router.enters(Role::Backup, Role::Active, Cause::Preempted)],
    );
}

#[test]
fn sm_12_in_backup_equal_priority_is_accepted_whatever_the_address() {
    for source in [RIVAL_BELOW, RIVAL_ABOVE] {
        let mut router = Router::backup(params());
        router.expect(1000, Event::Advert(advert(source, 100)), &[]);
        assert_eq!(router.deadline(), Some((millis(4609) + Duration::from_micros(375), Timer::ActiveDown)));
    }
}

// §6.4.3 Active

#[test]
fn sm_13_an_active_that_is_shut_down_removes_then_resigns() {
    let mut router = Router::active(params());
    router.expect(
        5000,
        Event::Shutdown,
        &[RemoveAddresses, router.resigns(), router.enters(Role::Active, Role::Initialize, Cause::Shutdown)],
    );
    assert_eq!(router.state(), State::new());
}

#[test]
fn sm_14_tm_10_tx_07_an_active_advertises_every_interval_of_its_own() {
    let mut router = Router::backup(params());
    let mut slow = advert(RIVAL_ABOVE, 150);
    slow.interval = centiseconds(300);
    router.expect(0, Event::Advert(slow), &[]);
    let (down_at, _) = router.deadline().unwrap();
    router.run(down_at);
    assert_eq!(router.role(), Role::Active);
    for n in 1..=10 {
        let due = down_at + Duration::from_secs(n);
        router.expect_at(due - Duration::from_nanos(1), Event::Timeout, &[]);
        // The interval announced is its own, not the one that it learned.
        router.expect_at(due, Event::Timeout, &[router.sends(100)]);
    }
}

#[test]
fn sm_15_an_active_answers_a_resignation_and_rearms_its_timer() {
    let mut router = Router::active(params());
    let (due, _) = router.deadline().unwrap();
    let now = due - Duration::from_millis(300);
    router.expect_at(now, Event::Advert(advert(RIVAL_ABOVE, 0)), &[router.sends(100), Announce]);
    assert_eq!(router.deadline(), Some((now + Duration::from_secs(1), Timer::Adver)));
}

#[test]
fn sm_16_sm_26_tm_08_an_active_yields_to_a_higher_priority_with_a_last_advertisement() {
    let mut router = Router::active(params());
    let mut higher = advert(RIVAL_BELOW, 101);
    higher.interval = centiseconds(50);
    router.expect(
        4000,
        Event::Advert(higher),
        &[RemoveAddresses, router.sends(100), router.enters(Role::Active, Role::Backup, Cause::Outranked(RIVAL_BELOW))],
    );
    // 3 * 0.5 s + 156/256 * 0.5 s, by the rival's interval.
    assert_eq!(router.deadline(), Some((millis(4000) + Duration::from_nanos(1_804_687_500), Timer::ActiveDown)));
}

#[test]
fn sm_17_an_active_yields_to_an_equal_priority_from_a_higher_address() {
    let mut router = Router::active(params());
    router.expect(
        4000,
        Event::Advert(advert(RIVAL_ABOVE, 100)),
        &[RemoveAddresses, router.sends(100), router.enters(Role::Active, Role::Backup, Cause::Outranked(RIVAL_ABOVE))],
    );
}

#[test]
fn sm_18_sm_19_an_active_answers_a_losing_rival_at_once() {
    for losing in [advert(RIVAL_ABOVE, 99), advert(RIVAL_BELOW, 100)] {
        let mut router = Router::active(params());
        let before = router.deadline();
        router.expect(4000, Event::Advert(losing), &[router.sends(100), Announce]);
        assert_eq!(router.deadline(), before, "the periodic advertisement keeps its time");
    }
}

#[test]
fn sm_20_answers_to_losing_rivals_can_be_turned_off() {
    let mut router = Router::active(params().with_answer_rivals(false));
    router.expect(4000, Event::Advert(advert(RIVAL_ABOVE, 99)), &[]);
    assert_eq!(router.role(), Role::Active);
}

#[test]
fn sm_22_an_advertisement_like_our_own_is_an_alarm_and_not_answered() {
    let mut router = Router::active(params());
    router.expect(4000, Event::Advert(advert(ME, 100)), &[vrrp_core::Action::Alarm(Alarm::SameAddress(ME))]);
    assert_eq!(router.role(), Role::Active);
}

#[test]
fn sm_23_preempt_mode_has_no_influence_on_an_active() {
    let mut router = Router::active(params().with_preempt(Preempt::Never));
    router.expect(
        4000,
        Event::Advert(advert(RIVAL_BELOW, 101)),
        &[RemoveAddresses, router.sends(100), router.enters(Role::Active, Role::Backup, Cause::Outranked(RIVAL_BELOW))],
    );
}

#[test]
fn sm_24_the_owner_takes_over_whatever_preempt_mode_says() {
    let params = params().with_priority(Priority::OWNER).with_preempt(Preempt::Never);
    let mut router = Router::new(params);
    router.handle(0, Event::Startup);
    assert_eq!(router.role(), Role::Active);
    // As Backup of another owner that then lowers its priority.
    router.handle(1, Event::Advert(advert(RIVAL_ABOVE, 255)));
    assert_eq!(router.role(), Role::Backup);
    let before = router.deadline();
    router.expect(1000, Event::Advert(advert(RIVAL_ABOVE, 254)), &[]);
    assert_eq!(router.deadline(), before, "a lower Active is not accepted");
}

#[test]
fn sm_25_losing_rivals_are_answered_a_bounded_number_of_times_an_interval() {
    let mut router = Router::active(params());
    let (due, _) = router.deadline().unwrap();
    let answers = |router: &mut Router, at| {
        let claim = |n| router.handle_at(at + Duration::from_micros(n), Event::Advert(advert(RIVAL_ABOVE, 99)));
        (0..1000).map(claim).filter(|actions| !actions.is_empty()).count()
    };
    assert_eq!(answers(&mut router, due - Duration::from_millis(500)), 3);
    // A resignation is answered all the same: Backups that heard it wait for Skew_Time only.
    let resignation = Event::Advert(advert(RIVAL_ABOVE, 0));
    router.expect_at(due - Duration::from_millis(499), resignation, &[router.sends(100), Announce]);
    let (due, _) = router.deadline().unwrap();
    router.expect_at(due, Event::Timeout, &[router.sends(100)]);
    assert_eq!(answers(&mut router, due), 3);
}

#[test]
fn el_08_a_delay_that_is_configured_later_begins_then() {
    let mut router = Router::backup(params());
    router.handle(1000, Event::Advert(advert(RIVAL_BELOW, 50)));
    router.reconfigure(2000, params().with_preempt(Preempt::After(Duration::from_secs(60))));
    router.handle(2500, Event::Advert(advert(RIVAL_BELOW, 50)));
    assert_eq!(router.deadline().unwrap().0, millis(6109) + Duration::from_micros(375), "it is accepted for now");
}

#[test]
fn el_04_a_second_owner_is_an_alarm_and_resolved_by_address() {
    let mut router = Router::new(params().with_priority(Priority::OWNER));
    router.handle(0, Event::Startup);
    router.expect(
        100,
        Event::Advert(advert(RIVAL_BELOW, 255)),
        &[router.sends(255), Announce, vrrp_core::Action::Alarm(Alarm::SecondOwner(RIVAL_BELOW))],
    );
    router.expect(
        200,
        Event::Advert(advert(RIVAL_ABOVE, 255)),
        &[
            RemoveAddresses,
            router.sends(255),
            router.enters(Role::Active, Role::Backup, Cause::Outranked(RIVAL_ABOVE)),
            vrrp_core::Action::Alarm(Alarm::SecondOwner(RIVAL_ABOVE)),
        ],
    );
}

#[test]
fn el_08_a_preemption_delay_runs_from_the_first_lower_advertisement() {
    let mut router = Router::backup(params().with_preempt(Preempt::After(Duration::from_secs(10))));
    for second in 1..=10 {
        router.expect(second * 1000, Event::Advert(advert(RIVAL_BELOW, 50)), &[]);
        assert_eq!(router.deadline().unwrap().0, millis(second * 1000 + 3609) + Duration::from_micros(375));
    }
    let before = router.deadline();
    router.expect(11_000, Event::Advert(advert(RIVAL_BELOW, 50)), &[]);
    assert_eq!(router.deadline(), before, "the delay has ended");
}

#[test]
fn el_08_an_equal_or_higher_advertisement_restarts_the_delay() {
    let mut router = Router::backup(params().with_preempt(Preempt::After(Duration::from_secs(10))));
    router.handle(1000, Event::Advert(advert(RIVAL_BELOW, 50)));
    router.handle(9000, Event::Advert(advert(RIVAL_BELOW, 100)));
    router.handle(9500, Event::Advert(advert(RIVAL_BELOW, 50)));
    router.handle(19_000, Event::Advert(advert(RIVAL_BELOW, 50)));
    assert!(matches!(router.state(), State::Backup(backup) if backup.heard == Heard::Active));
    router.handle(19_500, Event::Advert(advert(RIVAL_BELOW, 50)));
    assert!(matches!(router.state(), State::Backup(backup) if backup.heard == Heard::LowerPriority));
}

#[test]
fn el_08_a_resignation_ends_the_delay_and_the_next_lower_active_begins_another() {
    let mut router = Router::backup(params().with_preempt(Preempt::After(Duration::from_secs(10))));
    let hears_lower = |router: &mut Router, at| {
        router.handle(at, Event::Advert(advert(RIVAL_BELOW, 50)));
        let State::Backup(backup) = router.state() else { panic!("it is {:?}", router.state()) };
        backup.heard
    };
    assert_eq!(hears_lower(&mut router, 1000), Heard::Active);
    router.handle(2000, Event::Advert(advert(RIVAL_BELOW, 0)));
    // Within Skew_Time it speaks again, or another one does.
    for at in [2500, 5000, 8000, 11_000, 12_400] {
        assert_eq!(hears_lower(&mut router, at), Heard::Active, "at {at} ms");
    }
    assert_eq!(hears_lower(&mut router, 12_500), Heard::LowerPriority);
}

#[test]
fn el_08_a_delay_that_was_taken_away_and_is_configured_again_begins_anew() {
    for between in [Preempt::Immediately, Preempt::Never] {
        let delayed = params().with_preempt(Preempt::After(Duration::from_secs(3)));
        let mut router = Router::backup(delayed);
        router.handle(1000, Event::Advert(advert(RIVAL_BELOW, 50)));
        router.reconfigure(2000, params().with_preempt(between));
        router.reconfigure(3000, delayed);
        router.handle(4500, Event::Advert(advert(RIVAL_BELOW, 50)));
        assert!(matches!(router.state(), State::Backup(backup) if backup.heard == Heard::Active), "{between:?}");
        router.handle(7500, Event::Advert(advert(RIVAL_BELOW, 50)));
        assert!(matches!(router.state(), State::Backup(backup) if backup.heard == Heard::LowerPriority));
    }
}

#[test]
fn tm_09_tm_11_after_a_resignation_a_new_priority_still_leaves_skew_time_alone() {
    let mut router = Router::backup(params());
    router.handle(1000, Event::Advert(advert(RIVAL_ABOVE, 0)));
    router.reconfigure(1100, params().with_priority(priority(56)));
    assert_eq!(router.deadline().unwrap().0, millis(1000) + Duration::from_nanos(781_250_000));
}

#[test]
fn el_08_a_preemption_delay_never_delays_the_takeover_from_a_dead_or_resigning_active() {
    let params = params().with_preempt(Preempt::After(Duration::from_secs(60)));
    let mut router = Router::backup(params);
    router.handle(1000, Event::Advert(advert(RIVAL_BELOW, 50)));
    assert_eq!(router.deadline().unwrap().0, millis(4609) + Duration::from_micros(375));
    router.handle(2000, Event::Advert(advert(RIVAL_BELOW, 0)));
    assert_eq!(router.deadline().unwrap().0, millis(2609) + Duration::from_micros(375));
}

// Timers

#[test]
fn tm_11_a_new_priority_moves_the_deadline_from_the_last_advertisement() {
    let mut router = Router::backup(params());
    router.handle(1000, Event::Advert(advert(RIVAL_ABOVE, 250)));
    router.reconfigure(2000, params().with_priority(priority(200)));
    assert_eq!(router.deadline().unwrap().0, millis(4000) + Duration::from_nanos(218_750_000));
    router.reconfigure(4100, params().with_priority(priority(254)));
    assert_eq!(router.deadline().unwrap().0, millis(4100), "what is overdue fires now, not in the past");
}

#[test]
fn tm_11_a_shorter_interval_of_an_active_holds_at_once() {
    let mut router = Router::active(params());
    let (due, _) = router.deadline().unwrap();
    let now = due - Duration::from_millis(900);
    router.reconfigure_at(now, params().with_advert_interval(centiseconds(10)).unwrap());
    assert_eq!(router.deadline().unwrap().0, now + Duration::from_millis(100));
}

#[test]
fn tm_14_a_stalled_active_announces_again_when_it_goes_on() {
    let mut router = Router::active(params());
    let (due, _) = router.deadline().unwrap();
    // The last advertisement was one interval before `due`.
    let doubtful = due - Duration::from_secs(1) + Duration::from_micros(3_609_375);
    router.expect_at(doubtful - Duration::from_nanos(1), Event::Timeout, &[router.sends(100)]);
    let mut router = Router::active(params());
    router.expect_at(doubtful, Event::Timeout, &[router.sends(100), Announce]);
}

#[test]
fn tm_14_a_stalled_active_that_does_not_preempt_yields_to_whoever_took_over() {
    let mut router = Router::active(params().with_preempt(Preempt::Never));
    let (due, _) = router.deadline().unwrap();
    router.expect_at(
        due + Duration::from_secs(6),
        Event::Advert(advert(RIVAL_BELOW, 50)),
        &[RemoveAddresses, router.enters(Role::Active, Role::Backup, Cause::Stalled(RIVAL_BELOW))],
    );
    // One that was not held up keeps the role.
    let mut router = Router::active(params().with_preempt(Preempt::Never));
    router.expect_at(due, Event::Advert(advert(RIVAL_BELOW, 50)), &[router.sends(100), Announce]);
}

#[test]
fn tm_15_advertisements_neither_drift_nor_burst() {
    let mut router = Router::active(params());
    let (due, _) = router.deadline().unwrap();
    router.expect_at(due + Duration::from_millis(400), Event::Timeout, &[router.sends(100)]);
    assert_eq!(router.deadline().unwrap().0, due + Duration::from_secs(1), "counted from the deadline");
    let late = due + Duration::from_millis(2900);
    router.expect_at(late, Event::Timeout, &[router.sends(100)]);
    assert_eq!(router.deadline().unwrap().0, late + Duration::from_secs(1), "one advertisement, not two");
}

#[test]
fn a_timeout_before_its_time_does_nothing_in_any_role() {
    for mut router in [Router::new(params()), Router::backup(params()), Router::active(params())] {
        let before = router.state();
        let now = router.now();
        router.expect_at(now, Event::Timeout, &[]);
        assert_eq!(router.state(), before);
    }
}

// Faults: the RFC has none; leaving follows §6.4.2 and §6.4.3 (655).

#[test]
fn a_fault_takes_an_active_out_of_the_election_without_its_addresses() {
    let mut router = Router::active(params());
    router.expect(
        5000,
        Event::Fault(Fault::Link),
        &[RemoveAddresses, router.resigns(), router.enters(Role::Active, Role::Initialize, Cause::Fault(Fault::Link))],
    );
    assert_eq!(router.deadline(), None, "a fault that is reported when it ends needs no timer");
}

#[test]
fn a_router_comes_back_when_its_last_fault_ends() {
    let mut router = Router::backup(params());
    router.expect(
        100,
        Event::Fault(Fault::Link),
        &[router.enters(Role::Backup, Role::Initialize, Cause::Fault(Fault::Link))],
    );
    router.expect(200, Event::Fault(Fault::PrimaryAddress), &[]);
    router.expect(300, Event::Recovered(Fault::Link), &[]);
    router.expect(
        400,
        Event::Recovered(Fault::PrimaryAddress),
        &[RemoveAddresses, router.enters(Role::Initialize, Role::Backup, Cause::Startup)],
    );
}

#[test]
fn a_router_that_was_not_started_stays_out_when_a_fault_ends() {
    let mut router = Router::new(params());
    router.expect(0, Event::Fault(Fault::Link), &[]);
    router.expect(1, Event::Recovered(Fault::Link), &[]);
    router.expect(2, Event::Fault(Fault::Link), &[]);
    router.expect(3, Event::Startup, &[]);
    router.expect(4, Event::Shutdown, &[]);
    router.expect(5, Event::Recovered(Fault::Link), &[]);
    assert_eq!(router.role(), Role::Initialize);
}

#[test]
fn addresses_that_could_not_be_installed_are_tried_again_after_the_fault_hold() {
    let mut router = Router::active(params());
    let now = router.now();
    router.expect_at(
        now,
        Event::Fault(Fault::Install),
        &[
            RemoveAddresses,
            router.resigns(),
            router.enters(Role::Active, Role::Initialize, Cause::Fault(Fault::Install)),
        ],
    );
    let retry_at = now + Duration::from_secs(10);
    assert_eq!(router.deadline(), Some((retry_at, Timer::FaultHold)));
    router.expect_at(retry_at - Duration::from_nanos(1), Event::Timeout, &[]);
    router.expect_at(
        retry_at,
        Event::Timeout,
        &[RemoveAddresses, router.enters(Role::Initialize, Role::Backup, Cause::Startup)],
    );
}

#[test]
fn the_fault_hold_ends_only_the_faults_that_nothing_reports_the_end_of() {
    let mut router = Router::backup(params());
    router.handle(0, Event::Fault(Fault::Link));
    router.handle(0, Event::Fault(Fault::Send));
    router.expect(10_000, Event::Timeout, &[]);
    let faults = vrrp_core::Faults::NONE.with(Fault::Link);
    assert_eq!(router.state(), State::Initialize(Initialize { started: true, faults, ..Initialize::default() }));
}

#[test]
fn rx_20_what_is_not_accepted_changes_nothing() {
    let mut router = Router::backup(params());
    router.handle(500, Event::Advert(advert(RIVAL_ABOVE, 200)));
    let State::Backup(before) = router.state() else { panic!("not a Backup") };
    router.handle(600, Event::Advert(advert(RIVAL_ABOVE, 50)));
    let State::Backup(after) = router.state() else { panic!("not a Backup") };
    assert_eq!(
        (after.armed_at, after.down_at, after.active_adver_interval),
        (before.armed_at, before.down_at, before.active_adver_interval)
    );
}

#[test]
fn el_03_priority_0_is_sent_only_to_resign() {
    // Every event in every role, from every priority: a claim without priority comes with leaving, and only then.
    for value in 1..=255 {
        for mut router in [
            Router::new(params().with_priority(priority(value))),
            Router::backup(params().with_priority(priority(value))),
            Router::active(params().with_priority(priority(value))),
        ] {
            for event in [Event::Startup, Event::Timeout, Event::Advert(advert(RIVAL_ABOVE, 0)), Event::Reconfigured] {
                let resigned = router
                    .handle(1_000_000, event)
                    .into_iter()
                    .any(|action| matches!(action, vrrp_core::Action::SendAdvert(claim) if claim.priority.is_none()));
                assert!(!resigned, "{event:?} at priority {value}");
            }
        }
    }
}

#[test]
fn two_routers_settle_with_one_active_whoever_starts_first() {
    for (first, second) in [(100, 150), (150, 100)] {
        let mut routers = [Router::new_at(ME, first), Router::new_at(RIVAL_ABOVE, second)];
        common::run_lan(&mut routers, &[0, 5_000], 60_000);
        let actives: Vec<_> = routers.iter().filter(|router| router.role() == Role::Active).collect();
        assert_eq!(actives.len(), 1);
        assert_eq!(actives[0].priority(), 150);
    }
}
