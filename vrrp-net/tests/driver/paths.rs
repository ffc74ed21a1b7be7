//! Routes and rules that come and go with a role, and what stays whatever the roles are.

use std::time::Duration;

use vrrp_net::lab::Host;
use vrrp_net::netlink::Change;
use vrrp_net::netlink::Scope;
use vrrp_net::vrrp_core::Family;
use vrrp_net::{
    Hop, Prefix, RouteKind, RouteParameter, RouterPreference, RuleAction, Statics, VirtualRoute, VirtualRule,
};

use super::{Agent, PATIENCE, Pair, VIP, eventually, ip};

/// From `blackhole,203.0.113.0/24` or `198.51.100.0/24,via,192.0.2.254,dev,eth0,nexthop,via,192.0.2.253,table,100`.
pub(super) fn route(text: &str) -> VirtualRoute {
    let mut words = text.split(',').peekable();
    let kind = match *words.peek().unwrap() {
        "blackhole" => RouteKind::Blackhole,
        "unreachable" => RouteKind::Unreachable,
        "local" => RouteKind::Local,
        _ => RouteKind::Unicast,
    };
    if kind != RouteKind::Unicast {
        words.next();
    }
    let mut route = VirtualRoute::new(words.next().unwrap().parse().unwrap()).with_kind(kind);
    let mut hop: Option<Hop> = None;
    while let Some(word) = words.next() {
        if word == "untracked" {
            route = route.untracked();
            continue;
        }
        if word == "nexthop" {
            route = hop.take().into_iter().fold(route, VirtualRoute::via);
            continue;
        }
        let value = words.next().unwrap();
        match word {
            "via" => hop = Some(Hop::through(value.parse().unwrap())),
            "dev" => hop = Some(hop.map_or_else(|| Hop::out_of(value), |hop| hop.on_interface(value))),
            "weight" => hop = hop.map(|hop| hop.with_weight(value.parse().unwrap())),
            "src" => route = route.with_source(value.parse().unwrap()),
            "table" => route = route.with_table(value.parse().unwrap()),
            "metric" => route = route.with_metric(value.parse().unwrap()),
            "mtu" => route = route.with_parameter(RouteParameter::Mtu, value.parse().unwrap()),
            other => panic!("no word {other:?}"),
        }
    }
    hop.into_iter().fold(route, VirtualRoute::via)
}

/// From `1000,from,192.0.2.100,fwmark,5,table,100`.
pub(super) fn rule(text: &str) -> VirtualRule {
    let mut words = text.split(',');
    let priority = words.next().unwrap().parse().unwrap();
    let rest: Vec<&str> = words.collect();
    let value_of = |name: &str| rest.chunks(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    let from: Option<Prefix> = value_of("from").map(|text| text.parse().unwrap());
    let action = value_of("table").map_or(RuleAction::Blackhole, |text| RuleAction::Table(text.parse().unwrap()));
    let rule = VirtualRule::new(from.map_or(Family::V4, Prefix::family), priority, action);
    let rule = from.map_or(rule.clone(), |from| rule.from(from));
    value_of("fwmark").map_or(rule.clone(), |text| rule.with_mark(text.parse().unwrap(), u32::MAX))
}

/// From words such as `address=198.51.100.1/24@eth0 route=... rule=...`.
pub(super) fn statics<'w>(words: impl Iterator<Item = &'w str>) -> Statics {
    words.fold(Statics::new(), |statics, word| match word.split_once('=').unwrap() {
        ("address", place) => {
            let (address, interface) = place.split_once('@').unwrap();
            statics.with_address(interface, address.parse().unwrap())
        }
        ("route", text) => statics.with_route(route(text)),
        ("rule", text) => statics.with_rule(rule(text)),
        ("all", _) => everything(statics),
        (other, _) => panic!("no word {other:?}"),
    })
}

/// Every word that there is, at least once.
fn everything(statics: Statics) -> Statics {
    let to = |text: &str| VirtualRoute::new(text.parse().unwrap());
    let through = |text: &str| Hop::through(text.parse().unwrap());
    let parameters = [
        (RouteParameter::Window, 9000),
        (RouteParameter::RoundTripTime, 800),
        (RouteParameter::RoundTripVariance, 400),
        (RouteParameter::SlowStartThreshold, 11),
        (RouteParameter::CongestionWindow, 12),
        (RouteParameter::AdvertisedSegmentSize, 1300),
        (RouteParameter::Reordering, 13),
        (RouteParameter::HopLimit, 14),
        (RouteParameter::InitialCongestionWindow, 15),
        (RouteParameter::Features, 1),
        (RouteParameter::MinimumRetransmissionTimeout, 160),
        (RouteParameter::InitialReceiveWindow, 17),
        (RouteParameter::QuickAcknowledgement, 1),
        (RouteParameter::FastOpenWithoutCookie, 1),
    ];
    let with_all = parameters
        .into_iter()
        .fold(to("10.1.0.0/16").via(Hop::out_of("eth0")), |route, (name, value)| route.with_parameter(name, value));
    let rule = |family, action| VirtualRule::new(family, 3000, action);
    let table = || rule(Family::V4, RuleAction::Table(1000));
    statics
        .with_route(with_all.with_locked_parameter(RouteParameter::Mtu, 1400).with_congestion_control("reno"))
        .with_route(to("10.2.0.0/16").via(through("fe80::1").on_interface("eth0")).with_type_of_service(0x10))
        .with_route(to("10.3.0.0/16").via(through("203.0.113.9").on_interface("eth0").onlink()).with_protocol(99))
        .with_route(to("10.4.0.0/16").with_kind(RouteKind::Throw).with_table(1000).with_scope(Scope::Global))
        .with_route(to("10.5.0.0/16").with_kind(RouteKind::Prohibit).appended())
        .with_route(to("10.6.0.1").via(Hop::out_of("eth0")).with_kind(RouteKind::Local).with_table(1000))
        .with_route(
            to("2001:db8:9::/48")
                .via(through("2001:db8::fe"))
                .with_preference(RouterPreference::High)
                .with_metric(7)
                .with_parameter(RouteParameter::Mtu, 1400),
        )
        .with_rule(table().with_incoming("eth0").with_outgoing("eth1").with_type_of_service(0x10))
        .with_rule(table().to("10.0.0.0/8".parse().unwrap()).inverted())
        .with_rule(table().with_ip_protocol(6).with_source_ports(10..=20).with_destination_ports(443..=443))
        .with_rule(table().with_users(5..=6).with_suppressed_prefix_length(0).with_suppressed_group(7))
        .with_rule(table().with_tunnel(9))
        .with_rule(table().with_mark(4, 12).with_protocol(99))
        .with_rule(rule(Family::V4, RuleAction::Goto(4000)))
        .with_rule(rule(Family::V4, RuleAction::Nothing).with_mark(8, 8))
        .with_rule(rule(Family::V6, RuleAction::Blackhole).from("2001:db8:a::/48".parse().unwrap()))
        .with_rule(rule(Family::V6, RuleAction::Unreachable).from("2001:db8:b::/48".parse().unwrap()))
        .with_rule(rule(Family::V6, RuleAction::Prohibit).from("2001:db8:c::/48".parse().unwrap()))
        .with_rule(rule(Family::V6, RuleAction::DomainTable).with_mark(1, 1))
}

fn shown(host: &Host, arguments: &str) -> Vec<String> {
    let output = host.command("ip").args(arguments.split_whitespace()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What carries the mark on this host: routes of both families and rules.
fn marked(host: &Host) -> Vec<String> {
    let mut all = Vec::new();
    for family in ["-4", "-6"] {
        all.extend(shown(host, &format!("{family} -d route show table all proto 112")));
        all.extend(shown(host, &format!("{family} -d rule")).into_iter().filter(|line| line.ends_with("proto 112")));
    }
    all
}

fn comes_to_have(host: &Host, words: &[&str]) -> bool {
    let has = |word: &&str| marked(host).iter().any(|line| line.contains(*word));
    eventually(|| words.iter().all(has))
}

fn has_none(host: &Host) -> bool {
    eventually(|| marked(host).is_empty())
}

const FOUR: &str = "add 192.0.2.100/24 interval=10 route=198.51.100.0/24,via,192.0.2.254,dev,eth0,src,192.0.2.100 \
    route=0.0.0.0/0,via,192.0.2.254,table,100,mtu,1400 route=blackhole,203.0.113.0/24 \
    route=10.0.0.0/8,via,192.0.2.253,weight,2,nexthop,via,192.0.2.254 \
    rule=1000,from,192.0.2.100,table,100 rule=1001,fwmark,5,table,100";

#[test]
fn routes_and_rules_come_after_the_addresses_and_go_before_them() {
    let Some(net) = Pair::new() else { return };
    let mut monitor = net.a.monitor().unwrap();
    monitor.watch_routes().unwrap();
    let mut a = Agent::start(&net.a);
    a.tell(FOUR);
    a.expect("-> Active");
    let all = marked(&net.a);
    for words in [
        "198.51.100.0/24 via 192.0.2.254 dev eth0",
        "src 192.0.2.100",
        "default via 192.0.2.254 dev eth0 table 100",
        "mtu 1400",
        "blackhole 203.0.113.0/24",
        "1000: from 192.0.2.100 lookup 100",
        "1001: from all fwmark 0x5 lookup 100",
    ] {
        assert!(all.iter().any(|line| line.contains(words)), "{words} in {all:#?}");
    }
    assert!(
        shown(&net.a, "route show 10.0.0.0/8")
            .iter()
            .any(|line| line.contains("nexthop via 192.0.2.253 dev eth0 weight 2"))
    );
    // The kernel goes by them.
    let way = shown(&net.a, "route get 8.8.8.8 mark 5");
    assert!(way[0].contains("via 192.0.2.254"), "{way:?}");
    a.stop();
    assert!(has_none(&net.a) && !net.a.has_address(VIP).unwrap());
    let mut order = Vec::new();
    for change in monitor.read(10_000).unwrap() {
        match change {
            Change::Address(it) if it.address == VIP && !order.contains(&"address") => order.push("address"),
            Change::AddressRemoved(it) if it.address == VIP => order.push("no address"),
            Change::Route { route, .. } if route.source == Some(VIP) && route.protocol == 112 => order.push("route"),
            Change::RouteRemoved(route) if route.source == Some(VIP) && route.protocol == 112 => order.push("no route"),
            _ => {}
        }
    }
    assert_eq!(order, ["address", "route", "no route", "no address"]);
}

#[test]
fn over_ipv6_too_with_several_ways() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell(
        "add fe80::5e:100 2001:db8::100 interval=10 route=2001:db8:1::/48,via,2001:db8::fe,src,2001:db8::100 \
         route=2001:db8:2::/48,via,2001:db8::fd,dev,eth0,weight,3,nexthop,via,2001:db8::fe,dev,eth0 \
         route=unreachable,2001:db8:3::/48,table,1000 rule=1000,from,2001:db8::100,table,1000",
    );
    a.expect("-> Active");
    let expected =
        ["2001:db8:1::/48 via 2001:db8::fe", "unreachable 2001:db8:3::/48", "1000: from 2001:db8::100 lookup 1000"];
    assert!(comes_to_have(&net.a, &expected), "{:#?}", marked(&net.a));
    let ways = shown(&net.a, "-6 route show 2001:db8:2::/48");
    assert_eq!(ways.iter().filter(|line| line.contains("nexthop")).count(), 2, "{ways:#?}");
    assert!(ways.iter().any(|line| line.contains("via 2001:db8::fd dev eth0 weight 3")), "{ways:#?}");
    // One of two ways.
    ip(&net.a, "-6 route del 2001:db8:2::/48 via 2001:db8::fe dev eth0");
    a.expect("route 2001:db8:2::/48 via 2001:db8::fe dev eth0 was gone: put back");
    assert_eq!(shown(&net.a, "-6 route show 2001:db8:2::/48").len(), ways.len());
    a.stop();
    assert!(has_none(&net.a), "{:#?}", marked(&net.a));
}

#[test]
fn what_another_program_removes_is_put_back_but_not_for_ever() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell(&format!("{FOUR} route=10.9.0.0/16,via,192.0.2.254,untracked"));
    a.expect("-> Active");
    ip(&net.a, "route del 10.9.0.0/16");
    ip(&net.a, "rule del pref 1001");
    a.expect("rule 1001: from all fwmark 0x5/0xffffffff table 100 was gone: put back");
    ip(&net.a, "route del 10.0.0.0/8");
    a.expect("route 10.0.0.0/8 nexthop via 192.0.2.253 weight 2 nexthop via 192.0.2.254 weight 1 was gone: put back");
    assert!(comes_to_have(&net.a, &["fwmark 0x5", "10.0.0.0/8"]));
    assert!(!marked(&net.a).iter().any(|line| line.contains("10.9.0.0/16")), "that one is not");
    for count in 1..=4 {
        ip(&net.a, "route del 198.51.100.0/24");
        assert!(a.says("route 198.51.100.0/24 via 192.0.2.254 dev eth0 src 192.0.2.100 was gone", count));
    }
    a.expect("again and again: not put back for a minute");
    ip(&net.a, "route del 198.51.100.0/24");
    std::thread::sleep(Duration::from_millis(500));
    assert!(!marked(&net.a).iter().any(|line| line.contains("198.51.100.0/24")));
    assert!(net.a.has_address(VIP).unwrap() && !a.has_said("Active ->"), "it serves on");
    a.stop();
    assert!(has_none(&net.a));
}

#[test]
fn a_route_whose_source_is_removed_is_put_back_with_it() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("add 192.0.2.100 interval=10 route=198.51.100.0/24,via,192.0.2.254,src,192.0.2.100");
    a.expect("-> Active");
    ip(&net.a, "address del 192.0.2.100/32 dev eth0");
    a.expect("192.0.2.100 was removed by another program: put back");
    assert!(comes_to_have(&net.a, &["src 192.0.2.100"]), "{:#?}", a.lines());
    a.stop();
}

#[test]
fn what_a_killed_process_had_its_guardian_removes() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start_guarded(&net.a), Agent::start(&net.b));
    a.tell(&format!("{FOUR} priority=150"));
    a.expect("-> Active");
    b.tell(FOUR);
    b.expect("Initialize -> Backup");
    assert!(marked(&net.b).is_empty(), "{:#?}", marked(&net.b));
    // Longer than it takes to arm what came later.
    std::thread::sleep(Duration::from_millis(300));
    a.process().kill().unwrap();
    b.expect("Backup -> Active");
    assert!(has_none(&net.a), "{:#?}", marked(&net.a));
    assert!(net.a.wait_for_address(VIP, false, PATIENCE).unwrap());
    assert_eq!(marked(&net.b).len(), 8, "{:#?}", marked(&net.b));
    b.stop();
}

#[test]
fn what_a_killed_process_left_its_successor_removes() {
    let Some(net) = Pair::new() else { return };
    let mut dead = Agent::start(&net.a);
    dead.tell(&format!("{FOUR} lease=off"));
    dead.expect("-> Active");
    ip(&net.a, "route add 192.88.99.0/24 via 192.0.2.254");
    dead.process().kill().unwrap();
    assert!(!marked(&net.a).is_empty());
    let mut a = Agent::start(&net.a);
    // One that is not to be Active for long.
    a.tell("add 192.0.2.100/24 interval=500 route=198.51.100.0/24,via,192.0.2.254,dev,eth0,src,192.0.2.100");
    a.expect("Initialize -> Backup");
    let has = |words: &str| marked(&net.a).iter().any(|line| line.contains(words));
    assert!(eventually(|| !has("198.51.100.0/24")), "what is configured at once");
    assert!(has("blackhole 203.0.113.0/24") && has("fwmark 0x5"));
    a.tell("clean-up");
    a.expect("removed: [\"rule 1000\", \"rule 1001\", ");
    a.expect("\"route 203.0.113.0/24 table 254\"");
    assert!(has_none(&net.a), "{:#?}", marked(&net.a));
    assert_eq!(shown(&net.a, "route show 192.88.99.0/24").len(), 1, "somebody else's stays");
    a.stop();
}

#[test]
fn what_a_live_process_has_is_not_left_over() {
    let Some(net) = Pair::new() else { return };
    let (mut live, mut a) = (Agent::start(&net.a), Agent::start(&net.a));
    live.tell(FOUR);
    live.expect("-> Active");
    let before = marked(&net.a);
    a.tell("add 192.0.2.101 vrid=52 interval=10");
    a.expect("-> Active");
    a.tell("clean-up");
    a.expect("removed: []");
    assert_eq!(marked(&net.a), before);
    a.stop();
    live.stop();
}

#[test]
fn a_change_of_the_configuration_touches_only_what_changes() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell(FOUR);
    a.expect("-> Active");
    let mut monitor = net.a.monitor().unwrap();
    monitor.watch_routes().unwrap();
    monitor.watch_rules().unwrap();
    a.tell(
        "reconfigure 192.0.2.100/24 interval=10 route=198.51.100.0/24,via,192.0.2.254,dev,eth0,src,192.0.2.100 \
         route=0.0.0.0/0,via,192.0.2.253,table,100,mtu,1400 route=blackhole,203.0.113.0/24 \
         rule=1000,from,192.0.2.100,table,100 rule=1002,fwmark,6,table,100",
    );
    a.expect("reconfigured from");
    let expected = ["default via 192.0.2.253 dev eth0 table 100", "fwmark 0x6", "198.51.100.0/24"];
    assert!(comes_to_have(&net.a, &expected), "{:#?}", marked(&net.a));
    let gone: Vec<String> = monitor
        .read(10_000)
        .unwrap()
        .into_iter()
        .filter_map(|change| match change {
            Change::RouteRemoved(route) => Some(format!("{}/{}", route.destination.0, route.destination.1)),
            Change::RuleRemoved { priority, .. } => Some(priority.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(gone, ["1001", "10.0.0.0/8", "0.0.0.0/0"], "the last one first");
    assert!(!a.has_said("was gone") && !a.has_said("Active ->"), "{:#?}", a.lines());
    a.tell("reconfigure 192.0.2.100/24 interval=10 route=blackhole,203.0.113.0/24,via,192.0.2.254");
    a.expect("refused: route blackhole 203.0.113.0/24 via 192.0.2.254: blackhole leads nowhere");
    a.tell("reconfigure 192.0.2.100/24 interval=10");
    assert!(has_none(&net.a), "{:#?}", marked(&net.a));
    a.stop();
}

#[test]
fn a_route_that_the_kernel_refuses_is_no_fault_and_is_there_once_it_can_be() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell(
        "add 192.0.2.100 interval=10 route=198.51.100.0/24,via,203.0.113.1 route=10.0.0.0/8,dev,uplink \
         route=10.9.0.0/16,via,192.0.2.254",
    );
    a.expect("-> Active");
    a.expect("add route 198.51.100.0/24 via 203.0.113.1: Network is unreachable");
    a.expect("add route 10.0.0.0/8 dev uplink: no interface \"uplink\" (have: ");
    assert!(comes_to_have(&net.a, &["10.9.0.0/16"]), "the others are there");
    ip(&net.a, "link add uplink type veth peer name up1");
    ip(&net.a, "link set up1 up");
    ip(&net.a, "link set uplink up");
    assert!(comes_to_have(&net.a, &["10.0.0.0/8 dev uplink"]), "{:#?}", a.lines());
    ip(&net.a, "address add 203.0.113.2/24 dev uplink");
    assert!(comes_to_have(&net.a, &["198.51.100.0/24 via 203.0.113.1 dev uplink"]), "{:#?}", a.lines());
    // The kernel takes them away with the interface, without a word over IPv4.
    ip(&net.a, "link set uplink down");
    assert!(eventually(|| !marked(&net.a).iter().any(|line| line.contains("uplink"))));
    ip(&net.a, "link set uplink up");
    assert!(comes_to_have(&net.a, &["10.0.0.0/8 dev uplink", "via 203.0.113.1"]), "{:#?}", marked(&net.a));
    ip(&net.a, "link del uplink");
    assert!(eventually(|| !marked(&net.a).iter().any(|line| line.contains("uplink"))));
    ip(&net.a, "link add uplink type veth peer name up1");
    ip(&net.a, "link set uplink up");
    assert!(comes_to_have(&net.a, &["10.0.0.0/8 dev uplink"]), "another one of that name");
    assert!(!a.has_said("Active ->"), "{:#?}", a.lines());
    a.stop();
    assert!(has_none(&net.a));
}

#[test]
fn a_route_that_one_gave_up_to_another_is_its_own_again_later() {
    let Some(net) = Pair::new() else { return };
    let route = "route=198.51.100.0/24,via,192.0.2.254";
    let (mut a, mut b) = (Agent::start(&net.a), Agent::start(&net.b));
    a.tell(&format!("add 192.0.2.101 vrid=51 interval=10 preempt=never {route}"));
    a.tell(&format!("add 192.0.2.102 vrid=52 interval=10 {route}"));
    assert!(a.says("-> Active", 2), "{:#?}", a.lines());
    b.tell("add 192.0.2.101 vrid=51 interval=10 preempt=never");
    b.expect("Initialize -> Backup");
    a.tell("hand-over");
    b.expect("-> Active");
    assert!(comes_to_have(&net.a, &["198.51.100.0/24"]), "the other one's");
    // Now it is nobody's.
    a.tell("remove-second");
    assert!(has_none(&net.a));
    b.stop();
    assert!(a.says("-> Active", 3), "{:#?}", a.lines());
    assert!(comes_to_have(&net.a, &["198.51.100.0/24"]), "{:#?}", a.lines());
    a.stop();
    assert!(has_none(&net.a));
}

#[test]
fn a_route_that_two_virtual_routers_have_stays_until_the_last_one_leaves() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    for (address, vrid) in [("192.0.2.101", 51), ("192.0.2.102", 52)] {
        a.tell(&format!("add {address} vrid={vrid} interval=10 route=198.51.100.0/24,via,192.0.2.254"));
    }
    assert!(a.says("-> Active", 2));
    assert!(comes_to_have(&net.a, &["198.51.100.0/24"]));
    let mut monitor = net.a.monitor().unwrap();
    monitor.watch_routes().unwrap();
    a.tell("remove");
    assert!(net.a.wait_for_address("192.0.2.101".parse().unwrap(), false, PATIENCE).unwrap());
    let removed =
        monitor.read(1000).unwrap().iter().any(|it| matches!(it, Change::RouteRemoved(it) if it.protocol == 112));
    assert!(!removed && comes_to_have(&net.a, &["198.51.100.0/24"]));
    a.stop();
    assert!(has_none(&net.a));
}

const STATICS: &str = "statics address=198.51.100.1/24@eth0 route=203.0.113.0/24,via,198.51.100.254 \
    route=blackhole,10.0.0.0/8 rule=2000,from,198.51.100.1,table,200";

#[test]
fn what_stays_comes_at_once_is_put_back_and_goes_at_the_end() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell(STATICS);
    let expected = ["203.0.113.0/24 via 198.51.100.254 dev eth0", "blackhole 10.0.0.0/8", "2000: from 198.51.100.1"];
    assert!(comes_to_have(&net.a, &expected), "{:#?}", marked(&net.a));
    let own = "198.51.100.1".parse().unwrap();
    assert!(net.a.has_address(own).unwrap());
    for (arguments, words) in [
        ("route del 10.0.0.0/8", "route blackhole 10.0.0.0/8 was gone: put back"),
        ("rule del pref 2000", "rule 2000: from 198.51.100.1/32 table 200 was gone: put back"),
        ("address del 198.51.100.1/24 dev eth0", "address 198.51.100.1/24 dev eth0 was gone: put back"),
    ] {
        ip(&net.a, arguments);
        a.expect(words);
    }
    // The kernel deletes the route with the network that its gateway is in, without a word.
    assert!(comes_to_have(&net.a, &expected), "{:#?}", marked(&net.a));
    a.tell("statics route=blackhole,10.0.0.0/8");
    assert!(eventually(|| marked(&net.a).len() == 1 && !net.a.has_address(own).unwrap()), "{:#?}", marked(&net.a));
    a.stop();
    assert!(has_none(&net.a));
}

#[test]
fn what_stays_survives_a_crash_and_the_successor_takes_it_over() {
    let Some(net) = Pair::new() else { return };
    let mut dead = Agent::start_guarded(&net.a);
    dead.tell(&format!("{STATICS} address=198.51.100.2/24@eth0"));
    assert!(comes_to_have(&net.a, &["2000: from 198.51.100.1"]));
    dead.process().kill().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(marked(&net.a).len(), 3);
    let mut monitor = net.a.monitor().unwrap();
    monitor.watch_routes().unwrap();
    ip(&net.a, "address add 198.51.100.9/24 dev eth0");
    let mut a = Agent::start(&net.a);
    a.tell(&format!("{STATICS} address=198.51.100.9/24@eth0"));
    a.tell("clean-up");
    a.expect("removed: [\"address 198.51.100.2/24\"]");
    assert_eq!(marked(&net.a).len(), 3);
    let removed = |change: &Change| matches!(change, Change::RouteRemoved(it) if it.protocol == 112);
    assert!(!monitor.read(1000).unwrap().iter().any(removed), "nothing was ever away");
    assert!(!a.has_said("cannot") && !a.has_said("was gone"), "{:#?}", a.lines());
    a.stop();
    assert!(has_none(&net.a));
    assert!(!net.a.has_address("198.51.100.1".parse().unwrap()).unwrap());
    assert!(net.a.has_address("198.51.100.9".parse().unwrap()).unwrap(), "somebody else's stays");
}

#[test]
fn an_address_that_stays_can_be_advertised_from() {
    let Some(net) = Pair::new() else { return };
    ip(&net.b, "address flush dev eth0 scope global");
    let mut b = Agent::start(&net.b);
    b.tell("statics address=192.0.2.7/24@eth0");
    b.tell("add 192.0.2.100 interval=10");
    b.expect("-> Active");
    b.tell("status");
    b.expect("primary_address: Some(192.0.2.7)");
    b.expect("statics: [PathStatus { path: \"address 192.0.2.7/24 dev eth0\", installed: true }]");
    b.stop();
}

#[test]
fn another_programs_routes_to_the_same_place_stay() {
    let Some(net) = Pair::new() else { return };
    ip(&net.a, "route add 198.51.100.0/24 via 192.0.2.253");
    ip(&net.a, "-6 route add 2001:db8:1::/48 via 2001:db8::fd");
    ip(&net.a, "rule add pref 1000 from 192.0.2.100 table 100");
    let mut a = Agent::start(&net.a);
    a.tell(
        "add 192.0.2.100 interval=10 route=198.51.100.0/24,via,192.0.2.254 route=2001:db8:1::/48,via,2001:db8::fe \
         rule=1000,from,192.0.2.100,table,100",
    );
    a.expect("-> Active");
    assert!(comes_to_have(&net.a, &["198.51.100.0/24 via 192.0.2.254", "1000: from 192.0.2.100"]));
    // Over IPv6 the kernel makes one of both, and shows them under the first one's mark.
    let ways = || shown(&net.a, "-6 route show 2001:db8:1::/48").iter().filter(|it| it.contains("nexthop")).count();
    assert!(eventually(|| ways() == 2));
    // Over IPv4 it comes before theirs.
    assert!(shown(&net.a, "route get 198.51.100.1")[0].contains("via 192.0.2.254"));
    a.stop();
    assert!(has_none(&net.a), "{:#?}", marked(&net.a));
    assert!(shown(&net.a, "route get 198.51.100.1")[0].contains("via 192.0.2.253"));
    let six = shown(&net.a, "-6 route show 2001:db8:1::/48");
    assert!(six.len() == 1 && six[0].contains("via 2001:db8::fd"), "{six:?}");
    assert!(shown(&net.a, "rule show pref 1000").len() == 1);
}

#[test]
fn with_a_virtual_mac_address_too() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell(
        "add 192.0.2.100 interval=10 mac=virtual route=198.51.100.0/24,via,192.0.2.254,src,192.0.2.100 \
         route=10.0.0.0/8,dev,vrrp.51",
    );
    a.expect("-> Active");
    assert!(comes_to_have(&net.a, &["198.51.100.0/24 via 192.0.2.254 dev eth0", "10.0.0.0/8 dev vrrp.51"]));
    a.stop();
    assert!(has_none(&net.a), "{:#?}", marked(&net.a));
}

#[test]
fn what_stays_comes_back_with_its_interface() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell(
        "statics address=203.0.113.1/24@uplink address=2001:db8:9::1/64@uplink route=10.0.0.0/8,via,203.0.113.254 \
         route=2001:db8:a::/48,via,2001:db8:9::fe route=10.9.0.0/16,via,203.0.113.253,nexthop,via,192.0.2.254",
    );
    a.expect("add address 203.0.113.1/24 dev uplink: no interface \"uplink\" (have: ");
    let (four, six) = ("203.0.113.1".parse().unwrap(), "2001:db8:9::1".parse().unwrap());
    let all = ["10.0.0.0/8 via 203.0.113.254", "2001:db8:a::/48 via 2001:db8:9::fe", "10.9.0.0/16"];
    for round in 0..2 {
        ip(&net.a, "link add uplink type veth peer name up1");
        ip(&net.a, "link set up1 up");
        ip(&net.a, "link set uplink up");
        assert!(comes_to_have(&net.a, &all), "{round}: {:#?} {:#?}", marked(&net.a), a.lines());
        assert!(net.a.has_address(four).unwrap() && net.a.has_address(six).unwrap());
        ip(&net.a, "link set uplink down");
        ip(&net.a, "link set uplink up");
        assert!(comes_to_have(&net.a, &all), "{round}: {:#?}", marked(&net.a));
        assert!(net.a.wait_for_address(six, true, PATIENCE).unwrap());
        let ways = shown(&net.a, "route show 10.9.0.0/16");
        assert_eq!(ways.len(), 3, "one with two ways: {ways:#?}");
        ip(&net.a, "link del uplink");
    }
    a.stop();
    assert!(has_none(&net.a), "{:#?}", marked(&net.a));
}

#[test]
fn very_many_do_not_keep_advertisements_waiting() {
    let Some(net) = Pair::new() else { return };
    let (mut a, mut b) = (Agent::start_guarded(&net.a), Agent::start(&net.b));
    let routes: Vec<String> =
        (0..3000).map(|number| format!("route=10.{}.{}.0/24,via,192.0.2.254", number / 250, number % 250)).collect();
    let routes = routes.join(" ");
    a.tell(&format!("add 192.0.2.100 interval=10 priority=150 preempt=never {routes}"));
    a.expect("-> Active");
    assert_eq!(marked(&net.a).len(), 3000);
    b.tell(&format!("add 192.0.2.100 interval=10 preempt=never {routes}"));
    b.expect("Initialize -> Backup");
    std::thread::sleep(Duration::from_millis(500));
    assert!(!b.has_said("-> Active"));
    a.tell("hand-over");
    b.expect("-> Active");
    assert!(has_none(&net.a));
    assert_eq!(marked(&net.b).len(), 3000);
    b.process().stop().unwrap();
    assert!(a.says("-> Active", 2));
    b.process().resume().unwrap();
    b.expect("Active -> Backup");
    assert!(has_none(&net.b));
    a.process().kill().unwrap();
    assert!(has_none(&net.a), "the guardian has them all");
    b.stop();
}

#[test]
fn the_kernel_has_every_word_as_it_was_said() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell("statics all=1");
    a.tell("status");
    a.expect("statics: [");
    let every = || {
        [
            shown(&net.a, "-4 -d -N route show table all"),
            shown(&net.a, "-6 -d -N route show table all"),
            shown(&net.a, "-4 -d -N rule"),
            shown(&net.a, "-6 -d -N rule"),
        ]
        .concat()
    };
    assert!(!a.has_said("add "), "{:#?}", a.lines());
    for words in [
        "10.1.0.0/16 dev eth0",
        "mtu lock 1400 window 9000 rtt 100ms rttvar 100ms ssthresh 11 cwnd 12 advmss 1300 reordering 13 hoplimit 14",
        "initcwnd 15",
        "features ecn",
        "rto_min 160ms",
        "initrwnd 17",
        "quickack 1",
        "congctl reno",
        "10.2.0.0/16 tos 0x10 via inet6 fe80::1 dev eth0",
        "10.3.0.0/16 via 203.0.113.9 dev eth0 table 254 proto 99 scope 0 onlink",
        "9 10.4.0.0/16 table 1000",
        "8 10.5.0.0/16",
        "2 10.6.0.1 dev eth0 table 1000",
        "2001:db8:9::/48 via 2001:db8::fe dev eth0",
        "metric 7 mtu 1400 pref high",
        "3000: from all tos 0x10 iif eth0 oif eth1 [detached] lookup 1000",
        "3000: not from all to 10.0.0.0/8 lookup 1000",
        "-6 sport 10-20 dport 443 lookup 1000",
        "uidrange 5-6 lookup 1000 suppress_prefixlength 0 suppress_ifgroup 7",
        "tun_id 9",
        "3000: from all fwmark 0x4/0xc lookup 1000 proto 99",
        "goto 4000",
        "fwmark 0x8/0x8 nop",
        "2001:db8:a::/48 6",
        "2001:db8:b::/48 7",
        "2001:db8:c::/48 8",
        "fwmark 0x1/0x1 lookup [l3mdev-table]",
    ] {
        assert!(every().iter().any(|line| line.contains(words)), "{words} in {:#?}", every());
    }
    a.stop();
    assert!(has_none(&net.a), "{:#?}", marked(&net.a));
    assert!(!every().iter().any(|line| line.contains("proto 99")), "{:#?}", every());
}

#[test]
fn the_status_says_which_routes_and_rules_are_there() {
    let Some(net) = Pair::new() else { return };
    let mut a = Agent::start(&net.a);
    a.tell(
        "add 192.0.2.100 interval=10 route=blackhole,10.0.0.0/8 route=10.0.0.0/9,dev,none rule=1000,fwmark,5,table,7",
    );
    a.expect("-> Active");
    a.tell("status");
    a.expect(
        "routes: [PathStatus { path: \"route blackhole 10.0.0.0/8\", installed: true }, PathStatus { path: \"route 10.0.0.0/9 \
         dev none\", installed: false }], rules: [PathStatus { path: \"rule 1000: from all fwmark 0x5/0xffffffff table 7\", \
         installed: true }]",
    );
    a.stop();
}
