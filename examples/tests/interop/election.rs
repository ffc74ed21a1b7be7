//! What two members go through together.

use std::time::Duration;

use crate::common::now;
use crate::lan::{Dialect, Lan};
use crate::member::{Fault, Kind, Member, Policy};
use vrrp_net::vrrp_core::Instant;

/// The first, which is the better one, becomes Active, is struck by each of the faults, and comes back.
pub(crate) fn roles_pass(dialect: &Dialect, first: Kind, second: Kind) {
    let lan = Lan::new(dialect);
    let mut better = Member::new(&lan, first, 1, Policy { priority: 200, preempt: true });
    let mut other = Member::new(&lan, second, 2, Policy { priority: 100, preempt: true });
    Member::introduce(&mut [&mut better, &mut other]);

    better.start();
    lan.expect_active(&better, Instant::ZERO);
    other.start();
    lan.expect_stable(&better, &[&other]);
    lan.expect_client_at(&better);

    for fault in Fault::ALL {
        if fault == Fault::KilledUnguarded && first != Kind::Ours {
            continue;
        }
        if fault == Fault::KilledUnguarded {
            better.restart_unguarded();
            lan.expect_active(&better, now());
            other.expect_to_serve(false);
        }
        lan.let_settle();
        let struck = now();
        better.strike(fault);
        lan.expect_takeover(&other, &better, fault, struck);
        lan.expect_client_at(&other);

        let returned = now();
        better.recover(fault);
        lan.expect_return(&better, &other, fault, returned);
    }
    lan.expect_stable(&better, &[&other]);
    lan.expect_peace(&[&better, &other]);
}

/// The first is killed, and the second goes on when it is back, for at least this long.
pub(crate) fn nobody_preempts(dialect: &Dialect, first: Kind, second: Kind, least: Duration) {
    let lan = Lan::new(dialect);
    let mut better = Member::new(&lan, first, 1, Policy { priority: 200, preempt: false });
    let mut other = Member::new(&lan, second, 2, Policy { priority: 100, preempt: false });
    better.start();
    lan.expect_active(&better, Instant::ZERO);
    other.start();
    lan.expect_stable(&better, &[&other]);

    let struck = now();
    better.strike(Fault::Killed);
    lan.expect_takeover(&other, &better, Fault::Killed, struck);
    let returned = now();
    better.recover(Fault::Killed);
    lan.expect_stable(&other, &[&better]);
    std::thread::sleep(least.saturating_sub(now().since(returned)));
    assert_eq!(lan.adverts_since(returned, better.source()), [], "a nopreempt router stays Backup");
    lan.expect_client_at(&other);
    lan.expect_peace(&[&better, &other]);
}
