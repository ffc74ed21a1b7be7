//! keepalived's `FILE_CHECK`: somebody else writes into a file how the server is.

use std::path::PathBuf;

use super::probe::{Failure, Part, Passed, Verdict, Weight};

/// The file that a check reads.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct File {
    /// Its path. It is read when it has changed, as keepalived does, and every `delay_loop`, which finds out what the kernel
    /// tells nobody of (inotify): that a file is there again, or was written by somebody who does not close it.
    pub path: PathBuf,
    /// What its number is multiplied by before it is added to the weight. 0: any number but 0 is a failure.
    pub weight: i32,
    /// The other sign; with `weight` 0 it is the number 0 alone that is a failure.
    pub reverse: bool,
    /// The number changes no weight: it says only whether the server is up, which one is not that takes the weight below all
    /// limits (keepalived's `FILE_CHECK` without `dynamic`). Default: false.
    pub fixed: bool,
}

/// Most octets read of a file.
pub(crate) const LONGEST: usize = 64;

/// A weight so low that the server is down: keepalived's limit.
const FAULT: i64 = -2_147_483_647;

impl File {
    /// What `content`, which need not be more than its first 65 octets, says of the server.
    ///
    /// # Errors
    /// [`Failure`] if it is no number, or one that says that the server is down. keepalived reads text that is no number
    /// as 0, so that a file written wrongly says that all is well.
    pub fn judge(&self, content: &[u8]) -> Verdict {
        if content.len() > LONGEST {
            return Err(Failure::TooLong { part: Part::File, limit: LONGEST as u64 });
        }
        let text = String::from_utf8_lossy(content);
        let value: i64 = match text.trim() {
            // A file just made, as `touch` or a shell's `>` makes it.
            "" => 0,
            number => number.parse().map_err(|_| {
                let shown: String = number.chars().flat_map(char::escape_default).collect();
                Failure::File(format!("\"{shown}\" is no number"))
            })?,
        };
        let factor = i64::from(self.weight);
        let factor = if self.reverse { -factor } else { factor };
        match (factor, value) {
            (0, value) if (value == 0) != self.reverse => Ok(Passed::default()),
            (0, value) => Err(Failure::Value(value)),
            (factor, value) => match factor.saturating_mul(value) {
                more if more <= FAULT => Err(Failure::Value(value)),
                more => Ok(Passed { weight: (!self.fixed).then_some(Weight::More(more)) }),
            },
        }
    }
}
