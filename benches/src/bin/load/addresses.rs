//! Thousands of addresses: how long until all are installed and announced, beside the bare additions.

use std::time::Duration;

use anyhow::Context;
use vrrp_core::VirtualAddr;
use vrrp_net::netlink::{AddressChange, AddressRequest};

use super::frames::{adverts, announcements, median};
use super::net::Net;
use super::node;
use super::subject::{Running, Subject};

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// How many
    #[arg(long, default_value_t = 5000)]
    addresses: u16,
    /// How often
    #[arg(long, default_value_t = 5)]
    rounds: u8,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { addresses: 5000, rounds: 5 }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    println!("{} addresses, each announced once, {} interleaved rounds:", arguments.addresses, arguments.rounds);
    let own = node::Arguments { addresses: arguments.addresses, announce_once: true, ..node::Arguments::new(1) };
    let (mut bare, mut results) = (Vec::new(), [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())]);
    for _ in 0..arguments.rounds {
        bare.push(add_bare(&own)?);
        for (subject, (times, gaps)) in Subject::BOTH.into_iter().zip(&mut results) {
            let (time, gap) = take_over(subject, &own)?;
            times.push(time);
            gaps.push(gap);
        }
    }
    let bare = median(&bare).context("no rounds")?;
    println!("  bare additions: {bare:.1?}");
    for (subject, (times, gaps)) in Subject::BOTH.into_iter().zip(&results) {
        let (time, gap) = (median(times).context("no rounds")?, gaps.iter().max().context("no rounds")?);
        let (name, ratio) = (subject.name(), time.as_secs_f64() / bare.as_secs_f64());
        println!(
            "  {name}: {time:.1?} from the first advertisement to the last announcement ({ratio:.2} x), longest gap between advertisements {gap:.1?}"
        );
    }
    Ok(())
}

/// The additions alone, by batches.
fn add_bare(own: &node::Arguments) -> anyhow::Result<Duration> {
    let net = Net::new(1, 1)?;
    let (host, cable) = (net.hosts.first().context("no host")?, net.cables.first().context("no interface")?);
    let mut netlink = host.netlink()?;
    let addresses: Vec<_> = own.list().flat_map(|(_, _, addresses)| addresses).collect();
    let began = vrrp_net::now();
    for batch in addresses.chunks(200) {
        let change = |it: &std::net::Ipv4Addr| {
            let address = VirtualAddr::host((*it).into())?;
            Ok(AddressChange::Set(AddressRequest::new(cable.index(), address)))
        };
        let changes: anyhow::Result<Vec<_>> = batch.iter().map(change).collect();
        for result in netlink.change_addresses(&changes?)? {
            result?;
        }
    }
    Ok(vrrp_net::now().since(began))
}

/// From the first advertisement to the last address that is announced, and the longest gap between advertisements.
fn take_over(subject: Subject, own: &node::Arguments) -> anyhow::Result<(Duration, Duration)> {
    let net = Net::new(1, 1)?;
    let capture = net.cables.first().context("no interface")?.capture()?;
    let running = Running::start(subject, net.hosts.first().context("no host")?, own)?;
    std::thread::sleep(Duration::from_millis(3500));
    let frames = capture.frames();
    running.kill()?;
    let seen = adverts(&frames);
    let first = seen.first().context("no advertisement")?;
    let mut told = announcements(&frames);
    let mut known = std::collections::BTreeSet::new();
    told.retain(|(_, address)| known.insert(*address));
    anyhow::ensure!(told.len() == usize::from(own.addresses), "{} announces {} addresses", subject.name(), told.len());
    let (last, _) = told.last().context("no announcement")?;
    let gaps = seen.iter().zip(seen.iter().skip(1)).map(|(one, next)| next.at.since(one.at));
    Ok((last.since(first.at), gaps.max().unwrap_or_default()))
}
