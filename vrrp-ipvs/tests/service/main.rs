//! Golden traces of virtual servers. Each file under `rules/` has the virtual server, and then what happens and what comes of
//! it: every action, and after each event that changes it the table of destinations. `UPDATE_TRACES=1 cargo test -p vrrp-ipvs
//! --test service` writes them anew; look at what has changed.
//!
//! Those that say so were seen with keepalived 2.2.7 on an IPVS kernel: the same servers, the same order of failures, and
//! `ipvsadm -Ln` beside its notifications.

mod group;
mod supervised;

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use vrrp_ipvs::check::schedule::Schedule;
use vrrp_ipvs::check::{Check, Health, Probe, Weight};
use vrrp_ipvs::service::{
    Action, Destination, Event, Finding, Machine, RealServer, Role, ServiceError, SorryServer, VirtualServer, Whom,
};

fn address(number: usize) -> SocketAddr {
    format!("192.0.2.{}:80", number + 1).parse().unwrap()
}

const SORRY: &str = "192.0.2.99:80";

/// `quorum=4 hysteresis=1 sorry sorry_inhibit omega ha_suspend alpha inhibit`.
fn virtual_server(words: &str, servers: &[&str]) -> VirtualServer {
    let mut server = VirtualServer::default();
    let (mut alpha, mut inhibit) = (false, false);
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let sorry = |inhibit| Some(SorryServer { address: SORRY.parse().unwrap(), inhibit });
        match name {
            "quorum" => server.quorum = value.parse().unwrap(),
            "hysteresis" => server.hysteresis = value.parse().unwrap(),
            "sorry" => server.sorry_server = sorry(false),
            "sorry_inhibit" => server.sorry_server = sorry(true),
            "omega" => server.omega = true,
            "ha_suspend" => server.ha_suspend = true,
            "alpha" => alpha = true,
            "inhibit" => inhibit = true,
            other => panic!("no option: {other}"),
        }
    }
    for (number, words) in servers.iter().enumerate() {
        let mut real = RealServer { inhibit_on_failure: inhibit, ..RealServer::new(address(number)) };
        let mut checks = 1;
        for word in words.split_whitespace() {
            match word.split_once('=') {
                Some(("weight", value)) => real.weight = value.parse().unwrap(),
                Some(("checks", value)) => checks = value.parse().unwrap(),
                _ => panic!("no option: {word}"),
            }
        }
        let check =
            Check { schedule: Schedule { alpha, ..Schedule::default() }, ..Check::new(address(number), Probe::Tcp) };
        real.checks = vec![check; checks];
        server.servers.push(real);
    }
    server
}

/// Servers are a, b, c; their checks a1, a2; one alone is a1.
fn event(line: &str) -> Event {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["start"] => Event::Start(Role::Here),
        ["start", "elsewhere"] => Event::Start(Role::Elsewhere),
        ["stop"] => Event::Stop,
        ["here"] => Event::Role(Role::Here),
        ["elsewhere"] => Event::Role(Role::Elsewhere),
        [name, found @ ..] => {
            let server = usize::from(name.as_bytes()[0] - b'a');
            let check = name[1..].parse::<usize>().map_or(0, |number| number - 1);
            let finding = match found {
                ["up"] => Finding::Up(None),
                ["down"] => Finding::Down,
                ["weight", more] if more.starts_with(['+', '-']) => {
                    Finding::Up(Some(Weight::More(more.parse().unwrap())))
                }
                ["weight", is] => Finding::Up(Some(Weight::Is(is.parse().unwrap()))),
                _ => panic!("nothing: {line}"),
            };
            Event::Check { server, check, finding }
        }
        [] => panic!("an empty line"),
    }
}

fn letter(server: usize) -> char {
    char::from(b'a' + u8::try_from(server).unwrap())
}

fn table(destinations: &[Destination]) -> String {
    let show = |destination: &Destination| {
        let name = match destination.whom {
            Whom::Server(server) => {
                assert_eq!(destination.address, address(server));
                letter(server).to_string()
            }
            Whom::Sorry => {
                assert_eq!(destination.address, SORRY.parse().unwrap());
                "sorry".into()
            }
        };
        format!("{name}={}", destination.weight)
    };
    let shown: Vec<String> = destinations.iter().map(show).collect();
    if shown.is_empty() { "nobody".into() } else { shown.join(" ") }
}

fn replay(script: &str) -> String {
    let (head, body) = script.split_once("----\n").expect("what happens, after a rule");
    let options = head.lines().find_map(|line| line.strip_prefix("virtual_server")).unwrap();
    let servers: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("real_server")).collect();
    let mut machine = Machine::new(virtual_server(options, &servers)).unwrap();
    let mut trace = format!("{head}----\n");
    for line in body.lines().filter(|line| !line.starts_with("    ")) {
        writeln!(trace, "{line}").unwrap();
        for action in machine.handle_event(event(line)) {
            let said = match action {
                Action::Server { server, health: Health::Up } => format!("{} UP", letter(server)),
                Action::Server { server, health: Health::Down } => format!("{} DOWN", letter(server)),
                Action::QuorumUp { weight } => format!("QUORUM UP with {weight}"),
                Action::QuorumDown { weight } => format!("QUORUM DOWN with {weight}"),
                Action::Destinations => format!("table: {}", table(&machine.destinations())),
                Action::SuspendChecks => "checks rest".into(),
                Action::ResumeChecks => "checks go on".into(),
                other => panic!("no such action: {other:?}"),
            };
            writeln!(trace, "    {said}").unwrap();
        }
    }
    trace
}

#[test]
fn every_rule_holds_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/rules");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{} rules", files.len());
    let mut problems = String::new();
    for path in files {
        let expected = fs::read_to_string(&path).unwrap();
        let got = replay(&expected);
        if got != expected && std::env::var_os("UPDATE_TRACES").is_some() {
            fs::write(&path, got).unwrap();
        } else if got != expected {
            writeln!(problems, "{}:\n{got}", path.display()).unwrap();
        }
    }
    assert!(problems.is_empty(), "{problems}UPDATE_TRACES=1 writes the traces anew");
}

#[test]
fn what_does_not_exist_changes_nothing() {
    let mut machine = Machine::new(virtual_server("", &["", ""])).unwrap();
    let down = |server, check| Event::Check { server, check, finding: Finding::Down };
    assert!(machine.handle_event(down(0, 0)).is_empty(), "it was not started");
    assert!(machine.handle_event(Event::Stop).is_empty());
    assert!(!machine.handle_event(Event::Start(Role::Here)).is_empty());
    let state = machine.state().clone();
    assert!(machine.handle_event(down(2, 0)).is_empty());
    assert!(machine.handle_event(down(0, 1)).is_empty());
    assert!(machine.handle_event(Event::Start(Role::Elsewhere)).is_empty(), "it was started already");
    assert_eq!(machine.state(), &state);
}

#[test]
fn a_virtual_server_that_makes_no_sense_is_refused_with_the_reason() {
    let refused = |server: VirtualServer| Machine::new(server).unwrap_err().to_string();
    assert_eq!(refused(virtual_server("quorum=0", &[])), "quorum 0 is not 1 or more");
    assert_eq!(refused(virtual_server("quorum=2 hysteresis=2", &[])), "hysteresis 2 is not below quorum 2");
    let heavy = "weight 65536 of 192.0.2.1:80 is not 0..=65535";
    assert_eq!(refused(virtual_server("", &["weight=65536"])), heavy);
    let twice = VirtualServer { servers: vec![RealServer::new(address(0)); 2], ..VirtualServer::default() };
    assert_eq!(twice.validate(), Err(ServiceError::Twice(address(0))));
    let sorry = Some(SorryServer { address: address(0), inhibit: false });
    let also =
        VirtualServer { servers: vec![RealServer::new(address(0))], sorry_server: sorry, ..VirtualServer::default() };
    assert_eq!(also.validate(), Err(ServiceError::Twice(address(0))));
}

#[test]
fn whatever_happens_the_quorum_and_the_table_agree() {
    // Every order of up to six findings on three servers, with each option.
    for options in ["quorum=3 hysteresis=1", "quorum=3 hysteresis=1 sorry", "quorum=3 inhibit sorry_inhibit alpha"] {
        let servers = ["weight=1", "weight=2", "weight=3"];
        let mut machines = vec![Machine::new(virtual_server(options, &servers)).unwrap()];
        let _ = machines[0].handle_event(Event::Start(Role::Here));
        let mut at = 0;
        while at < machines.len() {
            for server in 0..3 {
                for finding in [Finding::Up(None), Finding::Down, Finding::Up(Some(Weight::Is(0)))] {
                    let mut machine = machines[at].clone();
                    let before = machine.destinations();
                    let actions = machine.handle_event(Event::Check { server, check: 0, finding });
                    let after = machine.destinations();
                    assert_eq!(actions.contains(&Action::Destinations), before != after);
                    let sorry = after.iter().any(|one| one.whom == Whom::Sorry && one.weight > 0);
                    let has_sorry = machine.config().sorry_server.is_some();
                    assert_eq!(sorry, has_sorry && !machine.state().quorum);
                    let serving = after.iter().any(|one| matches!(one.whom, Whom::Server(_)) && one.weight > 0);
                    assert!(!(sorry && serving), "{:?}", machine.state());
                    assert!(!machine.state().quorum || serving);
                    if !machines.contains(&machine) {
                        machines.push(machine);
                    }
                }
            }
            at += 1;
        }
        // Three findings of each of three servers, and with hysteresis some of them both with and without the quorum.
        assert!(machines.len() >= 27, "{}", machines.len());
    }
}

#[test]
fn a_virtual_server_is_plain_data() {
    let text = r#"{
        "servers": [{"address": "192.0.2.1:80", "checks": [{"target": "192.0.2.1:80", "probe": "tcp"}]},
                    {"address": "192.0.2.2:80", "weight": 3, "inhibit_on_failure": true}],
        "sorry_server": {"address": "127.0.0.1:80"},
        "quorum": 2
    }"#;
    let server: VirtualServer = serde_json::from_str(text).unwrap();
    assert_eq!((server.servers[0].weight, server.servers[1].weight), (1, 3));
    let again: VirtualServer = serde_json::from_str(&serde_json::to_string(&server).unwrap()).unwrap();
    assert_eq!(again, server);
    let wrong = serde_json::from_str::<VirtualServer>(r#"{"qourum": 2}"#).unwrap_err().to_string();
    assert!(wrong.contains("qourum"), "{wrong}");
}
