//! A VRRP daemon: virtual routers from a command line or a TOML file, transitions in the log.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use examples::service;
use examples::settings::{Announce, File, Router};
use tracing_subscriber::filter::LevelFilter;
use vrrp_net::vrrp_core::{Cause, Role};
use vrrp_net::{DriverEvent, RouterConfig};

/// Moves virtual IP addresses between hosts with VRRP.
///
/// Runs in the foreground. SIGTERM hands the addresses over to the next host, without a gap, and ends; SIGINT and SIGHUP
/// release them at once. If the process is killed, its guardian (a small child process) does that. Needs CAP_NET_RAW and
/// CAP_NET_ADMIN.
#[derive(Parser)]
#[command(name = "vrrpd")]
struct Arguments {
    /// TOML file with a "router" table for each virtual router, instead of the options for one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["Router", "Announce"])]
    config: Option<PathBuf>,

    #[command(flatten)]
    router: Option<Router>,

    #[command(flatten)]
    announce: Announce,

    /// Have no guardian: if the process is killed, its addresses stay until their lease ends
    #[arg(long)]
    no_guardian: bool,

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
    let guarded = !arguments.no_guardian;
    match routers(arguments).and_then(|routers| service::run(routers, guarded, log)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn routers(arguments: Arguments) -> anyhow::Result<Vec<RouterConfig>> {
    match (arguments.config, arguments.router) {
        (Some(path), _) => File::read(&path),
        (None, Some(router)) => Ok(vec![Router { announce: arguments.announce, ..router }.config()?]),
        (None, None) => anyhow::bail!("there is nothing to do: give --config, or --interface, --vrid and --address"),
    }
}

/// Every event says in its own words what happened; this is how much it matters.
fn log(router: &str, event: &DriverEvent) {
    match event {
        DriverEvent::Transition { transition, .. } => match (transition.to, transition.cause) {
            (Role::Initialize, Cause::Fault(_)) => tracing::warn!(router, "{event}"),
            _ => tracing::info!(router, "{event}"),
        },
        DriverEvent::Waiting { .. }
        | DriverEvent::AddressRestored { .. }
        | DriverEvent::RouteRestored { .. }
        | DriverEvent::RuleRestored { .. }
        | DriverEvent::StaticRestored { .. }
        | DriverEvent::AddressMisplaced { .. }
        | DriverEvent::GuardianLost => tracing::warn!(router, "{event}"),
        _ => tracing::error!(router, "{event}"),
    }
}
