//! keepalived's `MISC_CHECK`: a program says how the server is, with its exit status.

use std::path::PathBuf;
use std::time::Duration;

use super::probe::{Failure, Passed, Verdict, Weight};

/// The program that a check runs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Command {
    /// Its path. No shell is between.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// After how long it is killed, with its process group. `None`: `delay_loop`.
    pub timeout: Option<Duration>,
    /// Its exit status tells the weight too (keepalived's `misc_dynamic`).
    pub dynamic: bool,
    /// The user that it runs as; `None`: ours.
    pub user: Option<u32>,
    /// The group that it runs as; `None`: ours.
    pub group: Option<u32>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

impl Command {
    /// What `end` says of the server.
    ///
    /// 0 is success. With `dynamic` 2..=255 are success too, and set the weight to two less.
    ///
    /// # Errors
    /// [`Failure`] for everything else.
    pub fn judge(&self, end: End) -> Verdict {
        match end {
            End::Exit(0) => Ok(Passed::default()),
            End::Exit(status) => match u32::try_from(status) {
                Ok(status @ 2..) if self.dynamic => Ok(Passed { weight: Some(Weight::Is(status - 2)) }),
                _ => Err(Failure::Exit(status)),
            },
            End::Signal(signal) => Err(Failure::Signal(signal)),
        }
    }
}
