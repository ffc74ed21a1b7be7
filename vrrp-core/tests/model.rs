//! Model checking of [`step`]: every run of two and three routers on a small LAN within a budget of faults.
//!
//! **Time.** `step` is invariant under a shift of all instants (`tests/properties.rs` holds it to that), so `now` is
//! always [`NOW`] here, and the passing of time moves every instant of every state into the past. All parameters are
//! chosen so that every timer is a multiple of one tick; what happens between ticks can then be moved to one without
//! changing any order that a timer decides, so integer time loses no behaviour. Instants further back than four intervals
//! are equal, because no rule looks that far back. That leaves finitely many states, and all of them are visited:
//! there is no bound on the depth, only on the number of faults.
//!
//! **Order.** A timer fires on its tick. A message takes any whole number of ticks up to a bound, and within a tick
//! everything happens in every order. Starts, stalls, hand-overs and answers of the application come at any tick of a
//! grid; crashes between any two events.
//!
//! **What is checked**, on every state: the variants of [`Wrong`], and that from here, faults over, one fair run
//! ends with exactly one Active within a bound ([`Lan::recovery`]).

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::Mutex;

use stateright::{Checker, Model, Property};
use vrrp_core::{
    Action, Active, Advert, After, Backup, Claimant, Event, Family, Gate, HandOver, Heard, Initialize, Instant,
    Interval, Params, Phase, Preempt, Priority, Role, State, Step, Version, step,
};

/// The time at which everything happens.
const NOW: Instant = Instant::from_millis(1_000_000);

/// Ticks that a fair run may take. More than any of them needs, so that only one that goes round for ever gets there.
const ENDLESS: u16 = 1_000;

/// A LAN, what may go wrong on it, and what it promises.
struct Lan {
    name: &'static str,
    params: Vec<Params>,
    /// The priority that a degraded router is left with.
    degraded: Priority,
    tick: Duration,
    /// Starts, stalls and the like happen at multiples of so many ticks.
    grid: u8,
    /// Ticks that a message may take.
    delay: u8,
    budget: Budget,
    /// Ticks that two Actives may last after the last fault, beyond the delay.
    overlap: u8,
    /// Ticks within which faults are over and one router is Active.
    bound: u16,
    /// Whether no router that has been Active for an interval may be unseated.
    keeps: bool,
    /// Ticks that fair runs take, by the hash of the world that they start from.
    known: Mutex<BTreeMap<u64, u16>>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Budget {
    starts: u8,
    losses: u8,
    copies: u8,
    crashes: u8,
    stops: u8,
    stalls: u8,
    refusals: u8,
    /// Answers to claims of the past.
    late_answers: u8,
    hand_overs: u8,
    /// A router's priority is lowered, or restored.
    health: u8,
}

/// All routers, all messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    nodes: Vec<Node>,
    flight: Vec<Message>,
    budget: Budget,
    /// Ticks since the last point of the grid.
    phase: u8,
    /// Ticks for which two routers have been Active without an excuse.
    overlap: u8,
    wrong: Option<Wrong>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    running: bool,
    /// Held up: it neither fires nor reads.
    stalled: bool,
    state: State,
    /// Whether the virtual addresses are on its interface.
    addresses: bool,
    /// What the application was asked and has not answered.
    asked: Option<Instant>,
    /// An earlier claim that it may still answer.
    stale: Option<Instant>,
    degraded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Message {
    to: usize,
    from: usize,
    priority: Option<Priority>,
    interval: Interval,
    age: u8,
    /// It waits in the socket of a router that was held up: to be read before a timer may fire.
    waiting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Move {
    Start(usize),
    Crash(usize),
    Stop(usize),
    Stall(usize),
    Resume(usize),
    Fire(usize),
    Deliver(Message),
    Lose(Message),
    /// Delivers it and keeps it.
    Copy(Message),
    Confirm(usize),
    Refuse(usize),
    ConfirmLate(usize),
    HandOver(usize, After),
    /// Lowers or restores a priority.
    Health(usize),
    Pass,
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wrong {
    /// Two Actives on a connected LAN for longer than it takes them to hear each other.
    TwoActives,
    /// The addresses are there and the router is not Active, or the other way round; installed twice; announced
    /// without being there.
    Addresses,
    /// A gated router installed addresses that the application had not confirmed, or by a stale confirmation.
    Unconfirmed,
    /// A live, healthy Active lost the role although nobody preempts.
    Unseated,
    /// Priority 0 from a router that did not answer for the addresses.
    Resignation,
    /// A timeout left a deadline that is due: the caller would spin.
    StillDue,
    /// The transition reported is not the one made.
    Transition,
}

const ALL_WRONGS: [(Wrong, &str); 7] = [
    (Wrong::TwoActives, "no two settled Actives"),
    (Wrong::Addresses, "sm_27: addresses are there if and only if the router is Active"),
    (Wrong::Unconfirmed, "a gated router installs only what was confirmed"),
    (Wrong::Unseated, "without preemption a live, healthy Active stays"),
    (Wrong::Resignation, "el_03: priority 0 comes only from a router that claimed the role"),
    (Wrong::StillDue, "after a timeout nothing is due"),
    (Wrong::Transition, "transitions are reported as they are"),
];

impl Lan {
    fn params(&self, n: usize, node: &Node) -> Params {
        let params = self.params[n];
        if node.degraded { params.with_effective_priority(self.degraded) } else { params }
    }

    fn interval(&self) -> Duration {
        self.params[0].advert_interval().as_duration()
    }

    fn ticks(&self, duration: Duration) -> u64 {
        let (nanos, tick) = (duration.as_nanos(), self.tick.as_nanos());
        assert!(nanos.is_multiple_of(tick), "{duration:?} is no multiple of the tick");
        u64::try_from(nanos / tick).unwrap()
    }

    /// `state` as it is after `by`: every instant earlier, those that no rule looks at any more put together.
    fn later(&self, state: State, by: Duration) -> State {
        let oldest = NOW - 4 * self.interval();
        let at = |instant: Instant| (instant - by).max(oldest);
        // Only new parameters look at it.
        let armed_at = |instant| if self.budget.health > 0 { at(instant) } else { NOW };
        // Nothing looks at it but this checker.
        let since = |instant| if self.keeps { at(instant).max(NOW - self.interval()) } else { NOW };
        match state {
            State::Initialize(initialize) => {
                let claimed = initialize.claimed.filter(|_| by.is_zero());
                State::Initialize(Initialize { retry_at: initialize.retry_at.map(at), claimed, ..initialize })
            }
            State::Backup(backup) => State::Backup(Backup {
                armed_at: armed_at(backup.armed_at),
                down_at: at(backup.down_at),
                preempt_at: backup.preempt_at.map(at),
                stand_back_until: backup.stand_back_until.map(at).filter(|until| *until > NOW),
                ..backup
            }),
            State::Claimant(claimant) => State::Claimant(Claimant {
                since: at(claimant.since),
                advert_at: at(claimant.advert_at),
                until: at(claimant.until),
                ..claimant
            }),
            State::Active(active) => State::Active(Active {
                since: since(active.since),
                advert_at: at(active.advert_at),
                // Only alarms look at it, and answers in the same instant.
                rivalry: active.rivalry.filter(|_| by.is_zero()),
                election_at: active.election_at.map(at),
                phase: match active.phase {
                    Phase::Advertising => Phase::Advertising,
                    Phase::Standing(until) => Phase::Standing(at(until)),
                    Phase::HandingOver(until, after) => Phase::HandingOver(at(until), after),
                },
                ..active
            }),
        }
    }

    /// Gives one router an event and carries out what it wants done.
    fn apply(&self, world: &mut World, n: usize, event: Event) {
        let node = &world.nodes[n];
        let params = self.params(n, node);
        let before = node.state;
        let Step { state, actions } = step(&params, before, NOW, event);
        let running: Vec<usize> = (0..world.nodes.len()).filter(|m| *m != n && world.nodes[*m].running).collect();
        let mut wrong = None;
        let mut reported = None;
        let node = &mut world.nodes[n];
        for action in actions {
            match action {
                Action::SendAdvert(claim) => {
                    if claim.priority.is_none() && !matches!(before.role(), Role::Claimant | Role::Active) {
                        wrong = wrong.or(Some(Wrong::Resignation));
                    }
                    world.flight.extend(running.iter().map(|to| Message {
                        to: *to,
                        from: n,
                        priority: claim.priority,
                        interval: claim.interval,
                        age: 0,
                        waiting: false,
                    }));
                }
                Action::InstallAddresses => {
                    let confirmed = node.asked.is_some_and(|claim| event == Event::Confirm(claim));
                    if params.gate().is_some() && !confirmed {
                        wrong = wrong.or(Some(Wrong::Unconfirmed));
                    }
                    // What a crash left behind may be there already.
                    if node.addresses && before.role() != Role::Initialize {
                        wrong = wrong.or(Some(Wrong::Addresses));
                    }
                    node.addresses = true;
                }
                Action::RemoveAddresses => node.addresses = false,
                Action::Announce if !node.addresses => wrong = wrong.or(Some(Wrong::Addresses)),
                Action::Prepare(claim) => {
                    node.stale = node.asked.or(node.stale);
                    node.asked = Some(claim);
                }
                Action::Transition(transition) => reported = Some((transition.from, transition.to)),
                _ => {}
            }
        }
        if node.addresses != (state.role() == Role::Active) {
            wrong = wrong.or(Some(Wrong::Addresses));
        }
        if reported != (before.role() != state.role()).then(|| (before.role(), state.role())) {
            wrong = wrong.or(Some(Wrong::Transition));
        }
        if event == Event::Timeout && state.deadline().is_some_and(|(at, _)| at <= NOW) {
            wrong = wrong.or(Some(Wrong::StillDue));
        }
        if let (State::Active(active), Event::Advert(_)) = (before, event)
            && self.keeps
            && state.role() != Role::Active
            && active.phase == Phase::Advertising
            && active.since <= NOW - self.interval()
        {
            wrong = wrong.or(Some(Wrong::Unseated));
        }
        node.state = self.later(state, Duration::ZERO);
        world.wrong = world.wrong.or(wrong);
        world.flight.sort_unstable();
    }

    fn due(&self, world: &World, n: usize) -> bool {
        let node = &world.nodes[n];
        node.running
            && !node.stalled
            && node.state.deadline().is_some_and(|(at, _)| at <= NOW)
            && !world.flight.iter().any(|message| message.to == n && message.waiting)
    }

    /// How many ticks may pass before something has to happen, or may.
    fn pass(&self, world: &World) -> Option<u8> {
        let moving = |message: &&Message| !world.nodes[message.to].stalled;
        if (0..world.nodes.len()).any(|n| self.due(world, n))
            || world.flight.iter().filter(moving).any(|message| message.waiting || message.age >= self.delay)
        {
            return None;
        }
        let awake = world.nodes.iter().filter(|node| node.running && !node.stalled);
        let deadline = awake.filter_map(|node| node.state.deadline()).map(|(at, _)| self.ticks(at.since(NOW))).min();
        let arrival = world.flight.iter().find(moving).map(|_| 1);
        // Without a router that runs, time makes no difference.
        let choice = (world.nodes.iter().any(|node| node.running) && self.may_choose(world))
            .then(|| u64::from(self.grid - world.phase));
        [deadline, arrival, choice].into_iter().flatten().min().map(|ticks| u8::try_from(ticks).unwrap())
    }

    /// Whether something may still happen at a time of its own choice.
    fn may_choose(&self, world: &World) -> bool {
        let Budget { starts, stops, stalls, hand_overs, health, .. } = world.budget;
        (starts > 0 && world.nodes.iter().any(|node| !node.running))
            || stops + stalls + hand_overs + health > 0
            || world.nodes.iter().any(|node| node.stalled || node.asked.is_some())
            || (world.budget.late_answers > 0 && world.nodes.iter().any(|node| node.stale.is_some()))
    }

    fn after(&self, world: &mut World, ticks: u8) {
        let by = self.tick * u32::from(ticks);
        for node in &mut world.nodes {
            node.state = self.later(node.state, by);
            let oldest = NOW - 4 * self.interval();
            node.asked = node.asked.map(|claim| claim - by);
            node.stale = node.stale.map(|claim| claim - by).filter(|claim| *claim > oldest);
        }
        for message in &mut world.flight {
            message.waiting |= world.nodes[message.to].stalled;
            message.age = if message.waiting { 0 } else { message.age + ticks };
        }
        world.flight.sort_unstable();
        // A socket that nobody reads has room for so many.
        let flight = core::mem::take(&mut world.flight);
        for message in flight {
            let same = world.flight.iter().filter(|other| **other == message).count();
            if !message.waiting || same < 2 {
                world.flight.push(message);
            }
        }
        world.phase = (world.phase + ticks) % self.grid;
        let settled = |node: &&Node| node.running && !node.stalled && node.state.role() == Role::Active;
        let excused = world.nodes.iter().any(|node| node.stalled) || world.nodes.iter().filter(settled).count() < 2;
        world.overlap = if excused { 0 } else { world.overlap + ticks };
        if world.overlap > self.overlap + self.delay {
            world.wrong = world.wrong.or(Some(Wrong::TwoActives));
        }
        if !self.may_choose(world) {
            world.phase = 0;
        }
    }

    fn make(&self, world: &mut World, choice: Move) {
        match choice {
            Move::Start(n) => {
                world.budget.starts -= 1;
                world.nodes[n].running = true;
                self.apply(world, n, Event::Startup);
            }
            Move::Crash(n) => {
                world.budget.crashes -= 1;
                world.overlap = 0;
                let Node { addresses, degraded, .. } = world.nodes[n];
                // The addresses stay behind, until the next start of this router.
                world.nodes[n] = Node { addresses, degraded, ..Node::down() };
                world.flight.retain(|message| message.to != n);
            }
            Move::Stop(n) => {
                world.budget.stops -= 1;
                self.apply(world, n, Event::Shutdown);
                let degraded = world.nodes[n].degraded;
                world.nodes[n] = Node { degraded, ..Node::down() };
                world.flight.retain(|message| message.to != n);
            }
            Move::Stall(n) => {
                world.budget.stalls -= 1;
                world.nodes[n].stalled = true;
            }
            Move::Resume(n) => {
                world.nodes[n].stalled = false;
                // It is as good as new: what counts is for how long it has been there without a break.
                if let State::Active(active) = &mut world.nodes[n].state {
                    active.since = NOW;
                }
            }
            Move::Fire(n) => self.apply(world, n, Event::Timeout),
            Move::Deliver(message) => self.deliver(world, message, false),
            Move::Copy(message) => {
                world.budget.copies -= 1;
                self.deliver(world, message, true);
            }
            Move::Lose(message) => {
                world.budget.losses -= 1;
                world.overlap = 0;
                world.flight.remove(position(world, message));
            }
            Move::Confirm(n) => {
                let claim = world.nodes[n].asked.unwrap();
                self.apply(world, n, Event::Confirm(claim));
                world.nodes[n].asked = None;
            }
            Move::Refuse(n) => {
                world.budget.refusals -= 1;
                let claim = world.nodes[n].asked.take().unwrap();
                self.apply(world, n, Event::Refuse(claim));
            }
            Move::ConfirmLate(n) => {
                world.budget.late_answers -= 1;
                let claim = world.nodes[n].stale.take().unwrap();
                self.apply(world, n, Event::Confirm(claim));
            }
            Move::HandOver(n, after) => {
                world.budget.hand_overs -= 1;
                self.apply(world, n, Event::HandOver(after));
            }
            Move::Health(n) => {
                world.budget.health -= 1;
                world.nodes[n].degraded = !world.nodes[n].degraded;
                self.apply(world, n, Event::Reconfigured);
            }
            Move::Pass => {
                let ticks = self.pass(world).unwrap();
                self.after(world, ticks);
            }
        }
        // A question whose claim is over is answered late, if at all.
        for node in &mut world.nodes {
            if let Some(claim) = node.asked
                && !matches!(node.state, State::Claimant(claimant) if claimant.since == claim)
            {
                node.stale = node.asked.take();
            }
            if world.budget.late_answers == 0 {
                node.stale = None;
            }
        }
    }

    fn deliver(&self, world: &mut World, message: Message, keep: bool) {
        if !keep {
            world.flight.remove(position(world, message));
        }
        let source = self.params[message.from].primary_address().unwrap();
        let advert = Advert { source, priority: message.priority, interval: message.interval };
        self.apply(world, message.to, Event::Advert(advert));
    }

    /// Ticks until exactly one router is Active and every other one follows it, if from now on nothing goes wrong: every
    /// message arrives at once, every timer fires on time, the application confirms. [`ENDLESS`] if never.
    fn recovery(&self, world: &World) -> u16 {
        let mut world = World { budget: Budget::default(), phase: 0, overlap: 0, ..world.clone() };
        for node in &mut world.nodes {
            node.stale = None;
        }
        let mut path = Vec::new();
        let mut known = self.known.lock().unwrap();
        let mut elapsed = 0;
        let rest = loop {
            let key = {
                let mut hasher = DefaultHasher::new();
                world.hash(&mut hasher);
                hasher.finish()
            };
            if let Some(rest) = known.get(&key) {
                break *rest;
            }
            path.push((key, elapsed));
            if self.is_settled(&world) {
                break 0;
            }
            let choice = self.fair_move(&world);
            let (Some(choice), true) = (choice, elapsed < ENDLESS) else { break ENDLESS };
            if choice == Move::Pass {
                elapsed += u16::from(self.pass(&world).unwrap());
            }
            self.make(&mut world, choice);
            world.overlap = 0;
        };
        let total = elapsed.saturating_add(rest);
        for (key, at) in &path {
            known.insert(*key, total - at);
        }
        total
    }

    fn fair_move(&self, world: &World) -> Option<Move> {
        let nodes = || 0..world.nodes.len();
        nodes()
            .find(|n| world.nodes[*n].stalled)
            .map(Move::Resume)
            // In the order sent: a claim that shortens the interval comes before the resignation.
            .or_else(|| world.flight.iter().max_by_key(|message| message.priority).copied().map(Move::Deliver))
            .or_else(|| nodes().find(|n| world.nodes[*n].asked.is_some()).map(Move::Confirm))
            .or_else(|| nodes().find(|n| self.due(world, *n)).map(Move::Fire))
            .or_else(|| self.pass(world).map(|_| Move::Pass))
    }

    /// One Active, which every other running router accepts and none is better than, if it is degraded.
    fn is_settled(&self, world: &World) -> bool {
        let running = || world.nodes.iter().enumerate().filter(|(_, node)| node.running);
        let actives = running().filter(|(_, node)| node.state.role() == Role::Active).count();
        let priority = |(n, node): (usize, &Node)| self.params(n, node).priority();
        let takes_part = |(_, node): &(usize, &Node)| node.state.role() != Role::Initialize;
        let best = running().filter(takes_part).map(priority).max();
        let content = running().all(|(n, node)| match node.state {
            State::Active(active) => {
                active.phase == Phase::Advertising
                    && !active.unsettled
                    && (!node.degraded || Some(priority((n, node))) == best)
            }
            State::Backup(backup) => backup.heard == Heard::Active,
            // It was told to leave.
            State::Initialize(initialize) => !initialize.started,
            State::Claimant(_) => false,
        });
        let all_out = running().all(|(_, node)| node.state == State::new());
        world.flight.is_empty() && content && (actives == 1 || all_out)
    }

    /// Visits every state and prints how many there are.
    #[track_caller]
    fn check(self) {
        let name = self.name;
        let bound = self.bound;
        let checker = self.checker().threads(1).spawn_bfs().join();
        let slowest = checker.model().known.lock().unwrap().values().copied().max().unwrap_or(0);
        // Past the capture of the test harness: the counts are part of the evidence.
        writeln!(
            std::io::stderr().lock(),
            "model: {name}: {} states, {} transitions, depth {}, slowest recovery {slowest} ticks of at most {bound}",
            checker.unique_state_count(),
            checker.state_count(),
            checker.max_depth(),
        )
        .unwrap();
        checker.assert_properties();
        assert!(checker.is_done(), "every state was visited");
    }
}

fn position(world: &World, message: Message) -> usize {
    world.flight.iter().position(|other| *other == message).unwrap()
}

impl Node {
    fn down() -> Self {
        Self {
            running: false,
            stalled: false,
            state: State::new(),
            addresses: false,
            asked: None,
            stale: None,
            degraded: false,
        }
    }
}

impl Model for Lan {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            nodes: vec![Node::down(); self.params.len()],
            flight: Vec::new(),
            budget: self.budget,
            phase: 0,
            overlap: 0,
            wrong: None,
        }]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        if world.wrong.is_some() {
            return;
        }
        let budget = world.budget;
        let may = |condition: bool, count: u8, choice: Move| (condition && count > 0).then_some(choice);
        for (at, message) in world.flight.iter().copied().enumerate() {
            if at > 0 && world.flight[at - 1] == message {
                continue;
            }
            if !world.nodes[message.to].stalled {
                moves.push(Move::Deliver(message));
                moves.extend(may(true, budget.copies, Move::Copy(message)));
            }
            moves.extend(may(true, budget.losses, Move::Lose(message)));
        }
        let on_grid = world.phase == 0;
        for (n, node) in world.nodes.iter().enumerate() {
            moves.extend(may(!node.running && on_grid, budget.starts, Move::Start(n)));
            if !node.running {
                continue;
            }
            moves.extend(may(true, budget.crashes, Move::Crash(n)));
            if node.stalled {
                moves.extend(may(on_grid, 1, Move::Resume(n)));
                continue;
            }
            moves.extend(may(self.due(world, n), 1, Move::Fire(n)));
            moves.extend(may(node.asked.is_some() && on_grid, 1, Move::Confirm(n)));
            moves.extend(may(node.asked.is_some() && on_grid, budget.refusals, Move::Refuse(n)));
            moves.extend(may(node.stale.is_some() && on_grid, budget.late_answers, Move::ConfirmLate(n)));
            moves.extend(may(on_grid, budget.stops, Move::Stop(n)));
            moves.extend(may(on_grid, budget.stalls, Move::Stall(n)));
            moves.extend(may(on_grid, budget.health, Move::Health(n)));
            for after in [After::Stay, After::Leave] {
                let active = node.state.role() == Role::Active;
                moves.extend(may(active && on_grid, budget.hand_overs, Move::HandOver(n, after)));
            }
        }
        if self.pass(world).is_some() {
            moves.push(Move::Pass);
        }
    }

    fn next_state(&self, world: &World, choice: Move) -> Option<World> {
        let mut world = world.clone();
        self.make(&mut world, choice);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn never<const N: usize>() -> Property<Lan> {
            Property::always(ALL_WRONGS[N].1, |_: &Lan, world: &World| world.wrong != Some(ALL_WRONGS[N].0))
        }
        fn active(world: &World) -> usize {
            world.nodes.iter().filter(|node| node.running && node.state.role() == Role::Active).count()
        }
        vec![
            never::<0>(),
            never::<1>(),
            never::<2>(),
            never::<3>(),
            never::<4>(),
            never::<5>(),
            never::<6>(),
            Property::always(
                "from here, faults over, one router is Active within the bound",
                |lan: &Lan, world: &World| world.wrong.is_some() || lan.recovery(world) <= lan.bound,
            ),
            // That the checker gets anywhere.
            Property::sometimes("one router is Active and every other one follows it", |lan: &Lan, world: &World| {
                world.nodes.iter().all(|node| node.running) && active(world) == 1 && lan.is_settled(world)
            }),
        ]
    }
}

fn priority(value: u8) -> Priority {
    Priority::new(value).unwrap()
}

/// One second, VRRPv3 over IPv4, from 192.0.2.(n + 1).
fn params(n: usize, value: u8, preempt: Preempt) -> Params {
    let source = IpAddr::from([192, 0, 2, u8::try_from(n + 1).unwrap()]);
    let params = Params::new(Version::V3(Family::V4)).with_priority(priority(value)).with_preempt(preempt);
    // Without a short interval, whose Skew_Time would not be a multiple of the tick.
    let hand_over = HandOver { interval: Interval::DEFAULT, deadline: Duration::from_secs(2) };
    params.with_primary_address(Some(source)).unwrap().with_hand_over(hand_over)
}

/// Skew_Time is a quarter, a half, three quarters of a second at these priorities.
const PRIORITIES: [u8; 3] = [192, 128, 64];

fn lan(name: &'static str, routers: usize, preempt: Preempt) -> Lan {
    Lan {
        name,
        params: (0..routers).map(|n| params(n, PRIORITIES[n], preempt)).collect(),
        degraded: priority(64),
        tick: Duration::from_millis(250),
        grid: 1,
        delay: 0,
        budget: Budget { starts: u8::try_from(routers).unwrap(), ..Budget::default() },
        // They hear each other's next advertisement: one interval.
        overlap: 4,
        // Active_Down_Interval of the slowest.
        bound: 15,
        keeps: false,
        known: Mutex::new(BTreeMap::new()),
    }
}

fn with_params(mut lan: Lan, change: impl Fn(Params) -> Params) -> Lan {
    lan.params = lan.params.into_iter().map(change).collect();
    lan
}

/// With a tick of a sixteenth of an interval, so that the Skew_Time of a quarter of an interval is one tick for the
/// first router, and the short interval of elections and hand-overs is in the model.
fn fine(lan: Lan) -> Lan {
    let hand_over = HandOver { interval: Interval::from_centiseconds(25).unwrap(), deadline: Duration::from_secs(2) };
    let lan = with_params(lan, |params| params.with_hand_over(hand_over));
    Lan { tick: lan.tick / 4, grid: 4, overlap: 16, bound: lan.bound * 4, ..lan }
}

#[test]
fn two_routers_that_preempt_with_loss_duplication_delay_crash_and_restart() {
    let mut lan = lan("2 routers, preempt: loss, copies, delay, crash", 2, Preempt::Immediately);
    lan.delay = 1;
    lan.budget = Budget { starts: 3, losses: 2, copies: 1, crashes: 1, ..Budget::default() };
    lan.check();
}

#[test]
fn two_routers_that_do_not_preempt_with_loss_duplication_delay_crash_and_restart() {
    let mut lan = lan("2 routers, nopreempt: loss, copies, delay, crash", 2, Preempt::Never);
    lan.delay = 1;
    lan.budget = Budget { starts: 3, losses: 2, copies: 1, crashes: 1, ..Budget::default() };
    lan.check();
}

#[test]
fn two_routers_of_equal_priority_with_loss_duplication_crash_and_restart() {
    let lan = lan("2 equal routers: loss, copies, delay, crash", 2, Preempt::Immediately);
    let mut lan = with_params(lan, |params| params.with_priority(priority(128)));
    lan.delay = 1;
    lan.budget = Budget { starts: 3, losses: 2, copies: 1, crashes: 1, ..Budget::default() };
    lan.check();
}

#[test]
fn an_owner_and_a_router_that_does_not_preempt() {
    let mut lan = lan("owner and nopreempt: loss, copies, crash, stop", 2, Preempt::Never);
    lan.params[0] = lan.params[0].with_priority(Priority::OWNER);
    // The owner's Skew_Time is a 256th of an interval; only as Backup of another owner would it count.
    lan.budget = Budget { starts: 4, losses: 1, copies: 1, crashes: 1, stops: 1, ..Budget::default() };
    lan.check();
}

#[test]
fn two_routers_that_are_held_up() {
    for (name, preempt) in [
        ("2 routers, preempt: stalls, loss", Preempt::Immediately),
        ("2 routers, nopreempt: stalls, loss", Preempt::Never),
    ] {
        let mut lan = lan(name, 2, preempt);
        lan.budget = Budget { starts: 2, losses: 1, stalls: 2, ..Budget::default() };
        lan.check();
    }
}

#[test]
fn without_preemption_nobody_unseats_a_live_active() {
    let mut lan = lan("3 routers, nopreempt, no loss: crash, restart", 3, Preempt::Never);
    lan.budget = Budget { starts: 4, crashes: 1, ..Budget::default() };
    lan.keeps = true;
    lan.check();
}

#[test]
fn without_preemption_nobody_unseats_a_live_active_after_a_stall() {
    let mut lan = lan("2 routers, nopreempt, no loss: stalls, delay", 2, Preempt::Never);
    lan.budget = Budget { starts: 3, crashes: 1, stalls: 1, ..Budget::default() };
    lan.delay = 1;
    lan.keeps = true;
    lan.check();
}

#[test]
fn gated_routers() {
    let gate = Gate { timeout: Duration::from_secs(1), back_off: Duration::from_secs(5) };
    for (name, preempt) in [
        ("2 gated routers, preempt: loss, crash, refusal, late answers", Preempt::Immediately),
        ("2 gated routers, nopreempt: loss, crash, refusal, late answers", Preempt::Never),
    ] {
        let mut lan = with_params(lan(name, 2, preempt), |params| params.with_gate(Some(gate)));
        lan.budget = Budget { starts: 3, losses: 1, crashes: 1, refusals: 1, late_answers: 1, ..Budget::default() };
        // A refused router stands back.
        lan.bound = 20;
        lan.check();
    }
}

#[test]
fn three_routers_with_loss_crash_and_restart() {
    for (name, preempt) in [
        ("3 routers, preempt: loss, crash", Preempt::Immediately),
        ("3 routers, nopreempt: loss, crash", Preempt::Never),
    ] {
        let mut lan = lan(name, 3, preempt);
        lan.budget = Budget { starts: 3, losses: 1, crashes: 1, ..Budget::default() };
        lan.check();
    }
}

#[test]
fn elections_called_by_degraded_actives() {
    for (name, preempt) in [
        ("2 routers, preempt: health, loss", Preempt::Immediately),
        ("2 routers, nopreempt: health, loss", Preempt::Never),
    ] {
        let mut lan = fine(lan(name, 2, preempt));
        lan.budget = Budget { starts: 2, losses: 1, health: 2, ..Budget::default() };
        // An election whose packets are lost is held again after ten seconds.
        lan.bound += 160;
        lan.check();
    }
}

#[test]
fn planned_hand_overs() {
    for (name, preempt) in [
        ("2 routers, preempt: hand-over, loss, stop", Preempt::Immediately),
        ("2 routers, nopreempt: hand-over, loss, stop", Preempt::Never),
    ] {
        let mut lan = fine(lan(name, 2, preempt));
        lan.budget = Budget { starts: 2, losses: 1, hand_overs: 1, stops: 1, ..Budget::default() };
        // The successor's first advertisement may be lost: it is an interval later that the one that handed over, and
        // hears that its successor is lower, begins to wait for Active_Down_Interval.
        lan.bound += 16;
        lan.check();
    }
}

#[test]
fn elections_called_by_actives_that_are_degraded_while_they_hand_over() {
    let mut lan = fine(lan("2 routers, nopreempt: health, hand-over", 2, Preempt::Never));
    lan.budget = Budget { starts: 2, health: 1, hand_overs: 1, ..Budget::default() };
    lan.bound += 160;
    lan.check();
}

#[test]
fn cold_starts_that_settle() {
    let lan = lan("2 routers, nopreempt, settle: health, loss, crash", 2, Preempt::Never);
    let mut lan = fine(with_params(lan, |params| params.with_settle(Some(Duration::from_secs(6)))));
    lan.budget = Budget { starts: 2, losses: 1, crashes: 1, health: 1, ..Budget::default() };
    // The election is due six seconds after the promotion.
    lan.bound += 160;
    lan.check();
}

#[test]
fn routers_that_speak_vrrpv2() {
    let lan = lan("2 routers, VRRPv2, preempt: loss, copies, delay, crash", 2, Preempt::Immediately);
    let mut lan = with_params(lan, v2);
    lan.delay = 1;
    lan.budget = Budget { starts: 3, losses: 2, copies: 1, crashes: 1, ..Budget::default() };
    lan.check();
}

/// The same over VRRPv2.
fn v2(params: Params) -> Params {
    let address = params.primary_address();
    let v2 = Params::new(Version::V2).with_priority(params.priority()).with_preempt(params.preempt());
    v2.with_primary_address(address).unwrap()
}
