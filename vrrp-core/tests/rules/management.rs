//! Counters and what management can ask for (RFC 8347, RFC 6527).

use vrrp_core::wire::Reason;
use vrrp_core::{Action, Cause, Discards, Event, Family, Interval, Params, Preempt, Priority, Role, State, Version};

use crate::common::{millis, priority};
use crate::{Host, V3, address, config, vector, with_params, with_password};

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
