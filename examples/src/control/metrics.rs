//! The state of a daemon as Prometheus reads it (text format 0.0.4).

use std::fmt::{Display, Write};

use vrrp_net::vrrp_core::Role;

use super::{Router, Status, VirtualServer};

/// The answer to an HTTP request: `GET /metrics` and nothing else.
pub(super) fn answer(head: &[u8], status: impl FnOnce() -> Status) -> Vec<u8> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let (line, kind, body) =
        match (request.parse(head).map(|parsed| parsed.is_complete()), request.method, request.path) {
            (Ok(true), Some("GET" | "HEAD"), Some(path)) if path.split('?').next() == Some("/metrics") => {
                ("200 OK", "text/plain; version=0.0.4; charset=utf-8", render(&status()))
            }
            (Ok(true), Some("GET" | "HEAD"), _) => {
                ("404 Not Found", "text/plain", "the metrics are at /metrics\n".to_owned())
            }
            (Ok(true), ..) => ("405 Method Not Allowed", "text/plain", "only GET /metrics\n".to_owned()),
            _ => ("400 Bad Request", "text/plain", "this is not HTTP\n".to_owned()),
        };
    let length = body.len();
    let body = if request.method == Some("HEAD") { String::new() } else { body };
    let head =
        format!("HTTP/1.1 {line}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head, body].concat().into_bytes()
}

/// A status in Prometheus' words.
pub fn render(status: &Status) -> String {
    let mut page = Page(String::new());
    page.family("vrrp_up_seconds", "gauge", "For how long the daemon has run.");
    page.value("vrrp_up_seconds", &[], status.up_seconds);
    page.family("vrrp_guarded", "gauge", "Whether a guardian looks after the addresses.");
    page.value("vrrp_guarded", &[], u8::from(status.guarded));
    page.family("vrrp_unclaimed_discards_total", "counter", "Packets for none of the virtual routers, by reason.");
    for (reason, count) in &status.discards {
        page.value("vrrp_unclaimed_discards_total", &[("reason", reason)], count);
    }
    roles(&mut page, &status.routers);
    for (name, kind, help, value) in ROUTER_VALUES {
        page.family(name, kind, help);
        for router in &status.routers {
            let vrid = router.status.vrid.to_string();
            page.value(name, &of(router, &vrid), value(router));
        }
    }
    page.family("vrrp_router_discards_total", "counter", "Packets that were discarded, by reason.");
    for router in &status.routers {
        let vrid = router.status.vrid.to_string();
        for (reason, count) in &router.status.counters.discards {
            let labels = [&of(router, &vrid)[..], &[("reason", reason.as_str())]].concat();
            page.value("vrrp_router_discards_total", &labels, count);
        }
    }
    page.family("vrrp_tracked_up", "gauge", "Whether a script, file or process that is watched is well.");
    for tracked in &status.tracked {
        if let Some(up) = tracked.up {
            page.value("vrrp_tracked_up", &[("name", &tracked.name), ("kind", &tracked.kind)], u8::from(up));
        }
    }
    balanced(&mut page, &status.virtual_servers);
    page.0
}

/// One for each role, so that a role can be counted over hosts without knowing numbers for names.
fn roles(page: &mut Page, routers: &[Router]) {
    const ROLES: [(Role, &str); 4] = [
        (Role::Initialize, "initialize"),
        (Role::Backup, "backup"),
        (Role::Claimant, "claimant"),
        (Role::Active, "active"),
    ];
    page.family("vrrp_router_role", "gauge", "1 for the role that a virtual router has.");
    for router in routers {
        let vrid = router.status.vrid.to_string();
        for (role, name) in ROLES {
            let labels = [&of(router, &vrid)[..], &[("role", name)]].concat();
            page.value("vrrp_router_role", &labels, u8::from(router.status.role == role));
        }
    }
}

fn of<'a>(router: &'a Router, vrid: &'a str) -> [(&'static str, &'a str); 4] {
    let family = if router.status.protocol.ends_with("IPv6") { "ipv6" } else { "ipv4" };
    [("name", &router.name), ("interface", &router.status.interface), ("vrid", vrid), ("family", family)]
}

/// Name, type, help and where it comes from.
type RouterValue = (&'static str, &'static str, &'static str, fn(&Router) -> f64);

#[rustfmt::skip]
const ROUTER_VALUES: [RouterValue; 21] = [
    ("vrrp_router_priority", "gauge", "Its priority in the election at present.", |it| it.status.priority.into()),
    ("vrrp_router_base_priority", "gauge", "Its configured priority.", |it| it.status.base_priority.into()),
    ("vrrp_router_paused", "gauge", "Whether it stays out of the election because somebody said so.", |it| f64::from(u8::from(it.paused))),
    ("vrrp_router_faults", "gauge", "How many faults keep it out of the election.", |it| count(it.status.faults.len())),
    ("vrrp_router_addresses", "gauge", "Its addresses.", |it| count(it.status.addresses.len())),
    ("vrrp_router_addresses_installed", "gauge", "Its addresses that are on this host.", |it| count(it.status.addresses.iter().filter(|it| it.installed).count())),
    ("vrrp_router_lateness_worst_seconds", "gauge", "The most that one of its deadlines was handled late.", |it| it.status.worst_lateness.as_secs_f64()),
    ("vrrp_router_late_timers_total", "counter", "Deadlines that were handled more than half an interval late.", |it| number(it.status.counters.late_timers)),
    ("vrrp_router_became_active_total", "counter", "How often it became Active.", |it| number(it.status.counters.became_active)),
    ("vrrp_router_adverts_sent_total", "counter", "Advertisements sent.", |it| number(it.status.counters.adverts_sent)),
    ("vrrp_router_adverts_received_total", "counter", "Advertisements accepted.", |it| number(it.status.counters.adverts_received)),
    ("vrrp_router_resignations_sent_total", "counter", "Advertisements of priority 0 sent.", |it| number(it.status.counters.resignations_sent)),
    ("vrrp_router_resignations_received_total", "counter", "Advertisements of priority 0 accepted.", |it| number(it.status.counters.resignations_received)),
    ("vrrp_router_rivals_seen_total", "counter", "Advertisements of another router that claims the role while this one has it.", |it| number(it.status.counters.rivals_seen)),
    ("vrrp_router_sends_failed_total", "counter", "Advertisements that could not be sent.", |it| number(it.status.counters.sends_failed)),
    ("vrrp_router_interval_errors_total", "counter", "Advertisements with another interval.", |it| number(it.status.counters.interval_errors)),
    ("vrrp_router_address_list_errors_total", "counter", "Advertisements with other addresses.", |it| number(it.status.counters.address_list_errors)),
    ("vrrp_router_checksum_errors_total", "counter", "Packets with a wrong checksum.", |it| number(it.status.counters.checksum_errors)),
    ("vrrp_router_version_errors_total", "counter", "Packets of another version.", |it| number(it.status.counters.version_errors)),
    ("vrrp_router_ip_ttl_errors_total", "counter", "Packets that came through a router.", |it| number(it.status.counters.ip_ttl_errors)),
    ("vrrp_router_packet_length_errors_total", "counter", "Packets of a wrong length.", |it| number(it.status.counters.packet_length_errors)),
];

fn balanced(page: &mut Page, servers: &[VirtualServer]) {
    page.family("vrrp_virtual_server_quorum", "gauge", "Whether enough of its real servers serve.");
    for server in servers {
        page.value("vrrp_virtual_server_quorum", &[("virtual_server", &server.name)], u8::from(server.quorum));
    }
    page.family("vrrp_virtual_server_sorry", "gauge", "Whether the sorry server takes the requests.");
    for server in servers {
        page.value("vrrp_virtual_server_sorry", &[("virtual_server", &server.name)], u8::from(server.sorry));
    }
    let real =
        || servers.iter().flat_map(|virtual_server| virtual_server.servers.iter().map(move |it| (virtual_server, it)));
    page.family("vrrp_real_server_up", "gauge", "Whether the checks of a real server say that it serves.");
    for (virtual_server, server) in real() {
        let address = server.address.to_string();
        let labels = [("virtual_server", virtual_server.name.as_str()), ("server", &address)];
        page.value("vrrp_real_server_up", &labels, u8::from(server.up));
    }
    page.family(
        "vrrp_real_server_weight",
        "gauge",
        "The weight of a real server; 0 while it takes no new connections.",
    );
    for (virtual_server, server) in real() {
        let address = server.address.to_string();
        let labels = [("virtual_server", virtual_server.name.as_str()), ("server", &address)];
        page.value("vrrp_real_server_weight", &labels, server.weight);
    }
}

/// Numbers are floating point in this format: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
fn number(value: u64) -> f64 {
    value as f64
}

fn count(value: usize) -> f64 {
    number(u64::try_from(value).unwrap_or(u64::MAX))
}

/// What is written so far.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if number == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}
