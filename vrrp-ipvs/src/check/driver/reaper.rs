//! Programs that nobody waits for any more: killed, and reaped once the kernel is done with them.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::process::Child;

use rustix::event::epoll;
use rustix::process::{Pid, Signal, kill_process_group};

/// The first token of programs; [`TIMER`](super::TIMER) is above them all.
pub(super) const FIRST: u64 = 1 << 63;

/// Programs that were killed and are not reaped yet.
#[derive(Debug, Default)]
pub(super) struct Reaper {
    children: BTreeMap<u64, (Child, OwnedFd)>,
    given: u64,
}

impl Reaper {
    /// Kills a program, unless it has ended, and all that it has started in its process group.
    pub(super) fn kill(&mut self, epoll: &OwnedFd, mut child: Child, pidfd: OwnedFd) {
        // Once it is reaped its number may be somebody else's.
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        if let Some(group) = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default()) {
            // It may have left the group, or have ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.kill();
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        let token = FIRST | (self.given & (FIRST - 1));
        let token = if token >= super::files::TOKEN { FIRST } else { token };
        self.given = self.given.wrapping_add(1);
        let _ = epoll::modify(epoll, &pidfd, epoll::EventData::new_u64(token), epoll::EventFlags::IN);
        self.children.insert(token, (child, pidfd));
    }

    /// The kernel is done with this one.
    pub(super) fn reap(&mut self, token: u64) {
        // Closing the descriptor takes it out of the set.
        if let Some((mut child, _)) = self.children.remove(&token) {
            let _ = child.wait();
        }
    }
}
