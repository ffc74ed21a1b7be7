//! The director's file: virtual servers as people write them down.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::Path;

use anyhow::Context;
use examples::settings::{Router, Span, read_toml};
use serde::Deserialize;
use vrrp_ipvs::check::http::{Http, Url};
use vrrp_ipvs::check::{Check, Probe, Schedule};
use vrrp_ipvs::director::{Config, Exception, Standby, Sync, VirtualServer};
use vrrp_ipvs::service::{self, FrontendRange, Group, RealServer, SorryServer};
use vrrp_ipvs::{Forwarding, Granularity, Persistence, Protocol, Scheduler, Tunnel, TunnelChecksum};
use vrrp_net::RouterConfig;
use vrrp_net::vrrp_core::track::Impact;

/// A director's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    /// The virtual router, with the names of `vrrpd`'s file.
    router: Router,
    /// What is balanced.
    #[serde(default)]
    virtual_server: Vec<Balanced>,
    /// Whether the Backup's table is `warm` (the default) or `cold`: empty.
    #[serde(default)]
    standby: Standby,
    /// Every service in the kernel's table is ours: at the start those are removed that are not in this file, which an
    /// earlier run has left that was killed [default: false].
    #[serde(default)]
    whole_table: bool,
    /// How long connections of a server that leaves may go on [default: 0].
    drain: Option<Span>,
    /// What a virtual server without its quorum costs of the priority: -30 [default: nothing].
    quorum_weight: Option<i16>,
    /// Connections go on after a takeover: both directors tell each other of them here.
    sync: Option<Sync>,
}

/// A virtual server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Balanced {
    /// Its name in the log.
    name: String,
    /// Where clients reach it: `192.0.2.100 80`, `192.0.2.100-103 443`, `fwmark 5`.
    at: Vec<FrontendRange>,
    /// tcp, udp or sctp [default: tcp].
    protocol: Option<Protocol>,
    /// rr, wrr, lc, wlc, sh, mh... [default: rr].
    #[serde(default)]
    scheduler: Scheduler,
    /// nat, direct, ipip, gre, or { gue = PORT } [default: nat].
    #[serde(default)]
    forwarding: Way,
    /// How long a client keeps its server, in whole seconds [default: it does not].
    persistence: Option<Span>,
    /// Its real servers.
    servers: Vec<Server>,
    /// Who serves while too few of them do.
    sorry_server: Option<Server>,
    /// How much weight must serve [default: 1].
    quorum: Option<u32>,
    /// By how much more to gain the quorum, and less to lose it [default: 0].
    #[serde(default)]
    hysteresis: u32,
    /// What is asked of the servers; without it they always serve.
    check: Option<Asked>,
}

/// How packets get to a server.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    #[default]
    Nat,
    Direct,
    Ipip,
    Gre,
    Gue(NonZeroU16),
}

/// A server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Server {
    address: SocketAddr,
    /// Its share beside the others [default: 1].
    weight: Option<u32>,
    /// As of the virtual server, for this one alone.
    forwarding: Option<Way>,
}

/// A check.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Asked {
    /// This path must be answered with a status of 200 to 299; without it and `probe` a connection is enough.
    http: Option<String>,
    /// Any other check, in the words of the library: `"ping"`, `{ dns = { name = "www.example", record = "A" } }`.
    probe: Option<Probe>,
    /// The host to ask for [default: the server's address].
    host: Option<String>,
    /// Between two attempts [default: 6s].
    every: Option<Span>,
    /// How long an attempt may take to connect, and again to be answered [default: 3s].
    timeout: Option<Span>,
    /// How often a failed attempt is made again, a second later [default: 1].
    retries: Option<u32>,
}

/// What a file says, as the libraries take it.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The virtual router.
    pub(crate) router: RouterConfig,
    /// What is behind it.
    pub(crate) director: Config,
    /// What a lost quorum does to the priority.
    pub(crate) quorum_impact: Option<Impact>,
    /// Nobody else has services in the kernel's table.
    pub(crate) whole_table: bool,
}

impl File {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// What is wrong with it, with the line or the name of the virtual server.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Settings> {
        read_toml::<Self>(path)?.settings().with_context(|| path.display().to_string())
    }

    fn settings(self) -> anyhow::Result<Settings> {
        let quorum_impact = match self.quorum_weight {
            Some(weight @ -253..=-1) => Some(Impact::Weight(weight)),
            Some(weight) => anyhow::bail!("quorum-weight {weight} is not -253..=-1: what a lost quorum costs"),
            None => None,
        };
        anyhow::ensure!(!self.virtual_server.is_empty(), "there is no [[virtual-server]]: there is nothing to balance");
        let director = Config {
            virtual_servers: self
                .virtual_server
                .into_iter()
                .map(|balanced| {
                    let name = balanced.name.clone();
                    balanced.virtual_server().with_context(|| format!("virtual server {name:?}"))
                })
                .collect::<anyhow::Result<_>>()?,
            standby: self.standby,
            drain: self.drain.map(|Span(span)| span).unwrap_or_default(),
            sync: self.sync,
            ..Config::default()
        };
        director.validate()?;
        let router = self.router.config().context("router")?;
        Ok(Settings { router, director, quorum_impact, whole_table: self.whole_table })
    }
}

impl Balanced {
    fn virtual_server(self) -> anyhow::Result<VirtualServer> {
        let exceptions = self.servers.iter().chain(&self.sorry_server).filter_map(Server::exception).collect();
        let real = |server: &Server| RealServer {
            weight: server.weight.unwrap_or(1),
            checks: self.check.iter().map(|asked| asked.check(server.address)).collect(),
            ..RealServer::new(server.address)
        };
        if let Some(Server { weight: Some(weight), address, .. }) = self.sorry_server {
            anyhow::bail!("weight {weight} of the sorry server {address} has no meaning: leave it out");
        }
        if let Some(Asked { http: Some(_), probe: Some(_), .. }) = &self.check {
            anyhow::bail!("http and probe are two checks: leave one out");
        }
        if let Some(Asked { probe: Some(Probe::Application), .. }) = &self.check {
            anyhow::bail!("probe \"application\" is for programs that know themselves how their servers are");
        }
        let pool = service::VirtualServer {
            servers: self.servers.iter().map(real).collect(),
            sorry_server: self.sorry_server.map(|Server { address, .. }| SorryServer { address, inhibit: false }),
            quorum: self.quorum.unwrap_or(1),
            hysteresis: self.hysteresis,
            ..service::VirtualServer::default()
        };
        for check in pool.servers.iter().flat_map(|server| &server.checks) {
            check.validate().with_context(|| format!("check of {}", check.target))?;
        }
        let persistence = self.persistence.map(|Span(span)| {
            let whole = u32::try_from(span.as_secs()).ok().filter(|_| span.subsec_nanos() == 0);
            let timeout_seconds = whole.with_context(|| format!("persistence {span:?} is not whole seconds"))?;
            anyhow::Ok(Persistence { timeout_seconds, granularity: Granularity::Host })
        });
        Ok(VirtualServer {
            protocol: self.protocol.unwrap_or(Protocol::Tcp),
            scheduler: self.scheduler,
            persistence: persistence.transpose()?,
            forwarding: self.forwarding.forwarding(),
            exceptions,
            ..VirtualServer::new(self.name, Group(self.at), pool)
        })
    }
}

impl Server {
    fn exception(&self) -> Option<Exception> {
        let forwarding = self.forwarding?.forwarding();
        Some(Exception { server: self.address, forwarding: Some(forwarding), upper_threshold: 0, lower_threshold: 0 })
    }
}

impl Way {
    const fn forwarding(self) -> Forwarding {
        match self {
            Self::Nat => Forwarding::Masquerade,
            Self::Direct => Forwarding::Direct,
            Self::Ipip => Forwarding::Tunnel(Tunnel::Ipip),
            Self::Gre => Forwarding::Tunnel(Tunnel::Gre { checksum: false }),
            Self::Gue(port) => Forwarding::Tunnel(Tunnel::Gue { port, checksum: TunnelChecksum::None }),
        }
    }
}

impl Asked {
    fn check(&self, target: SocketAddr) -> Check {
        let span =
            |given: Option<Span>, seconds| given.map_or(std::time::Duration::from_secs(seconds), |Span(span)| span);
        let probe = match (&self.probe, &self.http) {
            (Some(probe), _) => probe.clone(),
            (None, Some(path)) => {
                let page = Url { path: path.clone(), virtual_host: self.host.clone(), ..Url::default() };
                Probe::Http(Http { urls: vec![page], ..Http::default() })
            }
            (None, None) => Probe::Tcp,
        };
        let schedule = Schedule {
            delay_loop: span(self.every, 6),
            connect_timeout: span(self.timeout, 3),
            retry: Some(self.retries.unwrap_or(1)),
            delay_before_retry: Some(std::time::Duration::from_secs(1)),
            ..Schedule::default()
        };
        Check { schedule, ..Check::new(target, probe) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: &str = "[router]\ninterface = \"eth0\"\nvrid = 51\naddresses = [\"192.0.2.100\"]\n";

    fn parse(text: &str) -> anyhow::Result<Settings> {
        toml::from_str::<File>(text)?.settings()
    }

    fn with(head: &str, server: &str) -> anyhow::Result<Settings> {
        let name = "[[virtual-server]]\nname = \"web\"\nat = [\"192.0.2.100 80\"]\n";
        parse(&format!("{head}\n{ROUTER}{name}{server}"))
    }

    #[test]
    fn the_readme_s_file_is_read() {
        let readme = include_str!("../../../../README.md");
        let (_, rest) = readme.split_once("```toml\n# director.toml\n").expect("the README shows a file");
        let (text, _) = rest.split_once("```").unwrap();
        let Settings { director, quorum_impact, .. } = parse(text).unwrap();
        let [web] = &director.virtual_servers[..] else { panic!("{director:?}") };
        assert_eq!((web.name.as_str(), web.forwarding), ("web", Forwarding::Direct));
        assert_eq!(web.pool.servers.iter().map(|server| server.weight).collect::<Vec<_>>(), [3, 1]);
        assert!(matches!(web.pool.servers[1].checks[0].probe, Probe::Http(_)));
        assert_eq!(quorum_impact, Some(Impact::Weight(-60)));
    }

    #[test]
    fn each_way_to_a_server_has_its_word() {
        let way = |text: &str| {
            let server = format!("forwarding = {text}\nservers = [{{ address = \"10.0.0.1:80\" }}]");
            with("", &server).unwrap().director.virtual_servers[0].forwarding
        };
        assert_eq!(way("\"nat\""), Forwarding::Masquerade);
        assert_eq!(way("\"ipip\""), Forwarding::Tunnel(Tunnel::Ipip));
        assert_eq!(way("\"gre\""), Forwarding::Tunnel(Tunnel::Gre { checksum: false }));
        let port = NonZeroU16::new(6080).unwrap();
        assert_eq!(way("{ gue = 6080 }"), Forwarding::Tunnel(Tunnel::Gue { port, checksum: TunnelChecksum::None }));
    }

    #[test]
    fn a_server_of_its_own_way_is_an_exception() {
        let settings = with(
            "",
            "forwarding = \"direct\"\nservers = [{ address = \"10.0.0.1:80\" }]\n\
             sorry-server = { address = \"10.0.0.9:80\", forwarding = \"nat\" }",
        );
        let exceptions = settings.unwrap().director.virtual_servers[0].exceptions.clone();
        assert_eq!(exceptions.iter().map(|one| one.forwarding).collect::<Vec<_>>(), [Some(Forwarding::Masquerade)]);
    }

    #[test]
    fn every_kind_of_check_can_be_asked_for() {
        let server = |text: &str| with("", &format!("servers = [{{ address = \"10.0.0.1:80\" }}]\ncheck = {text}"));
        let probe =
            |text: &str| server(text).unwrap().director.virtual_servers[0].pool.servers[0].checks[0].probe.name();
        for (text, name) in [
            ("{}", "tcp"),
            ("{ http = \"/\" }", "http"),
            ("{ probe = \"ping\" }", "ping"),
            ("{ probe = { dns = { name = \"www.example\", record = \"A\" } } }", "dns"),
            ("{ probe = { smtp = {} } }", "smtp"),
            ("{ probe = { udp = { reply = { min_length = 1 } } } }", "udp"),
            (
                "{ probe = { https = { http = { urls = [{ path = \"/\", status = [{ first = 200, last = 200 }] }] } } } }",
                "https",
            ),
            ("{ probe = { command = { program = \"/bin/true\" } } }", "command"),
            ("{ probe = { file = { path = \"/run/drain\" } } }", "file"),
        ] {
            assert_eq!(probe(text), name);
        }
        let wrong = |text: &str| format!("{:#}", server(text).unwrap_err());
        assert!(wrong("{ http = \"/\", probe = \"ping\" }").contains("http and probe are two checks"));
        assert!(wrong("{ probe = \"application\" }").contains("programs that know themselves"));
        assert!(wrong("{ probe = { http = {} } }").contains("needs at least one URL"));
    }

    #[test]
    fn an_error_names_the_value_and_what_would_be_right() {
        let wrong = |head: &str, server: &str| {
            let servers = if server.contains("servers =") { "" } else { "servers = [{ address = \"10.0.0.1:80\" }]\n" };
            format!("{:#}", with(head, &format!("{servers}{server}")).unwrap_err())
        };
        assert!(wrong("quorum-weight = 5", "").contains("quorum-weight 5 is not -253..=-1"));
        assert!(wrong("standby = \"hot\"", "").contains("unknown variant `hot`, expected `warm` or `cold`"));
        assert!(wrong("drian = 5", "").contains("unknown field `drian`"));
        assert!(wrong("sync = { interface = \"eth0\", sync_id = 0 }", "").contains("sync_id 0 is not 1..=255"));
        assert!(wrong("", "colour = 1").contains("unknown field `colour`"));
        assert!(wrong("", "scheduler = \"r r\"").contains("\"r r\" is no name of a scheduler"));
        assert!(wrong("", "quorum = 0").contains("virtual server \"web\": quorum 0 is not 1 or more"));
        assert!(wrong("", "persistence = 1.5").contains("persistence 1.5s is not whole seconds"));
        assert!(wrong("", "forwarding = \"dr\"").contains("unknown variant `dr`, expected one of `nat`, `direct`"));
        assert!(wrong("", "check = { http = \"health\" }").contains("path \"health\" is none: it begins with /"));
        assert!(wrong("", "check = { every = 0 }").contains("delay_loop 0ns is too short"));
        assert!(wrong("", "servers = [{ address = \"10.0.0.1\" }]").contains("invalid socket address"));
        assert!(wrong("", "sorry-server = { address = \"10.0.0.1:80\" }").contains("10.0.0.1:80 is there twice"));
        assert!(wrong("", "sorry-server = { address = \"10.0.0.9:80\", weight = 2 }").contains("leave it out"));
        assert!(format!("{:#}", parse(ROUTER).unwrap_err()).contains("there is no [[virtual-server]]"));
    }
}
