//! How exact the advertisement interval is: each, and the mean of many.

use std::time::Duration;

use anyhow::Context;
use benches::frames::{adverts, gaps};
use benches::net::Net;
use benches::node::Arguments;
use benches::statistics::{median, most, quantile};
use benches::subject::{Running, Subject};

use super::row::Row;
use super::turns::{Turns, await_some};

/// Of one run.
struct Exactness {
    /// How far each interval was from what it should be, in microseconds.
    off: Vec<f64>,
    /// How far the mean was at worst, in millionths.
    mean_error: f64,
}

pub(crate) fn measure(turns: &Turns) -> anyhow::Result<Vec<Row>> {
    let (rounds, time) = (turns.rounds(3, 1), turns.either(20, 3));
    let mut rows = Vec::new();
    for routers in turns.either(&[1, 250][..], &[250]) {
        let results = turns.take(rounds, |subject, _| run(subject, *routers, Duration::from_secs(time)))?;
        let [ours, peer] = results.map(|runs| {
            let off: Vec<f64> = runs.iter().flat_map(|run| run.off.iter().copied()).collect();
            let errors: Vec<f64> = runs.iter().map(|run| run.mean_error).collect();
            [quantile(&off, 0.5), quantile(&off, 0.99), most(&off), median(&errors)]
        });
        for (part, (ours, peer)) in ["p50", "p99", "max", "mean error"].into_iter().zip(ours.into_iter().zip(peer)) {
            let unit = if part == "mean error" { "ppm" } else { "µs" };
            rows.push(Row::new(format!("jitter/{routers}/{part}"), unit, ours.context("no rounds")?, peer));
        }
    }
    Ok(rows)
}

fn run(subject: &Subject, routers: u16, time: Duration) -> anyhow::Result<Exactness> {
    let own = Arguments { announce_once: true, ..Arguments::new(routers) };
    let net = Net::new(1, own.interfaces()?)?;
    let running = Running::start(subject, net.host(1)?, &own)?;
    let capture = net.cable(1)?.capture()?;
    let due = usize::from(routers) * 3;
    await_some("advertisements", Duration::from_secs(20), || {
        Ok((adverts(&capture.frames()).len() >= due).then_some(()))
    })
    .with_context(|| running.last_words())?;
    drop(capture);
    let capture = net.cable(1)?.capture()?;
    std::thread::sleep(time);
    let seen = adverts(&capture.frames());
    let period = own.period().as_secs_f64();
    let mut result = Exactness { off: Vec::new(), mean_error: 0.0 };
    for (_, vrid, _) in own.list() {
        let times: Vec<_> = seen.iter().filter(|advert| advert.vrid == vrid).map(|advert| advert.at).collect();
        let gaps: Vec<f64> = gaps(times).iter().map(Duration::as_secs_f64).collect();
        anyhow::ensure!(!gaps.is_empty(), "virtual router {vrid} is silent");
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        result.mean_error = result.mean_error.max((mean / period - 1.0).abs() * 1e6);
        result.off.extend(gaps.iter().map(|gap| (gap - period).abs() * 1e6));
    }
    Ok(result)
}
