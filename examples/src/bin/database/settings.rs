//! The agent's file: a virtual router, the database behind it, and how the other host is fenced.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use examples::settings::{Router, Span, read_toml};
use serde::Deserialize;
use vrrp_net::RouterConfig;
use vrrp_net::vrrp_core::{Gate, Preempt, Yield};

/// How long a standby that could not be promoted stands back before it tries again.
const BACK_OFF: Duration = Duration::from_secs(3);

/// The highest priority of one that is not alone.
const MOST: u64 = 253;

/// An agent's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    /// The virtual router, with the names of `vrrpd`'s file.
    router: Router,
    database: Database,
    fencing: Fencing,
}

/// One of the pair.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Database {
    /// Where `postgres`, `psql`, `pg_ctl`, `pg_rewind` and the others are: /usr/lib/postgresql/15/bin.
    pub(crate) bin: PathBuf,
    /// The data directory. An empty or missing one is filled from the other host.
    pub(crate) data: PathBuf,
    /// Folder of the Unix socket [default: /var/run/postgresql].
    #[serde(default = "socket")]
    pub(crate) socket: PathBuf,
    /// TCP port, the same on both hosts [default: 5432].
    #[serde(default = "port")]
    pub(crate) port: u16,
    /// Where the other host's database is: its own address, not the virtual one.
    pub(crate) peer: IpAddr,
    /// The superuser that the agent is for both databases; pg_hba.conf must let it in, also for replication [default:
    /// postgres].
    #[serde(default = "user")]
    pub(crate) user: String,
    /// What makes another user of a root agent, because `postgres` refuses to be root: a program and its arguments, before
    /// those of each program of PostgreSQL, which it becomes (as `setpriv` does, and `runuser` does not) [default: none].
    #[serde(default)]
    pub(crate) run_as: Vec<String>,
    /// More settings, as in postgresql.conf; also `config_file` where that is not in the data directory.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    /// How often the database is looked at [default: 500ms].
    #[serde(default = "every")]
    pub(crate) every: Span,
    /// How long it may take to answer [default: 2s].
    #[serde(default = "answer_within")]
    pub(crate) answer_within: Span,
    /// How long a promotion may take [default: 30s].
    #[serde(default = "half_a_minute")]
    pub(crate) promote_within: Span,
    /// How long a clean stop may take; after that it is stopped as a crash does [default: 30s].
    #[serde(default = "half_a_minute")]
    pub(crate) stop_within: Span,
    /// How long the primary waits for a standby that it has lost, with all commits, before it fences it and goes on alone; and
    /// how long one whose database has ended leaves it to the standby to take over, before it may start it again [default: 10s].
    #[serde(default = "ten_seconds")]
    pub(crate) alone_after: Span,
    /// An old primary that `pg_rewind` cannot help is moved aside, to DATA.diverged, and copied anew [default: it stays out].
    #[serde(default)]
    pub(crate) rebuild: bool,
}

/// What makes sure that the other host does not serve any more.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Fencing {
    /// A program and its arguments. It succeeds only if the other host's agent and database have ended and do not come back by
    /// themselves on the network before they are started anew; it finds its address in VRRP_PEER.
    pub(crate) command: Vec<String>,
    /// How long it may take [default: 10s].
    #[serde(default = "ten_seconds")]
    pub(crate) within: Span,
}

/// What a file says.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) router: RouterConfig,
    pub(crate) database: Database,
    pub(crate) fencing: Fencing,
}

fn socket() -> PathBuf {
    PathBuf::from("/var/run/postgresql")
}

const fn port() -> u16 {
    5432
}

fn user() -> String {
    "postgres".to_owned()
}

const fn every() -> Span {
    Span(Duration::from_millis(500))
}

const fn answer_within() -> Span {
    Span(Duration::from_secs(2))
}

const fn ten_seconds() -> Span {
    Span(Duration::from_secs(10))
}

const fn half_a_minute() -> Span {
    Span(Duration::from_secs(30))
}

impl File {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// What is wrong with it, with the line or the key.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Settings> {
        read_toml::<Self>(path)?.settings().with_context(|| path.display().to_string())
    }

    fn settings(self) -> anyhow::Result<Settings> {
        let Self { router, database, fencing } = self;
        anyhow::ensure!(
            !fencing.command.is_empty(),
            "fencing.command is empty: name a program that ends the other host"
        );
        anyhow::ensure!(
            router.preempt_delay.is_none(),
            "router.preempt-delay has no meaning: a standby never takes over from a primary that serves"
        );
        let gate = Gate { timeout: fencing.within.0 * 2 + database.promote_within.0, back_off: BACK_OFF };
        anyhow::ensure!(
            router.priority.is_none_or(|priority| priority <= MOST),
            "router.priority is not 1..={MOST}: above that is a primary that is alone"
        );
        let postgres = database.bin.join("postgres");
        anyhow::ensure!(postgres.is_file(), "database.bin: there is no {}", postgres.display());
        // A standby of higher priority must not fence a primary that is well, nor one that is well give up.
        let config = router.config().context("router")?;
        let router = config.with_gate(gate).with_preempt(Preempt::Never).with_yield(Yield::Never);
        Ok(Settings { router, database, fencing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(router: &str, database: &str, fencing: &str) -> anyhow::Result<Settings> {
        let router = format!("[router]\ninterface = 'eth0'\nvrid = 51\naddresses = ['192.0.2.100']\n{router}");
        toml::from_str::<File>(&format!("{router}\n[database]\n{database}\n[fencing]\n{fencing}"))?.settings()
    }

    #[test]
    fn an_error_names_the_key_and_the_way_out() {
        let database = "bin = '/none'\ndata = '/none'\npeer = '192.0.2.2'";
        let error = |database: &str, fencing: &str| parse("", database, fencing).unwrap_err().to_string();
        assert_eq!(error(database, "command = ['true']"), "database.bin: there is no /none/postgres");
        assert!(error(database, "command = []").contains("name a program"));
        assert!(error("bin = '/none'\ndata = '/none'", "command = ['true']").contains("missing field `peer`"));
        assert!(error(database, "comand = ['true']").contains("unknown field `comand`"));
        let error = |router: &str| parse(router, database, "command = ['true']").unwrap_err().to_string();
        assert!(error("priority = 254").starts_with("router.priority is not 1..=253"));
        assert!(error("preempt-delay = 1").starts_with("router.preempt-delay has no meaning"));
    }
}
