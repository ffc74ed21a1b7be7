//! A daemon's control socket: what operators and programs may ask of it while it runs.
//!
//! A Unix socket that speaks JSON, a [`Request`] and its [`Response`] a line each; `vrrpctl` is its client. After
//! [`Request::Watch`] the daemon goes on with an [`Event`] a line. Who may write to the socket may do all of it: its
//! mode is 0600, so that is the daemon's own user and root.

mod metrics;
mod server;
mod status;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use serde::{Deserialize, Serialize};
use vrrp_net::vrrp_core::Role;

pub use self::metrics::render;
use self::server::{Client, Server};
pub use self::status::{RealServer, Router, Status, Tracked, VirtualServer};

/// The socket if none is named.
pub const DEFAULT_SOCKET: &str = "/run/vrrp/control.sock";

/// What a daemon is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Tell how everything is: [`Response::Status`].
    Status,
    /// Tell what happens from now on.
    Watch,
    /// Hand the addresses of a virtual router to another host, without a gap. It stays in the election as Backup, and goes
    /// on if nobody takes over. Where it preempts it takes them back.
    HandOver {
        /// The name of the virtual router.
        router: String,
    },
    /// Stand in the election with another priority until the configuration is read again.
    SetPriority {
        /// The name of the virtual router.
        router: String,
        /// 1..=254, or 255 for the owner of the addresses.
        priority: u8,
    },
    /// Hand the addresses over and stay out of the election.
    Pause {
        /// The name of the virtual router.
        router: String,
    },
    /// Take part again.
    Resume {
        /// The name of the virtual router.
        router: String,
    },
    /// Read the configuration again, as SIGHUP does.
    Reload,
}

/// What a daemon answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Response {
    /// It is under way; what comes of it are events.
    Done,
    /// It cannot be done.
    Refused {
        /// Why, and what would be right.
        reason: String,
    },
    /// How everything is.
    Status(Box<Status>),
}

impl Response {
    /// That something cannot be done.
    pub fn refused(reason: impl ToString) -> Self {
        Self::Refused { reason: reason.to_string() }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The virtual router that it is about, by name; of one that is about several there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<String>,
    /// The role that it has since, if that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// What happened, in words.
    pub text: String,
}

/// The control socket and the metrics of a daemon, for its event loop: watch [`descriptors`](Self::descriptors) for reading,
/// and call [`process`](Self::process) when one is readable.
#[derive(Debug, Default)]
pub struct Control {
    socket: Option<Server>,
    metrics: Option<Server>,
    watchers: Vec<Client>,
}

impl Control {
    /// Opens what is configured: a Unix socket, and an HTTP server for `GET /metrics`.
    ///
    /// # Errors
    /// The path or the address that cannot be listened at, and why. A path that another process listens at is one; one
    /// that a dead process left is taken over.
    pub fn open(socket: Option<&Path>, metrics: Option<SocketAddr>) -> io::Result<Self> {
        Ok(Self {
            socket: socket.map(Server::at_path).transpose()?,
            metrics: metrics.map(Server::at_address).transpose()?,
            watchers: Vec::new(),
        })
    }

    /// What to watch for reading.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.socket.iter().chain(&self.metrics).map(AsFd::as_fd)
    }

    /// Reads and answers what clients ask. A bounded amount of work; what was left keeps a descriptor readable.
    ///
    /// # Errors
    /// The descriptors themselves have failed. What clients do is never an error here.
    pub fn process(
        &mut self,
        status: impl Fn() -> Status,
        mut handle: impl FnMut(Request) -> Response,
    ) -> io::Result<()> {
        if let Some(server) = &mut self.socket {
            for (client, line) in server.process(server::line)? {
                let response = match serde_json::from_slice(&line) {
                    Ok(Request::Status) => Response::Status(Box::new(status())),
                    Ok(Request::Watch) => {
                        self.watchers.push(client);
                        Response::Done
                    }
                    Ok(request) => handle(request),
                    Err(error) => Response::refused(format_args!("no request that is known here: {error}")),
                };
                server.send(client, &json_line(&response));
            }
            server.flush();
            self.watchers.retain(|client| server.has(*client));
        }
        if let Some(server) = &mut self.metrics {
            for (client, head) in server.process(server::head)? {
                server.send(client, &metrics::answer(&head, &status));
                server.end(client);
            }
            server.flush();
        }
        Ok(())
    }

    /// Tells those who watch.
    pub fn tell(&mut self, event: &Event) {
        let (Some(server), false) = (&mut self.socket, self.watchers.is_empty()) else { return };
        let line = json_line(event);
        for client in &self.watchers {
            server.send(*client, &line);
        }
        server.flush();
    }
}

/// As a line of JSON.
fn json_line(value: &impl Serialize) -> Vec<u8> {
    // Nothing in these types can fail to be written: no maps with other keys than texts, no foreign errors.
    let mut line = serde_json::to_vec(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}").into_bytes());
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;

    use super::*;

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("vrrp-control-{}-{name}", std::process::id())).join("control.sock")
    }

    fn status() -> Status {
        Status {
            program: "test".to_owned(),
            process: 1,
            up_seconds: 2,
            guarded: true,
            routers: Vec::new(),
            discards: vec![("a \"quoted\" reason".to_owned(), 3)],
            tracked: vec![Tracked {
                name: "check".into(),
                kind: "script".into(),
                up: Some(false),
                said: "exit 1".into(),
            }],
            virtual_servers: vec![VirtualServer {
                name: "web".to_owned(),
                quorum: true,
                servers: vec![RealServer { address: "192.0.2.11:80".parse().unwrap(), up: true, weight: 3 }],
                sorry: false,
            }],
        }
    }

    /// Serves until the other end has all that it waits for.
    fn serve<T: Send + 'static>(
        control: &mut Control,
        client: impl FnOnce() -> T + Send + 'static,
    ) -> (T, Vec<Request>) {
        let client = std::thread::spawn(client);
        let mut asked = Vec::new();
        while !client.is_finished() {
            let handle = |request: Request| {
                asked.push(request.clone());
                match request {
                    Request::Reload => Response::Done,
                    other => Response::refused(format_args!("there is no {other:?}")),
                }
            };
            control.process(status, handle).unwrap();
            control.tell(&Event { router: Some("one".into()), role: Some(Role::Active), text: "it is so".into() });
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        (client.join().unwrap(), asked)
    }

    fn remove(path: &Path) {
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn each_line_is_answered_by_a_line_also_after_the_client_has_said_its_last() {
        let path = place("lines");
        let mut control = Control::open(Some(&path), None).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let at = path.clone();
        let (answers, asked) = serve(&mut control, move || {
            let mut stream = UnixStream::connect(at).unwrap();
            let pause = r#"{"request":"pause","router":"one"}"#;
            writeln!(stream, "{{\"request\":\"reload\"}}\n{pause}\nnonsense\n{{\"request\":\"status\"}}").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answers = String::new();
            stream.read_to_string(&mut answers).unwrap();
            answers
        });
        let answers: Vec<_> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(asked, [Request::Reload, Request::Pause { router: "one".to_owned() }]);
        assert!(
            matches!(&answers[..], [Response::Done, Response::Refused { .. }, Response::Refused { reason }, Response::Status(it)]
                if reason.starts_with("no request that is known here") && **it == status()),
            "{answers:?}"
        );
        drop(control);
        assert!(!path.exists());
        remove(&path);
    }

    #[test]
    fn one_who_watches_hears_what_happens() {
        let path = place("watch");
        let mut control = Control::open(Some(&path), None).unwrap();
        let at = path.clone();
        let (line, _) = serve(&mut control, move || {
            let mut stream = UnixStream::connect(at).unwrap();
            writeln!(stream, r#"{{"request":"watch"}}"#).unwrap();
            BufReader::new(stream).lines().nth(1).unwrap().unwrap()
        });
        assert_eq!(line, r#"{"router":"one","role":"active","text":"it is so"}"#);
        drop(control);
        remove(&path);
    }

    #[test]
    fn one_who_never_ends_a_line_is_dropped_and_others_are_served() {
        let path = place("hostile");
        let mut control = Control::open(Some(&path), None).unwrap();
        let at = path.clone();
        serve(&mut control, move || {
            let mut endless = UnixStream::connect(&at).unwrap();
            let sent = (0..1000).take_while(|_| endless.write_all(&[b'x'; 1000]).is_ok()).count();
            assert!(sent < 1000, "it is dropped");
            // More than there may be at a time: the oldest go.
            let many: Vec<_> = (0..100).map(|_| UnixStream::connect(&at).unwrap()).collect();
            let mut stream = UnixStream::connect(&at).unwrap();
            writeln!(stream, r#"{{"request":"reload"}}"#).unwrap();
            assert_eq!(BufReader::new(stream).lines().next().unwrap().unwrap(), r#"{"response":"done"}"#);
            drop(many);
        });
        drop(control);
        remove(&path);
    }

    #[test]
    fn the_socket_of_a_dead_process_is_taken_over_and_that_of_a_living_one_is_not() {
        let path = place("taken");
        let living = Control::open(Some(&path), None).unwrap();
        let error = Control::open(Some(&path), None).unwrap_err().to_string();
        assert!(error.contains("another process does"), "{error}");
        assert!(path.exists());
        drop(living);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "as a dead process leaves it");
        let _control = Control::open(Some(&path), None).unwrap();
        remove(&path);
    }

    #[test]
    fn metrics_are_served_over_http() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut control = Control::open(None, Some(address)).unwrap();
        let (answers, _) = serve(&mut control, move || {
            [
                "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET / HTTP/1.0\r\n\r\n",
                "PUT /metrics HTTP/1.1\r\n\r\n",
                "\0\n\n",
            ]
            .map(|request| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            })
        });
        let starts = answers.each_ref().map(|answer| answer.lines().next().unwrap());
        assert_eq!(
            starts,
            [
                "HTTP/1.1 200 OK",
                "HTTP/1.1 404 Not Found",
                "HTTP/1.1 405 Method Not Allowed",
                "HTTP/1.1 400 Bad Request"
            ]
        );
        let page = answers[0].split("\r\n\r\n").nth(1).unwrap();
        assert_eq!(page, render(&status()));
        for line in [
            r#"vrrp_unclaimed_discards_total{reason="a \"quoted\" reason"} 3"#,
            r#"vrrp_tracked_up{name="check",kind="script"} 0"#,
            r#"vrrp_real_server_weight{virtual_server="web",server="192.0.2.11:80"} 3"#,
            "# TYPE vrrp_router_adverts_sent_total counter",
        ] {
            assert!(page.lines().any(|it| it == line), "no {line} in\n{page}");
        }
    }
}
