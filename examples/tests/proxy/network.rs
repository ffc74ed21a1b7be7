//! The network of these tests: two places for the proxy, each with an upstream of its own, and a client.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use vrrp_net::lab::{Bridge, Capture, Host, Lab};
use vrrp_net::vrrp_core::Instant;

use crate::common::{Node, PATIENCE, TempDir, adverts, lab, now, wait_until};

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const PORT: u16 = 8080;
/// Where both upstreams are, each at a port of its own.
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// No settings beside the usual ones.
pub(crate) const PLAIN: &str = "";

pub(crate) struct Network {
    a: Host,
    b: Host,
    client: Host,
    server: Host,
    upstreams: [Option<Upstream>; 2],
    runtime: Runtime,
    capture: Capture,
    folder: TempDir,
    _lan: Bridge,
    _lab: Lab,
}

/// How a connection went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It had an answer from the upstream of this place, whole and with an end.
    Served(String),
    /// Refused, cut, or without an answer.
    Lost,
    /// Not over yet.
    Open,
}

#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

impl Network {
    /// `None` where no lab is allowed.
    pub(crate) fn new() -> Option<Self> {
        let lab = lab()?;
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("more descriptors");
        let lan = lab.bridge("lan").expect("a bridge");
        let capture = lan.capture().expect("a capture");
        let host = |name: &str, address: &str| {
            let host = lab.host(name).expect("a host");
            host.attach(&lan, "eth0", &[address]).expect("an interface");
            host
        };
        let (a, b) = (host("a", "192.0.2.1/24"), host("b", "192.0.2.2/24"));
        let (client, server) = (host("client", "192.0.2.66/24"), host("server", "192.0.2.10/24"));
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let mut network = Self {
            a,
            b,
            client,
            server,
            upstreams: [None, None],
            runtime,
            capture,
            folder: TempDir::new(),
            _lan: lan,
            _lab: lab,
        };
        network.revive_upstream_of_a();
        network.revive_upstream(1);
        Some(network)
    }

    /// Both run, and the first one is Active.
    pub(crate) fn settled(&self, more: &str) -> (Node, Node) {
        let a = self.start_a(more);
        assert!(self.becomes_active(&a), "{:#?}", a.log().lines());
        let b = self.start_b(more);
        assert!(self.stands_by(&b), "{:#?}", b.log().lines());
        assert!(wait_until(PATIENCE, || self.has_address("a") && !self.has_address("b")));
        (a, b)
    }

    pub(crate) fn start_a(&self, more: &str) -> Node {
        self.start(&self.a, &[9000], more)
    }

    /// With upstreams at these ports.
    pub(crate) fn start_a_with(&self, ports: &[u16]) -> Node {
        self.start(&self.a, ports, PLAIN)
    }

    pub(crate) fn start_b(&self, more: &str) -> Node {
        self.start(&self.b, &[9001], more)
    }

    /// Without the election that settles a cold start: they are equals, and it is a matter of fractions of a millisecond.
    fn start(&self, host: &Host, ports: &[u16], more: &str) -> Node {
        let upstreams: Vec<String> = ports.iter().map(|port| format!("{SERVER}:{port}")).collect();
        let text = format!(
            r#"
            port = {PORT}
            upstreams = {upstreams:?}
            check-interval = "200ms"
            {more}
            [router]
            interface = "eth0"
            vrid = 51
            addresses = ["{VIP}"]
            nopreempt = true
            settle = "0s"
            interval = "500ms"
            "#
        );
        let file = self.folder.write(&format!("{}.toml", host.name()), &text);
        Node::run(host, env!("CARGO_BIN_EXE_proxy"), ["--config".as_ref(), file.as_os_str()])
    }

    /// Whether a node comes to be Active.
    #[must_use]
    pub(crate) fn becomes_active(&self, node: &Node) -> bool {
        wait_until(PATIENCE, || role(node).is_some_and(|line| line.contains("-> Active")))
    }

    /// Whether a node comes to be a Backup that knows its upstream.
    #[must_use]
    pub(crate) fn stands_by(&self, node: &Node) -> bool {
        node.log().wait_for(PATIENCE, "answers")
            && wait_until(PATIENCE, || role(node).is_some_and(|line| line.contains("-> Backup")))
    }

    pub(crate) fn has_address(&self, place: &str) -> bool {
        let host = if place == "a" { &self.a } else { &self.b };
        host.has_address(IpAddr::V4(VIP)).expect("a list of addresses")
    }

    /// How many advertisements the first place has sent.
    pub(crate) fn adverts_of_a(&self) -> usize {
        let source = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        adverts(&self.capture.frames()).iter().filter(|advert| advert.source == source).count()
    }

    pub(crate) fn upstream_a(&self) -> &Upstream {
        self.upstreams[0].as_ref().expect("an upstream")
    }

    pub(crate) fn kill_upstream_of_a(&mut self) {
        self.upstreams[0] = None;
    }

    pub(crate) fn kill_upstream_of_b(&mut self) {
        self.upstreams[1] = None;
    }

    pub(crate) fn revive_upstream_of_a(&mut self) {
        self.revive_upstream(0);
    }

    fn revive_upstream(&mut self, index: u16) {
        let name = ["a", "b"][usize::from(index)];
        let upstream = Upstream::start(&self.server, name, 9000 + index);
        self.upstreams[usize::from(index)] = Some(upstream);
    }

    /// Connections through the proxy that say nothing and wait.
    pub(crate) fn idle_connections(&self, count: usize) -> Vec<TcpStream> {
        let connect = |_| {
            let socket = tcp_socket(&self.client);
            self.runtime.block_on(async { from_fd(socket).connect((VIP, PORT).into()).await }).expect("a connection")
        };
        (0..count).map(connect).collect()
    }

    /// A client that opens a connection every few milliseconds from now on.
    pub(crate) fn client(&self) -> Client {
        Client::start(&self.client)
    }
}

/// The last change of role that it has logged.
fn role(node: &Node) -> Option<String> {
    node.log().matching(" -> ").pop()
}

fn tcp_socket(host: &Host) -> OwnedFd {
    const AF_INET: i32 = 2;
    const SOCK_STREAM_NONBLOCK: i32 = 1 | 0o4000;
    host.socket(AF_INET, SOCK_STREAM_NONBLOCK, 0).expect("a socket")
}

fn from_fd(socket: OwnedFd) -> TcpSocket {
    TcpSocket::from_std_stream(std::net::TcpStream::from(socket))
}

/// How long an answer takes: so several connections are under way at any time.
const THINKS: Duration = Duration::from_millis(40);

/// A server that answers an octet with its name and ends. Dropping it kills it, with its connections.
pub(crate) struct Upstream {
    /// Connections that have had no answer yet.
    waiting: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Upstream {
    fn start(host: &Host, name: &'static str, port: u16) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let waiting = Arc::new(AtomicUsize::new(0));
        let socket = tcp_socket(host);
        let listener = runtime.block_on(async {
            let socket = from_fd(socket);
            socket.set_reuseaddr(true).expect("a reusable address");
            socket.bind(SocketAddr::from((SERVER, port))).expect("an address");
            socket.listen(4096).expect("a port")
        });
        runtime.spawn(serve(listener, name, Arc::clone(&waiting)));
        Self { waiting, runtime: Some(runtime) }
    }

    /// Whether there come to be so many that wait.
    #[must_use]
    pub(crate) fn wait_for_connections(&self, count: usize) -> bool {
        wait_until(PATIENCE, || self.waiting.load(Ordering::Relaxed) >= count)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}

async fn serve(listener: TcpListener, name: &'static str, waiting: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let waiting = Arc::clone(&waiting);
        tokio::spawn(async move {
            waiting.fetch_add(1, Ordering::Relaxed);
            let mut octet = [0];
            // A check says nothing, and ends.
            if matches!(stream.read(&mut octet).await, Ok(1)) {
                tokio::time::sleep(THINKS).await;
                let _ = stream.write_all(name.as_bytes()).await;
            }
            waiting.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// See [`Network::client`].
pub(crate) struct Client {
    connections: Arc<Mutex<Vec<Connection>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How often it opens one.
const EVERY: Duration = Duration::from_millis(5);
/// How long it waits for an answer.
const GIVES_UP: Duration = Duration::from_secs(20);

impl Client {
    fn start(host: &Host) -> Self {
        let (connections, ended) = (Arc::<Mutex<Vec<Connection>>>::default(), Arc::new(AtomicBool::new(false)));
        let (record, stop, host) = (Arc::clone(&connections), Arc::clone(&ended), host.clone());
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
            for index in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let socket = tcp_socket(&host);
                let began = now();
                let open = Connection { began, took: Duration::ZERO, outcome: Outcome::Open };
                record.lock().expect("a record").push(open);
                let record = Arc::clone(&record);
                runtime.spawn(async move {
                    let answer = tokio::time::timeout(GIVES_UP, ask(socket)).await;
                    let outcome = match answer {
                        Ok(Ok(name)) if !name.is_empty() => Outcome::Served(name),
                        Ok(_) | Err(_) => Outcome::Lost,
                    };
                    if let Some(it) = record.lock().expect("a record").get_mut(index) {
                        (it.took, it.outcome) = (now().since(began), outcome);
                    }
                });
                std::thread::sleep(EVERY);
            }
            let all_over = || record.lock().expect("a record").iter().all(|it| it.outcome != Outcome::Open);
            assert!(wait_until(PATIENCE, all_over), "a connection does not end");
        });
        Self { connections, ended, thread: Some(thread) }
    }

    /// Whether connections that begin from now on come to be served by this place.
    #[must_use]
    pub(crate) fn is_served_by(&self, name: &str, limit: Duration) -> bool {
        let since = now();
        let wanted = Outcome::Served(name.to_owned());
        wait_until(limit, || {
            let connections = self.connections.lock().expect("a record");
            connections.iter().any(|it| it.began >= since && it.outcome == wanted)
        })
    }

    /// Stops opening more, waits for those that are open, and returns all.
    pub(crate) fn stop(mut self) -> Vec<Connection> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.take().expect("a thread").join().expect("a client");
        self.connections.lock().expect("a record").clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn ask(socket: OwnedFd) -> std::io::Result<String> {
    let mut stream = from_fd(socket).connect((VIP, PORT).into()).await?;
    stream.write_all(b"?").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
