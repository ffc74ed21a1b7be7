//! Resident memory of all processes: ours and its guardian's, keepalived's parent and child.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use benches::frames::adverts;
use benches::net::Net;
use benches::node::Arguments;
use benches::statistics::median;
use benches::subject::{Running, Subject};

use super::row::Row;
use super::turns::{Turns, await_some};

pub(crate) fn measure(turns: &Turns) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for routers in turns.either(&[1, 255][..], &[255]) {
        let [ours, peer] = turns.take(turns.rounds(3, 1), |subject, _| resident(subject, *routers))?;
        let (ours, peer) = (median(&ours).context("no rounds")?, median(&peer));
        rows.push(Row::new(format!("memory/{routers}"), "MiB", ours, peer));
    }
    Ok(rows)
}

/// As Active of all of them.
fn resident(subject: &Subject, routers: u16) -> anyhow::Result<f64> {
    let net = Net::new(1, 1)?;
    let capture = net.cable(1)?.capture()?;
    let own = Arguments { on_each: 255, guarded: true, announce_once: true, ..Arguments::new(routers) };
    let running = Running::start(subject, net.host(1)?, &own)?;
    await_some("all to advertise", Duration::from_secs(10), || {
        let known: BTreeSet<u8> = adverts(&capture.frames()).iter().map(|advert| advert.vrid).collect();
        Ok((known.len() == usize::from(routers)).then_some(()))
    })
    .with_context(|| running.last_words())?;
    std::thread::sleep(Duration::from_millis(300));
    Ok(running.resident()? as f64 / f64::from(1 << 20))
}
