//! From what a keepalived.conf says to what a daemon runs.

mod balance;

use super::config::Configuration;
use super::diagnostic::Report;
use super::Reading;
use crate::daemon::config::Config;

/// What a daemon is to run for a configuration. What cannot be run is an error of the report, what is not done here a
/// warning.
pub fn config(reading: &mut Reading) -> Config {
    let mut builder = Builder { configuration: &reading.configuration, report: &mut reading.report };
    Config { director: builder.director(), ..Config::default() }
}

/// A configuration on its way.
struct Builder<'r> {
    configuration: &'r Configuration,
    report: &'r mut Report,
}
