//! An answer of HTTP/1: its head, and its body in whichever way it is framed, of which only what is asked for is kept.

use md5::{Digest, Md5};

use super::{LONGEST_HEAD, WINDOW, too_long};
use crate::check::probe::{Failure, Part};

/// How far an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// More must come.
    Pending,
    /// All of it is there.
    Whole,
}

/// An answer that arrives.
#[derive(Debug)]
pub(super) struct Answer {
    head: Vec<u8>,
    /// How much of the head's room interim answers have taken.
    interim: usize,
    status: Option<u16>,
    frame: Frame,
    body: Body,
}

impl Answer {
    /// Of whose body the digest is asked for or not, and the window that begins at this offset.
    pub(super) fn new(digest: bool, window_at: Option<u64>, limit: u64) -> Self {
        let body = Body { digest: digest.then(Md5::new), window: Vec::new(), window_at, read: 0, limit };
        Self { head: Vec::new(), interim: 0, status: None, frame: Frame::Head, body }
    }

    /// The status, once the head is there.
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    /// The MD5 of what was read of the body, if it was asked for.
    pub(super) fn digest(&self) -> Option<[u8; 16]> {
        self.body.digest.clone().map(|digest| digest.finalize().into())
    }

    /// The part of the body that a regular expression looks at.
    pub(super) fn window(&self) -> &[u8] {
        &self.body.window
    }

    /// Takes what arrived. What follows the end of the answer is passed over.
    pub(super) fn read(&mut self, mut input: &[u8]) -> Result<Reading, Failure> {
        while !input.is_empty() {
            input = match &mut self.frame {
                Frame::Head => self.read_head(input)?,
                Frame::Whole => break,
                Frame::UntilEnd => {
                    self.body.take(input)?;
                    &[]
                }
                Frame::Length(left) => {
                    let (part, rest) = split(input, *left);
                    self.body.take(part)?;
                    *left -= part.len() as u64;
                    if *left == 0 {
                        self.frame = Frame::Whole;
                    }
                    rest
                }
                Frame::Chunked(chunks) => {
                    let rest = chunks.read(input, &mut self.body)?;
                    if chunks.state == Chunk::Over {
                        self.frame = Frame::Whole;
                    }
                    rest
                }
            };
        }
        Ok(if matches!(self.frame, Frame::Whole) { Reading::Whole } else { Reading::Pending })
    }

    /// The server ended the connection.
    pub(super) fn end(&mut self) -> Result<Reading, Failure> {
        match self.frame {
            Frame::UntilEnd | Frame::Whole => Ok(Reading::Whole),
            Frame::Head | Frame::Length(_) | Frame::Chunked(_) => Err(Failure::Ended),
        }
    }

    /// Adds to the head; returns what is not of it.
    fn read_head<'i>(&mut self, input: &'i [u8]) -> Result<&'i [u8], Failure> {
        let before = self.head.len();
        let room = LONGEST_HEAD.saturating_sub(before + self.interim);
        let part = input.get(..room).unwrap_or(input);
        self.head.extend_from_slice(part);
        let begins = self.head.iter().zip(b"HTTP/1.").take_while(|(got, expected)| got == expected).count();
        if begins < self.head.len().min(b"HTTP/1.".len()) {
            let shown = self.head.iter().take(begins + 1).copied().flat_map(std::ascii::escape_default);
            let shown: String = shown.map(char::from).collect();
            return Err(Failure::Malformed(format!("no answer of HTTP/1: it begins with \"{shown}\"")));
        }
        let Some(length) = head_length(&self.head, before) else {
            return if part.len() < input.len() || room == part.len() {
                Err(too_long(Part::Head, LONGEST_HEAD as u64))
            } else {
                Ok(&[])
            };
        };
        let mut headers = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut headers);
        let malformed = |reason: String| Failure::Malformed(reason);
        let parsed = response.parse(&self.head).map_err(|error| malformed(error.to_string()))?;
        let (httparse::Status::Complete(_), Some(status)) = (parsed, response.code) else {
            return Err(malformed("the head has no end".into()));
        };
        if (100..200).contains(&status) && status != SWITCHING_PROTOCOLS {
            self.interim += length;
            self.head.clear();
            return Ok(input.get(length.saturating_sub(before)..).unwrap_or_default());
        }
        self.frame = framing(status, response.headers)?;
        if let Frame::Length(length) = self.frame
            && length > self.body.limit
        {
            return Err(too_long(Part::Body, self.body.limit));
        }
        self.status = Some(status);
        self.head = Vec::new();
        Ok(input.get(length.saturating_sub(before)..).unwrap_or_default())
    }
}

const SWITCHING_PROTOCOLS: u16 = 101;

/// Most fields of a head.
const MOST_FIELDS: usize = 256;

/// How long the head is, with the empty line that ends it; what was there `before` has none.
fn head_length(head: &[u8], before: usize) -> Option<usize> {
    let from = before.saturating_sub(2);
    let new = head.get(from..)?;
    let ends = |at: usize| {
        let rest = new.get(at..).unwrap_or_default();
        if rest.starts_with(b"\n\n") { Some(2) } else { rest.starts_with(b"\n\r\n").then_some(3) }
    };
    (0..new.len()).find_map(|at| ends(at).map(|length| from + at + length))
}

/// How the body is framed (RFC 9112 §6.3).
fn framing(status: u16, headers: &[httparse::Header<'_>]) -> Result<Frame, Failure> {
    let values = |name: &'static str| {
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    };
    if matches!(status, 204 | 304 | SWITCHING_PROTOCOLS) {
        return Ok(Frame::Whole);
    }
    if let Some(codings) = values("transfer-encoding").next_back() {
        let last = codings.rsplit(|octet| *octet == b',').next().unwrap_or_default();
        let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { Frame::Chunked(Chunks::default()) } else { Frame::UntilEnd });
    }
    let mut length = None;
    for value in values("content-length").flat_map(|value| value.split(|octet| *octet == b',')) {
        let digits = value.trim_ascii();
        let number = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()));
        let number: Option<u64> = number.and_then(|text| text.parse().ok());
        match (number, length) {
            (Some(number), None) => length = Some(number),
            (Some(number), Some(earlier)) if number == earlier => {}
            _ => return Err(Failure::Malformed("Content-Length is no one number".into())),
        }
    }
    Ok(match length {
        Some(0) => Frame::Whole,
        Some(length) => Frame::Length(length),
        None => Frame::UntilEnd,
    })
}

/// Where in the answer what comes next belongs.
#[derive(Debug)]
enum Frame {
    Head,
    Length(u64),
    Chunked(Chunks),
    UntilEnd,
    Whole,
}

/// What is kept of a body.
#[derive(Debug)]
struct Body {
    digest: Option<Md5>,
    window: Vec<u8>,
    window_at: Option<u64>,
    read: u64,
    limit: u64,
}

impl Body {
    fn take(&mut self, part: &[u8]) -> Result<(), Failure> {
        let before = self.read;
        self.read = before.saturating_add(part.len() as u64);
        if self.read > self.limit {
            return Err(too_long(Part::Body, self.limit));
        }
        if let Some(digest) = &mut self.digest {
            digest.update(part);
        }
        if let Some(window_at) = self.window_at {
            let skip = usize::try_from(window_at.saturating_sub(before)).unwrap_or(usize::MAX);
            let part = part.get(skip..).unwrap_or_default();
            let room = WINDOW.saturating_sub(self.window.len());
            self.window.extend_from_slice(part.get(..room).unwrap_or(part));
        }
        Ok(())
    }
}

/// A body in chunks (RFC 9112 §7.1).
#[derive(Debug, Default)]
struct Chunks {
    state: Chunk,
    /// Octets of the present line, or of all trailers.
    line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// The digits of its size so far, and whether there were any.
    Size(u64, bool),
    /// What may stand after the size.
    Extension(u64),
    Data(u64),
    /// After its data.
    End,
    /// After the last one; whether the present line is empty so far.
    Trailer(bool),
    Over,
}

impl Default for Chunk {
    fn default() -> Self {
        Self::Size(0, false)
    }
}

impl Chunks {
    /// Takes what arrived; returns what follows the body.
    fn read<'i>(&mut self, mut input: &'i [u8], body: &mut Body) -> Result<&'i [u8], Failure> {
        while self.state != Chunk::Over {
            if let Chunk::Data(left) = self.state {
                let (part, rest) = split(input, left);
                body.take(part)?;
                let left = left - part.len() as u64;
                self.state = if left == 0 { Chunk::End } else { Chunk::Data(left) };
                input = rest;
                if left > 0 {
                    break;
                }
            }
            let Some((&octet, rest)) = input.split_first() else { break };
            input = rest;
            self.take(octet)?;
        }
        Ok(input)
    }

    /// One octet of what frames the chunks.
    fn take(&mut self, octet: u8) -> Result<(), Failure> {
        self.line += 1;
        if self.line > LONGEST_LINE {
            return Err(Failure::Malformed(format!("a line between chunks is longer than {LONGEST_LINE} octets")));
        }
        let malformed = || Failure::Malformed("a chunk has no size".into());
        self.state = match (self.state, octet) {
            (Chunk::Size(_, false), b'\n' | b'\r' | b';') => return Err(malformed()),
            (Chunk::Size(size, true) | Chunk::Extension(size), b'\n') => self.begin(size),
            (Chunk::Size(size, true), b'\r' | b';' | b' ' | b'\t') | (Chunk::Extension(size), _) => {
                Chunk::Extension(size)
            }
            (Chunk::Size(size, _), digit) => {
                let digit = char::from(digit).to_digit(16).ok_or_else(malformed)?;
                let size = size.checked_mul(16).ok_or_else(malformed)?;
                Chunk::Size(size | u64::from(digit), true)
            }
            (Chunk::End, b'\r') => Chunk::End,
            (Chunk::End, b'\n') => {
                self.line = 0;
                Chunk::default()
            }
            (Chunk::End, _) => return Err(Failure::Malformed("a chunk is longer than its size".into())),
            (Chunk::Trailer(true), b'\n') => Chunk::Over,
            (Chunk::Trailer(empty), b'\r') => Chunk::Trailer(empty),
            (Chunk::Trailer(_), octet) => Chunk::Trailer(octet == b'\n'),
            (state @ (Chunk::Data(_) | Chunk::Over), _) => state,
        };
        Ok(())
    }

    fn begin(&mut self, size: u64) -> Chunk {
        self.line = 0;
        if size == 0 { Chunk::Trailer(true) } else { Chunk::Data(size) }
    }
}

/// Longest line with a chunk's size, and most octets of trailers.
const LONGEST_LINE: usize = 4096;

/// The first `most` octets, and the rest.
fn split(input: &[u8], most: u64) -> (&[u8], &[u8]) {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
    input.split_at(most)
}
