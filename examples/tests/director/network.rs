//! Hosts on a bridge, web servers on them, and their clients.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::net::{Host, cable};

/// A web server, which stops listening when it is dropped.
pub(crate) struct Web {
    stop: Arc<AtomicBool>,
    healthy: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    pub(crate) fn on(host: &Host, body: &'static str) -> Self {
        let listener = host.inside(|| TcpListener::bind("[::]:80").unwrap());
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let healthy = Arc::new(AtomicBool::new(true));
        let (stopped, is_healthy) = (stop.clone(), healthy.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((connection, _)) => answer(connection, body, is_healthy.load(Ordering::Relaxed)),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Self { stop, healthy, thread: Some(thread) }
    }

    /// Whether it says that all is well (200), or that it cannot serve (503). It answers in either case.
    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut connection: TcpStream, body: &str, healthy: bool) {
    let _ = connection.set_nonblocking(false);
    let _ = connection.set_read_timeout(Some(Duration::from_secs(5)));
    let (mut request, mut octet) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && connection.read(&mut octet).is_ok_and(|read| read == 1) {
        request.push(octet[0]);
    }
    let (status, body) = match healthy {
        true => ("200 OK", body.to_owned()),
        false => ("503 Service Unavailable", format!("sorry from {body}")),
    };
    let length = body.len();
    let _ = write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
}

/// The body that the client gets.
pub(crate) fn get_from(client: &Host, server: &str) -> std::io::Result<String> {
    let server: SocketAddr = server.parse().unwrap();
    client.inside(|| {
        let mut connection = TcpStream::connect_timeout(&server, Duration::from_secs(2))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(b"GET / HTTP/1.1\r\nHost: vip\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        connection.read_to_string(&mut text)?;
        Ok(text.rsplit("\r\n").next().unwrap_or_default().to_owned())
    })
}

/// What is expected of the number of each body.
pub(crate) fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.into_iter().map(|(body, count)| (body.to_owned(), count)).collect()
}

/// A bridge with hosts on it, each by an interface of this name.
pub(crate) fn bridge(name: &str, hosts: &[(&Host, &str)]) -> Host {
    let switch = Host::new();
    switch.ip("link add br0 type bridge");
    switch.ip("link set br0 up");
    for (number, (host, address)) in hosts.iter().enumerate() {
        let port = format!("{name}{number}");
        cable(&port, (host, address), (&switch, ""));
        switch.ip(&format!("link set {port} master br0"));
        host.ip(&format!("link set {port} down"));
        host.ip(&format!("link set {port} name {name}"));
        host.ip(&format!("link set {name} up"));
    }
    switch
}
