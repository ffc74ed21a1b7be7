//! Asks a running daemon how it is, and tells it what to do.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use examples::control::{DEFAULT_SOCKET, Event, Request, Response, Router, Status};

/// Asks vrrpd or keepalived how it is, and tells it what to do.
#[derive(Parser)]
#[command(name = "vrrpctl")]
struct Arguments {
    /// The daemon's control socket
    #[arg(long, short, value_name = "PATH", default_value = DEFAULT_SOCKET, env = "VRRP_CONTROL")]
    socket: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the virtual routers, a line each
    List,
    /// Show everything that is known, as JSON; of one virtual router if it is named
    Show {
        /// Name of the virtual router
        router: Option<String>,
    },
    /// Tell what happens, until interrupted
    Watch {
        /// As JSON, an event a line
        #[arg(long)]
        json: bool,
    },
    /// Hand the addresses of a virtual router to another host, and stay as Backup
    HandOver {
        /// Name of the virtual router
        router: String,
    },
    /// Stand in the election with another priority until the next reload
    SetPriority {
        /// Name of the virtual router
        router: String,
        /// 1 to 255
        #[arg(value_parser = clap::value_parser!(u8).range(1..))]
        priority: u8,
    },
    /// Hand the addresses of a virtual router over, and stay out of the election
    Pause {
        /// Name of the virtual router
        router: String,
    },
    /// Take part in the election again
    Resume {
        /// Name of the virtual router
        router: String,
    },
    /// Read the configuration again
    Reload,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vrrpctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut daemon = Daemon::connect(&arguments)?;
    match arguments.command {
        Command::List => list(&daemon.status()?),
        Command::Show { router: None } => print(&daemon.status()?),
        Command::Show { router: Some(name) } => {
            let status = daemon.status()?;
            match status.routers.iter().find(|router| router.name == name) {
                Some(router) => print(router),
                None => {
                    let names: Vec<_> = status.routers.iter().map(|router| router.name.as_str()).collect();
                    bail!("there is no virtual router {name:?}; there are: {}", names.join(", "));
                }
            }
        }
        Command::Watch { json } => daemon.watch(json),
        Command::HandOver { router } => daemon.tell(&Request::HandOver { router }),
        Command::SetPriority { router, priority } => daemon.tell(&Request::SetPriority { router, priority }),
        Command::Pause { router } => daemon.tell(&Request::Pause { router }),
        Command::Resume { router } => daemon.tell(&Request::Resume { router }),
        Command::Reload => daemon.tell(&Request::Reload),
    }
}

/// The daemon at the other end.
struct Daemon {
    stream: BufReader<UnixStream>,
}

impl Daemon {
    fn connect(arguments: &Arguments) -> anyhow::Result<Self> {
        let path = arguments.socket.display();
        let stream = UnixStream::connect(&arguments.socket)
            .with_context(|| format!("no daemon at {path}: is it running, with this control socket (--socket)?"))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    fn ask(&mut self, request: &Request) -> anyhow::Result<Response> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).context("the daemon does not listen")?;
        let line = self.line()?.context("the daemon has ended")?;
        match serde_json::from_str(&line).context("the daemon speaks another version of this language")? {
            Response::Refused { reason } => bail!("{reason}"),
            response => Ok(response),
        }
    }

    fn line(&mut self) -> anyhow::Result<Option<String>> {
        let mut line = String::new();
        let length = self.stream.read_line(&mut line).context("the daemon does not answer")?;
        Ok((length > 0).then_some(line))
    }

    fn tell(&mut self, request: &Request) -> anyhow::Result<()> {
        self.ask(request).map(drop)
    }

    fn status(&mut self) -> anyhow::Result<Status> {
        match self.ask(&Request::Status)? {
            Response::Status(status) => Ok(*status),
            other => bail!("the daemon answered {other:?} when it was asked for its status"),
        }
    }

    fn watch(&mut self, json: bool) -> anyhow::Result<()> {
        self.tell(&Request::Watch)?;
        let mut output = std::io::stdout();
        while let Some(line) = self.line()? {
            match serde_json::from_str::<Event>(&line) {
                Ok(Event { router: Some(router), text, .. }) if !json => writeln!(output, "{router}: {text}")?,
                Ok(Event { text, .. }) if !json => writeln!(output, "{text}")?,
                _ => output.write_all(line.as_bytes())?,
            }
            output.flush()?;
        }
        bail!("the daemon has ended")
    }
}

fn print(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    serde_json::to_writer_pretty(&mut output, value).map_err(std::io::Error::from)?;
    Ok(writeln!(output)?)
}

/// A table as wide as what is in it.
fn list(status: &Status) -> anyhow::Result<()> {
    let rows: Vec<_> = status.routers.iter().map(row).collect();
    let head = ["NAME", "INTERFACE", "VRID", "PROTOCOL", "ROLE", "PRIORITY", "SINCE", "ACTIVE", "REMARK"];
    let head = head.map(str::to_owned);
    let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    let mut output = std::io::stdout();
    let bold = output.is_terminal();
    for (number, row) in [&head].into_iter().chain(&rows).enumerate() {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let line = cells.join("  ");
        match number {
            0 if bold => writeln!(output, "\x1b[1m{}\x1b[0m", line.trim_end())?,
            _ => writeln!(output, "{}", line.trim_end())?,
        }
    }
    Ok(())
}

fn row(router: &Router) -> [String; 9] {
    let status = &router.status;
    let since = status.last_transition.as_ref().map(|change| std::time::Duration::from_secs(change.ago.as_secs()));
    let paused = router.paused.then(|| "paused".to_owned());
    let remarks: Vec<_> = paused.into_iter().chain(status.faults.iter().cloned()).chain(status.phase.clone()).collect();
    let priority = match status.priority == status.base_priority {
        true => status.priority.to_string(),
        false => format!("{} of {}", status.priority, status.base_priority),
    };
    [
        router.name.clone(),
        status.interface.clone(),
        status.vrid.to_string(),
        status.protocol.clone(),
        status.role.to_string(),
        priority,
        since.map_or_else(|| "-".to_owned(), |since| humantime::format_duration(since).to_string()),
        status.active_address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
        remarks.join(", "),
    ]
}
