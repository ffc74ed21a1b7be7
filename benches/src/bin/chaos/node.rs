//! What runs on each host: virtual routers under a guardian, until SIGTERM.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use vrrp_core::{Addressing, Interval, Priority, VirtualAddr, Vrid};
use vrrp_net::{Driver, DriverEvent, Guardian, RouterConfig, VirtualMac};

/// As [`World`](super::world::World) starts it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    priority: u64,
    #[arg(long)]
    interval: u64,
    /// A virtual router, in words with commas between them: addresses, `mac` for a MAC address of its own, `peer=ADDRESS`, `from=ADDRESS`
    #[arg(long)]
    router: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    let mut driver = Driver::new()?;
    guard(&mut driver)?;
    for (vrid, words) in (super::world::FIRST_VRID..).zip(&arguments.router) {
        driver.add(config(arguments, vrid, words)?)?;
    }
    while !stopped.load(Ordering::Relaxed) {
        // A signal ends the wait early; one that comes just before it is seen after this long.
        driver.wait(Some(Duration::from_millis(100)))?;
        let events = driver.process()?;
        for event in &events {
            let of = event.router().and_then(|id| driver.config(id)).map_or(0, |config| config.vrid().get());
            eprintln!("{:?} {of}: {event}", vrrp_net::now());
        }
        if events.iter().any(|event| matches!(event, DriverEvent::GuardianLost)) {
            guard(&mut driver)?;
        }
    }
    for event in driver.shutdown()? {
        eprintln!("{event}");
    }
    Ok(())
}

fn guard(driver: &mut Driver) -> anyhow::Result<()> {
    Ok(driver.set_guardian(Guardian::spawn()?)?)
}

fn config(arguments: &Arguments, vrid: u8, words: &str) -> anyhow::Result<RouterConfig> {
    let (mut addresses, mut peers, mut virtual_mac) = (Vec::<VirtualAddr>::new(), Vec::<IpAddr>::new(), false);
    let mut source: Option<IpAddr> = None;
    for word in words.split(',') {
        let address = |text: &str| text.parse().with_context(|| format!("{text:?} is no address"));
        match word.split_once('=') {
            Some(("peer", peer)) => peers.push(address(peer)?),
            Some(("from", own)) => source = Some(address(own)?),
            Some((other, _)) => anyhow::bail!("there is no setting {other:?}"),
            None if word == "mac" => virtual_mac = true,
            None => addresses.push(word.parse()?),
        }
    }
    let config = RouterConfig::new("eth0", Vrid::new(vrid)?, addresses)
        .with_priority(Priority::try_from(arguments.priority)?)
        .with_interval(Interval::from_centiseconds(arguments.interval)?);
    let config = if peers.is_empty() { config } else { config.with_addressing(Addressing::unicast(peers)) };
    let config = source.map_or(config.clone(), |source| config.with_source(source));
    Ok(if virtual_mac { config.with_virtual_mac(VirtualMac::default()) } else { config })
}
