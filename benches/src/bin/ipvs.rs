//! How long a table of IPVS takes from nothing, beside `ipvsadm --restore`: 1,000 services of 10 destinations each.
//!
//! It needs a kernel with IPVS whose table may be emptied, and so starts itself in user-mode-linux.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use vrrp_ipvs::{Destination, DestinationId, Ipvs, Service, ServiceId, Table, VirtualServer, plan};

/// Fills an empty IPVS table with `vrrp-ipvs` and with `ipvsadm --restore`, in turns, and says how long each took.
#[derive(Parser)]
struct Options {
    /// How many services.
    #[arg(long, default_value_t = 1000)]
    services: u16,
    /// How many destinations each has.
    #[arg(long, default_value_t = 10)]
    destinations: u8,
    /// How often each of the two has its turn.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if std::env::var_os("VRRP_IPVS_GUEST").is_none() {
        let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vrrp-ipvs/tests/guest");
        let program = std::env::current_exe()?;
        let status = Command::new("bash").arg(runner).arg(program).args(std::env::args_os().skip(1)).status()?;
        std::process::exit(status.code().unwrap_or(1));
    }
    let servers = servers(&options);
    let script = script(&servers);
    let table = Table::new(servers)?;
    let mut ipvs = Ipvs::open()?;
    let (mut ours, mut theirs, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        ipvs.flush()?;
        let began = Instant::now();
        restore(&script)?;
        theirs.push(began.elapsed());
        ensure!(plan(&table, &ipvs.services()?, |_| true).is_empty(), "ipvsadm made another table");

        ipvs.flush()?;
        let began = Instant::now();
        settle(&mut ipvs, &table)?;
        ours.push(began.elapsed());

        let began = Instant::now();
        ensure!(settle(&mut ipvs, &table)? == 0, "the table was not there");
        idle.push(began.elapsed());
    }
    println!("{} services of {} destinations, {} rounds", options.services, options.destinations, options.rounds);
    let (ours, theirs) = (report("vrrp-ipvs: read, plan, apply", ours), report("ipvsadm --restore", theirs));
    report("vrrp-ipvs: read and plan, nothing to do", idle);
    println!("{:.2} of the time of ipvsadm", ours.as_secs_f64() / theirs.as_secs_f64());
    Ok(())
}

/// Reads the table, plans and applies; how many operations that was.
fn settle(ipvs: &mut Ipvs, table: &Table) -> anyhow::Result<usize> {
    let actual = ipvs.services()?;
    Ok(ipvs.apply(&plan(table, &actual, |_| true))?.operations)
}

fn servers(options: &Options) -> Vec<VirtualServer> {
    let address = IpAddr::from([192, 0, 2, 1]);
    let destinations: Vec<_> = (1..=options.destinations)
        .map(|host| Destination::new(DestinationId::new(IpAddr::from([10, 0, 0, host]), 80)).with_weight(host.into()))
        .collect();
    let server = |port| VirtualServer {
        service: Service::new(ServiceId::tcp(address, port)),
        destinations: destinations.clone(),
    };
    (1..=options.services).map(server).collect()
}

/// The same for `ipvsadm --restore`.
fn script(servers: &[VirtualServer]) -> String {
    let mut script = String::new();
    for VirtualServer { service, destinations } in servers {
        let ServiceId::Address { address, port, .. } = service.id else { continue };
        script += &format!("-A -t {address}:{port} -s {}\n", service.scheduler);
        for destination in destinations {
            script += &format!("-a -t {address}:{port} -r {} -m -w {}\n", destination.id, destination.weight);
        }
    }
    script
}

fn restore(script: &str) -> anyhow::Result<()> {
    let mut process = Command::new("ipvsadm")
        .arg("--restore")
        .stdin(Stdio::piped())
        .spawn()
        .context("ipvsadm does not start: apt-get install ipvsadm")?;
    process.stdin.take().context("no standard input")?.write_all(script.as_bytes())?;
    let status = process.wait()?;
    if !status.success() {
        bail!("ipvsadm --restore: {status}");
    }
    Ok(())
}

/// Prints the median and the extremes; gives the median.
fn report(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    let (fastest, median, slowest) = (at(0), at(times.len() / 2), at(times.len().saturating_sub(1)));
    println!("{what:<42} median {median:>9.1?}   fastest {fastest:>9.1?}   slowest {slowest:>9.1?}");
    median
}
