//! What real servers are asked.

use std::net::SocketAddr;
use std::path::Path;

use vrrp_ipvs::check::command::Command;
use vrrp_ipvs::check::file::File;
use vrrp_ipvs::check::http::Http;
use vrrp_ipvs::check::tls::{Identity, Tls, Verify};
use vrrp_ipvs::check::{Check, Origin, Probe, Schedule};

use super::Builder;
use crate::daemon::config::Task;
use crate::daemon::{self, users};
use crate::keepalived::config::{Checker, Name, Question, RealServer, Script, Seconds, Timing, VirtualServer};
use crate::keepalived::source::Span;

impl Builder<'_> {
    /// The checks of a real server, whose port is `port`: its own, or that of the virtual server.
    pub(super) fn checks(&mut self, server: &VirtualServer, real: &RealServer, port: u16) -> Vec<Check> {
        let mut checks = Vec::new();
        for checker in &real.checkers {
            let Some(check) = self.check(server, real, port, checker) else { continue };
            match check.validate() {
                Ok(()) => checks.push(check),
                Err(error) => self.error(checker.span, error.to_string()),
            }
        }
        checks
    }

    fn check(&mut self, server: &VirtualServer, real: &RealServer, port: u16, checker: &Checker) -> Option<Check> {
        let global = &self.configuration.global_defs;
        let say_all_failures = checker.log_all_failures.unwrap_or(global.checker_log_all_failures);
        let hosts = [&real.virtualhost, &server.virtualhost];
        let host = hosts.into_iter().flatten().next().cloned();
        let probe = self.probe(checker, host)?;
        let port = checker.connect_port.unwrap_or(port);
        let (port, usual) = match (port, usual_port(&probe)) {
            (0, Some(0)) => {
                self.error(checker.span, "there is no port to ask: write connect_port".to_owned());
                return None;
            }
            (0, usual) => (usual.unwrap_or_default(), true),
            (port, _) => (port, false),
        };
        if usual && port > 0 {
            // Neither server has one, as with a mark.
            self.warn(checker.span, format!("port {port} is asked: write connect_port if it is another one"));
        }
        let timing = checker.timing.or(real.timing).or(server.timing);
        let timing = match checker.question {
            // Its real server's are for those that ask somebody.
            Question::File { .. } => Timing { delay_loop: timing.delay_loop, alpha: timing.alpha, ..Timing::default() },
            _ => timing,
        };
        Some(Check {
            target: SocketAddr::new(checker.connect_ip.unwrap_or(real.address), port),
            origin: Origin {
                address: checker.bindto,
                port: checker.bind_port.filter(|port| *port != 0),
                interface: checker.bind_if.as_ref().map(|name| name.text.clone()),
                fwmark: checker.fwmark.filter(|mark| *mark != 0),
            },
            schedule: schedule(timing),
            say_all_failures,
            probe,
        })
    }

    /// `host` is asked for where the checker names nobody.
    fn probe(&mut self, checker: &Checker, host: Option<String>) -> Option<Probe> {
        let with_host = |http: &Http| Http { virtual_host: http.virtual_host.clone().or(host), ..http.clone() };
        Some(match &checker.question {
            Question::Tcp => Probe::Tcp,
            Question::Http(http) => Probe::Http(with_host(http)),
            Question::Https { http, enable_sni } => {
                let http = with_host(http);
                let tls = self.tls(&http, *enable_sni, checker.span);
                Probe::Https { http, tls }
            }
            Question::Smtp(smtp) => Probe::Smtp(smtp.clone()),
            Question::Dns(dns) => Probe::Dns(dns.clone()),
            Question::Udp(udp) => Probe::Udp(udp.clone()),
            Question::Ping => Probe::Ping,
            Question::Misc { path, timeout, dynamic } => self.program(path.as_ref()?, *timeout, *dynamic)?,
            Question::File { track_file, weight, dynamic } => {
                let name = track_file.as_ref()?;
                // One that is not there was said before.
                let file = self.configuration.track_files.iter().find(|file| file.name == *name)?;
                let weight = weight.unwrap_or(file.weight);
                let path = file.file.as_ref()?.text.clone().into();
                Probe::File(File { path, weight: weight.value, reverse: weight.reverse, fixed: !dynamic })
            }
        })
    }

    /// How `SSL_GET` speaks TLS.
    fn tls(&mut self, http: &Http, enable_sni: bool, span: Span) -> Tls {
        let mut hosts = http.urls.iter().filter_map(|url| url.virtual_host.as_ref().or(http.virtual_host.as_ref()));
        let first = hosts.next();
        if enable_sni && first.is_some_and(|first| hosts.any(|other| other != first)) {
            let message = "all urls of this SSL_GET are asked for under the name of the first".to_owned();
            self.warn(span, format!("enable_sni: {message}"));
        }
        let server_name = first.filter(|_| enable_sni).cloned();
        let ssl = self.configuration.ssl.clone().unwrap_or_default();
        if let Some(ca) = &ssl.ca {
            self.warn(ca.span, "ca has no effect: SSL_GET takes any certificate, as keepalived's does".to_owned());
        }
        // Certificate and key may be in one file.
        let (certificate, key) = match (&ssl.certificate, &ssl.key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(both), None) => (both, both),
            (None, Some(key)) => {
                self.warn(key.span, "key has no effect without certificate".to_owned());
                return Tls { server_name, verify: Verify::Nothing, identity: None };
            }
            (None, None) => return Tls { server_name, verify: Verify::Nothing, identity: None },
        };
        let identity = self.text_of(certificate).zip(self.text_of(key));
        let identity = identity.map(|(certificates, key)| Identity { certificates, key });
        Tls { server_name, verify: Verify::Nothing, identity }
    }

    fn text_of(&mut self, file: &Name) -> Option<String> {
        let read = std::fs::read_to_string(&file.text);
        self.or_error(file.span, read.map_err(|error| format!("cannot read {}: {error}", file.text)))
    }

    /// A program runs as its user, as that of `script_user`, as `keepalived_script` if there is one, else as we do.
    fn program(&mut self, script: &Script, timeout: Option<Seconds>, dynamic: bool) -> Option<Probe> {
        let command = self.command(script)?;
        let Task::Run { program, arguments } = command.task else {
            let message = "misc_path names a program: write a TCP_CHECK to ask whether a port is open".to_owned();
            self.error(script.span, message);
            return None;
        };
        let user = command.user.or_else(|| users::user(users::DEFAULT_USER, None).ok());
        let program = daemon::find(&program).unwrap_or(program);
        let as_root = user.as_ref().map_or_else(|| rustix::process::getuid().is_root(), |user| user.uid == 0);
        if as_root && self.configuration.global_defs.enable_script_security && !self.is_safe(&program, script.span) {
            return None;
        }
        let timeout = timeout.map(|timeout| timeout.0);
        let (user, group) = user.map(|user| (user.uid, user.gid)).unzip();
        Some(Probe::Command(Command { program, arguments, timeout, dynamic, user, group }))
    }

    /// Whether only root can change it, now: it is not looked at again until the configuration is.
    fn is_safe(&mut self, program: &Path, span: Span) -> bool {
        let safe = daemon::check_safe(program);
        if let Err(error) = &safe {
            self.warn(span, format!("this check is not made, and its server is up without it: {error:#}"));
        }
        safe.is_ok()
    }
}

/// Where one is asked that has no port; 0: it needs one; `None`: it has none.
const fn usual_port(probe: &Probe) -> Option<u16> {
    match probe {
        Probe::Http(_) => Some(80),
        Probe::Https { .. } => Some(443),
        Probe::Smtp(_) => Some(25),
        Probe::Dns(_) => Some(53),
        Probe::Tcp | Probe::Udp(_) => Some(0),
        _ => None,
    }
}

fn schedule(timing: Timing) -> Schedule {
    let Timing { delay_loop, connect_timeout, retry, delay_before_retry, warmup, alpha } = timing;
    let default = Schedule::default();
    Schedule {
        delay_loop: delay_loop.map_or(default.delay_loop, |seconds| seconds.0),
        retry,
        delay_before_retry: delay_before_retry.map(|seconds| seconds.0),
        connect_timeout: connect_timeout.map_or(default.connect_timeout, |seconds| seconds.0),
        warmup: warmup.map(|seconds| seconds.0),
        alpha: alpha.unwrap_or(default.alpha),
        ..default
    }
}
