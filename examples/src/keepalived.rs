//! keepalived's configuration: reads a keepalived.conf as keepalived 2.2 does, and says all that is wrong with it.
//!
//! [`read`] gives a [`Configuration`], plain data, and a [`Report`]: of what is wrong (an error, with the line and the
//! nearest keyword), and of what keepalived knows and does not exist here (a warning). The files may come from anywhere:
//! [`Files`].
//!
//! The way is from lines to words to blocks to values. `source` has the files and where in them something stands; `expand`
//! reads them line by line, through conditions (`@host`), definitions (`$NAME=`), sequences (`~SEQ`) and includes; `lexer`
//! and `tree` make blocks of the lines; `keyword` and `entry` are what the tables of keywords in `config` are written in.

#[cfg(feature = "daemons")]
pub mod build;
pub mod config;
pub mod diagnostic;
pub mod source;

mod definitions;
mod entry;
mod expand;
mod include;
mod keyword;
mod lexer;
mod sequence;
mod text;
mod tree;

use std::path::Path;

pub use self::config::Configuration;
pub use self::diagnostic::{Diagnostic, Report, Severity};
pub use self::expand::Limits;
pub use self::source::{Disk, Files, Memory, Sources, Span};

/// What a file became.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What it says. With errors it is what could be made of it.
    pub configuration: Configuration,
    /// The files that were read.
    pub sources: Sources,
    /// What is wrong with them.
    pub report: Report,
}

/// How a configuration is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What `@` lines are compared with, and `${_INSTANCE}`: `-i`, or the short name of the host.
    pub config_id: String,
    /// How much it may become.
    pub limits: Limits,
    /// What `${_RANDOM}` begins with.
    pub seed: u64,
}

impl Options {
    /// For a host, or what `-i` says.
    pub fn new(config_id: impl Into<String>) -> Self {
        Self { config_id: config_id.into(), limits: Limits::default(), seed: 0 }
    }
}

/// Reads a configuration with all that it includes.
pub fn read(path: &Path, files: &dyn Files, options: &Options) -> Reading {
    let expander = expand::Expander::new(files, &options.config_id, options.limits, options.seed);
    let (nodes, sources, mut report) = expander.read(path);
    let configuration = Configuration::from_tree(&nodes, &mut report);
    Reading { configuration, sources, report }
}
