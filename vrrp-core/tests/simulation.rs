//! Ten thousand runs with random topologies and random faults, each determined by its seed and judged by the oracles.
//!
//! One seed again, with its trace: `SIM_SEED=123 cargo test -p vrrp-core --test simulation replay -- --nocapture`.
//! More of them: `SIM_RUNS=1000000`, from `SIM_FIRST=...` on.

use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

use vrrp_core::sim::{Answer, Detail, HostId, LanId, Link, MemberId, NodeId, Random, Setup, Sim};
use vrrp_core::track::Assessment;
use vrrp_core::wire::{Envelope, TTL};
use vrrp_core::{After, Event, Family, Fault, Gate, Instant, Interval, Params, Preempt, Priority, Version, Yield};

/// What is done to the simulation, and undone later.
#[derive(Clone, Copy, Debug)]
enum Act {
    Crash(NodeId),
    Start(NodeId),
    PowerOff(NodeId),
    PowerOn(NodeId),
    Stall(NodeId, Duration),
    Freeze(NodeId, Duration),
    Isolate(NodeId),
    Reconnect(NodeId),
    Cut(NodeId, NodeId),
    CutOneWay(NodeId, NodeId),
    CutHost(NodeId),
    Heal(NodeId, NodeId),
    HealHost(NodeId),
    Worsen(Link),
    Better,
    Carrier(NodeId, bool),
    FailSends(NodeId, bool),
    FailInstalls(MemberId, bool),
    RemoveAddresses(MemberId),
    Lower(MemberId, Priority),
    Recover(MemberId),
    Able(MemberId, bool),
    HandOver(MemberId),
    ShutDown(NodeId),
    Rejoin(NodeId),
    Drift(NodeId, i32),
    Answers(MemberId, Answer),
    Garbage([u8; 20]),
}

struct Run {
    sim: Sim,
    lan: LanId,
    host: HostId,
    members: Vec<MemberId>,
    /// What will be done, in the order of time.
    plan: Vec<(Instant, Act)>,
    interval: Duration,
    preempts: bool,
}

/// A healthy link of these runs.
const HEALTHY: Link = Link {
    delay: Duration::from_micros(100),
    jitter: Duration::from_micros(50),
    loss: 0,
    duplicate: 0,
    reorder: 0,
    cut: false,
};

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut sim = Sim::new(seed);
        let lan = sim.lan("lan", HEALTHY);
        let host = sim.host("host", lan);
        let version = random.pick(&[Version::V2, Version::V3(Family::V4), Version::V3(Family::V6)]).unwrap();
        let centiseconds = if version == Version::V2 { 100 } else { random.pick(&[20, 50, 100]).unwrap() };
        let interval = Interval::from_centiseconds(centiseconds).unwrap();
        let unit = interval.as_duration();
        let preempt = random.pick(&[Preempt::Immediately, Preempt::Never, Preempt::After(unit * 6)]).unwrap();
        let gated = random.below(4) == 0;
        let settle = (preempt == Preempt::Never && random.below(2) == 0).then_some(unit * 8);
        let yields = random.pick(&[Yield::Auto, Yield::Never, Yield::WhenDegraded]).unwrap();
        let mut members = Vec::new();
        for n in 0..2 + random.below(3) {
            let node = sim.node(["a", "b", "c", "d"][usize::try_from(n).unwrap()]);
            let owner = n == 0 && !gated && random.below(8) == 0;
            let priority = if owner { 255 } else { 1 + random.below(254) };
            let mut params = Params::new(version)
                .with_priority(Priority::try_from(priority).unwrap())
                .with_advert_interval(interval)
                .unwrap()
                .with_preempt(preempt)
                .with_yield(yields)
                .with_settle(settle)
                .with_fault_hold(unit * 10)
                .with_re_election(unit * 10);
            if gated {
                params = params.with_gate(Some(Gate { timeout: unit * 2, back_off: unit * 5 }));
            }
            sim.clock_ahead(node, Duration::from_nanos(random.below(1 << 50)));
            let member = sim.add(node, lan, Setup::new(params)).unwrap();
            if gated {
                sim.application(member, Answer::Confirm(random.between(Duration::ZERO, unit)));
            }
            members.push(member);
        }
        let mut plan = Vec::new();
        for member in &members {
            let at = random.between(Duration::ZERO, unit * 6);
            plan.push((Instant::ZERO + at, Act::Start(member.node())));
        }
        for _ in 0..2 + random.below(6) {
            let at = Instant::ZERO + random.between(unit * 8, unit * 50);
            let end = at + random.between(unit / 10, unit * 12);
            let member = random.pick(&members).unwrap();
            let other = random.pick(&members).unwrap().node();
            let (act, undo) = fault(&mut random, member, other, end.since(at), gated);
            plan.push((at, act));
            plan.extend(undo.map(|undo| (end, undo)));
        }
        plan.sort_by_key(|(at, _)| *at);
        Self { sim, lan, host, members, plan, interval: unit, preempts: preempt == Preempt::Immediately }
    }

    fn act(&mut self, act: Act) {
        let sim = &mut self.sim;
        match act {
            Act::Crash(node) => sim.crash(node),
            Act::Start(node) => sim.start(node),
            Act::PowerOff(node) => sim.power_off(node),
            Act::PowerOn(node) => {
                sim.power_on(node);
                sim.start(node);
            }
            Act::Stall(node, duration) => sim.stall(node, duration),
            Act::Freeze(node, duration) => sim.freeze(node, duration),
            Act::Isolate(node) => sim.isolate(node),
            Act::Reconnect(node) => sim.reconnect(node),
            Act::Cut(one, other) => sim.cut(one, other),
            Act::CutOneWay(one, other) => sim.cut_one_way(one, other),
            Act::CutHost(node) => sim.cut(node, self.host),
            Act::Heal(one, other) => sim.heal(one, other),
            Act::HealHost(node) => sim.heal(node, self.host),
            Act::Worsen(link) => sim.heal_all(link),
            Act::Better => sim.heal_all(HEALTHY),
            Act::Carrier(node, up) => sim.carrier(node, self.lan, up),
            Act::FailSends(node, fail) => sim.fail_sends(node, fail),
            Act::FailInstalls(member, fail) => sim.fail_installs(member, fail),
            Act::RemoveAddresses(member) => sim.remove_addresses(member),
            Act::Lower(member, priority) => {
                let base = sim.params(member).unwrap().base_priority();
                sim.assess(member, Assessment { priority: priority.min(base), fault: false });
            }
            Act::Recover(member) => {
                let priority = sim.params(member).unwrap().base_priority();
                sim.assess(member, Assessment { priority, fault: false });
            }
            Act::Able(member, true) => sim.event(member, Event::Recovered(Fault::Application)),
            Act::Able(member, false) => sim.event(member, Event::Fault(Fault::Application)),
            Act::HandOver(member) => sim.hand_over(member, After::Stay),
            Act::ShutDown(node) => sim.shut_down(node),
            Act::Rejoin(node) => sim.rejoin(node),
            Act::Drift(node, ppm) => sim.drift(node, ppm),
            Act::Answers(member, answer) => sim.application(member, answer),
            Act::Garbage(octets) => {
                let source = "10.0.0.77".parse().unwrap();
                sim.inject(self.lan, Envelope { source, destination: Family::V4.group(), ttl: Some(TTL) }, &octets);
            }
        }
    }

    /// Runs it through; the error is what did not hold.
    fn judge(&mut self) -> Result<(), String> {
        for (at, act) in core::mem::take(&mut self.plan) {
            self.sim.run_until(at);
            self.act(act);
        }
        let all = self.members.clone();
        for member in &all {
            // What was broken by one fault may have been left so by the end of another.
            self.sim.power_on(member.node());
            self.sim.start(member.node());
            self.sim.carrier(member.node(), self.lan, true);
            self.sim.rejoin(member.node());
        }
        // Time for a refused claim, a fault that is retried, a host's own discovery, an election, a preemption.
        self.sim.run_for(Duration::from_secs(12) + self.interval * 30);
        if let Some(violation) = self.sim.violation() {
            return Err(violation.to_string());
        }
        let active = self.sim.active(all[0]).ok_or("there is not one Active")?;
        let best = all.iter().max_by_key(|member| {
            let params = self.sim.params(**member).unwrap();
            (params.priority(), params.primary_address())
        });
        let best = best.map(|best| (best.node(), self.sim.params(*best).unwrap().priority()));
        let by = all.iter().find(|member| member.node() == active).and_then(|member| self.sim.params(*member));
        if let (Some((_, best)), Some(by)) = (best, by)
            && self.preempts
            && by.priority() != best
        {
            return Err(format!("{} is Active at the end, with priority {}", self.sim.name(active), by.priority()));
        }
        let address = self.sim.addresses(all[0])[0];
        match self.sim.neighbour(self.host, address) {
            Some(node) if node == active => Ok(()),
            node => Err(format!("at the end the host sends to {:?}", node.map(|node| self.sim.name(node)))),
        }
    }
}

/// A fault, and what ends it.
fn fault(random: &mut Random, member: MemberId, other: NodeId, length: Duration, gated: bool) -> (Act, Option<Act>) {
    let node = member.node();
    let worse = Link {
        loss: u32::try_from(random.below(500_000)).unwrap(),
        jitter: random.between(Duration::ZERO, Duration::from_millis(20)),
        duplicate: u32::try_from(random.below(300_000)).unwrap(),
        reorder: u32::try_from(random.below(300_000)).unwrap(),
        ..HEALTHY
    };
    match random.below(20) {
        0 | 1 => (Act::Crash(node), Some(Act::Start(node))),
        2 => (Act::PowerOff(node), Some(Act::PowerOn(node))),
        3 | 4 => (Act::Stall(node, length), None),
        5 => (Act::Freeze(node, length), None),
        6 => (Act::Isolate(node), Some(Act::Reconnect(node))),
        7 => (Act::Cut(node, other), Some(Act::Heal(node, other))),
        8 => (Act::CutOneWay(node, other), Some(Act::Heal(node, other))),
        9 => (Act::CutHost(node), Some(Act::HealHost(node))),
        10 => (Act::Worsen(worse), Some(Act::Better)),
        11 => (Act::Carrier(node, false), Some(Act::Carrier(node, true))),
        12 => (Act::FailSends(node, true), Some(Act::FailSends(node, false))),
        13 => (Act::FailInstalls(member, true), Some(Act::FailInstalls(member, false))),
        14 => (Act::RemoveAddresses(member), None),
        15 => {
            let lowered = Priority::try_from(1 + random.below(60)).unwrap();
            (Act::Lower(member, lowered), Some(Act::Recover(member)))
        }
        16 => (Act::Able(member, false), Some(Act::Able(member, true))),
        17 => (Act::HandOver(member), None),
        18 => (Act::ShutDown(node), Some(Act::Rejoin(node))),
        _ if gated && random.below(2) == 0 => {
            let answer = random.pick(&[Answer::Refuse(Duration::ZERO), Answer::Silence]).unwrap();
            (Act::Answers(member, answer), Some(Act::Answers(member, Answer::Confirm(Duration::ZERO))))
        }
        _ if random.below(2) == 0 => {
            let ppm = i32::try_from(random.below(1000)).unwrap() - 500;
            (Act::Drift(node, ppm), None)
        }
        _ => {
            let mut octets = [0; 20];
            octets.iter_mut().for_each(|octet| *octet = u8::try_from(random.below(256)).unwrap());
            octets[..2].copy_from_slice(&[0x31, 51]);
            (Act::Garbage(octets), None)
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Says which run failed, why, and how to see it again.
fn report(seed: u64, problem: &str) -> String {
    format!(
        "seed {seed}: {problem}\nto replay it:\n  \
         SIM_SEED={seed} cargo test -p vrrp-core --test simulation replay -- --nocapture\n"
    )
}

#[test]
fn seeded_faulty_runs_hold_every_oracle() {
    let (first, runs) = (setting("SIM_FIRST", 1), setting("SIM_RUNS", 10_000));
    let next = AtomicU64::new(first);
    let events = AtomicU64::new(0);
    let failures = std::sync::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + runs {
                        break;
                    }
                    let mut run = Run::new(seed);
                    let result = run.judge();
                    events.fetch_add(run.sim.events(), Ordering::Relaxed);
                    if let Err(problem) = result {
                        failures.lock().unwrap().push((seed, problem));
                    }
                }
            });
        }
    });
    println!("{runs} runs, {} protocol events", events.into_inner());
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    let shown: String = failures
        .iter()
        .take(usize::try_from(setting("SIM_SHOWN", 5)).unwrap())
        .map(|(seed, problem)| report(*seed, problem))
        .collect();
    let seeds: Vec<u64> = failures.iter().map(|(seed, _)| *seed).collect();
    assert!(failures.is_empty(), "{} runs of {runs} failed: {seeds:?}\n{shown}", failures.len());
}

#[test]
fn replay() {
    let Ok(seed) = std::env::var("SIM_SEED") else { return };
    let seed = seed.parse().expect("SIM_SEED is a number");
    let mut run = Run::new(seed);
    run.sim.show(if setting("SIM_FULL", 0) == 1 { Detail::Full } else { Detail::Brief });
    for member in &run.members {
        println!("{}: {:?}", run.sim.name(member.node()), run.sim.params(*member).unwrap());
    }
    run.plan.iter().for_each(|(at, act)| println!("{at} {act:?}"));
    let result = run.judge();
    println!("{}", run.sim.trace());
    if let Err(problem) = result {
        panic!("{}", report(seed, problem.lines().next().unwrap_or_default()));
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = |seed| {
        let mut run = Run::new(seed);
        run.sim.show(Detail::Full);
        let _ = run.judge();
        run.sim.take_trace()
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

/// What the simulator does in a second, on one core: `cargo test --release -p vrrp-core --test simulation speed -- --ignored
/// --nocapture`.
#[test]
#[ignore = "a measurement, for release builds"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn speed() {
    for (nodes, routers) in [(2, 1), (3, 1), (8, 1), (2, 200)] {
        let mut sim = Sim::new(1);
        let lan = sim.lan("lan", HEALTHY);
        for n in 1..=nodes {
            let node = sim.node(&format!("n{n}"));
            for vrid in 1..=routers {
                let params = Params::new(Version::V3(Family::V4)).with_priority(Priority::new(10 * n).unwrap());
                let vrid = vrrp_core::Vrid::new(vrid).unwrap();
                sim.add(node, lan, Setup { vrid, ..Setup::new(params) }).unwrap();
            }
        }
        sim.start_all();
        sim.run_for(Duration::from_secs(10));
        let (before, start) = (sim.events(), std::time::Instant::now());
        while sim.events() - before < 2_000_000 {
            sim.run_for(Duration::from_secs(100));
        }
        let (events, nanos) = (sim.events() - before, start.elapsed().as_nanos());
        println!(
            "{nodes} nodes, {routers} virtual routers each: {} events/s",
            u128::from(events) * 1_000_000_000 / nanos
        );
        assert!(sim.violation().is_none());
    }
}
