//! CPU time of an advertisement, sent or received.

use std::time::Duration;

use anyhow::Context;
use benches::net::Net;
use benches::node::Arguments;
use benches::statistics::median;
use benches::subject::{Running, Subject};

use super::floors;
use super::row::Row;
use super::turns::{Turns, again};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Active,
    Backup,
}

pub(crate) fn measure(turns: &Turns) -> anyhow::Result<Vec<Row>> {
    let time = Duration::from_millis(turns.either(4000, 1000));
    let mut rows = Vec::new();
    for routers in turns.either(&[1, 64, 255, 1000, 4000][..], &[255]) {
        for role in [Role::Active, Role::Backup] {
            let mut floors = Vec::new();
            let results = turns.take(turns.rounds(3, 1), |subject, _| {
                if *subject == Subject::Ours {
                    floors.push(again(|| if role == Role::Active { floors::send() } else { floors::receive() })?);
                }
                one(subject, role, *routers, time)
            });
            let results = results.with_context(|| format!("{routers} as {role:?}"))?;
            let [ours, peer] = results.map(|results| median(&results));
            let row = Row::new(format!("cpu/{routers} {role:?}"), "µs", ours.context("no rounds")?, peer);
            rows.push(row.with_limit(median(&floors).context("no rounds")?));
        }
    }
    Ok(rows)
}

/// Microseconds of each advertisement.
pub(crate) fn one(subject: &Subject, role: Role, routers: u16, time: Duration) -> anyhow::Result<f64> {
    // One announcement, so that there is no second round that would be counted.
    let own = Arguments { announce_once: true, on_each: 255, ..Arguments::new(routers) };
    // An Active is alone, on cables that end in nothing: what happens to its packets would be counted as its own time.
    let net = Net::new(if role == Role::Active { 1 } else { 2 }, own.interfaces()?)?;
    if role == Role::Active {
        net.cables(1).iter().try_for_each(vrrp_net::lab::Interface::cut_silently)?;
    }
    let feeder = match role {
        Role::Active => None,
        Role::Backup => {
            let feeder = Running::start(&Subject::Ours, net.host(2)?, &own.better())?;
            settle(&feeder, Role::Active, &own).context("the Active that the Backup hears")?;
            Some(feeder)
        }
    };
    let running = Running::start(subject, net.host(1)?, &own)?;
    settle(&running, role, &own).with_context(|| running.last_words())?;
    let (used, count) = (running.cpu_time()?, packets(&running, role)?);
    std::thread::sleep(time);
    let (used, count) = (running.cpu_time()?.saturating_sub(used), packets(&running, role)? - count);
    drop(feeder);
    anyhow::ensure!(count > 0, "no advertisements");
    Ok(used.as_secs_f64() * 1e6 / count as f64)
}

/// Packets that are advertisements of its role, once it is settled.
fn packets(running: &Running, role: Role) -> anyhow::Result<u64> {
    let (received, sent) = running.packets()?;
    Ok(if role == Role::Active { sent } else { received })
}

/// Waits until it sends, or receives, what it should in half a second, twice, and no more than that.
fn settle(running: &Running, role: Role, own: &Arguments) -> anyhow::Result<()> {
    let half = Duration::from_millis(500);
    let due = f64::from(own.routers) * half.as_secs_f64() / own.period().as_secs_f64();
    let mut in_order = 0;
    for _ in 0..60 {
        let (received, sent) = running.packets()?;
        std::thread::sleep(half);
        let (received, sent) = {
            let (now_received, now_sent) = running.packets()?;
            ((now_received - received) as f64, (now_sent - sent) as f64)
        };
        // A few packets are none of VRRP's.
        let slack = 0.15 * due + 5.0;
        let good = match role {
            Role::Active => (sent - due).abs() <= slack,
            Role::Backup => (received - due).abs() <= slack && sent <= 5.0,
        };
        in_order = if good { in_order + 1 } else { 0 };
        if in_order == 2 {
            return Ok(());
        }
    }
    anyhow::bail!("it does not settle as {role:?}")
}
