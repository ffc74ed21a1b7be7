//! CPU time of many virtual routers.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::frames::{adverts, median};
use super::net::Net;
use super::node;
use super::subject::{Running, Subject};

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// How many virtual routers, each at 0.1 s
    #[arg(long, value_delimiter = ',', default_value = "1000,4000")]
    routers: Vec<u16>,
    /// How long to measure each time
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How often
    #[arg(long, default_value_t = 3)]
    rounds: u8,
    /// Leave keepalived out
    #[arg(long)]
    ours_only: bool,
    /// Only as Active, or only as Backup
    #[arg(long)]
    role: Option<String>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { routers: vec![1000, 4000], seconds: 4.0, rounds: 3, ours_only: false, role: None }
    }
}

/// Until the second round of announcements is over.
const WARM_UP: Duration = Duration::from_millis(7500);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Active,
    Backup,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    println!("CPU time per second at 0.1 s, median of {} interleaved rounds:", arguments.rounds);
    for routers in &arguments.routers {
        for (role, title) in [(Role::Active, "Active"), (Role::Backup, "Backup")] {
            if arguments.role.as_ref().is_some_and(|wanted| !title.eq_ignore_ascii_case(wanted)) {
                continue;
            }
            let mut results = [Vec::new(), Vec::new()];
            for _ in 0..arguments.rounds {
                for (subject, results) in Subject::BOTH.into_iter().zip(&mut results) {
                    if subject == Subject::Ours || !arguments.ours_only {
                        results.push(measure(subject, role, *routers, arguments.seconds)?);
                    }
                }
            }
            let [ours, theirs] = results.map(|results| median(&results));
            let ours = ours.context("no rounds")?;
            print!("  {routers} as {title}: ours {:.1} ms", ours.as_secs_f64() * 1e3);
            match theirs {
                Some(theirs) => println!(
                    ", keepalived {:.1} ms, ratio {:.2}",
                    theirs.as_secs_f64() * 1e3,
                    ours.as_secs_f64() / theirs.as_secs_f64()
                ),
                None => println!(),
            }
        }
    }
    Ok(())
}

fn measure(subject: Subject, role: Role, routers: u16, seconds: f64) -> anyhow::Result<Duration> {
    let own = node::Arguments::new(routers);
    let interfaces = u8::try_from(routers.div_ceil(own.on_each))?;
    // An Active is alone, on cables that end in nothing: what happens to its packets would be counted as its own time.
    let net = Net::new(if role == Role::Active { 1 } else { 2 }, interfaces)?;
    let host = net.hosts.first().context("no host")?;
    if role == Role::Active {
        net.cables.iter().try_for_each(vrrp_net::lab::Interface::cut_silently)?;
    }
    let feeder = match (role, net.hosts.get(1)) {
        (Role::Backup, Some(other)) => {
            let better = node::Arguments { priority: 200, ..own.clone() };
            let feeder = Running::start(Subject::Ours, other, &better)?;
            std::thread::sleep(Duration::from_secs(2));
            Some(feeder)
        }
        (Role::Active | Role::Backup, _) => None,
    };
    let running = Running::start(subject, host, &own)?;
    std::thread::sleep(WARM_UP);
    let capture = net.cables.first().context("no interface")?.capture()?;
    std::thread::sleep(Duration::from_millis(500));
    let seen = adverts(&capture.frames());
    drop(capture);
    let address = "10.0.0.1".parse::<std::net::Ipv4Addr>()?;
    let sent = seen.iter().filter(|advert| advert.source == address).count();
    anyhow::ensure!((role == Role::Active) == (sent > 0), "{} has not the role: {sent} sent", subject.name());
    let (before, began) = (running.cpu_time()?, Instant::now());
    std::thread::sleep(Duration::try_from_secs_f64(seconds)?);
    let (used, took) = (running.cpu_time()?.saturating_sub(before), began.elapsed());
    running.kill()?;
    if let Some(feeder) = feeder {
        feeder.kill()?;
    }
    Ok(used.div_f64(took.as_secs_f64()))
}
