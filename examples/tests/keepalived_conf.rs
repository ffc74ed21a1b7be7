//! keepalived.conf files as people write them: real deployments, and typical mistakes with what is said about them.

#[path = "keepalived_conf/balance.rs"]
mod balance;
#[path = "keepalived_conf/deployments.rs"]
mod deployments;
#[path = "keepalived_conf/keywords.rs"]
mod keywords;
#[path = "keepalived_conf/mistakes.rs"]
mod mistakes;

use std::path::Path;

use examples::keepalived::{Memory, Options, Reading, read};

/// Reads a text as if it were `k.conf` on the host `main`.
fn reading(text: &str) -> Reading {
    read(Path::new("k.conf"), &Memory::new([("k.conf", text)]), &Options::new("main"))
}

/// The same, of which nothing is wrong.
#[track_caller]
fn flawless(text: &str) -> examples::keepalived::Configuration {
    let Reading { configuration, sources, report } = reading(text);
    assert!(report.diagnostics().is_empty(), "{}", report.display(&sources));
    configuration
}

/// What is said about a text, as it is shown.
fn said(text: &str) -> String {
    let Reading { sources, report, .. } = reading(text);
    report.display(&sources).to_string()
}
