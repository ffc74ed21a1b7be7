//! A driver in a tokio runtime (feature `tokio`).

use std::collections::VecDeque;
use std::io;

use tokio::io::unix::AsyncFd;

use crate::error::Error;
use crate::{Driver, DriverEvent, sys};

/// A driver whose events are awaited.
///
/// It does its work while [`next_event`](Self::next_event) is awaited, and only then: an application that does something
/// else for long lets its peers take over. Await it in a task of its own, or in a `select!` that always comes back to it.
///
/// ```no_run
/// use vrrp_net::{AsyncDriver, Driver, DriverEvent};
///
/// # async fn run(driver: Driver) -> Result<(), Box<dyn std::error::Error>> {
/// let mut driver = AsyncDriver::new(driver)?;
/// loop {
///     tokio::select! {
///         event = driver.next_event() => println!("{}", event?),
///         _ = tokio::signal::ctrl_c() => break,
///     }
/// }
/// driver.shutdown()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncDriver {
    driver: AsyncFd<Driver>,
    events: VecDeque<DriverEvent>,
}

impl AsyncDriver {
    /// Binds a driver to the current runtime.
    ///
    /// # Errors
    /// What the runtime says, for instance that it has no I/O driver.
    ///
    /// # Panics
    /// Outside of a runtime, as everything in tokio.
    pub fn new(driver: Driver) -> io::Result<Self> {
        let driver = sys::register(driver)?;
        Ok(Self { driver, events: VecDeque::new() })
    }

    /// The next thing that happens. Safe to cancel: no event is lost.
    ///
    /// # Errors
    /// As [`Driver::process`].
    pub async fn next_event(&mut self) -> Result<DriverEvent, Error> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let mut ready =
                self.driver.readable_mut().await.map_err(|error| Error::io("wait for the driver", error))?;
            self.events.extend(ready.get_inner_mut().process()?);
            // The runtime is told of edges only; what was left for the next turn makes none.
            if !ready.get_inner().is_readable()? {
                ready.clear_ready();
            }
        }
    }

    /// The driver: to add virtual routers, to answer [`DriverEvent::Prepare`]. What follows from it is done at the next
    /// [`next_event`](Self::next_event).
    pub fn driver(&mut self) -> &mut Driver {
        self.driver.get_mut()
    }

    /// Takes every virtual router out, as [`Driver::shutdown`], and returns the events that were not awaited yet, with those
    /// that come of it.
    ///
    /// # Errors
    /// As [`Driver::shutdown`].
    pub fn shutdown(self) -> Result<Vec<DriverEvent>, Error> {
        let last = self.driver.into_inner().shutdown()?;
        Ok(self.events.into_iter().chain(last).collect())
    }

    /// The driver, taken out of the runtime. Events that were not awaited yet are lost.
    pub fn into_inner(self) -> Driver {
        self.driver.into_inner()
    }
}
