//! Rows of the state machine (RFC 9568 §6.4) beside those in `tests/rfc9568.rs`.

use core::time::Duration;

use vrrp_core::Action::{Announce, InstallAddresses, RemoveAddresses, SendAdvert};
use vrrp_core::{Action, Cause, Event, Fault, Preempt, Role, State, Timer};

use crate::common::{self, RIVAL_ABOVE, RIVAL_BELOW, Router, advert, millis};
use crate::{Host, V3, V3_IPV6, config};

#[test]
fn tx_08_a_backup_sends_nothing_however_long_it_listens() {
    for preempt in [Preempt::Immediately, Preempt::After(Duration::from_secs(5)), Preempt::Never] {
        let mut router = Router::backup(common::params(V3).with_preempt(preempt));
        for second in 1..=10_000 {
            // A higher one, an equal one.
            let heard = if second % 3 == 0 { advert(RIVAL_BELOW, 100) } else { advert(RIVAL_ABOVE, 200) };
            router.expect(second * 1000, Event::Advert(heard), &[]);
            router.expect(second * 1000 + 999, Event::Timeout, &[]);
        }
        assert_eq!(router.role(), Role::Backup);
    }
}

#[test]
fn tx_12_a_router_that_cannot_send_gives_the_addresses_up_and_tries_again_later() {
    let mut router = Router::active(common::params(V3));
    let now = router.now();
    let cause = Cause::Fault(Fault::Send);
    router.expect_at(
        now,
        Event::Fault(Fault::Send),
        &[RemoveAddresses, router.resigns(), router.enters(Role::Active, Role::Initialize, cause)],
    );
    // It hears nobody, and stays out all the same until the fault hold ends.
    let retry_at = now + Duration::from_secs(10);
    assert_eq!(router.deadline(), Some((retry_at, Timer::FaultHold)));
    router.expect_at(retry_at - Duration::from_nanos(1), Event::Timeout, &[]);
    router.run(retry_at);
    assert_eq!(router.role(), Role::Backup);
}

#[test]
fn sm_27_each_way_out_of_active_takes_the_addresses_along_before_the_role_is_told() {
    for event in [
        Event::Shutdown,
        Event::StepDown,
        Event::Fault(Fault::Link),
        Event::Fault(Fault::Install),
        Event::Advert(advert(RIVAL_ABOVE, 200)),
        Event::Advert(advert(RIVAL_ABOVE, 100)),
    ] {
        let mut router = Router::active(common::params(V3));
        let actions = router.handle_at(router.now(), event);
        assert_eq!(actions[0], RemoveAddresses, "{event:?}");
        let told = actions.iter().position(|action| matches!(action, Action::Transition(t) if t.from == Role::Active));
        assert!(told.is_some_and(|at| at > 0) && router.role() != Role::Active, "{event:?}: {actions:?}");
    }
}

#[test]
fn sm_28_a_shutdown_in_the_middle_of_a_promotion_removes_what_was_installed_then_resigns() {
    for carried_out in 0..=4 {
        let mut host = Host::started(config(V3));
        let now = host.router.poll_timeout().unwrap();
        host.router.handle_timeout(now);
        // So many of its actions, of which the second installs, were carried out when the order comes.
        let mut done: Vec<Action> = (0..carried_out).map(|_| host.router.poll_action().unwrap().1).collect();
        host.router.handle_event(now, host.id, Event::Shutdown);
        done.extend(host.actions());
        assert_eq!(host.state(), State::new());
        let [.., remove, SendAdvert(resignation), Action::Transition(left)] = done[..] else { panic!("{done:?}") };
        assert_eq!((remove, resignation.priority, left.to), (RemoveAddresses, None, Role::Initialize));
        let at = |action: Action| done.iter().rposition(|other| *other == action).unwrap();
        assert!(at(InstallAddresses) < at(RemoveAddresses), "{carried_out}: {done:?}");
    }
    // One of the addresses could not be installed: those that were are removed, and nothing is announced.
    let mut host = Host::started(config(V3));
    let now = host.router.poll_timeout().unwrap();
    host.router.handle_timeout(now);
    while host.router.poll_action().unwrap().1 != InstallAddresses {}
    host.router.cancel_actions(host.id);
    host.router.handle_event(now, host.id, Event::Fault(Fault::Install));
    let actions = host.actions();
    assert!(actions[0] == RemoveAddresses && !actions.contains(&Announce), "{actions:?}");
}

#[test]
fn an_16_addresses_are_announced_only_after_they_were_installed() {
    for version in [V3, V3_IPV6] {
        for owner in [false, true] {
            let mut settings = config(version);
            if owner {
                settings.params = settings.params.with_priority(vrrp_core::Priority::OWNER);
            }
            let mut host = Host::new(settings);
            host.router.handle_event(millis(0), host.id, Event::Startup);
            if !owner {
                let now = host.router.poll_timeout().unwrap();
                host.router.handle_timeout(now);
            }
            let actions = host.actions();
            let at = |action| actions.iter().position(|other| *other == action).unwrap();
            assert_eq!(at(Announce), at(InstallAddresses) + 1);
            // A caller that cannot install drops what would have followed.
            assert_eq!(actions.iter().filter(|action| **action == Announce).count(), 1);
        }
    }
}

#[test]
fn an_24_hosts_are_told_again_on_any_sign_of_a_rival_within_bounds() {
    let mut router = Router::active(common::params(V3));
    let (due, _) = router.deadline().unwrap();
    let mut announced = 0;
    for n in 0..1000 {
        let now = due - Duration::from_millis(1000 - n);
        let actions = router.handle_at(now, Event::Advert(advert(RIVAL_ABOVE, 99)));
        announced += actions.iter().filter(|action| **action == Announce).count();
    }
    assert_eq!(announced, 3, "a bounded number of times an interval");
    // A router that was stalled says it again as well, since another may have served meanwhile.
    let mut router = Router::active(common::params(V3));
    let (due, _) = router.deadline().unwrap();
    assert!(router.run(due + Duration::from_secs(6)).contains(&Announce));
}
