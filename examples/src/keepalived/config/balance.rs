//! `virtual_server`, `virtual_server_group` and `real_server`: what IPVS balances.

use std::net::IpAddr;
use std::num::NonZeroU16;

use serde::Serialize;
use vrrp_ipvs::check::dns::Dns;
use vrrp_ipvs::check::smtp::Smtp;
use vrrp_ipvs::check::udp::Udp;
use vrrp_ipvs::service::FrontendRange;
use vrrp_ipvs::{Forwarding, PersistenceEngine, Protocol, Scheduler, SchedulerFlags, Tunnel, TunnelChecksum};

use super::checker::{Checker, Question, Timing, checker};
use super::value::{Name, Script};
use crate::keepalived::diagnostic::{Diagnostic, nearest};
use crate::keepalived::entry::Entry;
use crate::keepalived::keyword::{Keyword, read, unsupported, unsupported_block};

/// A service that is balanced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VirtualServer {
    /// Where clients reach it.
    pub frontend: Frontend,
    /// How a server is chosen. Default: as keepalived's, which is `wlc`.
    pub lvs_sched: Option<Scheduler>,
    /// What else the scheduler is told.
    pub scheduler_flags: SchedulerFlags,
    /// Every UDP packet is a connection of its own.
    pub ops: bool,
    /// How packets get to its servers. Default: NAT.
    pub lvs_method: Forwarding,
    /// What else than the address tells clients apart.
    pub persistence_engine: Option<PersistenceEngine>,
    /// How long a client keeps its server; `None` and 0: not at all.
    pub persistence_timeout: Option<u32>,
    /// Which clients count as one: a netmask, or the length of a prefix.
    pub persistence_granularity: Option<Granularity>,
    /// Its protocol. Default: as keepalived's, which is UDP.
    pub protocol: Option<Protocol>,
    /// Its checks rest while its address is not here.
    pub ha_suspend: bool,
    /// Mails are sent; `None`: as `global_defs` says, and if that says nothing they are not.
    pub smtp_alert: Option<bool>,
    /// The `Host` of its HTTP checks.
    pub virtualhost: Option<String>,
    /// Stopping says that its servers are down.
    pub omega: bool,
    /// How much weight its live servers must have together. Default: 1.
    pub quorum: u32,
    /// By how much more to gain it, and less to lose it. Default: 0.
    pub hysteresis: u32,
    /// Runs when the quorum is there.
    pub quorum_up: Option<Script>,
    /// Runs when it is lost.
    pub quorum_down: Option<Script>,
    /// The family of a mark: whether it is IPv6.
    pub ip_family: Option<IpFamily>,
    /// Who serves while the quorum is lost.
    pub sorry_server: Option<SorryServer>,
    /// When its servers are checked.
    pub timing: Timing,
    /// A server that is down stays, with weight 0.
    pub inhibit_on_failure: bool,
    /// The weight of servers that have none. Default: 1.
    pub weight: Option<u32>,
    /// Its servers.
    pub real_servers: Vec<RealServer>,
    /// Where it stands.
    #[serde(skip)]
    pub span: crate::keepalived::source::Span,
}

/// Where clients reach a virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Frontend {
    /// An address and a port; without a port, all of them.
    Address(IpAddr, Option<u16>),
    /// A firewall mark.
    Mark(u32),
    /// A `virtual_server_group`.
    Group(Name),
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IpFamily {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

/// Which clients count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// Under an IPv4 netmask.
    Netmask(std::net::Ipv4Addr),
    /// By so many first bits.
    Prefix(u8),
}

/// Who serves while the quorum is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SorryServer {
    /// Its address.
    pub address: IpAddr,
    /// Its port; `None`: the virtual server's.
    pub port: Option<u16>,
    /// While it is not needed it stays, with weight 0.
    pub inhibit: bool,
    /// How packets get there; `None`: as to the others.
    pub lvs_method: Option<Forwarding>,
}

/// One who serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RealServer {
    /// Its address.
    pub address: IpAddr,
    /// Its port; `None`: the virtual server's.
    pub port: Option<u16>,
    /// How much it takes, beside the others; `None`: as the virtual server says.
    pub weight: Option<u32>,
    /// How packets get there; `None`: as the virtual server says.
    pub lvs_method: Option<Forwarding>,
    /// Runs when it is up.
    pub notify_up: Option<Script>,
    /// Runs when it is down.
    pub notify_down: Option<Script>,
    /// Most connections.
    pub uthreshold: Option<u32>,
    /// Below which it takes connections again.
    pub lthreshold: Option<u32>,
    /// Mails are sent; `None`: as `global_defs` says, and if that says nothing they are.
    pub smtp_alert: Option<bool>,
    /// The `Host` of its HTTP checks.
    pub virtualhost: Option<String>,
    /// When it is checked.
    pub timing: Timing,
    /// While it is down it stays, with weight 0; `None`: as the virtual server says.
    pub inhibit_on_failure: Option<bool>,
    /// Its checks.
    pub checkers: Vec<Checker>,
    /// Where it stands.
    #[serde(skip)]
    pub span: crate::keepalived::source::Span,
}

/// Addresses, ports and marks that are balanced together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VirtualServerGroup {
    /// Its name.
    pub name: Name,
    /// What is in it.
    pub ranges: Vec<FrontendRange>,
}

/// What `SSL` says: the certificate that checks show.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Ssl {
    /// The file of the certificates that are trusted.
    pub ca: Option<Name>,
    /// That of ours.
    pub certificate: Option<Name>,
    /// That of our key.
    pub key: Option<Name>,
}

/// Reads a `virtual_server`, from after the keyword.
pub(super) fn virtual_server(entry: &mut Entry<'_>) -> Result<VirtualServer, Diagnostic> {
    let span = entry.span();
    let frontend = if entry.optional_word("group") {
        Frontend::Group(entry.name("the name of a virtual_server_group")?)
    } else if entry.optional_word("fwmark") {
        Frontend::Mark(entry.number(1..=i64::from(u32::MAX))?)
    } else {
        let address = entry.address()?;
        Frontend::Address(address, optional_port(entry)?)
    };
    let mut server = VirtualServer {
        frontend,
        lvs_sched: None,
        scheduler_flags: SchedulerFlags::default(),
        ops: false,
        lvs_method: Forwarding::default(),
        persistence_engine: None,
        persistence_timeout: None,
        persistence_granularity: None,
        protocol: None,
        ha_suspend: false,
        smtp_alert: None,
        virtualhost: None,
        omega: false,
        quorum: 1,
        hysteresis: 0,
        quorum_up: None,
        quorum_down: None,
        ip_family: None,
        sorry_server: None,
        timing: Timing::default(),
        inhibit_on_failure: false,
        weight: None,
        real_servers: Vec::new(),
        span,
    };
    entry.block(&[VIRTUAL_SERVER], "virtual_server", &mut server)?;
    if server.hysteresis >= server.quorum {
        let message = format!("hysteresis {} is not below the quorum of {}", server.hysteresis, server.quorum);
        return Err(Diagnostic::error(span, message));
    }
    Ok(server)
}

/// Reads a `virtual_server_group`, from after the keyword.
pub(super) fn virtual_server_group(entry: &mut Entry<'_>) -> Result<VirtualServerGroup, Diagnostic> {
    let name = entry.name("the name of the group")?;
    let ranges = entry.list(|line| {
        let mut words = Vec::new();
        let first = line.word("an address with a port")?.span;
        words.push(line.last_text());
        while !line.is_over() {
            line.optional();
            words.push(line.last_text());
        }
        let span = first.to(line.last_span());
        words.join(" ").parse::<FrontendRange>().map_err(|error| Diagnostic::error(span, error.to_string()))
    })?;
    Ok(VirtualServerGroup { name, ranges })
}

/// The port of a virtual server may be left out, and 0 says the same.
fn optional_port(entry: &mut Entry<'_>) -> Result<Option<u16>, Diagnostic> {
    if entry.is_over() {
        return Ok(None);
    }
    Ok(Some(entry.number(0..=65_535)?).filter(|port| *port != 0))
}

const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "sh", "mh", "dh", "fo", "ovf", "lblcr", "sed", "nq", "twos"];

const VIRTUAL_SERVER: &[Keyword<VirtualServer>] = &[
    unsupported(&["hashed"], "the kernel has no such flag for others to set"),
    read(&["lvs_sched", "lb_algo"], |server, entry| {
        let word = entry.word("the name of a scheduler")?;
        if !SCHEDULERS.contains(&word.text.as_str()) {
            let known = SCHEDULERS.join(", ");
            let wrong = entry.wrong(format!("{:?} is not one of {known}", word.text));
            return Err(match nearest(&word.text, SCHEDULERS) {
                Some(near) => wrong.with_help(format!("did you mean {near}?")),
                None => wrong,
            });
        }
        server.lvs_sched = Some(Scheduler::new(&word.text).map_err(|error| entry.wrong(error.to_string()))?);
        Ok(())
    }),
    read(&["flag-1", "sh-fallback", "mh-fallback"], |server, _| {
        server.scheduler_flags.flag_1 = true;
        Ok(())
    }),
    read(&["flag-2", "sh-port", "mh-port"], |server, _| {
        server.scheduler_flags.flag_2 = true;
        Ok(())
    }),
    read(&["flag-3"], |server, _| {
        server.scheduler_flags.flag_3 = true;
        Ok(())
    }),
    read(&["ops"], |server, _| {
        server.ops = true;
        Ok(())
    }),
    read(&["lvs_method", "lb_kind"], |server, entry| {
        server.lvs_method = forwarding(entry)?;
        Ok(())
    }),
    read(&["persistence_engine"], |server, entry| {
        let name = entry.text("the name of a persistence engine")?;
        let engine = PersistenceEngine::new(name).map_err(|error| entry.wrong(error.to_string()))?;
        server.persistence_engine = Some(engine);
        Ok(())
    }),
    read(&["persistence_timeout"], |server, entry| {
        // Six minutes, as keepalived's.
        server.persistence_timeout = Some(if entry.is_over() { 360 } else { entry.number(0..=2_678_400)? });
        Ok(())
    }),
    read(&["persistence_granularity"], |server, entry| {
        let word = entry.word("a netmask")?;
        let mask = word.text.parse().map(Granularity::Netmask).ok();
        let prefix = || word.text.parse().ok().filter(|bits| (1..=128).contains(bits)).map(Granularity::Prefix);
        let wrong = || entry.wrong(format!("{:?} is no netmask, as 255.255.255.0 or 64", word.text));
        server.persistence_granularity = Some(mask.or_else(prefix).ok_or_else(wrong)?);
        Ok(())
    }),
    read(&["protocol"], |server, entry| {
        let protocols = [("TCP", Protocol::Tcp), ("UDP", Protocol::Udp), ("SCTP", Protocol::Sctp)];
        server.protocol = Some(entry.one_of(&protocols)?);
        Ok(())
    }),
    read(&["ha_suspend"], |server, _| {
        server.ha_suspend = true;
        Ok(())
    }),
    read(&["smtp_alert"], |server, entry| {
        server.smtp_alert = Some(entry.boolean()?);
        Ok(())
    }),
    read(&["virtualhost"], |server, entry| {
        server.virtualhost = Some(entry.text("a name")?);
        Ok(())
    }),
    read(&["omega"], |server, _| {
        server.omega = true;
        Ok(())
    }),
    read(&["quorum"], |server, entry| {
        server.quorum = entry.number(1..=2_147_483_647)?;
        Ok(())
    }),
    read(&["hysteresis"], |server, entry| {
        server.hysteresis = entry.number(0..=2_147_483_647)?;
        Ok(())
    }),
    read(&["quorum_up"], |server, entry| {
        server.quorum_up = Some(entry.script()?);
        Ok(())
    }),
    read(&["quorum_down"], |server, entry| {
        server.quorum_down = Some(entry.script()?);
        Ok(())
    }),
    read(&["ip_family"], |server, entry| {
        server.ip_family = Some(entry.one_of(&[("inet", IpFamily::Inet), ("inet6", IpFamily::Inet6)])?);
        Ok(())
    }),
    read(&["sorry_server"], |server, entry| {
        let address = entry.address()?;
        let port = optional_port(entry)?;
        server.sorry_server = Some(SorryServer { address, port, inhibit: false, lvs_method: None });
        Ok(())
    }),
    read(&["sorry_server_inhibit"], |server, entry| {
        sorry_server(server, entry)?.inhibit = true;
        Ok(())
    }),
    read(&["sorry_server_lvs_method"], |server, entry| {
        let method = forwarding(entry)?;
        sorry_server(server, entry)?.lvs_method = Some(method);
        Ok(())
    }),
    read(&["delay_loop"], |server, entry| server.timing.read(entry)),
    read(&["connect_timeout"], |server, entry| server.timing.read(entry)),
    read(&["retry"], |server, entry| server.timing.read(entry)),
    read(&["delay_before_retry"], |server, entry| server.timing.read(entry)),
    read(&["warmup"], |server, entry| server.timing.read(entry)),
    read(&["alpha"], |server, entry| server.timing.read(entry)),
    read(&["inhibit_on_failure"], |server, entry| {
        server.inhibit_on_failure = entry.boolean()?;
        Ok(())
    }),
    read(&["weight"], |server, entry| {
        server.weight = Some(entry.number(0..=65_535)?);
        Ok(())
    }),
    read(&["real_server"], |server, entry| {
        server.real_servers.push(real_server(entry)?);
        Ok(())
    }),
    unsupported(&["snmp_name"], "the status socket has the names of the configuration"),
];

/// What is said about a sorry server comes after it.
fn sorry_server<'a>(server: &'a mut VirtualServer, entry: &Entry<'_>) -> Result<&'a mut SorryServer, Diagnostic> {
    let missing =
        || Diagnostic::error(entry.span(), "there is no sorry_server yet").with_help("put sorry_server before it");
    server.sorry_server.as_mut().ok_or_else(missing)
}

/// `NAT`, `DR`, or `TUN` with what packets are wrapped into.
fn forwarding(entry: &mut Entry<'_>) -> Result<Forwarding, Diagnostic> {
    let kind = entry.one_of(&[("NAT", 0), ("DR", 1), ("TUN", 2)])?;
    match kind {
        0 => return Ok(Forwarding::Masquerade),
        1 => return Ok(Forwarding::Direct),
        _ if entry.is_over() => return Ok(Forwarding::Tunnel(Tunnel::Ipip)),
        _ => entry.one_of(&[("type", ())])?,
    }
    let (is_gue, is_gre) = entry.one_of(&[("ipip", (false, false)), ("gue", (true, false)), ("gre", (false, true))])?;
    let port = if is_gue {
        entry.one_of(&[("port", ())])?;
        NonZeroU16::new(entry.port()?)
    } else {
        None
    };
    let checksum = if entry.is_over() {
        TunnelChecksum::None
    } else {
        entry.one_of(&[
            ("nocsum", TunnelChecksum::None),
            ("csum", TunnelChecksum::Full),
            ("remcsum", TunnelChecksum::Remote),
        ])?
    };
    match (port, is_gre, checksum) {
        (Some(port), _, checksum) => Ok(Forwarding::Tunnel(Tunnel::Gue { port, checksum })),
        (None, true, TunnelChecksum::Remote) => Err(entry.wrong("remcsum is for gue alone")),
        (None, true, checksum) => Ok(Forwarding::Tunnel(Tunnel::Gre { checksum: checksum == TunnelChecksum::Full })),
        (None, false, TunnelChecksum::None) => Ok(Forwarding::Tunnel(Tunnel::Ipip)),
        (None, false, _) => Err(entry.wrong("ipip has no checksum")),
    }
}

fn real_server(entry: &mut Entry<'_>) -> Result<RealServer, Diagnostic> {
    let mut server = RealServer {
        address: entry.address()?,
        port: optional_port(entry)?,
        weight: None,
        lvs_method: None,
        notify_up: None,
        notify_down: None,
        uthreshold: None,
        lthreshold: None,
        smtp_alert: None,
        virtualhost: None,
        timing: Timing::default(),
        inhibit_on_failure: None,
        checkers: Vec::new(),
        span: entry.span(),
    };
    entry.block(&[REAL_SERVER], "real_server", &mut server)?;
    Ok(server)
}

macro_rules! check {
    ($name:literal, $question:expr) => {
        read(&[$name], |server: &mut RealServer, entry| {
            server.checkers.push(checker($question, entry)?);
            Ok(())
        })
    };
}

const REAL_SERVER: &[Keyword<RealServer>] = &[
    read(&["weight"], |server, entry| {
        server.weight = Some(entry.number(0..=65_535)?);
        Ok(())
    }),
    read(&["lvs_method"], |server, entry| {
        server.lvs_method = Some(forwarding(entry)?);
        Ok(())
    }),
    read(&["notify_up"], |server, entry| {
        server.notify_up = Some(entry.script()?);
        Ok(())
    }),
    read(&["notify_down"], |server, entry| {
        server.notify_down = Some(entry.script()?);
        Ok(())
    }),
    read(&["uthreshold"], |server, entry| {
        server.uthreshold = Some(entry.number(0..=i64::from(u32::MAX))?);
        Ok(())
    }),
    read(&["lthreshold"], |server, entry| {
        server.lthreshold = Some(entry.number(0..=i64::from(u32::MAX))?);
        Ok(())
    }),
    read(&["smtp_alert"], |server, entry| {
        server.smtp_alert = Some(entry.boolean()?);
        Ok(())
    }),
    read(&["virtualhost"], |server, entry| {
        server.virtualhost = Some(entry.text("a name")?);
        Ok(())
    }),
    read(&["alpha"], |server, entry| server.timing.read(entry)),
    read(&["connect_timeout"], |server, entry| server.timing.read(entry)),
    read(&["retry"], |server, entry| server.timing.read(entry)),
    read(&["delay_before_retry"], |server, entry| server.timing.read(entry)),
    read(&["warmup"], |server, entry| server.timing.read(entry)),
    read(&["delay_loop"], |server, entry| server.timing.read(entry)),
    read(&["inhibit_on_failure"], |server, entry| {
        server.inhibit_on_failure = Some(entry.boolean()?);
        Ok(())
    }),
    check!("HTTP_GET", Question::Http(super::checker::http())),
    check!("SSL_GET", Question::Https { http: super::checker::http(), enable_sni: false }),
    check!("TCP_CHECK", Question::Tcp),
    check!("SMTP_CHECK", Question::Smtp(Smtp::default())),
    check!("DNS_CHECK", Question::Dns(Dns::default())),
    check!("MISC_CHECK", Question::Misc { path: None, timeout: None, dynamic: false }),
    check!("UDP_CHECK", Question::Udp(Udp::default())),
    check!("PING_CHECK", Question::Ping),
    check!("FILE_CHECK", Question::File { track_file: None, weight: None, dynamic: false }),
    unsupported_block(&["BFD_CHECK"], super::BFD, &["name"]),
    unsupported(&["snmp_name"], "the status socket has the names of the configuration"),
];

pub(super) const SSL: &[Keyword<Ssl>] = &[
    read(&["ca"], |ssl, entry| {
        ssl.ca = Some(entry.name("the name of a file")?);
        Ok(())
    }),
    read(&["certificate"], |ssl, entry| {
        ssl.certificate = Some(entry.name("the name of a file")?);
        Ok(())
    }),
    read(&["key"], |ssl, entry| {
        ssl.key = Some(entry.name("the name of a file")?);
        Ok(())
    }),
    unsupported(&["password"], "use a key without a password, that only root can read"),
];
