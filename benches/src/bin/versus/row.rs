//! One result.

use super::targets::{self, Demand};

/// What was measured of both; less is better.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Its name: the measure, and what of it.
    pub(crate) measure: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    /// `None`: keepalived has nothing of the kind.
    pub(crate) peer: Option<f64>,
    /// What the kernel alone takes, or the time that is given.
    pub(crate) limit: Option<f64>,
    pub(crate) demand: Option<Demand>,
}

impl Row {
    pub(crate) fn new(measure: impl Into<String>, unit: &'static str, ours: f64, peer: Option<f64>) -> Self {
        let measure = measure.into();
        let demand = targets::demand(&measure);
        Self { measure, unit, ours, peer, limit: None, demand }
    }

    pub(crate) fn with_limit(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Ours by theirs; `None` where theirs is nothing.
    pub(crate) fn ratio(&self) -> Option<f64> {
        quotient(self.ours, self.peer)
    }

    /// What the demand is about: ours by theirs, or ours by the limit.
    pub(crate) fn share(&self) -> Option<f64> {
        match self.demand {
            Some(Demand::OfLimit(_)) => quotient(self.ours, self.limit),
            Some(Demand::OfPeer(_) | Demand::Nothing) | None => self.ratio(),
        }
    }

    /// Whether the demand is met; `None` without one.
    pub(crate) fn met(&self) -> Option<bool> {
        let demand = self.demand?;
        // None at all is always good enough.
        Some(self.ours <= 0.0 || self.share().is_some_and(|share| share <= demand.number()))
    }
}

fn quotient(ours: f64, other: Option<f64>) -> Option<f64> {
    other.filter(|other| *other > 0.0).map(|other| ours / other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, peer: Option<f64>, demand: Option<Demand>) -> Row {
        Row { measure: "a".into(), unit: "ms", ours, peer, limit: Some(10.0), demand }
    }

    #[test]
    fn the_ratio_is_ours_by_theirs() {
        assert_eq!(row(1.0, Some(4.0), None).ratio(), Some(0.25));
        assert_eq!(row(1.0, Some(0.0), None).ratio(), None);
        assert_eq!(row(1.0, None, None).ratio(), None);
    }

    #[test]
    fn a_demand_is_of_theirs_or_of_the_limit() {
        assert_eq!(row(2.0, Some(4.0), Some(Demand::OfPeer(0.5))).met(), Some(true));
        assert_eq!(row(2.1, Some(4.0), Some(Demand::OfPeer(0.5))).met(), Some(false));
        assert_eq!(row(11.0, Some(4.0), Some(Demand::OfLimit(1.1))).met(), Some(true));
        assert_eq!(row(11.1, Some(40.0), Some(Demand::OfLimit(1.1))).met(), Some(false));
        assert_eq!(row(2.0, Some(4.0), None).met(), None);
    }

    #[test]
    fn nothing_at_all_is_always_met_and_something_is_not_nothing() {
        assert_eq!(row(0.0, Some(0.0), Some(Demand::Nothing)).met(), Some(true));
        assert_eq!(row(1.0, Some(1000.0), Some(Demand::Nothing)).met(), Some(false));
        assert_eq!(row(1.0, Some(0.0), Some(Demand::OfPeer(1.0))).met(), Some(false));
    }
}
