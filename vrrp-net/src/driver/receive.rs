//! Reading: advertisements, and what changes about interfaces and addresses.

use vrrp_core::wire::{Discard, Envelope};

use super::{Driver, FIRST_INTERFACE, MONITOR, TIMER};
use crate::error::Error;
use crate::socket::MAX_DATAGRAM_LEN;
use crate::sys;

/// Most datagrams that are read from one socket in one turn, so that a flood cannot keep the timers waiting.
const DATAGRAMS_PER_TURN: usize = 1024;

impl Driver {
    /// Reads whatever has something to say; of the sockets each, so that no timer overtakes an advertisement.
    pub(super) fn read_ready(&mut self) -> Result<(), Error> {
        let mut ready = vec![sys::Ready::EMPTY; self.interfaces.len() + 3];
        let count =
            self.epoll.look(&mut ready).map_err(|error| Error::io("look at the driver's descriptors", error))?;
        let tokens = || ready.iter().take(count).map(|ready| ready.token());
        if tokens().any(|token| token == TIMER) {
            // Edge-triggered: there is nothing to read, but it has gone off.
            self.armed = None;
        }
        if tokens().any(|token| token == MONITOR) {
            self.read_changes()?;
        }
        for token in tokens().filter(|token| *token >= FIRST_INTERFACE) {
            self.read_adverts(token);
        }
        Ok(())
    }

    fn read_adverts(&mut self, token: u64) {
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        let Some(interface) = self.interfaces.get(&token) else { return };
        let (Some(socket), Some(index)) = (&interface.socket, interface.index()) else { return };
        for _ in 0..DATAGRAMS_PER_TURN {
            let Ok(Some(len)) = socket.receive(&mut buffer) else { break };
            // Where a datagram is counted when it is dropped is the protocol's business, and it has done so.
            match buffer.get(..len).filter(|datagram| datagram.len() < MAX_DATAGRAM_LEN) {
                Some(datagram) => match Envelope::split_ipv4(datagram) {
                    Ok((envelope, payload)) => {
                        let _ = self.router.handle_datagram(sys::boottime_now(), index, &envelope, payload);
                    }
                    Err(discard) => self.router.count_undecodable(discard),
                },
                None => self.router.count_undecodable(Discard::Truncated),
            }
        }
    }
}
