//! Sync groups: all members hold the role, or none does, whoever asks for what and in which order.
#![cfg(feature = "alloc")]

mod common;

use common::{RIVAL_ABOVE, RIVAL_BELOW, millis, priority};
use core::time::Duration;
use vrrp_core::Action::{Announce, InstallAddresses, RemoveAddresses, SendAdvert};
use vrrp_core::{
    Action, Advert, After, Claim, Event, Family, Fault, Gate, GroupId, IfIndex, Instant, Interval, Params, Preempt,
    Priority, Role, RouterId, Version, VirtualRouterConfig, Vrid, VrrpRouter, track::Assessment,
};

const V3: Version = Version::V3(Family::V4);
/// Active_Down_Interval at priority 100.
const DOWN: Duration = Duration::from_nanos(3_609_375_000);
/// When members that were started at 0 and heard nobody take over.
const DOWN_AT: Instant = Instant::from_nanos(3_609_375_000);

struct Host {
    router: VrrpRouter,
    ids: Vec<RouterId>,
}

impl Host {
    /// Virtual routers with these parameters, each on an interface of its own, not started.
    fn new(params: impl IntoIterator<Item = Params>) -> Self {
        let mut router = VrrpRouter::new();
        let add = |(n, params)| {
            let config = VirtualRouterConfig::new(Vrid::new(51).unwrap(), params, ["192.0.2.100".parse().unwrap()]);
            router.add(IfIndex::new(n).unwrap(), config).unwrap()
        };
        let ids = (1..).zip(params).map(add).collect();
        Self { router, ids }
    }

    fn group(&mut self, now: Instant) -> GroupId {
        self.router.add_group(now, &self.ids.clone()).unwrap()
    }

    fn start(&mut self) {
        for n in 0..self.ids.len() {
            self.event(Instant::ZERO, n, Event::Startup);
        }
    }

    fn event(&mut self, now: Instant, n: usize, event: Event) -> Vec<(usize, Action)> {
        self.router.handle_event(now, self.ids[n], event);
        self.actions()
    }

    fn actions(&mut self) -> Vec<(usize, Action)> {
        let ids = &self.ids;
        let which = |id| ids.iter().position(|other| *other == id).unwrap();
        std::iter::from_fn(|| self.router.poll_action()).map(|(id, action)| (which(id), action)).collect()
    }

    fn roles(&self) -> Vec<Role> {
        self.ids.iter().map(|id| self.router.state(*id).unwrap().role()).collect()
    }

    fn run(&mut self, until: Instant) -> Vec<(usize, Action)> {
        let mut actions = Vec::new();
        while let Some(at) = self.router.poll_timeout().filter(|at| *at <= until) {
            self.router.handle_timeout(at);
            actions.extend(self.actions());
        }
        actions
    }
}

fn params() -> Params {
    common::params(V3)
}

fn owner() -> Params {
    params().with_priority(Priority::OWNER)
}

fn gated() -> Params {
    params().with_gate(Some(Gate { timeout: Duration::from_secs(1), back_off: Duration::from_secs(5) }))
}

fn advert(value: u8) -> Event {
    let source = if value > 100 { RIVAL_ABOVE } else { RIVAL_BELOW };
    Event::Advert(Advert { source, priority: Priority::from_wire(value), interval: Interval::DEFAULT })
}

fn resignations(actions: &[(usize, Action)]) -> Vec<usize> {
    let resigns = |action: &Action| matches!(action, SendAdvert(claim) if claim.priority.is_none());
    actions.iter().filter(|(_, action)| resigns(action)).map(|(n, _)| *n).collect()
}

#[test]
fn an_id_of_a_removed_group_names_nothing_ever_again() {
    let mut host = Host::new([params(), params()]);
    let old = host.group(Instant::ZERO);
    host.router.remove_group(Instant::ZERO, old);
    let new = host.group(Instant::ZERO);
    assert_ne!(old, new);
    host.router.remove_group(Instant::ZERO, old);
    assert!(host.router.add_group(Instant::ZERO, &host.ids[..1]).is_err(), "the new group is still there");
}

#[test]
fn members_of_which_some_are_active_give_the_role_up_when_they_are_grouped() {
    let mut host = Host::new([params(), params(), params()]);
    host.event(Instant::ZERO, 0, Event::Startup);
    host.event(Instant::ZERO, 1, Event::Startup);
    host.run(millis(4000));
    host.event(millis(4000), 2, Event::Startup);
    assert_eq!(host.roles(), [Role::Active, Role::Active, Role::Backup]);
    host.group(millis(5000));
    assert_eq!(resignations(&host.actions()), [0, 1]);
    assert_eq!(host.roles(), [Role::Backup; 3]);
    host.run(millis(5000) + DOWN);
    assert_eq!(host.roles(), [Role::Active; 3]);
}

#[test]
fn members_that_are_all_active_stay_so_when_they_are_grouped() {
    let mut host = Host::new([params(), params()]);
    host.start();
    host.run(millis(4000));
    host.group(millis(5000));
    assert_eq!(host.actions(), []);
    assert_eq!(host.roles(), [Role::Active; 2]);
}

#[test]
fn an_owner_in_a_group_waits_for_the_others() {
    let mut host = Host::new([owner(), params()]);
    host.group(Instant::ZERO);
    host.start();
    host.run(DOWN_AT - Duration::from_nanos(1));
    assert_eq!(host.roles(), [Role::Backup; 2]);
    host.run(DOWN_AT);
    assert_eq!(host.roles(), [Role::Active; 2]);
}

#[test]
fn a_group_of_owners_is_active_from_the_start() {
    let mut host = Host::new([owner(), owner()]);
    host.group(Instant::ZERO);
    host.start();
    host.run(Instant::ZERO);
    assert_eq!(host.roles(), [Role::Active; 2]);
}

#[test]
fn a_timeout_that_the_caller_gives_does_not_take_over_for_one_member() {
    let mut host = Host::new([params(), params()]);
    host.group(Instant::ZERO);
    host.start();
    host.event(millis(3000), 1, advert(200));
    assert_eq!(host.event(millis(4000), 0, Event::Timeout), []);
    assert_eq!(host.roles(), [Role::Backup; 2]);
    // When all can, it is as good as any.
    host.event(millis(3000) + DOWN, 0, Event::Timeout);
    assert_eq!(host.roles(), [Role::Active; 2]);
}

#[test]
fn the_gap_between_two_members_is_no_partial_view() {
    let mut host = Host::new([params(), params()]);
    host.group(Instant::ZERO);
    host.start();
    // One side's last advertisement comes three seconds after the other's.
    host.event(millis(1000), 0, advert(200));
    host.event(millis(4000), 1, advert(200));
    let actions = host.run(millis(4000) + DOWN);
    assert!(actions.iter().all(|(_, action)| !matches!(action, Action::Alarm(_))), "{actions:?}");
    assert_eq!(host.roles(), [Role::Active; 2]);
}

#[test]
fn a_member_that_was_not_started_is_no_partial_view() {
    let mut host = Host::new([params(), params()]);
    host.group(Instant::ZERO);
    host.event(Instant::ZERO, 0, Event::Startup);
    host.event(millis(1000), 0, advert(200));
    assert_eq!(host.run(millis(60_000)), []);
}

#[test]
fn what_one_side_was_to_announce_is_dropped_when_the_other_side_fails() {
    let mut host = Host::new([params(), params()]);
    host.group(Instant::ZERO);
    host.start();
    host.router.handle_timeout(DOWN_AT);
    let mut done = Vec::new();
    while let Some((id, action)) = host.router.poll_action() {
        let n = host.ids.iter().position(|other| *other == id).unwrap();
        if (n, action) == (1, InstallAddresses) {
            host.router.cancel_actions(id);
            host.router.handle_event(DOWN_AT, id, Event::Fault(Fault::Install));
        } else {
            done.push((n, action));
        }
    }
    assert!(!done.iter().any(|(_, action)| *action == Announce), "{done:?}");
    let at = |wanted| done.iter().position(|done| *done == wanted);
    assert!(at((0, InstallAddresses)) < at((0, RemoveAddresses)), "{done:?}");
    assert_eq!(resignations(&done), [1, 0]);
    assert_eq!(host.roles(), [Role::Initialize; 2]);
}

#[test]
fn removing_a_member_leaves_the_others_active() {
    let mut host = Host::new([params(), params(), params()]);
    let group = host.group(Instant::ZERO);
    host.start();
    host.run(millis(4000));
    let gone = host.ids.remove(1);
    host.router.remove(millis(4000), gone);
    assert_eq!(host.actions(), []);
    assert_eq!(host.roles(), [Role::Active; 2]);
    // They are still one election.
    host.event(millis(4500), 0, advert(200));
    assert_eq!(host.roles(), [Role::Backup; 2]);
    host.router.remove_group(millis(5000), group);
    host.event(millis(5000), 0, advert(200));
    host.run(millis(4500) + DOWN);
    assert_eq!(host.roles(), [Role::Backup, Role::Active]);
}

#[test]
fn a_group_hands_over_and_leaves_as_one() {
    for (after, left) in [(After::Leave, Role::Initialize), (After::Stay, Role::Backup)] {
        let mut host = Host::new([params(), params(), params()]);
        host.group(Instant::ZERO);
        host.start();
        host.run(millis(4000));
        let actions = host.event(millis(4000), 1, Event::HandOver(after));
        assert_eq!(resignations(&actions), [0, 1, 2]);
        assert_eq!(host.roles(), [Role::Active; 3]);
        host.event(millis(4010), 2, advert(90));
        assert_eq!(host.roles(), [left; 3], "{after:?}");
    }
}

#[test]
fn a_gated_group_serves_when_every_member_is_confirmed() {
    let mut host = Host::new([gated(), gated()]);
    host.group(Instant::ZERO);
    host.start();
    let asked = host.run(DOWN_AT);
    let claims: Vec<_> = asked.iter().filter(|(_, action)| matches!(action, Action::Prepare(_))).collect();
    assert_eq!(claims, [&(0, Action::Prepare(DOWN_AT)), &(1, Action::Prepare(DOWN_AT))]);
    assert_eq!(host.event(millis(3700), 0, Event::Confirm(DOWN_AT)), []);
    assert_eq!(host.roles(), [Role::Claimant; 2]);
    let actions = host.event(millis(3800), 1, Event::Confirm(DOWN_AT));
    let claim = SendAdvert(Claim { priority: Some(priority(100)), interval: Interval::DEFAULT });
    assert_eq!(actions[..2], [(0, claim), (1, claim)]);
    assert_eq!(actions[2..6], [(0, InstallAddresses), (1, InstallAddresses), (0, Announce), (1, Announce)]);
    assert_eq!(host.roles(), [Role::Active; 2]);
}

#[test]
fn a_confirmed_claim_that_waited_for_a_member_goes_on_when_that_one_is_removed() {
    let mut host = Host::new([gated(), gated()]);
    host.group(Instant::ZERO);
    host.start();
    host.run(DOWN_AT);
    assert_eq!(host.event(millis(3700), 0, Event::Confirm(DOWN_AT)), []);
    host.router.remove(millis(3800), host.ids[1]).unwrap();
    assert!(host.actions().contains(&(0, InstallAddresses)));
    assert_eq!(host.router.state(host.ids[0]).unwrap().role(), Role::Active);
}

#[test]
fn a_confirmed_claim_that_waited_for_its_group_goes_on_when_the_group_is_removed() {
    let mut host = Host::new([gated(), gated()]);
    let group = host.group(Instant::ZERO);
    host.start();
    host.run(DOWN_AT);
    assert_eq!(host.event(millis(3700), 0, Event::Confirm(DOWN_AT)), []);
    host.router.remove_group(millis(3800), group);
    assert!(host.actions().contains(&(0, InstallAddresses)));
    assert_eq!(host.roles(), [Role::Active, Role::Claimant]);
    // What was confirmed in one group is not confirmed in the next.
    host.event(millis(3900), 0, Event::Shutdown);
    host.event(millis(3900), 0, Event::Startup);
    host.group(millis(4000));
    assert!(host.roles().iter().all(|role| *role == Role::Backup));
}

#[test]
fn a_gated_group_of_which_one_member_is_refused_serves_nothing() {
    let mut host = Host::new([gated(), gated()]);
    host.group(Instant::ZERO);
    host.start();
    host.run(DOWN_AT);
    host.event(millis(3700), 0, Event::Confirm(DOWN_AT));
    let actions = host.event(millis(3800), 1, Event::Refuse(DOWN_AT));
    assert!(!actions.iter().any(|(_, action)| *action == InstallAddresses));
    assert_eq!(host.roles(), [Role::Backup; 2]);
    // The group stands back with it. The confirmation was for that claim only.
    host.run(millis(8799));
    assert_eq!(host.roles(), [Role::Backup; 2]);
    host.run(millis(8800));
    assert_eq!(host.roles(), [Role::Claimant; 2]);
    host.event(millis(8900), 1, Event::Confirm(millis(8800)));
    assert_eq!(host.roles(), [Role::Claimant; 2]);
}

#[test]
fn new_parameters_keep_what_tracking_makes_of_the_priority() {
    let mut host = Host::new([params().with_preempt(Preempt::Never)]);
    let id = host.ids[0];
    host.router.set_assessment(Instant::ZERO, id, Assessment { priority: priority(40), fault: false });
    let now = |host: &Host| host.router.params(id).map(|params| (params.base_priority(), params.priority())).unwrap();
    assert_eq!(now(&host), (priority(100), priority(40)));
    for (base, left) in [(100, 40), (150, 90), (60, 1), (255, 255), (70, 10)] {
        host.router.set_params(millis(1), id, params().with_priority(priority(base))).unwrap();
        assert_eq!(now(&host), (priority(base), priority(left)));
    }
    // What the caller says itself counts.
    host.router.set_params(millis(1), id, params().with_effective_priority(priority(77))).unwrap();
    assert_eq!(now(&host), (priority(100), priority(77)));
    host.router.set_assessment(millis(2), id, Assessment { priority: priority(100), fault: false });
    assert_eq!(now(&host), (priority(100), priority(100)));
    assert_eq!(host.router.config(id).unwrap().params.priority(), priority(77));
}

#[test]
fn a_router_without_an_address_waits_for_one() {
    let mut host = Host::new([Params::new(V3), Params::new(V3).with_priority(Priority::OWNER)]);
    host.start();
    assert_eq!(host.run(millis(60_000)), []);
    for n in 0..2 {
        let id = host.ids[n];
        assert!(host.router.state(id).unwrap().faults().contains(Fault::PrimaryAddress));
        assert_eq!(host.event(millis(60_000), n, Event::Recovered(Fault::PrimaryAddress)), []);
        assert_eq!(host.roles()[n], Role::Initialize);
        host.router.set_primary_address(millis(60_000), id, Some(common::ME)).unwrap();
        host.actions();
    }
    assert_eq!(host.roles(), [Role::Backup, Role::Active]);
}

fn assessed(value: u8) -> Assessment {
    Assessment { priority: priority(value), fault: false }
}

impl Host {
    fn assess(&mut self, now: Instant, n: usize, assessment: Assessment) -> Vec<(usize, Action)> {
        self.router.set_assessment(now, self.ids[n], assessment);
        self.actions()
    }

    fn priorities(&self) -> Vec<u8> {
        self.ids.iter().map(|id| self.router.params(*id).unwrap().priority().get()).collect()
    }
}

#[test]
fn the_worst_assessment_of_a_member_is_that_of_the_whole_group() {
    let mut host = Host::new([params(), params(), params().with_priority(priority(120))]);
    let group = host.group(Instant::ZERO);
    host.assess(millis(1), 0, assessed(70));
    assert_eq!(host.priorities(), [70, 70, 90]);
    host.assess(millis(2), 2, assessed(60));
    assert_eq!(host.priorities(), [40, 40, 60]);
    // The worst counts, not the sum, and not what was told last.
    host.assess(millis(3), 1, assessed(100));
    assert_eq!(host.priorities(), [40, 40, 60]);
    host.assess(millis(4), 2, assessed(120));
    assert_eq!(host.priorities(), [70, 70, 90]);
    // One that leaves the group takes its own along, and leaves the others theirs.
    let gone = host.ids.remove(0);
    host.router.remove(millis(5), gone);
    assert_eq!(host.priorities(), [100, 120]);
    host.assess(millis(6), 0, assessed(50));
    assert_eq!(host.priorities(), [50, 70]);
    host.router.remove_group(millis(7), group);
    assert_eq!(host.priorities(), [50, 120]);
}

#[test]
fn members_that_were_assessed_before_share_it_once_they_are_grouped() {
    let mut host = Host::new([params(), params()]);
    host.assess(millis(1), 1, assessed(30));
    assert_eq!(host.priorities(), [100, 30]);
    host.group(millis(2));
    assert_eq!(host.priorities(), [30, 30]);
}

#[test]
fn a_better_assessment_is_not_shared_with_members_that_have_none() {
    // A weight that is added on one side only would win there, and hold the group on the other.
    let mut host = Host::new([params(), params()]);
    host.group(Instant::ZERO);
    host.assess(millis(1), 0, assessed(150));
    assert_eq!(host.priorities(), [100, 100]);
    host.assess(millis(2), 1, assessed(130));
    assert_eq!(host.priorities(), [130, 130]);
}

#[test]
fn a_member_whose_check_fails_calls_the_election_on_every_side() {
    let mut host = Host::new([params().with_preempt(Preempt::Never), params().with_preempt(Preempt::Never)]);
    host.group(Instant::ZERO);
    host.start();
    host.run(DOWN_AT);
    assert_eq!(host.roles(), [Role::Active; 2]);
    let actions = host.assess(millis(5000), 1, assessed(40));
    assert_eq!(resignations(&actions), [0, 1]);
    // The healthy peer speaks first on each side: the whole group follows it.
    host.event(millis(5050), 0, advert(100));
    host.event(millis(5050), 1, advert(100));
    assert_eq!(host.roles(), [Role::Backup; 2]);
    // Recovered, it does not take the role back.
    host.assess(millis(6000), 1, assessed(100));
    assert_eq!((host.priorities(), host.roles()), (vec![100, 100], vec![Role::Backup; 2]));
}

#[test]
fn an_owner_in_a_group_keeps_its_priority_whatever_is_shared() {
    let mut host = Host::new([owner(), params()]);
    host.group(Instant::ZERO);
    host.assess(millis(1), 1, assessed(40));
    assert_eq!(host.priorities(), [255, 40]);
}

#[test]
fn a_member_that_is_reconfigured_keeps_what_its_group_takes_from_it() {
    let mut host = Host::new([params(), params()]);
    host.group(Instant::ZERO);
    host.start();
    host.run(DOWN_AT);
    host.assess(millis(4000), 0, assessed(80));
    let id = host.ids[1];
    host.router.set_params(millis(5000), id, params().with_priority(priority(150))).unwrap();
    assert_eq!((host.priorities(), host.roles()), (vec![80, 130], vec![Role::Active; 2]));
}
