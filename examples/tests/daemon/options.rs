//! What the options of the daemon bring about, as far as no other test needs them.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_net::netlink::Scope;

use crate::common::{PATIENCE, TempDir, wait_until};
use crate::network::{Network, VIP, undisturbed};

const KEY: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

#[test]
fn an_interface_that_is_tracked_lowers_the_priority_by_its_weight_while_it_is_down() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let uplink = net.a.host.attach(&net.lan, "eth1", &[]).expect("an interface");
        let a = net.a.start(150, "100ms", &["--track-interface", "eth1 weight -60"]);
        assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
        let b = net.b.start(100, "100ms", &[]);
        assert!(b.log().wait_for(PATIENCE, "-> Backup"));

        uplink.cut().expect("cut");
        assert!(net.only(&net.b, PATIENCE), "{:#?} {:#?}", a.log().lines(), b.log().lines());
        assert!(net.adverts_of(&net.a).iter().any(|advert| advert.priority == 90));
        uplink.heal().expect("heal");
        assert!(net.only(&net.a, PATIENCE), "{:#?} {:#?}", a.log().lines(), b.log().lines());
        assert!(net.client_follows_to(&net.a));
    });
}

#[test]
fn signed_advertisements_are_heard_by_those_with_the_key_alone() {
    undisturbed(|| {
        let Some(net) = Network::new() else { return };
        let folder = TempDir::new();
        let key = folder.write("key", KEY).display().to_string();
        let a = net.a.start(150, "100ms", &["--hmac-key-file", &key]);
        assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
        let mut b = net.b.start(100, "100ms", &["--hmac-key-file", &key]);
        assert!(b.log().wait_for(PATIENCE, "-> Backup"), "{:#?}", b.log().lines());
        // Longer than an Active_Down_Interval.
        std::thread::sleep(Duration::from_millis(700));
        assert!(net.a.has(VIP.into()) && !net.b.has(VIP.into()), "{:#?}", b.log().lines());
        assert!(b.terminate().success());

        // It would take over, and neither it nor the other one believes what it hears.
        let stranger = net.b.start(200, "100ms", &[]);
        assert!(stranger.log().wait_for(PATIENCE, "-> Active"), "{:#?}", stranger.log().lines());
        assert!(stranger.log().wait_for(PATIENCE, "192.0.2.1 is rejected"), "{:#?}", stranger.log().lines());
        assert!(a.log().wait_for(PATIENCE, "192.0.2.2 is rejected"), "{:#?}", a.log().lines());
        assert!(net.a.has(VIP.into()));
        assert_eq!(a.log().matching(" -> ").len(), 2, "{:#?}", a.log().lines());
    });
}

#[test]
fn addresses_are_installed_as_they_are_written_and_the_excluded_ones_are_not_advertised() {
    let Some(net) = Network::new() else { return };
    net.a.host.attach(&net.lan, "eth1", &[]).expect("an interface");
    let more = ["--excluded-address", "198.51.100.1/24 dev eth1 label eth1:vip", "--announce-repeat", "1"];
    let mut a = net.a.start_with(&["192.0.2.100/32 scope link"], 150, "100ms", &more);
    let excluded: IpAddr = [198, 51, 100, 1].into();
    assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
    assert!(wait_until(PATIENCE, || net.a.has(excluded)), "{:#?}", a.log().lines());

    let installed = net.a.host.addresses().expect("a list of addresses");
    let find = |address| installed.iter().find(|it| it.address == address).expect("an installed address");
    let eth1 = net.a.host.link("eth1").expect("eth1").index;
    assert_eq!((find(excluded).interface, find(excluded).prefix_len), (eth1, 24));
    assert_eq!(find(excluded).label.as_deref(), Some("eth1:vip"));
    assert_eq!((find(VIP.into()).interface, find(VIP.into()).scope), (net.a.cable.index(), Scope::Link));
    assert!(net.advertises(&net.a, 1));
    assert!(net.adverts_of(&net.a).iter().all(|advert| advert.addresses == [IpAddr::from(VIP)]));

    assert!(a.terminate().success());
    assert!(!net.a.has(VIP.into()) && !net.a.has(excluded));
}
