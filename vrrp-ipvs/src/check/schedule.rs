//! When a check makes its attempts, and what their outcomes make of it: what all checks have in common.
//!
//! [`step`] is a pure function in the grammar of `vrrp_core::step`: a [`State`], an [`Event`] and the time in, the next
//! state and ordered [`Action`]s out. It opens nothing and reads no clock. What it decides was compared with what
//! keepalived 2.2.7 does on a real IPVS kernel; the golden traces under `tests/check/schedule` show it.
//!
//! - An attempt that fails while the check is up is made again, `retry` times, `delay_before_retry` apart. The last
//!   failure is a failed round, and `fall` of them in a row take the check down. A check that is down gets no retries.
//! - The first result of a check that never had one needs no confirmation: a failure takes it down at once.
//! - `rise` attempts in a row that pass bring it up.
//! - Attempts that pass are `delay_loop` apart, counted from when they were due, so the pace does not drift; after a
//!   failure the time counts from its end. keepalived counts from the end of every attempt.
//! - Its own machine's trouble (no descriptor, no port, no permission) says nothing about the server: see
//!   [`Outcome::Hindered`].

use std::time::Duration;

use vrrp_core::Instant;

/// The timing of a check, with keepalived's names, meaning and defaults. What is `None` depends on the kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Schedule {
    /// Between two attempts. Default: 60 s.
    pub delay_loop: Duration,
    /// How often a failed attempt is made again before the check goes down. Default: 3 for DNS, 0 for a command, else 1.
    pub retry: Option<u32>,
    /// Between a failure and the next attempt of the same round. Default: `delay_loop` for DNS, 3 s for HTTP, else 1 s.
    pub delay_before_retry: Option<Duration>,
    /// How long a connection may take to be made. Default: 5 s.
    pub connect_timeout: Duration,
    /// How long all that follows may take, for one connection. Default: `connect_timeout`. keepalived begins anew with each
    /// part that arrives, so that a server which sends an octet a minute is never found out.
    pub reply_timeout: Option<Duration>,
    /// The longest random delay before the first attempt, which spreads checks that start together. Default:
    /// `delay_loop`.
    pub warmup: Option<Duration>,
    /// How many attempts in a row must pass for the check to come up. Default: 1. keepalived's `HTTP_GET` without
    /// `fast_recovery` behaves as with 2.
    pub rise: u32,
    /// How many rounds in a row must fail for the check to go down. Default: 1.
    pub fall: u32,
    /// The check begins down, and comes up with what it finds; else it begins up. Default: false.
    pub alpha: bool,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            delay_loop: Duration::from_secs(60),
            retry: None,
            delay_before_retry: None,
            connect_timeout: Duration::from_secs(5),
            reply_timeout: None,
            warmup: None,
            rise: 1,
            fall: 1,
            alpha: false,
        }
    }
}

/// Defaults that differ between the kinds of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// For [`Schedule::retry`].
    pub retry: u32,
    /// For [`Schedule::delay_before_retry`]; `None` is the check's `delay_loop`.
    pub delay_before_retry: Option<Duration>,
}

impl Schedule {
    /// The timing with every default filled in.
    ///
    /// # Errors
    /// [`ScheduleError`] if a check with it would never rest, or never come to a result.
    pub fn resolve(&self, defaults: Defaults) -> Result<Params, ScheduleError> {
        let at_least = |name, value: Duration| match value {
            value if value < SHORTEST => Err(ScheduleError::TooShort { name, value }),
            value => Ok(value),
        };
        let delay_loop = at_least("delay_loop", self.delay_loop)?;
        let connect_timeout = at_least("connect_timeout", self.connect_timeout)?;
        for (name, value) in [("rise", self.rise), ("fall", self.fall)] {
            if value == 0 {
                return Err(ScheduleError::Zero { name });
            }
        }
        Ok(Params {
            delay_loop,
            retry: self.retry.unwrap_or(defaults.retry),
            delay_before_retry: self.delay_before_retry.or(defaults.delay_before_retry).unwrap_or(delay_loop),
            connect_timeout,
            reply_timeout: at_least("reply_timeout", self.reply_timeout.unwrap_or(connect_timeout))?,
            warmup: self.warmup.unwrap_or(delay_loop),
            rise: self.rise,
            fall: self.fall,
            alpha: self.alpha,
        })
    }
}

/// A timing that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A time that would keep the machine busy with nothing else.
    #[error("{name} {value:?} is too short: at least {SHORTEST:?}")]
    TooShort {
        /// Which one.
        name: &'static str,
        /// What was given.
        value: Duration,
    },
    /// A count that nothing can reach.
    #[error("{name} 0 is not 1 or more")]
    Zero {
        /// Which one.
        name: &'static str,
    },
}

/// The shortest period and timeout.
const SHORTEST: Duration = Duration::from_millis(1);

/// How soon an attempt is made again that the machine itself hindered, unless the period is shorter.
const AFTER_HINDRANCE: Duration = Duration::from_secs(1);

/// What [`step`] reads: a [`Schedule`] with every default filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in Schedule")]
pub struct Params {
    pub delay_loop: Duration,
    pub retry: u32,
    pub delay_before_retry: Duration,
    pub connect_timeout: Duration,
    pub reply_timeout: Duration,
    pub warmup: Duration,
    pub rise: u32,
    pub fall: u32,
    pub alpha: bool,
}

/// What a check says of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Health {
    /// It serves.
    Up,
    /// It does not.
    Down,
}

/// What happens to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Begin, after this random delay; of which no more is taken than [`Params::warmup`].
    Start(Duration),
    /// End. It begins anew with the next [`Start`](Self::Start).
    Stop,
    /// Time has passed. Does nothing unless a deadline has come.
    Timeout,
    /// What it asks has changed: the attempt that it waits for is due now.
    Changed,
    /// The running attempt makes another connection, which has the time of a new one.
    Connecting,
    /// The running attempt's connection is made.
    Connected,
    /// The running attempt is over.
    Finished(Outcome),
    /// The application says how its server is; that needs no confirmation.
    Told(Health),
    /// Make no attempts. What is known of the server stays.
    Suspend,
    /// Make attempts again, after this random delay.
    Resume(Duration),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The server did as it should.
    Passed,
    /// It did not.
    Failed,
    /// This machine could not ask it. Nothing changes, and the attempt is made again after a second (or `delay_loop` if
    /// that is shorter).
    Hindered,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Make an attempt, and give [`Event::Finished`] at its end.
    Attempt,
    /// The time for the attempt is over: ask the probe what that means, close what is open, give [`Event::Finished`].
    Expire,
    /// Close what is open; there will be no result.
    Abandon,
    /// The check says something else of its server than before.
    Report(Health),
}

/// Where a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct State {
    /// What it says of its server.
    pub health: Health,
    /// Whether any attempt has had a result yet.
    pub judged: bool,
    /// What it does.
    pub phase: Phase,
    /// Failed attempts of this round.
    pub failed_attempts: u32,
    /// Results in a row that speak against its health: rounds that failed while up, attempts that passed while down.
    pub streak: u32,
}

/// What a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Phase {
    /// Nothing: it was not started.
    Stopped,
    /// Nothing: it is suspended.
    Suspended,
    /// The next attempt comes.
    Waiting {
        /// Then.
        at: Instant,
    },
    /// An attempt is being made.
    Running {
        /// When it should have begun.
        due: Instant,
        /// Until when the present part of it may take.
        until: Instant,
    },
    /// An attempt took too long, and its probe is asked.
    Expired,
}

impl State {
    /// A check that was not started.
    pub const fn new(params: &Params) -> Self {
        let health = if params.alpha { Health::Down } else { Health::Up };
        Self { health, judged: false, phase: Phase::Stopped, failed_attempts: 0, streak: 0 }
    }

    /// When [`Event::Timeout`] is due.
    pub const fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { at } => Some(at),
            Phase::Running { until, .. } => Some(until),
            Phase::Stopped | Phase::Suspended | Phase::Expired => None,
        }
    }

    /// The same, from now on with this phase.
    const fn in_phase(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }
}

/// What an event leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// The state after the event.
    pub state: State,
    /// What to do, in order.
    pub actions: [Option<Action>; 2],
}

impl Step {
    const fn quiet(state: State) -> Self {
        Self { state, actions: [None, None] }
    }

    const fn with(state: State, action: Action) -> Self {
        Self { state, actions: [Some(action), None] }
    }

    const fn with_some(state: State, action: Option<Action>) -> Self {
        Self { state, actions: [action, None] }
    }
}

/// Applies `event` to `state` at `now`, which must not go back.
pub fn step(params: &Params, state: State, now: Instant, event: Event) -> Step {
    match event {
        Event::Start(delay) => match state.phase {
            Phase::Stopped => Step::quiet(State::new(params).in_phase(waiting(params, now, delay))),
            Phase::Suspended | Phase::Waiting { .. } | Phase::Running { .. } | Phase::Expired => Step::quiet(state),
        },
        Event::Stop => Step::with_some(state.in_phase(Phase::Stopped), abandoned(state)),
        Event::Suspend => match state.phase {
            Phase::Stopped | Phase::Suspended => Step::quiet(state),
            Phase::Waiting { .. } | Phase::Running { .. } | Phase::Expired => {
                let suspended = State { phase: Phase::Suspended, failed_attempts: 0, streak: 0, ..state };
                Step::with_some(suspended, abandoned(state))
            }
        },
        Event::Resume(delay) => match state.phase {
            Phase::Suspended => Step::quiet(state.in_phase(waiting(params, now, delay))),
            Phase::Stopped | Phase::Waiting { .. } | Phase::Running { .. } | Phase::Expired => Step::quiet(state),
        },
        Event::Timeout => match state.phase {
            Phase::Waiting { at } if now >= at => {
                // One that is late by more than a period does not try to catch up.
                let due = if now.since(at) > params.delay_loop { now } else { at };
                let running = Phase::Running { due, until: now + params.connect_timeout };
                Step::with(state.in_phase(running), Action::Attempt)
            }
            Phase::Running { until, .. } if now >= until => Step::with(state.in_phase(Phase::Expired), Action::Expire),
            Phase::Waiting { .. } | Phase::Running { .. } | Phase::Stopped | Phase::Suspended | Phase::Expired => {
                Step::quiet(state)
            }
        },
        Event::Changed => match state.phase {
            Phase::Waiting { .. } => {
                let running = Phase::Running { due: now, until: now + params.connect_timeout };
                Step::with(state.in_phase(running), Action::Attempt)
            }
            Phase::Running { .. } | Phase::Stopped | Phase::Suspended | Phase::Expired => Step::quiet(state),
        },
        Event::Connecting => Step::quiet(until(state, now + params.connect_timeout)),
        Event::Connected => Step::quiet(until(state, now + params.reply_timeout)),
        Event::Finished(outcome) => match state.phase {
            Phase::Running { due, .. } => finished(params, state, now, due, outcome),
            Phase::Expired => finished(params, state, now, now, outcome),
            Phase::Stopped | Phase::Suspended | Phase::Waiting { .. } => Step::quiet(state),
        },
        Event::Told(health) => {
            let changed = state.health != health;
            let told = State { health, judged: true, failed_attempts: 0, streak: 0, ..state };
            Step::with_some(told, changed.then_some(Action::Report(health)))
        }
    }
}

/// Waiting for the first attempt, spread over the warm-up.
fn waiting(params: &Params, now: Instant, delay: Duration) -> Phase {
    Phase::Waiting { at: now + delay.min(params.warmup) }
}

/// What becomes of an attempt that nobody waits for any more.
fn abandoned(state: State) -> Option<Action> {
    match state.phase {
        Phase::Running { .. } | Phase::Expired => Some(Action::Abandon),
        Phase::Stopped | Phase::Suspended | Phase::Waiting { .. } => None,
    }
}

/// Gives the running attempt until then.
fn until(state: State, until: Instant) -> State {
    match state.phase {
        Phase::Running { due, .. } => state.in_phase(Phase::Running { due, until }),
        Phase::Stopped | Phase::Suspended | Phase::Waiting { .. } | Phase::Expired => state,
    }
}

/// An attempt that was due at `due` has ended.
fn finished(params: &Params, state: State, now: Instant, due: Instant, outcome: Outcome) -> Step {
    match outcome {
        Outcome::Hindered => {
            let at = now + AFTER_HINDRANCE.min(params.delay_loop);
            Step::quiet(state.in_phase(Phase::Waiting { at }))
        }
        Outcome::Passed => {
            let at = (due + params.delay_loop).max(now);
            let passed = State { judged: true, failed_attempts: 0, phase: Phase::Waiting { at }, ..state };
            match state.health {
                Health::Up => Step::quiet(State { streak: 0, ..passed }),
                Health::Down => against(passed, params.rise, Health::Up),
            }
        }
        Outcome::Failed => match state.health {
            Health::Up if state.judged && state.failed_attempts < params.retry => {
                let at = now + params.delay_before_retry;
                let failed_attempts = state.failed_attempts.saturating_add(1);
                Step::quiet(State { failed_attempts, phase: Phase::Waiting { at }, ..state })
            }
            Health::Up => {
                let fall = if state.judged { params.fall } else { 1 };
                against(failed_round(params, state, now), fall, Health::Down)
            }
            Health::Down => Step::quiet(State { streak: 0, ..failed_round(params, state, now) }),
        },
    }
}

/// After a round that failed.
fn failed_round(params: &Params, state: State, now: Instant) -> State {
    let phase = Phase::Waiting { at: now + params.delay_loop };
    State { judged: true, failed_attempts: 0, phase, ..state }
}

/// One more result against what the check says; with `enough` of them in a row it says `health`.
fn against(state: State, enough: u32, health: Health) -> Step {
    let streak = state.streak.saturating_add(1);
    if streak >= enough {
        Step::with(State { health, streak: 0, ..state }, Action::Report(health))
    } else {
        Step::quiet(State { streak, ..state })
    }
}
