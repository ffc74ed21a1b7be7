//! A load balancer of two hosts: a virtual address by VRRP, virtual servers by IPVS behind it, checks of their servers, in
//! one process and one event loop.

mod real_server;
mod settings;

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use examples::daemon;
use examples::daemon::config::{Config, DirectorConfig, Router};
use tracing_subscriber::filter::LevelFilter;

use self::real_server::Interface;
use self::settings::{File, Settings};

/// Balances virtual servers over real ones with the kernel's IPVS, on the one of two hosts that has the virtual address.
///
/// Runs in the foreground. SIGTERM hands the address over to the other host, without a gap, removes the virtual servers
/// and ends; SIGINT does so at once. SIGHUP reads the file again: what stays in it goes on, connections and checks too.
/// Needs CAP_NET_RAW, CAP_NET_ADMIN and the module ip_vs.
#[derive(Parser)]
#[command(name = "director")]
struct Arguments {
    /// TOML file that says what to balance
    #[arg(long, value_name = "FILE", required_unless_present = "real_server")]
    config: Option<PathBuf>,

    /// Make this host a real server of direct routing or a tunnel, and end: give it the virtual address without answering ARP
    /// for it; may be given several times
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    real_server: Vec<IpAddr>,

    /// Interface of that address: lo for direct routing, tunl0 or gre0 for a tunnel, which must be there already
    #[arg(long, value_name = "NAME", default_value = "lo", requires = "real_server")]
    interface: Interface,

    /// What to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: LevelFilter,
}

fn main() -> ExitCode {
    if daemon::caretaker::is_wanted() {
        return daemon::caretaker::run();
    }
    let arguments = Arguments::parse();
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt().with_max_level(arguments.log).with_writer(std::io::stderr);
    subscriber.with_ansi(colours).with_target(false).init();
    let result = match &arguments.config {
        Some(path) => config(path).and_then(|first| daemon::run(first, Some(Box::new(|| config(path))))),
        None => real_server::prepare(&arguments.interface, &arguments.real_server),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn config(path: &Path) -> anyhow::Result<Config> {
    let Settings { router, director, quorum_impact, whole_table } = File::read(path)?;
    let name = format!("{}/{}", router.interface(), router.vrid());
    let director = DirectorConfig { config: director, quorum_impact, whole_table, ..DirectorConfig::default() };
    let program = concat!("director ", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(Config { program, routers: vec![Router::new(name, router)], director: Some(director), ..Config::default() })
}
