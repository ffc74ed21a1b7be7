//! Two hosts with unicast peers, both `state BACKUP` and `nopreempt`, with a password.

use std::time::Duration;

use crate::common::in_parallel;
use crate::node::{Kind, Node, PAIRS, file};
use crate::site::Site;

const INTERVALS: Duration = Duration::from_secs(5);

fn site() -> Option<Site> {
    Site::new("ens192", &["172.18.5.144/24", "172.18.5.145/24"], "172.18.5.148")
}

#[test]
fn the_survivor_takes_the_address_and_the_better_one_stays_backup_when_it_returns() {
    in_parallel(PAIRS.map(|(name, kinds)| (name.to_owned(), kinds)), |kinds: [Kind; 2]| {
        let Some(site) = site() else { return };
        let text = [file("unicast-nopreempt", "node1.conf"), file("unicast-nopreempt", "node2.conf")];
        let start = |host: usize| Node::start(kinds[host], &site.hosts[host], &text[host]);
        let mut first = start(0);
        site.wait_for_holders(&[0]);
        let mut second = start(1);
        site.only_one_advertises(INTERVALS);
        site.wait_for_holders(&[0]);
        // What is sent is as the file says.
        let advert = site.adverts().pop().expect("an advertisement");
        assert_eq!((advert.version, advert.vrid, advert.priority), (2, 147, 100));
        assert_eq!((advert.auth_type, advert.auth_data), (Some(1), Some(*b"123789\0\0")));
        assert_eq!(advert.interval, Duration::from_secs(1));

        // The process is killed, and comes back.
        first.kill();
        // A dead keepalived leaves its address behind.
        site.wait_for_holders(if kinds[0] == Kind::Real { &[0, 1] } else { &[1] });
        first = start(0);
        site.wait_for_holders(&[1]);
        site.stays_with(&[1], INTERVALS);

        // An orderly restart.
        second.terminate();
        site.wait_for_holders(&[0]);
        second = start(1);
        site.stays_with(&[0], INTERVALS);

        // The host is off: its cable is dead and so is its process.
        site.interfaces[0].cut().unwrap();
        site.wait_for_holders(&[1]);
        first.kill();
        site.interfaces[0].heal().unwrap();
        first = start(0);
        site.stays_with(&[1], INTERVALS);
        first.terminate();
        second.terminate();
        site.wait_for_holders(&[]);
    });
}

#[test]
fn two_that_do_not_hear_each_other_say_so_when_they_do() {
    let Some(site) = site() else { return };
    let text = [file("unicast-nopreempt", "node1.conf"), file("unicast-nopreempt", "node2.conf")];
    let first = Node::start(Kind::Ours, &site.hosts[0], &text[0]);
    site.wait_for_holders(&[0]);
    // A firewall on the first host drops what comes in: it hears nobody, but is heard until it is muted too.
    site.interfaces[1].deafen().unwrap();
    let second = Node::start(Kind::Ours, &site.hosts[1], &text[1]);
    site.wait_for_holders(&[0, 1]);
    // The first hears a rival that does not yield, and tells which.
    first.says("172.18.5.145");
    site.interfaces[1].heal().unwrap();
    site.wait_for_holders(&[0]);
    drop(second);
}
