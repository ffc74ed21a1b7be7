//! Checks that are made again and again.

use std::time::Instant;

use super::config::{Initial, Script};
use super::process::{JobId, Outcome, Runner};

/// One check.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) config: Script,
    /// What it is taken for.
    pub(super) up: bool,
    /// Whether `up` is more than a guess.
    pub(super) known: bool,
    /// Whether it has ended once.
    judged: bool,
    /// How many results in a row were otherwise than `up` says.
    differing: u32,
    /// The one that runs, and whether it has been judged already.
    running: Option<(JobId, bool)>,
    next: Instant,
    /// Why the last one failed; to be said once.
    failure: Option<String>,
}

impl Check {
    pub(super) fn new(config: Script) -> Self {
        let up = config.initial == Initial::Up;
        Self {
            config,
            up,
            known: false,
            judged: false,
            differing: 0,
            running: None,
            next: Instant::now(),
            failure: None,
        }
    }

    /// One that comes to virtual routers that run: nobody leaves a role for what is not known yet. If there was one of the
    /// same name, it goes on from there.
    pub(super) fn in_place_of(config: Script, before: Option<&Self>) -> Self {
        let new = Self { known: true, ..Self::new(config) };
        match before {
            Some(before) => Self { up: before.up, judged: before.judged, ..new },
            None => new,
        }
    }

    /// Why the last one failed; `None`: it has not.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// When it is to be made next; `None` while it is made.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.running.is_none().then_some(self.next)
    }

    /// Makes it, if it is time.
    pub(super) fn start(&mut self, runner: &mut Runner, now: Instant) {
        if self.running.is_some() || now < self.next {
            return;
        }
        // Not from when the last one ended: and not several at once because this process was held up.
        self.next += self.config.interval;
        if self.next <= now {
            self.next = now + self.config.interval;
        }
        let timeout = self.config.timeout.unwrap_or(self.config.interval);
        self.running = Some((runner.start(&self.config.command, &[], Some(timeout)), false));
    }

    /// Nobody wants to know any more.
    pub(super) fn stop(&mut self, runner: &mut Runner) {
        if let Some((job, _)) = self.running.take() {
            runner.end(job);
        }
    }

    /// The one that runs has used up its time. Whether it is this one's, and whether it is another than before then.
    pub(super) fn late(&mut self, job: JobId) -> Option<bool> {
        self.running.as_mut().filter(|(running, _)| *running == job)?.1 = true;
        let timeout = self.config.timeout.unwrap_or(self.config.interval);
        Some(self.judge(Some(format!("it did not end within {timeout:?}")), ""))
    }

    /// As [`late`](Self::late), when it has ended.
    pub(super) fn ended(&mut self, job: JobId, outcome: &Outcome) -> Option<bool> {
        let (_, judged) = self.running.filter(|(running, _)| *running == job)?;
        self.running = None;
        Some(!judged && self.judge(outcome.failure.clone(), &outcome.output))
    }

    fn judge(&mut self, failure: Option<String>, output: &str) -> bool {
        let (good, first) = (failure.is_none(), !self.judged);
        let script = self.config.name.as_str();
        let said = output.lines().next().map(|line| format!(" ({line})")).unwrap_or_default();
        if failure != self.failure {
            if let Some(failure) = &failure {
                tracing::warn!(script, "{} failed: {failure}{said}", self.config.command);
            }
            self.failure = failure;
        }
        (self.known, self.judged) = (true, true);
        self.differing = if good == self.up { 0 } else { self.differing.saturating_add(1) };
        let needed = if good { self.config.rise } else { self.config.fall };
        // The first result says how it is, where nothing was known; a check that begins as failed has to show more.
        let counts = first && self.config.initial == Initial::Up;
        if self.differing == 0 || (self.differing < needed && !counts) {
            // The first one is news also if it is as it was taken for.
            return first;
        }
        (self.up, self.differing) = (good, 0);
        match good {
            true => tracing::info!(script, "up"),
            false => tracing::warn!(script, "down"),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::config::Command;

    fn check(change: impl FnOnce(&mut Script)) -> Check {
        let mut script = Script::new("x", Command::from_words(["true".to_owned()]).unwrap());
        change(&mut script);
        Check::new(script)
    }

    /// What it is taken for after each result.
    fn after(mut check: Check, results: &[bool]) -> Vec<bool> {
        let judge = |good: &bool| {
            check.judge((!good).then(|| "no".to_owned()), "");
            check.up
        };
        results.iter().map(judge).collect()
    }

    #[test]
    fn it_takes_fall_failures_to_be_down_and_rise_successes_to_be_up() {
        let rule = |it: &mut Script| (it.rise, it.fall) = (2, 3);
        let results = [true, false, false, true, false, false, false, true, false, true, true];
        let taken = [true, true, true, true, true, true, false, false, false, false, true];
        assert_eq!(after(check(rule), &results), taken);
    }

    #[test]
    fn the_first_result_says_how_it_is() {
        let rule = |it: &mut Script| (it.rise, it.fall) = (5, 5);
        assert_eq!(after(check(rule), &[false, true]), [false, false]);
        assert_eq!(after(check(rule), &[true, false]), [true, true]);
    }

    #[test]
    fn one_that_begins_as_failed_needs_rise_successes() {
        let rule = |it: &mut Script| (it.rise, it.initial) = (2, Initial::Down);
        assert_eq!(after(check(rule), &[true, true, false]), [false, true, false]);
    }
}
