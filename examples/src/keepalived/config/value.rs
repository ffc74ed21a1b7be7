//! Values that several keywords take.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::keepalived::source::Span;

/// A name, and where it stands: what it refers to may not be there. Two are equal if they read the same.
#[derive(Clone, Debug, Default)]
pub struct Name {
    /// What it reads.
    pub text: String,
    /// Where.
    pub span: Span,
}

impl Name {
    /// What it reads.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Name {}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// A length of time; JSON has it in decimal seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Seconds(pub Duration);

impl Seconds {
    /// Whole seconds.
    pub const fn new(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

/// A command, and whom it runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Script {
    /// As it is written, without the quotes round it.
    pub line: String,
    /// The program and its arguments; at least one word.
    pub command: Vec<String>,
    /// The user; `None` is the one of `script_user`.
    pub user: Option<String>,
    /// The group; `None` is the user's.
    pub group: Option<String>,
    /// Where it stands.
    #[serde(skip)]
    pub span: Span,
}

/// What something that is watched does to a priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Weight {
    /// How much; 0 is FAULT instead.
    pub value: i32,
    /// It does the opposite.
    pub reverse: bool,
}

/// A password or key, which no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<secret>")
    }
}
