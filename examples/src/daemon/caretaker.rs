//! What empties the kernel's table of IPVS if the daemon dies.
//!
//! The table outlives the process that filled it. Where two directors are each other's real servers (see
//! [`Standby::Cold`]), a dead one's table would go on to balance what the living one sends
//! it, and packets would go round in circles. So a second process waits for the end of the first, as the
//! [`Guardian`](vrrp_net::Guardian) does for addresses, with a list of what to remove then.
//!
//! It is the same program, called with [`ARGUMENT`]: programs begin with [`is_wanted`] and [`run`]. The list comes through a
//! pipe, a line of JSON for each that replaces the one before; the end of the pipe is the end of the daemon.

use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use vrrp_ipvs::director::{Director, Standby};
use vrrp_ipvs::{Error, Ipvs, ServiceId};

use super::config::Config;

/// What a program is called with to be the second process.
pub const ARGUMENT: &str = "--take-care-of-ipvs";

/// The second process, as the daemon sees it. If this is dropped, the table is emptied.
#[derive(Debug)]
pub(super) struct Caretaker {
    process: Child,
    pipe: ChildStdin,
    list: Vec<ServiceId>,
}

impl Caretaker {
    /// Whether a configuration asks for one.
    pub(super) fn is_needed(config: &Config) -> bool {
        config.guardian && config.director.as_ref().is_some_and(|director| director.config.standby == Standby::Cold)
    }

    /// Starts it. It keeps what privileges this process passes on.
    pub(super) fn spawn() -> anyhow::Result<Self> {
        // Also if the file is another one by now.
        let mut command = Command::new("/proc/self/exe");
        command.arg(ARGUMENT).env_clear().current_dir("/").process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut process = command.spawn().context("cannot start the process that takes care of IPVS")?;
        let pipe = process.stdin.take().context("a process without a pipe")?;
        Ok(Self { process, pipe, list: Vec::new() })
    }

    /// From now on it removes the services of this director.
    pub(super) fn follow(&mut self, director: Option<&Director>) {
        let status = director.map(Director::status);
        let services = status.iter().flat_map(|status| &status.virtual_servers).flat_map(|server| &server.services);
        let list: Vec<ServiceId> = services.copied().collect();
        if list != self.list {
            self.list = list;
            if let Err(error) = self.send() {
                tracing::error!("IPVS is not emptied if this process dies: {error:#}");
            }
        }
    }

    fn send(&mut self) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(&self.list)?;
        line.push(b'\n');
        self.pipe.write_all(&line).context("the process that takes care of it has ended")
    }

    /// Ends it: there is nothing left to do.
    pub(super) fn finish(mut self) {
        self.list.clear();
        let _ = self.send();
        drop(self.pipe);
        let _ = self.process.wait();
    }
}

/// Whether this process was called to be the second one.
pub fn is_wanted() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT)
}

/// Waits for the end of the daemon, and removes what it has left.
pub fn run() -> ExitCode {
    // Who ends the daemon politely may mean all of its processes, but the daemon needs its time.
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    let mut list: Vec<ServiceId> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(read) => list = read,
            // Cut off by the end.
            Err(_) => break,
        }
    }
    if list.is_empty() {
        return ExitCode::SUCCESS;
    }
    match remove(&list) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("a daemon has died, and its services stay in IPVS: {error}");
            ExitCode::FAILURE
        }
    }
}

fn remove(list: &[ServiceId]) -> Result<(), Error> {
    let mut ipvs = Ipvs::open()?;
    let mut first = Ok(());
    for service in list {
        match ipvs.remove_service(*service) {
            Ok(()) | Err(Error::NoService { .. }) => {}
            // The others go all the same.
            Err(error) => first = first.and(Err(error)),
        }
    }
    first
}
