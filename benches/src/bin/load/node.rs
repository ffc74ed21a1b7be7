//! Our side: an application that embeds the driver, until SIGTERM.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use vrrp_core::{Interval, Priority, VirtualAddr, Vrid};
use vrrp_net::{Address, Announcements, Driver, RouterConfig};

/// Virtual routers on `eth0`, `eth1` and so on, the same for both sides.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// How many virtual routers
    #[arg(long)]
    pub(crate) routers: u16,
    /// How many of them on each interface
    #[arg(long, default_value_t = 250)]
    pub(crate) on_each: u16,
    /// In centiseconds
    #[arg(long, default_value_t = 10)]
    pub(crate) interval: u16,
    #[arg(long, default_value_t = 100)]
    pub(crate) priority: u8,
    /// Addresses of each one
    #[arg(long, default_value_t = 1)]
    pub(crate) addresses: u16,
    /// Announce each address once
    #[arg(long)]
    pub(crate) announce_once: bool,
    /// Say what happens
    #[arg(long)]
    pub(crate) log: bool,
}

impl Arguments {
    pub(crate) fn new(routers: u16) -> Self {
        Self { routers, on_each: 250, interval: 10, priority: 100, addresses: 1, announce_once: false, log: false }
    }

    /// The interface, VRID and addresses of each.
    pub(crate) fn list(&self) -> impl Iterator<Item = (String, u8, Vec<Ipv4Addr>)> + '_ {
        (0..self.routers).map(|number| {
            let (interface, place) = (number / self.on_each, number % self.on_each);
            let vrid = u8::try_from(place + 1).unwrap_or(u8::MAX);
            let own = u32::from(number) * u32::from(self.addresses);
            let first = u32::from(Ipv4Addr::new(10, 64, 0, 1));
            let addresses = (0..u32::from(self.addresses)).map(|at| Ipv4Addr::from(first + own + at)).collect();
            (format!("eth{interface}"), vrid, addresses)
        })
    }

    /// As options of the command line.
    pub(crate) fn options(&self) -> Vec<String> {
        let mut text = String::new();
        let Self { routers, on_each, interval, priority, addresses, .. } = self;
        // Writing to a string does not fail.
        let _ = write!(text, "node --routers {routers} --on-each {on_each} --interval {interval}");
        let _ = write!(text, " --priority {priority} --addresses {addresses}");
        let mut options: Vec<String> = text.split(' ').map(str::to_owned).collect();
        options.extend(self.announce_once.then(|| "--announce-once".to_owned()));
        options.extend(self.log.then(|| "--log".to_owned()));
        options
    }
}

/// As many addresses as an advertisement can tell of; the others are excluded.
pub(crate) const ADVERTISED: usize = 20;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    let mut driver = Driver::new()?;
    for (interface, vrid, addresses) in arguments.list() {
        let advertised = addresses.iter().take(ADVERTISED).map(|it| VirtualAddr::host((*it).into()));
        let mut config = RouterConfig::new(interface, Vrid::new(vrid)?, advertised.collect::<Result<_, _>>()?)
            .with_priority(Priority::new(arguments.priority)?)
            .with_interval(Interval::from_centiseconds(u64::from(arguments.interval))?);
        for address in addresses.iter().skip(ADVERTISED) {
            let address: Address = address.to_string().parse().context("an address")?;
            config = config.with_address(address.excluded());
        }
        if arguments.announce_once {
            let once = Announcements { repeat: 1, delay: Duration::ZERO, ..Announcements::default() };
            config = config.with_announcements(once);
        }
        driver.add(config)?;
    }
    while !stopped.load(Ordering::Relaxed) {
        // A signal ends the wait early; one that comes just before it is seen after this long.
        driver.wait(Some(Duration::from_millis(500)))?;
        for event in driver.process()? {
            if arguments.log {
                eprintln!("{event}");
            }
        }
    }
    driver.shutdown()?;
    Ok(())
}
