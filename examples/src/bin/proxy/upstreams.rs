//! Where connections go, and whether there is somebody.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::settings::Settings;

pub(super) struct Upstreams {
    addresses: Vec<SocketAddr>,
    /// Which of them answer. It is written with each check, also if nothing has changed: a sign of life.
    health: watch::Sender<Vec<bool>>,
    interval: Duration,
    /// Whose turn it is.
    turn: AtomicUsize,
}

impl Upstreams {
    /// Nobody answers until a check has said so.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            addresses: settings.upstreams.clone(),
            health: watch::Sender::new(vec![false; settings.upstreams.len()]),
            interval: settings.check_interval(),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn health(&self) -> watch::Receiver<Vec<bool>> {
        self.health.subscribe()
    }

    /// Checks them from now on.
    pub(super) fn watch(self: &Arc<Self>) {
        for (index, address) in self.addresses.iter().enumerate() {
            tokio::spawn(Arc::clone(self).check(index, *address));
        }
    }

    /// A connection to one of those that answer, in turn.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.addresses.len();
        let healthy = self.health.borrow().clone();
        let known = self.addresses.iter().zip(healthy).cycle().skip(first).take(self.addresses.len());
        let mut last = io::Error::new(io::ErrorKind::HostUnreachable, "no upstream answers its checks");
        for (address, _) in known.filter(|(_, up)| *up) {
            match self.try_connect(*address).await {
                Ok(stream) => return Ok(stream),
                // It has died since its last check.
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn check(self: Arc<Self>, index: usize, address: SocketAddr) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let result = self.try_connect(address).await;
            let was_up = self.health.borrow().get(index).copied();
            match &result {
                Ok(_) if was_up == Some(false) => tracing::info!("upstream {address} answers"),
                Err(error) if was_up == Some(true) => tracing::warn!("upstream {address} does not answer: {error}"),
                Ok(_) | Err(_) => {}
            }
            self.health.send_modify(|health| {
                if let Some(up) = health.get_mut(index) {
                    *up = result.is_ok();
                }
            });
        }
    }

    async fn try_connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        timeout(self.interval, TcpStream::connect(address)).await?
    }
}
