//! From what a keepalived.conf says to what a daemon runs.

mod balance;
mod checker;
mod instance;
mod path;
mod places;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use vrrp_net::{Address, Statics};

use super::Reading;
use super::config::{self, Configuration, Fifo, Notify, Script, SyncGroup};
use super::diagnostic::{Diagnostic, Report};
use super::source::Span;
use crate::daemon::config::{self as daemon, About, Command, Config, Mail, User};
use crate::daemon::users;

/// How long `startup_script` and `shutdown_script` may run if nothing is said (keepalived.conf(5)).
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(10);

/// The interface of static addresses that name none.
const DEFAULT_INTERFACE: &str = "eth0";

/// What a daemon is to run for a configuration. What cannot be run is an error of the report, what is not done here a
/// warning; with errors it is what could be made of it.
pub fn config(reading: &mut Reading) -> Config {
    let mut builder = Builder {
        configuration: &reading.configuration,
        report: &mut reading.report,
        users: BTreeMap::new(),
        rules: 0,
        cannot_run: BTreeSet::new(),
        own_addresses: None,
    };
    builder.config()
}

/// A configuration on its way.
struct Builder<'r> {
    configuration: &'r Configuration,
    report: &'r mut Report,
    /// Those that were looked up.
    users: BTreeMap<(String, Option<String>), Option<User>>,
    /// How many rules were given a place.
    rules: u32,
    /// The checks that cannot be run.
    cannot_run: BTreeSet<daemon::Watched>,
    /// Those of this host, once somebody asks.
    own_addresses: Option<Vec<std::net::IpAddr>>,
}

impl Builder<'_> {
    fn config(&mut self) -> Config {
        self.warn_of_what_is_not_done();
        self.check_places();
        let global = &self.configuration.global_defs;
        let instances = &self.configuration.vrrp_instances;
        // Before those that track them.
        let scripts = self.scripts();
        let (startup, shutdown) = (global.startup_script.as_ref(), global.shutdown_script.as_ref());
        Config {
            name: global.router_id.clone().unwrap_or_default(),
            routers: instances.iter().filter_map(|instance| self.router(instance)).collect(),
            groups: self.configuration.vrrp_sync_groups.iter().map(|group| self.group(group)).collect(),
            scripts,
            files: self.configuration.track_files.iter().filter_map(|file| self.file(file)).collect(),
            processes: self.configuration.vrrp_track_processes.iter().filter_map(|it| self.process(it)).collect(),
            statics: self.statics(),
            director: self.director(),
            mail: self.mail(),
            fifos: self.fifos(),
            startup_script: self.timed(startup, global.startup_script_timeout),
            shutdown_script: self.timed(shutdown, global.shutdown_script_timeout),
            script_security: global.enable_script_security,
            startup_delay: global.vrrp_startup_delay.0,
            ..Config::default()
        }
    }

    /// What was read and makes no difference here. What the reader has told of already is not told again.
    fn warn_of_what_is_not_done(&mut self) {
        let global = &self.configuration.global_defs;
        let notices = [
            (
                global.vmac_prefix.is_some(),
                "vmac_prefix: interfaces of virtual MAC addresses are called vrrp.ID and vrrp6.ID",
            ),
            (global.mail.no_email_faults, "no_email_faults: FAULT is mailed like the other states"),
            (
                !self.configuration.garp_groups.is_empty(),
                "garp_group: garp_interval and gna_interval hold for each interface by itself",
            ),
            (
                !self.configuration.track_groups.is_empty(),
                "track_group: what is always here is put back when it vanishes, and nobody leaves a role for it",
            ),
        ];
        for (_, message) in notices.into_iter().filter(|(given, _)| *given) {
            self.report.push(Diagnostic { span: None, ..Diagnostic::warning(Span::default(), message) });
        }
    }

    fn group(&mut self, group: &SyncGroup) -> daemon::Group {
        if !group.sync_group_tracking_weight && !group.global_tracking {
            let weighted = |instance: &&config::Instance| {
                group.group.contains(&instance.name) && watched::has_weights(self.configuration, &instance.track)
            };
            if let Some(instance) = self.configuration.vrrp_instances.iter().find(weighted) {
                let message =
                    format!("the weights of what {} tracks count although it is in a group", instance.name.text);
                self.warn(group.name.span, message);
            }
        }
        daemon::Group {
            name: group.name.text.clone(),
            members: group.group.iter().map(|name| name.text.clone()).collect(),
            tracks: self.tracks(&group.track),
            notify: self.notify(&group.notify),
            mail: self.mails(&group.notify),
        }
    }

    fn notify(&mut self, notify: &Notify) -> daemon::Notify {
        let mut command = |script: &Option<Script>| script.as_ref().and_then(|script| self.command(script));
        daemon::Notify {
            active: command(&notify.master),
            backup: command(&notify.backup),
            fault: command(&notify.fault),
            stop: command(&notify.stop),
            deleted: notify.say_deleted.then(|| command(&notify.deleted)),
            any: command(&notify.any),
            rival: command(&notify.master_rx_lower_pri),
        }
    }

    /// Whether mails are sent of a virtual router or a group.
    fn mails(&self, notify: &Notify) -> bool {
        let mail = &self.configuration.global_defs.mail;
        notify.smtp_alert.or(mail.smtp_alert_vrrp).or(mail.smtp_alert).unwrap_or_default()
    }

    fn mail(&self) -> Option<Mail> {
        let mail = &self.configuration.global_defs.mail;
        if mail.notification_email.is_empty() {
            return None;
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let (server, port) = match &mail.smtp_server {
            Some((server, port)) => (server.text.clone(), *port),
            None => ("127.0.0.1".to_owned(), 25),
        };
        Some(Mail {
            server,
            port,
            helo: mail.smtp_helo_name.clone(),
            from: mail.notification_email_from.clone().unwrap_or_else(|| format!("keepalived@{host}")),
            to: mail.notification_email.clone(),
            timeout: mail.smtp_connect_timeout.0,
        })
    }

    fn fifos(&mut self) -> Vec<daemon::Fifo> {
        let global = &self.configuration.global_defs;
        let all = [
            (&global.notify_fifo, About::All),
            (&global.vrrp_notify_fifo, About::Routers),
            (&global.lvs_notify_fifo, About::Servers),
        ];
        all.into_iter().filter_map(|(fifo, about)| self.fifo(fifo, about)).collect()
    }

    fn fifo(&mut self, fifo: &Fifo, about: About) -> Option<daemon::Fifo> {
        let (path, user, group) = fifo.path.as_ref()?;
        let default = self.configuration.global_defs.script_user.clone();
        let named = user.clone().map(|user| (user, group.clone())).or(default);
        let owner = named.and_then(|(user, group)| self.user(&user, group.as_deref(), Span::default()));
        let script = fifo.script.as_ref().and_then(|script| self.command(script));
        Some(daemon::Fifo { path: path.into(), owner, about, script })
    }

    fn timed(&mut self, script: Option<&Script>, timeout: Option<config::Seconds>) -> Option<(Command, Duration)> {
        let command = self.command(script?)?;
        Some((command, timeout.map_or(SCRIPT_TIMEOUT, |timeout| timeout.0)))
    }

    /// A command as its user, or as that of `script_user`.
    fn command(&mut self, script: &Script) -> Option<Command> {
        let default = self.configuration.global_defs.script_user.clone();
        let named = script.user.clone().map(|user| (user, script.group.clone())).or(default);
        let user = match named {
            // Rather not at all than as somebody else.
            Some((user, group)) => Some(self.user(&user, group.as_deref(), script.span)?),
            None => None,
        };
        match Command::from_words(script.command.iter().cloned()) {
            Ok(command) => Some(command.as_user(user)),
            Err(error) => {
                self.error(script.span, error.to_string());
                None
            }
        }
    }

    fn user(&mut self, name: &str, group: Option<&str>, span: Span) -> Option<User> {
        let key = (name.to_owned(), group.map(str::to_owned));
        if let Some(known) = self.users.get(&key) {
            return *known;
        }
        let found = users::user(name, group);
        if let Err(error) = &found {
            // No reason to serve nothing.
            self.warn(span, format!("{error:#}: what is to run as that user is not run"));
        }
        let found = found.ok();
        self.users.insert(key, found);
        found
    }

    fn statics(&mut self) -> Statics {
        let configuration = self.configuration;
        let mut statics = Statics::new();
        for address in &configuration.static_ipaddress {
            let default = configuration.global_defs.default_interface.as_ref();
            let interface = address.dev.as_ref().or(default).map_or(DEFAULT_INTERFACE, config::Name::as_str);
            if let Some(made) = self.address(&config::Address { dev: None, ..address.clone() }) {
                statics = statics.with_address(interface, made);
            }
        }
        for route in &configuration.static_routes {
            if let Some(route) = self.route(route) {
                statics = statics.with_route(route);
            }
        }
        for rule in &configuration.static_rules {
            if let Some(rule) = self.rule(rule) {
                statics = statics.with_rule(rule);
            }
        }
        statics
    }

    fn address(&mut self, address: &config::Address) -> Option<Address> {
        let text = format!("{}/{}", address.address, address.prefix);
        let made = self.or_error(address.span, text.parse::<Address>())?;
        let made = address.dev.iter().fold(made, |made, dev| made.on_interface(dev.as_str()));
        let made = address.scope.into_iter().fold(made, |made, scope| made.with_scope(path::scope(scope)));
        let made = match &address.label {
            Some(label) => made.with_label(self.or_error(address.span, label.parse())?),
            None => made,
        };
        let made = match address.broadcast {
            Some(config::Broadcast::Ones) => made.with_broadcast(vrrp_net::netlink::Broadcast::Auto),
            Some(config::Broadcast::Address(std::net::IpAddr::V4(v4))) => {
                made.with_broadcast(vrrp_net::netlink::Broadcast::Explicit(v4))
            }
            Some(config::Broadcast::Zeros | config::Broadcast::Address(std::net::IpAddr::V6(_))) => {
                self.warn(address.span, "this broadcast address is not set: it is + or an IPv4 address".to_owned());
                made
            }
            None => made,
        };
        Some(made.with_prefix_route(!address.noprefixroute))
    }

    /// The value, or an error at its place.
    fn or_error<T, E: std::fmt::Display>(&mut self, span: Span, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.error(span, error.to_string())).ok()
    }

    fn error(&mut self, span: Span, message: String) {
        self.report.push(Diagnostic::error(span, message));
    }

    fn warn(&mut self, span: Span, message: String) {
        self.report.push(Diagnostic::warning(span, message));
    }
}
