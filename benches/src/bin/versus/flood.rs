//! Malformed packets at a high rate, with logging on: who misses an advertisement, and what it costs.

use std::time::{Duration, Instant};

use anyhow::Context;
use benches::frames::{Advert, adverts, gaps};
use benches::net::Net;
use benches::node::Arguments;
use benches::statistics::{median, most};
use benches::subject::{Running, Subject};

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
    /// Packets a second that each of the two hosts got.
    rate: f64,
}

pub(crate) fn measure(turns: &Turns) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let (rounds, time) = (turns.rounds(3, 1), turns.either(10, 1));
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
    let net = Net::new(2, 1)?;
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

    // Each at the end of its own cable: a switch would need more time for each packet than both hosts.
    let outlets = [socket2::Socket::from(net.cable(1)?.outlet()?), socket2::Socket::from(net.cable(2)?.outlet()?)];
    let packets = frames();
    let captures = (net.cable(1)?.capture_sent()?, net.cable(2)?.capture_sent()?);
    let (before, began) = ([active.cpu_time()?, backup.cpu_time()?], Instant::now());
    let (mut sent, mut due) = (0_usize, 0.0);
    while began.elapsed() < time {
        while (sent as f64) < due && began.elapsed() < time {
            for packet in packets.iter().cycle().take(AT_ONCE) {
                for outlet in &outlets {
                    outlet.send(packet).context("send to a host")?;
                }
            }
            sent += AT_ONCE;
        }
        std::thread::sleep(Duration::from_micros(200));
        due = began.elapsed().as_secs_f64() * RATE;
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

/// Packets for the right virtual router, from a host that there is not: one with a wrong checksum, and one that is cut off.
fn frames() -> [Vec<u8>; 2] {
    let payloads: [&[u8]; 2] = [&[0x31, 1, 0xff, 1, 0, 10, 0xba, 0xad, 10, 64, 0, 1], &[0x31, 1, 0xff, 1]];
    payloads.map(|payload| {
        let length = u8::try_from(20 + payload.len()).unwrap_or(u8::MAX);
        let mut ip = [0x45, 0xc0, 0, length, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 0, 3, 224, 0, 0, 18];
        let sum: u32 = ip.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(u16::MAX);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let ethernet = [1, 0, 0x5e, 0, 0, 18, 2, 0, 0, 0, 0, 3, 8, 0];
        [&ethernet[..], &ip, payload].concat()
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
    use vrrp_core::wire::Envelope;

    use super::*;

    #[test]
    fn what_floods_is_for_vrrp_and_its_header_is_sound() {
        for frame in frames() {
            let (envelope, payload) = Envelope::split_ipv4(&frame[14..]).unwrap();
            assert_eq!((envelope.ttl, payload[..2].to_vec()), (Some(255), vec![0x31, 1]));
        }
    }

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
