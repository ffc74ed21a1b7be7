//! Planned hand-over (DESIGN 4.5).

use super::*;

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
    active.expect(
        now,
        successor,
        &[RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Active, Role::Initialize, cause)],
    );
    assert_eq!(active.router.state(), State::new());

    let mut active = Election::active(common::params(V3));
    let _ = active.router.handle_event(now, Event::HandOver(After::Stay));
    active.expect(
        now,
        successor,
        &[RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Active, Role::Backup, cause)],
    );
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
    active.lower(now, 50, &[sends(100, ELECTION), resigns(ELECTION)]);
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
        &[
            RemoveAddresses,
            resigns(Interval::DEFAULT),
            enters(Role::Active, Role::Initialize, Cause::HandedOver(RIVAL_BELOW)),
        ],
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

#[test]
fn whoever_was_told_to_leave_leaves_whatever_happens_meanwhile() {
    let leaving = || {
        let mut active = Election::active(common::params(V3));
        let _ = active.router.handle_event(active.now, Event::HandOver(After::Leave));
        active
    };
    let left = |cause| [RemoveAddresses, resigns(Interval::DEFAULT), enters(Role::Active, Role::Initialize, cause)];
    let mut active = leaving();
    let now = active.now;
    active.expect(now + SECOND, Event::HandOver(After::Stay), &[]);
    active.expect(now + SECOND * 2, Event::Timeout, &left(Cause::NoSuccessor));
    let mut active = leaving();
    active.expect(now, Event::StepDown, &left(Cause::Group));
    assert_eq!(active.router.state(), State::new());
    let mut active = leaving();
    active.expect(now, Event::Fault(Fault::Link), &left(Cause::Fault(Fault::Link)));
    active.expect(now + SECOND, Event::Recovered(Fault::Link), &[]);
    assert_eq!((active.role(), active.router.poll_timeout()), (Role::Initialize, None));
    // Unless it is told to take part after all.
    let mut active = leaving();
    active.expect(now, Event::Startup, &[]);
    active.expect(now + SECOND * 2, Event::Timeout, &[sends(100, Interval::DEFAULT), Announce]);
    assert_eq!(active.role(), Role::Active);
    // One that stays may still be told to leave.
    let mut active = Election::active(common::params(V3));
    let _ = active.router.handle_event(now, Event::HandOver(After::Stay));
    active.expect(now, Event::HandOver(After::Leave), &[]);
    active.expect(now + SECOND * 2, Event::Timeout, &left(Cause::NoSuccessor));
}
