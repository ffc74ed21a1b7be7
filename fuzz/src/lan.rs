//! A whole simulated LAN: nodes, and faults in any order, of any length. Judged by those oracles that hold however faults
//! overlap; that the best node serves in the end is asked for as well, once everything is healed.
//!
//! The others, which excuse what no protocol can prevent fault by fault, are for scripts whose faults are known:
//! `vrrp-core/tests/simulation.rs`.

use core::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use vrrp_core::sim::{Answer, Detail, Link, MemberId, Oracle, Setup, Sim};
use vrrp_core::track::Assessment;
use vrrp_core::wire::{Envelope, TTL};
use vrrp_core::{After, Event, Family, Fault, Gate, Interval, Params, Preempt, Priority, Version, Yield};

/// What holds whatever is done to whom: addresses where the role is, garbage that changes nothing, and leaving that is
/// complete.
const JUDGES: [Oracle; 3] = [Oracle::AddressIsRole, Oracle::InertGarbage, Oracle::CleanExit];

/// A healthy link.
const HEALTHY: Link = Link {
    delay: Duration::from_micros(100),
    jitter: Duration::from_micros(50),
    loss: 0,
    duplicate: 0,
    reorder: 0,
    cut: false,
};

/// A LAN and what happens on it.
#[derive(Arbitrary, Debug)]
pub struct Story {
    seed: u64,
    version: u8,
    interval: u8,
    preempt: u8,
    yields: u8,
    gated: bool,
    settle: bool,
    nodes: Nodes,
    acts: Vec<(u16, Act)>,
}

/// The priority of each, and its clock.
#[derive(Debug)]
struct Nodes(Vec<(u8, u64)>);

impl<'a> Arbitrary<'a> for Nodes {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let count = u.int_in_range(1..=4)?;
        let node = |u: &mut Unstructured<'a>| Ok((u.int_in_range(1..=255)?, u64::from(u.arbitrary::<u32>()?)));
        (0..count).map(|_| node(u)).collect::<Result<_>>().map(Self)
    }
}

/// Nodes are numbers, taken modulo how many there are.
#[derive(Arbitrary, Debug)]
enum Act {
    Start(u8),
    Crash(u8),
    PowerOff(u8),
    PowerOn(u8),
    Stall(u8, u16),
    Freeze(u8, u16),
    Isolate(u8),
    Reconnect(u8),
    Cut(u8, u8),
    CutOneWay(u8, u8),
    CutHost(u8),
    Heal(u8, u8),
    HealHost(u8),
    Links { loss: u32, duplicate: u32, reorder: u32, jitter: u16 },
    Better,
    LoseNext(u8, u8, u8),
    Carrier(u8, bool),
    FailSends(u8, bool),
    FailInstalls(u8, bool),
    RemoveAddresses(u8),
    Lower(u8, u8),
    Application(u8, bool),
    HandOver(u8, bool),
    StepDown(u8),
    ShutDown(u8),
    Rejoin(u8),
    Drift(u8, i16),
    Answers(u8, u8),
    Garbage([u8; 20]),
}

/// Lives through it.
pub fn run(story: &Story) {
    let mut sim = Sim::new(story.seed);
    sim.judge_by(&JUDGES);
    // To look at a failure: what it prints then ends with what led to it.
    if std::env::var_os("FUZZ_TRACE").is_some() {
        sim.show(Detail::Brief);
    }
    let lan = sim.lan("lan", HEALTHY);
    let host = sim.host("host", lan);
    let version = [Version::V2, Version::V3(Family::V4), Version::V3(Family::V6)][usize::from(story.version % 3)];
    let centiseconds = if version == Version::V2 { 100 } else { [10, 20, 50, 100][usize::from(story.interval % 4)] };
    let interval = Interval::from_centiseconds(centiseconds).unwrap();
    let unit = interval.as_duration();
    let preempt = [Preempt::Immediately, Preempt::Never, Preempt::After(unit * 6)][usize::from(story.preempt % 3)];
    let mut params = Params::new(version)
        .with_advert_interval(interval)
        .unwrap()
        .with_preempt(preempt)
        .with_yield([Yield::Auto, Yield::Never, Yield::WhenDegraded][usize::from(story.yields % 3)])
        .with_settle(story.settle.then_some(unit * 8))
        .with_fault_hold(unit * 10)
        .with_re_election(unit * 10);
    if story.gated {
        params = params.with_gate(Some(Gate { timeout: unit * 2, back_off: unit * 5 }));
    }
    let mut members: Vec<MemberId> = Vec::new();
    for ((priority, ahead), name) in story.nodes.0.iter().zip(["a", "b", "c", "d"]) {
        let node = sim.node(name);
        sim.clock_ahead(node, Duration::from_nanos(ahead << 18));
        let params = params.with_priority(Priority::new(*priority).unwrap());
        let member = sim.add(node, lan, Setup::new(params)).unwrap();
        if story.gated {
            sim.application(member, Answer::Confirm(unit / 3));
        }
        members.push(member);
    }
    sim.start_all();
    for (after, act) in story.acts.iter().take(40) {
        sim.run_for(Duration::from_millis((*after % 8192).into()));
        perform(&mut sim, act, &members, lan, host);
    }
    // All is healed, and given the time that an election takes.
    sim.heal_all(HEALTHY);
    for member in &members {
        let node = member.node();
        sim.power_on(node);
        sim.start(node);
        sim.carrier(node, lan, true);
        sim.fail_sends(node, false);
        sim.fail_installs(*member, false);
        sim.drift(node, 0);
        sim.application(*member, Answer::Confirm(Duration::ZERO));
        let priority = sim.params(*member).unwrap().base_priority();
        sim.assess(*member, Assessment { priority, fault: false });
        sim.event(*member, Event::Recovered(Fault::Application));
        sim.rejoin(node);
    }
    // The longest that a process is held up is 65 s.
    sim.run_for(Duration::from_secs(80) + unit * 50);
    if let Some(violation) = sim.violation() {
        panic!("{violation}");
    }
    let active = sim.active(members[0]);
    assert!(active.is_some(), "all is well, and there is not one Active");
}

fn perform(sim: &mut Sim, act: &Act, members: &[MemberId], lan: vrrp_core::sim::LanId, host: vrrp_core::sim::HostId) {
    let member = |n: u8| members[usize::from(n) % members.len()];
    let node = |n: u8| member(n).node();
    let millis = |millis: u16| Duration::from_millis(millis.into());
    match *act {
        Act::Start(n) => sim.start(node(n)),
        Act::Crash(n) => sim.crash(node(n)),
        Act::PowerOff(n) => sim.power_off(node(n)),
        Act::PowerOn(n) => sim.power_on(node(n)),
        Act::Stall(n, for_millis) => sim.stall(node(n), millis(for_millis)),
        Act::Freeze(n, for_millis) => sim.freeze(node(n), millis(for_millis)),
        Act::Isolate(n) => sim.isolate(node(n)),
        Act::Reconnect(n) => sim.reconnect(node(n)),
        Act::Cut(one, other) => sim.cut(node(one), node(other)),
        Act::CutOneWay(one, other) => sim.cut_one_way(node(one), node(other)),
        Act::CutHost(n) => sim.cut(node(n), host),
        Act::Heal(one, other) => sim.heal(node(one), node(other)),
        Act::HealHost(n) => sim.heal(node(n), host),
        Act::Links { loss, duplicate, reorder, jitter } => sim.heal_all(Link {
            loss: loss % 1_000_001,
            duplicate: duplicate % 1_000_001,
            reorder: reorder % 1_000_001,
            jitter: millis(jitter % 1024),
            ..HEALTHY
        }),
        Act::Better => sim.heal_all(HEALTHY),
        Act::LoseNext(one, other, frames) => sim.lose_next(node(one), node(other), frames.into()),
        Act::Carrier(n, up) => sim.carrier(node(n), lan, up),
        Act::FailSends(n, fail) => sim.fail_sends(node(n), fail),
        Act::FailInstalls(n, fail) => sim.fail_installs(member(n), fail),
        Act::RemoveAddresses(n) => sim.remove_addresses(member(n)),
        Act::Lower(n, priority) => {
            let base = sim.params(member(n)).unwrap().base_priority();
            let lowered = Priority::new(priority.max(1)).unwrap().min(base);
            sim.assess(member(n), Assessment { priority: lowered, fault: priority == 0 });
        }
        Act::Application(n, true) => sim.event(member(n), Event::Recovered(Fault::Application)),
        Act::Application(n, false) => sim.event(member(n), Event::Fault(Fault::Application)),
        Act::HandOver(n, stay) => sim.hand_over(member(n), if stay { After::Stay } else { After::Leave }),
        Act::StepDown(n) => sim.event(member(n), Event::StepDown),
        Act::ShutDown(n) => sim.shut_down(node(n)),
        Act::Rejoin(n) => sim.rejoin(node(n)),
        Act::Drift(n, ppm) => sim.drift(node(n), ppm.into()),
        Act::Answers(n, answer) => sim.application(
            member(n),
            match answer % 3 {
                0 => Answer::Confirm(Duration::from_millis(answer.into())),
                1 => Answer::Refuse(Duration::from_millis(answer.into())),
                _ => Answer::Silence,
            },
        ),
        Act::Garbage(mut octets) => {
            octets[..2].copy_from_slice(&[0x31, 51]);
            let source = "10.0.0.77".parse().unwrap();
            let envelope = Envelope { source, destination: Family::V4.group(), ttl: Some(TTL) };
            sim.inject(lan, envelope, &octets);
        }
    }
}
