//! From exec to the first advertisement of every virtual router.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;

use super::frames::{adverts, median};
use super::net::Net;
use super::node;
use super::subject::{Running, Subject};

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// How many virtual routers, at most 255
    #[arg(long, default_value_t = 255)]
    routers: u16,
    /// How often
    #[arg(long, default_value_t = 9)]
    rounds: u8,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { routers: 255, rounds: 9 }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..arguments.rounds {
        for (subject, times) in Subject::BOTH.into_iter().zip(&mut times) {
            times.push(start(subject, arguments.routers)?);
        }
    }
    println!("From exec to the first advertisement of each of {} address owners:", arguments.routers);
    for (subject, times) in Subject::BOTH.into_iter().zip(&times) {
        let (middle, worst) = (median(times).context("no rounds")?, times.iter().max().context("no rounds")?);
        println!("  {}: {middle:.1?}, at worst {worst:.1?}", subject.name());
    }
    Ok(())
}

fn start(subject: Subject, routers: u16) -> anyhow::Result<Duration> {
    let net = Net::new(1, 1)?;
    let capture = net.cables.first().context("no interface")?.capture()?;
    let own = node::Arguments { on_each: 255, priority: 255, ..node::Arguments::new(routers) };
    let began = vrrp_net::now();
    let running = Running::start(subject, net.hosts.first().context("no host")?, &own)?;
    std::thread::sleep(Duration::from_millis(2000));
    let seen = adverts(&capture.frames());
    running.kill()?;
    let mut known = BTreeSet::new();
    let firsts: Vec<_> = seen.iter().filter(|advert| known.insert(advert.vrid)).collect();
    anyhow::ensure!(firsts.len() == usize::from(routers), "{} advertises {}", subject.name(), firsts.len());
    Ok(firsts.last().context("no advertisement")?.at.since(began))
}
