//! A virtual router in a loop of `mio`: the driver is one more source.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::SIGTERM;
use vrrp_net::vrrp_core::Vrid;
use vrrp_net::{Driver, DriverEvent, Guardian, RouterConfig};

const DRIVER: Token = Token(0);
const SIGNAL: Token = Token(1);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, vrid, address] = arguments.as_slice() else {
        anyhow::bail!("these are its arguments: mio_loop INTERFACE VRID ADDRESS");
    };
    let vrid = Vrid::try_from(vrid.parse::<u64>().with_context(|| format!("the VRID {vrid:?}"))?)?;
    let address = address.parse().with_context(|| format!("the address {address:?}"))?;

    // A signal makes a descriptor readable, so it waits in the same place as everything else.
    let (sender, told_to_leave) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, sender)?;

    let mut driver = Driver::new()?;
    driver.set_guardian(Guardian::spawn()?)?;
    driver.add(RouterConfig::new(interface, vrid, vec![address]))?;

    let mut poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&driver.as_raw_fd()), DRIVER, Interest::READABLE)?;
    poll.registry().register(&mut SourceFd(&told_to_leave.as_raw_fd()), SIGNAL, Interest::READABLE)?;
    let mut events = Events::with_capacity(16);
    let mut leaving = false;
    loop {
        for event in driver.process()? {
            // Here an application starts to serve when it becomes Active, and stops when it is so no more.
            println!("{event}");
            if matches!(event, DriverEvent::GuardianLost) {
                driver.set_guardian(Guardian::spawn()?)?;
            }
        }
        if leaving && driver.is_idle() {
            break;
        }
        // mio tells of a change alone. The driver does a bounded amount of work a turn, and what it left for the next one
        // is no change: then look at the other sources, and come back at once.
        let patience = driver.is_readable()?.then_some(Duration::ZERO);
        match poll.poll(&mut events, patience) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        if !leaving && events.iter().any(|event| event.token() == SIGNAL) {
            // The address is served until another host has it, or nobody wants it: then the driver is idle.
            driver.hand_over_all()?;
            leaving = true;
        }
    }
    driver.shutdown()?.iter().for_each(|event| println!("{event}"));
    Ok(())
}
