//! How long a Backup takes beyond the protocol's bound.

use std::time::Duration;

use anyhow::Context;
use vrrp_core::{Family, Interval, Params, Priority, Version};

use super::frames::{adverts, announcements, median};
use super::net::Net;
use super::node;
use super::subject::{Running, Subject};

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// How often
    #[arg(long, default_value_t = 10)]
    rounds: u8,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { rounds: 10 }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    println!("Failover after kill -9 at 0.1 s, {} interleaved rounds:", arguments.rounds);
    let mut results = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for _ in 0..arguments.rounds {
        for (subject, (excess, announced)) in Subject::BOTH.into_iter().zip(&mut results) {
            let (took, then) = fail_over(subject)?;
            excess.push(took);
            announced.push(then);
        }
    }
    for (subject, (excess, announced)) in Subject::BOTH.into_iter().zip(&results) {
        let (middle, worst) = (median(excess).context("no rounds")?, excess.iter().max().context("no rounds")?);
        let micros = |nanos: i128| nanos / 1000;
        let (name, middle, worst) = (subject.name(), micros(middle), micros(*worst));
        let (then, latest) = (median(announced).context("no rounds")?, announced.iter().max().context("no rounds")?);
        println!(
            "  {name}: {middle} µs after Active_Down_Interval (worst {worst}); first announcement {then:.1?} after the \
             first advertisement (worst {latest:.1?})"
        );
    }
    Ok(())
}

/// Nanoseconds after Active_Down_Interval, and from the first advertisement to the first announcement.
fn fail_over(subject: Subject) -> anyhow::Result<(i128, Duration)> {
    let net = Net::new(2, 1)?;
    let [first, second] = net.hosts.as_slice() else { anyhow::bail!("two hosts") };
    let own = node::Arguments::new(1);
    let active = Running::start(subject, first, &node::Arguments { priority: 200, ..own.clone() })?;
    std::thread::sleep(Duration::from_millis(1200));
    let backup = Running::start(subject, second, &own)?;
    std::thread::sleep(Duration::from_millis(1500));
    let capture = net.switches.first().context("no switch")?.capture()?;
    std::thread::sleep(Duration::from_millis(300));
    active.kill()?;
    std::thread::sleep(Duration::from_millis(1000));
    let frames = capture.frames();
    backup.kill()?;
    let seen = adverts(&frames);
    let from = |last: u8| seen.iter().filter(move |advert| advert.source.octets()[3] == last);
    let (last, next) = (from(1).next_back().context("the Active was silent")?, from(2).next().context("no failover")?);
    let params = Params::new(Version::V3(Family::V4)).with_priority(Priority::new(100)?);
    let bound = params.active_down_interval(Interval::from_centiseconds(10)?);
    let excess = i128::from(next.at.as_nanos()) - i128::from(last.at.as_nanos()) - i128::try_from(bound.as_nanos())?;
    let told = announcements(&frames);
    let (told, _) = told.iter().find(|(at, _)| *at >= next.at).context("no announcement")?;
    Ok((excess, told.since(next.at)))
}
