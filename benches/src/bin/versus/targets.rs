//! What is demanded: ratios within one run, keepalived's being 1.

use super::row::Row;

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Demand {
    /// At most so much of keepalived's.
    OfPeer(f64),
    /// At most so much of the limit: what the kernel alone takes, or the advertisement interval.
    OfLimit(f64),
    /// Not one.
    Nothing,
}

impl Demand {
    /// The ratio.
    pub(crate) fn number(self) -> f64 {
        match self {
            Self::OfPeer(ratio) | Self::OfLimit(ratio) => ratio,
            Self::Nothing => 0.0,
        }
    }
}

/// By the names of the rows.
const TARGETS: &[(&str, Demand)] = &[
    // With a guardian, from kill -9 to the Backup's first advertisement: about 15 ms of 3 s.
    ("crash/backup ours", Demand::OfPeer(0.005)),
    ("crash/backup keepalived", Demand::OfPeer(0.005)),
    // A polite stop: from SIGTERM to the Backup's first advertisement, and pings every 2 ms that are not answered.
    ("failover/1s stop/takeover", Demand::OfPeer(0.03)),
    ("failover/1s stop/lost pings", Demand::Nothing),
    // Without a guardian: what is beyond Active_Down_Interval.
    ("failover/1s kill/excess", Demand::OfPeer(1.0)),
    ("failover/1s cut/excess", Demand::OfPeer(1.0)),
    ("failover/0.1s kill/excess", Demand::OfPeer(1.0)),
    ("failover/0.1s cut/excess", Demand::OfPeer(1.0)),
    ("failover/0.01s kill/excess", Demand::OfPeer(1.0)),
    ("failover/0.01s cut/excess", Demand::OfPeer(1.0)),
    // From the first advertisement to the first announcement.
    ("failover/1s kill/announcement", Demand::OfPeer(0.2)),
    ("failover/1s stop/announcement", Demand::OfPeer(0.2)),
    ("failover/1s cut/announcement", Demand::OfPeer(0.2)),
    ("failover/0.1s kill/announcement", Demand::OfPeer(0.2)),
    ("failover/0.1s stop/announcement", Demand::OfPeer(0.2)),
    ("failover/0.1s cut/announcement", Demand::OfPeer(0.2)),
    ("failover/0.01s kill/announcement", Demand::OfPeer(0.2)),
    ("failover/0.01s stop/announcement", Demand::OfPeer(0.2)),
    ("failover/0.01s cut/announcement", Demand::OfPeer(0.2)),
    // CPU time of an advertisement.
    ("cpu/255 Active", Demand::OfPeer(0.5)),
    ("cpu/255 Backup", Demand::OfPeer(0.5)),
    ("cpu/1000 Active", Demand::OfPeer(0.5)),
    ("cpu/1000 Backup", Demand::OfPeer(0.5)),
    ("cpu/4000 Active", Demand::OfPeer(0.5)),
    ("cpu/4000 Backup", Demand::OfPeer(0.5)),
    // How far an interval is from what it should be, and the mean of many.
    ("jitter/250/p99", Demand::OfPeer(1.0)),
    ("jitter/250/mean error", Demand::OfPeer(0.1)),
    // From the first advertisement to the last announcement, beside bare additions; and no silence meanwhile.
    ("addresses/5000/announced", Demand::OfLimit(1.1)),
    ("addresses/5000/longest gap", Demand::OfLimit(1.1)),
    ("addresses/5000/missing", Demand::Nothing),
    ("startup/255", Demand::OfPeer(0.15)),
    ("memory/1", Demand::OfPeer(1.0)),
    ("memory/255", Demand::OfPeer(1.0)),
    ("flood/1s/role changes", Demand::Nothing),
    ("flood/1s/cpu", Demand::OfPeer(0.5)),
    ("flood/0.1s/role changes", Demand::Nothing),
    ("flood/0.1s/cpu", Demand::OfPeer(0.5)),
];

/// What is demanded of a row.
pub(crate) fn demand(measure: &str) -> Option<Demand> {
    TARGETS.iter().find(|(name, _)| *name == measure).map(|(_, demand)| *demand)
}

/// The targets of a measure that none of its rows is about.
pub(crate) fn unmeasured(measure: &str, rows: &[Row]) -> Vec<&'static str> {
    let of_measure = |name: &str| name.split('/').next() == Some(measure);
    let names = TARGETS.iter().map(|(name, _)| *name).filter(|name| of_measure(name));
    names.filter(|name| !rows.iter().any(|row| row.measure == *name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_there_once_and_of_a_measure() {
        for (number, (name, _)) in TARGETS.iter().enumerate() {
            assert!(!TARGETS[..number].iter().any(|(other, _)| other == name), "{name}");
            let measure = name.split('/').next().unwrap();
            assert!(crate::MEASURES.iter().any(|(known, _)| *known == measure), "{name}");
        }
    }

    #[test]
    fn a_target_without_a_row_is_noticed() {
        assert_eq!(unmeasured("startup", &[]), ["startup/255"]);
        assert!(unmeasured("startup", &[Row::new("startup/255", "ms", 1.0, None)]).is_empty());
    }
}
