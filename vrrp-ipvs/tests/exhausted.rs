//! A process without descriptors. One test in a process of its own: it takes them away from all of it.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::Timespec;
use vrrp_ipvs::check::command::Command;
use vrrp_ipvs::check::{Check, CheckEvent, Driver, Health, Probe, Schedule};

/// What the driver says until it has said something, at most 30 s.
fn next(driver: &mut Driver) -> Vec<CheckEvent> {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
        poll(&mut [PollFd::new(&driver.as_fd(), PollFlags::IN)], Some(&timeout)).unwrap();
        let events = driver.process().unwrap();
        if !events.is_empty() {
            return events;
        }
    }
    panic!("nothing after 30 s: {:?}", driver.status());
}

#[test]
fn a_process_without_descriptors_takes_no_server_down() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let schedule =
        Schedule { delay_loop: Duration::from_millis(100), warmup: Some(Duration::ZERO), ..Schedule::default() };
    let program = Command { program: "/bin/true".into(), ..Command::default() };
    let mut driver = Driver::new().unwrap();
    let before = getrlimit(Resource::Nofile);
    // The next one opened would have this number.
    let lowest_free = u64::try_from(fs::File::open("/dev/null").unwrap().as_raw_fd()).unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(lowest_free), maximum: before.maximum }).unwrap();
    let tcp = driver.add(Check { schedule, ..Check::new(target, Probe::Tcp) }).unwrap();
    let events = next(&mut driver);
    let command = driver.add(Check { schedule, ..Check::new(target, Probe::Command(program)) }).unwrap();
    let more = next(&mut driver);
    setrlimit(Resource::Nofile, before).unwrap();
    let says = |events: &[CheckEvent], beginning: &str| match events {
        [CheckEvent::Hindered { reason, .. }] => assert!(reason.starts_with(beginning), "{reason}"),
        other => panic!("{other:?}"),
    };
    says(&events, "open a socket: Too many open files");
    says(&more, "run /bin/true: Too many open files");
    for id in [tcp, command] {
        let status = driver.check_status(id).unwrap();
        assert_eq!((status.health, status.failures, status.schedule.judged), (Health::Up, 0, false));
    }
    let judged = |driver: &Driver| driver.status().iter().all(|status| status.schedule.judged);
    let end = Instant::now() + Duration::from_secs(30);
    while !judged(&driver) {
        assert!(Instant::now() < end, "{:?}", driver.status());
        assert_eq!(driver.process().unwrap(), [], "all is well again");
        std::thread::sleep(Duration::from_millis(5));
    }
}
