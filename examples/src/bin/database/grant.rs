//! Who may be promoted, as the primary wrote it down where the standby finds it: in the replicated database.
//!
//! One row names the standby that all commits wait for, by a name that the standby has for one run of its server only. A
//! standby that finds its own name has every commit that a client was told of. It was written after commits began to wait,
//! and is taken back before they no longer do; a standby that was started since, with commits that it does not have,
//! has another name.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::server::Server;

/// How long a primary may take to act on a setting.
const RELOAD_WITHIN: Duration = Duration::from_secs(10);

const SELECT: &str = "select standby, released from vrrp_grant";

/// What the row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The name of the standby; empty: there is none, the primary is alone.
    pub(crate) standby: String,
    /// The primary is about to stop, by itself.
    pub(crate) released: bool,
}

/// A name for one run of a standby.
pub(crate) fn new_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("standby_{:x}", since.as_nanos())
}

/// What the database here knows.
pub(crate) fn read(server: &Server) -> anyhow::Result<Grant> {
    parse(&server.query(&[SELECT]).context("no standby was ever in step")?)
}

/// What the other host's database knows.
pub(crate) fn read_of_peer(server: &Server) -> anyhow::Result<Grant> {
    parse(&server.query_peer(&[SELECT])?)
}

fn parse(row: &str) -> anyhow::Result<Grant> {
    let (standby, released) = row.split_once('|').context("vrrp_grant is empty: no standby was ever in step")?;
    Ok(Grant { standby: standby.to_owned(), released: released == "t" })
}

/// Has no commit wait for anybody. Only once no other host can be promoted: it was fenced.
pub(crate) fn wait_for_nobody(server: &Server) -> anyhow::Result<()> {
    set(server, "")
}

/// Has every commit wait for this standby, which streams already, and then tells it.
pub(crate) fn wait_for(server: &Server, standby: &str) -> anyhow::Result<()> {
    set(server, standby)?;
    // It is the checkpointer that has sessions wait, and it takes on a setting before it makes a checkpoint.
    server.checkpoint()?;
    write(server, standby)
}

fn set(server: &Server, standby: &str) -> anyhow::Result<()> {
    let set = format!("alter system set synchronous_standby_names = '{standby}'");
    server.query(&[&set, "select pg_reload_conf()"])?;
    let until = Instant::now() + RELOAD_WITHIN;
    // A new session has the setting once the server has told all its processes of it.
    while server.query(&["show synchronous_standby_names"])? != standby {
        anyhow::ensure!(Instant::now() < until, "the database does not take on the setting");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Writes down who is waited for, as the primary that serves. Tells also that writing is possible.
pub(crate) fn write(server: &Server, standby: &str) -> anyhow::Result<()> {
    let create = "create table if not exists vrrp_grant (\
        one boolean primary key default true check (one), standby text not null, released boolean not null)";
    let row = format!(
        "insert into vrrp_grant (standby, released) values ('{standby}', false) \
        on conflict (one) do update set standby = excluded.standby, released = false"
    );
    server.query(&[create, &row]).map(drop)
}

/// Tells the standby that the primary stops by itself, so that it need not be fenced.
pub(crate) fn release(server: &Server) -> anyhow::Result<()> {
    server.query(&["update vrrp_grant set released = true"]).map(drop)
}

/// The standby that streams and has caught up, if there is one; the one that is waited for rather than another.
pub(crate) fn streaming(server: &Server, waited_for: &str) -> anyhow::Result<Option<String>> {
    let names = server.query(&["select application_name from pg_stat_replication \
        where state = 'streaming' and application_name like 'standby\\_%' order by backend_start desc"])?;
    let mut names = names.lines();
    Ok(names.clone().find(|name| *name == waited_for).or_else(|| names.next()).map(str::to_owned))
}
