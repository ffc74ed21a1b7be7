//! A virtual router in a loop of `poll(2)`: the driver is one more descriptor in the set.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use signal_hook::consts::SIGTERM;
use vrrp_net::vrrp_core::Vrid;
use vrrp_net::{Driver, DriverEvent, Guardian, RouterConfig};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, vrid, address] = arguments.as_slice() else {
        anyhow::bail!("these are its arguments: poll_loop INTERFACE VRID ADDRESS");
    };
    let vrid = Vrid::try_from(vrid.parse::<u64>().with_context(|| format!("the VRID {vrid:?}"))?)?;
    let address = address.parse().with_context(|| format!("the address {address:?}"))?;

    // A signal makes a descriptor readable, so it waits in the same place as everything else.
    let (sender, told_to_leave) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, sender)?;

    let mut driver = Driver::new()?;
    driver.set_guardian(Guardian::spawn()?)?;
    driver.add(RouterConfig::new(interface, vrid, vec![address]))?;

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
        // The application's own descriptors go into this set too. It needs no timeout for the driver.
        let mut ready = [driver.as_fd(), told_to_leave.as_fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // What was told once is known: it would make the loop turn without a pause.
        let watched = if leaving { 1 } else { 2 };
        match poll(&mut ready[..watched], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for events"),
        }
        if !ready[1].revents().is_empty() {
            // The address is served until another host has it, or nobody wants it: then the driver is idle.
            driver.hand_over_all()?;
            leaving = true;
        }
    }
    driver.shutdown()?.iter().for_each(|event| println!("{event}"));
    Ok(())
}
