//! A virtual server with checks of real sockets on loopback.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use vrrp_ipvs::check::{Check, Driver, Health, Passed, Probe, Schedule, Weight};
use vrrp_ipvs::service::{Action, RealServer, Role, SorryServer, StartError, Supervisor, VirtualServer, Whom};

fn check(target: SocketAddr, probe: Probe) -> Check {
    let schedule = Schedule {
        delay_loop: Duration::from_millis(20),
        delay_before_retry: Some(Duration::from_millis(5)),
        connect_timeout: Duration::from_secs(20),
        warmup: Some(Duration::ZERO),
        ..Schedule::default()
    };
    Check { schedule, ..Check::new(target, probe) }
}

fn server(address: SocketAddr, probe: Probe) -> RealServer {
    RealServer { checks: vec![check(address, probe)], ..RealServer::new(address) }
}

/// Lets the driver work until it has led to an action, at most 30 s.
fn actions(driver: &mut Driver, supervisor: &mut Supervisor) -> Vec<Action> {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
        poll(&mut [PollFd::new(&driver.as_fd(), PollFlags::IN)], Some(&timeout)).unwrap();
        let events = driver.process().unwrap();
        let actions: Vec<Action> = events.iter().flat_map(|event| supervisor.handle_check(event)).collect();
        if !actions.is_empty() {
            return actions;
        }
    }
    panic!("nothing after 30 s: {:?}", driver.status());
}

fn table(supervisor: &Supervisor) -> Vec<(Whom, u32)> {
    supervisor.destinations().iter().map(|destination| (destination.whom, destination.weight)).collect()
}

#[test]
fn a_server_that_stops_listening_leaves_the_table_and_the_sorry_server_takes_over() {
    // Holds the port while nobody listens there.
    let holder = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    holder.set_reuse_address(true).unwrap();
    holder.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = holder.local_addr().unwrap().as_socket().unwrap();
    let listener = TcpListener::bind(address).unwrap();
    let sorry = SorryServer { address: "127.0.0.1:9".parse().unwrap(), inhibit: false };
    let config = VirtualServer {
        servers: vec![server(address, Probe::Tcp)],
        sorry_server: Some(sorry),
        ..VirtualServer::default()
    };
    let mut driver = Driver::new().unwrap();
    let (mut supervisor, begun) = Supervisor::start(&mut driver, config, Role::Here).unwrap();
    assert_eq!(begun, [Action::QuorumUp { weight: 1 }, Action::Destinations]);
    assert_eq!(table(&supervisor), [(Whom::Server(0), 1)]);
    drop(listener);
    let down = Action::Server { server: 0, health: Health::Down };
    let lost = [down, Action::QuorumDown { weight: 0 }, Action::Destinations];
    assert_eq!(actions(&mut driver, &mut supervisor), lost);
    assert_eq!(table(&supervisor), [(Whom::Sorry, 1)]);
    let _again = TcpListener::bind(address).unwrap();
    let up = Action::Server { server: 0, health: Health::Up };
    let gained = [up, Action::QuorumUp { weight: 1 }, Action::Destinations];
    assert_eq!(actions(&mut driver, &mut supervisor), gained);
    assert_eq!(supervisor.stop(&mut driver), [Action::Destinations]);
    assert_eq!(driver.status(), []);
}

#[test]
fn the_application_sets_a_weight_and_another_s_check_changes_nothing() {
    let address = "192.0.2.1:80".parse().unwrap();
    let config = VirtualServer { servers: vec![server(address, Probe::Application)], ..VirtualServer::default() };
    let mut driver = Driver::new().unwrap();
    let stranger = driver.add(check(address, Probe::Application)).unwrap();
    let (mut supervisor, _) = Supervisor::start(&mut driver, config, Role::Here).unwrap();
    let (id, place) = supervisor.checks().next().unwrap();
    assert_eq!(place, (0, 0));
    driver.tell(stranger, Ok(Passed { weight: Some(Weight::Is(9)) })).unwrap();
    driver.tell(id, Ok(Passed { weight: Some(Weight::Is(7)) })).unwrap();
    assert_eq!(actions(&mut driver, &mut supervisor), [Action::Destinations]);
    assert_eq!(table(&supervisor), [(Whom::Server(0), 7)]);
}

#[test]
fn with_ha_suspend_nobody_is_asked_while_the_address_is_elsewhere() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let servers = vec![server(listener.local_addr().unwrap(), Probe::Tcp)];
    let config = VirtualServer { servers, ha_suspend: true, ..VirtualServer::default() };
    let mut driver = Driver::new().unwrap();
    let (mut supervisor, begun) = Supervisor::start(&mut driver, config, Role::Elsewhere).unwrap();
    assert_eq!(begun, [Action::QuorumUp { weight: 1 }, Action::Destinations]);
    // Three periods.
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(driver.process().unwrap(), []);
    assert!(listener.accept().is_err(), "somebody was asked");
    assert_eq!(supervisor.set_role(&mut driver, Role::Here), []);
    let end = Instant::now() + Duration::from_secs(30);
    while listener.accept().is_err() {
        assert!(Instant::now() < end, "nobody was asked");
        driver.process().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_check_that_makes_no_sense_leaves_none_behind() {
    let address = "192.0.2.1:80".parse().unwrap();
    let mut wrong = check(address, Probe::Tcp);
    wrong.schedule.rise = 0;
    let real = RealServer { checks: vec![check(address, Probe::Application), wrong], ..RealServer::new(address) };
    let mut driver = Driver::new().unwrap();
    let config = VirtualServer { servers: vec![real], ..VirtualServer::default() };
    let error = Supervisor::start(&mut driver, config, Role::Here).unwrap_err();
    assert!(matches!(error, StartError::Check { server: 0, check: 1, .. }));
    assert_eq!(error.to_string(), "check 1 of server 0: rise 0 is not 1 or more");
    assert_eq!(driver.status(), []);
}
