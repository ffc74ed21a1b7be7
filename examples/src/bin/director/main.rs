//! A load balancer of two hosts: a virtual address by VRRP, virtual servers by IPVS behind it, checks of their servers, in
//! one process and one event loop.

mod real_server;
mod settings;

use std::io::{IsTerminal, Read};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use examples::service::pipe_of;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing_subscriber::filter::LevelFilter;
use vrrp_ipvs::Ipvs;
use vrrp_ipvs::director::{Director, DirectorEvent};
use vrrp_net::vrrp_core::RouterId;
use vrrp_net::{Driver, DriverEvent, Guardian};

use self::real_server::Interface;
use self::settings::{File, Settings};

/// How long a hand-over is waited for; the virtual router ends its own sooner.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

/// Balances virtual servers over real ones with the kernel's IPVS, on the one of two hosts that has the virtual address.
///
/// Runs in the foreground. SIGTERM hands the address over to the other host, without a gap, removes the virtual servers
/// and ends; SIGINT does so at once. SIGHUP reads the file again: what stays in it goes on, connections and checks too. Needs CAP_NET_RAW, CAP_NET_ADMIN and the module ip_vs.
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
    let arguments = Arguments::parse();
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt().with_max_level(arguments.log).with_writer(std::io::stderr);
    subscriber.with_ansi(colours).with_target(false).init();
    let result = match &arguments.config {
        Some(path) => direct(path),
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

/// The virtual router and the director behind it.
struct Pair {
    driver: Driver,
    router: RouterId,
    director: Director,
    settings: Settings,
}

fn direct(path: &Path) -> anyhow::Result<()> {
    let settings = File::read(path)?;
    let (leave, stop, mut reload) = (pipe_of(&[SIGTERM])?, pipe_of(&[SIGINT])?, pipe_of(&[SIGHUP])?);
    let mut driver = Driver::new()?;
    // Before there is much else: the guardian begins as a copy of this process.
    driver.set_guardian(Guardian::spawn()?)?;
    let mut ipvs = Ipvs::open()?;
    let services = if settings.whole_table { ipvs.service_list()? } else { Vec::new() };
    let mut director = Director::new(ipvs, settings.director.clone())?;
    director.take_over(services.into_iter().map(|status| status.service.id))?;
    // The table first, then the address.
    director.process()?.iter().for_each(log_director);
    let router = driver.add(settings.router.clone()).context("the virtual router")?;
    driver.remove_leftovers()?;
    let mut pair = Pair { driver, router, director, settings };
    pair.track()?;

    let mut leaving: Option<Instant> = None;
    while !leaving.is_some_and(|until| pair.driver.is_idle() || Instant::now() >= until) {
        pair.turn()?;
        let watched = [pair.driver.as_fd(), pair.director.as_fd(), stop.as_fd(), leave.as_fd(), reload.as_fd()];
        let mut ready = watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // Once it is told to leave, there is nothing more to hear from those pipes.
        let number = if leaving.is_some() { 3 } else { 5 };
        let patience =
            leaving.and_then(|until| Timespec::try_from(until.saturating_duration_since(Instant::now())).ok());
        match poll(&mut ready[..number], patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for events"),
        }
        if !ready[2].revents().is_empty() {
            break;
        }
        let told_to_reload = !ready[4].revents().is_empty();
        if leaving.is_none() && !ready[3].revents().is_empty() {
            tracing::info!("told to leave: handing over");
            pair.driver.hand_over_all()?;
            leaving = Some(Instant::now() + HAND_OVER_WITHIN);
        }
        if leaving.is_none() && told_to_reload {
            // However often it was told.
            let _ = reload.read(&mut [0; 64]);
            match File::read(path).and_then(|settings| pair.reload(settings)) {
                Ok(()) => tracing::info!("goes on with {} as it is now", path.display()),
                Err(error) => tracing::error!("goes on as before: {error:#}"),
            }
        }
    }
    // The address goes before what is behind it.
    pair.driver.shutdown()?.iter().for_each(log_router);
    pair.director.shutdown()?.iter().for_each(log_director);
    Ok(())
}

impl Pair {
    /// Lets both do what is due, and tells each what it must know of the other.
    fn turn(&mut self) -> anyhow::Result<()> {
        for event in self.driver.process()? {
            log_router(&event);
            match event {
                DriverEvent::Transition { transition, .. } => self.director.set_role(transition.to)?,
                DriverEvent::GuardianLost => {
                    self.driver.set_guardian(Guardian::spawn().context("cannot replace the guardian")?)?;
                }
                _ => {}
            }
        }
        let events = self.director.process()?;
        events.iter().for_each(log_director);
        let is_quorum =
            |event: &DirectorEvent| matches!(event, DirectorEvent::QuorumUp { .. } | DirectorEvent::QuorumDown { .. });
        if events.iter().any(is_quorum) {
            self.track()?;
        }
        Ok(())
    }

    /// Goes on with other settings, or as before if that cannot be.
    fn reload(&mut self, settings: Settings) -> anyhow::Result<()> {
        self.director.reconfigure(settings.director.clone())?;
        // The table first, then the address.
        self.director.process()?.iter().for_each(log_director);
        if let Err(error) = self.driver.reconfigure(self.router, settings.router.clone()) {
            self.director.reconfigure(self.settings.director.clone())?;
            return Err(error).context("the virtual router");
        }
        self.settings = settings;
        self.track()
    }

    /// A director that has lost a quorum stands behind one that has it.
    fn track(&mut self) -> anyhow::Result<()> {
        let tracked = self.settings.quorum_impact.map(|impact| self.director.tracked(impact));
        Ok(self.driver.set_tracked(self.router, tracked.unwrap_or_default())?)
    }
}

fn log_router(event: &DriverEvent) {
    match event {
        DriverEvent::Transition { .. } => tracing::info!("{event}"),
        _ => tracing::warn!("{event}"),
    }
}

fn log_director(event: &DirectorEvent) {
    match event {
        DirectorEvent::Refused { .. } => tracing::error!("{event}"),
        DirectorEvent::ServerDown { .. }
        | DirectorEvent::AttemptFailed { .. }
        | DirectorEvent::CheckHindered { .. }
        | DirectorEvent::QuorumDown { .. }
        | DirectorEvent::SorryIn { .. } => tracing::warn!("{event}"),
        DirectorEvent::Applied(_) => tracing::debug!("{event}"),
        _ => tracing::info!("{event}"),
    }
}
