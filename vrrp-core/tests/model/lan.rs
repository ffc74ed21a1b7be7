//! What happens on a [`Lan`]: the moves, what they lead to, and what a fair run comes to.

use super::*;

impl Lan {
    pub(super) fn params(&self, n: usize, node: &Node) -> Params {
        let params = self.params[n];
        if node.degraded { params.with_effective_priority(self.degraded) } else { params }
    }

    pub(super) fn interval(&self) -> Duration {
        self.params[0].advert_interval().as_duration()
    }

    pub(super) fn ticks(&self, duration: Duration) -> u64 {
        let (nanos, tick) = (duration.as_nanos(), self.tick.as_nanos());
        assert!(nanos.is_multiple_of(tick), "{duration:?} is no multiple of the tick");
        u64::try_from(nanos / tick).unwrap()
    }

    /// An Active that called an election claims the role again half of what a priority counts before its equals. That is
    /// less than a tick: here it is at the same one, and both orders are explored.
    fn at_a_tick(&self, until: Instant) -> Instant {
        let (ahead, tick) = (until.since(NOW).as_nanos(), self.tick.as_nanos());
        until + Duration::from_nanos(u64::try_from(ahead.next_multiple_of(tick) - ahead).unwrap())
    }

    /// `state` as it is after `by`: every instant earlier, those that no rule looks at any more put together.
    pub(super) fn later(&self, state: State, by: Duration) -> State {
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
                    Phase::Standing(until) => Phase::Standing(at(self.at_a_tick(until))),
                    Phase::HandingOver(until, after) => Phase::HandingOver(at(until), after),
                },
                ..active
            }),
        }
    }

    /// Gives one router an event and carries out what it wants done.
    pub(super) fn apply(&self, world: &mut World, n: usize, event: Event) {
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

    pub(super) fn due(&self, world: &World, n: usize) -> bool {
        let node = &world.nodes[n];
        node.running
            && !node.stalled
            && node.state.deadline().is_some_and(|(at, _)| at <= NOW)
            && !world.flight.iter().any(|message| message.to == n && message.waiting)
    }

    /// How many ticks may pass before something has to happen, or may.
    pub(super) fn pass(&self, world: &World) -> Option<u8> {
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
    pub(super) fn may_choose(&self, world: &World) -> bool {
        let Budget { starts, stops, stalls, hand_overs, health, .. } = world.budget;
        (starts > 0 && world.nodes.iter().any(|node| !node.running))
            || stops + stalls + hand_overs + health > 0
            || world.nodes.iter().any(|node| node.stalled || node.asked.is_some())
            || (world.budget.late_answers > 0 && world.nodes.iter().any(|node| node.stale.is_some()))
    }

    pub(super) fn after(&self, world: &mut World, ticks: u8) {
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

    pub(super) fn make(&self, world: &mut World, choice: Move) {
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

    pub(super) fn deliver(&self, world: &mut World, message: Message, keep: bool) {
        if !keep {
            world.flight.remove(position(world, message));
        }
        let source = self.params[message.from].primary_address().unwrap();
        let advert = Advert { source, priority: message.priority, interval: message.interval };
        self.apply(world, message.to, Event::Advert(advert));
    }

    /// Ticks until exactly one router is Active and every other one follows it, if from now on nothing goes wrong: every
    /// message arrives at once, every timer fires on time, the application confirms. [`ENDLESS`] if never.
    pub(super) fn recovery(&self, world: &World) -> u16 {
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

    pub(super) fn fair_move(&self, world: &World) -> Option<Move> {
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
    pub(super) fn is_settled(&self, world: &World) -> bool {
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
    pub(super) fn check(self) {
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
