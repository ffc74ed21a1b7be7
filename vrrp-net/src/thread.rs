//! A driver on a thread of its own, for applications whose event loop may stall.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::error::Error;
use crate::{Driver, DriverEvent, sys};

/// How the thread runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadOptions {
    /// Its name, as `ps -L` shows it.
    pub name: String,
    /// Its priority among real-time threads (`SCHED_RR`), 1 to 99; `None`: an ordinary thread. It needs `CAP_SYS_NICE`, or
    /// a limit (`RLIMIT_RTPRIO`) that allows it.
    pub real_time_priority: Option<u8>,
}

impl Default for ThreadOptions {
    fn default() -> Self {
        Self { name: "vrrp".to_owned(), real_time_priority: None }
    }
}

/// A driver that runs on a thread of its own. Dropping it stops the thread, which releases every address.
///
/// ```no_run
/// use vrrp_net::vrrp_core::Vrid;
/// use vrrp_net::{Driver, RouterConfig, ThreadOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let thread = Driver::new()?.spawn(ThreadOptions::default())?;
/// let config = RouterConfig::new("eth0", Vrid::new(51)?, vec!["192.0.2.100".parse()?]);
/// thread.with(move |driver| driver.add(config))??;
/// while let Ok(event) = thread.events().recv() {
///     println!("{event}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DriverThread {
    commands: Sender<Command>,
    wake: UnixStream,
    events: Receiver<DriverEvent>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

enum Command {
    Run(Box<dyn FnOnce(&mut Driver) + Send>),
    Stop,
}

impl Driver {
    /// Moves the driver to a thread of its own.
    ///
    /// # Errors
    /// [`Error::Io`] if the thread cannot be started, or not with the priority that was asked for.
    pub fn spawn(self, options: ThreadOptions) -> Result<DriverThread, Error> {
        let start = |error| Error::io(format!("start the thread {:?}", options.name), error);
        let (wake, woken) = UnixStream::pair().map_err(start)?;
        woken.set_nonblocking(true).map_err(start)?;
        wake.set_nonblocking(true).map_err(start)?;
        self.watch_commands(woken.as_fd()).map_err(start)?;
        let (commands, orders) = channel();
        let (tell, events) = channel();
        let (ready, readiness) = channel();
        let priority = options.real_time_priority;
        let run = move || {
            // The thread's own, so that it is set on it.
            let prepared = priority.map_or(Ok(()), sys::set_real_time_priority);
            let able = prepared.is_ok();
            let _ = ready.send(prepared);
            if able { serve(self, &woken, &orders, &tell) } else { Ok(()) }
        };
        let thread = std::thread::Builder::new().name(options.name.clone()).spawn(run).map_err(start)?;
        let prepared = readiness.recv().unwrap_or_else(|_| Err(std::io::ErrorKind::BrokenPipe.into()));
        prepared.map_err(|error| {
            let priority = priority.unwrap_or_default();
            Error::io(format!("run at real-time priority {priority} (1..=99, CAP_SYS_NICE or RLIMIT_RTPRIO)"), error)
        })?;
        Ok(DriverThread { commands, wake, events, thread: Some(thread) })
    }
}

impl DriverThread {
    /// What happens, in order. It ends when the thread does.
    pub fn events(&self) -> &Receiver<DriverEvent> {
        &self.events
    }

    /// Runs `command` on the driver, in its thread, and returns what it returned.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the thread has ended: [`stop`](Self::stop) says why.
    pub fn with<R: Send + 'static>(&self, command: impl FnOnce(&mut Driver) -> R + Send + 'static) -> Result<R, Error> {
        let (answer, answered) = channel();
        let run = move |driver: &mut Driver| {
            // Nobody waits any more if the caller has gone.
            let _ = answer.send(command(driver));
        };
        self.commands.send(Command::Run(Box::new(run))).map_err(|_| Error::Stopped)?;
        self.wake();
        answered.recv().map_err(|_| Error::Stopped)
    }

    /// Stops the thread: every virtual router leaves its election, and its addresses are removed. Returns the events that
    /// were not received yet.
    ///
    /// # Errors
    /// What had ended the thread before, or kept it from leaving in order.
    pub fn stop(mut self) -> Result<Vec<DriverEvent>, Error> {
        self.join()?;
        Ok(self.events.try_iter().collect())
    }

    fn join(&mut self) -> Result<(), Error> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let _ = self.commands.send(Command::Stop);
        self.wake();
        thread.join().unwrap_or(Err(Error::Stopped))
    }

    fn wake(&self) {
        // A full pipe wakes it too.
        let _ = (&self.wake).write(&[0]);
    }
}

impl Drop for DriverThread {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.join();
    }
}

fn serve(
    mut driver: Driver,
    woken: &UnixStream,
    orders: &Receiver<Command>,
    tell: &Sender<DriverEvent>,
) -> Result<(), Error> {
    // An application that does not listen is served all the same.
    let report = |events: Vec<DriverEvent>| events.into_iter().for_each(|event| drop(tell.send(event)));
    loop {
        driver.wait(None)?;
        let mut octets = [0; 64];
        while matches!((&*woken).read(&mut octets), Ok(count) if count > 0) {}
        for order in orders.try_iter() {
            match order {
                Command::Run(run) => run(&mut driver),
                Command::Stop => {
                    report(driver.shutdown()?);
                    return Ok(());
                }
            }
        }
        report(driver.process()?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>() {}

    #[test]
    fn a_driver_can_be_moved_to_another_thread() {
        is_send::<Driver>();
        is_send::<DriverThread>();
    }
}
