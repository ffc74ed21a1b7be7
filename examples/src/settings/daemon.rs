//! A daemon's file: virtual routers, what they track, and who is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use super::{Router, Span, TrackNamed, read_toml};
use crate::daemon::config::{self, About, Command, Config, Effect, Initial, InitialNumber, Notify, Track, Watched};
use crate::daemon::users::user;

/// A configuration file: a `router` table for each virtual router, with the names of the command line's options, and tables for
/// what those track and for who is told.
///
/// ```toml
/// script-user = "nobody"
/// mail = { server = "192.0.2.25", from = "vrrp@example.com", to = ["admin@example.com"] }
///
/// [script.web]
/// command = "/usr/local/bin/check-web --quick"
/// interval = "2s"
/// fall = 3
/// weight = -30
///
/// [[router]]
/// interface = "eth0"
/// vrid = 51
/// priority = 150
/// addresses = ["192.0.2.100", "192.0.2.101/24 label eth0:vip"]
/// excluded-addresses = ["198.51.100.1/32 dev eth1"]
/// interval = "500ms"
/// preempt-delay = "30s"
/// track-interfaces = ["eth1 weight -60"]
/// track-scripts = ["web"]
/// notify = { active = "/usr/local/bin/serve on", any = "/usr/local/bin/log-change" }
/// mail = true
/// announce = { delay = "2s", refresh = "60s" }
///
/// [[router]]
/// interface = "eth0"
/// vrid = 52
/// addresses = ["fe80::100", "2001:db8::100"]
/// virtual-mac = true
///
/// [group.both]
/// members = ["eth0/51", "eth0/52"]
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// The virtual routers.
    #[serde(default)]
    pub router: Vec<Router>,
    /// Virtual routers that are one election, by name.
    #[serde(default)]
    pub group: BTreeMap<String, Group>,
    /// Checks, by name.
    #[serde(default)]
    pub script: BTreeMap<String, Script>,
    /// Files with a number in them, by name.
    #[serde(default)]
    pub file: BTreeMap<String, Number>,
    /// Programs that are to run, by name.
    #[serde(default)]
    pub process: BTreeMap<String, Process>,
    /// Pipes that other programs read what happens from.
    #[serde(default)]
    pub fifo: Vec<Fifo>,
    /// Who is written to.
    pub mail: Option<Mail>,
    /// This host in mails [default: its name].
    #[serde(default)]
    pub name: String,
    /// Who runs checks and notifications, `USER` or `USER:GROUP` [default: keepalived_script if there is one, else the daemon's].
    pub script_user: Option<String>,
    /// A program that is to run as root is not run if anybody else could change it.
    #[serde(default)]
    pub script_security: bool,
    /// For how long one notification may run [default: 60s].
    pub notify_timeout: Option<Span>,
    /// For how long the last notifications are waited for at a stop [default: 5s].
    pub stop_timeout: Option<Span>,
    /// How long virtual routers wait at the start [default: 0].
    pub startup_delay: Option<Span>,
    /// The Unix socket on which the daemon is asked and told.
    pub control: Option<PathBuf>,
    /// Where Prometheus reads metrics: `127.0.0.1:9650`.
    pub metrics: Option<SocketAddr>,
}

/// Virtual routers that are one election.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Group {
    /// Their names.
    members: Vec<String>,
    /// What all of them track, as in `router`.
    #[serde(default)]
    track_scripts: Vec<TrackNamed>,
    #[serde(default)]
    track_files: Vec<TrackNamed>,
    #[serde(default)]
    track_processes: Vec<TrackNamed>,
    /// What is run when the role of all changes.
    #[serde(default)]
    notify: Commands,
    /// Whether that is mailed.
    #[serde(default)]
    mail: bool,
}

/// A check.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Script {
    /// A program with its arguments, or `</dev/tcp/HOST/PORT`: whether a port is open.
    command: Words,
    /// [default: 1s]
    interval: Option<Span>,
    /// When one that has not ended has failed [default: after the interval].
    timeout: Option<Span>,
    /// How many successes make it up [default: 1].
    rise: Option<u32>,
    /// How many failures make it down [default: 1].
    fall: Option<u32>,
    /// It is taken for failed until it has succeeded.
    #[serde(default)]
    init_fail: bool,
    /// What it does to the priority; without it, while it is down there is no election.
    #[serde(default)]
    weight: i16,
    /// The other way around.
    #[serde(default)]
    reverse: bool,
}

/// A file with a number in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Number {
    path: PathBuf,
    /// What the number is multiplied with; 0: any number but 0 is a fault [default: 1].
    weight: Option<i16>,
    #[serde(default)]
    reverse: bool,
    /// What is written into it at the start, if it is not there.
    initial: Option<i64>,
    /// Also if it is there.
    #[serde(default)]
    overwrite: bool,
}

/// A program that is to run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Process {
    /// Its name, or with `full-command` what it was called with.
    program: String,
    #[serde(default)]
    full_command: bool,
    /// How many must run [default: 1].
    least: Option<u32>,
    /// How many may run.
    most: Option<u32>,
    /// How long there must have been enough, or too few, until it counts [default: 0].
    delay: Option<Span>,
    #[serde(default)]
    weight: i16,
    #[serde(default)]
    reverse: bool,
}

/// A pipe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fifo {
    path: PathBuf,
    /// A program that reads it; the path is its last argument.
    script: Option<Words>,
}

/// How mail is sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mail {
    server: String,
    /// [default: 25]
    port: Option<u16>,
    helo: Option<String>,
    from: String,
    to: Vec<String>,
    /// [default: 30s]
    timeout: Option<Span>,
}

/// What is run when a role changes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Commands {
    active: Option<Words>,
    backup: Option<Words>,
    fault: Option<Words>,
    stop: Option<Words>,
    deleted: Option<Words>,
    /// Each change, with four more arguments: INSTANCE or GROUP, the name, MASTER, BACKUP, FAULT, STOP or DELETED, the priority.
    any: Option<Words>,
    rival: Option<Words>,
}

/// A command line: words with blanks between, or in quotes. Or a table with the user that runs it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// Run by whom [`File::script_user`] names.
    Line(String),
    /// Run by somebody else.
    AsUser {
        /// The command line.
        run: String,
        /// `USER` or `USER:GROUP`.
        user: String,
    },
}

impl File {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// What is wrong with it, with the place.
    pub fn read(path: &Path) -> anyhow::Result<Config> {
        let file: Self = read_toml(path)?;
        anyhow::ensure!(!file.router.is_empty(), "{} has no [[router]]: there is nothing to do", path.display());
        let config = file.config().with_context(|| format!("in {}", path.display()))?;
        config.validate().with_context(|| format!("in {}", path.display()))?;
        Ok(config)
    }

    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let default = Config::default();
        let user = self.script_user.as_deref().map(named_user).transpose()?;
        let routers = self
            .router
            .iter()
            .map(|router| router.named(user).with_context(|| format!("virtual router {}", router.vrid)));
        let groups = self.group.iter().map(|(name, group)| {
            let notify = group.notify.notify(user).with_context(|| format!("group {name:?}"))?;
            let tracks = tracks(&group.track_scripts, &group.track_files, &group.track_processes);
            anyhow::Ok(config::Group {
                name: name.clone(),
                members: group.members.clone(),
                tracks,
                notify,
                mail: group.mail,
            })
        });
        let scripts = self
            .script
            .iter()
            .map(|(name, script)| script.script(name, user).with_context(|| format!("script {name:?}")));
        let fifos = self.fifo.iter().map(|fifo| {
            let script = fifo.script.as_ref().map(|script| script.command(user)).transpose()?;
            anyhow::Ok(config::Fifo { path: fifo.path.clone(), owner: user, about: About::All, script })
        });
        let mut routers = routers.collect::<anyhow::Result<Vec<config::Router>>>()?;
        // Those of both families may have one place, and so one default name.
        let mut taken: BTreeSet<String> = self.router.iter().filter_map(|router| router.name.clone()).collect();
        for (router, written) in routers.iter_mut().zip(&self.router) {
            // The others are to serve meanwhile.
            router.config = router.config.clone().with_absent_interface(true);
            if written.name.is_some() {
                continue;
            }
            let plain = router.name.clone();
            let mut number = 1;
            while !taken.insert(router.name.clone()) {
                number += 1;
                router.name = format!("{plain}#{number}");
            }
        }
        Ok(Config {
            name: self.name.clone(),
            routers,
            groups: groups.collect::<anyhow::Result<_>>()?,
            scripts: scripts.collect::<anyhow::Result<_>>()?,
            files: self.file.iter().map(|(name, file)| file.tracked(name)).collect(),
            processes: self.process.iter().map(|(name, process)| process.tracked(name)).collect(),
            mail: self.mail.as_ref().map(Mail::mail),
            fifos: fifos.collect::<anyhow::Result<_>>()?,
            script_security: self.script_security,
            notify_timeout: self.notify_timeout.map_or(default.notify_timeout, |Span(span)| span),
            stop_timeout: self.stop_timeout.map_or(default.stop_timeout, |Span(span)| span),
            startup_delay: self.startup_delay.map_or(default.startup_delay, |Span(span)| span),
            control: self.control.clone(),
            metrics: self.metrics,
            ..default
        })
    }
}

impl Router {
    /// With all that belongs to it beside the protocol; programs run as `user` where nobody else is named.
    ///
    /// # Errors
    /// The value that is out of its range, and the range.
    pub fn named(&self, user: Option<config::User>) -> anyhow::Result<config::Router> {
        let config = self.config()?;
        let name = self.name.clone().unwrap_or_else(|| format!("{}/{}", config.interface(), config.vrid()));
        Ok(config::Router {
            tracks: tracks(&self.track_scripts, &self.track_files, &self.track_processes),
            notify: self.notify.notify(user)?,
            mail: self.mail,
            notify_priority: self.notify_priority,
            ..config::Router::new(name, config)
        })
    }
}

impl Script {
    fn script(&self, name: &str, user: Option<config::User>) -> anyhow::Result<config::Script> {
        let default = config::Script::new(name, self.command.command(user)?);
        Ok(config::Script {
            interval: self.interval.map_or(default.interval, |Span(span)| span),
            timeout: self.timeout.map(|Span(span)| span),
            rise: self.rise.unwrap_or(default.rise),
            fall: self.fall.unwrap_or(default.fall),
            initial: if self.init_fail { Initial::Down } else { Initial::Up },
            effect: Effect::weight(self.weight, self.reverse),
            ..default
        })
    }
}

impl Number {
    fn tracked(&self, name: &str) -> config::TrackedFile {
        let initial = self.initial.map(|value| InitialNumber { value, overwrite: self.overwrite });
        let effect = Effect::weight(self.weight.unwrap_or(1), self.reverse);
        config::TrackedFile { name: name.to_owned(), path: self.path.clone(), effect, initial }
    }
}

impl Process {
    fn tracked(&self, name: &str) -> config::TrackedProcess {
        let delay = self.delay.map(|Span(span)| span).unwrap_or_default();
        config::TrackedProcess {
            full_command: self.full_command,
            least: self.least.unwrap_or(1),
            most: self.most,
            up_delay: delay,
            down_delay: delay,
            effect: Effect::weight(self.weight, self.reverse),
            ..config::TrackedProcess::new(name, &self.program)
        }
    }
}

impl Mail {
    fn mail(&self) -> config::Mail {
        config::Mail {
            server: self.server.clone(),
            port: self.port.unwrap_or(25),
            helo: self.helo.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            timeout: self.timeout.map_or(std::time::Duration::from_secs(30), |Span(span)| span),
        }
    }
}

impl Commands {
    fn notify(&self, user: Option<config::User>) -> anyhow::Result<Notify> {
        let command = |words: &Option<Words>| words.as_ref().map(|words| words.command(user)).transpose();
        Ok(Notify {
            active: command(&self.active)?,
            backup: command(&self.backup)?,
            fault: command(&self.fault)?,
            stop: command(&self.stop)?,
            deleted: command(&self.deleted)?.map(Some),
            any: command(&self.any)?,
            rival: command(&self.rival)?,
        })
    }
}

impl Words {
    fn command(&self, default: Option<config::User>) -> anyhow::Result<Command> {
        let (line, user) = match self {
            Self::Line(line) => (line, default),
            Self::AsUser { run, user } => (run, Some(named_user(user)?)),
        };
        Ok(Command::from_words(split(line)?)?.as_user(user))
    }
}

fn named_user(text: &str) -> anyhow::Result<config::User> {
    match text.split_once(':') {
        Some((name, group)) => user(name, Some(group)),
        None => user(text, None),
    }
}

fn tracks(scripts: &[TrackNamed], files: &[TrackNamed], processes: &[TrackNamed]) -> Vec<Track> {
    let of = |named: &TrackNamed, what: fn(String) -> Watched| Track {
        what: what(named.name.clone()),
        effect: named.effect,
    };
    let scripts = scripts.iter().map(|named| of(named, Watched::Script));
    let files = files.iter().map(|named| of(named, Watched::File));
    scripts.chain(files).chain(processes.iter().map(|named| of(named, Watched::Process))).collect()
}

/// The words of a command line. Quotes, single or double, keep blanks together; nothing else is special.
fn split(line: &str) -> anyhow::Result<Vec<String>> {
    let (mut words, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) = (Vec::new(), None, None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    anyhow::ensure!(quote.is_none(), "command {line:?}: a quote is not closed");
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use vrrp_net::vrrp_core::track::Impact;

    use super::*;

    #[test]
    fn a_file_with_all_tables_is_read() {
        let file: File = toml::from_str(
            r#"
            name = "lb1"
            script-user = "root"
            script-security = true
            notify-timeout = "10s"
            stop-timeout = 2
            startup-delay = "100ms"
            control = "/run/vrrpd.sock"
            metrics = "127.0.0.1:9650"
            mail = { server = "192.0.2.25", port = 2525, helo = "lb1.example.com", from = "a@example.com", to = ["b@example.com"], timeout = "5s" }

            [script.web]
            command = "/bin/check 'two words' last"
            interval = "2s"
            timeout = "1s"
            rise = 2
            fall = 3
            init-fail = true
            weight = -30

            [script.port]
            command = { run = "</dev/tcp/127.0.0.1/80", user = "0:0" }
            reverse = true

            [file.load]
            path = "/run/load"
            initial = 5
            overwrite = true

            [process.nginx]
            program = "nginx"
            least = 2
            most = 9
            delay = "1s"
            weight = 5

            [[fifo]]
            path = "/run/vrrp.fifo"
            script = "/bin/reader"

            [[router]]
            name = "one"
            interface = "eth0"
            vrid = 51
            addresses = ["192.0.2.100"]
            nopreempt = true
            track-scripts = ["web weight -60", "port"]
            track-files = ["load"]
            track-processes = ["nginx weight 0 reverse"]
            notify = { active = "/bin/a", backup = "/bin/b", fault = "/bin/c", stop = "/bin/d", deleted = "/bin/e", any = "/bin/f", rival = "/bin/g" }
            mail = true
            notify-priority = true

            [group.all]
            members = ["one"]
            track-scripts = ["port"]
            notify = { any = "/bin/h" }
            mail = true
            "#,
        )
        .unwrap();
        let config = file.config().unwrap();
        config.validate().unwrap();
        let [port, web] = &config.scripts[..] else { panic!("{:?}", config.scripts) };
        assert_eq!(web.command.to_string(), "/bin/check two words last");
        assert_eq!((web.rise, web.fall, web.initial), (2, 3, Initial::Down));
        assert_eq!(
            (web.effect, port.effect),
            (Effect::weight(-30, false), Effect { impact: Impact::Fault, reverse: true })
        );
        let [router] = &config.routers[..] else { panic!("{:?}", config.routers) };
        let effects: Vec<_> = router.tracks.iter().map(|track| track.effect).collect();
        assert_eq!(effects, [Some(Effect::weight(-60, false)), None, None, Some(Effect::weight(0, true))]);
        assert_eq!(router.notify.deleted.clone().unwrap().unwrap().to_string(), "/bin/e");
        assert_eq!(config.processes[0].most, Some(9));
    }

    #[test]
    fn words_are_split_at_blanks_but_not_in_quotes() {
        assert_eq!(split(r#" a  "b c"d '' "it's" "#).unwrap(), ["a", "b cd", "", "it's"]);
        assert!(split("a 'b").unwrap_err().to_string().contains("not closed"));
    }

    #[test]
    fn what_leads_nowhere_is_named() {
        let error = |toml: &str| {
            let router = "[[router]]\ninterface = \"eth0\"\nvrid = 51\naddresses = [\"192.0.2.1\"]\n";
            let file: File = toml::from_str(&format!("{router}{toml}")).unwrap();
            let config = file.config().map_err(|error| format!("{error:#}"));
            config.and_then(|config| config.validate().map_err(|error| error.to_string())).unwrap_err()
        };
        assert!(error("track-scripts = [\"web\"]").contains("script \"web\", which is not there"));
        assert!(error("[group.g]\nmembers = [\"x\"]").contains("\"x\", which is not there (there is: eth0/51)"));
        assert!(error("[script.s]\ncommand = \"\"").contains("script \"s\": command: it is empty"));
        let nobody = error("notify = { any = { run = \"/bin/x\", user = \"no-such-user\" } }");
        assert!(nobody.contains("virtual router 51: there is no user \"no-such-user\""), "{nobody}");
    }
}
