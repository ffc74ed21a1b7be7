//! Two `database` agents with a real PostgreSQL each, on hosts of their own, and a client that commits through the virtual
//! address.

mod common;

#[path = "database/pair.rs"]
mod pair;

use std::time::Duration;

use common::{PATIENCE, wait_until};
use pair::{Pair, VIP};

const A: usize = 0;
const B: usize = 1;

/// How many commits show that it goes on.
const SOME: usize = 10;

#[test]
fn no_commit_that_a_client_was_told_of_is_lost_when_the_primary_dies_and_it_does_not_come_back_as_one() {
    let Some(mut pair) = Pair::in_step() else { return };
    let client = pair.client();
    client.commits(SOME);

    // All of the primary's host at once.
    pair.kill_host(A);
    pair.node(B).says("-> Active: ");
    let told = client.commits(SOME);
    pair.holds(B, &told);

    // The other one is a primary now, on a later timeline.
    pair.start(A);
    pair.node(A).says("the other host was promoted meanwhile");
    pair.node(A).says("the database is a standby");
    pair.node(B).says("in step");
    assert!(!pair.has(A, VIP) && pair.has(B, VIP));
    let refused = pair.psql(A, "insert into numbered values (-1)").expect_err("a standby takes no writes");
    assert!(refused.contains("read-only"), "{refused}");
    let told = client.commits(SOME);
    pair.holds(B, &told);

    // Back again, planned: the other one need not be fenced, and again nothing is lost.
    assert!(pair.terminate(B).success());
    pair.node(A).says("the primary has stopped by itself: not fencing it");
    pair.node(A).says("-> Active: ");
    client.commits(SOME);
    pair.start(B);
    pair.node(B).says("joining it");
    pair.node(A).says("in step");
    client.commits(SOME);
    let told = client.stop();
    pair.holds(A, &told);
    assert!(wait_until(PATIENCE, || pair.numbers(B).len() == pair.numbers(A).len()), "the standby has them too");
    assert_eq!(pair.fenced(), 1, "one death, one fencing");
}

#[test]
fn a_standby_whose_fencing_fails_is_not_promoted_and_the_address_is_nowhere() {
    let Some(mut pair) = Pair::in_step() else { return };
    let client = pair.client();
    client.commits(SOME);
    pair.fence_by("false");

    // The agent alone: the kernel ends the database, and the guardian takes the address away.
    let postmaster = pair.postmaster(A);
    pair.node(A).kill();
    assert!(wait_until(PATIENCE, || !pair::is_alive(postmaster)), "a database without its agent");
    pair.node(B).says("not taking over: the other host is not fenced");
    assert!(wait_until(PATIENCE, || pair.fenced() >= 2), "it tries again");
    assert!(!pair.has(A, VIP) && !pair.has(B, VIP));
    assert_eq!(pair.psql(B, "select pg_is_in_recovery()").as_deref(), Ok("t"), "it was not promoted");

    // The primary can come back: the other host tells it that nobody was promoted.
    pair.start(A);
    pair.node(A).says("-> Active: ");
    client.commits(SOME);
    pair.node(A).says("the database is a primary");

    // It was for the fencing alone.
    pair.fence_by("true");
    pair.kill_host(A);
    pair.node(B).says("-> Active: ");
    client.commits(SOME);
    let told = client.stop();
    pair.holds(B, &told);
}

#[test]
fn a_standby_that_was_not_in_step_refuses_and_the_primary_that_was_alone_serves_again() {
    let Some(mut pair) = Pair::in_step() else { return };
    let client = pair.client();
    client.commits(SOME);

    // Without its standby the primary has it fenced, and goes on.
    pair.kill_host(B);
    pair.node(A).says("going on alone");
    client.commits(SOME);
    let told = client.stop();

    pair.kill_host(A);
    pair.start(B);
    pair.node(B).says("not taking over: this standby was not in step");
    assert_eq!(pair.psql(B, "select pg_is_in_recovery()").as_deref(), Ok("t"), "it was not promoted");
    assert!(!pair.has(B, VIP));

    pair.start(A);
    pair.node(A).says("-> Active: ");
    pair.holds(A, &told);
    pair.node(A).says("in step");

    // What was not brought to its end is not started.
    pair.kill_host(B);
    pair.notes_unfinished(B, "rewind");
    pair.start(B);
    pair.node(B).says("pg_rewind has failed half way: set rebuild = true, or empty the data directory");
    pair.node(B).kill();
    pair.notes_unfinished(B, "copy");
    pair.start(B);
    pair.node(B).says("copying all of the other host's data");
    pair.node(B).says("the database is a standby");
    pair.holds(B, &told);
}

#[test]
fn an_old_primary_waits_for_the_host_that_may_have_been_promoted() {
    let Some(mut pair) = Pair::in_step() else { return };
    let client = pair.client();
    client.commits(SOME);
    pair.kill_host(A);
    pair.node(B).says("-> Active: ");
    client.commits(SOME);
    let told = client.stop();
    pair.kill_host(B);

    // What it has is old, and it cannot know that.
    pair.start(A);
    pair.node(A).says("may have been promoted meanwhile, and does not answer");
    assert!(!wait_until(Duration::from_secs(2), || pair.has(A, VIP)));
    assert!(pair.psql(A, "select 1").is_err(), "its database does not run");

    pair.start(B);
    pair.node(B).says("-> Active: ");
    pair.holds(B, &told);
    pair.node(A).says("the database is a standby");
    pair.node(B).says("in step");
    pair.holds(A, &told);
}

#[test]
fn a_primary_whose_database_dies_leaves_the_address_to_the_standby() {
    let Some(mut pair) = Pair::in_step() else { return };
    let client = pair.client();
    client.commits(SOME);
    pair::kill(pair.postmaster(A));
    pair.node(A).says("the database has ended by itself");
    pair.node(B).says("-> Active: ");
    client.commits(SOME);
    // It joins by itself.
    pair.node(A).says("the database is a standby");
    pair.node(B).says("in step");
    let told = client.stop();
    pair.holds(B, &told);
    assert!(!pair.has(A, VIP) && pair.has(B, VIP));
}

#[test]
fn a_primary_that_is_cut_off_commits_nothing_and_joins_the_promoted_standby_when_it_is_back() {
    let Some(mut pair) = Pair::in_step() else { return };
    let client = pair.client();
    client.commits(SOME);
    // A witness that both reach, and that stands by the second host.
    pair.fence_by("test $VRRP_PEER = 192.0.2.1");
    pair.set_cut(A, true);
    pair.node(B).says("-> Active: ");
    client.commits(SOME);
    pair.node(A).says("the standby is gone: commits wait for it");
    pair.node(A).says("cannot go on alone, commits wait");
    assert!(pair.has(A, VIP), "it cannot know");
    let cut_off = pair.psql_within(A, "insert into numbered values (-1)", Duration::from_secs(1));
    assert!(cut_off.is_err(), "a commit that nobody else has: {cut_off:?}");

    // Although it has the higher priority by its configuration.
    pair.set_cut(A, false);
    pair.node(A).says("Active -> Backup");
    pair.node(A).says("this host does not have the address any more: stopping the database");
    client.commits(SOME);
    pair.node(A).says("joining it");
    pair.node(B).says("in step");
    let told = client.stop();
    pair.holds(B, &told);
    pair.holds(A, &told);
    assert!(!pair.has(A, VIP) && pair.has(B, VIP));
    let lines = pair.node(B).log().matching("Active -> ");
    assert!(lines.is_empty(), "it was never unseated: {lines:?}");
}
