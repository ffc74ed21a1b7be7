//! The signals that a daemon is told things by.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::{flag, low_level};

/// Becomes readable with each signal, also with one that comes just before the wait.
#[derive(Debug)]
pub(super) struct Signals {
    pipe: UnixStream,
    leave: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    describe: Arc<AtomicBool>,
}

/// What has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) leave: bool,
    pub(super) stop: bool,
    pub(super) reload: bool,
    pub(super) describe: bool,
}

impl Signals {
    /// From now on they end nothing by themselves.
    ///
    /// # Errors
    /// No descriptor is left, or a signal cannot be caught.
    pub(super) fn catch() -> anyhow::Result<Self> {
        let (sender, pipe) = UnixStream::pair().context("cannot make a pipe for signals")?;
        pipe.set_nonblocking(true).context("cannot make a pipe for signals")?;
        let (leave, stop, reload, describe) = Default::default();
        let signals = Self { pipe, leave, stop, reload, describe };
        let meanings = [
            (SIGTERM, &signals.leave),
            (SIGINT, &signals.stop),
            (SIGHUP, &signals.reload),
            // keepalived writes its data by the one and its statistics by the other.
            (SIGUSR1, &signals.describe),
            (SIGUSR2, &signals.describe),
        ];
        for (signal, flag) in meanings {
            // The flag first: who is woken finds it.
            flag::register(signal, Arc::clone(flag)).context("cannot catch signals")?;
            let sender = sender.try_clone().context("cannot make a pipe for signals")?;
            low_level::pipe::register(signal, sender).context("cannot catch signals")?;
        }
        Ok(signals)
    }

    /// What has come since this was last asked.
    pub(super) fn take(&self) -> Told {
        let mut octets = [0; 64];
        while (&self.pipe).read(&mut octets).is_ok_and(|length| length == octets.len()) {}
        let take = |flag: &AtomicBool| flag.swap(false, Ordering::SeqCst);
        let (leave, stop) = (take(&self.leave), take(&self.stop));
        Told { leave, stop, reload: take(&self.reload), describe: take(&self.describe) }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
