//! `vrrp_sync_group`: virtual routers that move together.

use serde::Serialize;

use super::notify::Notify;
use super::track::Tracking;
use super::value::Name;
use crate::keepalived::keyword::{Keyword, read, unsupported_block};

/// Virtual routers that move together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncGroup {
    /// Its name.
    pub name: Name,
    /// Its members: names of `vrrp_instance`.
    pub group: Vec<Name>,
    /// What it watches for all of them.
    pub track: Tracking,
    /// Whom it tells.
    pub notify: Notify,
    /// What members watch keeps its weight.
    pub sync_group_tracking_weight: bool,
    /// What members watch is watched for all of them.
    pub global_tracking: bool,
}

impl SyncGroup {
    pub(super) fn new(name: Name) -> Self {
        Self {
            name,
            group: Vec::new(),
            track: Tracking::default(),
            notify: Notify::default(),
            sync_group_tracking_weight: false,
            global_tracking: false,
        }
    }
}

pub(super) const SYNC_GROUP: &[Keyword<SyncGroup>] = &[
    read(&["group"], |group, entry| {
        let names = entry.list(|line| {
            let first = line.name("the name of a vrrp_instance")?;
            // Several on a line are several.
            let rest = line.rest().iter().map(|word| Name { text: word.text.clone(), span: word.span });
            Ok(std::iter::once(first).chain(rest).collect::<Vec<_>>())
        })?;
        group.group.extend(names.into_iter().flatten());
        Ok(())
    }),
    read(&["track_interface"], |group, entry| group.track.read_interfaces(entry)),
    read(&["track_script"], |group, entry| group.track.read_scripts(entry)),
    read(&["track_file"], |group, entry| group.track.read_files(entry)),
    read(&["track_process"], |group, entry| group.track.read_processes(entry)),
    read(&["notify_master"], |group, entry| group.notify.read(entry)),
    read(&["notify_backup"], |group, entry| group.notify.read(entry)),
    read(&["notify_fault"], |group, entry| group.notify.read(entry)),
    read(&["notify_stop"], |group, entry| group.notify.read(entry)),
    read(&["notify_deleted"], |group, entry| group.notify.read(entry)),
    read(&["notify"], |group, entry| group.notify.read(entry)),
    read(&["notify_priority_changes"], |group, entry| group.notify.read(entry)),
    read(&["smtp_alert"], |group, entry| group.notify.read(entry)),
    read(&["sync_group_tracking_weight"], |group, _| {
        group.sync_group_tracking_weight = true;
        Ok(())
    }),
    read(&["global_tracking"], |group, _| {
        group.global_tracking = true;
        Ok(())
    }),
    unsupported_block(&["track_bfd"], super::BFD, &[]),
];
