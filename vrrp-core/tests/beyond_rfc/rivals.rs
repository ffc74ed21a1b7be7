//! Rivals, preemption and alarms (DESIGN 4.1, 4.7, 4.8).

use super::*;

#[test]
fn a_persistent_rival_is_an_alarm_after_three_answers_it_did_not_heed() {
    let mut active = Election::active(common::params(V3));
    let answer = [sends(100, Interval::DEFAULT), Announce];
    for n in 0..5 {
        let alarm = Action::Alarm(Alarm::PersistentRival(RIVAL_BELOW, SECOND * n));
        let (due, _) = active.deadline();
        active.expect(due, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
        let rival = Event::Advert(advert(RIVAL_BELOW, 50));
        if n < 3 {
            active.expect(due, rival, &answer);
        } else {
            active.expect(due, rival, &[alarm, answer[0], answer[1]]);
            // Once an interval, however often it claims.
            active.expect(due + Duration::from_millis(1), rival, &answer);
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
fn claims_that_waited_in_a_socket_are_one_claim_and_get_one_answer() {
    let mut active = Election::active(common::params(V3).with_preempt(Preempt::Immediately));
    let resumed = active.now + SECOND * 10;
    let rival = Event::Advert(advert(RIVAL_BELOW, 50));
    active.expect(resumed, rival, &[sends(100, Interval::DEFAULT), Announce]);
    for _ in 0..6 {
        active.expect(resumed, rival, &[]);
    }
    // Its last advertisement, after it has heeded the answer.
    active.expect(resumed + Duration::from_millis(1), rival, &[sends(100, Interval::DEFAULT), Announce]);
}

#[test]
fn a_persistent_rival_is_an_alarm_also_if_every_other_of_its_advertisements_is_lost_or_it_is_slow() {
    for (period, interval) in [(SECOND * 2, 100), (SECOND * 3, 300), (Duration::from_millis(510), 100)] {
        let mut active = Election::active(common::params(V3));
        let rival = Advert { interval: centiseconds(interval), ..advert(RIVAL_BELOW, 50) };
        let mut alarmed = None;
        for n in 1..20 {
            let now = active.now + period * n;
            while let Some(at) = active.router.poll_timeout().filter(|at| *at <= now) {
                let _ = active.router.handle_timeout(at);
            }
            let actions: Vec<Action> = active.router.handle_event(now, Event::Advert(rival)).into_iter().collect();
            if actions.contains(&Action::Alarm(Alarm::PersistentRival(RIVAL_BELOW, period * (n - 1)))) {
                alarmed = alarmed.or(Some(n));
            }
        }
        assert_eq!(alarmed, Some(4), "one claim each {period:?}");
    }
}

#[test]
fn sm_26_what_was_not_answered_within_the_bound_is_announced_with_the_next_advertisement() {
    let mut active = Election::active(common::params(V3));
    let start = active.now;
    let claim = |active: &mut Election, millis| {
        let now = start + Duration::from_millis(millis);
        active.router.handle_event(now, Event::Advert(advert(RIVAL_BELOW, 50))).iter().count()
    };
    assert_eq!([100, 101, 102, 103, 104].map(|millis| claim(&mut active, millis)), [2, 2, 2, 0, 0]);
    active.expect(start + SECOND, Event::Timeout, &[sends(100, Interval::DEFAULT), Announce]);
    active.expect(start + SECOND * 2, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
    // What was answered was announced then.
    assert_eq!(claim(&mut active, 2100), 2);
    active.expect(start + SECOND * 3, Event::Timeout, &[sends(100, Interval::DEFAULT)]);
}

#[test]
fn a_router_that_was_held_up_answers_no_resignation_before_it_has_read_on() {
    for params in [nopreempt(), gated()] {
        let mut active = Election::active(params);
        let start = active.now;
        let _ = active.router.handle_event(start, Event::Confirm(start));
        let resumed = start + SECOND * 10;
        active.expect(resumed, Event::Advert(advert(RIVAL_ABOVE, 0)), &[]);
        let stalled = enters(Role::Active, Role::Backup, Cause::Stalled(RIVAL_BELOW));
        active.expect(resumed, Event::Advert(advert(RIVAL_BELOW, 50)), &[RemoveAddresses, stalled]);
    }
}

#[test]
fn a_router_that_was_held_up_resigns_without_a_last_advertisement() {
    for event in [Event::HandOver(After::Stay), Event::HandOver(After::Leave)] {
        let mut active = Election::active(common::params(V3));
        // Somebody of 50 may be Active by now, whom 100 would unseat.
        active.expect(active.now + SECOND * 10, event, &[resigns(SHORT)]);
    }
    let mut active = Election::active(nopreempt());
    active.lower(active.now + SECOND * 10, 50, &[resigns(ELECTION)]);
}

#[test]
fn a_persistent_rival_is_an_alarm_also_where_rivals_are_not_answered() {
    let mut active = Election::active(common::params(V3).with_answer_rivals(false));
    let rival = Event::Advert(advert(RIVAL_BELOW, 50));
    for n in 0..5 {
        let alarm = [Action::Alarm(Alarm::PersistentRival(RIVAL_BELOW, SECOND * n))];
        let (due, _) = active.deadline();
        // The hosts are told in time, though.
        let on_time = [sends(100, Interval::DEFAULT), Announce];
        active.expect(due, Event::Timeout, if n == 0 { &on_time[..1] } else { &on_time });
        active.expect(due, rival, if n < 3 { &[] } else { &alarm });
    }
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
