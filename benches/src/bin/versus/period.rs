//! How exact the advertisement interval is.

use std::time::Duration;

use anyhow::Context;

use super::frames::adverts;
use super::net::Net;
use super::node;
use super::subject::{Running, Subject};

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// How many virtual routers
    #[arg(long, default_value_t = 250)]
    routers: u16,
    /// For how long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { routers: 250, seconds: 60 }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    println!("Advertisement period of {} virtual routers at 100 ms:", arguments.routers);
    for subject in Subject::BOTH {
        let own = node::Arguments::new(arguments.routers);
        let net = Net::new(1, u8::try_from(own.routers.div_ceil(own.on_each))?)?;
        let running = Running::start(subject, net.hosts.first().context("no host")?, &own)?;
        std::thread::sleep(Duration::from_secs(8));
        let capture = net.cables.first().context("no interface")?.capture()?;
        std::thread::sleep(Duration::from_secs(arguments.seconds));
        let seen = adverts(&capture.frames());
        drop(capture);
        running.kill()?;
        let (mut worst, mut longest) = (0.0_f64, Duration::ZERO);
        for vrid in 1..=u8::try_from(own.on_each.min(own.routers))? {
            let own: Vec<_> = seen.iter().filter(|advert| advert.vrid == vrid).collect();
            let (first, last) = (own.first().context("no advertisement")?, own.last().context("no advertisement")?);
            let periods = u32::try_from(own.len().saturating_sub(1))?;
            let mean = last.at.since(first.at).as_secs_f64() / f64::from(periods);
            if (mean / 0.1 - 1.0).abs() > worst.abs() {
                worst = mean / 0.1 - 1.0;
            }
            let gaps = own.iter().zip(own.iter().skip(1)).map(|(one, next)| next.at.since(one.at));
            longest = longest.max(gaps.max().unwrap_or_default());
        }
        let name = subject.name();
        println!("  {name}: mean off by {:+.4} % at worst, longest gap {longest:.2?}", worst * 100.0);
    }
    Ok(())
}
