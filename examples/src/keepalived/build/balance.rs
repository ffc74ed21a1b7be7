//! `virtual_server` with its real servers, as the director takes them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use vrrp_ipvs::director::{self, Exception, Standby, Sync};
use vrrp_ipvs::service::{self, Family, FrontendRange, Group};
use vrrp_ipvs::{Forwarding, Persistence, Protocol, Scheduler};

use super::Builder;
use crate::daemon::config::{DirectorConfig, RealServerNotify, ServerNotify};
use crate::keepalived::config::{
    Configuration, Frontend, Granularity, Instance, IpFamily, RealServer, SorryServer, SyncDaemon, Timeouts,
    VirtualServer,
};
use crate::keepalived::diagnostic::Diagnostic;

impl Builder<'_> {
    /// What is balanced; `None` if nothing is.
    pub(super) fn director(&mut self) -> Option<DirectorConfig> {
        let configuration = self.configuration;
        let global = &configuration.global_defs;
        let (mut virtual_servers, mut notify) = (Vec::new(), Vec::new());
        for server in &configuration.virtual_servers {
            let (one, told) = self.virtual_server(server);
            let alone = director::Config { virtual_servers: vec![one.clone()], ..director::Config::default() };
            if let Err(error) = alone.validate() {
                self.report.push(Diagnostic::error(server.span, error.to_string()));
            } else if virtual_servers.iter().any(|other: &director::VirtualServer| other.name == one.name) {
                let message = format!("there is a virtual_server {} already", one.name);
                self.report.push(Diagnostic::error(server.span, message));
            }
            virtual_servers.push(one);
            notify.push(told);
        }
        let routers = followed(configuration);
        for server in configuration.virtual_servers.iter().filter(|server| server.ha_suspend) {
            self.check_suspension(server, &routers);
        }
        let config = director::Config {
            standby: standby(configuration, &routers),
            virtual_servers,
            sync: global.lvs_sync_daemon.as_ref().and_then(|daemon| self.sync(daemon)),
            ..director::Config::default()
        };
        let director = DirectorConfig {
            config,
            routers,
            quorum_impact: None,
            whole_table: global.lvs_flush,
            timeouts: global.lvs_timeouts.map(timeouts),
            initial_notices: global.rs_init_notifies,
            notify,
        };
        director.needs_ipvs().then_some(director)
    }

    fn virtual_server(&mut self, server: &VirtualServer) -> (director::VirtualServer, ServerNotify) {
        let name = label(server);
        if server.protocol.is_none() && !matches!(server.frontend, Frontend::Mark(_)) {
            let message = "no protocol is given: UDP is balanced, as by keepalived";
            self.report.push(Diagnostic::warning(server.span, message).with_help("write protocol TCP, or UDP"));
        }
        let frontends = self.frontends(server);
        let mut told = ServerNotify {
            virtual_server: name.clone(),
            label: name.clone(),
            quorum_up: server.quorum_up.as_ref().and_then(|script| self.command(script)),
            quorum_down: server.quorum_down.as_ref().and_then(|script| self.command(script)),
            mail: server.smtp_alert.or(self.mails_of_checkers()).unwrap_or(false),
            real_servers: Vec::new(),
        };
        let (mut servers, mut exceptions) = (Vec::new(), Vec::new());
        for real in &server.real_servers {
            let address = SocketAddr::new(real.address, real.port.unwrap_or_else(|| port(server)));
            exceptions.extend(exception(server, real, address));
            told.real_servers.push(RealServerNotify {
                server: address,
                up: real.notify_up.as_ref().and_then(|script| self.command(script)),
                down: real.notify_down.as_ref().and_then(|script| self.command(script)),
                // keepalived's default is not that of a virtual server.
                mail: real.smtp_alert.or(self.mails_of_checkers()).unwrap_or(true),
            });
            servers.push(service::RealServer {
                address,
                weight: real.weight.or(server.weight).unwrap_or(1),
                inhibit_on_failure: real.inhibit_on_failure.unwrap_or(server.inhibit_on_failure),
                checks: self.checks(server, real, address.port()),
            });
        }
        let sorry_server = server.sorry_server.as_ref().map(|sorry| {
            let SorryServer { address, port: own, inhibit, lvs_method } = *sorry;
            let address = SocketAddr::new(address, own.unwrap_or_else(|| port(server)));
            if lvs_method.is_some_and(|method| method != server.lvs_method) {
                let (forwarding, upper_threshold, lower_threshold) = (lvs_method, 0, 0);
                exceptions.push(Exception { server: address, forwarding, upper_threshold, lower_threshold });
            }
            service::SorryServer { address, inhibit }
        });
        let pool = service::VirtualServer {
            servers,
            sorry_server,
            quorum: server.quorum,
            hysteresis: server.hysteresis,
            omega: server.omega,
            ha_suspend: server.ha_suspend,
        };
        let server = director::VirtualServer {
            protocol: protocol(server),
            scheduler: server.lvs_sched.clone().unwrap_or(Scheduler::WEIGHTED_LEAST_CONNECTION),
            scheduler_flags: server.scheduler_flags,
            persistence: self.persistence(server),
            engine: server.persistence_engine.clone(),
            one_packet: server.ops,
            forwarding: server.lvs_method,
            exceptions,
            ..director::VirtualServer::new(name, frontends, pool)
        };
        (server, told)
    }

    /// Where clients reach it.
    fn frontends(&mut self, server: &VirtualServer) -> Group {
        let is_v6 = family(server) == Some(Family::Inet6);
        let family = |family| if is_v6 { Family::Inet6 } else { family };
        match &server.frontend {
            Frontend::Address(address, port) => {
                let (first, last, port) = (*address, *address, port.unwrap_or_default());
                Group(vec![FrontendRange::Addresses { first, last, port }])
            }
            Frontend::Mark(mark) => Group(vec![FrontendRange::Mark(*mark, family(Family::Inet))]),
            // One that is not there was said before.
            Frontend::Group(name) => {
                let groups = &self.configuration.virtual_server_groups;
                let ranges = groups.iter().find(|group| group.name == *name).map(|group| group.ranges.iter().copied());
                let with_family = |range| match range {
                    FrontendRange::Mark(mark, own) => FrontendRange::Mark(mark, family(own)),
                    FrontendRange::Addresses { .. } => range,
                };
                Group(ranges.into_iter().flatten().map(with_family).collect())
            }
        }
    }

    fn persistence(&mut self, server: &VirtualServer) -> Option<Persistence> {
        let timeout_seconds = server.persistence_timeout.filter(|seconds| *seconds > 0);
        if timeout_seconds.is_none() {
            let without = [
                (server.persistence_granularity.is_some(), "persistence_granularity"),
                (server.persistence_engine.is_some(), "persistence_engine"),
            ];
            for (_, keyword) in without.into_iter().filter(|(is_there, _)| *is_there) {
                let message = format!("{keyword} has no effect without persistence_timeout");
                self.report.push(Diagnostic::warning(server.span, message));
            }
        }
        let granularity = match server.persistence_granularity {
            None => vrrp_ipvs::Granularity::Host,
            Some(Granularity::Netmask(mask)) => vrrp_ipvs::Granularity::Netmask(mask),
            Some(Granularity::Prefix(bits)) => vrrp_ipvs::Granularity::Prefix(bits),
        };
        timeout_seconds.map(|timeout_seconds| Persistence { timeout_seconds, granularity })
    }

    /// The daemon that tells the other director of connections. keepalived runs both if no instance is named.
    fn sync(&mut self, daemon: &SyncDaemon) -> Option<Sync> {
        let SyncDaemon { interface, instance, id, maxlen, port, ttl, group } = daemon;
        let mut warn = |message: &str, help: &str| {
            self.report.push(Diagnostic::warning(interface.span, message).with_help(help));
        };
        let instances = &self.configuration.vrrp_instances;
        let vrid = instance.as_ref().and_then(|name| instances.iter().find(|instance| instance.name == *name));
        let vrid = vrid.and_then(|instance| instance.virtual_router_id.map(|vrid| vrid.get()));
        let Some(sync_id) = id.or(vrid).filter(|id| *id != 0) else {
            let message = "no synchronisation daemon runs: id 0 would take in the connections of every other pair";
            warn(message, "name the vrrp_instance that it follows, or give it an id of 1 to 255");
            return None;
        };
        if instance.is_none() {
            let message = "one synchronisation daemon runs: while virtual addresses are here the one that sends, else \
                           the one that receives";
            warn(message, "name the vrrp_instance that it follows");
        }
        let (max_length, group, port, ttl) = (*maxlen, *group, *port, *ttl);
        Some(Sync { max_length, group, port, ttl, ..Sync::new(&interface.text, sync_id) })
    }

    /// Checks rest by the role of the director, which is one for all of its virtual servers.
    fn check_suspension(&mut self, server: &VirtualServer, routers: &[String]) {
        let holders = holders(self.configuration, server);
        let is_followed = |holder: &&str| routers.iter().any(|router| router == *holder);
        let is_exact = routers.len() == 1 && !holders.is_empty() && holders.iter().all(is_followed);
        if !is_exact && !self.configuration.vrrp_instances.is_empty() {
            let message = match routers {
                [] => "ha_suspend: the checks rest while no vrrp_instance is MASTER here".to_owned(),
                some => format!("ha_suspend: the checks rest while none of {} is MASTER here", some.join(", ")),
            };
            let help = "run the virtual servers of each vrrp_instance in a daemon of their own";
            self.report.push(Diagnostic::warning(server.span, message).with_help(help));
        }
    }

    /// What `global_defs` says of the mails of virtual and real servers.
    fn mails_of_checkers(&self) -> Option<bool> {
        let mail = &self.configuration.global_defs.mail;
        mail.smtp_alert_checker.or(mail.smtp_alert)
    }
}

/// Where nothing is said, keepalived balances UDP.
fn protocol(server: &VirtualServer) -> Protocol {
    server.protocol.unwrap_or(Protocol::Udp)
}

/// How keepalived calls it: `[192.0.2.1]:tcp:80`, `FWM 5`, `[GROUP]:0`.
fn label(server: &VirtualServer) -> String {
    let protocol = match protocol(server) {
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
        _ => "tcp",
    };
    match &server.frontend {
        Frontend::Address(address, port) => format!("[{address}]:{protocol}:{}", port.unwrap_or_default()),
        Frontend::Mark(mark) => format!("FWM {mark}"),
        Frontend::Group(name) => format!("[{}]:0", name.text),
    }
}

/// The port of servers that have none of their own.
fn port(server: &VirtualServer) -> u16 {
    match server.frontend {
        Frontend::Address(_, port) => port.unwrap_or_default(),
        Frontend::Mark(_) | Frontend::Group(_) => 0,
    }
}

/// The family of a mark. Packets may be wrapped into those of the other one, so a server behind a tunnel says nothing.
fn family(server: &VirtualServer) -> Option<Family> {
    let of = |is_v6| if is_v6 { Family::Inet6 } else { Family::Inet };
    let said = server.ip_family.map(|family| of(family == IpFamily::Inet6));
    let method = |real: &RealServer| real.lvs_method.unwrap_or(server.lvs_method);
    let mut plain = server.real_servers.iter().filter(|real| !matches!(method(real), Forwarding::Tunnel(_)));
    let by_granularity = || match server.persistence_granularity {
        Some(Granularity::Netmask(_)) => Some(Family::Inet),
        Some(Granularity::Prefix(bits)) => Some(of(bits > 32)),
        None => None,
    };
    said.or_else(|| plain.next().map(|real| of(real.address.is_ipv6()))).or_else(by_granularity)
}

/// What is different about a real server.
fn exception(virtual_server: &VirtualServer, real: &RealServer, address: SocketAddr) -> Option<Exception> {
    let exception = Exception {
        server: address,
        forwarding: real.lvs_method.filter(|method| *method != virtual_server.lvs_method),
        upper_threshold: real.uthreshold.unwrap_or_default(),
        lower_threshold: real.lthreshold.unwrap_or_default(),
    };
    let Exception { forwarding, upper_threshold, lower_threshold, .. } = exception;
    (forwarding.is_some() || upper_threshold > 0 || lower_threshold > 0).then_some(exception)
}

const fn timeouts(timeouts: Timeouts) -> vrrp_ipvs::Timeouts {
    const fn seconds(value: Option<u32>) -> u32 {
        match value {
            Some(seconds) => seconds,
            None => 0,
        }
    }
    vrrp_ipvs::Timeouts {
        tcp_seconds: seconds(timeouts.tcp),
        tcp_fin_seconds: seconds(timeouts.tcpfin),
        udp_seconds: seconds(timeouts.udp),
    }
}

/// The virtual routers that the director follows: the one that the synchronisation daemon names, else those with an address
/// of a virtual server; none of them says all.
fn followed(configuration: &Configuration) -> Vec<String> {
    let daemon = configuration.global_defs.lvs_sync_daemon.as_ref();
    if let Some(instance) = daemon.and_then(|daemon| daemon.instance.as_ref()) {
        return vec![instance.text.clone()];
    }
    let holding: BTreeSet<&str> =
        configuration.virtual_servers.iter().flat_map(|server| holders(configuration, server)).collect();
    holding.into_iter().map(str::to_owned).collect()
}

/// The virtual routers whose addresses a virtual server has.
fn holders<'a>(configuration: &'a Configuration, server: &VirtualServer) -> Vec<&'a str> {
    let ranges = ranges(configuration, server);
    let holds = |instance: &&Instance| addresses(instance).any(|address| ranges.iter().any(|it| it.contains(address)));
    configuration.vrrp_instances.iter().filter(holds).map(|instance| instance.name.as_str()).collect()
}

fn addresses(instance: &Instance) -> impl Iterator<Item = IpAddr> {
    let all = instance.virtual_ipaddress.iter().chain(&instance.virtual_ipaddress_excluded);
    all.map(|address| address.address)
}

/// Addresses from one to another.
struct Range(IpAddr, IpAddr);

impl Range {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.is_ipv4() == address.is_ipv4() && (self.0..=self.1).contains(&address)
    }
}

/// Its addresses, if it has any.
fn ranges(configuration: &Configuration, server: &VirtualServer) -> Vec<Range> {
    match &server.frontend {
        Frontend::Address(address, _) => vec![Range(*address, *address)],
        Frontend::Mark(_) => Vec::new(),
        Frontend::Group(name) => {
            let group = configuration.virtual_server_groups.iter().find(|group| group.name == *name);
            let ranges = group.into_iter().flat_map(|group| &group.ranges).filter_map(|range| match range {
                FrontendRange::Addresses { first, last, .. } => Some(Range(*first, *last)),
                FrontendRange::Mark(..) => None,
            });
            ranges.collect()
        }
    }
}

/// What is in the kernel's table of a Backup.
///
/// keepalived's has everything at all times. That is a trap where a director is a real server of the other one by direct
/// routing or through a tunnel: a packet that the Active forwards to it is still addressed to the virtual address, and its own
/// table sends it on, maybe back to the Active, which sends it on again, until its TTL is over. (People mark packets by
/// where they come from to get out of it.) So a Backup's table is empty where a packet can arrive for an address that is not
/// here, and it is sure that the table is filled whenever one is: if some server gets packets that way, and all virtual
/// servers have addresses of virtual routers that the director follows. One with an address that is always here, or with a
/// firewall mark, is balanced on each host as keepalived does.
///
/// A Backup whose table is empty fills it before its address is here if its promotion waits for something, else right after.
fn standby(configuration: &Configuration, routers: &[String]) -> Standby {
    let is_addressed = |method| matches!(method, Forwarding::Direct | Forwarding::Tunnel(_));
    let trapped = |server: &VirtualServer| {
        server.real_servers.iter().any(|real| is_addressed(real.lvs_method.unwrap_or(server.lvs_method)))
    };
    let followed =
        configuration.vrrp_instances.iter().filter(|instance| routers.iter().any(|router| instance.name == **router));
    let here: Vec<IpAddr> = followed.flat_map(addresses).collect();
    let of_group = |range: &FrontendRange| match range {
        FrontendRange::Mark(..) => false,
        FrontendRange::Addresses { .. } => range
            .frontends()
            .all(|frontend| matches!(frontend, service::Frontend::Address(address, _) if here.contains(&address))),
    };
    let comes_and_goes = |server: &VirtualServer| match &server.frontend {
        Frontend::Address(address, _) => here.contains(address),
        Frontend::Mark(_) => false,
        Frontend::Group(name) => {
            let group = configuration.virtual_server_groups.iter().find(|group| group.name == *name);
            group.is_some_and(|group| group.ranges.iter().all(of_group))
        }
    };
    let servers = &configuration.virtual_servers;
    if servers.iter().any(trapped) && servers.iter().all(comes_and_goes) { Standby::Cold } else { Standby::Warm }
}
