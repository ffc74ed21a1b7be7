//! Notify scripts and mails of a virtual router and of a group.

use serde::Serialize;

use super::value::Script;
use crate::keepalived::diagnostic::Diagnostic;
use crate::keepalived::entry::Entry;

/// Who is told of a change of state.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Notify {
    /// On entering MASTER.
    pub master: Option<Script>,
    /// On entering BACKUP.
    pub backup: Option<Script>,
    /// On entering FAULT.
    pub fault: Option<Script>,
    /// On stopping.
    pub stop: Option<Script>,
    /// After it is gone from a configuration that is read anew.
    pub deleted: Option<Script>,
    /// `notify_deleted` is given, with or without a script: the other ways say DELETED instead of FAULT.
    pub say_deleted: bool,
    /// As MASTER, on an advertisement of lower priority.
    pub master_rx_lower_pri: Option<Script>,
    /// On all of them, after the others, with four more arguments.
    pub any: Option<Script>,
    /// Changes of priority go to the FIFOs. `None`: as `global_defs` says.
    pub priority_changes: Option<bool>,
    /// Mails are sent. `None`: as `global_defs` says.
    pub smtp_alert: Option<bool>,
}

impl Notify {
    pub(super) fn read(&mut self, entry: &mut Entry<'_>) -> Result<(), Diagnostic> {
        match entry.keyword() {
            "notify_master" => self.master = Some(entry.script()?),
            "notify_backup" => self.backup = Some(entry.script()?),
            "notify_fault" => self.fault = Some(entry.script()?),
            "notify_stop" => self.stop = Some(entry.script()?),
            "notify_deleted" => {
                self.say_deleted = true;
                self.deleted = if entry.is_over() { None } else { Some(entry.script()?) };
            }
            "notify_master_rx_lower_pri" => self.master_rx_lower_pri = Some(entry.script()?),
            "notify_priority_changes" => self.priority_changes = Some(entry.boolean()?),
            "smtp_alert" => self.smtp_alert = Some(entry.boolean()?),
            _ => self.any = Some(entry.script()?),
        }
        Ok(())
    }
}
