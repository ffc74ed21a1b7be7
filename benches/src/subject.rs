//! What is measured: this library, and keepalived.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use vrrp_core::Instant;
use vrrp_net::lab::{Host, Process};

use crate::node::{ADVERTISED, Arguments};

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This library: the running program with `node`.
    Ours,
    /// keepalived, by its path or name.
    Keepalived(PathBuf),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Keepalived(_) => "keepalived",
        })
    }
}

/// What keepalived says of its version.
///
/// # Errors
/// It is not there, or says nothing of the kind.
pub fn version(keepalived: &Path) -> anyhow::Result<String> {
    let output = Command::new(keepalived).arg("--version").output();
    let output = output.with_context(|| format!("{}: install keepalived, or name another", keepalived.display()))?;
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let line = text.lines().find(|line| line.starts_with("Keepalived v")).context("it tells no version")?;
    Ok(line.split_whitespace().nth(1).unwrap_or(line).to_owned())
}

/// One that runs on a host. Dropping it ends it at once.
pub struct Running {
    process: Process,
    folder: PathBuf,
    ours: bool,
    ended: bool,
}

/// Distinguishes the folders of one run.
static FOLDERS: AtomicU32 = AtomicU32::new(0);

impl Running {
    /// Starts it; what it says goes to a file.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(subject: &Subject, host: &Host, arguments: &Arguments) -> anyhow::Result<Self> {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("vrrp-benches-{}-{number}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
        let file = |name: &str| folder.join(name);
        let mut command = match subject {
            Subject::Ours => {
                let mut command = host.command(std::env::current_exe()?);
                command.args(arguments.options());
                command.stdin(if arguments.obey { Stdio::piped() } else { Stdio::null() });
                command
            }
            Subject::Keepalived(path) => {
                fs::write(file("keepalived.conf"), configuration(arguments))?;
                let mut command = host.command(path);
                command.args(["--vrrp", "--dont-fork", "--log-console", "--no-syslog", "--use-file"]);
                command.arg(file("keepalived.conf")).arg("--pid").arg(file("parent.pid"));
                command.arg("--vrrp_pid").arg(file("child.pid")).stdin(Stdio::null());
                command
            }
        };
        let log = File::create(file("log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        let process = Process::start(&mut command).with_context(|| format!("start {subject}"))?;
        Ok(Self { process, folder, ours: *subject == Subject::Ours, ended: false })
    }

    /// Itself and its children, and theirs.
    fn pids(&self) -> Vec<u32> {
        let (mut found, mut next) = (vec![self.process.id()], 0);
        while let Some(pid) = found.get(next).copied() {
            next += 1;
            for task in tasks(pid) {
                // It may have ended meanwhile.
                let children = fs::read_to_string(task.join("children")).unwrap_or_default();
                found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        found
    }

    /// CPU time that its threads have had since they started, children included.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let mut total = Duration::ZERO;
        for task in self.pids().into_iter().flat_map(tasks) {
            total += cpu_time_of(&task)?;
        }
        Ok(total)
    }

    /// Resident memory of all its processes in octets.
    ///
    /// # Errors
    /// It has ended.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let of_one = |pid: u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
            let kilobytes: u64 = line.split_whitespace().next().context("no number")?.parse()?;
            anyhow::Ok(kilobytes * 1024)
        };
        self.pids().into_iter().map(of_one).sum()
    }

    /// Packets that its host has received and sent.
    ///
    /// # Errors
    /// It has ended.
    pub fn packets(&self) -> anyhow::Result<(u64, u64)> {
        let table = fs::read_to_string(format!("/proc/{}/net/dev", self.process.id()))?;
        let mut total = (0, 0);
        for (_, line) in table.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() != "lo") {
            let numbers: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
            total.0 += numbers.get(1).context("no packets received")?;
            total.1 += numbers.get(9).context("no packets sent")?;
        }
        Ok(total)
    }

    /// What it has said so far, the end of it.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
    }

    /// Tells it a word on its standard input, which [`Arguments::obey`] has it listen to.
    ///
    /// # Errors
    /// It does not listen.
    pub fn tell(&mut self, word: &str) -> anyhow::Result<()> {
        use std::io::Write as _;
        Ok(writeln!(self.process.take_stdin().context("it does not listen")?, "{word}")?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It goes on.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let status = self.process.wait(limit)?.context("it does not end")?;
        self.ended = true;
        Ok(status)
    }

    /// Ends it at once, with its children but the guardian. Returns when.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<Instant> {
        if !self.ours {
            // The parent would start the child again, and the child would end in order after the parent.
            self.process.stop()?;
        }
        let at = vrrp_net::now();
        if !self.ours {
            let child = fs::read_to_string(self.folder.join("child.pid")).context("it has not started")?;
            let status = Command::new("kill").args(["-KILL", child.trim()]).status()?;
            anyhow::ensure!(status.success(), "kill: {status}");
        }
        self.process.kill()?;
        self.ended = true;
        Ok(at)
    }

    /// Tells it to end in order (SIGTERM). Returns when.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn terminate(&mut self) -> anyhow::Result<Instant> {
        let at = vrrp_net::now();
        self.process.terminate()?;
        Ok(at)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended && self.kill().is_err() {
            let _ = self.process.kill();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The folders of the threads of a process.
fn tasks(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// CPU time of a thread, by its folder in `/proc`: `schedstat` counts nanoseconds, `utime` ticks.
///
/// # Errors
/// It has ended, or the kernel does not count.
pub fn cpu_time_of(task: &Path) -> anyhow::Result<Duration> {
    let statistics = fs::read_to_string(task.join("schedstat"))?;
    let nanos = statistics.split(' ').next().context("nothing in schedstat")?.parse()?;
    Ok(Duration::from_nanos(nanos))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepalived_gets_the_same_virtual_routers() {
        let text = configuration(&Arguments { interval: 101, addresses: 21, announce_once: true, ..Arguments::new(2) });
        assert_eq!(text.matches("vrrp_instance").count(), 2);
        assert!(text.contains("advert_int 1.01\n") && text.contains("virtual_router_id 2\n"), "{text}");
        assert!(text.contains("vrrp_garp_master_repeat 1\n"), "{text}");
        assert!(text.contains("virtual_ipaddress_excluded {\n  10.64.0.21/32\n }"), "{text}");
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }

    #[test]
    fn this_thread_has_had_cpu_time() {
        // It is counted when the thread rests.
        std::thread::sleep(Duration::from_millis(1));
        assert!(cpu_time_of(Path::new("/proc/thread-self")).unwrap() > Duration::ZERO);
    }

    #[test]
    fn what_is_not_there_tells_no_version() {
        assert!(version(Path::new("/nonexistent/keepalived")).unwrap_err().to_string().contains("/nonexistent"));
    }
}
