//! keepalived's `HTTP_GET` and `SSL_GET`: pages are fetched, and are what they should be (RFC 9112).
//!
//! One attempt fetches every URL, each over a connection of its own. keepalived makes one attempt for each, one
//! `delay_loop` after the other, so that with n of them a failure may stay unseen for n periods.

mod answer;

use std::fmt;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use self::answer::{Answer, Reading};
use super::probe::{Exchange, Failure, Part, Progress};

/// What an HTTP check fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Http {
    /// The pages; at least one.
    pub urls: Vec<Url>,
    /// The `Host` of those that name none. `None`: the address that is connected to.
    pub virtual_host: Option<String>,
    /// The version of the request. Default: 1.1.
    pub version: Version,
    /// The longest body, in octets; a longer one is a failure. Default: 16 MiB. None of it is kept but what a regular
    /// expression may look at.
    pub body_limit: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self { urls: Vec::new(), virtual_host: None, version: Version::default(), body_limit: 16 << 20 }
    }
}

/// The version of a request (keepalived's `http_protocol`). The answer may be of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Version {
    /// HTTP/1.1, with `Connection: close`.
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "1.1"))]
    Http11,
    /// HTTP/1.0, without a word about the connection, which ends with the answer by itself.
    #[cfg_attr(feature = "serde", serde(rename = "1.0"))]
    Http10,
    /// HTTP/1.0 with `Connection: close`.
    #[cfg_attr(feature = "serde", serde(rename = "1.0C"))]
    Http10Close,
}

/// One page, and what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Url {
    /// Its path, with the query if it has one. Default: `/`.
    pub path: String,
    /// The `Host` to ask for.
    pub virtual_host: Option<String>,
    /// The statuses that are right; at least one. Default: 200-299.
    pub status: Vec<StatusRange>,
    /// The MD5 of the body in hexadecimal, as keepalived's `genhash` prints it. A body that came in chunks is taken
    /// without what frames them.
    pub digest: Option<String>,
    /// What the body must contain.
    pub regex: Option<Pattern>,
}

impl Default for Url {
    fn default() -> Self {
        let status = vec![StatusRange { first: 200, last: 299 }];
        Self { path: "/".into(), virtual_host: None, status, digest: None, regex: None }
    }
}

/// Statuses from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct StatusRange {
    /// The lowest one.
    pub first: u16,
    /// The highest one.
    pub last: u16,
}

/// A regular expression over the body, in the syntax of the crate `regex`: that of PCRE without look-around and back
/// references, which is what makes its time linear in what a server sends.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Pattern {
    /// The expression. Options stand in it: `(?i)`.
    pub expression: String,
    /// A match is a failure (keepalived's `regex_no_match`).
    pub negate: bool,
    /// From which octet of the body on it is looked for (keepalived's `regex_min_offset`).
    pub min_offset: u64,
    /// The last octet that a match may begin at (keepalived's `regex_max_offset`).
    pub max_offset: Option<u64>,
}

/// How much of a body, from [`Pattern::min_offset`] on, a regular expression looks at.
pub const WINDOW: usize = 64 << 10;

/// The longest head of an answer.
const LONGEST_HEAD: usize = 16 << 10;

/// An HTTP check that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Nothing to fetch.
    #[error("an HTTP check needs at least one URL")]
    NoUrl,
    /// Not what can stand in a request's first line.
    #[error("path {0:?} is none: it begins with / and has no space and no control character")]
    Path(String),
    /// Not what can stand in a `Host` field.
    #[error("virtual host {0:?} is none: a name or an address, without spaces and control characters")]
    VirtualHost(String),
    /// Whatever came would be wrong.
    #[error("path {0:?} has no status that is right: give one, or leave the default of 200-299")]
    NoStatus(String),
    /// No status can be right.
    #[error("statuses {first}-{last} are none: first <= last, both 100..=999")]
    Status {
        /// The lowest one.
        first: u16,
        /// The highest one.
        last: u16,
    },
    /// Not an MD5.
    #[error("digest {0:?} is none: 32 hexadecimal digits, as genhash prints them")]
    Digest(String),
    /// Not a regular expression.
    #[error("{0}")]
    Regex(String),
}

/// The pages of a check, ready to be asked for.
#[derive(Clone, Debug)]
pub struct Requests {
    pages: Arc<[Page]>,
    body_limit: u64,
}

#[derive(Debug)]
struct Page {
    request: Vec<u8>,
    status: Vec<StatusRange>,
    digest: Option<[u8; 16]>,
    regex: Option<(Regex, Pattern)>,
}

impl Http {
    /// Checks the configuration and writes the requests; `address` is what a `Host` field says if nothing else is given.
    ///
    /// # Errors
    /// [`HttpError`] for what cannot be asked for.
    pub fn requests(&self, address: impl fmt::Display) -> Result<Requests, HttpError> {
        if self.urls.is_empty() {
            return Err(HttpError::NoUrl);
        }
        let address = address.to_string();
        let page = |url: &Url| {
            let host = url.virtual_host.as_ref().or(self.virtual_host.as_ref()).unwrap_or(&address);
            url.page(host, self.version)
        };
        Ok(Requests { pages: self.urls.iter().map(page).collect::<Result<_, _>>()?, body_limit: self.body_limit })
    }
}

impl Url {
    fn page(&self, host: &str, version: Version) -> Result<Page, HttpError> {
        let is_visible = |text: &str| text.chars().all(|c| !c.is_whitespace() && !c.is_control());
        if !self.path.starts_with('/') || !is_visible(&self.path) {
            return Err(HttpError::Path(self.path.clone()));
        }
        if host.is_empty() || !is_visible(host) {
            return Err(HttpError::VirtualHost(host.into()));
        }
        if self.status.is_empty() {
            return Err(HttpError::NoStatus(self.path.clone()));
        }
        for &StatusRange { first, last } in &self.status {
            if first > last || first < 100 || last > 999 {
                return Err(HttpError::Status { first, last });
            }
        }
        let digest = match &self.digest {
            Some(text) => Some(parse_digest(text).ok_or_else(|| HttpError::Digest(text.clone()))?),
            None => None,
        };
        let regex = match &self.regex {
            Some(pattern) => {
                let regex = RegexBuilder::new(&pattern.expression).size_limit(LARGEST_REGEX).build();
                Some((regex.map_err(|error| HttpError::Regex(error.to_string()))?, pattern.clone()))
            }
            None => None,
        };
        let (version, connection) = match version {
            Version::Http11 => ("1.1", "Connection: close\r\n"),
            Version::Http10 => ("1.0", ""),
            Version::Http10Close => ("1.0", "Connection: close\r\n"),
        };
        let request = format!(
            "GET {} HTTP/{version}\r\nHost: {host}\r\nUser-Agent: vrrp-ipvs\r\nAccept: */*\r\n{connection}\r\n",
            self.path
        );
        Ok(Page { request: request.into_bytes(), status: self.status.clone(), digest, regex })
    }
}

/// Most memory that a compiled expression may take.
const LARGEST_REGEX: usize = 1 << 20;

fn parse_digest(text: &str) -> Option<[u8; 16]> {
    let mut digest = [0; 16];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (place, [high, low]) in digest.iter_mut().zip(pairs) {
        let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *place = digit(high)? << 4 | digit(low)?;
    }
    Some(digest)
}

/// The conversation of an HTTP check: all its pages, each over a connection of its own.
#[derive(Debug)]
pub struct HttpExchange {
    requests: Requests,
    at: usize,
    answer: Answer,
}

impl HttpExchange {
    /// For one attempt.
    pub fn new(requests: Requests) -> Self {
        Self { requests, at: 0, answer: Answer::new(false, None, 0) }
    }

    fn read_on(&mut self, reading: Result<Reading, Failure>) -> Progress {
        match reading {
            Err(failure) => Progress::failed(failure),
            Ok(Reading::Pending) => {
                let wrong = self.answer.status().filter(|status| !self.is_right(*status));
                wrong.map_or(Progress::Pending, |status| Progress::failed(Failure::Status(status)))
            }
            Ok(Reading::Whole) => match self.judge() {
                Err(failure) => Progress::failed(failure),
                Ok(()) => {
                    self.at += 1;
                    if self.at < self.requests.pages.len() { Progress::Again } else { Progress::PASSED }
                }
            },
        }
    }

    fn page(&self) -> Option<&Page> {
        self.requests.pages.get(self.at)
    }

    fn is_right(&self, status: u16) -> bool {
        self.page().is_some_and(|page| page.status.iter().any(|range| (range.first..=range.last).contains(&status)))
    }

    /// Whether the answer, which is whole, is what its page should be.
    fn judge(&self) -> Result<(), Failure> {
        let status = self.answer.status().unwrap_or_default();
        if !self.is_right(status) {
            return Err(Failure::Status(status));
        }
        let Some(page) = self.page() else { return Ok(()) };
        if let Some(expected) = page.digest {
            let digest = self.answer.digest();
            if digest != Some(expected) {
                let shown = digest.unwrap_or_default().iter().map(|octet| format!("{octet:02x}")).collect();
                return Err(Failure::Digest(shown));
            }
        }
        let Some((regex, pattern)) = &page.regex else { return Ok(()) };
        let longest = pattern.max_offset.map(|max| max.saturating_sub(pattern.min_offset));
        let found = regex.find(self.answer.window()).is_some_and(|found| {
            let start = u64::try_from(found.start()).unwrap_or(u64::MAX);
            longest.is_none_or(|longest| start <= longest)
        });
        match (found, pattern.negate) {
            (true, false) | (false, true) => Ok(()),
            (false, false) => Err(Failure::NoMatch),
            (true, true) => Err(Failure::Match),
        }
    }
}

impl Exchange for HttpExchange {
    fn opened(&mut self, output: &mut Vec<u8>) -> Progress {
        let (digest, window) = match self.page() {
            Some(page) => {
                output.extend_from_slice(&page.request);
                (page.digest.is_some(), page.regex.as_ref().map(|(_, pattern)| pattern.min_offset))
            }
            None => (false, None),
        };
        self.answer = Answer::new(digest, window, self.requests.body_limit);
        Progress::Pending
    }

    fn received(&mut self, input: &[u8], _: &mut Vec<u8>) -> Progress {
        let reading = self.answer.read(input);
        self.read_on(reading)
    }

    fn ended(&mut self) -> Progress {
        let reading = self.answer.end();
        self.read_on(reading)
    }
}

/// Part of an answer that is longer than it may be.
const fn too_long(part: Part, limit: u64) -> Failure {
    Failure::TooLong { part, limit }
}
