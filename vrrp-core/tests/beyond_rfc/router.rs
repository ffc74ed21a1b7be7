//! `VrrpRouter`: sync groups, tracking, alarms by datagram.

use super::*;

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
    assert_eq!(assess(&mut host, millis(4000), false), [(0, sends(100, ELECTION)), (0, resigns(ELECTION))]);
    assert_eq!(host.router.params(id).unwrap().priority(), priority(40));
    assert_eq!(
        host.event(millis(4070), 0, Event::Advert(advert(RIVAL_BELOW, 90))),
        [
            (0, RemoveAddresses),
            (0, resigns(Interval::DEFAULT)),
            (0, enters(Role::Active, Role::Backup, Cause::Outranked(RIVAL_BELOW))),
        ]
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
fn el_05_equal_priorities_are_an_alarm_once_and_change_nothing() {
    for role in [Role::Backup, Role::Active] {
        let mut host = Host::new(1, common::params(V3));
        host.event(Instant::ZERO, 0, Event::Startup);
        if role == Role::Active {
            host.run(DOWN_AT);
        }
        // The lower address, so that an Active stays what it is.
        let mut alarms = Vec::new();
        for second in 4..200 {
            // After a while it is given another priority, and then, by mistake, ours again.
            let priority = if (100..110).contains(&second) { 99 } else { 100 };
            Datagram { priority, source: RIVAL_BELOW, ..Datagram::v3() }
                .arrive(&mut host, millis(second * 1000))
                .unwrap();
            let actions = host.actions();
            let alarm = (0, Action::Alarm(Alarm::EqualPriority(RIVAL_BELOW)));
            alarms.extend(actions.into_iter().filter(|action| *action == alarm).map(|_| second));
        }
        assert_eq!((host.roles(), alarms), (vec![role], vec![4, 110]));
    }
}

#[test]
fn el_05_what_is_not_configured_equal_is_no_such_alarm() {
    let equal = |value| Datagram { priority: value, source: RIVAL_BELOW, ..Datagram::v3() };
    let alarms = |host: &mut Host, value| {
        equal(value).arrive(host, millis(4000)).unwrap();
        host.actions()
            .into_iter()
            .filter(|(_, action)| matches!(action, Action::Alarm(Alarm::EqualPriority(_))))
            .count()
    };
    let started = |params| {
        let mut host = Host::new(1, params);
        host.event(Instant::ZERO, 0, Event::Startup);
        host
    };
    // Another priority, and a resignation.
    for value in [0, 99, 101] {
        assert_eq!(alarms(&mut started(common::params(V3)), value), 0, "{value}");
    }
    // Equal by tracking: nobody has configured that.
    let mut degraded = started(common::params(V3));
    let id = degraded.ids[0];
    degraded.router.set_assessment(millis(1), id, track::Assessment { priority: priority(40), fault: false });
    assert_eq!((alarms(&mut degraded, 40), alarms(&mut degraded, 100)), (0, 0));
    // Two owners have an alarm of their own, and one that takes no part does not care.
    assert_eq!(alarms(&mut started(common::params(V3).with_priority(Priority::OWNER)), 255), 0);
    assert_eq!(alarms(&mut Host::new(1, common::params(V3)), 100), 0);
}

#[test]
fn se_04_what_only_a_strict_router_drops_is_an_alarm_there() {
    let v6 = Version::V3(Family::V6);
    let list = ["2001:db8::100".parse().unwrap(), "fe80::100".parse().unwrap()];
    let (source, group) = ("fe80::b".parse().unwrap(), Family::V6.group());
    let repr = Repr { priority: Some(priority(50)), ..Repr::new(v6, vrid(1), &list) };
    let mut octets = vec![0; repr.buffer_len()];
    repr.emit(source, group, ChecksumForm::PseudoHeader, &mut octets).unwrap();
    let envelope = Envelope { source, destination: group, ttl: Some(255) };
    let mut router = VrrpRouter::new();
    let settings = VirtualRouterConfig::new(vrid(1), common::params(v6), list.into_iter().rev());
    let id = router.add(interface(1), settings.with_strict_address_list(true)).unwrap();
    let mut host = Host { router, ids: vec![id] };
    let dropped = host.router.handle_datagram(Instant::ZERO, interface(1), &envelope, &octets);
    assert_eq!(dropped, Err(Discard::AddressList));
    assert_eq!(host.actions(), [(0, Action::Alarm(Alarm::RejectedPeer(source, Reason::AddressList)))]);
    // The other form of the checksum is one too, if only one is accepted; damage is none.
    let mut router = VrrpRouter::new();
    let settings = config(1, common::params(V3)).with_accepted_checksum(ChecksumAcceptance::MessageOnly);
    let id = router.add(interface(1), settings).unwrap();
    let mut host = Host { router, ids: vec![id] };
    let envelope = Envelope { source: RIVAL_ABOVE, destination: Family::V4.group(), ttl: Some(255) };
    let damaged = [0x31, 1, 100, 1, 0, 100, 0xde, 0xad, 192, 0, 2, 100];
    let dropped = host.router.handle_datagram(Instant::ZERO, interface(1), &envelope, &damaged);
    assert_eq!((dropped, host.actions()), (Err(Discard::Checksum), vec![]));
    assert_eq!(Datagram::v3().arrive(&mut host, Instant::ZERO), Err(Discard::Checksum));
    assert_eq!(host.actions(), rejected(Reason::Checksum));
}

#[test]
fn a_timeout_at_the_end_of_time_returns() {
    let mut host = Host::new(1, common::params(V3));
    host.event(Instant::ZERO, 0, Event::Startup);
    host.router.handle_timeout(Instant::FAR_FUTURE);
}
