//! Counters and what management can ask for (RFC 8347, RFC 6527).

use core::time::Duration;

use vrrp_core::wire::Reason;
use vrrp_core::{
    Action, Advert, Cause, Discards, Event, Family, Gate, Interval, Params, Preempt, Priority, Role, State, Status,
    Transition, Version, VirtualRouterConfig, Vrid,
};

use crate::common::{millis, priority};
use crate::{Host, V3, address, config, interface, vector, with_params, with_password};

const SECOND: Duration = Duration::from_secs(1);

/// A counter of RFC 8347: the sum of the reasons that it includes.
fn rfc8347(discards: &Discards, counter: &str) -> u64 {
    discards.iter().filter(|(reason, _)| reason.rfc8347_counter() == Some(counter)).map(|(_, count)| count).sum()
}

#[test]
fn mg_01_the_four_global_counters_count_each_their_error() {
    let mut host = Host::started(config(V3));
    let counters = ["checksum-errors", "version-errors", "vrid-errors", "ip-ttl-errors"];
    let mut expected = [0; 4];
    for (at, id) in [(0, "M-12"), (1, "M-04"), (1, "M-06"), (2, "M-26"), (2, "M-25"), (3, "M-01"), (0, "M-13")] {
        host.hear(millis(1), &vector(id)).unwrap_err();
        expected[at] += 1;
        assert_eq!(counters.map(|name| rfc8347(host.router.discards(), name)), expected, "{id}");
    }
}

#[test]
fn mg_02_the_counters_of_a_virtual_router_count_each_their_event() {
    let mut host = Host::started(config(V3));
    let now = host.router.poll_timeout().unwrap();
    host.router.handle_timeout(now);
    host.router.handle_event(now, host.id, Event::Shutdown);
    for action in host.actions() {
        if let Action::SendAdvert(claim) = action {
            host.router.count_sent(host.id, claim);
        }
    }
    for id in ["V3-4-01M", "V3-4-03M", "M-32", "M-29"] {
        host.hear(now, &vector(id)).unwrap();
    }
    for id in ["M-07", "M-10", "M-16"] {
        host.hear(now, &vector(id)).unwrap_err();
    }
    let counters = host.router.counters(host.id).unwrap();
    assert_eq!(counters.became_active, 1, "master-transitions");
    assert_eq!(counters.adverts_sent, 2, "advertisement-sent");
    assert_eq!(counters.resignations_sent, 1, "priority-zero-pkts-sent");
    assert_eq!(counters.adverts_received, 4, "advertisement-rcvd");
    assert_eq!(counters.resignations_received, 1, "priority-zero-pkts-rcvd");
    assert_eq!(rfc8347(&counters.discards, "invalid-type-pkts-rcvd"), 1);
    assert_eq!(rfc8347(&counters.discards, "packet-length-errors"), 1);
    assert_eq!(counters.interval_differs + rfc8347(&counters.discards, "interval-errors"), 2);
    assert_eq!(counters.address_list_differs + rfc8347(&counters.discards, "address-list-errors"), 1);
}

#[test]
fn mg_03_an_error_counts_for_the_whole_and_for_the_router_that_the_packet_names() {
    let mut host = Host::started(config(V3));
    let both = |host: &Host, reason| {
        (host.router.discards().count(reason), host.router.counters(host.id).unwrap().discards.count(reason))
    };
    host.hear(millis(1), &vector("M-01")).unwrap_err();
    assert_eq!(both(&host, Reason::Ttl), (1, 1));
    host.hear(millis(1), &vector("M-26")).unwrap_err();
    assert_eq!(both(&host, Reason::Vrid), (1, 0), "VRID 52 is nobody's");
}

#[test]
fn mg_04_the_three_ways_to_become_active_are_three_causes() {
    let promoted = |preempt, vector_id: Option<&str>| {
        let params = Params::new(V3).with_priority(priority(200)).with_preempt(preempt);
        let params = params.with_primary_address(Some(address("192.0.2.1"))).unwrap();
        let mut host = Host::started(with_params(config(V3), params));
        if let Some(id) = vector_id {
            host.hear(millis(1000), &vector(id)).unwrap();
        }
        let now = host.router.poll_timeout().unwrap();
        host.router.handle_timeout(now);
        let causes: Vec<Cause> = host
            .actions()
            .into_iter()
            .filter_map(|action| match action {
                Action::Transition(transition) if transition.to == Role::Active => Some(transition.cause),
                _ => None,
            })
            .collect();
        causes
    };
    assert_eq!(promoted(Preempt::Immediately, Some("V3-4-03M")), [Cause::Resigned], "priority");
    assert_eq!(promoted(Preempt::Immediately, Some("V3-4-01M")), [Cause::Preempted], "preempted");
    assert_eq!(promoted(Preempt::Never, Some("V3-4-01M")), [Cause::NoResponse], "no-response");
    assert_eq!(promoted(Preempt::Immediately, None), [Cause::NoResponse], "no-response");
}

#[test]
fn mg_05_what_a_notification_is_about_can_be_told_from_the_reason() {
    let about = |config, id: &str| {
        let reason = Host::started(config).hear(millis(1), &vector(id)).unwrap_err().reason();
        reason.rfc8347_counter().unwrap()
    };
    // vrrp-protocol-error-event
    assert_eq!(about(config(V3), "M-12"), "checksum-errors");
    assert_eq!(about(config(V3), "M-01"), "ip-ttl-errors");
    assert_eq!(about(config(V3), "M-04"), "version-errors");
    assert_eq!(about(config(V3), "M-26"), "vrid-errors");
    // vrrp-virtual-router-error-event
    assert_eq!(about(config(V3), "M-16"), "interval-errors");
    assert_eq!(about(config(Version::V2), "M-23"), "interval-errors");
    assert_eq!(about(config(Version::V2), "M-30"), "address-list-errors");
    assert_eq!(about(config(V3), "M-10"), "packet-length-errors");
}

#[test]
fn mg_06_what_a_router_is_doing_can_be_asked_for() {
    let mut host = Host::started(config(V3));
    host.hear(millis(1000), &vector("M-32")).unwrap();
    let params = *host.router.params(host.id).unwrap();
    assert!(!params.priority().is_owner());
    let State::Backup(backup) = host.state() else { panic!("not a Backup") };
    assert_eq!(backup.armed_at, millis(1000), "when the Active was last heard");
    // 2 s * 156 / 256, and three times 2 s more: by the interval that was learned.
    assert_eq!(params.skew_time(backup.active_adver_interval).as_micros(), 1_218_750);
    assert_eq!(params.active_down_interval(backup.active_adver_interval).as_micros(), 7_218_750);
    let now = host.router.poll_timeout().unwrap();
    host.router.handle_timeout(now);
    assert!(matches!(host.state(), State::Active(active) if active.since == now), "since when it is Active");
    assert_eq!(host.router.config(host.id).unwrap().addresses, [address("192.0.2.100")]);
    assert_eq!((params.version(), params.advert_interval()), (Version::V3(Family::V4), Interval::DEFAULT));
    let owner = Host::started(with_params(config(V3), params.with_priority(Priority::OWNER)));
    assert!(owner.router.params(owner.id).unwrap().priority().is_owner());
}

#[test]
fn mg_06_what_a_router_has_been_through_can_be_asked_for() {
    let mut host = Host::new(config(V3));
    let status = |host: &Host| *host.router.status(host.id).unwrap();
    assert_eq!(status(&host), Status::default());
    host.router.handle_event(millis(100), host.id, Event::Startup);
    let started = Transition { from: Role::Initialize, to: Role::Backup, cause: Cause::Startup };
    assert_eq!(status(&host).last_transition, Some((started, millis(100))), "last-event");
    assert_eq!(status(&host).up_since, Some(millis(100)), "up-datetime");
    // Only what passed every check tells where the Active is.
    host.hear(millis(1000), &vector("M-12")).unwrap_err();
    assert_eq!(status(&host).last_advert, None);
    host.hear(millis(1000), &vector("V3-4-01M")).unwrap();
    assert_eq!(status(&host).last_advert, Some((address("192.0.2.2"), millis(1000))), "last-adv-source");
    assert_eq!(status(&host).became_active, None);
    let now = host.router.poll_timeout().unwrap();
    host.router.handle_timeout(now);
    assert_eq!(status(&host).became_active, Some(Cause::NoResponse), "new-master-reason");
    assert_eq!(status(&host).last_transition.map(|(change, at)| (change.to, at)), Some((Role::Active, now)));
    // What it was and has heard stays known when it leaves; that it takes part does not.
    host.router.handle_event(now + SECOND, host.id, Event::Shutdown);
    let left = status(&host);
    assert_eq!((left.up_since, left.became_active), (None, Some(Cause::NoResponse)));
    assert_eq!(left.last_advert, Some((address("192.0.2.2"), millis(1000))));
    host.router.remove(now + SECOND, host.id);
    assert_eq!(host.router.status(host.id), None);
}

#[test]
fn mg_06_the_reason_to_become_active_of_a_gated_router_is_that_of_its_claim() {
    let gate = Gate { timeout: SECOND, back_off: SECOND };
    let params = config(V3).params.with_priority(priority(200)).with_gate(Some(gate));
    for (vector_id, reason) in [("V3-4-03M", Cause::Resigned), ("V3-4-01M", Cause::Preempted)] {
        let mut host = Host::started(with_params(config(V3), params));
        host.hear(millis(1000), &vector(vector_id)).unwrap();
        let now = host.router.poll_timeout().unwrap();
        host.router.handle_timeout(now);
        assert_eq!((host.role(), host.router.status(host.id).unwrap().became_active), (Role::Claimant, None));
        host.router.handle_event(now, host.id, Event::Confirm(now));
        assert_eq!((host.role(), host.router.status(host.id).unwrap().became_active), (Role::Active, Some(reason)));
    }
}

#[test]
fn mg_07_only_what_passed_every_check_is_received() {
    // keepalived counts a packet before it compares the lists.
    for (config, id) in [(config(Version::V2), "M-30"), (config(Version::V2), "M-23"), (with_password("1234"), "M-21")]
    {
        let mut host = Host::started(config);
        host.hear(millis(1), &vector(id)).unwrap_err();
        assert_eq!(host.router.counters(host.id).unwrap().adverts_received, 0, "{id}");
    }
}

#[test]
fn mg_08_rivals_are_counted_where_the_role_is_contended() {
    let mut host = Host::started(config(V3));
    let rivals = |host: &Host| host.router.counters(host.id).unwrap().rivals_seen;
    host.hear(millis(1), &vector("V3-4-01M")).unwrap();
    assert_eq!(rivals(&host), 0, "a Backup hears its Active");
    let mut host = Host::active(config(V3));
    host.hear(millis(4000), &vector("V3-4-03M")).unwrap();
    assert_eq!(rivals(&host), 0, "one that resigns is none");
    // Of our priority, from a higher address: it wins, and is a rival no more.
    host.hear(millis(4000), &vector("V3-4-01M")).unwrap();
    host.hear(millis(4001), &vector("V3-4-01M")).unwrap();
    assert_eq!((host.role(), rivals(&host)), (Role::Backup, 1));
    // A claim is contended too, unless it is silent beside a lower Active.
    let gate = Gate { timeout: SECOND, back_off: SECOND };
    let params = config(V3).params.with_priority(priority(200)).with_gate(Some(gate));
    for (hears_one_before, counted) in [(false, 1), (true, 0)] {
        let mut host = Host::started(with_params(config(V3), params));
        if hears_one_before {
            host.hear(millis(1), &vector("V3-4-01M")).unwrap();
        }
        let now = host.router.poll_timeout().unwrap();
        host.router.handle_timeout(now);
        assert_eq!(host.role(), Role::Claimant);
        host.hear(now, &vector("V3-4-01M")).unwrap();
        assert_eq!(rivals(&host), counted);
    }
}

#[test]
fn mg_08_failed_sends_are_counted_as_the_caller_tells_them() {
    let mut host = Host::active(config(V3));
    host.router.count_send_failed(host.id);
    host.router.count_send_failed(host.id);
    let counters = host.router.counters(host.id).unwrap();
    assert_eq!((counters.sends_failed, counters.adverts_sent), (2, 0));
    assert_eq!(host.role(), Role::Active, "when they are too many is for the caller to say: TX-12");
}

#[test]
fn mg_08_a_deadline_that_is_handled_late_is_counted_and_the_worst_is_kept() {
    let mut host = Host::started(config(V3));
    let told = |host: &Host| {
        let worst = host.router.status(host.id).unwrap().worst_lateness;
        (host.router.counters(host.id).unwrap().late_timers, worst.as_millis())
    };
    let mut fire = |late: u64| {
        let due = host.router.poll_timeout().unwrap();
        host.router.handle_timeout(due + Duration::from_millis(late));
        told(&host)
    };
    assert_eq!(fire(0), (0, 0));
    // Half an interval is the most that is not worth counting.
    assert_eq!(fire(500), (0, 500));
    assert_eq!(fire(501), (1, 501));
    assert_eq!(fire(3), (1, 501));
    assert_eq!(fire(2000), (2, 2000));
}

#[test]
fn mg_08_a_backup_that_its_sync_group_holds_is_not_late() {
    let mut host = Host::new(config(V3));
    let other = VirtualRouterConfig::new(Vrid::new(52).unwrap(), config(V3).params, config(V3).addresses);
    let other = host.router.add(interface(), other).unwrap();
    host.router.add_group(millis(0), &[host.id, other]).unwrap();
    for id in [host.id, other] {
        host.router.handle_event(millis(0), id, Event::Startup);
    }
    // The other one hears its Active: this one is due all the time, and waits.
    for at in (0..10_000).step_by(900) {
        let advert =
            Advert { source: address("192.0.2.2"), priority: Some(priority(200)), interval: Interval::DEFAULT };
        host.router.handle_event(millis(at), other, Event::Advert(advert));
        host.router.handle_timeout(millis(at));
    }
    assert_eq!(host.role(), Role::Backup);
    assert_eq!(host.router.counters(host.id).unwrap().late_timers, 0);
}

#[test]
fn mg_08_what_rfc_8347_has_no_counter_for_has_one_here() {
    let count = |config, id: &str, reason| {
        let mut host = Host::started(config);
        host.hear(millis(1), &vector(id)).unwrap_err();
        assert_eq!(host.router.discards().count(reason), 1, "{id}");
        assert_eq!(host.router.discards().total(), 1, "{id}");
    };
    count(config(V3), "M-11", Reason::CountZero);
    count(config(V3), "M-35", Reason::Source);
    count(config(V3), "M-36", Reason::Destination);
    count(config(Version::V2), "M-20", Reason::AuthType);
    count(config(Version::V2), "M-19", Reason::AuthTypeMismatch);
    count(with_password("1234"), "M-21", Reason::AuthFailure);
    count(config(V3), "M-34", Reason::SelfReceived);
    let mut host = Host::started(config(V3));
    host.hear(millis(1), &vector("V3-4-01M")).unwrap();
    assert_eq!(host.router.counters(host.id).unwrap().other_checksum_form, 1, "not the form that it sends itself");
}
