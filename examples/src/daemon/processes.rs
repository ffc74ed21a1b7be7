//! Programs that are to run, looked up in `/proc`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::config::{Parameters, TrackedProcess};

/// How often it is looked: a program that ends is noticed after that at the latest.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The kernel keeps so many octets of a program's name.
const NAME: usize = 15;

/// A process as it is seen by others.
#[derive(Debug)]
struct Seen {
    name: Vec<u8>,
    /// What it was called with, the program first; read only where somebody asks.
    words: Vec<Vec<u8>>,
}

/// Whether a process of this name runs, as `killall -0` has it.
pub(super) fn is_running(name: &str) -> bool {
    let wanted = TrackedProcess::new("", name);
    look(false).iter().any(|seen| is_wanted(&wanted, seen))
}

/// One kind of program that is watched.
#[derive(Debug)]
pub(super) struct ProcessWatch {
    pub(super) config: TrackedProcess,
    pub(super) up: bool,
    /// Since when it has been otherwise than `up` says.
    differs_since: Option<Instant>,
    known: bool,
}

impl ProcessWatch {
    pub(super) fn new(config: TrackedProcess) -> Self {
        Self { config, up: false, differs_since: None, known: false }
    }

    /// Takes note of what runs. Whether it is another than before.
    fn note(&mut self, number: usize, now: Instant) -> bool {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let enough = number >= self.config.least && self.config.most.is_none_or(|most| number <= most);
        if enough == self.up && self.known {
            self.differs_since = None;
            return false;
        }
        let delay = if enough { self.config.up_delay } else { self.config.down_delay };
        let since = *self.differs_since.get_or_insert(now);
        // What is found at the start holds at once.
        if self.known && now.saturating_duration_since(since) < delay {
            return false;
        }
        (self.up, self.known, self.differs_since) = (enough, true, None);
        let words = if enough { "runs as wanted" } else { "does not run as wanted" };
        tracing::info!(process = self.config.name, "{} {words}: there are {number}", self.config.program);
        true
    }
}

/// Looks once for all of them. Whether one of them is another than before.
pub(super) fn look_for(watches: &mut [ProcessWatch], now: Instant) -> bool {
    if watches.is_empty() {
        return false;
    }
    let seen = look(watches.iter().any(|watch| needs_words(&watch.config)));
    let mut changed = false;
    for watch in watches {
        let number = seen.iter().filter(|seen| is_wanted(&watch.config, seen)).count();
        changed |= watch.note(number, now);
    }
    changed
}

const fn needs_words(wanted: &TrackedProcess) -> bool {
    wanted.full_command || wanted.parameters.is_some()
}

fn is_wanted(wanted: &TrackedProcess, seen: &Seen) -> bool {
    if !needs_words(wanted) {
        let name = wanted.program.as_bytes();
        return seen.name == name.get(..NAME).unwrap_or(name);
    }
    let Some((program, given)) = seen.words.split_first() else { return false };
    if program != wanted.program.as_bytes() {
        return false;
    }
    let equal = |(wanted, given): (&String, &Vec<u8>)| wanted.as_bytes() == given;
    match &wanted.parameters {
        None => true,
        Some(Parameters::Exactly(words)) => words.len() == given.len() && words.iter().zip(given).all(equal),
        Some(Parameters::First(words)) => words.len() <= given.len() && words.iter().zip(given).all(equal),
        Some(Parameters::Beginning(words)) => {
            let Some((last, first)) = words.split_last() else { return true };
            let begins = given.get(first.len()).is_some_and(|word| word.starts_with(last.as_bytes()));
            begins && first.iter().zip(given).all(equal)
        }
    }
}

/// All processes but zombies.
fn look(with_words: bool) -> Vec<Seen> {
    let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
    let is_number = |name: &OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
    let folders = folder.flatten().filter(|entry| is_number(&entry.file_name()));
    folders.filter_map(|entry| see(&entry.path(), with_words)).collect()
}

fn see(folder: &std::path::Path, with_words: bool) -> Option<Seen> {
    // "NUMBER (NAME) STATE ...", where a name may have anything in it.
    let stat = std::fs::read(folder.join("stat")).ok()?;
    let (start, end) = (stat.iter().position(|octet| *octet == b'(')?, stat.iter().rposition(|octet| *octet == b')')?);
    let name = stat.get(start + 1..end)?.to_vec();
    if matches!(stat.get(end + 2), Some(b'Z' | b'X')) {
        return None;
    }
    let words = match with_words {
        true => {
            let text = std::fs::read(folder.join("cmdline")).ok()?;
            let text = text.strip_suffix(b"\0").unwrap_or(&text);
            text.split(|octet| *octet == 0).map(<[u8]>::to_vec).collect()
        }
        false => Vec::new(),
    };
    Some(Seen { name, words })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, words: &[&str]) -> Seen {
        Seen { name: name.into(), words: words.iter().map(|word| word.as_bytes().to_vec()).collect() }
    }

    #[test]
    fn a_program_is_known_by_its_whole_name_or_by_what_it_was_called_with() {
        let named = TrackedProcess::new("x", "ssh");
        assert!(is_wanted(&named, &seen("ssh", &[])) && !is_wanted(&named, &seen("sshd", &[])));
        let long = TrackedProcess::new("x", "a-name-longer-than-15");
        assert!(is_wanted(&long, &seen("a-name-longer-t", &[])));
        let with = |parameters: Option<Parameters>| TrackedProcess {
            parameters,
            full_command: true,
            ..TrackedProcess::new("x", "/bin/a")
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let called = seen("a", &["/bin/a", "-f", "file.conf"]);
        for (parameters, expected) in [
            (None, true),
            (Some(Parameters::Exactly(words(&["-f", "file.conf"]))), true),
            (Some(Parameters::Exactly(words(&["-f"]))), false),
            (Some(Parameters::Exactly(Vec::new())), false),
            (Some(Parameters::First(words(&["-f"]))), true),
            (Some(Parameters::First(words(&["-f", "file"]))), false),
            (Some(Parameters::Beginning(words(&["-f", "file"]))), true),
            (Some(Parameters::Beginning(words(&["-g", "file"]))), false),
        ] {
            assert_eq!(is_wanted(&with(parameters.clone()), &called), expected, "{parameters:?}");
        }
    }

    #[test]
    fn a_delay_bridges_a_restart_but_not_the_start() {
        let delay = Duration::from_secs(2);
        let mut watch = ProcessWatch::new(TrackedProcess { down_delay: delay, ..TrackedProcess::new("x", "a") });
        let start = Instant::now();
        assert!(watch.note(1, start) && watch.up, "what is found at the start holds at once");
        assert!(!watch.note(0, start) && watch.up);
        assert!(!watch.note(1, start + delay / 2), "it was restarted");
        assert!(!watch.note(0, start + delay) && watch.up);
        assert!(!watch.note(0, start + delay + delay / 2) && watch.up);
        assert!(watch.note(0, start + delay * 2) && !watch.up);
    }

    #[test]
    fn this_process_is_seen_with_its_words() {
        let all = look(true);
        let own: Vec<Vec<u8>> = std::env::args_os().map(|word| word.as_bytes().to_vec()).collect();
        assert!(all.iter().any(|seen| seen.words == own), "{own:?}");
    }
}
