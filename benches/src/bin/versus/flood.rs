//! Malformed packets at a high rate, with logging on: who misses an advertisement, and what it costs.

use std::time::{Duration, Instant};

use anyhow::Context;
use benches::frames::{Advert, adverts, gaps};
use benches::net::Net;
use benches::node::Arguments;
use benches::statistics::{median, most};
use benches::subject::{Running, Subject};
use vrrp_core::Family;
use vrrp_net::filter::{Plausible, ReceiveFilter};
use vrrp_net::{AdvertSocket, Outgoing};

use super::row::Row;
use super::turns::{Turns, await_some};

/// Packets a second.
const RATE: f64 = 100_000.0;
/// Packets that are sent together.
const AT_ONCE: usize = 64;

/// One flood.
struct Flood {
    /// How often another one was Active.
    role_changes: f64,
    /// The longest time between advertisements of the Active, in milliseconds.
    longest_gap: f64,
    /// CPU time of Active and Backup, in percent of a core.
    cpu: f64,
    /// Packets a second that the machine could send.
    rate: f64,
}

pub(crate) fn measure(turns: &Turns) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let (rounds, time) = (turns.rounds(3, 1), turns.either(5, 1));
    for (interval, name) in turns.either(&[(100, "1s"), (10, "0.1s")][..], &[(10, "0.1s")]) {
        let own = Arguments { interval: *interval, log: true, ..Arguments::new(1) };
        let results = turns.take(rounds, |subject, _| run(subject, &own, Duration::from_secs(time)));
        let results = results.with_context(|| format!("at {name}"))?;
        type Part = (&'static str, &'static str, fn(&Flood) -> f64, fn(&[f64]) -> Option<f64>);
        let parts: [Part; 4] = [
            ("role changes", "1", |it| it.role_changes, most),
            ("cpu", "%", |it| it.cpu, median),
            ("longest gap", "ms", |it| it.longest_gap, most),
            ("packets", "1/s", |it| it.rate, median),
        ];
        for (part, unit, value, of) in parts {
            let [ours, peer] = results.each_ref().map(|runs| of(&runs.iter().map(value).collect::<Vec<_>>()));
            rows.push(Row::new(format!("flood/{name}/{part}"), unit, ours.context("no rounds")?, peer));
        }
    }
    Ok(rows)
}

fn run(subject: &Subject, own: &Arguments, time: Duration) -> anyhow::Result<Flood> {
    let net = Net::new(3, 1)?;
    let switch = net.switch()?.capture()?;
    let active = Running::start(subject, net.host(1)?, &own.better())?;
    let backup = Running::start(subject, net.host(2)?, own)?;
    let since = vrrp_net::now() + own.period();
    await_some("the first one to be Active alone", Duration::from_secs(20), || {
        let seen = adverts(&switch.frames());
        let last: Vec<u8> = seen.iter().rev().take(5).filter(|it| it.at > since).map(Advert::host).collect();
        Ok((last == [1; 5]).then_some(()))
    })
    .with_context(|| active.last_words())?;
    drop(switch);

    // Many packets with one system call, and none of them is heard here. The numbers are those of `socket(2)`.
    let client = net.host(3)?;
    let (index, nothing) = (client.link("eth0")?.index, ReceiveFilter::from(Plausible::new([], [])));
    let socket = AdvertSocket::from_fd(client.socket(2, 3, 112)?, "eth0", index, &nothing)?;
    // All for the right virtual router: one with a wrong checksum, and one that is cut off, in turns.
    let (wrong, short) = ([0x31, 1, 0xff, 1, 0, 10, 0xba, 0xad, 10, 64, 0, 1], [0x31, 1, 0xff, 1]);
    let packet = |number: usize| if number.is_multiple_of(2) { &wrong[..] } else { &short[..] };
    let from = "10.0.0.3".parse()?;
    let packets: [Outgoing<'_>; AT_ONCE] =
        std::array::from_fn(|number| Outgoing::new(from, Family::V4.group(), packet(number)));
    let captures = (net.cable(1)?.capture_sent()?, net.cable(2)?.capture_sent()?);
    let (before, began) = ([active.cpu_time()?, backup.cpu_time()?], Instant::now());
    let (mut sent, mut refused) = (0_usize, 0_u32);
    while began.elapsed() < time {
        let due = began.elapsed().as_secs_f64() * RATE;
        while (sent as f64) < due && began.elapsed() < time {
            sent += socket.send(&packets, |_, _| refused += 1);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let took = began.elapsed().as_secs_f64();
    let used = active.cpu_time()?.saturating_sub(before[0]) + backup.cpu_time()?.saturating_sub(before[1]);
    // An Active_Down_Interval, for what a missed advertisement leads to.
    std::thread::sleep(4 * own.period());
    let of = |host: u8, seen: Vec<Advert>| -> Vec<Advert> {
        seen.into_iter().filter(|advert| advert.host() == host && advert.priority > 0).collect()
    };
    let (mut all, rivals) = (of(1, adverts(&captures.0.frames())), of(2, adverts(&captures.1.frames())));
    let longest = gaps(all.iter().map(|advert| advert.at)).into_iter().max().context("the Active was silent")?;
    all.extend(rivals);
    Ok(Flood {
        role_changes: f64::from(changes(all)),
        longest_gap: longest.as_secs_f64() * 1e3,
        cpu: used.as_secs_f64() / took * 100.0,
        rate: sent as f64 / took,
    })
}

/// How often another one advertised than before.
fn changes(mut seen: Vec<Advert>) -> u32 {
    seen.sort_unstable_by_key(|advert| advert.at);
    seen.windows(2).filter(|pair| pair[0].source != pair[1].source).map(|_| 1).sum()
}

#[cfg(test)]
mod tests {
    use vrrp_core::Instant;

    use super::*;

    #[test]
    fn a_change_is_one_there_and_one_back() {
        let advert = |millis, host| Advert {
            at: Instant::from_millis(millis),
            source: [10, 0, 0, host].into(),
            vrid: 1,
            priority: 100,
            interval: 10,
        };
        assert_eq!(changes(vec![]), 0);
        assert_eq!(changes(vec![advert(0, 1), advert(10, 1)]), 0);
        assert_eq!(changes(vec![advert(0, 1), advert(20, 1), advert(10, 2)]), 2);
    }
}
