//! What an event costs as there is more of everything: nothing of ours should grow faster than the logarithm.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant as Clock};

use anyhow::Context;
use benches::frames::announcements;
use benches::net::Net;
use benches::node::Arguments as Node;
use benches::statistics::median;
use benches::subject::{Running, Subject};
use rustix::event::{PollFd, PollFlags, poll};
use vrrp_core::wire::{ChecksumForm, Envelope, Repr};
use vrrp_core::{Event, Family, IfIndex, Instant, Params, Priority, Version, VirtualRouterConfig, Vrid, VrrpRouter};
use vrrp_ipvs::check::{Check, Driver, Passed, Probe, Schedule};
use vrrp_ipvs::{Destination, DestinationId, Service, ServiceId, ServiceStatus, Table, VirtualServer, plan};

use super::chart::{self, Series};
use super::turns::{again, await_some};
use super::{cpu, floors};

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Draw the chart there
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Only what needs no lab: the protocol's core, plans and checks
    #[arg(long)]
    without_lab: bool,
}

/// How often each is measured; the median counts.
const ROUNDS: usize = 5;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut all = vec![
        series("virtual routers: a timeout", &[10, 100, 1_000, 10_000, 65_000], timeout)?,
        series("virtual routers: an advertisement heard", &[10, 100, 1_000, 10_000, 65_000], advert)?,
        series("services: planning one", &[10, 100, 1_000, 10_000], service)?,
        series("checks: an attempt", &[10, 100, 1_000, 10_000], attempt)?,
    ];
    if !arguments.without_lab {
        all.push(series("driver: an advertisement sent, CPU", &[10, 100, 1_000, 4_000], sent)?);
        let counts = [10, 100, 1_000, 5_000];
        all.push(series("addresses: one put up and announced, CPU", &counts, address)?);
        let kernel = series("the kernel alone: a bare addition, CPU", &counts, |count| {
            let own = Node { addresses: u16::try_from(count)?, ..Node::new(1) };
            Ok(floors::add(&own)?.cpu.as_secs_f64() * 1e9 / f64::from(count))
        })?;
        all.push(Series { kernel: true, ..kernel });
    }
    for one in &all {
        println!("{}", verdict(one));
    }
    if let Some(path) = &arguments.svg {
        let text = chart::lines("What an event costs beside so many", &all);
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn series(name: &str, counts: &[u32], one: impl Fn(u32) -> anyhow::Result<f64>) -> anyhow::Result<Series> {
    eprintln!("{name} ...");
    let mut points = Vec::new();
    for count in counts {
        let costs = (0..ROUNDS).map(|_| again(|| one(*count))).collect::<anyhow::Result<Vec<f64>>>();
        let cost = median(&costs.with_context(|| format!("{name}, {count}"))?).context("no rounds")?;
        points.push((f64::from(*count), cost));
    }
    Ok(Series { name: name.to_owned(), points, kernel: false })
}

/// The costs, and how they grow.
fn verdict(one: &Series) -> String {
    let costs: Vec<String> =
        one.points.iter().map(|(count, cost)| format!("{count}: {} ns", super::report::short(*cost))).collect();
    let whose = match (grows_by(one), one.kernel) {
        (Some((grown, logarithm)), false) if grown > logarithm => {
            format!("x {grown:.1}, MORE than the logarithm's x {logarithm:.1}")
        }
        (Some((grown, logarithm)), _) => format!("x {grown:.1}; the logarithm x {logarithm:.1}"),
        (None, _) => "one size".to_owned(),
    };
    format!("{}: {}: {whose}", one.name, costs.join(", "))
}

/// By how much the cost grows from the first to the last, and by how much the logarithm of the number does.
fn grows_by(one: &Series) -> Option<(f64, f64)> {
    let ((first, cheap), (last, dear)) = (one.points.first()?, one.points.last()?);
    (first != last).then(|| (dear / cheap, last.ln() / first.ln()))
}

const V3: Version = Version::V3(Family::V4);
const ME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
const RIVAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const ON_EACH: u32 = 250;
/// Events of one measurement.
const EVENTS: u32 = 200_000;

/// So many virtual routers, started a little apart.
fn routers(count: u32) -> anyhow::Result<VrrpRouter> {
    let mut router = VrrpRouter::new();
    for number in 0..count {
        let vrid = Vrid::new(u8::try_from(number % ON_EACH + 1)?)?;
        let params = Params::new(V3).with_primary_address(Some(ME))?;
        let interface = IfIndex::new(number / ON_EACH + 1)?;
        let id = router.add(interface, VirtualRouterConfig::new(vrid, params, [ADDRESS]))?;
        let apart = 1_000_000_000 / u64::from(count);
        router.handle_event(Instant::from_nanos(u64::from(number) * apart), id, Event::Startup);
    }
    while router.poll_action().is_some() {}
    Ok(router)
}

/// An Active advertises: step, action and next deadline.
fn timeout(count: u32) -> anyhow::Result<f64> {
    let mut router = routers(count)?;
    let mut turn = || {
        let due = router.poll_timeout()?;
        router.handle_timeout(due);
        while std::hint::black_box(router.poll_action()).is_some() {}
        Some(due)
    };
    for _ in 0..2 * count {
        turn().context("no deadline")?;
    }
    let began = Clock::now();
    for _ in 0..EVENTS {
        turn().context("no deadline")?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS))
}

/// A Backup hears its Active: parse, accept, step and next deadline.
fn advert(count: u32) -> anyhow::Result<f64> {
    let mut router = routers(count)?;
    let envelope = Envelope { source: RIVAL, destination: Family::V4.group(), ttl: Some(255) };
    let payload = |vrid: u32| {
        let (addresses, vrid) = ([ADDRESS], Vrid::new(u8::try_from(vrid)?)?);
        let repr = Repr { priority: Some(Priority::OWNER), ..Repr::new(V3, vrid, &addresses) };
        let mut payload = vec![0; repr.buffer_len()];
        repr.emit(RIVAL, Family::V4.group(), ChecksumForm::MessageOnly, &mut payload)?;
        anyhow::Ok(payload)
    };
    let payloads = (1..=ON_EACH).map(payload).collect::<anyhow::Result<Vec<_>>>()?;
    let (mut number, mut now) = (0_u32, 1_000_000_000_u64);
    let mut hear = || {
        let payload = payloads.get(usize::try_from(number % ON_EACH)?).context("no payload")?;
        router.handle_datagram(Instant::from_nanos(now), IfIndex::new(number / ON_EACH + 1)?, &envelope, payload)?;
        std::hint::black_box((router.poll_action(), router.poll_timeout()));
        number = (number + 1) % count;
        now += 1_000_000_000 / u64::from(count);
        anyhow::Ok(())
    };
    (0..count).try_for_each(|_| hear())?;
    let began = Clock::now();
    (0..EVENTS).try_for_each(|_| hear())?;
    Ok(began.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS))
}

/// One of so many services with ten destinations each, all of them as they should be.
fn service(count: u32) -> anyhow::Result<f64> {
    let destination = |host: u8| Destination::new(DestinationId::new(IpAddr::from([10, 0, 0, host]), 80));
    let server = |number: u32| {
        let address = IpAddr::from(Ipv4Addr::from(0x0a40_0001 + number / 1000));
        let port = u16::try_from(number % 1000 + 1)?;
        let destinations: Vec<_> = (1..=10).map(destination).collect();
        anyhow::Ok(VirtualServer { service: Service::new(ServiceId::tcp(address, port)), destinations })
    };
    let servers = (0..count).map(server).collect::<anyhow::Result<Vec<_>>>()?;
    let actual: Vec<_> =
        servers.iter().cloned().map(|server| ServiceStatus::new(server.service, server.destinations)).collect();
    let table = Table::new(servers)?;
    let times = (20_000 / count).max(1);
    let began = Clock::now();
    for _ in 0..times {
        let plan = plan(&table, std::hint::black_box(&actual), |_| true);
        anyhow::ensure!(plan.is_empty(), "there is something to do");
    }
    Ok(began.elapsed().as_secs_f64() * 1e9 / f64::from(times * count))
}

/// An attempt of one of so many checks, which all are due together and ask nobody: what the driver itself takes.
fn attempt(count: u32) -> anyhow::Result<f64> {
    let period = Duration::from_millis(100);
    let mut driver = Driver::new()?;
    let schedule = Schedule { delay_loop: period, warmup: Some(Duration::ZERO), ..Schedule::default() };
    for number in 0..count {
        let target = SocketAddr::from((Ipv4Addr::from(0x0a40_0001 + number), 80));
        let check = Check { schedule, ..Check::new(target, Probe::Tcp) };
        driver.add_closure(check, || Ok(Passed::default()))?;
    }
    let attempts = |driver: &Driver| driver.status().iter().map(|status| status.attempts).sum::<u64>();
    let (mut used, mut before) = (Duration::ZERO, 0);
    for turn in 0..2 {
        let until = Clock::now() + 5 * period;
        used = Duration::ZERO;
        before = if turn == 0 { 0 } else { attempts(&driver) };
        while Clock::now() < until {
            poll(&mut [PollFd::new(&driver, PollFlags::IN)], None)?;
            let began = floors::cpu_time()?;
            driver.process()?;
            used += floors::cpu_time()? - began;
        }
    }
    let made = attempts(&driver) - before;
    anyhow::ensure!(made > 0, "no attempts");
    Ok(used.as_secs_f64() * 1e9 / made as f64)
}

/// An advertisement that the driver sends.
fn sent(count: u32) -> anyhow::Result<f64> {
    let time = Duration::from_millis(1500);
    Ok(cpu::one(&Subject::Ours, cpu::Role::Active, u16::try_from(count)?, time)? * 1e3)
}

/// An address of so many in one virtual router, until all are announced; with what the kernel takes to add it.
fn address(count: u32) -> anyhow::Result<f64> {
    let own = Node { addresses: u16::try_from(count)?, announce_once: true, ..Node::new(1) };
    let net = Net::new(1, 1)?;
    let capture = net.cable(1)?.capture_sent()?;
    let running = Running::start(&Subject::Ours, net.host(1)?, &own)?;
    let expected = usize::try_from(count)?;
    // It has started then, and is a Backup for its first Active_Down_Interval.
    std::thread::sleep(Duration::from_millis(200));
    let before = running.cpu_time()?;
    anyhow::ensure!(announcements(&capture.frames()).is_empty(), "it announces too early");
    await_some("all announcements", Duration::from_secs(15), || {
        Ok((announcements(&capture.frames()).len() >= expected).then_some(()))
    })?;
    Ok((running.cpu_time()? - before).as_secs_f64() * 1e9 / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_faster_than_the_logarithm_is_said_so() {
        let series = |dear| Series { name: "it".into(), points: vec![(10.0, 50.0), (1000.0, dear)], kernel: false };
        assert!(verdict(&series(140.0)).ends_with("x 2.8; the logarithm x 3.0"), "{}", verdict(&series(140.0)));
        assert!(verdict(&series(160.0)).contains("MORE"));
        assert!(!verdict(&Series { kernel: true, ..series(160.0) }).contains("MORE"));
    }

    #[test]
    fn each_of_the_measurements_without_a_lab_gives_a_cost() {
        for one in [timeout, advert, service, attempt] {
            assert!(one(20).unwrap() > 0.0);
        }
    }
}
