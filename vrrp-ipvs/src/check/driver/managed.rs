//! One check of a driver: its schedule, and the attempt that is under way.

use std::fmt;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use vrrp_core::Instant;

use super::attempt::{Attempt, Opened, Trouble};
use super::{CheckEvent, CheckId, CheckStatus, Shared};
use crate::check::schedule::{Action, Event, Health, Outcome, Params, Phase, State, step};
use crate::check::{Check, CheckError, Failure, Prepared, Progress, Verdict, Weight, file};

/// A check of the application's own.
pub(super) struct Closure(pub(super) Box<dyn FnMut() -> Verdict + Send>);

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closure")
    }
}

#[derive(Debug)]
pub(super) struct Managed {
    check: Check,
    params: Params,
    prepared: Prepared,
    closure: Option<Closure>,
    state: State,
    attempt: Option<Box<Attempt>>,
    weight: Option<Weight>,
    last_failure: Option<Failure>,
    last_result: Option<Instant>,
    hindered: bool,
    attempts: u64,
    failures: u64,
    latest_start: u64,
}

impl Managed {
    pub(super) fn new(check: Check, closure: Option<Closure>) -> Result<Self, CheckError> {
        let (params, prepared) = check.prepare()?;
        Ok(Self {
            check,
            params,
            prepared,
            closure,
            state: State::new(&params),
            attempt: None,
            weight: None,
            last_failure: None,
            last_result: None,
            hindered: false,
            attempts: 0,
            failures: 0,
            latest_start: 0,
        })
    }

    pub(super) fn params(&self) -> &Params {
        &self.params
    }

    pub(super) fn phase(&self) -> Phase {
        self.state.phase
    }

    /// Whether only the application says how its server is.
    pub(super) fn is_told(&self) -> bool {
        self.closure.is_none() && matches!(self.prepared, Prepared::Application)
    }

    /// Whether an attempt starts a program.
    pub(super) fn spawns(&self) -> bool {
        self.closure.is_none() && matches!(self.prepared, Prepared::Command(_))
    }

    pub(super) fn status(&self, check: CheckId) -> CheckStatus {
        CheckStatus {
            check,
            target: self.check.target,
            kind: if self.closure.is_some() { "closure" } else { self.check.probe.name() },
            health: self.state.health,
            weight: self.weight,
            schedule: self.state,
            last_failure: self.last_failure.clone(),
            last_result: self.last_result,
            attempts: self.attempts,
            failures: self.failures,
            latest_start: self.latest_start,
        }
    }

    /// Gives `event` to the schedule and does what it says.
    pub(super) fn apply(&mut self, shared: &mut Shared, id: u64, now: Instant, event: Event) {
        let before = self.state;
        let step = step(&self.params, self.state, now, event);
        self.state = step.state;
        shared.reschedule(id, before.deadline(), self.state.deadline());
        for action in step.actions.into_iter().flatten() {
            match action {
                Action::Attempt => {
                    if let Phase::Waiting { at } = before.phase {
                        self.latest_start = self.latest_start.max(now.as_nanos().saturating_sub(at.as_nanos()));
                    }
                    self.attempts += 1;
                    self.begin(shared, id, now);
                }
                Action::Expire => {
                    let verdict = match self.attempt.as_mut() {
                        Some(attempt) => attempt.expired(),
                        None => Err(Failure::TimedOut(crate::check::Stage::Reply)),
                    };
                    self.finish(shared, id, now, verdict);
                }
                Action::Abandon => self.close(shared),
                Action::Report(health) => self.report(shared, id, health),
            }
        }
    }

    fn report(&mut self, shared: &mut Shared, id: u64, health: Health) {
        let check = CheckId(id);
        shared.events.push(match health {
            Health::Up => CheckEvent::Up { check, weight: self.weight },
            Health::Down => {
                self.weight = None;
                let reason = self.last_failure.clone().unwrap_or(Failure::Ended);
                CheckEvent::Down { check, reason }
            }
        });
    }

    /// The application says how the server is.
    pub(super) fn tell(&mut self, shared: &mut Shared, id: u64, now: Instant, verdict: Verdict) {
        let health = self.take(verdict);
        self.apply_with_weight(shared, id, now, Event::Told(health.0), health.1);
    }

    /// Notes what was found.
    fn take(&mut self, verdict: Verdict) -> (Health, Option<Weight>) {
        match verdict {
            Ok(passed) => (Health::Up, passed.weight),
            Err(failure) => {
                self.last_failure = Some(failure);
                (Health::Down, None)
            }
        }
    }

    /// As [`apply`](Self::apply), for a result that may change the weight.
    fn apply_with_weight(&mut self, shared: &mut Shared, id: u64, now: Instant, event: Event, weight: Option<Weight>) {
        let (was, before) = (self.state.health, self.weight);
        let passed = matches!(event, Event::Told(Health::Up) | Event::Finished(Outcome::Passed));
        if passed {
            self.weight = weight;
        }
        self.apply(shared, id, now, event);
        let stays_up = was == Health::Up && self.state.health == Health::Up;
        if stays_up && self.weight != before {
            shared.events.push(CheckEvent::Weight { check: CheckId(id), weight: self.weight });
        }
    }

    /// Ends the attempt with what it found.
    fn finish(&mut self, shared: &mut Shared, id: u64, now: Instant, verdict: Verdict) {
        self.close(shared);
        self.hindered = false;
        self.last_result = Some(now);
        let (health, weight) = self.take(verdict);
        let outcome = match health {
            Health::Up => Outcome::Passed,
            Health::Down => {
                self.failures += 1;
                Outcome::Failed
            }
        };
        let was = self.state.health;
        self.apply_with_weight(shared, id, now, Event::Finished(outcome), weight);
        let stays_up = was == Health::Up && self.state.health == Health::Up;
        if let Some(reason) =
            self.last_failure.as_ref().filter(|_| self.check.say_all_failures && outcome == Outcome::Failed && stays_up)
        {
            shared.events.push(CheckEvent::AttemptFailed { check: CheckId(id), reason: reason.clone() });
        }
    }

    /// Ends the attempt without a result: this machine could not make it.
    fn hinder(&mut self, shared: &mut Shared, id: u64, now: Instant, reason: String) {
        self.close(shared);
        if !self.hindered {
            self.hindered = true;
            shared.events.push(CheckEvent::Hindered { check: CheckId(id), reason });
        }
        self.apply(shared, id, now, Event::Finished(Outcome::Hindered));
    }

    fn close(&mut self, shared: &mut Shared) {
        if let Some(attempt) = self.attempt.take() {
            attempt.close(shared);
        }
    }

    /// Makes an attempt.
    fn begin(&mut self, shared: &mut Shared, id: u64, now: Instant) {
        if let Some(Closure(closure)) = &mut self.closure {
            let verdict = closure();
            return self.finish(shared, id, now, verdict);
        }
        let opened = match &self.prepared {
            Prepared::File(file) => {
                // Before it is read: what changes after that is told.
                shared.files.watch(&shared.epoll, id, &file.path);
                let verdict = match read_file(&file.path) {
                    Ok(content) => file.judge(&content),
                    Err(error) => Err(Failure::File(error.to_string())),
                };
                return self.finish(shared, id, now, verdict);
            }
            Prepared::Command(command) => {
                Attempt::run(command).and_then(|child| watch_program(shared, id, child)).map(|attempt| {
                    self.attempt = Some(Box::new(attempt));
                    Opened::Pending
                })
            }
            Prepared::Application => return,
            prepared => match Attempt::converse(prepared, &self.check, &mut shared.random) {
                Ok(attempt) => {
                    let attempt = self.attempt.insert(Box::new(attempt));
                    attempt.open(shared, id, &self.check)
                }
                Err(trouble) => Err(trouble),
            },
        };
        self.go_on(shared, id, now, opened);
    }

    /// The kernel has something for the attempt.
    pub(super) fn ready(&mut self, shared: &mut Shared, id: u64, now: Instant) {
        let Some(attempt) = &mut self.attempt else { return };
        if let Some(end) = attempt.end_of_program() {
            if let (Prepared::Command(command), Some(end)) = (&self.prepared, end) {
                let verdict = command.judge(end);
                self.finish(shared, id, now, verdict);
            }
            return;
        }
        let result = attempt.ready(shared, id);
        self.go_on(shared, id, now, result);
    }

    /// Goes on from what an attempt came to.
    fn go_on(&mut self, shared: &mut Shared, id: u64, now: Instant, mut result: Result<Opened, Trouble>) {
        loop {
            match result {
                Ok(Opened::Pending) => return,
                Ok(Opened::Connected) => {
                    self.apply(shared, id, now, Event::Connected);
                    let Some(attempt) = &mut self.attempt else { return };
                    result = attempt.converse_on(shared, id);
                }
                Ok(Opened::Over(Progress::Pending)) => return,
                Ok(Opened::Over(Progress::Done(verdict))) => return self.finish(shared, id, now, verdict),
                Ok(Opened::Over(Progress::Again)) => {
                    self.apply(shared, id, now, Event::Connecting);
                    let Some(attempt) = &mut self.attempt else { return };
                    result = attempt.open(shared, id, &self.check);
                }
                Err(Trouble::Server(failure)) => return self.finish(shared, id, now, Err(failure)),
                Err(Trouble::Ours(reason)) => return self.hinder(shared, id, now, reason),
            }
        }
    }
}

/// Has the end of a program wake the driver.
fn watch_program(shared: &Shared, id: u64, mut child: std::process::Child) -> Result<Attempt, Trouble> {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
    let watched = pid.ok_or(rustix::io::Errno::SRCH).and_then(|pid| {
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let data = rustix::event::epoll::EventData::new_u64(id);
        rustix::event::epoll::add(&shared.epoll, &pidfd, data, rustix::event::epoll::EventFlags::IN)?;
        Ok(pidfd)
    });
    match watched {
        Ok(pidfd) => Ok(Attempt::Program { child, pidfd }),
        Err(error) => {
            // No descriptor left to watch it with: it is not left behind.
            let _ = child.kill();
            let _ = child.wait();
            Err(Trouble::Ours(format!("watch the program: {error}")))
        }
    }
}

/// The first octets of a regular file; anything else could make us wait.
fn read_file(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use rustix::fs::{FileType, Mode, OFlags, fstat, open};
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut content = vec![0; file::LONGEST + 1];
    let mut length = 0;
    while let Some(room) = content.get_mut(length..).filter(|room| !room.is_empty()) {
        match rustix::io::read(&file, room) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    content.truncate(length);
    Ok(content)
}
