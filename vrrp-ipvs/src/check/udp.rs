//! keepalived's `UDP_CHECK`: a datagram goes out, and nobody says that there is no one to take it.

use super::probe::{Exchange, Failure, Passed, Progress, Stage, Verdict};

/// What a UDP check sends and expects.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Udp {
    /// What is sent. `None`: 16 random octets.
    pub payload: Option<Vec<u8>>,
    /// What must come back. `None`: nothing has to, and the check passes unless the host or the network answers that it
    /// cannot be delivered before `reply_timeout` is over, which should leave ARP the time to fail (4 s).
    pub reply: Option<Reply>,
}

/// What a reply must be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Reply {
    /// What it begins with, as far as both go.
    pub prefix: Vec<u8>,
    /// Which bits of each octet of `prefix` count; those past its end all do.
    pub mask: Vec<u8>,
    /// The shortest one, in octets. Default: 0.
    pub min_length: usize,
    /// The longest one. Default: 255.
    pub max_length: usize,
}

impl Default for Reply {
    fn default() -> Self {
        Self { prefix: Vec::new(), mask: Vec::new(), min_length: 0, max_length: 255 }
    }
}

impl Reply {
    fn judge(&self, input: &[u8]) -> Verdict {
        if !(self.min_length..=self.max_length).contains(&input.len()) {
            return Err(Failure::ReplyLength(input.len()));
        }
        let mask = self.mask.iter().copied().chain(std::iter::repeat(0xff));
        let differs =
            self.prefix.iter().zip(input).zip(mask).any(|((expected, got), mask)| (expected ^ got) & mask != 0);
        if differs { Err(Failure::ReplyContent) } else { Ok(Passed::default()) }
    }
}

/// The conversation of a UDP check.
#[derive(Clone, Debug)]
pub struct UdpExchange {
    payload: Vec<u8>,
    reply: Option<Reply>,
}

impl UdpExchange {
    /// For one attempt; `random` is sent if no payload is given.
    pub fn new(udp: &Udp, random: [u8; 16]) -> Self {
        let payload = udp.payload.clone().unwrap_or_else(|| random.to_vec());
        Self { payload, reply: udp.reply.clone() }
    }
}

impl Exchange for UdpExchange {
    fn opened(&mut self, output: &mut Vec<u8>) -> Progress {
        output.extend(&self.payload);
        Progress::Pending
    }

    fn received(&mut self, input: &[u8], _: &mut Vec<u8>) -> Progress {
        match &self.reply {
            Some(reply) => Progress::Done(reply.judge(input)),
            None => Progress::PASSED,
        }
    }

    fn ended(&mut self) -> Progress {
        Progress::Pending
    }

    fn expired(&mut self, _: bool) -> Verdict {
        match self.reply {
            Some(_) => Err(Failure::TimedOut(Stage::Reply)),
            None => Ok(Passed::default()),
        }
    }
}
