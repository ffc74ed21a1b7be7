//! The loop of a daemon: a driver, the guardian that looks after it, and the signals that end it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use vrrp_net::{Driver, DriverEvent, Guardian, RouterConfig};

/// For how long a hand-over is waited for. The virtual routers end theirs by themselves, after
/// [`HandOver::deadline`](vrrp_net::vrrp_core::HandOver), so this is a safeguard.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

/// Runs virtual routers until a signal. `guarded`: with a [`Guardian`].
///
/// SIGTERM hands the addresses over: each is served until another host has it, or nobody wants it. SIGINT and SIGHUP
/// release them at once; also after a SIGTERM.
///
/// `report` is told what happens, with a label that names the virtual router: `eth0/51`.
///
/// # Errors
/// A virtual router that cannot be run, or a missing privilege; nothing is left behind.
pub fn run(
    routers: Vec<RouterConfig>,
    guarded: bool,
    mut report: impl FnMut(&str, &DriverEvent),
) -> anyhow::Result<()> {
    // SIGHUP too: the end of its terminal is no reason to leave addresses behind.
    let (leave, stop) = (pipe_of(&[SIGTERM])?, pipe_of(&[SIGINT, SIGHUP])?);
    let mut driver = Driver::new()?;
    if guarded {
        // Before there is much else: the guardian begins as a copy of this process.
        driver.set_guardian(Guardian::spawn()?)?;
    }
    let mut labels = BTreeMap::new();
    for router in routers {
        let label = format!("{}/{}", router.interface(), router.vrid());
        let id = driver.add(router).with_context(|| format!("virtual router {label}"))?;
        labels.insert(id, label);
    }
    // What one that was killed has left and is configured no more.
    for name in driver.remove_leftovers()? {
        tracing::info!("removed {name}, which a process that died has left");
    }
    let mut tell = |events: &[DriverEvent]| {
        for event in events {
            let label = event.router().and_then(|id| labels.get(&id));
            report(label.map_or("", String::as_str), event);
        }
    };
    let mut leaving: Option<Instant> = None;
    while !leaving.is_some_and(|until| driver.is_idle() || Instant::now() >= until) {
        let events = driver.process()?;
        tell(&events);
        if events.iter().any(|event| matches!(event, DriverEvent::GuardianLost)) {
            driver.set_guardian(Guardian::spawn().context("cannot replace the guardian")?)?;
        }
        let watched = [driver.as_fd(), stop.as_fd(), leave.as_fd()];
        let mut ready = watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // Once it is told to leave, there is nothing more to hear from that pipe.
        let number = if leaving.is_some() { 2 } else { 3 };
        let patience =
            leaving.and_then(|until| Timespec::try_from(until.saturating_duration_since(Instant::now())).ok());
        match poll(&mut ready[..number], patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for the driver"),
        }
        if !ready[1].revents().is_empty() {
            break;
        }
        if leaving.is_none() && !ready[2].revents().is_empty() {
            tracing::info!("told to leave: handing over");
            driver.hand_over_all()?;
            leaving = Some(Instant::now() + HAND_OVER_WITHIN);
        }
    }
    tell(&driver.process()?);
    tell(&driver.shutdown()?);
    Ok(())
}

/// A descriptor that becomes readable with one of these signals, also if it comes just before the wait.
///
/// # Errors
/// No descriptor is left, or a signal cannot be caught.
pub fn pipe_of(signals: &[i32]) -> anyhow::Result<UnixStream> {
    let (sender, receiver) = UnixStream::pair().context("cannot make a pipe for signals")?;
    for signal in signals {
        let sender = sender.try_clone().context("cannot make a pipe for signals")?;
        signal_hook::low_level::pipe::register(*signal, sender).context("cannot catch signals")?;
    }
    Ok(receiver)
}
