//! The Backup that takes over, and what else the runs need.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use vrrp_net::lab::{Host, Process};

use super::node::address;

/// Who is the Backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// This crate
    Ours,
    /// keepalived, VRRPv3
    Keepalived,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Keepalived => "keepalived",
        })
    }
}

/// A Backup that runs.
pub(crate) enum Backup {
    Ours(Process),
    Keepalived(Killed),
}

/// keepalived, ended with whoever started it.
pub(crate) struct Killed {
    child: Child,
    folder: PathBuf,
}

impl Backup {
    /// At priority 100 with an interval of 1 s.
    pub(crate) fn start(peer: Peer, host: &Host, routers: u8) -> anyhow::Result<Self> {
        match peer {
            Peer::Ours => {
                let mut command = host.command(std::env::current_exe()?);
                command.args(["node", "--priority", "100", "--routers", &routers.to_string()]);
                Ok(Self::Ours(Process::start(command.stdin(Stdio::piped()))?))
            }
            Peer::Keepalived => keepalived(host, routers).map(Self::Keepalived),
        }
    }

    /// Whether it has ended, which it should not have.
    pub(crate) fn last_words(&mut self) -> String {
        let ended = match self {
            Self::Ours(process) => process.wait(Duration::ZERO).ok().flatten(),
            Self::Keepalived(killed) => killed.child.try_wait().ok().flatten(),
        };
        ended.map_or_else(|| "the Backup runs".to_owned(), |status| format!("the Backup has ended: {status}"))
    }
}

fn keepalived(host: &Host, routers: u8) -> anyhow::Result<Killed> {
    let folder = std::env::temp_dir().join(format!("vrrp-bench-guardian-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut configuration = String::from("global_defs {\n vrrp_version 3\n}\n");
    for vrid in 1..=routers {
        configuration.push_str(&format!(
            "vrrp_instance v{vrid} {{\n state BACKUP\n interface eth0\n virtual_router_id {vrid}\n priority 100\n \
             advert_int 1\n virtual_ipaddress {{\n {}/32\n }}\n}}\n",
            address(vrid)
        ));
    }
    let file = folder.join("keepalived.conf");
    std::fs::write(&file, configuration)?;
    let mut command = host.command("keepalived");
    command.args(["--vrrp", "--dont-fork", "--log-console", "--no-syslog", "--use-file"]).arg(&file);
    command.arg("--pid").arg(folder.join("parent.pid")).arg("--vrrp_pid").arg(folder.join("child.pid"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.context("start keepalived (apt-get install keepalived, or --peer ours)")?;
    Ok(Killed { child, folder })
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A group of processes that can have only so much memory, so that the OOM killer does nobody else any harm.
pub(crate) struct MemoryGroup {
    path: PathBuf,
}

impl MemoryGroup {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let number = vrrp_net::now().as_nanos();
        let made = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].iter().find_map(|root| {
            let path = Path::new(root).join(format!("vrrp-bench-{}-{number}", std::process::id()));
            std::fs::create_dir(&path).ok()?;
            let group = Self { path };
            let limit = ["memory.limit_in_bytes", "memory.max"].iter().find(|name| group.path.join(name).exists())?;
            std::fs::write(group.path.join(limit), (128 * 1024 * 1024).to_string()).ok()?;
            // No way out through swap.
            let _ = std::fs::write(group.path.join("memory.swap.max"), "0");
            Some(group)
        });
        made.context("no control group with a limit of memory can be made here: an OOM kill would do others harm")
    }

    /// Whether the OOM killer has ended one of them.
    pub(crate) fn has_killed(&self) -> anyhow::Result<bool> {
        let read = |name| std::fs::read_to_string(self.path.join(name));
        let text =
            read("memory.oom_control").or_else(|_| read("memory.events")).context("read how many were killed")?;
        Ok(text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0")))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            if std::fs::remove_dir(&self.path).is_ok() {
                return;
            }
            // Its last process is on its way out.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
