//! Servers that mean harm, all at once, against one driver. One test in a process of its own: it looks at its own memory.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use vrrp_ipvs::check::http::{Http, Pattern, Url};
use vrrp_ipvs::check::smtp::Smtp;
use vrrp_ipvs::check::tls::Tls;
use vrrp_ipvs::check::{Check, CheckEvent, Driver, Probe, Schedule};

/// A server that says this first, and then that again and again, at most so many octets and with this pause.
fn endless(first: &'static [u8], again: &'static [u8], pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let talk = move |mut stream: TcpStream| {
        if stream.write_all(first).is_err() {
            return;
        }
        // 10 GB, if it were let.
        let mut left: u64 = 10_000_000_000;
        while left > 0 && stream.write_all(again).is_ok() {
            left = left.saturating_sub(again.len() as u64);
            std::thread::sleep(pause);
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || talk(stream));
        }
    });
    address
}

/// A server that takes connections, reads, and never says anything.
fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || std::io::copy(&mut stream.unwrap(), &mut std::io::sink()));
        }
    });
    address
}

/// A server that ends every connection at once, with a reset if something was sent to it.
fn slamming() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    address
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let mut status = String::new();
    fs::File::open("/proc/self/status").unwrap().read_to_string(&mut status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

static NOISE: [u8; 64 << 10] = [b'x'; 64 << 10];

#[test]
fn servers_that_mean_harm_fail_their_checks_and_cost_little_memory() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let none = Duration::ZERO;
    let slow = Duration::from_millis(50);
    let servers = [
        endless(b"", &NOISE, none),
        endless(b"HTTP/1.1 200 OK\r\n", b"X-Header: again and again\r\n", none),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", &NOISE, none),
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", &NOISE, none),
        endless(chunked, b"1\r\nx\r\n", none),
        endless(chunked, b"0", none),
        endless(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"y", slow),
        endless(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", none),
        endless(b"220-hello\r\n", b"220-hello again\r\n", none),
        endless(b"\x16\x03\x03\x10\x00\x02\xff\xff\xff", &NOISE, none),
        silent(),
        slamming(),
    ];
    let pattern = Pattern { expression: "(x+x+)+y".into(), ..Pattern::default() };
    let digest = Some("0".repeat(32));
    let url = || Url { digest: digest.clone(), regex: Some(pattern.clone()), ..Url::default() };
    let http = || Http { urls: vec![url()], body_limit: 64 << 20, ..Http::default() };
    let probes =
        || [Probe::Http(http()), Probe::Https { http: http(), tls: Tls::default() }, Probe::Smtp(Smtp::default())];
    let schedule = Schedule {
        delay_loop: Duration::from_secs(1),
        retry: Some(1),
        delay_before_retry: Some(Duration::from_millis(100)),
        reply_timeout: Some(Duration::from_millis(1500)),
        warmup: Some(Duration::ZERO),
        ..Schedule::default()
    };
    let mut driver = Driver::new().unwrap();
    let before = resident();
    let mut checks = std::collections::BTreeSet::new();
    for target in servers {
        for probe in probes() {
            // Several of each.
            for _ in 0..5 {
                let check = Check { schedule, ..Check::new(target, probe.clone()) };
                checks.insert(driver.add(check).unwrap());
            }
        }
    }
    assert_eq!(checks.len(), 180);
    let end = Instant::now() + Duration::from_secs(60);
    let mut most = 0;
    while !checks.is_empty() {
        assert!(Instant::now() < end, "{} checks have no result", checks.len());
        poll(&mut [PollFd::new(&driver.as_fd(), PollFlags::IN)], None).unwrap();
        for event in driver.process().unwrap() {
            let CheckEvent::Down { check, .. } = event else { panic!("{event:?}") };
            checks.remove(&check);
        }
        most = most.max(resident());
    }
    let grown = most.saturating_sub(before);
    println!("{grown} KiB more");
    // Of each check at most a head (16 KiB), a window (64 KiB), what TLS keeps (some 64 KiB), and the servers' threads.
    assert!(grown < 48 << 10, "{grown} KiB more");
}
