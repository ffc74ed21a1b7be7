//! Scenarios in words: what is done, and the trace that comes of it, in one file.
//!
//! A file is made of sections. Each has commands, one a line, then a rule `----`, then the trace of what happened, up to an
//! empty line. Lines that start with `#` are comments. [`replay`] runs the commands and returns the same text with the
//! traces that come of them: if it is the same text, all went as written.
//!
//! ```
//! use vrrp_core::sim::script::replay;
//!
//! let text = "\
//! ## The backup takes over 3.609 s after the last advertisement.
//! node a priority=150
//! node b
//! start all
//! run 10s
//! power-off a
//! run 5s
//! ----
//!    0.000000 a       starts
//! (and so on)
//! ";
//! let replayed = replay(text)?;
//! assert!(replayed.contains("13.023537 b       Backup -> Active: no Active was heard"), "{replayed}");
//! # Ok::<(), vrrp_core::sim::script::ScriptError>(())
//! ```
//!
//! [`play`] does the same and hands out the simulation, for a program that wants to draw or to measure what happened.
//!
//! # Commands
//!
//! What there is; all of it on one LAN unless others are named:
//!
//! | command | |
//! |---|---|
//! | `seed N` | what chance follows from; first of all |
//! | `lan NAME [LINK]` | a LAN |
//! | `node NAME [SETTING]…` | a node with a virtual router on each LAN of `lan=NAME,NAME` |
//! | `host NAME [lan=NAME]` | a host that uses the virtual addresses |
//!
//! `SETTING` is one of `priority=150`, `version=2`, `family=6`, `interval=1s`, `preempt=always`, `never` or a delay,
//! `yield=auto`, `never` or `degraded`, `settle=7s`, `gate=5s,10s` (timeout, back-off), `hand-over=10ms,2s` (interval,
//! deadline), `re-election=10s`, `fault-hold=10s`, `answers=no`, `learn-interval=yes`, `vrid=51`, `address=10.0.0.9`,
//! `vip=10.0.1.51,10.0.1.52`, `password=secret`, `lease=off` or a time, `checksum=rfc9568` or `pseudo-header`,
//! `peers=10.0.0.2,10.0.0.3` (unicast), `from=10.0.0.2` (the only senders it takes), `clock=1h`, `group` (its virtual routers are one election). `LINK` is any of `delay=100us`, `jitter=1ms`, `loss=30%`,
//! `duplicate=10%`, `reorder=10%`.
//!
//! What happens; `NODE` may be `NODE@LAN` where only one of its virtual routers is meant:
//!
//! | command | |
//! |---|---|
//! | `run 5s`, `run until 12.5s` | time passes |
//! | `start NODE…`, `start all` | a process starts, or takes part again |
//! | `leave NODE` | it is told to leave |
//! | `crash NODE`, `power-off NODE`, `power-on NODE` | |
//! | `stall NODE 5s`, `freeze NODE 5s` | its process is held up; its host is paused, with its clock |
//! | `drift NODE 200` | its clock goes so many millionths too fast |
//! | `carrier NODE down`, `up` | |
//! | `sends NODE fail`, `ok`; `installs NODE fail`, `ok` | what its kernel refuses |
//! | `remove-addresses NODE` | somebody else does |
//! | `cut A B`, `cut A -> B`, `heal A B`, `heal all` | a link, both ways or one; `A@LAN` where one LAN is meant |
//! | `isolate NODE`, `reconnect NODE` | all its links |
//! | `link A B LINK`, `link A -> B LINK` | |
//! | `lose A -> B 3`, `hold A -> B 5s` | the next frames are lost; the next one is held back |
//! | `assess NODE 90`, `assess NODE 90 fault` | what tracking comes to |
//! | `able NODE no`, `yes` | whether the application can serve |
//! | `answer NODE confirm 1s`, `refuse 0s`, `silence` | what the application says to claims |
//! | `hand-over NODE leave`, `stay` | |
//! | `set NODE SETTING…` | other parameters |
//! | `inject from=10.0.0.9 priority=255 [SETTING]… [ttl=255]` | an advertisement from elsewhere |
//! | `inject from=10.0.0.9 to=10.0.0.1 …` | the same to one node |
//! | `inject from=10.0.0.9 octets=3133ff01… [ttl=255]` | any other datagram |
//! | `trace brief`, `full`, `off` | |
//! | `oracles none`, `oracles all`, `oracles but O5 O2` | what to judge by |
//! | `show` | who is what, and where hosts send |

mod command;
mod parse;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use self::command::Session;
use super::Sim;
use crate::Instant;

/// A line that cannot be understood, or not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl core::error::Error for ScriptError {}

/// Between what is done and what comes of it.
const RULE: &str = "----";

/// What came of a scenario.
pub struct Replay {
    /// The scenario with the traces that came of its commands: the same text, if all went as written.
    pub text: String,
    /// What was done to nodes, network and applications, in order.
    pub deeds: Vec<Deed>,
    /// The simulation at the end, with its [history](Sim::history) and its [violations](Sim::violations).
    pub sim: Sim,
}

/// A command that did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When.
    pub at: Instant,
    /// In which line, from 1.
    pub line: usize,
    /// The command, as it is written.
    pub command: String,
}

/// Runs the commands of a scenario, and returns it with the traces that come of them.
///
/// # Errors
/// [`ScriptError`]: the first line that is no command.
pub fn replay(text: &str) -> Result<String, ScriptError> {
    play(text).map(|replay| replay.text)
}

/// As [`replay`], and returns all that is known of the run.
///
/// ```
/// use vrrp_core::sim::script::play;
/// use vrrp_core::sim::{Happening, Moment};
/// use vrrp_core::Role;
///
/// let played = play("node a\nstart a\nrun 5s\n")?;
/// let promoted = |moment: &&Moment| moment.what == Happening::Role(Role::Active);
/// let moment = played.sim.history().iter().find(promoted).ok_or("it was promoted")?;
/// assert_eq!((played.sim.label(moment.whom).as_str(), moment.at.as_nanos()), ("a", 3_609_375_000));
/// assert_eq!(played.deeds[0].command, "start a");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`replay`].
pub fn play(text: &str) -> Result<Replay, ScriptError> {
    let mut session = Session::new();
    let mut replayed = String::with_capacity(text.len());
    let mut deeds = Vec::new();
    let mut in_trace = false;
    for (index, line) in text.lines().enumerate() {
        if in_trace && !line.trim().is_empty() {
            continue;
        }
        in_trace = line == RULE;
        replayed.push_str(line);
        replayed.push('\n');
        if in_trace {
            replayed.push_str(&session.take_trace());
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            let (at, number) = (session.now(), index + 1);
            if session.run(line).map_err(|problem| ScriptError { line: number, problem })? {
                deeds.push(Deed { at, line: number, command: line.trim().to_string() });
            }
        }
    }
    Ok(Replay { text: replayed, deeds, sim: session.into_sim() })
}
