//! After `kill -9`: this library with its guardian, and keepalived, which has none.

use anyhow::Context;
use benches::node::Arguments;
use benches::statistics::{median, most};
use benches::subject::Subject;

use super::failover::{End, Outcome, Trial, run};
use super::row::Row;
use super::turns::{Turns, again};

pub(crate) fn measure(turns: &Turns) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for routers in turns.either(&[1, 255][..], &[1]) {
        rows.extend(of_routers(turns, *routers).with_context(|| format!("{routers} virtual routers"))?);
    }
    Ok(rows)
}

fn of_routers(turns: &Turns, routers: u16) -> anyhow::Result<Vec<Row>> {
    let rounds = turns.rounds(if routers == 1 { 10 } else { 3 }, 1);
    let (ours, peer) = (Subject::Ours, turns.keepalived());
    let mut results = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds {
        let phase = (f64::from(round) + 0.5) / f64::from(rounds);
        for ((active, backup), results) in
            [(&ours, &ours), (&ours, &peer), (&peer, &peer)].into_iter().zip(&mut results)
        {
            let own = Arguments { interval: 100, on_each: 255, guarded: true, ..Arguments::new(routers) }.better();
            let trial = Trial { active, backup, own, end: End::Kill, phase };
            let outcome = again(|| run(&trial)).with_context(|| format!("{active} with {backup} as the Backup"))?;
            results.push(outcome);
        }
    }
    let [with_ours, with_peer, theirs] = results.map(|outcomes| Numbers::of(&outcomes));
    let (with_ours, with_peer, theirs) = (with_ours?, with_peer?, theirs?);
    let beside = if routers == 1 { String::new() } else { format!("{routers} ") };
    let mut rows = Vec::new();
    for (numbers, name) in [(with_ours, "backup ours"), (with_peer, "backup keepalived")] {
        let row = |part: &str, ours, peer| Row::new(format!("crash/{beside}{name}{part}"), "ms", ours, Some(peer));
        rows.push(row("", numbers.takeover, theirs.takeover));
        rows.push(row(", worst", numbers.worst, theirs.worst));
        rows.push(row(", outage", numbers.outage, theirs.outage));
    }
    Ok(rows)
}

struct Numbers {
    takeover: f64,
    worst: f64,
    outage: f64,
}

impl Numbers {
    fn of(outcomes: &[Outcome]) -> anyhow::Result<Self> {
        let times: Vec<f64> = outcomes.iter().map(|it| it.takeover).collect();
        let outages: Vec<f64> = outcomes.iter().map(|it| it.outage).collect();
        let (takeover, worst) = (median(&times).context("no rounds")?, most(&times).context("no rounds")?);
        Ok(Self { takeover, worst, outage: median(&outages).context("no rounds")? })
    }
}
