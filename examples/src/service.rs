//! The loop of a daemon: a driver and the signals that end it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use vrrp_net::{Driver, DriverEvent, RouterConfig};

/// Runs virtual routers until SIGTERM, SIGINT or SIGHUP, then releases their addresses.
///
/// `report` is told what happens, with a label that names the virtual router: `eth0/51`.
///
/// # Errors
/// A virtual router that cannot be run, or a missing privilege; nothing is left behind.
pub fn run(routers: Vec<RouterConfig>, mut report: impl FnMut(&str, &DriverEvent)) -> anyhow::Result<()> {
    // A pipe, so that a signal that comes just before the wait is not missed.
    let (stop, stopped) = UnixStream::pair().context("cannot make a pipe for signals")?;
    // SIGHUP too: the end of its terminal is no reason to leave addresses behind.
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let pipe = stop.try_clone().context("cannot make a pipe for signals")?;
        signal_hook::low_level::pipe::register(signal, pipe).context("cannot catch signals")?;
    }
    let mut driver = Driver::new()?;
    let mut labels = BTreeMap::new();
    for router in routers {
        let label = format!("{}/{}", router.interface(), router.vrid());
        let id = driver.add(router).with_context(|| format!("virtual router {label}"))?;
        labels.insert(id, label);
    }
    let mut tell = |events: Vec<DriverEvent>| {
        for event in events {
            let label = event.router().and_then(|id| labels.get(&id));
            report(label.map_or("", String::as_str), &event);
        }
    };
    loop {
        tell(driver.process()?);
        let mut ready = [PollFd::new(&driver, PollFlags::IN), PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for the driver"),
        }
        if !ready[1].revents().is_empty() {
            break;
        }
    }
    tell(driver.shutdown()?);
    Ok(())
}
