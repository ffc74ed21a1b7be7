//! keepalived's `DNS_CHECK`: one question over UDP, and an answer to it without an error (RFC 1035).

use super::probe::{Exchange, Failure, Progress};

/// What a DNS check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Dns {
    /// The name asked for. Default: `.`, the root.
    pub name: String,
    /// What is asked of it. Default: its SOA record.
    pub record: Record,
}

impl Default for Dns {
    fn default() -> Self {
        Self { name: ".".into(), record: Record::Soa }
    }
}

/// The type of a record (RFC 1035 §3.2.2, RFC 3596 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "UPPERCASE"))]
#[allow(missing_docs, reason = "the protocol's own names")]
pub enum Record {
    A,
    Ns,
    Cname,
    Soa,
    Mx,
    Txt,
    Aaaa,
}

impl Record {
    const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Cname => 5,
            Self::Soa => 6,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
        }
    }
}

/// A name that cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no name of the DNS: labels of 1..=63 octets, 255 octets in all")]
pub struct NameError {
    /// What was given.
    pub name: String,
}

impl Dns {
    /// The question, from the name on: what a response repeats.
    ///
    /// # Errors
    /// [`NameError`] if the name has a label that is empty or too long, or is too long itself (RFC 1035 §2.3.4).
    pub fn question(&self) -> Result<Vec<u8>, NameError> {
        let error = || NameError { name: self.name.clone() };
        let mut question = Vec::new();
        let name = self.name.strip_suffix('.').unwrap_or(&self.name);
        for label in name.split('.').filter(|_| !name.is_empty()) {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length)).ok_or_else(error)?;
            question.push(length);
            question.extend_from_slice(label.as_bytes());
        }
        question.push(0);
        if question.len() > 255 {
            return Err(error());
        }
        question.extend(self.record.number().to_be_bytes());
        question.extend(CLASS_INTERNET.to_be_bytes());
        Ok(question)
    }
}

const CLASS_INTERNET: u16 = 1;
const RECURSION_DESIRED: u8 = 0x01;
const RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const RESPONSE_CODE: u8 = 0x0f;

/// The conversation of a DNS check.
#[derive(Clone, Debug)]
pub struct DnsExchange {
    id: u16,
    question: Vec<u8>,
}

impl DnsExchange {
    /// For one attempt, with the question of [`Dns::question`] and a random number.
    pub fn new(question: Vec<u8>, id: u16) -> Self {
        Self { id, question }
    }
}

impl Exchange for DnsExchange {
    fn opened(&mut self, output: &mut Vec<u8>) -> Progress {
        output.extend(self.id.to_be_bytes());
        output.extend([RECURSION_DESIRED, 0]);
        // One question, no records.
        output.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        output.extend(&self.question);
        Progress::Pending
    }

    /// What does not answer this question is passed over: it may be late for an earlier one, or somebody else's.
    fn received(&mut self, input: &[u8], _: &mut Vec<u8>) -> Progress {
        let [id_high, id_low, flags, codes, questions_high, questions_low, _, _, _, _, _, _, rest @ ..] = input else {
            return Progress::Pending;
        };
        let is_ours =
            u16::from_be_bytes([*id_high, *id_low]) == self.id && flags & RESPONSE != 0 && flags & OPCODE == 0;
        // A server that refuses may leave the question out.
        let repeats = match u16::from_be_bytes([*questions_high, *questions_low]) {
            0 => codes & RESPONSE_CODE != 0,
            _ => rest.get(..self.question.len()).is_some_and(|question| question.eq_ignore_ascii_case(&self.question)),
        };
        if !is_ours || !repeats {
            return Progress::Pending;
        }
        match codes & RESPONSE_CODE {
            0 => Progress::PASSED,
            code => Progress::failed(Failure::DnsCode(code)),
        }
    }

    fn ended(&mut self) -> Progress {
        Progress::Pending
    }
}
