//! `virtual_server` with its real servers and their checkers, as the director takes them.

use super::Builder;
use crate::daemon::config::DirectorConfig;

impl Builder<'_> {
    /// What is balanced; `None` if nothing is.
    pub(super) fn director(&mut self) -> Option<DirectorConfig> {
        None
    }
}
