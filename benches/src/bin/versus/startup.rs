//! From exec to the first advertisement of every virtual router.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use benches::frames::adverts;
use benches::net::Net;
use benches::node::Arguments;
use benches::statistics::{median, most};
use benches::subject::{Running, Subject};

use super::row::Row;
use super::turns::{Turns, await_some};

/// As many as an interface can have.
const ROUTERS: u16 = 255;

pub(crate) fn measure(turns: &Turns) -> anyhow::Result<Vec<Row>> {
    let results = turns.take(turns.rounds(9, 2), |subject, _| start(subject))?;
    let row = |name: &str, of: fn(&[f64]) -> Option<f64>| {
        let [ours, peer] = results.each_ref().map(|times| of(times));
        anyhow::Ok(Row::new(name, "ms", ours.context("no rounds")?, peer))
    };
    Ok(vec![row("startup/255", median)?, row("startup/255, worst", most)?])
}

/// Address owners, who are Active at once.
fn start(subject: &Subject) -> anyhow::Result<f64> {
    let net = Net::new(1, 1)?;
    let capture = net.cable(1)?.capture()?;
    let own = Arguments { on_each: ROUTERS, priority: 255, ..Arguments::new(ROUTERS) };
    let began = vrrp_net::now();
    let running = Running::start(subject, net.host(1)?, &own)?;
    let firsts = await_some("all to advertise", Duration::from_secs(10), || {
        let mut known = BTreeSet::new();
        let seen = adverts(&capture.frames());
        let firsts: Vec<_> = seen.into_iter().filter(|advert| known.insert(advert.vrid)).collect();
        Ok(Some(firsts).filter(|firsts| firsts.len() == usize::from(ROUTERS)))
    })
    .with_context(|| running.last_words())?;
    let last = firsts.last().context("no advertisement")?.at;
    Ok(last.since(began).as_secs_f64() * 1e3)
}
