//! What virtual routers track.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use vrrp_net::tracking::{Source, TrackedInterface};

use super::Builder;
use crate::daemon::config::{
    Effect, Initial, InitialNumber, Parameters, Script, Track, TrackedFile, TrackedProcess, Watched,
};
use crate::keepalived::config::{
    self, Configuration, ParamMatch, TrackFile, TrackProcess, Tracking, VrrpScript, Weight,
};

impl Builder<'_> {
    /// The checks, files and programs.
    pub(super) fn tracks(&mut self, tracking: &Tracking) -> Vec<Track> {
        let of = |list: &[config::Tracked], what: fn(String) -> Watched| -> Vec<Track> {
            let track = |tracked: &config::Tracked| Track {
                what: what(tracked.name.text.clone()),
                effect: tracked.weight.map(effect),
            };
            list.iter().map(track).collect()
        };
        let mut scripts = of(&tracking.scripts, Watched::Script);
        // A check that cannot be run says nothing, of which there is a warning; what does not exist is found by the reader.
        scripts.retain(|track| !self.cannot_run.contains(&track.what));
        let files = of(&tracking.files, Watched::File);
        [scripts, files, of(&tracking.processes, Watched::Process)].concat()
    }

    /// The interfaces, but `own`, which counts anyway.
    pub(super) fn interfaces(&self, tracking: &Tracking, own: &str) -> Vec<Source> {
        let others = tracking.interfaces.iter().filter(|tracked| tracked.name.as_str() != own);
        let source = |tracked: &config::Tracked| {
            let effect = tracked.weight.map_or(Effect::FAULT, effect).tracked(true);
            let (impact, inverted) = (effect.impact, effect.inverted);
            Source::Interface(TrackedInterface { name: tracked.name.text.clone(), impact, inverted })
        };
        others.map(source).collect()
    }

    /// The checks that can be run. One whose program or user is missing counts for nothing, as keepalived has it.
    pub(super) fn scripts(&mut self) -> Vec<Script> {
        let mut made = Vec::new();
        for script in &self.configuration.vrrp_scripts {
            match self.script(script) {
                Some(script) => made.push(script),
                None => drop(self.cannot_run.insert(Watched::Script(script.name.text.clone()))),
            }
        }
        made
    }

    fn script(&mut self, script: &VrrpScript) -> Option<Script> {
        // One that is not given is told of by the reader.
        let written = script.script.as_ref().filter(|script| !script.command.is_empty())?;
        let command = self.command(written)?;
        if let Some(program) = written.command.first().filter(|program| !may_be_run(program)) {
            let message = format!("{}: {program} is not there or no program: the check is ignored", script.name.text);
            self.warn(written.span, message);
            return None;
        }
        Some(Script {
            interval: script.interval.0,
            timeout: script.timeout.map(|timeout| timeout.0),
            rise: script.rise,
            fall: script.fall,
            initial: if script.init_fail { Initial::Down } else { Initial::Up },
            effect: effect(script.weight),
            ..Script::new(script.name.text.clone(), command)
        })
    }

    pub(super) fn file(&mut self, file: &TrackFile) -> Option<TrackedFile> {
        let initial = file.init_file.map(|value| InitialNumber { value, overwrite: file.overwrite });
        let (name, path) = (file.name.text.clone(), file.file.as_ref()?.text.clone().into());
        Some(TrackedFile { name, path, effect: effect(file.weight), initial })
    }

    pub(super) fn process(&mut self, process: &TrackProcess) -> Option<TrackedProcess> {
        let (program, given) = process.process.split_first()?;
        let given = given.to_vec();
        let parameters = match process.param_match {
            Some(ParamMatch::Initial) => Some(Parameters::Beginning(given)),
            Some(ParamMatch::Partial) => Some(Parameters::First(given)),
            Some(ParamMatch::Exact) => Some(Parameters::Exactly(given)),
            None if given.is_empty() => None,
            None => Some(Parameters::Exactly(given)),
        };
        Some(TrackedProcess {
            parameters,
            full_command: process.full_command,
            least: process.quorum,
            most: process.quorum_max,
            up_delay: process.fork_delay.0,
            down_delay: process.terminate_delay.0,
            effect: effect(process.weight),
            ..TrackedProcess::new(process.name.text.clone(), program)
        })
    }
}

/// The other interfaces that addresses and routes are on, but for those that are tracked as somebody said: an address on an
/// interface that is down serves nobody, and another host may have one that is up.
pub(super) fn implied(instance: &config::Instance, tracked: &[Source]) -> Vec<Source> {
    let addresses = instance.virtual_ipaddress.iter().chain(&instance.virtual_ipaddress_excluded);
    let of_addresses = addresses.filter(|address| !address.no_track).filter_map(|address| address.dev.as_ref());
    let of_routes = instance.virtual_routes.iter().filter(|it| !it.no_track).filter_map(|it| it.dev.as_ref());
    let said =
        |name: &str| tracked.iter().any(|it| matches!(it, Source::Interface(interface) if interface.name == name));
    let own = instance.interface.as_ref().map(config::Name::as_str);
    let names = of_addresses.chain(of_routes).map(config::Name::as_str);
    let names: BTreeSet<&str> = names.filter(|name| Some(*name) != own && !said(name)).collect();
    let source = |name: &str| {
        let effect = Effect::FAULT.tracked(true);
        Source::Interface(TrackedInterface { name: name.to_owned(), impact: effect.impact, inverted: effect.inverted })
    };
    names.into_iter().map(source).collect()
}

/// Whether a program that is named by its place is there. Any killall is done without one.
fn may_be_run(program: &str) -> bool {
    let path = Path::new(program);
    let is_program = || path.metadata().is_ok_and(|about| about.is_file() && about.mode() & 0o111 != 0);
    !path.is_absolute() || path.file_name().is_some_and(|name| name == "killall") || is_program()
}

/// Heavier than any priority makes no difference.
fn effect(weight: Weight) -> Effect {
    let value = i16::try_from(weight.value).unwrap_or(if weight.value < 0 { i16::MIN } else { i16::MAX });
    Effect::weight(value, weight.reverse)
}

/// Whether anything of it changes the priority.
pub(super) fn has_weights(configuration: &Configuration, tracking: &Tracking) -> bool {
    let lists = [&tracking.interfaces, &tracking.scripts, &tracking.files, &tracking.processes];
    let said = lists.into_iter().flatten().filter_map(|tracked| tracked.weight);
    let unsaid = |list: &[config::Tracked], name: &config::Name| {
        list.iter().any(|tracked| tracked.weight.is_none() && tracked.name == *name)
    };
    let scripts =
        configuration.vrrp_scripts.iter().filter(|it| unsaid(&tracking.scripts, &it.name)).map(|it| it.weight);
    let files = configuration.track_files.iter().filter(|it| unsaid(&tracking.files, &it.name)).map(|it| it.weight);
    let all = &configuration.vrrp_track_processes;
    let processes = all.iter().filter(|it| unsaid(&tracking.processes, &it.name)).map(|it| it.weight);
    said.chain(scripts).chain(files).chain(processes).any(|weight| weight.value != 0)
}
