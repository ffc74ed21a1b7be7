//! Network namespaces joined by cables, and what runs in them. Each goes when its value is dropped.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use vrrp_ipvs::Ipvs;

/// A network namespace with its own IPVS table.
pub(crate) struct Host {
    name: String,
}

/// Runs a program to its end, and gives what it printed.
pub(crate) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {}: {text}{errors}", output.status);
    text
}

impl Host {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ipvs-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run("ip", &format!("netns add {name}"));
        let host = Self { name };
        host.ip("link set lo up");
        host
    }

    /// `ip` of iproute2.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        run("ip", &format!("-n {} {arguments}", self.name))
    }

    /// `ipvsadm` with options.
    pub(crate) fn ipvsadm(&self, options: &str) -> String {
        self.inside(|| run("ipvsadm", options))
    }

    /// The lines of `ipvsadm -Ln` after its three of heading, with single spaces.
    pub(crate) fn listing(&self) -> Vec<String> {
        let text = self.ipvsadm("-Ln");
        text.lines().skip(3).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    pub(crate) fn sysctl(&self, setting: &str, value: &str) {
        let path = format!("/proc/sys/net/{setting}");
        self.inside(|| std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
    }

    /// Calls `body` on a thread in this namespace.
    pub(crate) fn inside<Answer: Send>(&self, body: impl FnOnce() -> Answer + Send) -> Answer {
        let namespace = self.file();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(&namespace);
                body()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(crate) fn ipvs(&self) -> Ipvs {
        self.inside(|| Ipvs::open().unwrap())
    }

    /// Answers every TCP connection to `port`, at any address, with `answer`.
    pub(crate) fn serve(&self, port: u16, answer: &'static str) -> Server {
        let listener = self.inside(|| TcpListener::bind(("::", port)).unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            while let Ok((mut connection, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let _ = connection.write_all(answer.as_bytes());
            }
        });
        Server { namespace: self.file(), address, stop, thread: Some(thread) }
    }

    /// Connects, and reads all of the answer; an error if that takes five seconds.
    pub(crate) fn request(&self, server: &str) -> std::io::Result<String> {
        let server: SocketAddr = server.parse().unwrap();
        self.inside(|| {
            let mut connection = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
            connection.set_read_timeout(Some(Duration::from_secs(5)))?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        })
    }

    /// How often each answer came in so many requests, one after the other.
    pub(crate) fn requests(&self, server: &str, count: usize) -> std::collections::BTreeMap<String, usize> {
        let mut answers = std::collections::BTreeMap::new();
        for _ in 0..count {
            *answers.entry(self.request(server).unwrap()).or_default() += 1;
        }
        answers
    }

    fn file(&self) -> File {
        File::open(format!("/run/netns/{}", self.name)).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        run("ip", &format!("netns del {}", self.name));
    }
}

fn enter(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// A cable: `left` and `right` get an interface of this name, up, with these addresses.
pub(crate) fn cable(name: &str, left: (&Host, &str), right: (&Host, &str)) {
    let (left, left_address) = left;
    let (right, right_address) = right;
    left.ip(&format!("link add {name} type veth peer name {name} netns {}", right.name));
    for (host, addresses) in [(left, left_address), (right, right_address)] {
        for address in addresses.split_whitespace() {
            let options = match (address.contains(':'), address.ends_with("/128")) {
                (false, _) => "",
                (true, false) => "nodad",
                // As for a virtual address: nothing that the host says itself comes from it.
                (true, true) => "nodad preferred_lft 0",
            };
            host.ip(&format!("address add {address} dev {name} {options}"));
        }
        host.ip(&format!("link set {name} up"));
    }
}

/// A server until it is dropped.
pub(crate) struct Server {
    namespace: File,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let address = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), self.address.port());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                enter(&self.namespace);
                let _ = TcpStream::connect(address);
            });
        });
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until `condition` gives something, up to `limit`.
pub(crate) fn wait_for<Answer>(limit: Duration, mut condition: impl FnMut() -> Option<Answer>) -> Option<Answer> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = condition() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
