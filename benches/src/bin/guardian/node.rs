//! What runs on a host: virtual routers, with or without a guardian, until it is told to die.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::Context;
use vrrp_core::{Priority, VirtualAddr, Vrid};
use vrrp_net::{Driver, Guardian, RouterConfig, ThreadOptions};

/// As the program starts it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    priority: u64,
    #[arg(long)]
    routers: u8,
    #[arg(long)]
    guarded: bool,
    /// The control group to be in
    #[arg(long)]
    group: Option<PathBuf>,
}

/// The address of a virtual router.
pub(crate) fn address(vrid: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, vrid)
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(group) = &arguments.group {
        let file = group.join("cgroup.procs");
        std::fs::write(&file, "0").with_context(|| format!("write {}", file.display()))?;
    }
    let mut driver = Driver::new()?;
    if arguments.guarded {
        driver.set_guardian(Guardian::spawn()?)?;
    }
    for vrid in 1..=arguments.routers {
        let address = VirtualAddr::host(IpAddr::V4(address(vrid)))?;
        let config = RouterConfig::new("eth0", Vrid::new(vrid)?, vec![address]);
        driver.add(config.with_priority(Priority::try_from(arguments.priority)?))?;
    }
    let thread = driver.spawn(ThreadOptions::default())?;
    let mut word = String::new();
    std::io::stdin().read_line(&mut word)?;
    match word.trim() {
        "abort" => std::process::abort(),
        // SIGSEGV is 11 on every Linux.
        "segfault" => signal_hook::low_level::emulate_default_handler(11)?,
        "oom" => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(vec![1_u8; 1 << 20]);
            }
        }
        // It was not told anything: whoever started it is gone.
        _ => {}
    }
    thread.stop()?;
    Ok(())
}
