//! A VRRP daemon: virtual routers from a command line or a TOML file, transitions in the log.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use examples::service;
use examples::settings::{File, Router, Span};
use tracing_subscriber::filter::LevelFilter;
use vrrp_net::vrrp_core::{Cause, Role, VirtualAddr};
use vrrp_net::{DriverEvent, RouterConfig};

/// Moves virtual IP addresses between hosts with VRRP.
///
/// Runs in the foreground until SIGTERM, SIGINT or SIGHUP, then releases its addresses and lets the next host take over. Needs
/// CAP_NET_RAW and CAP_NET_ADMIN.
#[derive(Parser)]
#[command(name = "vrrpd")]
struct Arguments {
    /// TOML file with a "router" table for each virtual router, instead of the options below
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "interface", "vrid", "address", "priority", "interval", "version", "nopreempt", "preempt_delay", "auth_pass",
    ])]
    config: Option<PathBuf>,

    /// Interface to run on
    #[arg(long, value_name = "NAME", required_unless_present = "config")]
    interface: Option<String>,

    /// Virtual Router Identifier, 1..=255: the same on all hosts that share the addresses
    #[arg(long, value_name = "ID", required_unless_present = "config")]
    vrid: Option<u64>,

    /// Virtual address, with or without a prefix length; may be given several times
    #[arg(long, value_name = "ADDRESS[/PREFIX]", required_unless_present = "config")]
    address: Vec<VirtualAddr>,

    /// Priority in the election, 1..=255; 255 if the addresses are this host's own
    #[arg(long, default_value_t = 100)]
    priority: u64,

    /// Advertisement interval: 10ms, 1s, or a number of seconds
    #[arg(long, default_value = "1s")]
    interval: Span,

    /// Protocol version: 2 or 3
    #[arg(long, default_value_t = 3)]
    version: u8,

    /// Leave an Active of lower priority alone
    #[arg(long)]
    nopreempt: bool,

    /// Leave an Active of lower priority alone for this long
    #[arg(long, value_name = "TIME", conflicts_with = "nopreempt")]
    preempt_delay: Option<Span>,

    /// Simple-text password of at most 8 characters, VRRPv2 only
    #[arg(long, value_name = "PASSWORD")]
    auth_pass: Option<String>,

    /// What to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: LevelFilter,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A log in a file or a journal has no colours.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt().with_max_level(arguments.log).with_writer(std::io::stderr);
    subscriber.with_ansi(colours).with_target(false).init();
    match routers(arguments).and_then(|routers| service::run(routers, log)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn routers(arguments: Arguments) -> anyhow::Result<Vec<RouterConfig>> {
    if let Some(path) = &arguments.config {
        return File::read(path);
    }
    let router = Router {
        interface: arguments.interface.unwrap_or_default(),
        vrid: arguments.vrid.unwrap_or_default(),
        addresses: arguments.address,
        priority: arguments.priority,
        interval: arguments.interval,
        version: arguments.version,
        preempt: !arguments.nopreempt,
        preempt_delay: arguments.preempt_delay,
        auth_pass: arguments.auth_pass,
    };
    Ok(vec![router.config()?])
}

fn log(router: &str, event: &DriverEvent) {
    match event {
        DriverEvent::Transition { transition, .. }
            if transition.to == Role::Initialize && transition.cause != Cause::Shutdown =>
        {
            tracing::warn!(router, "{event}");
        }
        DriverEvent::Waiting { .. } => tracing::warn!(router, "{event}"),
        DriverEvent::Transition { .. } => tracing::info!(router, "{event}"),
        _ => tracing::error!(router, "{event}"),
    }
}
