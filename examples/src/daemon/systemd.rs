//! What a service manager is told (sd_notify(3)), over the socket that it names.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A service manager, if there is one.
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that we live.
    watchdog: Option<Duration>,
    alive_at: Instant,
}

impl Manager {
    /// The one that `NOTIFY_SOCKET` names.
    pub(super) fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let for_us = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let micros = variable("WATCHDOG_USEC").filter(|_| for_us).and_then(|text| text.parse().ok());
        Self::at(std::env::var_os("NOTIFY_SOCKET").as_deref(), micros)
    }

    /// At a socket of this name, which begins with `@` if no file has it, wanting to hear of us within so many microseconds.
    fn at(name: Option<&OsStr>, watchdog_micros: Option<u64>) -> Self {
        let socket = name.and_then(|name| {
            let address = match name.as_bytes().split_first() {
                Some((b'@', name)) => SocketAddr::from_abstract_name(name),
                Some((b'/', _)) => SocketAddr::from_pathname(name),
                Some(_) | None => return None,
            };
            let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
            let opened = socket.and_then(|socket| Ok((socket, address?)));
            opened.inspect_err(|error| tracing::warn!("NOTIFY_SOCKET {name:?}: {error}")).ok()
        });
        let watchdog = watchdog_micros.filter(|micros| *micros > 0 && socket.is_some());
        let watchdog = watchdog.map(|micros| Duration::from_micros(micros / 2).max(Duration::from_millis(1)));
        Self { socket, watchdog, alive_at: Instant::now() }
    }

    /// Everything runs.
    pub(super) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// The configuration is read anew; [`ready`](Self::ready) ends that.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reads its configuration"));
    }

    /// The end begins.
    pub(super) fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// What it does, in words.
    pub(super) fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// When [`alive`](Self::alive) is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.watchdog.map(|_| self.alive_at)
    }

    /// The loop turns: says so if it is time.
    pub(super) fn alive(&mut self, now: Instant) {
        if let Some(every) = self.watchdog.filter(|_| now >= self.alive_at) {
            self.alive_at = now + every;
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            // A manager that does not listen is its own trouble.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_told_over_a_socket_that_no_file_has_and_its_watchdog_in_half_its_time() {
        let name = format!("vrrp-test-{}", std::process::id());
        let listener = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        listener.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut manager = Manager::at(Some(OsStr::new(&format!("@{name}"))), Some(10_000_000));
        let heard = || {
            let mut octets = [0; 100];
            let length = listener.recv(&mut octets).unwrap();
            String::from_utf8_lossy(&octets[..length]).into_owned()
        };
        manager.ready("runs");
        assert_eq!(heard(), "READY=1\nSTATUS=runs");
        let now = Instant::now();
        manager.alive(now);
        assert_eq!(heard(), "WATCHDOG=1");
        assert_eq!(manager.poll_timeout(), Some(now + Duration::from_secs(5)));
    }

    #[test]
    fn without_a_manager_nobody_is_told() {
        let manager = Manager::at(None, Some(10_000_000));
        assert_eq!(manager.poll_timeout(), None);
        manager.ready("runs");
    }
}
