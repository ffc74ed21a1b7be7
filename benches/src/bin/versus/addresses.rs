//! Many addresses in one virtual router: how long until all are announced, and what is heard of it meanwhile.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Context;
use benches::frames::{adverts, announcements, gaps};
use benches::net::Net;
use benches::node::{Arguments, is_virtual};
use benches::statistics::{median, most};
use benches::subject::{Running, Subject};

use super::floors;
use super::row::Row;
use super::turns::{Turns, again, await_some};

/// One takeover.
struct Takeover {
    /// From the first advertisement to the last address's first announcement, in milliseconds.
    announced: f64,
    /// The longest time between advertisements.
    longest_gap: f64,
    /// Addresses that were not announced, or are not there.
    missing: f64,
}

pub(crate) fn measure(turns: &Turns) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for count in turns.either(&[1, 100, 1000, 5000][..], &[1000]) {
        let own = Arguments { addresses: *count, announce_once: true, ..Arguments::new(1) };
        let mut bare = Vec::new();
        let results = turns.take(turns.rounds(5, 1), |subject, _| {
            if *subject == Subject::Ours {
                bare.push(again(|| floors::add(&own))?.elapsed.as_secs_f64() * 1e3);
            }
            take_over(subject, &own)
        });
        let results = results.with_context(|| format!("{count} addresses"))?;
        let bare = median(&bare).context("no rounds")?;
        let both = |value: fn(&Takeover) -> f64, of: fn(&[f64]) -> Option<f64>| {
            results.each_ref().map(|runs| of(&runs.iter().map(value).collect::<Vec<_>>()))
        };
        let row = |part: &str, unit, [ours, peer]: [Option<f64>; 2]| {
            Ok(Row::new(format!("addresses/{count}/{part}"), unit, ours.context("no rounds")?, peer))
        };
        let announced: anyhow::Result<Row> = row("announced", "ms", both(|it| it.announced, median));
        rows.push(announced?.with_limit(bare));
        let longest: anyhow::Result<Row> = row("longest gap", "ms", both(|it| it.longest_gap, most));
        rows.push(longest?.with_limit(own.period().as_secs_f64() * 1e3));
        let missing: anyhow::Result<Row> = row("missing", "1", both(|it| it.missing, most));
        rows.push(missing?);
    }
    Ok(rows)
}

fn take_over(subject: &Subject, own: &Arguments) -> anyhow::Result<Takeover> {
    let net = Net::new(1, 1)?;
    let capture = net.cable(1)?.capture()?;
    let running = Running::start(subject, net.host(1)?, own)?;
    let all: BTreeSet<Ipv4Addr> = own.list().flat_map(|(_, _, addresses)| addresses).collect();
    let told = |frames: &[_]| announcements(frames).iter().map(|it| it.address).collect::<BTreeSet<_>>();
    // One that never announces some of them is judged by what it has announced then.
    let complete = await_some("all announcements", Duration::from_secs(15), || {
        let frames = capture.frames();
        Ok((told(&frames).is_superset(&all)).then_some(()))
    });
    if let Err(error) = complete {
        eprintln!("{subject}: {error:#}: {}", running.last_words());
    }
    std::thread::sleep(2 * own.period());
    let frames = capture.frames();
    let present: BTreeSet<Ipv4Addr> =
        net.host(1)?.addresses()?.iter().filter_map(|it| virtual_v4(it.address)).collect();
    let told = told(&frames);
    let missing = all.iter().filter(|it| !told.contains(it) || !present.contains(it)).count();
    let seen = adverts(&frames);
    let first = seen.first().context("no advertisement")?.at;
    let mut known = BTreeSet::new();
    let last = announcements(&frames).into_iter().filter(|it| known.insert(it.address)).last();
    let longest = gaps(seen.iter().map(|advert| advert.at)).into_iter().max().unwrap_or_default();
    Ok(Takeover {
        announced: last.context("no announcement")?.at.since(first).as_secs_f64() * 1e3,
        longest_gap: longest.as_secs_f64() * 1e3,
        missing: f64::from(u32::try_from(missing)?),
    })
}

fn virtual_v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4).filter(|v4| is_virtual(*v4)),
        IpAddr::V6(_) => None,
    }
}
