//! What the tests have in common: conversations driven by hand, and small servers on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use vrrp_ipvs::check::{CheckEvent, Driver, Exchange, Progress};

/// Opens a conversation and gives it `input`, in pieces of this many octets; returns all that it said, and what it came to.
pub(crate) fn talk(exchange: &mut impl Exchange, input: &[u8], piece: usize) -> (Vec<u8>, Progress) {
    let mut output = Vec::new();
    let mut progress = exchange.opened(&mut output);
    for piece in input.chunks(piece) {
        if progress != Progress::Pending {
            break;
        }
        progress = exchange.received(piece, &mut output);
    }
    (output, progress)
}

/// A server on 127.0.0.1 that treats each connection so, one after the other, as long as the test runs.
pub(crate) fn serve(mut treat: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            treat(stream.unwrap());
        }
    });
    address
}

/// Reads the head of a request.
pub(crate) fn read_request(stream: &mut impl Read) -> String {
    let mut request = Vec::new();
    let mut octet = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut octet).unwrap_or(0) == 1 {
        request.push(octet[0]);
    }
    String::from_utf8(request).unwrap()
}

/// A web server that answers each request so.
pub(crate) fn serve_http(mut answer: impl FnMut(&str) -> String + Send + 'static) -> SocketAddr {
    serve(move |mut stream| {
        let request = read_request(&mut stream);
        let _ = stream.write_all(answer(&request).as_bytes());
    })
}

/// An address of loopback that refuses connections as long as the test runs: it is taken, but nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

/// Runs a driver as an application does, until so many events have come or, far beyond what any test takes, 30 s are over.
pub(crate) fn run(driver: &mut Driver, events: usize) -> Vec<CheckEvent> {
    let mut all = Vec::new();
    run_until(driver, |_, new| {
        all.extend(new);
        all.len() >= events
    });
    all
}

/// Runs a driver until `done` says so.
pub(crate) fn run_until(driver: &mut Driver, mut done: impl FnMut(&Driver, Vec<CheckEvent>) -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let events = driver.process().unwrap();
        if done(driver, events) {
            return;
        }
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nothing more after 30 s: {:?}", driver.status());
        let timeout = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap() + 1, tv_nsec: 0 };
        poll(&mut [PollFd::new(&driver.as_fd(), PollFlags::IN)], Some(&timeout)).unwrap();
    }
}
