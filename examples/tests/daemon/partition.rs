//! Cables that are pulled, and networks that come apart and together again.

use std::time::Duration;

use crate::common::{Node, PATIENCE, wait_until};
use crate::network::{Network, Place, VIP, undisturbed};

/// Active_Down_Interval of priority 100 at 100 ms, and the second that the rule allows.
const SETTLED_WITHIN: Duration = Duration::from_millis(361 + 1000);

#[test]
fn an_active_whose_cable_is_pulled_releases_and_comes_back_with_it() {
    let Some(net) = Network::new() else { return };
    let (a, b) = net.settled("100ms", &[]);
    net.a.cable.cut().unwrap();
    assert!(net.a.loses_vip(PATIENCE), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "Active -> Initialize: the interface is down"));
    assert!(net.b.gets_vip(PATIENCE), "{:#?}", b.log().lines());
    assert!(net.client_follows_to(&net.b));

    net.a.cable.heal().unwrap();
    assert!(net.only(&net.a, PATIENCE), "{:#?} {:#?}", a.log().lines(), b.log().lines());
    assert!(b.log().wait_for(PATIENCE, "Active -> Backup: 192.0.2.1 won the election"));
    assert!(net.client_follows_to(&net.a));
}

#[test]
fn after_a_partition_one_is_left_when_the_winner_was_cut_off_and_speaks_first() {
    undisturbed(|| comes_together(Side::Winner, Side::Winner));
}

#[test]
fn after_a_partition_one_is_left_when_the_winner_was_cut_off_and_the_loser_speaks_first() {
    undisturbed(|| comes_together(Side::Winner, Side::Loser));
}

#[test]
fn after_a_partition_one_is_left_when_the_loser_was_cut_off_and_the_winner_speaks_first() {
    undisturbed(|| comes_together(Side::Loser, Side::Winner));
}

#[test]
fn after_a_partition_one_is_left_when_the_loser_was_cut_off_and_speaks_first() {
    undisturbed(|| comes_together(Side::Loser, Side::Loser));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The first place: it has the higher priority.
    Winner,
    /// The second place.
    Loser,
}

/// Both are Active while nothing passes between them and no carrier is lost. Then the cable is whole again, and the
/// first advertisement that one hears of the other is the one of `first`.
fn comes_together(cut_off: Side, first: Side) {
    let Some(net) = Network::new() else { return };
    let (mut a, mut b) = net.settled("100ms", &[]);
    assert!(net.client_follows_to(&net.a));

    let (away, client_side) = if cut_off == Side::Winner { (&net.a, &net.b) } else { (&net.b, &net.a) };
    away.cable.cut_silently().unwrap();
    assert!(net.b.gets_vip(PATIENCE), "{:#?}", b.log().lines());
    assert!(net.a.has(VIP.into()), "both, and neither can know: {:#?}", a.log().lines());
    assert!(net.client_follows_to(client_side));

    // Who is to hear first is held up until the other's advertisement waits for it.
    let (speaker, listener): (&Place, &mut Node) =
        if first == Side::Winner { (&net.a, &mut b) } else { (&net.b, &mut a) };
    listener.process().stop().unwrap();
    away.cable.heal().unwrap();
    let heard = net.advertises(speaker, 1);
    listener.process().resume().unwrap();
    assert!(heard);

    assert!(net.only(&net.a, SETTLED_WITHIN), "{:#?} {:#?}", a.log().lines(), b.log().lines());
    assert!(b.log().wait_for(PATIENCE, "Active -> Backup: 192.0.2.1 won the election"), "{:#?}", b.log().lines());
    assert!(net.client_follows_to(&net.a), "the client was not told who won");
    assert!(wait_until(PATIENCE, || net.advertises(&net.a, 3)) && net.a.has(VIP.into()) && !net.b.has(VIP.into()));
    assert_eq!(a.log().matching(" -> ").len(), 2, "the winner never left: {:#?}", a.log().lines());
}
