//! A virtual router in a tokio runtime: the driver's next event is awaited beside everything else.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use vrrp_net::vrrp_core::Vrid;
use vrrp_net::{AsyncDriver, Driver, DriverEvent, Guardian, RouterConfig};

// One thread is enough for this. Where a task could hold it up, give the driver a runtime on a thread of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, vrid, address] = arguments.as_slice() else {
        anyhow::bail!("these are its arguments: tokio_loop INTERFACE VRID ADDRESS");
    };
    let vrid = Vrid::try_from(vrid.parse::<u64>().with_context(|| format!("the VRID {vrid:?}"))?)?;
    let address = address.parse().with_context(|| format!("the address {address:?}"))?;

    let mut told_to_leave = signal(SignalKind::terminate())?;
    let mut driver = Driver::new()?;
    driver.set_guardian(Guardian::spawn()?)?;
    driver.add(RouterConfig::new(interface, vrid, vec![address]))?;

    let mut driver = AsyncDriver::new(driver)?;
    let mut leaving = false;
    while !(leaving && driver.driver().is_idle()) {
        tokio::select! {
            event = driver.next_event() => {
                let event = event?;
                // Here an application starts to serve when it becomes Active, and stops when it is so no more.
                println!("{event}");
                if matches!(event, DriverEvent::GuardianLost) {
                    driver.driver().set_guardian(Guardian::spawn()?)?;
                }
            }
            _ = told_to_leave.recv(), if !leaving => {
                // The address is served until another host has it, or nobody wants it: then the driver is idle.
                driver.driver().hand_over_all()?;
                leaving = true;
            }
        }
    }
    driver.shutdown()?.iter().for_each(|event| println!("{event}"));
    Ok(())
}
