//! The `garp_*` options: how the hosts on the link are told where the addresses are.

use serde::Serialize;

use super::value::{Name, Seconds};
use crate::keepalived::keyword::{Keyword, read};

/// How often gratuitous ARP and unsolicited neighbour advertisements are sent. What is `None` is as `global_defs` says, and
/// there as keepalived does it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Announcements {
    /// When they are repeated after a promotion; 0: never. Default: 5 s.
    pub master_delay: Option<Seconds>,
    /// How many of each address then. Default: 5.
    pub master_repeat: Option<u32>,
    /// When they are repeated after an advertisement of lower priority. Default: `master_delay`.
    pub lower_prio_delay: Option<Seconds>,
    /// How many of each address then. Default: `master_repeat`.
    pub lower_prio_repeat: Option<u32>,
    /// How often they are repeated while nothing happens; 0: never. Default: 0.
    pub master_refresh: Option<Seconds>,
    /// How many of each address then. Default: 1.
    pub master_refresh_repeat: Option<u32>,
    /// Least time between two on an interface. Default: 0.
    pub garp_interval: Option<Seconds>,
    /// The same for neighbour advertisements. Default: 0.
    pub gna_interval: Option<Seconds>,
}

impl Announcements {
    /// With what others say where this one says nothing.
    pub(super) fn or(&self, others: &Self) -> Self {
        Self {
            master_delay: self.master_delay.or(others.master_delay),
            master_repeat: self.master_repeat.or(others.master_repeat),
            lower_prio_delay: self.lower_prio_delay.or(others.lower_prio_delay),
            lower_prio_repeat: self.lower_prio_repeat.or(others.lower_prio_repeat),
            master_refresh: self.master_refresh.or(others.master_refresh),
            master_refresh_repeat: self.master_refresh_repeat.or(others.master_refresh_repeat),
            garp_interval: self.garp_interval.or(others.garp_interval),
            gna_interval: self.gna_interval.or(others.gna_interval),
        }
    }
}

/// Interfaces that share a limit of announcements.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct GarpGroup {
    /// Least time between two gratuitous ARP.
    pub garp_interval: Option<Seconds>,
    /// Least time between two unsolicited neighbour advertisements.
    pub gna_interval: Option<Seconds>,
    /// The interfaces.
    pub interfaces: Vec<Name>,
}

pub(super) const GARP_GROUP: &[Keyword<GarpGroup>] = &[
    read(&["garp_interval"], |group, entry| {
        group.garp_interval = Some(entry.seconds(0..=MOST_INTERVAL)?);
        Ok(())
    }),
    read(&["gna_interval"], |group, entry| {
        group.gna_interval = Some(entry.seconds(0..=MOST_INTERVAL)?);
        Ok(())
    }),
    read(&["interface"], |group, entry| {
        group.interfaces.push(entry.interface()?);
        Ok(())
    }),
    read(&["interfaces"], |group, entry| {
        group.interfaces.extend(entry.list(|line| line.interface())?);
        Ok(())
    }),
];

/// A day, which is long for a pause between two packets, in seconds.
pub(super) const MOST_INTERVAL: u64 = 86_400;
