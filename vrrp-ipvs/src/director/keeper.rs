//! Keeps a kernel's table as wanted, without a clock of its own: told the time, it does what is due.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use vrrp_core::Instant;

use super::event::DirectorEvent;
use super::kernel::Kernel;
use crate::apply::{Applied, ApplyError};
use crate::error::Error;
use crate::model::{DestinationId, ServiceId, ServiceStatus, SyncDaemon, Table};
use crate::plan::{Drains, Operation, Plan, plan};

/// Most operations of one turn: some milliseconds.
const OPERATIONS_PER_TURN: usize = 256;

/// Most services and destinations read in one turn, but for those of the last service: some milliseconds too. Only the list
/// of services is read at once.
const READS_PER_TURN: usize = 1024;

/// When the kernel is asked again after it refused something; each time in a row twice as long, up to the period of
/// inspection.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// How often the kernel is asked for the connections of what is drained.
const DRAIN_PERIOD: Duration = Duration::from_secs(1);

/// What the kernel should have.
pub(super) struct Wish<'t> {
    /// The table.
    pub(super) desired: &'t Table,
    /// Services that may be touched, in their canonical form.
    pub(super) owned: &'t BTreeSet<ServiceId>,
    /// What goes does not wait for its connections.
    pub(super) at_once: bool,
    /// The only synchronisation daemon; `None`: whichever run are left alone.
    pub(super) daemon: Daemon,
}

/// Which synchronisation daemon should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Daemon {
    /// Not our concern.
    Whichever,
    /// None.
    Nobody,
    /// This one alone.
    Only(SyncDaemon),
}

#[derive(Debug)]
pub(super) struct Keeper {
    limit: Duration,
    inspect: Duration,
    drains: Drains,
    /// The kernel's table, while it is read.
    reading: Option<Reading>,
    /// What is left of the plan.
    todo: VecDeque<Operation>,
    /// When the kernel's table is read again, unless something is left to be done.
    due: Instant,
    /// What was done since it was last said.
    applied: Applied,
    /// What this round was refused so far.
    refusals: Vec<String>,
    /// Rounds in a row that were refused something.
    refused_rounds: u32,
    /// What was last said about it.
    refused: Option<String>,
    settled: bool,
}

/// What was read of the kernel's table: of the services that may be touched, no others.
#[derive(Debug)]
struct Reading {
    /// Services whose destinations are to be read.
    unread: VecDeque<ServiceStatus>,
    read: Vec<ServiceStatus>,
}

impl Keeper {
    /// One that reads the kernel's table at once.
    pub(super) const fn new(drain: Duration, inspect: Duration) -> Self {
        Self {
            limit: drain,
            inspect,
            drains: Drains::new(drain),
            reading: None,
            todo: VecDeque::new(),
            due: Instant::ZERO,
            applied: Applied { operations: 0, healed: 0 },
            refusals: Vec::new(),
            refused_rounds: 0,
            refused: None,
            settled: false,
        }
    }

    /// Another table is wanted: what is left of the plan for the last one is not. What was read of the kernel's still holds.
    pub(super) fn changed(&mut self) {
        self.todo.clear();
        self.refusals.clear();
        self.due = Instant::ZERO;
        self.settled = false;
    }

    /// Other services may be touched: what was read of the kernel's table is not all that matters any more.
    pub(super) fn read_anew(&mut self) {
        self.reading = None;
        self.changed();
    }

    /// Other times; those of what is drained already begin anew if theirs is another.
    pub(super) fn set_times(&mut self, drain: Duration, inspect: Duration) {
        if self.limit != drain {
            self.limit = drain;
            self.drains = Drains::new(drain);
        }
        self.inspect = inspect;
    }

    /// When [`turn`](Self::turn) has something to do.
    pub(super) fn poll_timeout(&self) -> Instant {
        if self.todo.is_empty() && self.reading.is_none() { self.due } else { Instant::ZERO }
    }

    /// Whether the kernel's table is as wanted, as far as is known.
    pub(super) const fn is_settled(&self) -> bool {
        self.settled
    }

    /// What the kernel refuses at present.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    pub(super) fn draining(&self) -> impl Iterator<Item = (ServiceId, DestinationId)> + '_ {
        self.drains.iter()
    }

    /// Does what is due, but no more than some milliseconds of it.
    pub(super) fn turn(&mut self, now: Instant, kernel: &mut impl Kernel, wish: &Wish<'_>) -> Vec<DirectorEvent> {
        let mut events = Vec::new();
        if now < self.poll_timeout() {
            return events;
        }
        if self.todo.is_empty() {
            self.refusals.clear();
            match self.read(kernel, wish.owned) {
                Ok(Some(actual)) => self.todo = self.plan(now, &actual, wish).into(),
                Ok(None) => return events,
                Err(error) => {
                    self.reading = None;
                    self.refusals.push(error.to_string());
                    self.end_round(now, &mut events);
                    return events;
                }
            }
        }
        self.carry_out(kernel, wish.desired);
        if self.todo.is_empty() {
            match settle_daemon(kernel, &wish.daemon) {
                Ok(started) => events.extend(started.map(|daemon| DirectorEvent::SyncStarted(daemon.state))),
                Err(error) => self.refusals.push(error.to_string()),
            }
            self.end_round(now, &mut events);
        }
        events
    }

    /// Reads some of the kernel's table; all of it once it is there.
    fn read(
        &mut self,
        kernel: &mut impl Kernel,
        owned: &BTreeSet<ServiceId>,
    ) -> Result<Option<Vec<ServiceStatus>>, Error> {
        let reading = match &mut self.reading {
            Some(reading) => reading,
            None => {
                let mut unread = VecDeque::from(kernel.service_list()?);
                unread.retain(|status| owned.contains(&status.service.id.canonical()));
                self.reading.insert(Reading { unread, read: Vec::new() })
            }
        };
        let mut reads = 0;
        while let Some(mut status) = reading.unread.pop_front() {
            status.destinations = kernel.destinations(status.service.id)?;
            reads += 1 + status.destinations.len();
            reading.read.push(status);
            if reads >= READS_PER_TURN && !reading.unread.is_empty() {
                return Ok(None);
            }
        }
        Ok(self.reading.take().map(|reading| reading.read))
    }

    /// What is to be done to what was read.
    fn plan(&mut self, now: Instant, actual: &[ServiceStatus], wish: &Wish<'_>) -> Vec<Operation> {
        let owned = |service: ServiceId| wish.owned.contains(&service.canonical());
        if wish.at_once {
            self.drains = Drains::new(self.limit);
            return plan(wish.desired, actual, owned).operations().to_vec();
        }
        self.drains.plan(now, wish.desired, actual, owned).operations().to_vec()
    }

    /// Carries out some of what is to be done.
    fn carry_out(&mut self, kernel: &mut impl Kernel, desired: &Table) {
        let now: Vec<Operation> = self.todo.drain(..self.todo.len().min(OPERATIONS_PER_TURN)).collect();
        if now.is_empty() {
            return;
        }
        let applied = match kernel.apply(&Plan::part(desired, now)) {
            Ok(applied) => applied,
            Err(error) => {
                if error.failures.iter().any(|failure| failure.error.is_of_the_whole_kernel()) {
                    self.todo.clear();
                }
                let failed: HashSet<ServiceId> =
                    error.failures.iter().map(|failure| failure.operation.service()).collect();
                // Nothing is taken from a service for which there is no replacement.
                self.todo.retain(|operation| !failed.contains(&operation.service()));
                self.refusals.push(error.to_string());
                let ApplyError { applied, .. } = error;
                applied
            }
        };
        self.applied.operations += applied.operations;
        self.applied.healed += applied.healed;
    }

    /// Everything was tried once: when again?
    fn end_round(&mut self, now: Instant, events: &mut Vec<DirectorEvent>) {
        if !self.refusals.is_empty() {
            let reason = std::mem::take(&mut self.refusals).join("; ");
            self.settled = false;
            self.due = now + FIRST_RETRY.saturating_mul(1 << self.refused_rounds.min(16)).min(self.inspect);
            self.refused_rounds = self.refused_rounds.saturating_add(1);
            if self.refused.as_ref() != Some(&reason) {
                self.refused = Some(reason.clone());
                events.push(DirectorEvent::Refused { reason });
            }
            return;
        }
        self.settled = true;
        self.refused_rounds = 0;
        let applied = std::mem::take(&mut self.applied);
        if self.refused.take().is_some() || applied.operations > 0 {
            events.push(DirectorEvent::Applied(applied));
        }
        let next = match self.drains.poll_timeout() {
            Some(end) => end.min(now + DRAIN_PERIOD),
            None if applied.healed > 0 => now + FIRST_RETRY,
            None => now + self.inspect,
        };
        self.due = next.min(now + self.inspect);
    }
}

/// Sees to it that the right synchronisation daemon runs; which one was started.
fn settle_daemon<'d>(kernel: &mut impl Kernel, wanted: &'d Daemon) -> Result<Option<&'d SyncDaemon>, Error> {
    let wanted = match wanted {
        Daemon::Whichever => return Ok(None),
        Daemon::Nobody => None,
        Daemon::Only(daemon) => Some(daemon),
    };
    let running = kernel.daemons()?;
    for daemon in &running {
        if !wanted.is_some_and(|wanted| is_same(wanted, daemon)) {
            match kernel.stop_daemon(daemon.state) {
                // Somebody else was faster.
                Ok(()) | Err(Error::DaemonDoesNotRun(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    match wanted {
        Some(wanted) if !running.iter().any(|daemon| is_same(wanted, daemon)) => {
            kernel.start_daemon(wanted)?;
            Ok(Some(wanted))
        }
        Some(_) | None => Ok(None),
    }
}

/// Whether a daemon that runs is the wanted one: what was left to the kernel may be anything.
fn is_same(wanted: &SyncDaemon, running: &SyncDaemon) -> bool {
    fn fits<T: PartialEq>(wanted: Option<T>, running: Option<T>) -> bool {
        wanted.is_none() || running.is_none() || wanted == running
    }
    (wanted.state, &wanted.interface, wanted.sync_id) == (running.state, &running.interface, running.sync_id)
        && fits(wanted.max_length, running.max_length)
        && fits(wanted.group, running.group)
        && fits(wanted.port, running.port)
        && fits(wanted.ttl, running.ttl)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fake::Fake;
    use super::*;
    use crate::fake::{FakeKernel, kernel, table};
    use crate::model::{Destination, Scheduler, Service, SyncState, VirtualServer};

    const INSPECT: Duration = Duration::from_secs(10);

    fn id(port: u16) -> ServiceId {
        ServiceId::tcp([192, 0, 2, 1].into(), port)
    }

    fn destination(host: u8) -> Destination {
        Destination::new(DestinationId::new([10, 0, 0, host].into(), 80))
    }

    fn server(port: u16, hosts: &[u8]) -> VirtualServer {
        let destinations = hosts.iter().map(|host| destination(*host)).collect();
        VirtualServer { service: Service::new(id(port)), destinations }
    }

    fn table_of(servers: &[VirtualServer]) -> Table {
        Table::new(servers.iter().cloned()).unwrap()
    }

    /// The services of a table, for the rest of the test.
    fn ids(table: &Table) -> &'static BTreeSet<ServiceId> {
        Box::leak(Box::new(table.ids().collect()))
    }

    fn wish(table: &Table) -> Wish<'_> {
        Wish { desired: table, owned: ids(table), at_once: false, daemon: Daemon::Whichever }
    }

    fn at(milliseconds: u64) -> Instant {
        Instant::from_millis(milliseconds)
    }

    fn words(events: &[DirectorEvent]) -> Vec<String> {
        events.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn it_reads_the_table_at_once_and_then_once_in_a_period() {
        let table = table_of(&[server(80, &[1, 2])]);
        let (mut kernel, mut keeper) = (Fake::default(), Keeper::new(Duration::ZERO, INSPECT));
        let events = keeper.turn(at(1), &mut kernel, &wish(&table));
        assert_eq!(words(&events), ["the kernel's table is as wanted after 3 operations"]);
        assert_eq!(kernel.table, FakeKernel::of(&table));
        assert_eq!((kernel.reads, keeper.poll_timeout()), (1, at(10_001)));
        assert_eq!(keeper.turn(at(10_000), &mut kernel, &wish(&table)), []);
        assert_eq!(kernel.reads, 1);
        // Another program has spoiled it meanwhile.
        kernel.table = FakeKernel::of(&table_of(&[server(80, &[2])]));
        let events = keeper.turn(at(10_001), &mut kernel, &wish(&table));
        assert_eq!(words(&events), ["the kernel's table is as wanted after 1 operations"]);
        assert_eq!(kernel.table, FakeKernel::of(&table));
    }

    #[test]
    fn services_of_others_stay() {
        let table = table_of(&[server(80, &[1])]);
        let mut kernel = Fake::of(&table_of(&[server(80, &[2]), server(81, &[1])]));
        let mut keeper = Keeper::new(Duration::ZERO, INSPECT);
        keeper.turn(at(0), &mut kernel, &wish(&table));
        assert_eq!(kernel.table, FakeKernel::of(&table_of(&[server(80, &[1]), server(81, &[1])])));
        // One that has nothing in the table any more takes out its own only.
        keeper.changed();
        let nothing = Table::default();
        let wish = Wish { desired: &nothing, owned: ids(&table), at_once: true, daemon: Daemon::Whichever };
        keeper.turn(at(1), &mut kernel, &wish);
        assert_eq!(kernel.table, FakeKernel::of(&table_of(&[server(81, &[1])])));
    }

    #[test]
    fn what_is_refused_is_said_once_and_tried_again_ever_less_often() {
        let mut impossible = server(80, &[1]);
        impossible.service.scheduler = Scheduler::NEVER_QUEUE;
        let table = table_of(&[impossible, server(81, &[1])]);
        let (mut kernel, mut keeper) = (Fake::default(), Keeper::new(Duration::ZERO, INSPECT));
        kernel.table.lacks = Some(Scheduler::NEVER_QUEUE);
        let events = keeper.turn(at(0), &mut kernel, &wish(&table));
        assert_eq!(
            words(&events),
            [
                "the kernel's table is not as wanted: cannot add TCP 192.0.2.1:80 (nq): TCP 192.0.2.1:80: the kernel has \
              no scheduler \"nq\": load the module ip_vs_nq (as root: modprobe ip_vs_nq)"
            ]
        );
        // The other is there.
        assert!(kernel.table.services.contains_key(&id(81)) && !keeper.is_settled());
        let mut times = Vec::new();
        for _ in 0..9 {
            let now = keeper.poll_timeout();
            times.push(now);
            assert_eq!(keeper.turn(now, &mut kernel, &wish(&table)), []);
        }
        assert_eq!(
            times,
            [100, 300, 700, 1_500, 3_100, 6_300, 12_700, 22_700, 32_700].map(at),
            "twice as long each time, up to the period"
        );
        kernel.table.lacks = None;
        let events = keeper.turn(keeper.poll_timeout(), &mut kernel, &wish(&table));
        assert_eq!(words(&events), ["the kernel's table is as wanted after 4 operations"]);
        assert!(keeper.is_settled() && keeper.refused().is_none());
        assert_eq!(kernel.table, FakeKernel::of(&table));
    }

    #[test]
    fn without_ipvs_one_error_says_how_to_get_it() {
        let table = table_of(&[server(80, &[1]), server(81, &[1])]);
        let (mut kernel, mut keeper) = (Fake::default(), Keeper::new(Duration::ZERO, INSPECT));
        kernel.missing = true;
        let [DirectorEvent::Refused { reason }] = &keeper.turn(at(0), &mut kernel, &wish(&table))[..] else {
            panic!("not one refusal")
        };
        assert_eq!(reason, "this kernel has no IPVS: load the module ip_vs (as root: modprobe ip_vs)");
        kernel.missing = false;
        keeper.turn(at(100), &mut kernel, &wish(&table));
        assert_eq!(kernel.table, FakeKernel::of(&table));
    }

    #[test]
    fn a_turn_does_a_bounded_number_of_operations() {
        let servers: Vec<_> = (1..=300).map(|port| server(port, &[1, 2])).collect();
        let table = table_of(&servers);
        let (mut kernel, mut keeper) = (Fake::default(), Keeper::new(Duration::ZERO, INSPECT));
        let mut turns = Vec::new();
        while keeper.poll_timeout() == Instant::ZERO {
            let before = kernel.operations;
            keeper.turn(at(1), &mut kernel, &wish(&table));
            turns.push(kernel.operations - before);
        }
        assert_eq!(turns, [256, 256, 256, 132]);
        assert_eq!((kernel.reads, kernel.table), (1, FakeKernel::of(&table)));
    }

    #[test]
    fn a_turn_reads_a_bounded_part_of_the_table_and_nothing_of_others() {
        let table = table_of(&(1..=1000).map(|port| server(port, &[1, 2, 3])).collect::<Vec<_>>());
        let others = (2001..=2100).map(|port| server(port, &[1]));
        let all = table_of(&Vec::from(table.clone()).into_iter().chain(others).collect::<Vec<_>>());
        let (mut kernel, mut keeper) = (Fake::of(&all), Keeper::new(Duration::ZERO, INSPECT));
        let mut less = Vec::from(table.clone());
        less[999].destinations.remove(0);
        let less = table_of(&less);
        let mut turns = Vec::new();
        while keeper.poll_timeout() == Instant::ZERO {
            let before = kernel.destination_reads.len();
            // Half way another table is wanted: what was read holds, and the plan is for that table.
            let desired = if turns.len() < 2 { &table } else { &less };
            if turns.len() == 2 {
                keeper.changed();
            }
            keeper.turn(at(1), &mut kernel, &Wish { owned: ids(&table), ..wish(desired) });
            turns.push(kernel.destination_reads.len() - before);
        }
        assert_eq!(turns, [256, 256, 256, 232]);
        assert_eq!((kernel.reads, kernel.operations), (1, 1));
        assert!(kernel.destination_reads.iter().all(|service| table.contains(*service)));
        // Services that are its own from now on were not read: that begins anew.
        let (mut kernel, mut keeper) = (Fake::of(&all), Keeper::new(Duration::ZERO, INSPECT));
        keeper.turn(at(1), &mut kernel, &wish(&table));
        keeper.read_anew();
        while keeper.poll_timeout() == Instant::ZERO {
            keeper.turn(at(1), &mut kernel, &wish(&all));
        }
        assert_eq!((kernel.reads, kernel.operations, keeper.is_settled()), (2, 0, true));
    }

    #[test]
    fn nothing_is_taken_in_a_later_turn_from_a_service_that_was_refused() {
        let mut impossible = server(80, &[2]);
        impossible.service.scheduler = Scheduler::NEVER_QUEUE;
        let others = (1000..1300).map(|port| server(port, &[1]));
        let table = table_of(&[impossible].into_iter().chain(others).collect::<Vec<_>>());
        let mut kernel = Fake::of(&table_of(&[server(80, &[1])]));
        kernel.table.lacks = Some(Scheduler::NEVER_QUEUE);
        let before = kernel.table.services[&id(80)].clone();
        let mut keeper = Keeper::new(Duration::ZERO, INSPECT);
        while keeper.poll_timeout() == Instant::ZERO {
            keeper.turn(at(1), &mut kernel, &wish(&table));
        }
        assert_eq!((kernel.reads, kernel.table.services.len()), (1, 301));
        assert_eq!(kernel.table.services[&id(80)], before);
    }

    #[test]
    fn a_change_in_the_middle_is_planned_anew() {
        let servers: Vec<_> = (1..=300).map(|port| server(port, &[1, 2])).collect();
        let (first, second) = (table_of(&servers), table_of(&servers[..10]));
        let (mut kernel, mut keeper) = (Fake::default(), Keeper::new(Duration::ZERO, INSPECT));
        keeper.turn(at(1), &mut kernel, &wish(&first));
        keeper.changed();
        let mut events = Vec::new();
        while keeper.poll_timeout() == Instant::ZERO {
            let wish = Wish { owned: ids(&first), ..wish(&second) };
            events.append(&mut keeper.turn(at(1), &mut kernel, &wish));
        }
        assert_eq!(kernel.table, FakeKernel::of(&second));
        // 256 before, and 86 services to be removed.
        assert_eq!(words(&events), ["the kernel's table is as wanted after 332 operations"]);
    }

    #[test]
    fn what_goes_is_drained_and_looked_after_every_second() {
        let (both, one) = (table_of(&[server(80, &[1, 2])]), table_of(&[server(80, &[1])]));
        let mut kernel = Fake::of(&both);
        let gone = destination(2).id;
        let place = |kernel: &mut Fake, active| {
            let status = kernel.table.services.get_mut(&id(80)).unwrap().1.get_mut(&gone).unwrap();
            status.active_connections = active;
            status.destination.weight
        };
        place(&mut kernel, 1);
        let mut keeper = Keeper::new(Duration::from_secs(60), INSPECT);
        keeper.turn(at(0), &mut kernel, &wish(&one));
        assert_eq!((place(&mut kernel, 1), keeper.poll_timeout()), (0, at(1_000)));
        assert_eq!(keeper.draining().collect::<Vec<_>>(), [(id(80), gone)]);
        keeper.turn(at(1_000), &mut kernel, &wish(&one));
        place(&mut kernel, 0);
        keeper.turn(at(2_000), &mut kernel, &wish(&one));
        assert_eq!(kernel.table, FakeKernel::of(&one));
        assert_eq!((keeper.draining().count(), keeper.poll_timeout()), (0, at(12_000)));
    }

    #[test]
    fn a_daemon_with_other_settings_is_started_anew_and_a_like_one_left_alone() {
        let nothing = Table::default();
        let wanted = SyncDaemon { ttl: Some(2), ..SyncDaemon::new(SyncState::Backup, "eth0", 7) };
        let wish =
            |daemon: &Daemon| Wish { desired: &nothing, owned: ids(&nothing), at_once: false, daemon: daemon.clone() };
        let only = Daemon::Only(wanted.clone());
        let (mut kernel, mut keeper) = (Fake::default(), Keeper::new(Duration::ZERO, INSPECT));
        kernel.daemons = vec![
            SyncDaemon::new(SyncState::Master, "eth0", 7),
            SyncDaemon { ttl: Some(1), ..SyncDaemon::new(SyncState::Backup, "eth0", 7) },
        ];
        let events = keeper.turn(at(0), &mut kernel, &wish(&only));
        assert_eq!(events, [DirectorEvent::SyncStarted(SyncState::Backup)]);
        assert_eq!(kernel.daemons, [wanted]);
        // The kernel says what it chose by itself.
        kernel.daemons[0].port = Some(8848);
        let before = kernel.daemons.clone();
        keeper.changed();
        assert_eq!(keeper.turn(at(1), &mut kernel, &wish(&only)), []);
        keeper.changed();
        assert_eq!(keeper.turn(at(2), &mut kernel, &wish(&Daemon::Whichever)), []);
        assert_eq!(kernel.daemons, before);
        keeper.changed();
        assert_eq!(keeper.turn(at(3), &mut kernel, &wish(&Daemon::Nobody)), []);
        assert_eq!(kernel.daemons, []);
    }

    proptest! {
        /// Whatever the kernel had, and however often it fails in the middle: the wanted table is there in the end, and
        /// what was not ours is as it was.
        #[test]
        fn an_interrupted_apply_heals(
            desired in table(), owned in table(), before in kernel(), fails_at in proptest::collection::vec(0_usize..12, 0..4),
        ) {
            let mut kernel = Fake { table: before.clone(), ..Fake::default() };
            let mut owned = owned;
            for server in Vec::from(desired.clone()) {
                owned.remove(server.service.id);
                owned.insert(server).unwrap();
            }
            let mut keeper = Keeper::new(Duration::ZERO, INSPECT);
            let wish = Wish { owned: ids(&owned), ..wish(&desired) };
            for fails_at in fails_at {
                kernel.fails_after = Some(fails_at);
                keeper.turn(keeper.poll_timeout(), &mut kernel, &wish);
            }
            kernel.fails_after = None;
            keeper.turn(keeper.poll_timeout(), &mut kernel, &wish);
            prop_assert!(keeper.is_settled());
            let ours = |service| owned.contains(service);
            prop_assert!(plan(&desired, &kernel.table.dump(), ours).is_empty());
            prop_assert_eq!(kernel.table.only(|service| !ours(service)), before.only(|service| !ours(service)));
        }
    }
}
