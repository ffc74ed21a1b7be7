//! Three hosts that share an address, and a client that talks to it.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Clock};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use vrrp_net::lab::{Host, Interface, Lab, Pinger, Process, Reply};
use vrrp_net::now;
use vrrp_net::vrrp_core::{Family, Instant, Interval, Params, Priority, Version};

use crate::VIRTUAL_ADDRESS;

/// How often the client asks.
const PING_INTERVAL: Duration = Duration::from_millis(2);

/// Names and priorities of the hosts.
///
/// Far apart, so that a machine that schedules late does not let the third host go before the second: their turns are
/// 0.35 of an interval apart.
const HOSTS: [(&str, u8); 3] = [("a", 200), ("b", 100), ("c", 10)];

/// A change of role, as a host's process reports it: one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    /// The role now.
    pub(crate) role: String,
    /// What led to it.
    pub(crate) cause: String,
}

/// The hosts, the client, and what is seen of them.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    pinger: Pinger,
    interval: Interval,
    changes: Receiver<(usize, Change)>,
    report: Sender<(usize, Change)>,
    began: Clock,
    to_stderr: bool,
    _client: Host,
    /// Last, so that the hosts are gone before their network is.
    _lab: Lab,
}

struct Node {
    name: &'static str,
    params: Params,
    host: Host,
    cable: Interface,
    process: Option<Process>,
    role: String,
}

impl Cluster {
    /// The network, without any process on the hosts yet.
    pub(crate) fn new(interval: Interval, to_stderr: bool) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let lan = lab.bridge("lan")?;
        let mut nodes = Vec::new();
        for ((name, priority), address) in HOSTS.into_iter().zip(1..) {
            let host = lab.host(name)?;
            let cable = host.attach(&lan, "eth0", &[&format!("192.0.2.{address}/24")])?;
            let params = Params::new(Version::V3(Family::V4))
                .with_priority(Priority::new(priority)?)
                .with_advert_interval(interval)?;
            nodes.push(Node { name, params, host, cable, process: None, role: "down".to_owned() });
        }
        let client = lab.host("client")?;
        client.attach(&lan, "eth0", &["192.0.2.10/24"])?;
        let pinger = client.ping(VIRTUAL_ADDRESS, PING_INTERVAL)?;
        let (report, changes) = channel();
        let began = Clock::now();
        Ok(Self { nodes, pinger, interval, changes, report, began, to_stderr, _client: client, _lab: lab })
    }

    /// Starts the process of a host.
    pub(crate) fn start(&mut self, n: usize, nopreempt: bool) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let node = &mut self.nodes[n];
        let mut command = node.host.command(program);
        command.arg("node").arg("--priority").arg(node.params.priority().to_string());
        command.arg("--interval").arg(format!("{}ms", self.interval.as_duration().as_millis()));
        if nopreempt {
            command.arg("--nopreempt");
        }
        let mut process = Process::start(command.stdout(Stdio::piped()))?;
        let lines = BufReader::new(process.take_stdout().context("the host's output is not piped")?).lines();
        let report = self.report.clone();
        std::thread::spawn(move || {
            let changes = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
            // Ends with the process, or when nobody listens any more.
            for change in changes {
                if report.send((n, change)).is_err() {
                    break;
                }
            }
        });
        node.process = Some(process);
        Ok(())
    }

    /// Kills the process of a host as a crash does.
    pub(crate) fn kill(&mut self, n: usize) -> anyhow::Result<()> {
        if let Some(mut process) = self.nodes[n].process.take() {
            process.kill()?;
        }
        self.say(n, Change { role: "down".to_owned(), cause: "killed (SIGKILL)".to_owned() });
        Ok(())
    }

    /// Stops the process of a host politely. Returns before it has ended.
    pub(crate) fn terminate(&mut self, n: usize) -> anyhow::Result<()> {
        if let Some(process) = &mut self.nodes[n].process {
            process.terminate()?;
        }
        Ok(())
    }

    /// Waits for the end of a process that was told to stop; of one that was killed there is nothing to wait for.
    pub(crate) fn reap(&mut self, n: usize) -> anyhow::Result<()> {
        let Some(mut process) = self.nodes[n].process.take() else { return Ok(()) };
        let status = process.wait(Duration::from_secs(10))?;
        anyhow::ensure!(status.is_some_and(|status| status.success()), "host {}: {status:?}", self.nodes[n].name);
        self.listen(Duration::ZERO);
        self.say(n, Change { role: "down".to_owned(), cause: "stopped (SIGTERM)".to_owned() });
        Ok(())
    }

    /// Pulls a host's cable.
    pub(crate) fn cut(&mut self, n: usize) -> anyhow::Result<()> {
        Ok(self.nodes[n].cable.cut()?)
    }

    /// Plugs it in again.
    pub(crate) fn heal(&mut self, n: usize) -> anyhow::Result<()> {
        Ok(self.nodes[n].cable.heal()?)
    }

    /// The host's name.
    pub(crate) fn name(&self, n: usize) -> &'static str {
        self.nodes[n].name
    }

    /// The host's parameters, for the protocol's bounds.
    pub(crate) fn params(&self, n: usize) -> &Params {
        &self.nodes[n].params
    }

    /// Whether the host's kernel has the address.
    pub(crate) fn holds_address(&self, n: usize) -> anyhow::Result<bool> {
        Ok(self.nodes[n].host.has_address(VIRTUAL_ADDRESS.into())?)
    }

    /// Notes when the host's kernel has the address no more; `None` if it still has it after this long.
    pub(crate) fn watch_release(&self, n: usize, limit: Duration) -> JoinHandle<Option<Instant>> {
        let host = self.nodes[n].host.clone();
        std::thread::spawn(move || {
            let deadline = now() + limit;
            while host.has_address(VIRTUAL_ADDRESS.into()).unwrap_or(true) {
                if now() >= deadline {
                    return None;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Some(now())
        })
    }

    /// Waits until the client is answered by this host, and returns when the first answer after `since` came.
    pub(crate) fn wait_for_answer(&mut self, n: usize, since: Instant, limit: Duration) -> Option<Instant> {
        let mac = self.nodes[n].cable.mac();
        let from_it = |reply: &Reply| match reply.received_at {
            Some(at) if at > since && reply.mac == Some(mac) => Some(at),
            _ => None,
        };
        let deadline = Clock::now() + limit;
        loop {
            self.listen(Duration::ZERO);
            let rest = deadline.saturating_duration_since(Clock::now());
            if self.pinger.wait_for(rest.min(Duration::from_millis(20)), |reply| from_it(reply).is_some()).is_some() {
                return self.pinger.replies().iter().filter_map(from_it).min();
            }
            if rest.is_zero() {
                return None;
            }
        }
    }

    /// Waits until the hosts have these roles.
    ///
    /// # Errors
    /// What they are instead, if that takes too long.
    pub(crate) fn wait_for_roles(&mut self, wanted: [&str; 3], limit: Duration) -> anyhow::Result<()> {
        let deadline = Clock::now() + limit;
        while self.nodes.iter().zip(wanted).any(|(node, role)| node.role != role) {
            let rest = deadline.saturating_duration_since(Clock::now());
            let roles = || self.nodes.iter().map(|node| format!("{} {}", node.name, node.role)).collect::<Vec<_>>();
            anyhow::ensure!(!rest.is_zero(), "the hosts are {:?}, not {wanted:?}, after {limit:?}", roles());
            self.listen(rest);
        }
        Ok(())
    }

    /// Watches for a while.
    pub(crate) fn watch(&mut self, duration: Duration) {
        let end = Clock::now() + duration;
        while let Some(rest) = end.checked_duration_since(Clock::now()).filter(|rest| !rest.is_zero()) {
            self.listen(rest);
        }
    }

    /// What the client saw so far.
    pub(crate) fn replies(&self) -> Vec<Reply> {
        self.pinger.replies()
    }

    /// A heading between the changes.
    pub(crate) fn announce(&self, what: &str) {
        self.print(&format!("\n{what}"));
    }

    /// Takes in the changes that were reported; waits for one at most this long.
    fn listen(&mut self, limit: Duration) {
        match self.changes.recv_timeout(limit) {
            Ok((n, change)) => self.say(n, change),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        while let Ok((n, change)) = self.changes.try_recv() {
            self.say(n, change);
        }
    }

    /// Shows the roles after a change.
    fn say(&mut self, n: usize, change: Change) {
        // The last words of a process arrive after it was reaped.
        let ended = self.nodes[n].process.is_none();
        let role = if ended { "down".to_owned() } else { change.role };
        self.nodes[n].role = role;
        let seconds = self.began.elapsed().as_secs_f64();
        let roles: String = self.nodes.iter().map(|node| format!("   {} {:<10}", node.name, node.role)).collect();
        self.print(&format!("{seconds:8.3} s{roles}   {}: {}", self.nodes[n].name, change.cause));
    }

    fn print(&self, line: &str) {
        // Whoever does not read it any more does not miss it.
        let _ =
            if self.to_stderr { writeln!(std::io::stderr(), "{line}") } else { writeln!(std::io::stdout(), "{line}") };
    }
}
