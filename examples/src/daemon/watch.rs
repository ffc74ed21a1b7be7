//! All that is tracked, together.

use std::collections::BTreeSet;
use std::time::Instant;

use vrrp_net::vrrp_core::track::{Impact, Tracked};

use super::config::{Config, Effect, Track, Watched};
use super::files::{self, FileWatch};
use super::process::{JobId, Outcome, Runner};
use super::processes::{self, ProcessWatch};
use super::scripts::Check;
use crate::control;

/// The checks, files and programs that somebody tracks.
#[derive(Debug)]
pub(super) struct Watch {
    checks: Vec<Check>,
    files: Vec<FileWatch>,
    processes: Vec<ProcessWatch>,
    read_at: Instant,
    look_at: Instant,
    /// Something is another than when this was last asked.
    changed: bool,
}

impl Watch {
    /// Nothing is known yet of any of it.
    pub(super) fn new(config: &Config) -> Self {
        let now = Instant::now();
        let (checks, files, processes) = (Vec::new(), Vec::new(), Vec::new());
        let mut watch = Self { checks, files, processes, read_at: now, look_at: now, changed: true };
        watch.take_over(config, None);
        watch
    }

    /// Goes on with another configuration: what is in both goes on as it is.
    pub(super) fn reconfigure(&mut self, config: &Config, runner: &mut Runner) {
        self.take_over(config, Some(runner));
    }

    fn take_over(&mut self, config: &Config, runner: Option<&mut Runner>) {
        let tracks =
            config.routers.iter().flat_map(|it| &it.tracks).chain(config.groups.iter().flat_map(|it| &it.tracks));
        let tracked: BTreeSet<&Watched> = tracks.map(|track| &track.what).collect();
        let is_tracked = |what: Watched| tracked.contains(&what);
        let scripts = config.scripts.iter().filter(|it| is_tracked(Watched::Script(it.name.clone())));
        let mut gone = std::mem::take(&mut self.checks);
        for script in scripts {
            let before = gone.iter().position(|check| check.config.name == script.name);
            let check = match before.map(|place| gone.swap_remove(place)) {
                Some(same) if same.config == *script => same,
                before if runner.is_some() => {
                    let new = Check::in_place_of(script.clone(), before.as_ref());
                    gone.extend(before);
                    new
                }
                _ => Check::new(script.clone()),
            };
            self.checks.push(check);
        }
        if let Some(runner) = runner {
            gone.iter_mut().for_each(|check| check.stop(runner));
        }
        let files = config.files.iter().filter(|it| is_tracked(Watched::File(it.name.clone())));
        self.files = renew(&mut self.files, files, |it, config| it.config == *config, FileWatch::new);
        let processes = config.processes.iter().filter(|it| is_tracked(Watched::Process(it.name.clone())));
        self.processes = renew(&mut self.processes, processes, |it, config| it.config == *config, ProcessWatch::new);
        processes::look_for(&mut self.processes, Instant::now());
        self.changed = true;
    }

    /// When [`due`](Self::due) has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let read = (!self.files.is_empty()).then_some(self.read_at);
        let look = (!self.processes.is_empty()).then_some(self.look_at);
        self.checks.iter().filter_map(Check::poll_timeout).chain(read).chain(look).min()
    }

    /// Looks at what it is time to look at.
    pub(super) fn due(&mut self, runner: &mut Runner, now: Instant) {
        self.checks.iter_mut().for_each(|check| check.start(runner, now));
        if now >= self.read_at {
            self.read_at = now + files::READ_EVERY;
            for file in &mut self.files {
                self.changed |= file.read();
            }
        }
        if now >= self.look_at {
            self.look_at = now + processes::LOOK_EVERY;
            self.changed |= processes::look_for(&mut self.processes, now);
        }
    }

    /// A job has used up its time. Whether it was one of these.
    pub(super) fn late(&mut self, job: JobId) -> bool {
        self.note(|check| check.late(job))
    }

    /// A job has ended. Whether it was one of these.
    pub(super) fn ended(&mut self, job: JobId, outcome: &Outcome) -> bool {
        self.note(|check| check.ended(job, outcome))
    }

    fn note(&mut self, note: impl FnMut(&mut Check) -> Option<bool>) -> bool {
        let changed = self.checks.iter_mut().find_map(note);
        self.changed |= changed == Some(true);
        changed.is_some()
    }

    /// Something else that is tracked has changed.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    /// Whether something has changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether a check of which nothing is known yet decides on whether somebody with these takes part at all.
    pub(super) fn is_pending(&self, tracks: &[Track]) -> bool {
        tracks.iter().any(|track| match &track.what {
            Watched::Script(name) => self.check(name).is_some_and(|check| {
                !check.known && track.effect.unwrap_or(check.config.effect).impact == Impact::Fault
            }),
            Watched::File(_) | Watched::Process(_) => false,
        })
    }

    /// How these are, as the driver takes it. A check that decides on the whole and is not known is taken for a failed one.
    pub(super) fn tracked(&self, tracks: &[Track]) -> Vec<Tracked> {
        let tracked = |track: &Track| {
            let of = |default: Effect| track.effect.unwrap_or(default);
            match &track.what {
                Watched::Script(name) => self.check(name).map(|check| {
                    let effect = of(check.config.effect);
                    let unknown = !check.known && effect.impact == Impact::Fault;
                    if unknown { Effect::FAULT.tracked(false) } else { effect.tracked(check.up) }
                }),
                Watched::File(name) => {
                    let file = self.files.iter().find(|it| it.config.name == *name);
                    file.map(|file| file.tracked(of(file.config.effect)))
                }
                Watched::Process(name) => {
                    let process = self.processes.iter().find(|it| it.config.name == *name);
                    process.map(|process| of(process.config.effect).tracked(process.up))
                }
            }
        };
        tracks.iter().filter_map(tracked).collect()
    }

    /// How everything is, to be shown.
    pub(super) fn status(&self) -> Vec<control::Tracked> {
        let tracked = |kind: &str, name: &String, up, said: String| {
            let (name, kind) = (name.clone(), kind.to_owned());
            control::Tracked { name, kind, up, said }
        };
        let checks = self.checks.iter().map(|it| {
            let said =
                it.failure().map_or_else(|| if it.known { "it succeeded" } else { "" }.to_owned(), str::to_owned);
            tracked("script", &it.config.name, it.known.then_some(it.up), said)
        });
        let files = self.files.iter().map(|it| {
            let up = match it.config.effect.impact {
                Impact::Fault => (it.number == 0) != it.config.effect.reverse,
                Impact::Weight(_) => true,
            };
            tracked("file", &it.config.name, Some(up), it.number.to_string())
        });
        let processes =
            self.processes.iter().map(|it| tracked("process", &it.config.name, Some(it.up), it.config.program.clone()));
        checks.chain(files).chain(processes).collect()
    }

    fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.config.name == name)
    }
}

/// From those that there are, those that are wanted: as they are where they are wanted as they are.
fn renew<'c, Have, Wanted: Clone + 'c>(
    have: &mut Vec<Have>,
    wanted: impl Iterator<Item = &'c Wanted>,
    is_same: impl Fn(&Have, &Wanted) -> bool,
    new: impl Fn(Wanted) -> Have,
) -> Vec<Have> {
    let renewed = wanted.map(|wanted| match have.iter().position(|have| is_same(have, wanted)) {
        Some(place) => have.swap_remove(place),
        None => new(wanted.clone()),
    });
    renewed.collect()
}
