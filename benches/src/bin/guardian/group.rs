//! A control group with little memory, for the OOM killer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

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
