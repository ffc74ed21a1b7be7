//! What a virtual router or a group watches: interfaces, scripts, files and processes.

use serde::Serialize;

use super::value::{Name, Weight};
use crate::keepalived::diagnostic::Diagnostic;
use crate::keepalived::entry::Entry;

/// Something that is watched, and what it does to the priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tracked {
    /// Its name.
    pub name: Name,
    /// `None`: as where it is defined; for an interface, FAULT.
    pub weight: Option<Weight>,
}

/// All that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Tracking {
    /// Interfaces.
    pub interfaces: Vec<Tracked>,
    /// Scripts: names of `vrrp_script`.
    pub scripts: Vec<Tracked>,
    /// Files: names of `track_file`.
    pub files: Vec<Tracked>,
    /// Processes: names of `vrrp_track_process`.
    pub processes: Vec<Tracked>,
}

/// Heaviest weight of an interface and a script.
pub(super) const HEAVIEST: i64 = 253;

/// Heaviest weight of a file and a process.
pub(super) const HEAVIEST_OF_FILES: i64 = 254;

impl Tracking {
    pub(super) fn read_interfaces(&mut self, entry: &mut Entry<'_>) -> Result<(), Diagnostic> {
        let list = entry.list(|line| {
            let name = line.interface()?;
            weighted(name, line, HEAVIEST)
        })?;
        self.interfaces.extend(list);
        Ok(())
    }

    pub(super) fn read_scripts(&mut self, entry: &mut Entry<'_>) -> Result<(), Diagnostic> {
        self.scripts.extend(named(entry, "the name of a vrrp_script", HEAVIEST)?);
        Ok(())
    }

    pub(super) fn read_files(&mut self, entry: &mut Entry<'_>) -> Result<(), Diagnostic> {
        self.files.extend(named(entry, "the name of a track_file", HEAVIEST_OF_FILES)?);
        Ok(())
    }

    pub(super) fn read_processes(&mut self, entry: &mut Entry<'_>) -> Result<(), Diagnostic> {
        self.processes.extend(named(entry, "the name of a vrrp_track_process", HEAVIEST_OF_FILES)?);
        Ok(())
    }
}

fn named(entry: &mut Entry<'_>, what: &str, heaviest: i64) -> Result<Vec<Tracked>, Diagnostic> {
    entry.list(|line| {
        let name = line.name(what)?;
        weighted(name, line, heaviest)
    })
}

fn weighted(name: Name, line: &mut Entry<'_>, heaviest: i64) -> Result<Tracked, Diagnostic> {
    let weight = match line.peek() {
        None => None,
        Some(_) => {
            line.one_of(&[("weight", ())])?;
            Some(line.weight(heaviest)?)
        }
    };
    Ok(Tracked { name, weight })
}
