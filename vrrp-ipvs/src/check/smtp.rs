//! keepalived's `SMTP_CHECK`: the server greets (220), knows `HELO` (250) and says good-bye (RFC 5321).

use super::probe::{Exchange, Failure, Part, Progress};

/// What an SMTP check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Smtp {
    /// The name to introduce ourselves with. Default: `smtpchecker.keepalived.org`, as keepalived's.
    pub helo_name: String,
}

impl Default for Smtp {
    fn default() -> Self {
        Self { helo_name: "smtpchecker.keepalived.org".into() }
    }
}

/// Most octets of all replies together; RFC 5321 §4.5.3.1.5 allows 512 for each line.
const LONGEST: usize = 8192;

/// The conversation of an SMTP check.
#[derive(Clone, Debug)]
pub struct SmtpExchange {
    helo: Vec<u8>,
    stage: Conversation,
    line: Vec<u8>,
    received: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conversation {
    Greeting,
    Helo,
    Quit,
}

impl Conversation {
    const fn expected(self) -> u16 {
        match self {
            Self::Greeting => 220,
            Self::Helo => 250,
            Self::Quit => 221,
        }
    }
}

impl SmtpExchange {
    /// For one attempt.
    pub fn new(smtp: &Smtp) -> Self {
        let helo = format!("HELO {}\r\n", smtp.helo_name).into_bytes();
        Self { helo, stage: Conversation::Greeting, line: Vec::new(), received: 0 }
    }

    /// One line of a reply, without its end.
    fn read_line(&mut self, line: &[u8], output: &mut Vec<u8>) -> Progress {
        let (code, more) = match line {
            [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] => {
                let digit = |digit: &u8| u16::from(digit.saturating_sub(b'0'));
                let more = match rest {
                    [b'-', ..] => true,
                    [] | [b' ', ..] => false,
                    _ => return malformed(line),
                };
                (digit(a) * 100 + digit(b) * 10 + digit(c), more)
            }
            _ => return malformed(line),
        };
        let expected = self.stage.expected();
        if code != expected {
            // How it says good-bye is its own affair: it serves.
            let parting = self.stage == Conversation::Quit;
            return if parting { Progress::PASSED } else { Progress::failed(Failure::SmtpReply { code, expected }) };
        }
        if more {
            return Progress::Pending;
        }
        match self.stage {
            Conversation::Greeting => {
                output.append(&mut self.helo);
                self.stage = Conversation::Helo;
                Progress::Pending
            }
            Conversation::Helo => {
                output.extend_from_slice(b"QUIT\r\n");
                self.stage = Conversation::Quit;
                Progress::Pending
            }
            Conversation::Quit => Progress::PASSED,
        }
    }
}

fn malformed(line: &[u8]) -> Progress {
    let shown: String = String::from_utf8_lossy(line).chars().take(40).flat_map(char::escape_default).collect();
    Progress::failed(Failure::Malformed(format!("no SMTP reply: {shown}")))
}

impl Exchange for SmtpExchange {
    fn opened(&mut self, _: &mut Vec<u8>) -> Progress {
        Progress::Pending
    }

    fn received(&mut self, input: &[u8], output: &mut Vec<u8>) -> Progress {
        for &octet in input {
            self.received += 1;
            if self.received > LONGEST {
                return Progress::failed(Failure::TooLong { part: Part::Reply, limit: LONGEST as u64 });
            }
            if octet != b'\n' {
                self.line.push(octet);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            match self.read_line(line, output) {
                Progress::Pending => {}
                done => return done,
            }
        }
        Progress::Pending
    }

    fn ended(&mut self) -> Progress {
        match self.stage {
            Conversation::Quit => Progress::PASSED,
            Conversation::Greeting | Conversation::Helo => Progress::failed(Failure::Ended),
        }
    }
}
