//! A PostgreSQL server on this host, by the programs of its package.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::command;
use super::settings::Database;

/// How long a start may take, with the recovery from a crash.
const START_WITHIN: Duration = Duration::from_secs(600);

/// How long a copy of the whole database may take.
const COPY_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// How long a checkpoint may take.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(600);

/// How long a server that has stopped may take to end.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// What a data directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directory {
    Missing,
    Standby,
    /// It was written by a primary last, which says nothing about who is the primary now.
    Primary,
}

/// What may have been begun on a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    Copy,
    Rewind,
}

/// What a database that answers says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) primary: bool,
    /// Every promotion begins another, with a higher number. That of the last checkpoint: it may lag.
    pub(crate) timeline: u32,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Sessions are ended, and a standby that streams gets all there is.
    Fast,
    /// As in a crash: nothing is written any more, at once.
    Immediate,
}

/// The server of one data directory.
#[derive(Debug)]
pub(crate) struct Server {
    database: Database,
    child: Option<Child>,
    interrupt: Arc<AtomicBool>,
}

impl Server {
    /// `interrupt` ends whatever is waited for, except for a stop.
    pub(crate) fn new(database: Database, interrupt: Arc<AtomicBool>) -> Self {
        Self { database, child: None, interrupt }
    }

    /// What the data directory is.
    pub(crate) fn directory(&self) -> Directory {
        let has = |name| self.database.data.join(name).exists();
        match (has("PG_VERSION"), has("standby.signal")) {
            (false, _) => Directory::Missing,
            (true, true) => Directory::Standby,
            (true, false) => Directory::Primary,
        }
    }

    /// The last timeline that this data directory has been on.
    pub(crate) fn timeline(&self) -> anyhow::Result<u32> {
        let data = &self.database.data;
        let text = self.run("pg_controldata", |it| it.arg(data), self.database.answer_within.0)?;
        let line = text.lines().find_map(|line| line.strip_prefix("Latest checkpoint's TimeLineID:"));
        let checkpoint = line.and_then(|number| number.trim().parse().ok()).context("pg_controldata: no timeline")?;
        // One that crashed soon after its promotion has no checkpoint on the new timeline, but the timeline's history.
        let folder = data.join("pg_wal");
        let files = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let number = |name: &OsStr| u32::from_str_radix(name.to_str()?.strip_suffix(".history")?, 16).ok();
        let histories = files.filter_map(|file| number(&file.ok()?.file_name()));
        Ok(histories.fold(checkpoint, u32::max))
    }

    /// The standby that commits wait for; also of a server that does not run.
    pub(crate) fn synchronous_standby(&self) -> anyhow::Result<String> {
        let arguments = [self.arguments(None), vec!["-C".to_owned(), "synchronous_standby_names".to_owned()]].concat();
        Ok(self.run("postgres", |it| it.args(arguments), self.database.answer_within.0)?.trim().to_owned())
    }

    /// Ends a server that an agent before this one has left.
    pub(crate) fn stop_leftover(&mut self) -> anyhow::Result<()> {
        if self.child.is_some() || !self.database.data.join("postmaster.pid").exists() {
            return Ok(());
        }
        let data = &self.database.data;
        let status = self.run("pg_ctl", |it| it.args(["status", "-D"]).arg(data), self.database.answer_within.0);
        // A file that a crash has left.
        if status.is_err_and(|error| error.to_string().contains("exit status: 3")) {
            return Ok(());
        }
        self.control_stop(Stop::Immediate)
    }

    /// Starts it, as the standby of this name or as the primary, and waits until it answers.
    pub(crate) fn start(&mut self, standby: Option<&str>) -> anyhow::Result<()> {
        // It ends with the thread that started it, however that does: without its agent it must not serve.
        let mut command = self.command(Path::new("setpriv"));
        command.args(["--pdeathsig", "QUIT", "--"]).arg(self.database.bin.join("postgres"));
        command.args(self.arguments(standby)).stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().context("cannot run setpriv")?);
        let until = Instant::now() + START_WITHIN;
        while let Err(error) = self.standing() {
            let ended = !self.is_running();
            if ended || Instant::now() >= until || self.interrupt.load(Ordering::Relaxed) {
                self.stop(Stop::Immediate)?;
                let why = if ended { "it ended" } else { "it does not answer" };
                return Err(error.context(format!("cannot start the database: {why}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether the server that was started here is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Stops it, and waits until it has ended. What does not end in time is ended as a crash does.
    pub(crate) fn stop(&mut self, how: Stop) -> anyhow::Result<()> {
        let tries: &[Stop] = if how == Stop::Fast { &[Stop::Fast, Stop::Immediate] } else { &[Stop::Immediate] };
        for how in tries {
            if !self.is_running() {
                break;
            }
            if let Err(error) = self.control_stop(*how) {
                tracing::error!("{error:#}");
            }
            let until = Instant::now() + LAST_MOMENT;
            while self.is_running() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().context("cannot end the database")?;
        }
        Ok(())
    }

    fn control_stop(&self, how: Stop) -> anyhow::Result<()> {
        let (mode, within) = match how {
            Stop::Fast => ("fast", self.database.stop_within.0),
            Stop::Immediate => ("immediate", Duration::from_secs(5)),
        };
        let mut command = self.program("pg_ctl");
        command.args(["stop", "-D"]).arg(&self.database.data);
        command.args(["-m", mode, "-w", "-t", &within.as_secs().max(1).to_string()]);
        command::run("pg_ctl", &mut command, within + Duration::from_secs(1), &AtomicBool::new(false)).map(drop)
    }

    /// Makes a primary of it, and waits until it is.
    pub(crate) fn promote(&self) -> anyhow::Result<()> {
        let (data, within) = (&self.database.data, self.database.promote_within.0);
        let seconds = within.as_secs().max(1).to_string();
        self.run("pg_ctl", |it| it.args(["promote", "-w", "-t", &seconds, "-D"]).arg(data), within).map(drop)
    }

    /// What the server here is.
    pub(crate) fn standing(&self) -> anyhow::Result<Standing> {
        self.standing_of(None)
    }

    /// What the other host's server is, if it answers.
    pub(crate) fn peer(&self) -> anyhow::Result<Standing> {
        self.standing_of(Some(self.database.peer))
    }

    fn standing_of(&self, host: Option<IpAddr>) -> anyhow::Result<Standing> {
        let sql = "select pg_is_in_recovery(), timeline_id from pg_control_checkpoint()";
        let row = self.psql(host, &[sql], self.database.answer_within.0)?;
        let (recovery, timeline) = row.trim().split_once('|').context("psql: no answer")?;
        Ok(Standing { primary: recovery == "f", timeline: timeline.parse().context("psql: no timeline")? })
    }

    /// What the server here answers.
    pub(crate) fn query(&self, statements: &[&str]) -> anyhow::Result<String> {
        self.psql(None, statements, self.database.answer_within.0).map(|text| text.trim().to_owned())
    }

    /// What the other host's server answers.
    pub(crate) fn query_peer(&self, statements: &[&str]) -> anyhow::Result<String> {
        let text = self.psql(Some(self.database.peer), statements, self.database.answer_within.0)?;
        Ok(text.trim().to_owned())
    }

    /// Writes all to the disk, and the timeline with it, by which the others know whom to follow.
    pub(crate) fn checkpoint(&self) -> anyhow::Result<()> {
        self.psql(None, &["checkpoint"], CHECKPOINT_WITHIN).map(drop)
    }

    /// Makes the data directory that of a standby of the other host: by a copy of all.
    pub(crate) fn copy(&self) -> anyhow::Result<()> {
        let (data, source) = (&self.database.data, self.source());
        if self.unfinished() == Some(Unfinished::Copy) && data.exists() {
            std::fs::remove_dir_all(data).with_context(|| format!("cannot remove {}", data.display()))?;
        }
        self.begin_work(Unfinished::Copy)?;
        let options = ["-R", "-X", "stream", "-c", "fast", "-w", "-d", &source];
        self.run("pg_basebackup", |it| it.arg("-D").arg(data).args(options), COPY_WITHIN)?;
        self.end_work()
    }

    /// Makes an old primary's data directory that of a standby of the other host: takes back what the other one does not
    /// have, and copies what has changed there.
    pub(crate) fn rewind(&self) -> anyhow::Result<()> {
        // pg_rewind wants a server that was stopped cleanly. Itself it would make one of it without our settings, and then
        // find that it lacks wal_log_hints.
        let arguments = self.arguments(None);
        self.run("postgres", |it| it.arg("--single").args(arguments).arg("template1"), START_WITHIN)
            .context("cannot recover from the crash")?;
        let (data, source) = (&self.database.data, self.source());
        let rewind = |more: &[&str]| {
            let options = ["-R", "--no-ensure-shutdown", "--source-server", &source];
            self.run("pg_rewind", |it| it.arg("-D").arg(data).args(options).args(more), COPY_WITHIN)
        };
        // Most of what can go wrong does so before anything is written.
        rewind(&["--dry-run"])?;
        self.begin_work(Unfinished::Rewind)?;
        rewind(&[])?;
        self.end_work()
    }

    /// What was begun on the data directory and did not come to its end: it cannot be used.
    pub(crate) fn unfinished(&self) -> Option<Unfinished> {
        match std::fs::read_to_string(self.note()).ok()?.trim() {
            "copy" => Some(Unfinished::Copy),
            _ => Some(Unfinished::Rewind),
        }
    }

    fn begin_work(&self, what: Unfinished) -> anyhow::Result<()> {
        let (note, text) = (self.note(), if what == Unfinished::Copy { "copy\n" } else { "rewind\n" });
        std::fs::write(&note, text).with_context(|| format!("cannot write {}", note.display()))
    }

    fn end_work(&self) -> anyhow::Result<()> {
        let note = self.note();
        std::fs::remove_file(&note).with_context(|| format!("cannot remove {}", note.display()))
    }

    /// A file beside the data directory.
    fn note(&self) -> PathBuf {
        self.beside(".unfinished")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.database.data.clone().into_os_string();
        path.push(ending);
        PathBuf::from(path)
    }

    /// Moves the data directory out of the way.
    pub(crate) fn move_aside(&self) -> anyhow::Result<()> {
        let (data, aside) = (&self.database.data, self.beside(".diverged"));
        if aside.exists() {
            std::fs::remove_dir_all(&aside).with_context(|| format!("cannot remove {}", aside.display()))?;
        }
        std::fs::rename(data, &aside).with_context(|| format!("cannot move {} to {}", data.display(), aside.display()))
    }

    fn source(&self) -> String {
        let Database { peer, port, user, .. } = &self.database;
        format!("host={peer} port={port} user={user} dbname=postgres connect_timeout=5")
    }

    /// The arguments of `postgres`. What is on its command line is stronger than its files, which `pg_rewind` copies.
    fn arguments(&self, standby: Option<&str>) -> Vec<String> {
        let Database { data, port, socket, settings, .. } = &self.database;
        let mut all = vec!["-D".to_owned(), data.display().to_string()];
        let mut set = |key: &str, value: &str| all.extend(["-c".to_owned(), format!("{key}={value}")]);
        // Also a standby whose host is gone without a word is missed soon.
        set("wal_sender_timeout", &format!("{}ms", self.database.alone_after.0.as_millis()));
        settings.iter().for_each(|(key, value)| set(key, value));
        set("port", &port.to_string());
        set("unix_socket_directories", &socket.display().to_string());
        set("hot_standby", "on");
        // What pg_rewind needs.
        set("wal_log_hints", "on");
        set("full_page_writes", "on");
        if let Some(name) = standby {
            set("primary_conninfo", &format!("{} application_name={name}", self.source()));
        }
        all
    }

    fn psql(&self, host: Option<IpAddr>, statements: &[&str], within: Duration) -> anyhow::Result<String> {
        let Database { port, user, socket, .. } = &self.database;
        let host = host.map_or_else(|| socket.display().to_string(), |host| host.to_string());
        // What the agent itself writes waits for nobody.
        let database = "dbname=postgres options='-c synchronous_commit=local'";
        let options = ["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-d", database, "-U", user];
        let port = port.to_string();
        let statements = statements.iter().flat_map(|statement| ["-c", statement]);
        self.run("psql", |it| it.args(options).args(["-h", &host, "-p", &port]).args(statements), within)
    }

    fn program(&self, name: &str) -> Command {
        self.command(&self.database.bin.join(name))
    }

    /// A command of the user that the database belongs to.
    fn command(&self, program: &Path) -> Command {
        let mut words = self.database.run_as.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        // The agent's own folder may be closed to that user.
        command.args(words).current_dir("/").env("LC_ALL", "C");
        command
    }

    /// Runs one of PostgreSQL's programs with these arguments.
    fn run(
        &self,
        name: &str,
        arguments: impl FnOnce(&mut Command) -> &mut Command,
        within: Duration,
    ) -> anyhow::Result<String> {
        command::run(name, arguments(&mut self.program(name)), within, &self.interrupt)
    }
}
