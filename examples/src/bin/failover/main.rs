//! A failover on a real network, from one command: three hosts share an address, and one after the other fails.
//!
//! The hosts are network namespaces of this machine's own kernel, each with a process of its own; the packets are real.
//! Nothing outside is touched, and nothing is left behind however this program ends.

mod cluster;
mod report;
mod scenario;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use examples::settings::Span;
use signal_hook::consts::{SIGINT, SIGTERM};
use vrrp_net::vrrp_core::{Interval, Preempt, Priority, VirtualAddr, Vrid};
use vrrp_net::{Driver, DriverEvent, RouterConfig};

use crate::cluster::Change;

/// The address that moves.
const VIRTUAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// Shows a virtual IP address moving between three hosts when its holder fails, with measured times.
///
/// Builds a network of its own on this machine, without root where the system allows user namespaces. Exits with 0 if
/// every takeover happened.
#[derive(Parser)]
#[command(name = "failover", version)]
struct Arguments {
    #[command(subcommand)]
    mode: Option<Mode>,

    /// Advertisement interval of the hosts: 10ms to 40.95s
    #[arg(long, default_value = "100ms", value_parser = interval)]
    interval: Interval,

    /// Print the results as JSON; what happens meanwhile goes to standard error
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Mode {
    /// One host of the demonstration, started by it
    #[command(hide = true)]
    Node(Node),
}

/// What a host is told by the demonstration.
#[derive(Args)]
struct Node {
    #[arg(long)]
    priority: u8,
    #[arg(long, value_parser = interval)]
    interval: Interval,
    #[arg(long)]
    nopreempt: bool,
}

fn interval(text: &str) -> Result<Interval, String> {
    let span: Span = text.parse()?;
    let interval = Interval::from_duration(span.0).map_err(|error| error.to_string())?;
    // The hosts run VRRPv3.
    Interval::from_centiseconds(u64::from(interval.as_centiseconds())).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.mode {
        Some(Mode::Node(node)) => run_node(&node).map(|()| true),
        None => demonstrate(arguments.interval, arguments.json),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("failover: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every scenario and prints what came of it. Whether every takeover happened.
fn demonstrate(interval: Interval, json: bool) -> anyhow::Result<bool> {
    let outcomes = scenario::run_all(interval, json)?;
    let text = if json { report::json(&outcomes, interval)? + "\n" } else { report::table(&outcomes, interval) };
    std::io::stdout().write_all(text.as_bytes()).context("cannot print the results")?;
    Ok(outcomes.iter().all(report::Outcome::succeeded))
}

/// A host's whole program: the library's driver in a loop, and a line for every change of role.
fn run_node(node: &Node) -> anyhow::Result<()> {
    let address = VirtualAddr::host(IpAddr::V4(VIRTUAL_ADDRESS))?;
    let router = RouterConfig::new("eth0", Vrid::new(51)?, vec![address])
        .with_priority(Priority::new(node.priority)?)
        .with_interval(node.interval)
        .with_preempt(if node.nopreempt { Preempt::Never } else { Preempt::Immediately });
    let (leave, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    signal_hook::flag::register(SIGTERM, Arc::clone(&leave)).context("cannot catch signals")?;
    signal_hook::flag::register(SIGINT, Arc::clone(&stop)).context("cannot catch signals")?;
    let mut driver = Driver::new()?;
    driver.add(router)?;
    let mut leaving = false;
    loop {
        if stop.load(Ordering::SeqCst) || (leaving && driver.is_idle()) {
            break;
        }
        driver.process()?.iter().for_each(tell);
        if leave.swap(false, Ordering::SeqCst) && !leaving {
            driver.hand_over_all()?;
            leaving = true;
        }
        // A signal ends it, unless it came just before.
        driver.wait(Some(Duration::from_millis(20)))?;
    }
    driver.process()?.iter().for_each(tell);
    driver.shutdown()?.iter().for_each(tell);
    Ok(())
}

/// A line for a change of role.
fn tell(event: &DriverEvent) {
    match event {
        DriverEvent::Transition { transition, .. } => {
            let change = Change { role: transition.to.to_string(), cause: transition.cause.to_string() };
            match serde_json::to_string(&change).context("cannot write a line") {
                Ok(line) => println!("{line}"),
                Err(error) => eprintln!("failover node: {error:#}"),
            }
        }
        _ => eprintln!("failover node: {event}"),
    }
}
