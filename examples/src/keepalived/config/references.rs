//! What can only be said when all has been read: names that refer to nothing, and what does not go together.

use std::collections::BTreeSet;

use vrrp_net::vrrp_core::{Family, Priority};

use super::value::Name;
use super::{Configuration, Frontend, Instance, Question, Tracking};
use crate::keepalived::diagnostic::{Diagnostic, Report, nearest};

/// The names of each kind.
struct Names<'a> {
    instances: BTreeSet<&'a str>,
    scripts: BTreeSet<&'a str>,
    files: BTreeSet<&'a str>,
    processes: BTreeSet<&'a str>,
    track_groups: BTreeSet<&'a str>,
    server_groups: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    /// Collects them, and says which are there twice.
    fn collect(all: &'a Configuration, report: &mut Report) -> Self {
        unique(all.vrrp_sync_groups.iter().map(|group| &group.name), "vrrp_sync_group", report);
        Self {
            instances: unique(all.vrrp_instances.iter().map(|instance| &instance.name), "vrrp_instance", report),
            scripts: unique(all.vrrp_scripts.iter().map(|script| &script.name), "vrrp_script", report),
            files: unique(all.track_files.iter().map(|file| &file.name), "track_file", report),
            processes: unique(
                all.vrrp_track_processes.iter().map(|process| &process.name),
                "vrrp_track_process",
                report,
            ),
            track_groups: unique(all.track_groups.iter().map(|group| &group.name), "track_group", report),
            server_groups: unique(
                all.virtual_server_groups.iter().map(|group| &group.name),
                "virtual_server_group",
                report,
            ),
        }
    }

    fn check_tracking(&self, track: &Tracking, report: &mut Report) {
        refers(track.scripts.iter().map(|tracked| &tracked.name), &self.scripts, "vrrp_script", report);
        refers(track.files.iter().map(|tracked| &tracked.name), &self.files, "track_file", report);
        refers(track.processes.iter().map(|tracked| &tracked.name), &self.processes, "vrrp_track_process", report);
    }
}

/// The names, of which each may be there once.
fn unique<'a>(names: impl Iterator<Item = &'a Name>, keyword: &str, report: &mut Report) -> BTreeSet<&'a str> {
    let mut known = BTreeSet::new();
    for name in names {
        if !known.insert(name.as_str()) {
            let message = format!("there is a {keyword} {} already", name.text);
            report.push(Diagnostic::error(name.span, message).with_help("each needs a name of its own"));
        }
    }
    known
}

impl Configuration {
    /// Says what does not go together.
    pub(super) fn check_references(&self, report: &mut Report) {
        let names = Names::collect(self, report);
        for group in &self.vrrp_sync_groups {
            refers(&group.group, &names.instances, "vrrp_instance", report);
            names.check_tracking(&group.track, report);
            if group.group.is_empty() {
                report.push(Diagnostic::error(group.name.span, format!("group {} has no members", group.name.text)));
            }
        }
        self.track_groups.iter().for_each(|group| refers(&group.group, &names.instances, "vrrp_instance", report));
        if let Some(instance) = self.global_defs.lvs_sync_daemon.as_ref().and_then(|daemon| daemon.instance.as_ref()) {
            refers([instance], &names.instances, "vrrp_instance", report);
        }
        let addresses = self.static_ipaddress.iter().filter_map(|address| address.track_group.as_ref());
        let routes = self.static_routes.iter().filter_map(|route| route.track_group.as_ref());
        let rules = self.static_rules.iter().filter_map(|rule| rule.track_group.as_ref());
        refers(addresses.chain(routes).chain(rules), &names.track_groups, "track_group", report);
        for script in &self.vrrp_scripts {
            if script.script.as_ref().is_none_or(|script| script.command.is_empty()) {
                let message = format!("vrrp_script {} has no script", script.name.text);
                report.push(Diagnostic::error(script.name.span, message));
            }
        }
        for file in self.track_files.iter().filter(|file| file.file.is_none()) {
            report.push(Diagnostic::error(file.name.span, format!("track_file {} has no file", file.name.text)));
        }
        for process in self.vrrp_track_processes.iter().filter(|process| process.process.is_empty()) {
            let message = format!("vrrp_track_process {} has no process", process.name.text);
            report.push(Diagnostic::error(process.name.span, message));
        }
        for instance in &self.vrrp_instances {
            names.check_tracking(&instance.track, report);
            check_instance(instance, report);
        }
        self.check_servers(&names, report);
    }

    fn check_servers(&self, names: &Names<'_>, report: &mut Report) {
        for server in &self.virtual_servers {
            if let Frontend::Group(name) = &server.frontend {
                refers([name], &names.server_groups, "virtual_server_group", report);
            }
            if server.real_servers.is_empty() && server.sorry_server.is_none() {
                report.push(Diagnostic::warning(server.span, "this virtual_server has no real_server: nobody serves"));
            }
            let portless = matches!(server.frontend, Frontend::Address(_, None));
            if portless && server.persistence_timeout.is_none_or(|timeout| timeout == 0) {
                let message = "a virtual_server of all ports must be persistent";
                let help = "give it a port, or persistence_timeout";
                report.push(Diagnostic::error(server.span, message).with_help(help));
            }
            for checker in server.real_servers.iter().flat_map(|server| &server.checkers) {
                if let Question::File { track_file: Some(name), .. } = &checker.question {
                    refers([name], &names.files, "track_file", report);
                }
            }
        }
    }
}

/// Says which names nothing has.
fn refers<'a>(names: impl IntoIterator<Item = &'a Name>, known: &BTreeSet<&str>, keyword: &str, report: &mut Report) {
    for name in names.into_iter().filter(|name| !known.contains(name.as_str())) {
        let diagnostic = Diagnostic::error(name.span, format!("there is no {keyword} {}", name.text));
        report.push(match nearest(name.as_str(), known.iter().copied()) {
            Some(near) => diagnostic.with_help(format!("did you mean {near}?")),
            None => diagnostic,
        });
    }
}

fn check_instance(instance: &Instance, report: &mut Report) {
    let name = &instance.name;
    let mut wrong = |message: String, help: &str| {
        report.push(Diagnostic::error(name.span, format!("{}: {message}", name.text)).with_help(help));
    };
    let families: BTreeSet<_> = instance.virtual_ipaddress.iter().map(|address| Family::of(address.address)).collect();
    if families.len() > 1 {
        let help = "put those of the other family into virtual_ipaddress_excluded, or into another vrrp_instance";
        wrong("virtual_ipaddress has addresses of both families".into(), help);
    }
    let is_v6 = families.contains(&Family::V6);
    if is_v6 && instance.version == Some(2) {
        report.push(Diagnostic::warning(name.span, format!("{}: IPv6 uses version 3", name.text)));
    }
    let is_v2 = !is_v6 && instance.version.unwrap_or(2) == 2;
    let interval = instance.advert_int;
    if is_v2 && interval.as_seconds().is_none() {
        let message = format!("{}: advert_int of {interval} is not 1 to 255 whole seconds", name.text);
        let help = "VRRPv2 has no others: use version 3, on all hosts";
        report.push(Diagnostic::error(name.span, message).with_help(help));
    }
    if !is_v2 && interval.as_centiseconds() > 4095 {
        let message = format!("{}: advert_int of {interval} is more than 40.95 s", name.text);
        report.push(Diagnostic::error(name.span, message).with_help("VRRPv3 has no longer ones"));
    }
    if !is_v2 && instance.authentication.is_some() {
        let message = format!("{}: authentication has no effect: VRRPv3 has none", name.text);
        report.push(Diagnostic::warning(name.span, message).with_help("use auth_hmac, or version 2"));
    }
    if instance.state == super::InitialState::Master && instance.priority != Priority::OWNER {
        for (set, what) in [(instance.nopreempt, "nopreempt"), (!instance.preempt_delay.0.is_zero(), "preempt_delay")] {
            if set {
                let message = format!("{}: {what} has no effect at the start with state MASTER", name.text);
                report.push(Diagnostic::warning(name.span, message).with_help("use state BACKUP"));
            }
        }
    }
    instance.auth_hmac.iter().filter_map(|hmac| hmac.problem(name)).for_each(|problem| report.push(problem));
}
