//! Where a daemon logs to: standard error, a file, syslog.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

pub use tracing_subscriber::filter::LevelFilter;

/// Where syslog listens.
const SYSLOG: &str = "/dev/log";

/// Where a program logs to, and how much.
#[derive(Clone, Debug, Default)]
pub struct Logging {
    /// To standard error. If nothing else can be logged to, it is used anyway.
    pub console: bool,
    /// To a file, at its end.
    pub file: Option<PathBuf>,
    /// To syslog, with this facility (RFC 5424 §6.2.1: 3 is `daemon`).
    pub syslog: Option<u8>,
}

impl Logging {
    /// To standard error alone.
    pub const CONSOLE: Self = Self { console: true, file: None, syslog: None };

    /// Begins to log. For the start of a program: it can be done once.
    ///
    /// # Errors
    /// The file cannot be written, and why.
    pub fn start(&self, name: &str, level: LevelFilter) -> anyhow::Result<()> {
        let file = self.file.as_deref().map(append).transpose()?;
        let syslog = self.syslog.and_then(|facility| Syslog::connect(Path::new(SYSLOG), name, facility).ok());
        let console = self.console || (file.is_none() && syslog.is_none());
        // A log in a file or a journal has no colours.
        let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let lines = || tracing_subscriber::fmt::layer().with_target(false);
        let layers = [
            console.then(|| lines().with_ansi(colours).with_writer(io::stderr).boxed()),
            file.map(|file| lines().with_ansi(false).with_writer(Arc::new(file)).boxed()),
            // Syslog has its own time and level.
            syslog.map(|it| lines().with_ansi(false).without_time().with_level(false).with_writer(it).boxed()),
        ];
        let layers: Vec<_> = layers.into_iter().flatten().collect();
        tracing_subscriber::registry().with(layers).with(level).init();
        Ok(())
    }
}

fn append(path: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("cannot log to {}", path.display()))
}

/// The system's log, by its socket (RFC 3164 as /dev/log takes it, without time and host).
#[derive(Clone, Debug)]
struct Syslog {
    socket: Arc<UnixDatagram>,
    name: String,
    facility: u8,
}

impl Syslog {
    fn connect(path: &Path, name: &str, facility: u8) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        // Who logs does not wait for the log.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Arc::new(socket), name: name.to_owned(), facility })
    }
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = Message<'a>;

    fn make_writer(&'a self) -> Message<'a> {
        Message { log: self, severity: 6 }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Message<'a> {
        let severity = match *meta.level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        Message { log: self, severity }
    }
}

/// One message: every write is a whole one.
struct Message<'a> {
    log: &'a Syslog,
    severity: u8,
}

impl Write for Message<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let Syslog { socket, name, facility } = self.log;
        let mut datagram = format!("<{}>{name}[{}]: ", facility * 8 + self.severity, std::process::id()).into_bytes();
        datagram.extend_from_slice(text.trim_ascii());
        // What the log has no room for is lost; there is nobody to tell.
        let _ = socket.send(&datagram);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_to_syslog_has_facility_severity_name_and_process() {
        let path = std::env::temp_dir().join(format!("vrrp-log-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let server = UnixDatagram::bind(&path).unwrap();
        let log = Syslog::connect(&path, "keepalived", 23).unwrap();
        std::fs::remove_file(&path).unwrap();
        let subscriber = tracing_subscriber::fmt().with_target(false).with_ansi(false).without_time().with_level(false);
        tracing::subscriber::with_default(subscriber.with_writer(log).finish(), || {
            tracing::warn!(router = "VI_1", "it is so");
            tracing::info!("and so");
        });
        let mut buffer = [0; 200];
        let mut next = || {
            let length = server.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        let process = std::process::id();
        assert_eq!(next(), format!("<188>keepalived[{process}]: it is so router=\"VI_1\""));
        assert_eq!(next(), format!("<190>keepalived[{process}]: and so"));
    }
}
