//! Priorities 100 and 99, a check that costs 2, `track_interface`, advertisements every 2 s.

use std::time::Duration;

use crate::common::in_parallel;
use crate::node::{Kind, Node, PAIRS, file};
use crate::site::Site;

const INTERVALS: Duration = Duration::from_secs(7);

pub(crate) fn site() -> Option<Site> {
    Site::new("eth0", &["192.168.10.11/24", "192.168.10.12/24"], "192.168.10.1")
}

#[test]
fn the_check_the_process_and_the_interface_each_move_the_address() {
    in_parallel(PAIRS.map(|(name, kinds)| (name.to_owned(), kinds)), |kinds: [Kind; 2]| {
        let Some(site) = site() else { return };
        let text = [file("master-backup", "node1.conf"), file("master-backup", "node2.conf")];
        let start = |host: usize| Node::start(kinds[host], &site.hosts[host], &text[host]);
        let (web, _other) = (site.listen(0, 80), site.listen(1, 80));
        let mut first = start(0);
        site.wait_for_holders(&[0]);
        let mut second = start(1);
        site.only_one_advertises(INTERVALS);
        site.wait_for_holders(&[0]);
        let advert = site.adverts().pop().expect("an advertisement");
        assert_eq!((advert.version, advert.vrid, advert.priority), (2, 81, 100));
        // A password has 8 octets, and the file's has 7.
        assert_eq!((advert.auth_type, advert.auth_data), (Some(1), Some(*b"pass123\0")));
        assert_eq!(advert.interval, Duration::from_secs(2));
        // With 24 bits, as the file says.
        let addresses = site.hosts[0].addresses().unwrap();
        assert!(addresses.iter().any(|it| it.address.to_string() == "192.168.10.1" && it.prefix_len == 24));

        // The check fails, and recovers.
        drop(web);
        site.wait_for_holders(&[1]);
        let _web = site.listen(0, 80);
        site.wait_for_holders(&[0]);

        // The process dies, and comes back.
        first.kill();
        // A dead keepalived leaves its address behind.
        site.wait_for_holders(if kinds[0] == Kind::Real { &[0, 1] } else { &[1] });
        first = start(0);
        site.wait_for_holders(&[0]);

        // The interface goes down: FAULT, and nothing is left on it.
        site.interfaces[0].cut().unwrap();
        site.wait_for_holders(&[1]);
        site.interfaces[0].heal().unwrap();
        site.wait_for_holders(&[0]);
        site.stays_with(&[0], INTERVALS);
        first.terminate();
        site.wait_for_holders(&[1]);
        second.terminate();
    });
}
