//! `vrrp_script`, `track_file` and `vrrp_track_process`: what virtual routers can watch.

use serde::Serialize;

use super::track::{HEAVIEST, HEAVIEST_OF_FILES};
use super::value::{Name, Script, Seconds, Weight};
use crate::keepalived::keyword::{Keyword, read};

/// A script that runs again and again; its exit status says how things are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VrrpScript {
    /// What others call it.
    pub name: Name,
    /// What runs. A script that is not given is an error.
    pub script: Option<Script>,
    /// From the start of a run to that of the next. Default: 1 s.
    pub interval: Seconds,
    /// When it is taken for failed. Default: `interval`.
    pub timeout: Option<Seconds>,
    /// What it does to the priority. Default: FAULT.
    pub weight: Weight,
    /// How many successes in a row mean it is up. Default: 1.
    pub rise: u32,
    /// How many failures in a row mean it is down. Default: 1.
    pub fall: u32,
    /// It is down until it first succeeds.
    pub init_fail: bool,
}

impl VrrpScript {
    pub(super) fn new(name: Name) -> Self {
        let weight = Weight { value: 0, reverse: false };
        Self {
            name,
            script: None,
            interval: Seconds::new(1),
            timeout: None,
            weight,
            rise: 1,
            fall: 1,
            init_fail: false,
        }
    }
}

/// keepalived keeps these in microseconds of 32 bits.
const LONGEST: u64 = 4294;

pub(super) const SCRIPT: &[Keyword<VrrpScript>] = &[
    read(&["script"], |script, entry| {
        let word = entry.peek().map(|word| word.span);
        let mut read = entry.script()?;
        // What keepalived does not take for a part of the command.
        if let Some(extra) = read.user.take() {
            let message = format!("{extra:?} is not passed to the script");
            let help = "put the command in quotes with its arguments; the user is for the keyword user";
            let span = word.unwrap_or_else(|| entry.span());
            entry.push(crate::keepalived::diagnostic::Diagnostic::warning(span, message).with_help(help));
        }
        read.group = None;
        entry.rest();
        if let Some(before) = &script.script {
            (read.user, read.group) = (before.user.clone(), before.group.clone());
        }
        script.script = Some(read);
        Ok(())
    }),
    read(&["interval"], |script, entry| {
        script.interval = entry.seconds(0..=LONGEST)?;
        if script.interval.0.is_zero() {
            return Err(entry.wrong("0 is no interval: at least 0.001 seconds, at most 4294"));
        }
        Ok(())
    }),
    read(&["timeout"], |script, entry| {
        script.timeout = Some(entry.seconds(0..=LONGEST)?).filter(|timeout| !timeout.0.is_zero());
        Ok(())
    }),
    read(&["weight"], |script, entry| {
        script.weight = entry.weight(HEAVIEST)?;
        Ok(())
    }),
    read(&["rise"], |script, entry| {
        script.rise = entry.number(1..=2_147_483_647)?;
        Ok(())
    }),
    read(&["fall"], |script, entry| {
        script.fall = entry.number(1..=2_147_483_647)?;
        Ok(())
    }),
    read(&["user"], |script, entry| {
        let user = entry.text("the name of a user")?;
        let group = entry.optional().map(|word| word.text.clone());
        match &mut script.script {
            Some(script) => (script.user, script.group) = (Some(user), group),
            None => {
                // It may stand before the script.
                let span = entry.span();
                script.script =
                    Some(Script { line: String::new(), command: Vec::new(), user: Some(user), group, span });
            }
        }
        Ok(())
    }),
    read(&["init_fail"], |script, _| {
        script.init_fail = true;
        Ok(())
    }),
];

/// A file with a number in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackFile {
    /// What others call it.
    pub name: Name,
    /// The file.
    pub file: Option<Name>,
    /// What the number is multiplied with; 0: any number but 0 is FAULT. Default: 1.
    pub weight: Weight,
    /// What is written into it at the start, if it is not there.
    pub init_file: Option<i64>,
    /// It is written even if it is there.
    pub overwrite: bool,
}

impl TrackFile {
    pub(super) fn new(name: Name) -> Self {
        Self { name, file: None, weight: Weight { value: 1, reverse: false }, init_file: None, overwrite: false }
    }
}

pub(super) const FILE: &[Keyword<TrackFile>] = &[
    read(&["file"], |file, entry| {
        file.file = Some(entry.name("the name of a file")?);
        Ok(())
    }),
    read(&["weight"], |file, entry| {
        file.weight = entry.weight(i64::from(i32::MAX))?;
        Ok(())
    }),
    read(&["init_file"], |file, entry| {
        let value = match entry.peek() {
            Some(word) if word.text != "overwrite" => entry.number(i64::from(i32::MIN)..=i64::from(i32::MAX))?,
            Some(_) | None => 0,
        };
        file.init_file = Some(value);
        file.overwrite = entry.optional_word("overwrite");
        Ok(())
    }),
];

/// A process that runs, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackProcess {
    /// What others call it.
    pub name: Name,
    /// The name of its program, then parameters.
    pub process: Vec<String>,
    /// How parameters are compared; `None`: those given are all there are, if any is given.
    pub param_match: Option<ParamMatch>,
    /// What it does to the priority. Default: 1.
    pub weight: Weight,
    /// How many must run. Default: 1.
    pub quorum: u32,
    /// How many may run.
    pub quorum_max: Option<u32>,
    /// How long enough of them must run for it to be up. Default: 0.
    pub fork_delay: Seconds,
    /// How long too few of them must run for it to be down. Default: 0.
    pub terminate_delay: Seconds,
    /// The whole command line is compared, not the process's name.
    pub full_command: bool,
}

/// How the parameters of a process are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamMatch {
    /// The last one may go on.
    Initial,
    /// More may follow.
    Partial,
    /// These and no others.
    Exact,
}

impl TrackProcess {
    pub(super) fn new(name: Name) -> Self {
        Self {
            name,
            process: Vec::new(),
            param_match: None,
            weight: Weight { value: 1, reverse: false },
            quorum: 1,
            quorum_max: None,
            fork_delay: Seconds::default(),
            terminate_delay: Seconds::default(),
            full_command: false,
        }
    }
}

/// Longest delay of a process, in seconds.
const LONGEST_DELAY: u64 = 3600;

pub(super) const PROCESS: &[Keyword<TrackProcess>] = &[
    read(&["process"], |process, entry| {
        let first = entry.text("the name of a program")?;
        process.process = std::iter::once(first).chain(entry.rest().iter().map(|word| word.text.clone())).collect();
        Ok(())
    }),
    read(&["param_match"], |process, entry| {
        process.param_match = Some(match entry.peek() {
            None => ParamMatch::Exact,
            Some(_) => entry.one_of(&[
                ("initial", ParamMatch::Initial),
                ("partial", ParamMatch::Partial),
                ("exact", ParamMatch::Exact),
            ])?,
        });
        Ok(())
    }),
    read(&["weight"], |process, entry| {
        process.weight = entry.weight(HEAVIEST_OF_FILES)?;
        Ok(())
    }),
    read(&["quorum"], |process, entry| {
        process.quorum = entry.number(1..=65_535)?;
        Ok(())
    }),
    read(&["quorum_max"], |process, entry| {
        process.quorum_max = Some(entry.number(0..=65_535)?);
        Ok(())
    }),
    read(&["fork_delay"], |process, entry| {
        process.fork_delay = entry.seconds(0..=LONGEST_DELAY)?;
        Ok(())
    }),
    read(&["terminate_delay"], |process, entry| {
        process.terminate_delay = entry.seconds(0..=LONGEST_DELAY)?;
        Ok(())
    }),
    read(&["delay"], |process, entry| {
        process.fork_delay = entry.seconds(0..=LONGEST_DELAY)?;
        process.terminate_delay = process.fork_delay;
        Ok(())
    }),
    read(&["full_command"], |process, _| {
        process.full_command = true;
        Ok(())
    }),
];
