//! What came of the scenarios, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use vrrp_net::vrrp_core::Interval;

/// How far past its bound a takeover may be and still count: a loaded machine schedules late, the protocol does not.
const ALLOWANCE: Duration = Duration::from_secs(1);

/// One scenario, measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    /// What was done.
    pub(crate) what: &'static str,
    /// The host that held the address.
    pub(crate) from: &'static str,
    /// The host that was to hold it.
    pub(crate) to: &'static str,
    /// From what was done until the client's first answer from the new host, in milliseconds; `None`: never.
    #[serde(rename = "takeover_ms", serialize_with = "milliseconds")]
    pub(crate) takeover: Option<Duration>,
    /// What the protocol allows, in milliseconds.
    #[serde(rename = "bound_ms", serialize_with = "milliseconds")]
    pub(crate) bound: Option<Duration>,
    /// What the protocol calls that.
    pub(crate) bound_name: &'static str,
    /// The longest time in which the client got no answer, in milliseconds.
    #[serde(rename = "outage_ms", serialize_with = "milliseconds")]
    pub(crate) outage: Option<Duration>,
    /// Until the old host's kernel had the address no more, in milliseconds.
    #[serde(rename = "released_ms", serialize_with = "milliseconds")]
    pub(crate) released: Option<Duration>,
    /// Whether the address stood on exactly the right host in the end.
    pub(crate) one_holder: bool,
}

fn milliseconds<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(in_milliseconds).serialize(serializer)
}

fn in_milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

impl Outcome {
    /// Whether what had to happen happened.
    pub(crate) fn succeeded(&self) -> bool {
        let in_time = match (self.bound, self.takeover) {
            (Some(bound), Some(takeover)) => takeover <= bound + ALLOWANCE,
            (Some(_), None) => false,
            // No takeover was due.
            (None, takeover) => takeover.is_none(),
        };
        in_time && self.one_holder
    }

    fn verdict(&self) -> String {
        match (self.succeeded(), self.bound, self.takeover) {
            (false, ..) => "FAILED".to_owned(),
            (true, Some(bound), Some(takeover)) if takeover > bound => {
                format!("ok, {:.1} ms over", in_milliseconds(takeover - bound))
            }
            (true, ..) => "ok".to_owned(),
        }
    }
}

/// The outcomes as a table.
pub(crate) fn table(outcomes: &[Outcome], interval: Interval) -> String {
    let show = |duration: Option<Duration>| duration.map_or("-".to_owned(), |d| format!("{:.1}", in_milliseconds(d)));
    let mut rows = vec![
        ["what happened", "address", "taken over", "bound", "", "no answer", "old host let go", "verdict"]
            .map(str::to_owned),
    ];
    for outcome in outcomes {
        let moved = if outcome.from == outcome.to {
            format!("stays on {}", outcome.to)
        } else {
            format!("{} -> {}", outcome.from, outcome.to)
        };
        rows.push([
            outcome.what.to_owned(),
            moved,
            show(outcome.takeover),
            show(outcome.bound),
            outcome.bound_name.to_owned(),
            show(outcome.outage),
            show(outcome.released),
            outcome.verdict(),
        ]);
    }
    let numbers = [2, 3, 5, 6];
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = format!("\nAdvertisement interval {interval}; times in milliseconds, as the client saw them.\n\n");
    for (n, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = match numbers.contains(&column) {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:<width$}  "),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
        if n == 0 {
            let _ = writeln!(text, "{}", "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
        }
    }
    text
}

/// The outcomes as one JSON object.
pub(crate) fn json(outcomes: &[Outcome], interval: Interval) -> serde_json::Result<String> {
    let outcomes: Vec<serde_json::Value> = outcomes
        .iter()
        .map(|outcome| {
            let mut value = serde_json::to_value(outcome)?;
            value["succeeded"] = outcome.succeeded().into();
            Ok(value)
        })
        .collect::<serde_json::Result<_>>()?;
    serde_json::to_string_pretty(&serde_json::json!({
        "interval_ms": in_milliseconds(interval.as_duration()),
        "outcomes": outcomes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(takeover: Option<u64>, bound: Option<u64>) -> Outcome {
        Outcome {
            what: "the Active is killed",
            from: "a",
            to: "b",
            takeover: takeover.map(Duration::from_millis),
            bound: bound.map(Duration::from_millis),
            bound_name: "Active_Down_Interval",
            outage: None,
            released: None,
            one_holder: true,
        }
    }

    #[test]
    fn a_takeover_that_never_came_or_was_not_due_is_a_failure() {
        assert!(outcome(Some(3600), Some(3609)).succeeded());
        assert!(outcome(Some(3620), Some(3609)).succeeded());
        assert!(!outcome(None, Some(3609)).succeeded());
        assert!(!outcome(Some(9000), Some(3609)).succeeded());
        assert!(outcome(None, None).succeeded());
        assert!(!outcome(Some(1), None).succeeded());
        assert!(!Outcome { one_holder: false, ..outcome(Some(3600), Some(3609)) }.succeeded());
    }

    #[test]
    fn a_late_takeover_says_by_how_much() {
        assert_eq!(outcome(Some(3620), Some(3609)).verdict(), "ok, 11.0 ms over");
    }
}
