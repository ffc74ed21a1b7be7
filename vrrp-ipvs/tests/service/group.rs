//! Virtual server groups in keepalived's notation.

use vrrp_ipvs::service::{Family, Frontend, FrontendRange, Group};

fn frontends(line: &str) -> Vec<String> {
    let range: FrontendRange = line.parse().unwrap();
    let show = |frontend| match frontend {
        Frontend::Address(address, port) => format!("{address} {port}"),
        Frontend::Mark(mark, family) => format!("{mark} {family:?}"),
    };
    range.frontends().map(show).collect()
}

#[test]
fn an_address_is_one_service() {
    assert_eq!(frontends("192.0.2.1 80"), ["192.0.2.1 80"]);
    assert_eq!(frontends("2001:db8::1 443"), ["2001:db8::1 443"]);
    // Every port: the virtual server must be persistent.
    assert_eq!(frontends("192.0.2.1"), ["192.0.2.1 0"]);
}

#[test]
fn a_range_has_both_its_ends() {
    let ten = frontends("192.168.200.1-10 80");
    assert_eq!((ten.len(), &*ten[0], &*ten[9]), (10, "192.168.200.1 80", "192.168.200.10 80"));
    let across = frontends("192.168.200.250-192.168.201.10 80");
    assert_eq!((across.len(), &*across[6]), (17, "192.168.201.0 80"));
    let eight = frontends("192.168.202.9/29");
    assert_eq!((eight.len(), &*eight[0], &*eight[7]), (8, "192.168.202.8 0", "192.168.202.15 0"));
    let hexadecimal = frontends("2001:db8::1-1f 443");
    assert_eq!((hexadecimal.len(), &*hexadecimal[30]), (31, "2001:db8::1f 443"));
    assert_eq!(frontends("2001:db8::/112").len(), 65_536);
}

#[test]
fn a_mark_has_a_family() {
    assert_eq!(frontends("fwmark 5"), ["5 Inet"]);
    assert_eq!(frontends("fwmark 4294967295 inet6"), ["4294967295 Inet6"]);
}

#[test]
fn a_line_that_says_nothing_names_what_is_wrong() {
    for (line, problem) in [
        ("", "is no address with a port: ADDRESS [PORT], or fwmark NUMBER"),
        ("192.0.2.1 80 tcp", "is no address with a port: ADDRESS [PORT], or fwmark NUMBER"),
        ("192.0.2 80", "has no address"),
        ("192.0.2.1 65536", "has no port of 0..=65535"),
        ("192.0.2.1-x 80", "has no last address"),
        ("192.0.2.1-256 80", "has no last address"),
        ("192.0.2.9-1 80", "ends before it begins"),
        ("192.0.2.9-2001:db8::1 80", "ends before it begins"),
        ("192.0.2.0/33", "has no prefix length"),
        ("10.0.0.0/8", "has more than 65536 addresses"),
        ("0.0.0.0/0", "has more than 65536 addresses"),
        ("::/0", "has more than 65536 addresses"),
        ("2001:db8::-ffff:ffff:ffff::", "has more than 65536 addresses"),
        ("fwmark", "is no firewall mark: fwmark NUMBER [inet|inet6]"),
        ("fwmark 0", "has no firewall mark of 1..=4294967295"),
        ("fwmark 5 inet7", "is no firewall mark: fwmark NUMBER [inet|inet6]"),
    ] {
        let error = line.parse::<FrontendRange>().unwrap_err();
        assert_eq!(error.to_string(), format!("{line:?} {problem}"));
    }
}

#[test]
fn a_group_has_each_service_once_in_order() {
    let lines = ["192.0.2.2-3 80", "192.0.2.1-2 80", "192.0.2.2 81", "fwmark 1", "fwmark 1 inet6", "fwmark 1"];
    let group = Group(lines.iter().map(|line| line.parse().unwrap()).collect());
    let address = |text: &str, port| Frontend::Address(text.parse().unwrap(), port);
    let expected = [
        address("192.0.2.2", 80),
        address("192.0.2.3", 80),
        address("192.0.2.1", 80),
        address("192.0.2.2", 81),
        Frontend::Mark(1, Family::Inet),
        Frontend::Mark(1, Family::Inet6),
    ];
    assert_eq!(group.frontends(), expected);
}

#[test]
fn what_is_written_out_is_read_back() {
    for line in ["192.0.2.1 80", "192.0.2.1-192.0.2.9 0", "2001:db8::-2001:db8::ff 443", "fwmark 7", "fwmark 7 inet6"] {
        assert_eq!(line.parse::<FrontendRange>().unwrap().to_string(), line);
    }
}
