//! The words of a script: names, numbers, durations.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use core::str::FromStr;
use core::time::Duration;

use crate::Interval;
use crate::sim::Link;

/// What is wrong, in words.
pub(super) type Problem = String;

/// The words of a line, taken one by one.
pub(super) struct Words<'a> {
    words: Vec<&'a str>,
    next: usize,
}

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        Self { words: line.split_whitespace().collect(), next: 0 }
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.next).copied();
        self.next += usize::from(word.is_some());
        word
    }

    pub(super) fn need(&mut self, what: &str) -> Result<&'a str, Problem> {
        self.next().ok_or_else(|| format!("{what} is missing"))
    }

    /// Takes the next word if it is this one.
    pub(super) fn skip(&mut self, word: &str) -> bool {
        let found = self.words.get(self.next) == Some(&word);
        self.next += usize::from(found);
        found
    }

    /// The rest, as settings; a word without `=` is one without a value.
    pub(super) fn settings(&mut self) -> Vec<(&'a str, &'a str)> {
        let rest = self.words.get(self.next..).unwrap_or_default();
        self.next = self.words.len();
        rest.iter().map(|word| word.split_once('=').unwrap_or((word, ""))).collect()
    }

    pub(super) fn end(&mut self) -> Result<(), Problem> {
        match self.next() {
            Some(word) => Err(format!("{word:?} is too much")),
            None => Ok(()),
        }
    }
}

/// A value that parses itself, or its own error.
pub(super) fn value<T: FromStr<Err: Display>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

/// A number that another type checks.
pub(super) fn number<T: TryFrom<u64, Error: Display>>(text: &str) -> Result<T, Problem> {
    T::try_from(value(text)?).map_err(|error| error.to_string())
}

/// `10s`, `2.5ms`, `100us`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, Problem> {
    let wrong = || format!("{text:?} is no duration: write it as 10s, 2.5ms, 100us, 5m or 1h");
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at_checked(unit_at).ok_or_else(wrong)?;
    let unit: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(wrong()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let mut nanos = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(unit)).ok_or_else(wrong)?;
    let mut place = unit;
    for digit in part.chars() {
        place /= 10;
        let digit = digit.to_digit(10).ok_or_else(wrong)?;
        nanos = nanos.saturating_add(place.saturating_mul(u64::from(digit)));
    }
    Ok(Duration::from_nanos(nanos))
}

pub(super) fn interval(text: &str) -> Result<Interval, Problem> {
    Interval::from_duration(duration(text)?).map_err(|error| error.to_string())
}

/// `30%`, `0.5%`, in millionths.
fn chance(text: &str) -> Result<u32, Problem> {
    let wrong = || format!("{text:?} is no chance: write it as 30% or 0.5%");
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let mut millionths = whole.parse::<u32>().ok().filter(|whole| *whole <= 100).ok_or_else(wrong)? * 10_000;
    let mut place = 10_000;
    for digit in part.chars() {
        place /= 10;
        millionths += place * digit.to_digit(10).ok_or_else(wrong)?;
    }
    Ok(millionths)
}

/// Takes what a setting says of a link; whether it was about one.
pub(super) fn set_link(link: &mut Link, key: &str, text: &str) -> Result<bool, Problem> {
    match key {
        "delay" => link.delay = duration(text)?,
        "jitter" => link.jitter = duration(text)?,
        "loss" => link.loss = chance(text)?,
        "duplicate" => link.duplicate = chance(text)?,
        "reorder" => link.reorder = chance(text)?,
        _ => return Ok(false),
    }
    Ok(true)
}

pub(super) fn yes(text: &str) -> Result<bool, Problem> {
    match text {
        "yes" | "up" | "ok" => Ok(true),
        "no" | "down" | "fail" => Ok(false),
        _ => Err(format!("{text:?} is neither yes nor no")),
    }
}

pub(super) fn octets(text: &str) -> Result<Vec<u8>, Problem> {
    let wrong = || format!("{text:?} is not made of pairs of hexadecimal digits");
    let pairs = text.len() / 2;
    if !text.is_ascii() || text.len() != pairs * 2 {
        return Err(wrong());
    }
    (0..pairs)
        .map(|n| text.get(2 * n..2 * n + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(wrong))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_chances_are_exact() {
        assert_eq!(duration("2.5ms"), Ok(Duration::from_micros(2500)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert!(duration("10").is_err() && duration("s").is_err() && duration("1.x").is_err());
        assert_eq!((chance("30%"), chance("0.05%")), (Ok(300_000), Ok(500)));
        assert!(chance("101%").is_err() && chance("3").is_err());
        assert_eq!(octets("31ff"), Ok(alloc::vec![0x31, 0xff]));
        assert!(octets("3").is_err() && octets("zz").is_err());
    }
}
