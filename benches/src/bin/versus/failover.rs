//! How an Active's end is noticed, by its Backup and by the hosts.

use std::time::Duration;

use anyhow::Context;
use benches::frames::{Advert, adverts, announcements};
use benches::net::Net;
use benches::node::{Arguments, FIRST};
use benches::statistics::{median, most};
use benches::subject::{Running, Subject};
use vrrp_core::{Family, Instant, Interval, Params, Priority, Version};
use vrrp_net::lab::{Capture, Reply, longest_gap};

use super::floors;
use super::row::Row;
use super::turns::{Turns, again, await_some};

/// How an Active ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `kill -9`
    Kill,
    /// SIGTERM
    Stop,
    /// Its cable is pulled.
    Cut,
}

/// An end, and who goes through it.
pub(crate) struct Trial<'a> {
    pub(crate) active: &'a Subject,
    pub(crate) backup: &'a Subject,
    /// What the Active runs; the Backup runs the same at a lower priority, and nobody guards it.
    pub(crate) own: Arguments,
    pub(crate) end: End,
    /// When in the interval it ends, from 0 to 1.
    pub(crate) phase: f64,
}

/// What one was like, in milliseconds.
pub(crate) struct Outcome {
    /// From the end to the Backup's first advertisement of the last virtual router.
    pub(crate) takeover: f64,
    /// Of that what is beyond the protocol's bound: Active_Down_Interval after the last advertisement, or Skew_Time after
    /// the resignation.
    pub(crate) excess: f64,
    /// From the Backup's first advertisement to its first announcement.
    pub(crate) announcement: f64,
    /// The longest time without a reply to the pings.
    pub(crate) outage: f64,
    /// How many pings had none.
    pub(crate) lost: f64,
}

/// A ping is sent so often.
const SPACING: Duration = Duration::from_millis(2);
/// What is between the last ping that counts and the end of pinging.
const TAIL: Duration = Duration::from_millis(50);
/// The Backup's number among the hosts.
const BACKUP: u8 = 2;

pub(crate) fn measure(turns: &Turns) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    // The address has to be there before it is announced.
    let bare = again(|| {
        (0..9)
            .map(|_| Ok(floors::add(&Arguments::new(1))?.elapsed.as_secs_f64() * 1e3))
            .collect::<anyhow::Result<Vec<_>>>()
    });
    let bare = median(&bare?).context("no rounds")?;
    let full = [(100, "1s", 7), (10, "0.1s", 15), (1, "0.01s", 15)];
    for (interval, name, rounds) in if turns.quick { &full[1..2] } else { &full[..] } {
        let ends = [(End::Kill, "kill"), (End::Stop, "stop"), (End::Cut, "cut")];
        for (end, verb) in ends.into_iter().take(turns.either(3, 2)) {
            let rounds = turns.rounds(*rounds, 1);
            let own = Arguments { interval: *interval, ..Arguments::new(1) }.better();
            let results = turns
                .take(rounds, |subject, round| {
                    let phase = (f64::from(round) + 0.5) / f64::from(rounds);
                    run(&Trial { active: subject, backup: subject, own: own.clone(), end, phase })
                })
                .with_context(|| format!("{name} {verb}"))?;
            rows.extend(rows_of(&format!("failover/{name} {verb}"), &results, bare)?);
        }
    }
    Ok(rows)
}

fn rows_of(name: &str, results: &[Vec<Outcome>; 2], bare: f64) -> anyhow::Result<Vec<Row>> {
    type Part = (&'static str, &'static str, fn(&Outcome) -> f64, fn(&[f64]) -> Option<f64>);
    let parts: [Part; 6] = [
        ("takeover", "ms", |it| it.takeover, median),
        ("excess", "ms", |it| it.excess, median),
        ("announcement", "ms", |it| it.announcement, median),
        ("outage", "ms", |it| it.outage, median),
        ("worst outage", "ms", |it| it.outage, most),
        ("lost pings", "1", |it| it.lost, most),
    ];
    let row = |(part, unit, value, of): Part| {
        let [ours, peer] = results.each_ref().map(|results| of(&results.iter().map(value).collect::<Vec<_>>()));
        let row = Row::new(format!("{name}/{part}"), unit, ours.context("no rounds")?, peer);
        Ok(if part == "announcement" { row.with_limit(bare) } else { row })
    };
    parts.into_iter().map(row).collect()
}

/// Goes through it.
pub(crate) fn run(trial: &Trial<'_>) -> anyhow::Result<Outcome> {
    let net = Net::new(3, 1)?;
    let capture = net.switch()?.capture()?;
    let (own, routers) = (&trial.own, usize::from(trial.own.routers));
    let mut active = Running::start(trial.active, net.host(1)?, own)?;
    let patience = Duration::from_secs(10) + 5 * own.period();
    await_some("the first one to be Active", patience, || Ok(enough(&capture, Instant::ZERO, routers)))
        .with_context(|| active.last_words())?;
    let worse = Arguments { priority: 100, guarded: false, ..own.clone() };
    let backup = Running::start(trial.backup, net.host(BACKUP)?, &worse)?;
    // Until it runs; then it hears the interval twice.
    std::thread::sleep(Duration::from_millis(400));
    let heard = await_some("the Active to go on", patience, || Ok(enough(&capture, vrrp_net::now(), 0)));
    let settled = heard.and_then(|()| {
        let since = vrrp_net::now();
        await_some("two advertisements", patience, || Ok(enough(&capture, since, 2 * routers)))?;
        Ok(since)
    })?;
    let pinger = net.host(3)?.ping(FIRST, SPACING)?;
    std::thread::sleep(Duration::from_millis(60) + own.period().mul_f64(trial.phase));
    let before = adverts(&capture.frames());
    let early = before.iter().any(|advert| advert.at >= settled && advert.host() == BACKUP);
    anyhow::ensure!(!early, "the Backup advertises before the Active has ended");
    let ended = match trial.end {
        End::Kill => active.kill()?,
        End::Stop => active.terminate()?,
        End::Cut => {
            let at = vrrp_net::now();
            net.cable(1)?.cut()?;
            at
        }
    };
    let frames = await_some("the Backup to take over", patience, || {
        let frames = capture.frames();
        let told = announcements(&frames).iter().any(|it| it.at >= ended && it.address == FIRST);
        Ok(Some(frames).filter(|frames| told && taken_over(&adverts(frames), ended).len() == routers))
    })
    .with_context(|| backup.last_words())?;
    let mac = net.cable(BACKUP)?.mac();
    let replied = pinger.wait_for(patience, |reply| reply.mac == Some(mac) && reply.sent_at >= ended);
    replied.context("the Backup replies to no ping")?;
    std::thread::sleep(2 * TAIL);
    let replies = pinger.stop();
    let until = vrrp_net::now() - TAIL;

    let seen = adverts(&frames);
    let taken = taken_over(&seen, ended);
    let (first, last) = (taken.iter().min().context("none")?, taken.iter().max().context("none")?);
    let told = announcements(&frames);
    let told = told.iter().find(|it| it.at >= ended && it.mac == mac).context("the Backup announces nothing")?;
    let bound = bound(trial.end, &seen, *first)?;
    Ok(Outcome {
        takeover: millis(ended, *last),
        excess: millis(bound, *first),
        announcement: millis(*first, told.at).max(0.0),
        outage: longest_gap(&replies, ended - TAIL, until).as_secs_f64() * 1e3,
        lost: f64::from(lost(&replies, ended, until)),
    })
}

/// Something if there are so many advertisements of the Active since then.
fn enough(capture: &Capture, since: Instant, number: usize) -> Option<()> {
    let seen = adverts(&capture.frames());
    let of_active = seen.iter().filter(|advert| advert.at >= since && advert.host() == 1 && advert.priority > 0);
    (of_active.count() >= number).then_some(())
}

/// When the Backup first advertised each virtual router.
fn taken_over(seen: &[Advert], ended: Instant) -> Vec<Instant> {
    let mut known = std::collections::BTreeSet::new();
    let by_backup = |advert: &&Advert| advert.at >= ended && advert.host() == BACKUP && advert.priority > 0;
    seen.iter().filter(by_backup).filter(|advert| known.insert(advert.vrid)).map(|advert| advert.at).collect()
}

/// When the protocol has the Backup take over, whose first advertisement came then.
fn bound(end: End, seen: &[Advert], taken: Instant) -> anyhow::Result<Instant> {
    let of_active = || seen.iter().filter(|advert| advert.host() == 1 && advert.at <= taken);
    let params = Params::new(Version::V3(Family::V4)).with_priority(Priority::new(100)?);
    let last = of_active().rfind(|advert| advert.priority > 0).context("the Active was silent")?;
    let interval = Interval::from_centiseconds(u64::from(last.interval))?;
    let resigned = of_active().find(|advert| advert.priority == 0 && advert.at >= last.at);
    match (end, resigned) {
        (End::Stop, Some(resigned)) => Ok(resigned.at + params.skew_time(interval)),
        (End::Stop, None) => anyhow::bail!("the Active has not resigned"),
        // A guardian resigns for one that was killed.
        (End::Kill, Some(resigned)) => Ok(resigned.at + params.skew_time(interval)),
        (End::Kill | End::Cut, _) => Ok(last.at + params.active_down_interval(interval)),
    }
}

/// From one to the other, also back.
fn millis(from: Instant, to: Instant) -> f64 {
    (to.since(from).as_secs_f64() - from.since(to).as_secs_f64()) * 1e3
}

/// Pings of that time without a reply.
fn lost(replies: &[Reply], from: Instant, until: Instant) -> u32 {
    let without = replies.iter().filter(|reply| reply.received_at.is_none());
    without.filter(|reply| reply.sent_at + TAIL >= from && reply.sent_at <= until).map(|_| 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advert(millis: u64, host: u8, priority: u8, interval: u16) -> Advert {
        Advert { at: Instant::from_millis(millis), source: [10, 0, 0, host].into(), vrid: 1, priority, interval }
    }

    #[test]
    fn the_bound_is_active_down_interval_after_the_last_advertisement() {
        let seen = [advert(0, 1, 200, 100), advert(1000, 1, 200, 100), advert(4700, 2, 100, 100)];
        let params = Params::new(Version::V3(Family::V4));
        let down = params.active_down_interval(Interval::DEFAULT);
        let at = |end| bound(end, &seen, Instant::from_millis(4700));
        assert_eq!(at(End::Kill).unwrap(), Instant::from_millis(1000) + down);
        assert_eq!(at(End::Cut).unwrap(), Instant::from_millis(1000) + down);
        assert!(at(End::Stop).is_err());
    }

    #[test]
    fn after_a_resignation_it_is_skew_time_of_the_interval_that_was_announced_before() {
        let seen = [advert(0, 1, 200, 100), advert(500, 1, 200, 1), advert(501, 1, 0, 100), advert(510, 2, 100, 100)];
        let params = Params::new(Version::V3(Family::V4));
        let skew = params.skew_time(Interval::from_centiseconds(1).unwrap());
        let taken = Instant::from_millis(510);
        assert_eq!(bound(End::Stop, &seen, taken).unwrap(), Instant::from_millis(501) + skew);
        assert_eq!(bound(End::Kill, &seen, taken).unwrap(), Instant::from_millis(501) + skew);
    }

    #[test]
    fn each_virtual_router_is_taken_over_once() {
        let seen = [advert(5, 2, 100, 10), advert(20, 1, 200, 10), advert(30, 2, 100, 10), advert(40, 2, 100, 10)];
        assert_eq!(taken_over(&seen, Instant::from_millis(10)), [Instant::from_millis(30)]);
    }

    #[test]
    fn times_go_both_ways() {
        assert_eq!(millis(Instant::from_millis(3), Instant::from_millis(5)), 2.0);
        assert_eq!(millis(Instant::from_millis(5), Instant::from_millis(3)), -2.0);
    }
}
