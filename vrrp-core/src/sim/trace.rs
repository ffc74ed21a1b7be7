//! The trace: one line an event.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::IpAddr;

use crate::Instant;

/// How much the trace shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Detail {
    /// Nothing: for speed.
    #[default]
    Off,
    /// What changes something: not the advertisements that come as they came before.
    Brief,
    /// Every advertisement.
    Full,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    pub(super) detail: Detail,
    text: String,
    /// A line that is of interest only if another one follows from it.
    pending: String,
    /// Whose address is whose.
    names: Vec<(IpAddr, String)>,
}

/// How wide the column of names is.
const NAME_WIDTH: usize = 7;

impl Trace {
    pub(super) fn is_on(&self) -> bool {
        self.detail > Detail::Off
    }

    /// A line, after the one that it follows from.
    pub(super) fn line(&mut self, now: Instant, who: &str, what: fmt::Arguments<'_>) {
        if self.is_on() {
            self.text.push_str(&self.pending);
            self.pending.clear();
            write_line(&mut self.text, now, who, what);
        }
    }

    /// A line that is left out unless another one follows before [`settle`](Self::settle).
    pub(super) fn aside(&mut self, now: Instant, who: &str, what: fmt::Arguments<'_>) {
        match self.detail {
            Detail::Off => {}
            Detail::Brief => write_line(&mut self.pending, now, who, what),
            Detail::Full => self.line(now, who, what),
        }
    }

    /// Nothing more follows from what happened.
    pub(super) fn settle(&mut self) {
        self.pending.clear();
    }

    /// Text as it is, for instance of a command.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn take(&mut self) -> String {
        core::mem::take(&mut self.text)
    }

    /// The last `lines` lines.
    pub(super) fn tail(&self, lines: usize) -> &str {
        let from = self.text.rmatch_indices('\n').nth(lines).map_or(0, |(at, _)| at + 1);
        self.text.get(from..).unwrap_or_default()
    }

    pub(super) fn name(&mut self, address: IpAddr, name: String) {
        self.names.push((address, name));
    }

    /// `text` with a name for the address in it.
    pub(super) fn with_name(&self, text: String, address: Option<IpAddr>) -> String {
        match address {
            Some(address) => text.replacen(&format!("{address}"), &self.who(address), 1),
            None => text,
        }
    }

    /// Whose address this is.
    pub(super) fn who(&self, address: IpAddr) -> String {
        match self.names.iter().find(|(known, _)| *known == address) {
            Some((_, name)) => name.clone(),
            None => format!("{address}"),
        }
    }
}

fn write_line(text: &mut String, now: Instant, who: &str, what: fmt::Arguments<'_>) {
    let (seconds, micros) = (now.as_nanos() / 1_000_000_000, now.as_nanos() % 1_000_000_000 / 1_000);
    // Writing to a string does not fail.
    let _ = writeln!(text, "{seconds:>4}.{micros:06} {who:<NAME_WIDTH$} {what}");
}
