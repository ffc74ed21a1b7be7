//! A TCP proxy of two hosts or more that has its virtual address inside: it knows when it can serve, and stands in the
//! election accordingly.

mod front;
mod settings;
mod upstreams;
mod vrrp;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::filter::LevelFilter;
use vrrp_net::{Driver, Guardian};

use self::front::Front;
use self::settings::Settings;
use self::upstreams::Upstreams;
use self::vrrp::Vrrp;

/// Passes TCP connections to a virtual address on to upstreams, on the one of several hosts that has the address.
///
/// Runs in the foreground. SIGTERM lets the connections end, for as long as "drain" says, hands the address over to the
/// next host, and ends; new connections reach the next host, none is refused. SIGINT hands over at once. If the process is
/// killed, its guardian releases the address. Needs CAP_NET_RAW and CAP_NET_ADMIN.
#[derive(Parser)]
#[command(name = "proxy")]
struct Arguments {
    /// TOML file with the virtual router, the port and the upstreams
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// What to log: error, warn, info, debug (every connection) or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: LevelFilter,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt().with_max_level(arguments.log).with_writer(std::io::stderr);
    subscriber.with_ansi(colours).with_target(false).init();
    match run(&arguments.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> anyhow::Result<()> {
    let settings = Settings::read(path)?;
    let router = settings.router.config().with_context(|| format!("the virtual router in {}", path.display()))?;
    allow_many_descriptors();
    let mut driver = Driver::new()?;
    // Before there is much else: the guardian begins as a copy of this process.
    driver.set_guardian(Guardian::spawn()?)?;

    let runtime = Runtime::new().context("cannot start a runtime")?;
    let _inside = runtime.enter();
    let upstreams = Arc::new(Upstreams::new(&settings));
    // The port is open before the address is there: else the first connections would be refused.
    let front = Arc::new(Front::open(&settings, Arc::clone(&upstreams))?);
    let vrrp = Vrrp::start(driver, router, &settings, upstreams.health())?;
    runtime.block_on(serve(front, upstreams, vrrp.serving()))?;
    // Connections and checks go on until this is through.
    vrrp.leave()
}

/// Serves until it is told to leave, and what can end before it does has ended.
async fn serve(front: Arc<Front>, upstreams: Arc<Upstreams>, mut serving: watch::Receiver<bool>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch signals")?;
    upstreams.watch();
    front.accept(&serving);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => return Ok(()),
        // The virtual router has failed; it says why when it is left.
        () = ended(serving.clone()) => return Ok(()),
    }
    if *serving.borrow_and_update() {
        tracing::info!("told to leave: {} connections may end first", front.open_connections());
        front.leave_new_ones_to_the_next()?;
        tokio::select! {
            () = front.drained() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("handing over; {} connections are cut", front.open_connections());
    }
    Ok(())
}

/// Returns when nobody tells any more whether to serve.
async fn ended(mut serving: watch::Receiver<bool>) {
    while serving.changed().await.is_ok() {}
}

/// Each connection takes two descriptors, and the usual limit is 1024.
fn allow_many_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!("cannot raise the limit of descriptors, {:?}: {error}", limit.current);
    }
}
