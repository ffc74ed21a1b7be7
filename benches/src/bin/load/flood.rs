//! Malformed packets at a high rate: no change of roles, no missed advertisement.

use std::time::{Duration, Instant};

use anyhow::Context;
use vrrp_core::Family;
use vrrp_net::filter::{Plausible, ReceiveFilter};
use vrrp_net::{AdvertSocket, Outgoing};

use super::frames::adverts;
use super::net::Net;
use super::node;
use super::subject::{Running, Subject};

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Packets a second
    #[arg(long, default_value_t = 100_000)]
    rate: u32,
    /// For how long
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Advertisement intervals in centiseconds
    #[arg(long, value_delimiter = ',', default_value = "100,10")]
    intervals: Vec<u16>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { rate: 100_000, seconds: 10, intervals: vec![100, 10] }
    }
}

/// Packets that are sent together.
const AT_ONCE: usize = 64;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    println!("Flood of malformed packets, each with the right VRID and TTL, on two of ours:");
    for interval in &arguments.intervals {
        flood(arguments, *interval)?;
    }
    Ok(())
}

fn flood(arguments: &Arguments, interval: u16) -> anyhow::Result<()> {
    let net = Net::new(3, 1)?;
    let [first, second, client] = net.hosts.as_slice() else { anyhow::bail!("three hosts") };
    let own = node::Arguments { interval, log: true, ..node::Arguments::new(1) };
    let period = Duration::from_millis(u64::from(interval) * 10);
    let active = Running::start(Subject::Ours, first, &node::Arguments { priority: 200, ..own.clone() })?;
    let backup = Running::start(Subject::Ours, second, &own)?;
    std::thread::sleep(period * 5);

    // Many packets with one system call, and none of them is heard here. The numbers are those of `socket(2)`.
    let (index, nothing) = (client.link("eth0")?.index, ReceiveFilter::from(Plausible::new([], [])));
    let socket = AdvertSocket::from_fd(client.socket(2, 3, 112)?, "eth0", index, &nothing)?;
    // The checksum is wrong.
    let packet = [0x31, 1, 0xff, 1, 0, 10, 0xba, 0xad, 10, 64, 0, 1];
    let packets = [Outgoing::new("10.0.0.3".parse()?, Family::V4.group(), &packet); AT_ONCE];
    // What the Active sends, seen where the flood is not: the client's packets do not come back to this cable.
    let capture = net.cables.first().context("no interface")?.capture()?;
    let (before, began) = ([active.cpu_time()?, backup.cpu_time()?], Instant::now());
    let (length, mut sent) = (Duration::from_secs(arguments.seconds), 0_usize);
    let mut refused = 0_u32;
    while began.elapsed() < length {
        let due = began.elapsed().as_secs_f64() * f64::from(arguments.rate);
        while (sent as f64) < due && began.elapsed() < length {
            sent += socket.send(&packets, |_, _| refused += 1);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let took = began.elapsed();
    let used = [active.cpu_time()?.saturating_sub(before[0]), backup.cpu_time()?.saturating_sub(before[1])];
    std::thread::sleep(period * 4);
    let seen = adverts(&capture.frames());
    drop(capture);
    active.stop()?;
    backup.stop()?;
    let from = |last: u8| seen.iter().filter(move |advert| advert.source.octets()[3] == last && advert.priority > 0);
    let own: Vec<_> = from(1).collect();
    let gaps = own.iter().zip(own.iter().skip(1)).map(|(one, next)| next.at.since(one.at));
    let (longest, rivals) = (gaps.max().context("the Active was silent")?, from(2).count());
    let [of_active, of_backup] = used.map(|used| used.as_secs_f64() / took.as_secs_f64() * 100.0);
    println!(
        "  at {period:?}: {sent} packets in {took:.1?} ({refused} refused): longest gap of the Active {longest:.1?}, \
         {rivals} advertisements of the Backup; CPU {of_active:.0} % and {of_backup:.0} %"
    );
    anyhow::ensure!(rivals == 0, "the Backup took over");
    anyhow::ensure!(longest < period + period / 2, "the Active missed an advertisement");
    Ok(())
}
