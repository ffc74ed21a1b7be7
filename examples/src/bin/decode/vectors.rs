//! Test vectors: each is run under the configuration that it states, and compared with the verdict that it states.
//!
//! There are three forms, told apart by their fields:
//!
//! | fields | form |
//! |---|---|
//! | `ip`, `verdict` | an IP datagram and a verdict in words, for the instance of VECTORS.md ([`rfc`]) |
//! | `ip_packet_hex`, `expect`, … | an IP datagram, the receiver's configuration and its verdict ([`receiver`]) |
//! | `hex` | an Ethernet frame; with `ts` also what tshark says of it ([`frame`]) |

mod deviations;
mod frame;
mod receiver;
mod rfc;
mod stated;

use std::fmt;

use anyhow::{Context, bail};
use serde_json::Value;
use vrrp_core::wire::{Discard, Envelope};

use crate::content::Content;
use crate::hex;

/// What came of a vector. Written as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    name: String,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// What is stated, or nothing is stated.
    Agrees(String),
    Differs(Difference),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Difference {
    expected: String,
    got: String,
    /// Why that is right, if it was decided.
    decision: Option<&'static str>,
}

impl Outcome {
    /// Of a verdict, and whether it is the `stated` one. `ours` is its short name.
    fn new(name: &str, stated: &str, agrees: bool, ours: &str, got: String) -> Self {
        match agrees {
            true => Self::Agrees(got),
            false => {
                let decision = deviations::decision(name, ours);
                Self::Differs(Difference { expected: stated.to_owned(), got, decision })
            }
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match &self.outcome {
            Outcome::Agrees(verdict) => f.write_str(verdict),
            Outcome::Differs(Difference { expected, got, decision }) => {
                write!(f, "differs: expected {expected}, got {got}")?;
                decision.map_or(Ok(()), |why| write!(f, "; by decision: {why}"))
            }
        }
    }
}

/// How many of each there were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    agreeing: usize,
    excused: usize,
    differing: usize,
    /// Vectors that could not be read.
    pub(crate) broken: usize,
}

impl Tally {
    /// Counts one. What differs by decision is no failure if `excuse` is set.
    pub(crate) fn count(&mut self, line: &Line, excuse: bool) {
        match &line.outcome {
            Outcome::Agrees(_) => self.agreeing += 1,
            Outcome::Differs(Difference { decision: Some(_), .. }) if excuse => self.excused += 1,
            Outcome::Differs(_) => self.differing += 1,
        }
    }

    /// 0, 1 if one differs, 2 if one could not be read.
    pub(crate) fn exit_status(&self) -> u8 {
        match (self.broken, self.differing) {
            (0, 0) => 0,
            (0, _) => 1,
            (_, _) => 2,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreeing, excused, differing, broken } = self;
        write!(f, "{agreeing} as stated, {differing} differ")?;
        if *excused > 0 {
            write!(f, ", {excused} differ by a known decision")?;
        }
        if *broken > 0 {
            write!(f, ", {broken} could not be read")?;
        }
        Ok(())
    }
}

/// The vectors of a file: an array, or one alone.
///
/// # Errors
/// That it is no JSON, or has no vectors.
pub(crate) fn read(text: &str) -> anyhow::Result<Vec<Value>> {
    match serde_json::from_str(text)? {
        Value::Array(vectors) if vectors.is_empty() => bail!("there is no vector in it"),
        Value::Array(vectors) => Ok(vectors),
        vector @ Value::Object(_) => Ok(vec![vector]),
        _ => bail!("there are no vectors in it: give an array of objects"),
    }
}

/// What to call a vector, the `n`th of its file from 0, also if it is broken.
pub(crate) fn name(n: usize, vector: &Value) -> String {
    let name = ["id", "name"].iter().find_map(|field| vector.get(field)?.as_str());
    name.map_or_else(|| format!("vector {}", n + 1), |name| format!("vector {} ({name})", n + 1))
}

/// Runs one.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn run(vector: &Value) -> anyhow::Result<Line> {
    let has = |field| vector.get(field).is_some();
    let (name, outcome) = match () {
        () if has("ip_packet_hex") => receiver::run(parse(vector)?)?,
        () if has("ip") => rfc::run(parse(vector)?)?,
        () if has("hex") => frame::run(parse(vector)?)?,
        () => bail!("it has none of the fields ip, ip_packet_hex, hex"),
    };
    Ok(Line { name, outcome })
}

fn parse<'v, T: serde::Deserialize<'v>>(vector: &'v Value) -> anyhow::Result<T> {
    Ok(T::deserialize(vector)?)
}

fn octets(field: &str, digits: &str) -> anyhow::Result<Vec<u8>> {
    match digits {
        "" => Ok(Vec::new()),
        digits => hex::octets(digits).with_context(|| field.to_owned()),
    }
}

/// The IP datagram as a socket gives it.
fn split(datagram: &[u8]) -> Result<(Envelope, &[u8]), Discard> {
    match Content::of_datagram(datagram) {
        Content::Vrrp { envelope, payload } => Ok((envelope, payload)),
        Content::Discarded(discard) => Err(discard),
        Content::Announcement(_) => Err(Discard::Protocol(etherparse::IpNumber::IPV6_ICMP.0)),
    }
}

/// Short for tables, and in words.
fn words(result: Result<(), Discard>) -> (&'static str, String) {
    match result {
        Ok(()) => ("accept", "accept".into()),
        Err(discard) => (discard.reason().name(), format!("discard: {} ({discard})", discard.reason())),
    }
}
