//! IPv6 by unicast between addresses that are not link-local, as clouds have it.

use std::time::Duration;

use crate::common::{in_parallel, tool};
use crate::node::{Kind, Node, PAIRS};
use crate::site::Site;

fn text(own: u8, peer: u8, priority: u8, with_source: bool) -> String {
    let source = if with_source { format!("unicast_src_ip 2001:db8::{own}\n") } else { String::new() };
    format!(
        "vrrp_instance VI_6 {{\n state BACKUP\n interface eth0\n virtual_router_id 71\n version 3\n priority {priority}\n\
         {source} unicast_peer {{\n 2001:db8::{peer}\n }}\n virtual_ipaddress {{\n 2001:db8::100/64\n }}\n}}\n"
    )
}

#[test]
fn hosts_that_speak_from_global_addresses_hear_each_other_and_one_takes_over() {
    if tool("keepalived", "keepalived").is_none() {
        return;
    }
    // A real one without a source speaks from whatever the kernel takes.
    let silent = ("ours without a source, ours", ([Kind::Ours, Kind::Ours], false));
    let cases = PAIRS.map(|(name, kinds)| (name, (kinds, true))).into_iter().chain([silent]);
    in_parallel(cases.map(|(name, case)| (name.to_owned(), case)), |(kinds, with_source)| {
        let addresses = ["2001:db8::1/64", "2001:db8::2/64"];
        let Some(site) = Site::new("eth0", &addresses, "2001:db8::100") else { return };
        let mut first = Node::start(kinds[0], &site.hosts[0], &text(1, 2, 150, with_source));
        site.wait_for_holders(&[0]);
        let mut second = Node::start(kinds[1], &site.hosts[1], &text(2, 1, 100, with_source));
        site.stays_with(&[0], Duration::from_secs(6));
        // IPv6 (its header is 14 octets into the frame) with protocol 112.
        let frames = site.capture.frames();
        let adverts: Vec<_> = frames.iter().filter(|it| it.bytes.get(20) == Some(&112)).collect();
        let source = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
        assert!(adverts.len() >= 3 && adverts.iter().all(|it| it.bytes.get(22..38) == Some(&source)), "{adverts:?}");
        first.terminate();
        site.wait_for_holders(&[1]);
        second.terminate();
    });
}
