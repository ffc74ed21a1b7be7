//! What is measured: this library, and keepalived.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use vrrp_net::lab::{Host, Process};

use super::node::{ADVERTISED, Arguments};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Ours,
    Keepalived,
}

impl Subject {
    pub(crate) const BOTH: [Self; 2] = [Self::Ours, Self::Keepalived];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Keepalived => "keepalived",
        }
    }
}

/// One that runs on a host.
pub(crate) struct Running {
    process: Process,
    folder: Option<PathBuf>,
}

/// Distinguishes the folders of one run.
static FOLDERS: AtomicU32 = AtomicU32::new(0);

impl Running {
    pub(crate) fn start(subject: Subject, host: &Host, arguments: &Arguments) -> anyhow::Result<Self> {
        match subject {
            Subject::Ours => {
                let mut command = host.command(std::env::current_exe()?);
                command.args(arguments.options());
                Ok(Self { process: Process::start(&mut command)?, folder: None })
            }
            Subject::Keepalived => {
                let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
                let folder = std::env::temp_dir().join(format!("vrrp-load-{}-{number}", std::process::id()));
                std::fs::create_dir(&folder)?;
                let file = |name: &str| folder.join(name);
                std::fs::write(file("keepalived.conf"), configuration(arguments))?;
                let mut command = host.command("keepalived");
                command.args(["--vrrp", "--dont-fork", "--log-console", "--no-syslog", "--use-file"]);
                command.arg(file("keepalived.conf")).arg("--pid").arg(file("parent.pid"));
                command.arg("--vrrp_pid").arg(file("child.pid"));
                let log = std::fs::File::create(file("log"))?;
                command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null());
                let process = Process::start(&mut command).context("is keepalived installed?")?;
                Ok(Self { process, folder: Some(folder) })
            }
        }
    }

    /// CPU time that it has had since it started, children included.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        let mut total = Duration::ZERO;
        let mut pids = vec![self.process.id()];
        while let Some(pid) = pids.pop() {
            let statistics = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
            let nanos = statistics.split(' ').next().context("nothing in schedstat")?.parse()?;
            total += Duration::from_nanos(nanos);
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
            pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        Ok(total)
    }

    /// Ends it at once, with its children.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        // The parent would start the child again, and the child would end in order after the parent.
        self.process.stop()?;
        if let Some(folder) = &self.folder {
            let child = std::fs::read_to_string(folder.join("child.pid"))?;
            let status = std::process::Command::new("kill").args(["-KILL", child.trim()]).status()?;
            anyhow::ensure!(status.success(), "kill: {status}");
        }
        self.process.kill()?;
        Ok(())
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.process.terminate()?;
        self.process.wait(Duration::from_secs(60))?.context("it does not end")?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// The same virtual routers for keepalived.
fn configuration(arguments: &Arguments) -> String {
    let mut text = String::from("global_defs {\n vrrp_version 3\n vrrp_garp_master_refresh 0\n");
    if arguments.announce_once {
        text.push_str(" vrrp_garp_master_repeat 1\n vrrp_garp_master_delay 0\n");
    }
    text.push_str("}\n");
    let (seconds, hundredths) = (arguments.interval / 100, arguments.interval % 100);
    let priority = arguments.priority;
    for (number, (interface, vrid, addresses)) in arguments.list().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "vrrp_instance V{number} {{\n state BACKUP\n interface {interface}\n virtual_router_id {vrid}\n \
             priority {priority}\n advert_int {seconds}.{hundredths:02}\n"
        );
        let mut block = |name: &str, addresses: &[std::net::Ipv4Addr]| {
            if !addresses.is_empty() {
                let _ = writeln!(text, " {name} {{");
                addresses.iter().for_each(|it| text.push_str(&format!("  {it}/32\n")));
                text.push_str(" }\n");
            }
        };
        let (advertised, others) = addresses.split_at(addresses.len().min(ADVERTISED));
        block("virtual_ipaddress", advertised);
        block("virtual_ipaddress_excluded", others);
        text.push_str("}\n");
    }
    text
}
