//! Two hosts, ours and another program's, in all the dialects of the protocol that both speak.

use std::time::Duration;

use crate::common::in_parallel;
use crate::election::{nobody_preempts, roles_pass};
use crate::lan::{Dialect, V2, V2_PLAIN, V3, V6, V6_GLOBAL};
use crate::member::Kind::{self, Frr, Keepalived, Ours};

const UNICAST: Dialect = Dialect { unicast: true, ..V3 };
const UNICAST_V6: Dialect = Dialect { unicast: true, ..V6 };
const VIRTUAL_MAC: Dialect = Dialect { virtual_mac: true, ..V3 };
const VIRTUAL_MAC_V6: Dialect = Dialect { virtual_mac: true, ..V6 };

/// In each of these both are Active first in turn, and end in every way.
const PAIRS: [(&str, Kind, Dialect); 10] = [
    ("VRRPv2 with a password", Keepalived, V2),
    ("VRRPv3, IPv4", Keepalived, V3),
    ("VRRPv3, IPv6", Keepalived, V6),
    ("unicast, IPv4", Keepalived, UNICAST),
    ("unicast, IPv6", Keepalived, UNICAST_V6),
    ("virtual MAC, IPv4", Keepalived, VIRTUAL_MAC),
    ("virtual MAC, IPv6", Keepalived, VIRTUAL_MAC_V6),
    ("VRRPv2", Frr, V2_PLAIN),
    ("VRRPv3, IPv4", Frr, V3),
    ("VRRPv3, IPv6", Frr, V6_GLOBAL),
];

#[test]
fn roles_pass_between_us_and_keepalived_in_every_dialect() {
    run(Keepalived);
}

#[test]
fn roles_pass_between_us_and_frr_in_every_dialect() {
    run(Frr);
}

fn run(peer: Kind) {
    if !peer.can_run() {
        return;
    }
    let pairs = PAIRS.iter().filter(|(_, kind, _)| *kind == peer);
    let cases = pairs.flat_map(|(name, peer, dialect)| {
        let orders = [(Ours, *peer), (*peer, Ours)];
        orders.map(|(first, second)| (format!("{name}: {first:?} first"), (first, second, *dialect)))
    });
    in_parallel(cases, |(first, second, dialect)| roles_pass(&dialect, first, second));
}

#[test]
fn with_nopreempt_whoever_returns_waits() {
    let cases = [Keepalived, Frr].into_iter().filter(|peer| peer.can_run());
    let cases = cases.flat_map(|peer| [(Ours, peer), (peer, Ours)]);
    let named = cases.map(|(first, second)| (format!("{first:?} and then {second:?}"), (first, second)));
    in_parallel(named, |(first, second)| nobody_preempts(&V3, first, second, Duration::from_secs(2)));
}
