//! What a daemon is to do, as plain data: the same whichever way it was written down.
//!
//! Two programs make one of these: `vrrpd` from TOML, `keepalived` from a keepalived.conf. Where a field is a keyword of
//! keepalived's, its documentation says so; the meaning is the one of keepalived.conf(5).

mod check;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use vrrp_net::vrrp_core::track::{Impact, Tracked};
use vrrp_net::vrrp_core::{Interval, Params, Priority, Version};
use vrrp_net::{RouterConfig, Statics};

pub use self::check::ConfigError;

/// Everything that a daemon runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The program and its version, where it is asked: `vrrpd 0.1.0`.
    pub program: String,
    /// This host in mails (`router_id`); empty: its host name.
    pub name: String,
    /// The virtual routers (`vrrp_instance`).
    pub routers: Vec<Router>,
    /// Virtual routers that are one election (`vrrp_sync_group`).
    pub groups: Vec<Group>,
    /// Checks that virtual routers track (`vrrp_script`). One that nobody tracks is not run.
    pub scripts: Vec<Script>,
    /// Files whose number virtual routers track (`track_file`).
    pub files: Vec<TrackedFile>,
    /// Programs that virtual routers want to run (`vrrp_track_process`).
    pub processes: Vec<TrackedProcess>,
    /// Addresses, routes and rules that are there whatever the roles are (`static_ipaddress`, `static_routes`, `static_rules`).
    pub statics: Statics,
    /// What is balanced behind the addresses (`virtual_server`). An empty one needs no IPVS in the kernel.
    pub director: Option<DirectorConfig>,
    /// Who is written to (`notification_email`); `None`: nobody.
    pub mail: Option<Mail>,
    /// Pipes that other programs read what happens from (`notify_fifo`).
    pub fifos: Vec<Fifo>,
    /// Run before anything else, and at the very end (`startup_script`, `shutdown_script`), each waited for at most so long.
    pub startup_script: Option<(Command, Duration)>,
    /// As [`startup_script`](Self::startup_script), when everything is released.
    pub shutdown_script: Option<(Command, Duration)>,
    /// A program that is to run as root is not run if anybody else could change it (`enable_script_security`).
    pub script_security: bool,
    /// For how long one notification may run until it is ended, and the next one has its turn.
    pub notify_timeout: Duration,
    /// For how long the last notifications are waited for at a stop.
    pub stop_timeout: Duration,
    /// How long virtual routers wait at the start, for interfaces that are not ready yet (`vrrp_startup_delay`).
    pub startup_delay: Duration,
    /// Whether a [`Guardian`](vrrp_net::Guardian) releases the addresses if the process dies.
    pub guardian: bool,
    /// The Unix socket on which the daemon is asked and told; `None`: it has none.
    pub control: Option<PathBuf>,
    /// Where Prometheus reads metrics over HTTP; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
}

impl Default for Config {
    /// Nothing to run, with a guardian.
    fn default() -> Self {
        Self {
            program: String::new(),
            name: String::new(),
            routers: Vec::new(),
            groups: Vec::new(),
            scripts: Vec::new(),
            files: Vec::new(),
            processes: Vec::new(),
            statics: Statics::new(),
            director: None,
            mail: None,
            fifos: Vec::new(),
            startup_script: None,
            shutdown_script: None,
            script_security: false,
            notify_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(5),
            startup_delay: Duration::ZERO,
            guardian: true,
            control: None,
            metrics: None,
        }
    }
}

/// One virtual router, with what belongs to it beside the protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Router {
    /// Its name, in notifications and in the log; no two have the same.
    pub name: String,
    /// The virtual router. What it tracks of the host's interfaces, addresses and routes is in here, also what its group
    /// tracks of them.
    pub config: RouterConfig,
    /// The checks, files and programs that it tracks.
    pub tracks: Vec<Track>,
    /// What is run when its role changes.
    pub notify: Notify,
    /// Whether changes of its role are mailed (`smtp_alert`).
    pub mail: bool,
    /// Whether pipes are told of changes of its priority (`notify_priority_changes`).
    pub notify_priority: bool,
}

impl Router {
    /// One that tracks nothing and notifies nobody.
    pub fn new(name: impl Into<String>, config: RouterConfig) -> Self {
        let (tracks, notify) = (Vec::new(), Notify::default());
        Self { name: name.into(), config, tracks, notify, mail: false, notify_priority: false }
    }
}

/// Virtual routers that take over together, and leave together.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Group {
    /// Its name; no two groups have the same, but a virtual router may have it.
    pub name: String,
    /// The names of its virtual routers.
    pub members: Vec<String>,
    /// What all of its members track, beside what each does. (Interfaces are in the members' [`RouterConfig`].)
    pub tracks: Vec<Track>,
    /// What is run when the role of the group changes.
    pub notify: Notify,
    /// Whether changes of its role are mailed.
    pub mail: bool,
}

/// Something that is tracked, and what it does to the virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// What is watched.
    pub what: Watched,
    /// What it does; `None`: what is said where it is defined.
    pub effect: Option<Effect>,
}

/// What is watched, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// One of [`Config::scripts`].
    Script(String),
    /// One of [`Config::files`].
    File(String),
    /// One of [`Config::processes`].
    Process(String),
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(name) => write!(f, "script {name:?}"),
            Self::File(name) => write!(f, "file {name:?}"),
            Self::Process(name) => write!(f, "process {name:?}"),
        }
    }
}

/// What a watched thing does to a virtual router's place in the election: keepalived's `weight NUMBER [reverse]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// [`Impact::Fault`] (`weight 0`): while it is down, the virtual router is out of the election. A positive weight is added
    /// to the priority while it is up, a negative one while it is down. For a file: its number times the weight is added.
    pub impact: Impact,
    /// A weight counts with the other sign; a fault is there while it is up.
    pub reverse: bool,
}

impl Effect {
    /// Out of the election while it is down: what holds where nothing else is said.
    pub const FAULT: Self = Self { impact: Impact::Fault, reverse: false };

    /// As keepalived has it: a weight of 0 is a fault.
    pub const fn weight(weight: i16, reverse: bool) -> Self {
        let impact = if weight == 0 { Impact::Fault } else { Impact::Weight(weight) };
        Self { impact, reverse }
    }

    /// As the driver takes it, for a thing that is `up` or is not.
    pub const fn tracked(self, up: bool) -> Tracked {
        // The driver's `inverted` exchanges up and down but keeps the sign: a positive weight would be added while it is down.
        let impact = match (self.impact, self.reverse) {
            (Impact::Weight(weight), true) => Impact::Weight(weight.saturating_neg()),
            (impact, _) => impact,
        };
        Tracked { impact, inverted: self.reverse, up }
    }
}

/// What is run when a role changes. All of it is optional; a change runs the one for the new role and then `any`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Notify {
    /// It serves now (`notify_master`).
    pub active: Option<Command>,
    /// It stands by now (`notify_backup`).
    pub backup: Option<Command>,
    /// Something keeps it out of the election (`notify_fault`).
    pub fault: Option<Command>,
    /// It ends (`notify_stop`).
    pub stop: Option<Command>,
    /// A reload has removed it. `Some(None)`: `any` and the pipes are told DELETED (instead of FAULT); `Some(Some(_))`: this
    /// is run too (`notify_deleted`).
    pub deleted: Option<Option<Command>>,
    /// Each change (`notify`). It gets four more arguments: INSTANCE or GROUP, the name, MASTER, BACKUP, FAULT, STOP or DELETED,
    /// and the priority.
    pub any: Option<Command>,
    /// It serves, and has heard another one of lower priority that does too (`notify_master_rx_lower_pri`).
    pub rival: Option<Command>,
}

/// A check that is made again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its name; no two have the same.
    pub name: String,
    /// What is done.
    pub command: Command,
    /// From the start of one to the start of the next, if that one has ended.
    pub interval: Duration,
    /// When one that has not ended is ended, with all that it has started, and has failed; `None`: after `interval`.
    pub timeout: Option<Duration>,
    /// How many successes in a row make it up; at least 1.
    pub rise: u32,
    /// How many failures in a row make it down; at least 1.
    pub fall: u32,
    /// What it is taken for until it has ended once, which counts at once whatever `rise` and `fall` are; with
    /// [`Initial::Down`] it takes `rise` successes (`init_fail`).
    pub initial: Initial,
    /// What it does to a virtual router that tracks it without saying so itself.
    pub effect: Effect,
}

impl Script {
    /// With keepalived's defaults: once a second, the first result counts, down is a fault.
    pub fn new(name: impl Into<String>, command: Command) -> Self {
        Self {
            name: name.into(),
            command,
            interval: Duration::from_secs(1),
            timeout: None,
            rise: 1,
            fall: 1,
            initial: Initial::Up,
            effect: Effect::FAULT,
        }
    }
}

/// What a check is taken for before it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Initial {
    /// A success, until the first result.
    #[default]
    Up,
    /// A failure, until `rise` successes.
    Down,
}

/// A file with a number in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedFile {
    /// Its name; no two have the same.
    pub name: String,
    /// Where it is. One that is not there, or has no number in it, counts as 0.
    pub path: PathBuf,
    /// With a weight, that times the number is added to the priority, and less than -253 is a fault. With
    /// [`Impact::Fault`] any number but 0 is a fault.
    pub effect: Effect,
    /// What is written into it at the start; `overwrite`: also if it is there already (`init_file`).
    pub initial: Option<InitialNumber>,
}

/// What is written into a tracked file at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitialNumber {
    /// The number.
    pub value: i64,
    /// Also if the file is there.
    pub overwrite: bool,
}

/// A program that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedProcess {
    /// Its name here; no two have the same.
    pub name: String,
    /// The name of the program: the whole of `/proc/PID/comm` (15 octets count), or with `full_command` or `parameters` what
    /// it was called with.
    pub program: String,
    /// The parameters that it was called with; `None`: any.
    pub parameters: Option<Parameters>,
    /// Compare with what it was called with (`/proc/PID/cmdline`), not with its name.
    pub full_command: bool,
    /// How many must run (`quorum`), 1 unless set.
    pub least: u32,
    /// How many may run (`quorum_max`); `None`: any number. 0: none may.
    pub most: Option<u32>,
    /// How long there must have been enough until it counts as up (`fork_delay`).
    pub up_delay: Duration,
    /// How long there must have been too few until it counts as down (`terminate_delay`).
    pub down_delay: Duration,
    /// What it does to a virtual router that tracks it without saying so itself. keepalived's default is a weight of 1.
    pub effect: Effect,
}

impl TrackedProcess {
    /// One of this name must run; if not, it is a fault.
    pub fn new(name: impl Into<String>, program: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            parameters: None,
            full_command: false,
            least: 1,
            most: None,
            up_delay: Duration::ZERO,
            down_delay: Duration::ZERO,
            effect: Effect::FAULT,
        }
    }
}

/// What a program's parameters are compared with (`param_match`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// These and no others.
    Exactly(Vec<String>),
    /// These first (`partial`).
    First(Vec<String>),
    /// These first, of which the last may go on (`initial`).
    Beginning(Vec<String>),
}

/// Something that is done for its exit status, or for what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What is done.
    pub task: Task,
    /// As whom; `None`: the user `keepalived_script` if there is one, else the one that the daemon runs as.
    pub user: Option<User>,
}

/// What a [`Command`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Runs a program. No shell is between. A name without `/` is looked for where programs are (`PATH`); where there is no
    /// `killall`, `killall -0 NAME` is looked up in `/proc`.
    Run {
        /// Its path, or its name.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// Makes a TCP connection and ends it: succeeds if somebody listens.
    Connect {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
}

impl Command {
    /// From the words of a command line: a program with its arguments, or `</dev/tcp/HOST/PORT`, which in a shell would open
    /// a connection and is done without one here.
    ///
    /// # Errors
    /// [`ConfigError::Command`] if there are no words, or such a connection leads nowhere.
    pub fn from_words(words: impl IntoIterator<Item = String>) -> Result<Self, ConfigError> {
        let mut words = words.into_iter();
        let first = words.next().filter(|word| !word.is_empty());
        let first = first.ok_or_else(|| ConfigError::Command("it is empty: name a program".to_owned()))?;
        let arguments: Vec<String> = words.collect();
        let place = first.strip_prefix('<').map(|rest| match (rest, arguments.first()) {
            ("", Some(next)) => next.clone(),
            (rest, _) => rest.to_owned(),
        });
        let Some(place) = place else {
            return Ok(Self { task: Task::Run { program: first.into(), arguments }, user: None });
        };
        let parts = place.strip_prefix("/dev/tcp/").and_then(|rest| rest.rsplit_once('/'));
        match parts.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
            Some((host, port)) if !host.is_empty() && port != 0 => {
                Ok(Self { task: Task::Connect { host: host.to_owned(), port }, user: None })
            }
            Some(_) | None => {
                let why =
                    format!("{first:?} is no program: to ask whether a TCP port is open, write </dev/tcp/HOST/PORT");
                Err(ConfigError::Command(why))
            }
        }
    }

    /// Done as this user.
    pub fn as_user(self, user: Option<User>) -> Self {
        Self { user: user.or(self.user), ..self }
    }
}

/// In the words that it came from.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Task::Run { program, arguments } => {
                write!(f, "{}", program.display())?;
                arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
            }
            Task::Connect { host, port } => write!(f, "</dev/tcp/{host}/{port}"),
        }
    }
}

/// A user to run programs as: with this one group, and no other that it may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

/// Virtual servers, and what is run when they change.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DirectorConfig {
    /// The virtual servers with their checks.
    pub config: vrrp_ipvs::director::Config,
    /// The virtual routers whose addresses it balances: it is Active while one of them is. Empty: all.
    pub routers: Vec<String>,
    /// What a lost quorum does to those; `None`: nothing.
    pub quorum_impact: Option<Impact>,
    /// Whether every service that is in the kernel's table at the start is a former run's, and goes if it is not wanted.
    pub whole_table: bool,
    /// How long the kernel keeps connections that are silent (`lvs_timeouts`): 0 leaves one as it is, `None` all of them.
    pub timeouts: Option<vrrp_ipvs::Timeouts>,
    /// Whether it is told at the start of each real server how it is, which is no change (`rs_init_notifies`).
    pub initial_notices: bool,
    /// What is run and mailed, by the name of the virtual server.
    pub notify: Vec<ServerNotify>,
}

impl DirectorConfig {
    /// Whether there is something in it that the kernel's IPVS is needed for.
    pub const fn needs_ipvs(&self) -> bool {
        let config = &self.config;
        !config.virtual_servers.is_empty() || config.sync.is_some() || self.timeouts.is_some() || self.whole_table
    }
}

/// What is run and mailed for one virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ServerNotify {
    /// The name of the virtual server in the director's configuration.
    pub virtual_server: String,
    /// How pipes are told of it, as `[192.0.2.100]:tcp:80`; empty: by its name.
    pub label: String,
    /// Run when there is a quorum (`quorum_up`).
    pub quorum_up: Option<Command>,
    /// Run when there is none (`quorum_down`).
    pub quorum_down: Option<Command>,
    /// Whether that is mailed (`smtp_alert` of the virtual server).
    pub mail: bool,
    /// Its real servers that have something of their own.
    pub real_servers: Vec<RealServerNotify>,
}

/// What is run and mailed for one real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealServerNotify {
    /// Which one.
    pub server: SocketAddr,
    /// Run when it serves (`notify_up`).
    pub up: Option<Command>,
    /// Run when it does not (`notify_down`).
    pub down: Option<Command>,
    /// Whether that is mailed (`smtp_alert` of the real server).
    pub mail: bool,
}

/// How mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The name or address of the server (`smtp_server`).
    pub server: String,
    /// Its port, 25 unless set.
    pub port: u16,
    /// The name that this host gives itself (`smtp_helo_name`); `None`: its host name.
    pub helo: Option<String>,
    /// Whom it is from (`notification_email_from`).
    pub from: String,
    /// Whom it is to (`notification_email`).
    pub to: Vec<String>,
    /// How long a connection may take (`smtp_connect_timeout`), and each answer.
    pub timeout: Duration,
}

/// A named pipe that is told what happens, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fifo {
    /// Where it is. It is made if it is not there, and removed at the end then.
    pub path: PathBuf,
    /// Whose it is; `None`: the daemon's.
    pub owner: Option<User>,
    /// What it is told of.
    pub about: About,
    /// A program that reads it, run for as long as the daemon runs, with the path as its last argument.
    pub script: Option<Command>,
}

/// What a pipe is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Everything (`notify_fifo`).
    All,
    /// Virtual routers and their groups (`vrrp_notify_fifo`).
    Routers,
    /// Virtual and real servers (`lvs_notify_fifo`).
    Servers,
}

/// When an Active that never heard another one calls an election, where Backups do not preempt: twice its
/// Active_Down_Interval. What daemons give to [`RouterConfig::with_settle`], so that a cold start of all hosts ends with the
/// highest priority.
pub fn settle_time(version: Version, priority: Priority, interval: Interval) -> Duration {
    Params::new(version).with_priority(priority).active_down_interval(interval).saturating_mul(2)
}
