//! Both BACKUP with equal priority.

use std::time::Duration;

use crate::common::in_parallel;
use crate::master_backup::site;
use crate::node::{Kind, Node, PAIRS, file};

const INTERVALS: Duration = Duration::from_secs(7);

#[test]
fn the_first_up_serves_and_nothing_switches_back() {
    in_parallel(PAIRS.map(|(name, kinds)| (name.to_owned(), kinds)), |kinds: [Kind; 2]| {
        let Some(site) = site() else { return };
        let text = [file("backup-backup", "node1.conf"), file("backup-backup", "node2.conf")];
        let start = |host: usize| Node::start(kinds[host], &site.hosts[host], &text[host]);
        let _web = [site.listen(0, 80), site.listen(1, 80)];
        // The one with the lower address, which an election of equals would not choose.
        let mut first = start(0);
        site.wait_for_holders(&[0]);
        let mut second = start(1);
        site.stays_with(&[0], INTERVALS);
        first.terminate();
        site.wait_for_holders(&[1]);
        first = start(0);
        site.stays_with(&[1], INTERVALS);
        site.only_one_advertises(INTERVALS);
        second.terminate();
        site.wait_for_holders(&[0]);
        first.terminate();
    });
}
