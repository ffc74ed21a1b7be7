//! A decoder for VRRP packets: from hex or a capture to fields, verdict and reason; and a runner of test vectors.

mod announcement;
mod capture;
mod content;
mod fields;
mod hex;
mod input;
mod judge;
mod vectors;

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use vrrp_core::wire::{Envelope, TTL};
use vrrp_core::{Family, wire};

use crate::content::Content;
use crate::input::{Encapsulation, Found};
use crate::judge::{Expectations, Judge};

/// Reads VRRP packets and says what is in them, whether a virtual router takes them, and why not.
///
/// INPUT is hexadecimal digits, with or without blanks, colons and 0x, of an Ethernet frame, of an IP datagram, or with
/// --source of a VRRP payload; or a file: a capture (pcap or pcapng), or a text with one packet in hexadecimal a line.
/// Without INPUT it is standard input. Arguments of fewer than 8 octets each are the pieces of one packet.
///
/// Whatever no option states is taken from the packet, so that only what needs no configuration is judged.
///
/// Exit status: 0, 1 if a vector differs from what it states, 2 if something could not be read.
#[derive(Parser)]
#[command(name = "decode")]
struct Arguments {
    /// Packets in hexadecimal, or files of them; "-" is standard input
    #[arg(value_name = "INPUT")]
    input: Vec<String>,

    /// Run test vectors: JSON of the form of vrrp-core/tests/vectors, one line each
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["input", "source"])]
    vectors: Vec<PathBuf>,

    /// With --vectors: what differs by a decision that is known here, with its reason, is no failure
    #[arg(long, requires = "vectors")]
    known_deviations: bool,

    /// The hexadecimal digits are VRRP payloads, received from this address
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,

    /// The address that the payloads were sent to [default: the group of VRRP]
    #[arg(long, value_name = "ADDRESS", requires = "source")]
    destination: Option<IpAddr>,

    /// TTL or hop limit that the payloads arrived with
    #[arg(long, value_name = "NUMBER", requires = "source", default_value_t = TTL)]
    ttl: u8,

    #[command(flatten, next_help_heading = "What the virtual router is configured with")]
    expectations: Expectations,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = run(arguments, &mut out).and_then(|code| Ok(out.flush().map(|()| code)?));
    match result {
        Ok(code) => code,
        // Whoever read us has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn complain(problem: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(io::stderr(), "decode: {problem}");
}

fn run(arguments: Arguments, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    if !arguments.vectors.is_empty() {
        return run_vectors(&arguments, out);
    }
    let encapsulation = match arguments.source {
        Some(source) => {
            let destination = arguments.destination.unwrap_or(Family::of(source).group());
            Encapsulation::Payload(Envelope { source, destination, ttl: Some(arguments.ttl) })
        }
        None => Encapsulation::Guess,
    };
    let mut session =
        Session { judge: Judge::new(arguments.expectations)?, number: 0, others: 0, trouble: false, encapsulation };
    session.decode_all(&arguments.input, out)?;
    Ok(if session.trouble { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// The packets of one call, one after the other.
struct Session {
    judge: Judge,
    encapsulation: Encapsulation,
    /// Packets shown so far.
    number: usize,
    /// Packets in captures that have nothing to do with VRRP.
    others: usize,
    /// Whether something could not be read.
    trouble: bool,
}

impl Session {
    fn decode_all(&mut self, input: &[String], out: &mut impl Write) -> anyhow::Result<()> {
        if input.is_empty() {
            return self.decode_stream("standard input", &read_stdin()?, out);
        }
        let (digits, files): (Vec<_>, Vec<_>) =
            input.iter().map(String::as_str).partition(|text| hex::looks_like(text));
        let pieces = digits.len() > 1 && digits.iter().all(|text| hex::digits(text) < 16);
        let packets = if pieces { vec![digits.concat()] } else { digits.into_iter().map(String::from).collect() };
        for packet in packets {
            self.decode_hex("", &packet, out)?;
        }
        for file in files {
            match file {
                "-" => self.decode_stream("standard input", &read_stdin()?, out)?,
                path => match read(Path::new(path)) {
                    Ok(octets) => self.decode_stream(path, &octets, out)?,
                    Err(error) => self.complain("", &format!("{error:#}")),
                },
            }
        }
        Ok(())
    }

    /// A capture, or lines of hexadecimal digits.
    fn decode_stream(&mut self, name: &str, octets: &[u8], out: &mut impl Write) -> anyhow::Result<()> {
        if capture::is_capture(octets) {
            let others = self.others;
            let complete = capture::read(octets, |packet| match packet.content() {
                Ok(content) if content.is_vrrp() => self.show(&content, packet.time, out),
                Ok(_) | Err(_) => {
                    self.others += 1;
                    Ok(())
                }
            });
            match complete {
                Ok(()) => {}
                Err(capture::Error::Output(error)) => return Err(error),
                Err(capture::Error::Capture(problem)) => self.complain(name, &problem),
            }
            if self.others > others {
                writeln!(out, "{name}: {} other packets", self.others - others)?;
            }
            return Ok(());
        }
        let Ok(text) = std::str::from_utf8(octets) else {
            self.complain(name, "neither a capture (pcap, pcapng) nor text with hexadecimal digits");
            return Ok(());
        };
        for (line, text) in text.lines().enumerate().filter(|(_, text)| !is_comment(text)) {
            self.decode_hex(&format!("{name}, line {}", line + 1), text, out)?;
        }
        Ok(())
    }

    fn decode_hex(&mut self, place: &str, text: &str, out: &mut impl Write) -> anyhow::Result<()> {
        let octets = match hex::octets(text) {
            Ok(octets) => octets,
            Err(error) => {
                self.complain(place, &error.to_string());
                return Ok(());
            }
        };
        match self.encapsulation.find(&octets) {
            Ok(Found::Payload(envelope)) => self.show(&Content::Vrrp { envelope, payload: &octets }, None, out),
            Ok(Found::Content(content)) => self.show(&content, None, out),
            Err(problem) => {
                self.complain(place, problem);
                Ok(())
            }
        }
    }

    fn show(
        &mut self,
        content: &Content<'_>,
        time: Option<vrrp_core::hmac::WallClock>,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        self.number += 1;
        match content {
            Content::Announcement(announcement) => writeln!(out, "{}: {announcement}", self.number)?,
            Content::Discarded(discard) => {
                writeln!(out, "{}: no VRRP packet", self.number)?;
                fields::write_verdict(out, &Err(*discard))?;
            }
            Content::Vrrp { envelope, payload } => {
                let verdict = self.judge.judge(time, envelope, payload);
                fields::write(out, self.number, envelope, payload)?;
                fields::write_verdict(out, &verdict)?;
            }
        }
        Ok(())
    }

    fn complain(&mut self, place: &str, problem: &str) {
        self.trouble = true;
        match place {
            "" => complain(problem),
            place => complain(&format!("{place}: {problem}")),
        }
    }
}

fn is_comment(text: &str) -> bool {
    let text = text.trim_start();
    text.is_empty() || text.starts_with('#')
}

fn read_stdin() -> anyhow::Result<Vec<u8>> {
    let mut octets = Vec::new();
    io::stdin().lock().read_to_end(&mut octets).context("cannot read standard input")?;
    Ok(octets)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| {
        format!(
            "cannot read {} (if it is to be a packet: it has something that is no hexadecimal digit)",
            path.display()
        )
    })
}

fn run_vectors(arguments: &Arguments, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut tally = vectors::Tally::default();
    for path in &arguments.vectors {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
        let vectors = vectors::read(&text).with_context(|| file.clone())?;
        for (n, vector) in vectors.iter().enumerate() {
            match vectors::run(vector) {
                Ok(line) => {
                    tally.count(&line, arguments.known_deviations);
                    writeln!(out, "{line}")?;
                }
                Err(error) => {
                    tally.broken += 1;
                    complain(&format!("{file}: {}: {error:#}", vectors::name(n, vector)));
                }
            }
        }
    }
    out.flush()?;
    let _ = writeln!(io::stderr(), "{tally}");
    Ok(ExitCode::from(tally.exit_status()))
}

/// What counters call a discard.
fn counter(reason: wire::Reason) -> String {
    match reason.rfc8347_counter() {
        Some(counter) => format!("{counter} (RFC 8347)"),
        None => "none in RFC 8347".into(),
    }
}
