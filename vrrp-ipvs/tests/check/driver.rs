//! The driver with real sockets, programs and files. Every server is on loopback, in a thread.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use vrrp_ipvs::check::command::Command;
use vrrp_ipvs::check::dns::Dns;
use vrrp_ipvs::check::file::File;
use vrrp_ipvs::check::http::{Http, Url};
use vrrp_ipvs::check::schedule::Phase;
use vrrp_ipvs::check::smtp::Smtp;
use vrrp_ipvs::check::udp::{Reply, Udp};
use vrrp_ipvs::check::{
    Check, CheckError, CheckEvent, CheckId, Driver, DriverError, Failure, Health, Origin, Passed, Probe, Schedule,
    Stage, Weight,
};

use crate::servers::{nobody, read_request, run, run_until, serve, serve_http};

/// Fast enough for a test, and alpha: that a server is up is an event too.
fn quick() -> Schedule {
    Schedule {
        delay_loop: Duration::from_millis(50),
        retry: Some(1),
        delay_before_retry: Some(Duration::from_millis(10)),
        connect_timeout: Duration::from_secs(10),
        warmup: Some(Duration::ZERO),
        alpha: true,
        ..Schedule::default()
    }
}

fn check(target: SocketAddr, probe: Probe) -> Check {
    Check { schedule: quick(), ..Check::new(target, probe) }
}

fn up(check: CheckId) -> CheckEvent {
    CheckEvent::Up { check, weight: None }
}

/// What the first event of a check alone is.
fn first_event(check: Check) -> CheckEvent {
    let mut driver = Driver::new().unwrap();
    driver.add(check).unwrap();
    run(&mut driver, 1).remove(0)
}

/// Why a check that is up at first goes down.
fn reason(mut check: Check) -> Failure {
    check.schedule.alpha = false;
    match first_event(check) {
        CheckEvent::Down { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tcp_is_up_where_somebody_listens_and_down_where_nobody_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let event = first_event(check(listener.local_addr().unwrap(), Probe::Tcp));
    assert!(matches!(event, CheckEvent::Up { weight: None, .. }), "{event:?}");
    let refused = reason(check(nobody(), Probe::Tcp));
    assert_eq!(refused, Failure::Connection("Connection refused (os error 111)".into()));
}

#[test]
fn tcp_works_over_ipv6() {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let event = first_event(check(listener.local_addr().unwrap(), Probe::Tcp));
    assert!(matches!(event, CheckEvent::Up { .. }), "{event:?}");
}

#[test]
fn a_connection_that_nobody_answers_is_out_of_time() {
    // A listener whose queue is full drops what else wants in. The queue holds one more than its length.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _one = std::net::TcpStream::connect(address).unwrap();
    let mut check = check(address, Probe::Tcp);
    check.schedule.connect_timeout = Duration::from_millis(100);
    assert_eq!(reason(check), Failure::TimedOut(Stage::Connect));
}

#[test]
fn a_driver_that_was_held_up_reads_what_has_come_before_it_says_that_it_took_too_long() {
    let (answered, wait) = std::sync::mpsc::channel();
    let address = serve(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        answered.send(()).unwrap();
    });
    let http = Http { urls: vec![Url::default()], ..Http::default() };
    let mut impatient = check(address, Probe::Http(http));
    impatient.schedule.reply_timeout = Some(Duration::from_millis(100));
    impatient.schedule.delay_loop = Duration::from_secs(60);
    impatient.schedule.alpha = false;
    let mut driver = Driver::new().unwrap();
    let id = driver.add(impatient).unwrap();
    // Until it has asked; then nobody looks after it for five times as long as it would wait.
    while wait.try_recv().is_err() {
        assert_eq!(driver.process().unwrap(), []);
        std::thread::sleep(Duration::from_millis(1));
        if driver.check_status(id).unwrap().attempts > 0 {
            assert_eq!(driver.process().unwrap(), []);
            wait.recv_timeout(Duration::from_secs(30)).unwrap();
            break;
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(driver.process().unwrap(), [], "it is up, as before");
    let status = driver.check_status(id).unwrap();
    assert_eq!((status.attempts, status.failures, status.schedule.judged), (1, 0, true));
}

#[test]
fn a_server_that_dies_goes_down_and_comes_back() {
    let status = Arc::new(AtomicU32::new(200));
    let served = Arc::clone(&status);
    let address =
        serve_http(move |_| format!("HTTP/1.1 {} What\r\nContent-Length: 0\r\n\r\n", served.load(Ordering::Relaxed)));
    let http = Http { urls: vec![Url::default()], ..Http::default() };
    let mut driver = Driver::new().unwrap();
    let id = driver.add(check(address, Probe::Http(http))).unwrap();
    assert_eq!(run(&mut driver, 1), [up(id)]);
    status.store(503, Ordering::Relaxed);
    assert_eq!(run(&mut driver, 1), [CheckEvent::Down { check: id, reason: Failure::Status(503) }]);
    status.store(200, Ordering::Relaxed);
    assert_eq!(run(&mut driver, 1), [up(id)]);
    let status = driver.check_status(id).unwrap();
    assert_eq!((status.health, status.kind, status.target), (Health::Up, "http", address));
    // The retry too.
    assert!(status.failures >= 2 && status.attempts > status.failures, "{status:?}");
    assert_eq!(status.last_failure, Some(Failure::Status(503)));
}

#[test]
fn a_check_that_says_all_failures_says_those_that_are_tried_again_too() {
    let status = Arc::new(AtomicU32::new(200));
    let served = Arc::clone(&status);
    let address =
        serve_http(move |_| format!("HTTP/1.1 {} What\r\nContent-Length: 0\r\n\r\n", served.load(Ordering::Relaxed)));
    let http = Http { urls: vec![Url::default()], ..Http::default() };
    let mut driver = Driver::new().unwrap();
    let schedule = Schedule { retry: Some(2), fall: 2, ..quick() };
    let id = driver.add(Check { schedule, say_all_failures: true, ..check(address, Probe::Http(http)) }).unwrap();
    assert_eq!(run(&mut driver, 1), [up(id)]);
    status.store(503, Ordering::Relaxed);
    // Two rounds of three; the last one takes it down.
    let reason = Failure::Status(503);
    let mut expected = vec![CheckEvent::AttemptFailed { check: id, reason: reason.clone() }; 5];
    expected.push(CheckEvent::Down { check: id, reason });
    assert_eq!(run(&mut driver, 6), expected);
    // Down it is silent.
    status.store(200, Ordering::Relaxed);
    assert_eq!(run(&mut driver, 1), [up(id)]);
}

#[test]
fn http_asks_for_all_pages_with_the_address_as_host() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let address = serve_http(move |request| {
        seen.lock().unwrap().push(request.to_owned());
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into()
    });
    let digest = Some("5d41402abc4b2a76b9719d911017c592".into());
    let urls = vec![Url::default(), Url { path: "/two".into(), digest, ..Url::default() }];
    let event = first_event(check(address, Probe::Http(Http { urls, ..Http::default() })));
    assert!(matches!(event, CheckEvent::Up { .. }), "{event:?}");
    let asked = asked.lock().unwrap();
    let lines = |request: &str| request.lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&asked[0]), ["GET / HTTP/1.1".to_owned(), format!("Host: {address}")]);
    assert_eq!(lines(&asked[1]), ["GET /two HTTP/1.1".to_owned(), format!("Host: {address}")]);
}

#[test]
fn a_server_that_sends_an_octet_now_and_then_is_out_of_time() {
    let address = serve(|mut stream| {
        read_request(&mut stream);
        for octet in b"HTTP/1.1 200 OK\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'y')) {
            std::thread::sleep(Duration::from_millis(20));
            if stream.write_all(&[*octet]).is_err() {
                break;
            }
        }
    });
    let http = Http { urls: vec![Url::default()], ..Http::default() };
    let mut check = check(address, Probe::Http(http));
    check.schedule.reply_timeout = Some(Duration::from_millis(200));
    assert_eq!(reason(check), Failure::TimedOut(Stage::Reply));
}

#[test]
fn smtp_talks_to_a_mail_server() {
    let said = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&said);
    let address = serve(move |mut stream| {
        let mut line = [0; 100];
        for reply in ["220-mail\r\n220 ESMTP\r\n", "250 hello\r\n", "221 bye\r\n"] {
            if stream.write_all(reply.as_bytes()).is_err() {
                return;
            }
            let length = stream.read(&mut line).unwrap_or(0);
            heard.lock().unwrap().push_str(&String::from_utf8_lossy(&line[..length]));
        }
    });
    let event = first_event(check(address, Probe::Smtp(Smtp::default())));
    assert!(matches!(event, CheckEvent::Up { .. }), "{event:?}");
    assert!(said.lock().unwrap().starts_with("HELO smtpchecker.keepalived.org\r\nQUIT\r\n"));
    let address = serve(|mut stream| {
        let _ = stream.write_all(b"554 no\r\n");
        let _ = stream.read(&mut [0; 100]);
    });
    let expected = Failure::SmtpReply { code: 554, expected: 220 };
    assert_eq!(reason(check(address, Probe::Smtp(Smtp::default()))), expected);
}

/// A server that answers every datagram so.
fn serve_udp(mut answer: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut datagram = [0; 2000];
        loop {
            let (length, from) = socket.recv_from(&mut datagram).unwrap();
            socket.send_to(&answer(&datagram[..length]), from).unwrap();
        }
    });
    address
}

#[test]
fn dns_asks_a_name_server() {
    let response = |code: u8| {
        move |question: &[u8]| {
            let mut response = question.to_vec();
            response[2..4].copy_from_slice(&[0x81, 0x80 | code]);
            response
        }
    };
    let dns = || Probe::Dns(Dns { name: "www.example.".into(), ..Dns::default() });
    let event = first_event(check(serve_udp(response(0)), dns()));
    assert!(matches!(event, CheckEvent::Up { .. }), "{event:?}");
    assert_eq!(reason(check(serve_udp(response(2)), dns())), Failure::DnsCode(2));
}

#[test]
fn udp_takes_a_reply_silence_or_a_refusal_for_what_it_is() {
    let echo = || serve_udp(<[u8]>::to_vec);
    let expecting = |prefix: &[u8]| {
        let reply = Reply { prefix: prefix.to_vec(), ..Reply::default() };
        Probe::Udp(Udp { payload: Some(b"hello".to_vec()), reply: Some(reply) })
    };
    let event = first_event(check(echo(), expecting(b"he")));
    assert!(matches!(event, CheckEvent::Up { .. }), "{event:?}");
    assert_eq!(reason(check(echo(), expecting(b"ho"))), Failure::ReplyContent);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap();
    let mut patient = check(silent_address, Probe::Udp(Udp::default()));
    patient.schedule.reply_timeout = Some(Duration::from_millis(100));
    let event = first_event(patient);
    assert!(matches!(event, CheckEvent::Up { .. }), "silence is no complaint: {event:?}");
    let mut strict = check(silent_address, expecting(b""));
    strict.schedule.reply_timeout = Some(Duration::from_millis(100));
    assert_eq!(reason(strict), Failure::TimedOut(Stage::Reply));
    // A socket that talks to somebody else gets nothing of ours: the kernel answers that nobody is there.
    silent.connect("127.0.0.1:1").unwrap();
    let refused = Failure::Connection("Connection refused (os error 111)".into());
    assert_eq!(reason(check(silent_address, Probe::Udp(Udp::default()))), refused);
}

#[test]
fn an_empty_datagram_is_sent_too_and_only_once() {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let address = serve_udp(move |datagram| {
        assert!(datagram.is_empty());
        counted.fetch_add(1, Ordering::Relaxed);
        Vec::new()
    });
    let probe = Probe::Udp(Udp { payload: Some(Vec::new()), reply: Some(Reply::default()) });
    let mut check = check(address, probe);
    check.schedule.delay_loop = Duration::from_secs(60);
    let event = first_event(check);
    assert!(matches!(event, CheckEvent::Up { .. }), "{event:?}");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn ping_reaches_loopback_over_both_families() {
    for address in ["127.0.0.1", "::1"] {
        let target = SocketAddr::new(address.parse().unwrap(), 0);
        match first_event(check(target, Probe::Ping)) {
            CheckEvent::Up { .. } => {}
            CheckEvent::Hindered { reason, .. } => {
                // Without CAP_NET_RAW and outside of net.ipv4.ping_group_range nobody may.
                assert!(reason.contains("CAP_NET_RAW"), "{reason}");
                assert!(std::env::var_os("VRRP_TEST_REQUIRE").is_none(), "{reason}");
                println!("skipped: {reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_connection_comes_from_where_the_check_says() {
    let from = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&from);
    let address = serve(move |stream| *seen.lock().unwrap() = Some(stream.peer_addr().unwrap()));
    let mut bound = check(address, Probe::Tcp);
    bound.origin.address = Some("127.0.0.77".parse().unwrap());
    bound.origin.interface = Some("lo".into());
    let event = first_event(bound);
    assert!(matches!(event, CheckEvent::Up { .. }), "{event:?}");
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while from.lock().unwrap().is_none() && std::time::Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!(from.lock().unwrap().unwrap().ip(), "127.0.0.77".parse::<IpAddr>().unwrap());
}

#[test]
fn what_this_machine_cannot_do_is_said_once_and_no_verdict() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    for (origin, says) in [
        (Origin { interface: Some("nowhere0".into()), ..Origin::default() }, "bind to interface \"nowhere0\""),
        (Origin { address: Some("192.0.2.77".parse().unwrap()), ..Origin::default() }, "bind to 192.0.2.77:0"),
    ] {
        let mut driver = Driver::new().unwrap();
        let schedule = Schedule { alpha: false, delay_loop: Duration::from_millis(5), ..quick() };
        let id = driver.add(Check { origin, schedule, ..Check::new(target, Probe::Tcp) }).unwrap();
        let mut events = Vec::new();
        run_until(&mut driver, |driver, new| {
            events.extend(new);
            driver.check_status(id).unwrap().attempts >= 3
        });
        let [CheckEvent::Hindered { check, reason }] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(*check, id);
        assert!(reason.starts_with(says), "{reason}");
        let status = driver.check_status(id).unwrap();
        assert_eq!((status.health, status.failures), (Health::Up, 0));
    }
}

#[test]
fn packets_carry_the_mark_if_that_is_permitted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut marked = check(listener.local_addr().unwrap(), Probe::Tcp);
    marked.origin.fwmark = Some(7);
    match first_event(marked) {
        CheckEvent::Up { .. } => {}
        CheckEvent::Hindered { reason, .. } => assert!(reason.starts_with("set fwmark 7 (CAP_NET_ADMIN)"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

/// A shell command, as a program.
fn shell(script: &str) -> Command {
    Command { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()], ..Command::default() }
}

fn anywhere() -> SocketAddr {
    "192.0.2.1:80".parse().unwrap()
}

#[test]
fn a_command_says_up_down_and_the_weight() {
    let folder = folder("command");
    let file = folder.join("status");
    fs::write(&file, "12").unwrap();
    let script = format!("exit $(cat {})", file.display());
    let mut driver = Driver::new().unwrap();
    let command = Command { dynamic: true, ..shell(&script) };
    let id = driver.add(check(anywhere(), Probe::Command(command))).unwrap();
    assert_eq!(run(&mut driver, 1), [CheckEvent::Up { check: id, weight: Some(Weight::Is(10)) }]);
    fs::write(&file, "7").unwrap();
    assert_eq!(run(&mut driver, 1), [CheckEvent::Weight { check: id, weight: Some(Weight::Is(5)) }]);
    fs::write(&file, "1").unwrap();
    assert_eq!(run(&mut driver, 1), [CheckEvent::Down { check: id, reason: Failure::Exit(1) }]);
    fs::write(&file, "0").unwrap();
    assert_eq!(run(&mut driver, 1), [up(id)]);
    drop(driver);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_command_that_cannot_be_run_or_is_killed_is_a_failure() {
    let missing = Command { program: "/nowhere/at-all".into(), ..Command::default() };
    let expected = Failure::NotRun("No such file or directory (os error 2)".into());
    assert_eq!(reason(check(anywhere(), Probe::Command(missing))), expected);
    assert_eq!(reason(check(anywhere(), Probe::Command(shell("kill -9 $$")))), Failure::Signal(9));
}

#[test]
fn a_command_that_does_not_end_is_out_of_time() {
    let command = Command { timeout: Some(Duration::from_millis(100)), ..shell("sleep 1000") };
    assert_eq!(reason(check(anywhere(), Probe::Command(command))), Failure::TimedOut(Stage::Reply));
}

#[test]
fn a_command_that_nobody_waits_for_is_killed_with_what_it_started() {
    let folder = folder("endless");
    let file = folder.join("pids");
    let script = format!("sleep 1000 & echo $$ $! > {0}.new; mv {0}.new {0}; wait", file.display());
    let mut driver = Driver::new().unwrap();
    let command = Command { timeout: Some(Duration::from_secs(1000)), ..shell(&script) };
    let id = driver.add(check(anywhere(), Probe::Command(command))).unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(30);
    let wait = |driver: &mut Driver, what: &str| {
        assert!(std::time::Instant::now() < end, "{what}");
        assert_eq!(driver.process().unwrap(), []);
        std::thread::sleep(Duration::from_millis(5));
    };
    while !file.exists() {
        wait(&mut driver, "it does not begin");
    }
    let pids = fs::read_to_string(&file).unwrap();
    assert_eq!(pids.split_whitespace().count(), 2, "{pids}");
    driver.remove(id).unwrap();
    // Its child may be a zombie of whoever adopts it; itself we reap.
    let gone = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    let itself = pids.split_whitespace().next().unwrap();
    while !pids.split_whitespace().all(gone) || fs::exists(format!("/proc/{itself}")).unwrap() {
        wait(&mut driver, &format!("still there: {pids}"));
    }
    fs::remove_dir_all(folder).unwrap();
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("vrrp-ipvs-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_file_says_weight_and_fault() {
    let folder = folder("file");
    let path = folder.join("value");
    fs::write(&path, "3\n").unwrap();
    let mut driver = Driver::new().unwrap();
    let file = File { path: path.clone(), weight: 2, ..File::default() };
    let id = driver.add(check(anywhere(), Probe::File(file))).unwrap();
    assert_eq!(run(&mut driver, 1), [CheckEvent::Up { check: id, weight: Some(Weight::More(6)) }]);
    fs::write(&path, "-2\n").unwrap();
    // A file that is written is empty for a moment.
    let settled = |event: &CheckEvent| matches!(event, CheckEvent::Weight { weight: Some(Weight::More(-4)), .. });
    run_until(&mut driver, |_, events| events.iter().any(settled));
    fs::write(&path, "down").unwrap();
    let reason = Failure::File("\"down\" is no number".into());
    run_until(&mut driver, |_, events| events.contains(&CheckEvent::Down { check: id, reason: reason.clone() }));
    fs::remove_file(&path).unwrap();
    let missing = File { path, ..File::default() };
    assert!(matches!(self::reason(check(anywhere(), Probe::File(missing))), Failure::File(_)));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_that_has_changed_is_read_at_once_also_if_it_is_another_one() {
    let folder = folder("changed");
    let path = folder.join("value");
    fs::write(&path, "1").unwrap();
    let mut driver = Driver::new().unwrap();
    let file = || Probe::File(File { path: path.clone(), weight: 1, ..File::default() });
    // Longer than the test takes.
    let schedule = Schedule { delay_loop: Duration::from_secs(3600), ..quick() };
    let add = |driver: &mut Driver| driver.add(Check { schedule, ..check(anywhere(), file()) }).unwrap();
    let (first, second) = (add(&mut driver), add(&mut driver));
    let says = |driver: &mut Driver, more: i64, of: &[CheckId]| {
        let mut left: Vec<CheckId> = of.to_vec();
        run_until(driver, |_, events| {
            let weight = Some(Weight::More(more));
            left.retain(|id| {
                !events.contains(&CheckEvent::Weight { check: *id, weight })
                    && !events.contains(&CheckEvent::Up { check: *id, weight })
            });
            left.is_empty()
        });
    };
    says(&mut driver, 1, &[first, second]);
    fs::write(&path, "2").unwrap();
    says(&mut driver, 2, &[first, second]);
    // Replaced, twice, as careful writers do.
    for value in 3..5 {
        let new = folder.join("new");
        fs::write(&new, value.to_string()).unwrap();
        fs::rename(&new, &path).unwrap();
        says(&mut driver, value, &[first, second]);
    }
    // The other one still reads it.
    driver.remove(first).unwrap();
    fs::write(&path, "5").unwrap();
    says(&mut driver, 5, &[second]);
    fs::remove_file(&path).unwrap();
    run_until(&mut driver, |_, events| matches!(events[..], [.., CheckEvent::Down { .. }]));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_pipe_in_a_file_s_place_does_not_hold_the_driver_up() {
    let folder = folder("fifo");
    let path = folder.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let file = File { path, ..File::default() };
    assert_eq!(reason(check(anywhere(), Probe::File(file))), Failure::File("it is no regular file".into()));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_application_can_say_it_itself_or_be_asked() {
    let mut driver = Driver::new().unwrap();
    let told = driver.add(check(anywhere(), Probe::Application)).unwrap();
    assert_eq!(driver.process().unwrap(), []);
    assert_eq!(driver.check_status(told).unwrap().schedule.phase, Phase::Stopped);
    driver.tell(told, Ok(Passed { weight: Some(Weight::Is(3)) })).unwrap();
    assert_eq!(run(&mut driver, 1), [CheckEvent::Up { check: told, weight: Some(Weight::Is(3)) }]);
    driver.tell(told, Ok(Passed { weight: Some(Weight::Is(4)) })).unwrap();
    assert_eq!(run(&mut driver, 1), [CheckEvent::Weight { check: told, weight: Some(Weight::Is(4)) }]);
    let failure = Failure::Application("replica is behind".into());
    driver.tell(told, Err(failure.clone())).unwrap();
    assert_eq!(run(&mut driver, 1), [CheckEvent::Down { check: told, reason: failure.clone() }]);
    let mut answers = vec![Ok(Passed::default()), Err(failure.clone()), Err(failure.clone())].into_iter();
    let closure = move || answers.next().unwrap_or(Ok(Passed::default()));
    let asked = driver.add_closure(check(anywhere(), Probe::Application), closure).unwrap();
    let down = CheckEvent::Down { check: asked, reason: failure };
    assert_eq!(run(&mut driver, 3), [up(asked), down, up(asked)]);
    assert_eq!(driver.check_status(asked).unwrap().kind, "closure");
}

#[test]
fn a_suspended_check_asks_nobody_and_says_nothing() {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let mut driver = Driver::new().unwrap();
    let id = driver
        .add_closure(check(anywhere(), Probe::Application), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Passed::default())
        })
        .unwrap();
    run(&mut driver, 1);
    driver.suspend(id).unwrap();
    let before = count.load(Ordering::Relaxed);
    // Three periods.
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(driver.process().unwrap(), []);
    assert_eq!(count.load(Ordering::Relaxed), before);
    assert_eq!(driver.check_status(id).unwrap().health, Health::Up);
    driver.resume(id).unwrap();
    run_until(&mut driver, |_, _| count.load(Ordering::Relaxed) > before);
}

#[test]
fn a_check_that_was_removed_says_nothing_more() {
    let mut driver = Driver::new().unwrap();
    let id = driver.add(check(anywhere(), Probe::Application)).unwrap();
    driver.tell(id, Ok(Passed::default())).unwrap();
    driver.remove(id).unwrap();
    assert_eq!(driver.process().unwrap(), []);
    assert_eq!(driver.status(), []);
    let error = driver.remove(id).unwrap_err();
    assert!(matches!(error, DriverError::UnknownCheck(unknown) if unknown == id));
    assert_eq!(error.to_string(), "there is no check 0");
    for result in [driver.suspend(id), driver.resume(id), driver.tell(id, Ok(Passed::default()))] {
        assert!(matches!(result, Err(DriverError::UnknownCheck(_))));
    }
    assert_ne!(driver.add(check(anywhere(), Probe::Application)).unwrap(), id);
}

#[test]
fn a_check_that_makes_no_sense_is_refused_with_the_reason() {
    let mut driver = Driver::new().unwrap();
    let mut refused = |check: Check| driver.add(check).unwrap_err().to_string();
    let mut other_family = check(anywhere(), Probe::Tcp);
    other_family.origin.address = Some("2001:db8::1".parse().unwrap());
    assert_eq!(refused(other_family), "source address 2001:db8::1 and target 192.0.2.1 are of different families");
    assert_eq!(refused(check(anywhere(), Probe::Http(Http::default()))), "an HTTP check needs at least one URL");
    let smtp = Smtp { helo_name: "a\r\nb".into() };
    assert_eq!(CheckError::HeloName("a\r\nb".into()).to_string(), refused(check(anywhere(), Probe::Smtp(smtp))));
    let mut busy = check(anywhere(), Probe::Tcp);
    busy.schedule.delay_loop = Duration::ZERO;
    assert_eq!(refused(busy), "delay_loop 0ns is too short: at least 1ms");
    assert_eq!(driver.status(), []);
}

#[test]
fn the_descriptor_is_readable_when_there_is_something_to_do_and_not_before() {
    let mut driver = Driver::new().unwrap();
    let readable = |driver: &Driver, millis: i64| {
        let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: millis * 1_000_000 };
        poll(&mut [PollFd::new(&driver.as_fd(), PollFlags::IN)], Some(&timeout)).unwrap() == 1
    };
    assert!(!readable(&driver, 0));
    let mut later = check(anywhere(), Probe::Application);
    later.schedule.delay_loop = Duration::from_secs(60);
    let told = driver.add(later.clone()).unwrap();
    driver.add_closure(later, || Ok(Passed::default())).unwrap();
    run(&mut driver, 1);
    assert!(!readable(&driver, 0), "the next is in a minute");
    driver.tell(told, Ok(Passed::default())).unwrap();
    assert!(readable(&driver, 900), "there is an event");
    assert_eq!(driver.process().unwrap().len(), 1);
    driver.process().unwrap();
    assert!(!readable(&driver, 0));
}

#[test]
fn two_thousand_tcp_checks_at_once() {
    // A thousand descriptors are all that a process may have by default; no more connections are open at a time than can be
    // made in a turn, so that is enough.
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let dead = nobody().port();
    let mut driver = Driver::new().unwrap();
    let mut expected = BTreeMap::new();
    for number in 0..2000_u32 {
        let host = std::net::Ipv4Addr::from(0x7f01_0000 + number);
        let alive = number % 10 != 0;
        let mut check = check((host, if alive { port } else { dead }).into(), Probe::Tcp);
        check.schedule.alpha = alive;
        check.schedule.delay_loop = Duration::from_secs(2);
        check.schedule.connect_timeout = Duration::from_secs(20);
        expected.insert(driver.add(check).unwrap(), alive);
    }
    for event in run(&mut driver, 2000) {
        let alive = expected.remove(&event.check()).unwrap();
        match event {
            CheckEvent::Up { .. } => assert!(alive),
            CheckEvent::Down { reason: Failure::Connection(_), .. } => assert!(!alive),
            other => panic!("{other:?}"),
        }
    }
    assert!(expected.is_empty(), "{expected:?}");
    // They go on, and find the same.
    let rounds = |driver: &Driver| driver.status().iter().map(|status| status.attempts).min().unwrap();
    run_until(&mut driver, |driver, events| {
        assert_eq!(events, []);
        rounds(driver) >= 2
    });
}

#[test]
fn a_snapshot_can_be_written_out() {
    let mut driver = Driver::new().unwrap();
    let id = driver.add(check(anywhere(), Probe::Application)).unwrap();
    driver.tell(id, Err(Failure::Status(503))).unwrap();
    let text = serde_json::to_string(&driver.status()).unwrap();
    assert!(text.starts_with(r#"[{"check":0,"target":"192.0.2.1:80","kind":"application","health":"down""#), "{text}");
    assert!(text.contains(r#""last_failure":{"status":503}"#), "{text}");
}

#[test]
fn a_check_is_plain_data_with_defaults() {
    let text = r#"{"target": "192.0.2.1:80", "schedule": {"delay_loop": {"secs": 6, "nanos": 0}},
                   "probe": {"http": {"urls": [{"path": "/index.html"}]}}}"#;
    let check: Check = serde_json::from_str(text).unwrap();
    let Probe::Http(http) = &check.probe else { panic!("{check:?}") };
    assert_eq!(http.urls, [Url { path: "/index.html".into(), ..Url::default() }]);
    assert_eq!(check.schedule.delay_loop, Duration::from_secs(6));
    assert_eq!(check.schedule.connect_timeout, Duration::from_secs(5));
    let again: Check = serde_json::from_str(&serde_json::to_string(&check).unwrap()).unwrap();
    assert_eq!(again, check);
}
