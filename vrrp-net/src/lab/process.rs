//! Programs that run in a host.

use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant as Clock};

use super::error::LabError;
use crate::sys::lab::{Signal, send_signal};

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    program: String,
}

impl Process {
    /// Start a command that [`Host::command`](super::Host::command) made.
    ///
    /// # Errors
    /// [`LabError::Io`] if there is no such program.
    pub fn start(command: &mut Command) -> Result<Self, LabError> {
        let program = command.get_program().to_string_lossy().into_owned();
        match command.spawn() {
            Ok(child) => Ok(Self { child, program }),
            Err(error) => Err(LabError::io(format!("start {program:?} in the lab"), error)),
        }
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, if the command asked for a pipe; once.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its standard output, if the command asked for a pipe; once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, if the command asked for a pipe; once.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// End it at once (`SIGKILL`), and wait for it.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn kill(&mut self) -> Result<ExitStatus, LabError> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|error| self.failed("kill", error))
    }

    /// Ask it to end (`SIGTERM`).
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn terminate(&mut self) -> Result<(), LabError> {
        self.signal(Signal::Terminate, "terminate")
    }

    /// Freeze it (`SIGSTOP`), as a hung process or a paused virtual machine is.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn stop(&mut self) -> Result<(), LabError> {
        self.signal(Signal::Stop, "stop")
    }

    /// Let it go on after [`stop`](Self::stop) (`SIGCONT`).
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn resume(&mut self) -> Result<(), LabError> {
        self.signal(Signal::Continue, "resume")
    }

    /// Wait for its end, at most this long; `None` if it still runs then.
    ///
    /// # Errors
    /// [`LabError::Io`].
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>, LabError> {
        let patience = Clock::now() + limit;
        loop {
            let status = self.child.try_wait().map_err(|error| self.failed("wait for", error))?;
            if status.is_some() || Clock::now() >= patience {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Send a signal, unless it has ended: its number may be another process's by now.
    fn signal(&mut self, signal: Signal, verb: &str) -> Result<(), LabError> {
        let ended = self.child.try_wait().map_err(|error| self.failed(verb, error))?.is_some();
        if ended {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id()).unwrap_or(i32::MAX);
        send_signal(pid, signal).map_err(|error| self.failed(verb, error))
    }

    fn failed(&self, verb: &str, error: std::io::Error) -> LabError {
        LabError::io(format!("{verb} {:?} (process {})", self.program, self.child.id()), error)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
