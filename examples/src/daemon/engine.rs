//! A daemon without its loop: everything that it runs, and what each must know of the others.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use vrrp_ipvs::director::Director;
use vrrp_net::vrrp_core::track::Tracked;
use vrrp_net::vrrp_core::{GroupId, Role, RouterId, State};
use vrrp_net::{Driver, DriverEvent, Guardian};

use super::caretaker::Caretaker;
use super::config::{Command, Config, Router, Track};
use super::fifo::OpenFifo;
use super::log;
use super::mail::Mailer;
use super::notify::{Notifier, Told};
use super::process::{Report, Runner};
use super::servers::Listeners;
use super::users;
use super::watch::Watch;
use crate::control::Control;

/// Everything that a daemon runs.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) config: Config,
    pub(super) driver: Driver,
    pub(super) director: Option<Director>,
    /// When it is tried again to balance, while that cannot be done.
    pub(super) balances_again: Option<Instant>,
    pub(super) caretaker: Option<Caretaker>,
    /// By name.
    pub(super) routers: BTreeMap<String, Running>,
    pub(super) names: BTreeMap<RouterId, String>,
    pub(super) groups: BTreeMap<String, RunningGroup>,
    pub(super) watch: Watch,
    pub(super) runner: Runner,
    pub(super) notifier: Notifier,
    pub(super) fifos: Vec<OpenFifo>,
    pub(super) mailer: Option<Mailer>,
    /// When the virtual routers begin, while they do not.
    begins_at: Option<Instant>,
    pub(super) control: Control,
    pub(super) began: Instant,
    pub(super) reload_wanted: bool,
    /// The roles as they were last summed up.
    summed_up: String,
}

/// A virtual router that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) id: RouterId,
    /// What the others were last told that it is.
    pub(super) told: Option<Told>,
    /// A check decides on whether it takes part, and is not known yet.
    pub(super) pending: bool,
    pub(super) paused: bool,
    /// What was last given to the driver.
    pub(super) tracked: Vec<Tracked>,
    /// How many rivals it had met when that was last looked at.
    pub(super) rivals: u64,
    /// The priority that was last told.
    pub(super) priority: u8,
}

/// A sync group that runs.
#[derive(Debug)]
pub(super) struct RunningGroup {
    pub(super) id: GroupId,
    pub(super) members: Vec<RouterId>,
    pub(super) told: Option<Told>,
}

impl Engine {
    /// Starts everything.
    pub(super) fn start(config: Config, caretaker: Option<Caretaker>) -> anyhow::Result<Self> {
        config.validate()?;
        let mut driver = Driver::new()?;
        if config.guardian {
            // Before there is much else: the guardian begins as a copy of this process.
            driver.set_guardian(Guardian::spawn()?)?;
        }
        let mut runner = Runner::new()?;
        runner.default_user = users::user(users::DEFAULT_USER, None).ok();
        runner.security = config.script_security;
        if let Some((command, timeout)) = &config.startup_script {
            run_to_its_end(&mut runner, command, *timeout)?;
        }
        let mailer = config.mail.clone().map(Mailer::start).transpose()?;
        let watch = Watch::new(&config);
        let notifier = Notifier::new(config.notify_timeout);
        let begins_at = (!config.startup_delay.is_zero()).then(|| Instant::now() + config.startup_delay);
        let mut engine = Self {
            config,
            driver,
            director: None,
            balances_again: None,
            caretaker,
            routers: BTreeMap::new(),
            names: BTreeMap::new(),
            groups: BTreeMap::new(),
            watch,
            runner,
            notifier,
            fifos: Vec::new(),
            mailer,
            begins_at,
            control: Control::default(),
            began: Instant::now(),
            reload_wanted: false,
            summed_up: String::new(),
        };
        // The addresses matter more than who may ask about them.
        match engine.open_control() {
            Ok(control) => engine.control = control,
            Err(error) => tracing::error!("nobody can ask how things are: {error:#}"),
        }
        // Checks may go by them.
        engine.driver.set_statics(engine.config.statics.clone())?;
        for fifo in engine.config.fifos.clone() {
            match OpenFifo::open(fifo, &mut engine.runner) {
                Ok(fifo) => engine.fifos.push(fifo),
                Err(error) => tracing::error!("nobody is told there: {error:#}"),
            }
        }
        // The table first, then the virtual addresses.
        engine.start_director()?;
        match engine.begins_at {
            Some(_) => tracing::info!("virtual routers begin in {:?}", engine.config.startup_delay),
            None => engine.begin()?,
        }
        Ok(engine)
    }

    /// Adds all virtual routers and groups.
    fn begin(&mut self) -> anyhow::Result<()> {
        for router in self.config.routers.clone() {
            self.add(&router)?;
        }
        // What one that was killed has left and is configured no more.
        for name in self.driver.remove_leftovers()? {
            tracing::info!("removed {name}, which a process that died has left");
        }
        self.regroup()
    }

    /// Whether virtual routers run, after the delay at the start.
    pub(super) const fn has_begun(&self) -> bool {
        self.begins_at.is_none()
    }

    /// Adds one virtual router.
    pub(super) fn add(&mut self, router: &Router) -> anyhow::Result<()> {
        let id = self.driver.add(router.config.clone()).with_context(|| label(router))?;
        let pending = self.watch.is_pending(&self.tracks(router));
        let priority = self.effective_priority(id);
        let (told, tracked) = (None, Vec::new());
        let running = Running { id, told, pending, paused: false, tracked, rivals: 0, priority };
        self.routers.insert(router.name.clone(), running);
        self.names.insert(id, router.name.clone());
        self.assess(vec![router.name.clone()])
    }

    /// Makes the groups as the configuration has them.
    pub(super) fn regroup(&mut self) -> anyhow::Result<()> {
        let wanted = |engine: &Self, name: &str| -> Vec<RouterId> {
            let group = engine.config.groups.iter().find(|group| group.name == name);
            let members = group.into_iter().flat_map(|group| &group.members);
            members.filter_map(|member| engine.routers.get(member)).map(|router| router.id).collect()
        };
        let before = std::mem::take(&mut self.groups);
        for (name, group) in before {
            if wanted(self, &name) == group.members {
                self.groups.insert(name, group);
            } else {
                self.driver.remove_group(group.id)?;
            }
        }
        for group in self.config.groups.clone() {
            let members = wanted(self, &group.name);
            if members.is_empty() || self.groups.contains_key(&group.name) {
                continue;
            }
            let id = self.driver.add_group(&members).with_context(|| format!("group {}", group.name))?;
            self.groups.insert(group.name, RunningGroup { id, members, told: None });
        }
        Ok(())
    }

    /// Lets everybody do what is due, and tells each what it must know of the others.
    pub(super) fn turn(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        if self.begins_at.is_some_and(|at| at <= now) {
            self.begins_at = None;
            self.begin()?;
        }
        for report in self.runner.process()? {
            self.take_report(&report);
        }
        self.watch.due(&mut self.runner, now);
        self.balance_again()?;
        if let Some(director) = &mut self.director {
            let events = director.process()?;
            self.take_director(events);
        }
        if self.watch.take_changed() {
            self.assess(self.routers.keys().cloned().collect())?;
        }
        self.take_events()?;
        self.tell_of_what_is_settled();
        self.notifier.start(&mut self.runner);
        Ok(())
    }

    /// Takes what has happened since the last time.
    pub(super) fn take_events(&mut self) -> anyhow::Result<()> {
        let events = self.driver.process()?;
        for (number, event) in events.iter().enumerate() {
            let later = events.get(number + 1..).unwrap_or_default();
            self.take(event, is_passing(event, later))?;
        }
        Ok(())
    }

    /// One that `passes` is over already, and nobody is told of the state.
    fn take(&mut self, event: &DriverEvent, passes: bool) -> anyhow::Result<()> {
        let name = event.router().and_then(|id| self.names.get(&id)).cloned();
        let router = name.as_deref().and_then(|name| self.config.routers.iter().find(|it| it.name == name));
        // One that was removed has its name alone.
        log::driver(&router.map(label).or_else(|| name.clone()).unwrap_or_default(), event);
        self.tell_watchers(name.clone(), event);
        match (event, name) {
            (DriverEvent::Transition { transition, .. }, Some(name)) => {
                // What it is for as long as a check has not said how things are is no news.
                if !passes && !self.is_pending(&name) {
                    self.tell_transition(&name, transition);
                }
                self.follow_roles()?;
            }
            (DriverEvent::Waiting { .. }, Some(name)) if !self.is_pending(&name) => self.tell(&name, Told::Fault),
            (DriverEvent::GuardianLost, _) if self.config.guardian => {
                self.driver.set_guardian(Guardian::spawn().context("cannot replace the guardian")?)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn is_pending(&self, name: &str) -> bool {
        self.routers.get(name).is_some_and(|running| running.pending)
    }

    fn take_report(&mut self, report: &Report) {
        match report {
            Report::Late(job) => {
                let _ = self.watch.late(*job) || self.notifier.late(*job);
            }
            Report::Ended(job, outcome) => {
                let _ = self.watch.ended(*job, outcome)
                    || self.notifier.ended(*job, outcome)
                    || self.fifos.iter_mut().any(|fifo| fifo.ended(*job, outcome.failure.as_deref()));
            }
        }
    }

    /// All that a virtual router tracks, itself and in its group.
    pub(super) fn tracks(&self, router: &Router) -> Vec<Track> {
        let groups = self.config.groups.iter().filter(|group| group.members.contains(&router.name));
        router.tracks.iter().chain(groups.flat_map(|group| &group.tracks)).cloned().collect()
    }

    /// Judges anew what virtual routers track.
    pub(super) fn assess(&mut self, names: Vec<String>) -> anyhow::Result<()> {
        let mut settled = Vec::new();
        for name in names {
            if self.assess_one(&name)? {
                settled.push(name);
            }
        }
        if settled.is_empty() {
            return Ok(());
        }
        // Nothing was said while it could have been otherwise. In a group that holds until all of them are judged.
        self.take_events()?;
        for name in settled {
            let Some(running) = self.routers.get_mut(&name) else { continue };
            running.pending = false;
            match self.driver.router().state(running.id) {
                Some(State::Active(_)) => self.tell(&name, Told::Active),
                Some(State::Backup(_)) => self.tell(&name, Told::Backup),
                Some(State::Initialize(_)) => self.tell(&name, Told::Fault),
                Some(State::Claimant(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Judges anew what one tracks. Whether that is known from now on.
    fn assess_one(&mut self, name: &str) -> anyhow::Result<bool> {
        let Some(router) = self.config.routers.iter().find(|router| router.name == name) else { return Ok(false) };
        let tracks = self.tracks(router);
        let mut tracked = self.watch.tracked(&tracks);
        if let (Some(director), Some(config)) = (&self.director, &self.config.director)
            && let Some(impact) = config.quorum_impact
            && (config.routers.is_empty() || config.routers.iter().any(|router| router == name))
        {
            tracked.extend(director.tracked(impact));
        }
        let pending = self.watch.is_pending(&tracks);
        let Some(running) = self.routers.get_mut(name) else { return Ok(false) };
        let settled = running.pending && !pending;
        if running.tracked != tracked {
            running.tracked.clone_from(&tracked);
            let id = running.id;
            self.driver.set_tracked(id, tracked)?;
        }
        Ok(settled)
    }

    pub(super) fn effective_priority(&self, id: RouterId) -> u8 {
        self.driver.router().params(id).map_or(0, |params| params.priority().get())
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let director = self.director.as_ref().map(|director| director.as_fd());
        [self.driver.as_fd(), self.runner.as_fd()].into_iter().chain(director).chain(self.control.descriptors())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let own = [self.begins_at, self.balances_again];
        [self.runner.poll_timeout(), self.watch.poll_timeout()].into_iter().chain(own).flatten().min()
    }

    pub(super) fn hand_over_all(&mut self) -> anyhow::Result<()> {
        self.begins_at = None;
        Ok(self.driver.hand_over_all()?)
    }

    /// Whether all virtual routers have left.
    pub(super) fn is_idle(&self) -> bool {
        self.driver.is_idle()
    }

    pub(super) fn take_reload(&mut self) -> bool {
        std::mem::take(&mut self.reload_wanted)
    }

    /// The roles in one line.
    pub(super) fn summary(&self) -> String {
        let states = self.routers.values().filter_map(|running| self.driver.router().state(running.id));
        let (mut active, mut backup, mut fault) = (0, 0, 0);
        for state in states {
            match state.role() {
                Role::Active => active += 1,
                Role::Backup | Role::Claimant => backup += 1,
                Role::Initialize => fault += 1,
            }
        }
        format!("Active for {active}, Backup for {backup}, out of {fault} virtual routers")
    }

    pub(super) fn take_summary_changed(&mut self) -> bool {
        let summary = self.summary();
        let changed = summary != self.summed_up;
        self.summed_up = summary;
        changed
    }

    /// Releases everything, tells everybody, and ends.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.take_events()?;
        let Self { config, driver, director, caretaker, mut routers, names, mut groups, .. } = self;
        let (mut runner, mut notifier) = (self.runner, self.notifier);
        let (mut fifos, mut mailer) = (self.fifos, self.mailer);
        let priorities: BTreeMap<RouterId, u8> = names
            .keys()
            .map(|id| (*id, driver.router().params(*id).map_or(0, |params| params.priority().get())))
            .collect();
        for event in driver.shutdown()? {
            let name = event.router().and_then(|id| names.get(&id));
            let router = name.and_then(|name| config.routers.iter().find(|router| router.name == *name));
            log::driver(&router.map(label).unwrap_or_default(), &event);
        }
        // The addresses go before what is behind them.
        if let Some(director) = director {
            let events = director.shutdown()?;
            let (notifier, fifos, mailer) = (&mut notifier, fifos.as_mut_slice(), mailer.as_mut());
            Listeners { config: &config, notifier, fifos, mailer }.tell(&events);
        }
        if let Some(caretaker) = caretaker {
            caretaker.finish();
        }
        super::tell::stopped(&config, &mut routers, &mut groups, &priorities, &mut notifier, &mut fifos);
        let until = Instant::now() + config.stop_timeout;
        while !notifier.is_idle() && Instant::now() < until {
            notifier.start(&mut runner);
            runner.wait(until)?;
            for report in runner.process()? {
                match report {
                    Report::Late(job) => drop(notifier.late(job)),
                    Report::Ended(job, outcome) => drop(notifier.ended(job, &outcome)),
                }
            }
        }
        for left in notifier.left() {
            tracing::warn!("{left} is ended: everything else has ended");
        }
        for fifo in fifos {
            fifo.close(&mut runner);
        }
        if let Some((command, timeout)) = &config.shutdown_script {
            run_to_its_end(&mut runner, command, *timeout)?;
        }
        if let Some(mailer) = mailer {
            mailer.finish();
        }
        Ok(())
    }
}

/// Whether a virtual router was Backup only on its way out of the election, as a member of a group is that cannot serve.
fn is_passing(event: &DriverEvent, later: &[DriverEvent]) -> bool {
    let DriverEvent::Transition { router, transition } = event else { return false };
    let next = later.iter().find_map(|it| match it {
        DriverEvent::Transition { router: id, transition } if id == router => Some(transition.to),
        _ => None,
    });
    transition.to == Role::Backup && next == Some(Role::Initialize)
}

/// Runs a program and waits for it.
fn run_to_its_end(runner: &mut Runner, command: &Command, timeout: Duration) -> anyhow::Result<()> {
    let id = runner.start(command, &[], Some(timeout));
    loop {
        for report in runner.process()? {
            if let Report::Ended(job, outcome) = report
                && job == id
            {
                if let Some(failure) = outcome.failure {
                    tracing::error!("{command}: {failure} {}", outcome.output);
                }
                return Ok(());
            }
        }
        runner.wait(Instant::now() + Duration::from_secs(1))?;
    }
}

/// How a virtual router is called in the log: by its place, and by its name if that says more.
pub(super) fn label(router: &Router) -> String {
    let place = format!("{}/{}", router.config.interface(), router.config.vrid());
    if router.name == place { place } else { format!("{} ({place})", router.name) }
}
