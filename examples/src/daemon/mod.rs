//! What all daemons share: virtual routers, what they track, who is told of changes, and the loop around it.
//!
//! A program makes a [`Config`] from whatever its users write, and calls [`run`].
//!
//! | signal | what it does |
//! |---|---|
//! | SIGTERM | hands the addresses over, each is served until another host has it or nobody wants it, and ends |
//! | SIGINT | releases them at once, also after a SIGTERM, and ends |
//! | SIGUSR1, SIGUSR2 | logs how everything is, as `vrrpctl show` prints it |
//! | SIGHUP | reads the configuration anew; no role is left unless the change demands it, and a bad one changes nothing |

mod balance;
pub mod caretaker;
pub mod config;
mod engine;
mod fifo;
mod files;
mod log;
mod mail;
mod notify;
mod operate;
mod process;
mod processes;
mod reload;
mod scripts;
mod servers;
mod signals;
mod systemd;
mod tell;
pub mod users;
mod watch;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use self::caretaker::Caretaker;
use self::config::Config;
use self::engine::Engine;
pub use self::process::{check_safe, find};
use self::signals::Signals;
use self::systemd::Manager;

/// For how long a hand-over is waited for. The virtual routers end theirs by themselves, after
/// [`HandOver::deadline`](vrrp_net::vrrp_core::HandOver), so this is a safeguard.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

/// Reads the configuration anew.
pub type Reload<'r> = Box<dyn FnMut() -> anyhow::Result<Config> + 'r>;

/// Runs a configuration until a signal ends it. `reload` reads it anew; `None`: there is nothing that could be read.
///
/// # Errors
/// A configuration that makes no sense or cannot be run, or a missing privilege; nothing is left behind.
pub fn run(config: Config, mut reload: Option<Reload<'_>>) -> anyhow::Result<()> {
    let signals = Signals::catch()?;
    // This one may do what we may.
    let caretaker = if Caretaker::is_needed(&config) { Some(Caretaker::spawn()?) } else { None };
    // Nothing of what this process may do is for the programs that it runs; root's rights are root's.
    let _ = rustix::thread::clear_ambient_capability_set();
    vrrp_net::Descriptors::close_all_on_exec();
    let mut manager = Manager::from_environment();
    let mut engine = Engine::start(config, caretaker)?;
    manager.ready(&engine.summary());

    let mut leaving: Option<Instant> = None;
    loop {
        engine.turn()?;
        let now = Instant::now();
        manager.alive(now);
        if leaving.is_some_and(|until| engine.is_idle() || now >= until) {
            break;
        }
        if engine.take_summary_changed() {
            manager.status(&engine.summary());
        }
        let deadlines = [engine.poll_timeout(), manager.poll_timeout(), leaving];
        let deadline = deadlines.into_iter().flatten().min();
        wait(&engine, &signals, deadline)?;
        let told = signals.take();
        if told.stop {
            tracing::info!("told to end: releasing everything");
            break;
        }
        if told.leave && leaving.is_none() {
            tracing::info!("told to leave: handing over");
            manager.stopping("hands over");
            engine.hand_over_all()?;
            leaving = Some(Instant::now() + HAND_OVER_WITHIN);
        }
        if told.describe {
            engine.describe();
        }
        engine.serve_control()?;
        if (told.reload || engine.take_reload()) && leaving.is_none() {
            manager.reloading();
            match reload.as_mut() {
                None => tracing::warn!("told to reload, but there is no file: everything was said on the command line"),
                Some(reload) => match reload().and_then(|config| engine.reload(config)) {
                    Ok(()) => {}
                    Err(error) => tracing::error!("the configuration stays as it is: {error:#}"),
                },
            }
            manager.ready(&engine.summary());
        }
    }
    if leaving.is_none() {
        manager.stopping("ends");
    }
    engine.stop()
}

/// Waits until there is something to do.
fn wait(engine: &Engine, signals: &Signals, deadline: Option<Instant>) -> anyhow::Result<()> {
    let watched = engine.descriptors().chain([signals.as_fd()]);
    let mut watched: Vec<PollFd<'_>> = watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    let patience = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
    match poll(&mut watched, patience.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait for events"),
    }
}
