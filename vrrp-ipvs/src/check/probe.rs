//! What the conversations of all checks have in common: octets in, octets out, a verdict.

use std::fmt;

/// One attempt's conversation with a server, without I/O.
///
/// Whoever carries the octets calls [`opened`](Self::opened) once a connection is there (for datagrams: the socket), then
/// [`received`](Self::received) with what arrives, and sends what they append to `output`, in order. For a stream
/// `received` may get any pieces of it; for datagrams each is one call, and each output is one datagram. Once a call gave
/// [`Progress::Done`] the conversation is over.
pub trait Exchange {
    /// A connection is made.
    fn opened(&mut self, output: &mut Vec<u8>) -> Progress;

    /// Octets arrived.
    fn received(&mut self, input: &[u8], output: &mut Vec<u8>) -> Progress;

    /// The server ended the stream.
    fn ended(&mut self) -> Progress;

    /// The time for it is over; `connected` says whether that was spent waiting for an answer.
    fn expired(&mut self, connected: bool) -> Verdict {
        Err(Failure::TimedOut(if connected { Stage::Reply } else { Stage::Connect }))
    }
}

/// How far a conversation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More has to arrive.
    Pending,
    /// This connection has served: close it and make another one.
    Again,
    /// It is over.
    Done(Verdict),
}

impl Progress {
    /// Over, and the server did as it should.
    pub const PASSED: Self = Self::Done(Ok(Passed { weight: None }));

    /// Over, and it did not.
    pub const fn failed(failure: Failure) -> Self {
        Self::Done(Err(failure))
    }
}

/// What an attempt found.
pub type Verdict = Result<Passed, Failure>;

/// The server did as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Passed {
    /// What the check says about the server's weight; `None`: nothing.
    pub weight: Option<Weight>,
}

/// What a check says about its server's weight. Those of several checks add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Weight {
    /// It is this (keepalived's `misc_dynamic`).
    Is(u32),
    /// It is the configured one and this much more, or less (keepalived's `FILE_CHECK`).
    More(i64),
}

/// What was waited for when the time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Stage {
    /// The connection.
    Connect,
    /// The answer, or its end.
    Reply,
}

/// Why an attempt failed: what the server did.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Failure {
    /// The connection was refused, could not be made or broke, for this reason of the kernel's.
    Connection(String),
    /// It took too long.
    TimedOut(Stage),
    /// The server ended the connection in the middle.
    Ended,
    /// What it sent is not what its protocol allows.
    Malformed(String),
    /// It sent more than this many octets.
    TooLong {
        /// Of what.
        part: Part,
        /// As many were allowed.
        limit: u64,
    },
    /// HTTP: another status than expected.
    Status(u16),
    /// HTTP: the body's MD5 is this, in hexadecimal.
    Digest(String),
    /// HTTP: the regular expression matched nothing.
    NoMatch,
    /// HTTP: the regular expression matched, and must not.
    Match,
    /// TLS: the handshake failed, for this reason.
    Tls(String),
    /// SMTP: this reply instead of the code expected.
    SmtpReply {
        /// The server's.
        code: u16,
        /// What would have been right.
        expected: u16,
    },
    /// DNS: this response code.
    DnsCode(u8),
    /// UDP: a reply of that many octets.
    ReplyLength(usize),
    /// UDP: the reply does not begin as it must.
    ReplyContent,
    /// Command: it ended with this status.
    Exit(i32),
    /// Command: this signal killed it.
    Signal(i32),
    /// Command: it could not be run, for this reason.
    NotRun(String),
    /// File: it cannot be read, for this reason.
    File(String),
    /// File: the number in it says that the server is down.
    Value(i64),
    /// The application says so.
    Application(String),
}

/// Part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Part {
    /// All before the body.
    Head,
    /// The body.
    Body,
    /// A reply of SMTP.
    Reply,
    /// The content of a file.
    File,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the head of the answer",
            Self::Body => "the body",
            Self::Reply => "the reply",
            Self::File => "the file",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(reason) => write!(f, "no connection: {reason}"),
            Self::TimedOut(Stage::Connect) => f.write_str("no connection in time"),
            Self::TimedOut(Stage::Reply) => f.write_str("no whole answer in time"),
            Self::Ended => f.write_str("the server ended the connection before its answer was whole"),
            Self::Malformed(what) => write!(f, "the answer cannot be read: {what}"),
            Self::TooLong { part, limit } => write!(f, "{part} is longer than {limit} octets"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Digest(digest) => write!(f, "the body's MD5 is {digest}"),
            Self::NoMatch => f.write_str("the regular expression matches nothing"),
            Self::Match => f.write_str("the regular expression matches"),
            Self::Tls(reason) => write!(f, "TLS: {reason}"),
            Self::SmtpReply { code, expected } => write!(f, "SMTP reply {code} instead of {expected}"),
            Self::DnsCode(code) => write!(f, "DNS response code {code}"),
            Self::ReplyLength(length) => write!(f, "a reply of {length} octets"),
            Self::ReplyContent => f.write_str("a reply with other content"),
            Self::Exit(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::NotRun(reason) => write!(f, "could not be run: {reason}"),
            Self::File(reason) => write!(f, "the file cannot be read: {reason}"),
            Self::Value(value) => write!(f, "the file says {value}"),
            Self::Application(reason) => f.write_str(reason),
        }
    }
}
