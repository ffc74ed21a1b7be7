//! Who is measured when: in turns, so that what else the machine does meets both alike.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use benches::subject::Subject;

/// The two, and how thoroughly.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    /// The keepalived.
    pub(crate) peer: PathBuf,
    /// In as little time as can be.
    pub(crate) quick: bool,
    /// No more rounds than that.
    pub(crate) most: Option<u16>,
}

impl Turns {
    pub(crate) fn keepalived(&self) -> Subject {
        Subject::Keepalived(self.peer.clone())
    }

    /// One or the other number.
    pub(crate) fn either<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// How many rounds.
    pub(crate) fn rounds(&self, full: u16, quick: u16) -> u16 {
        let rounds = self.either(full, quick);
        self.most.map_or(rounds, |most| rounds.min(most)).max(1)
    }

    /// So many rounds, in each first us and then keepalived; what each gave. What fails is tried once more.
    pub(crate) fn take<T>(
        &self,
        rounds: u16,
        mut one: impl FnMut(&Subject, u16) -> anyhow::Result<T>,
    ) -> anyhow::Result<[Vec<T>; 2]> {
        let (ours, peer) = (Subject::Ours, self.keepalived());
        let mut results = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            for (subject, results) in [&ours, &peer].into_iter().zip(&mut results) {
                results.push(again(|| one(subject, round)).with_context(|| format!("{subject}, round {round}"))?);
            }
        }
        Ok(results)
    }
}

/// Tries it, and if it fails once more: a machine that is shared stalls at times.
pub(crate) fn again<T>(mut one: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    one().or_else(|error| {
        eprintln!("once more: {error:#}");
        one()
    })
}

/// Looks every 20 ms until there is something.
pub(crate) fn await_some<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let patience = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        anyhow::ensure!(Instant::now() < patience, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_take_turns() {
        let turns = Turns { peer: "peer".into(), quick: false, most: None };
        let mut order = Vec::new();
        let results = turns.take(2, |subject, round| {
            order.push(format!("{subject} {round}"));
            Ok(order.len())
        });
        assert_eq!(results.unwrap(), [vec![1, 3], vec![2, 4]]);
        assert_eq!(order, ["ours 0", "keepalived 0", "ours 1", "keepalived 1"]);
    }

    #[test]
    fn there_are_no_more_rounds_than_wanted_but_one() {
        let turns = |quick, most| Turns { peer: "peer".into(), quick, most };
        assert_eq!(turns(false, None).rounds(9, 2), 9);
        assert_eq!(turns(true, Some(5)).rounds(9, 2), 2);
        assert_eq!([turns(false, Some(5)).rounds(9, 2), turns(false, Some(0)).rounds(9, 2)], [5, 1]);
    }

    #[test]
    fn a_failure_is_tried_once_more_and_no_more() {
        let mut tries = 0;
        let once = again(|| {
            tries += 1;
            if tries == 1 { Err(anyhow::anyhow!("first")) } else { Ok(tries) }
        });
        assert_eq!(once.unwrap(), 2);
        let never = again(|| {
            tries += 1;
            Err::<(), _>(anyhow::anyhow!("try {tries}"))
        });
        assert_eq!((never.unwrap_err().to_string(), tries), ("try 4".to_owned(), 4));
    }
}
