//! Three hosts, each with another program.

use crate::common::{in_parallel, now};
use crate::lan::{Dialect, Lan, V3, V6_GLOBAL};
use crate::member::Kind::{self, Frr, Keepalived, Ours};
use crate::member::{Fault, Member, Policy};
use vrrp_net::vrrp_core::Instant;

#[test]
fn of_three_programs_the_best_that_is_left_serves() {
    if !(Keepalived.can_run() && Frr.can_run()) {
        return;
    }
    let orders = [[Ours, Keepalived, Frr], [Keepalived, Frr, Ours], [Frr, Ours, Keepalived]];
    let cases = [("IPv4", V3), ("IPv6", V6_GLOBAL)]
        .into_iter()
        .flat_map(|(name, dialect)| orders.map(|order| (format!("{name}: {order:?}"), (dialect, order))));
    in_parallel(cases, |(dialect, order)| best_that_is_left(&dialect, order));
}

/// The first is killed, then the second is stopped, and both come back, the first at last.
fn best_that_is_left(dialect: &Dialect, order: [Kind; 3]) {
    let lan = Lan::new(dialect);
    let member = |kind, number, priority| Member::new(&lan, kind, number, Policy { priority, preempt: true });
    let (mut first, mut second, mut third) =
        (member(order[0], 1, 200), member(order[1], 2, 150), member(order[2], 3, 100));
    Member::introduce(&mut [&mut first, &mut second, &mut third]);
    third.start();
    lan.expect_active(&third, Instant::ZERO);
    for member in [&mut second, &mut first] {
        let joined = now();
        member.start();
        lan.expect_active(member, joined);
    }
    lan.expect_stable(&first, &[&second, &third]);

    let struck = now();
    first.strike(Fault::Killed);
    lan.expect_takeover(&second, &first, Fault::Killed, struck);
    third.expect_to_serve(false);
    // A host whose program was killed goes on answering, unless that has provided for it; and FRR announces only once,
    // which the client may miss.
    if first.kind == Ours || second.kind != Frr {
        lan.expect_client_at(&second);
    }

    lan.let_settle();
    let struck = now();
    second.strike(Fault::Stopped);
    lan.expect_takeover(&third, &second, Fault::Stopped, struck);
    lan.expect_client_at(&third);

    for member in [&mut second, &mut first] {
        let returned = now();
        member.recover(Fault::Killed);
        lan.expect_active(member, returned);
    }
    lan.expect_stable(&first, &[&second, &third]);
    lan.expect_client_at(&first);
    lan.expect_peace(&[&first, &second, &third]);
}
