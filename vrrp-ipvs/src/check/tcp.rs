//! keepalived's `TCP_CHECK`: a connection is enough.

use super::probe::{Exchange, Progress};

/// The conversation of a TCP check: there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpExchange;

impl Exchange for TcpExchange {
    fn opened(&mut self, _: &mut Vec<u8>) -> Progress {
        Progress::PASSED
    }

    fn received(&mut self, _: &[u8], _: &mut Vec<u8>) -> Progress {
        Progress::PASSED
    }

    fn ended(&mut self) -> Progress {
        Progress::PASSED
    }
}
