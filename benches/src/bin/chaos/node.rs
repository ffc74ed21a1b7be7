//! What runs on each host: virtual routers, until SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vrrp_core::{Interval, Priority, VirtualAddr, Vrid};
use vrrp_net::{Driver, RouterConfig};

/// As [`World`](super::world::World) starts it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    priority: u64,
    #[arg(long)]
    interval: u64,
    /// Addresses of one virtual router, separated by commas
    #[arg(long)]
    router: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    let mut driver = Driver::new()?;
    for (vrid, addresses) in (51_u8..).zip(&arguments.router) {
        let addresses = addresses.split(',').map(str::parse::<VirtualAddr>).collect::<Result<Vec<_>, _>>()?;
        driver.add(
            RouterConfig::new("eth0", Vrid::new(vrid)?, addresses)
                .with_priority(Priority::try_from(arguments.priority)?)
                .with_interval(Interval::from_centiseconds(arguments.interval)?),
        )?;
    }
    while !stopped.load(Ordering::Relaxed) {
        // A signal ends the wait early; one that comes just before it is seen after this long.
        driver.wait(Some(Duration::from_millis(100)))?;
        for event in driver.process()? {
            eprintln!("{:?} {event}", vrrp_net::now());
        }
    }
    for event in driver.shutdown()? {
        eprintln!("{event}");
    }
    Ok(())
}
