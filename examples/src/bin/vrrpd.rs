//! A VRRP daemon: virtual routers from a command line or a TOML file, what they track, and who is told of changes.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use examples::daemon::config::Config;
use examples::daemon::{self, Reload};
use examples::settings::{Announce, File, Router};
use tracing_subscriber::filter::LevelFilter;

/// Moves virtual IP addresses between hosts with VRRP.
///
/// Runs in the foreground. SIGTERM hands the addresses over to the next host, without a gap, and ends; SIGINT releases them
/// at once. SIGHUP reads the file anew: what has not changed goes on as it is. If the process is killed, its guardian (a
/// small child process) releases the addresses. Needs CAP_NET_RAW and CAP_NET_ADMIN.
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

    /// Unix socket to be asked and told at, with vrrpctl
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,

    /// Where Prometheus reads metrics over HTTP: 127.0.0.1:9650
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,

    /// What to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: LevelFilter,
}

fn main() -> ExitCode {
    if daemon::caretaker::is_wanted() {
        return daemon::caretaker::run();
    }
    let arguments = Arguments::parse();
    // A log in a file or a journal has no colours.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt().with_max_level(arguments.log).with_writer(std::io::stderr);
    subscriber.with_ansi(colours).with_target(false).init();
    let mut read = || config(&arguments);
    let result = read().and_then(|config| {
        let reload = arguments.config.is_some().then(|| Box::new(&mut read) as Reload<'_>);
        daemon::run(config, reload)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn config(arguments: &Arguments) -> anyhow::Result<Config> {
    let config = match (&arguments.config, &arguments.router) {
        (Some(path), _) => File::read(path)?,
        (None, Some(router)) => {
            let router = Router { announce: arguments.announce.clone(), ..router.clone() };
            Config { routers: vec![router.named(None)?], ..Config::default() }
        }
        (None, None) => anyhow::bail!("there is nothing to do: give --config, or --interface, --vrid and --address"),
    };
    let program = concat!("vrrpd ", env!("CARGO_PKG_VERSION")).to_owned();
    let (control, metrics) = (arguments.control.clone().or(config.control), arguments.metrics.or(config.metrics));
    Ok(Config { program, guardian: !arguments.no_guardian, control, metrics, ..config })
}
