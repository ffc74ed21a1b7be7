//! Files with a number in them.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use anyhow::Context;
use vrrp_net::vrrp_core::track::{Impact, Tracked};

use super::config::{Effect, InitialNumber, TrackedFile};

/// How often they are read: a number that changes is noticed after that at the latest.
pub(super) const READ_EVERY: Duration = Duration::from_millis(500);

/// How much of a file is read for its number.
const LONGEST: u64 = 64;

/// A result below that is a fault.
const LEAST: i64 = -253;

/// One file that is watched.
#[derive(Debug)]
pub(super) struct FileWatch {
    pub(super) config: TrackedFile,
    pub(super) number: i64,
    /// What is wrong with it, as it was last said.
    trouble: Option<String>,
}

impl FileWatch {
    /// Read for the first time, after what the configuration wants to be in it was put there.
    pub(super) fn new(config: TrackedFile) -> Self {
        if let Some(initial) = config.initial
            && let Err(error) = initialize(&config, initial)
        {
            tracing::error!(file = config.name, "{error:#}");
        }
        let mut watch = Self { config, number: 0, trouble: None };
        watch.read();
        watch
    }

    /// Reads it. Whether its number is another than before.
    pub(super) fn read(&mut self) -> bool {
        let read = std::fs::File::open(&self.config.path).and_then(|file| {
            let mut text = String::new();
            file.take(LONGEST).read_to_string(&mut text).map(|_| text)
        });
        let (number, trouble) = match read {
            Ok(text) => match number(&text) {
                Some(number) => (number, None),
                None => (0, Some(format!("{:?} is no number", text.trim()))),
            },
            Err(error) => (0, Some(error.to_string())),
        };
        if trouble != self.trouble {
            if let Some(trouble) = &trouble {
                tracing::warn!(file = self.config.name, "{}: {trouble}; taken for 0", self.config.path.display());
            }
            self.trouble = trouble;
        }
        let changed = number != self.number;
        if changed {
            tracing::info!(file = self.config.name, "{} -> {number}", self.number);
        }
        self.number = number;
        changed
    }

    /// As the driver takes it.
    pub(super) fn tracked(&self, effect: Effect) -> Tracked {
        judge(self.number, effect)
    }
}

fn judge(number: i64, effect: Effect) -> Tracked {
    let fault = |up| Tracked { impact: Impact::Fault, inverted: false, up };
    match effect.impact {
        Impact::Fault => fault((number == 0) != effect.reverse),
        Impact::Weight(weight) => {
            let sum = number.saturating_mul(weight.into());
            let sum = if effect.reverse { sum.saturating_neg() } else { sum };
            if sum < LEAST {
                return fault(false);
            }
            let sum = i16::try_from(sum.min(254)).unwrap_or_default();
            // A positive weight counts while it is up, a negative one while it is down.
            Tracked { impact: Impact::Weight(sum), inverted: false, up: sum > 0 }
        }
    }
}

/// The number that a text begins with.
fn number(text: &str) -> Option<i64> {
    text.split_whitespace().next()?.parse().ok()
}

fn initialize(config: &TrackedFile, initial: InitialNumber) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    match initial.overwrite {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    match options.open(&config.path) {
        Ok(mut file) => writeln!(file, "{}", initial.value),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .with_context(|| format!("cannot write {} into {}", initial.value, config.path.display()))
}

#[cfg(test)]
mod tests {
    use vrrp_net::vrrp_core::Priority;
    use vrrp_net::vrrp_core::track::assess;

    use super::*;

    #[test]
    fn the_number_times_the_weight_is_added_and_below_the_least_it_is_a_fault() {
        let assessed = |number, weight, reverse| {
            let assessment = assess(Priority::DEFAULT, [judge(number, Effect::weight(weight, reverse))]);
            (assessment.priority.get(), assessment.fault)
        };
        assert_eq!(assessed(5, 2, false), (110, false));
        assert_eq!(assessed(-5, 2, false), (90, false));
        assert_eq!(assessed(5, 2, true), (90, false));
        assert_eq!(assessed(0, 2, false), (100, false));
        assert_eq!(assessed(-253, 1, false), (1, false));
        assert!(assessed(-254, 1, false).1 && assessed(i64::MIN, 254, false).1);
        assert_eq!(assessed(i64::MAX, 254, false), (254, false));
        assert_eq!([assessed(0, 0, false).1, assessed(1, 0, false).1], [false, true]);
        assert_eq!([assessed(0, 0, true).1, assessed(1, 0, true).1], [true, false]);
    }

    #[test]
    fn a_number_may_have_space_around_it_and_something_behind() {
        assert_eq!([number(" -7\n"), number("5 apples"), number(""), number("x")], [Some(-7), Some(5), None, None]);
    }
}
