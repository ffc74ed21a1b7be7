//! Reading: advertisements, and what changes about interfaces and addresses.

use vrrp_core::Family;

use super::{Driver, FIRST_INTERFACE, GUARDIAN, MONITOR, SOCKETS_PER_INTERFACE, TIMER, WATCHES};
use crate::error::Error;
use crate::{ReceiveBuffer, sys};

/// Most datagrams that are read from one socket in one turn, so that a flood cannot keep the timers waiting.
const DATAGRAMS_PER_TURN: usize = 1024;

/// Most descriptors that are looked at with one system call.
const DESCRIPTORS_AT_ONCE: usize = 64;

impl Driver {
    /// Reads whatever has something to say; of the sockets each, so that no timer overtakes an advertisement.
    pub(super) fn read_ready(&mut self) -> Result<(), Error> {
        // Those that were not told of are told of next, since the kernel goes round.
        for _ in 0..=(self.interfaces.len() * 4) / DESCRIPTORS_AT_ONCE {
            if self.read_some()? < DESCRIPTORS_AT_ONCE {
                break;
            }
        }
        Ok(())
    }

    /// Reads from at most [`DESCRIPTORS_AT_ONCE`] of those that have something to say. Returns how many.
    fn read_some(&mut self) -> Result<usize, Error> {
        let mut ready = [sys::Ready::EMPTY; DESCRIPTORS_AT_ONCE];
        let count =
            self.epoll.look(&mut ready).map_err(|error| Error::io("look at the driver's descriptors", error))?;
        let tokens = || ready.iter().take(count).map(|ready| ready.token());
        if tokens().any(|token| token == TIMER) {
            // Edge-triggered: there is nothing to read, but it has gone off.
            self.armed = None;
        }
        if tokens().any(|token| token == GUARDIAN) {
            self.guardian_ended();
        }
        if tokens().any(|token| token == MONITOR) {
            self.read_changes()?;
        }
        for token in tokens().filter(|token| *token >= FIRST_INTERFACE) {
            match token % SOCKETS_PER_INTERFACE {
                0 | 1 => self.read_adverts(token),
                2 => self.read_claims(token - WATCHES, Family::V4),
                _ => self.read_claims(token - WATCHES - 1, Family::V6),
            }
        }
        Ok(count)
    }

    fn read_adverts(&mut self, token: u64) {
        let family = token % SOCKETS_PER_INTERFACE;
        let Some(interface) = self.interfaces.get(&(token - family)) else { return };
        let socket = usize::try_from(family).ok().and_then(|family| interface.sockets.get(family)?.as_ref());
        let (Some(socket), Some(index)) = (socket, interface.index()) else { return };
        for _ in 0..DATAGRAMS_PER_TURN / ReceiveBuffer::CAPACITY {
            let Ok(datagrams) = socket.receive(&mut self.receive_buffer) else { break };
            let last = datagrams.len() < ReceiveBuffer::CAPACITY;
            let now = sys::boottime_now();
            for datagram in datagrams {
                // Where a datagram is counted when it is dropped is the protocol's business, and it has done so.
                match datagram {
                    Ok((envelope, payload)) => {
                        let _ = self.router.handle_datagram(now, index, &envelope, payload);
                    }
                    Err(discard) => self.router.count_undecodable(discard),
                }
            }
            if last {
                break;
            }
        }
    }
}
