//! A small application that embeds the driver: commands come on its standard input, events go to its standard output.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vrrp_net::lab::{Host, Process};
use vrrp_net::tracking::{Source, TrackedInterface};
use vrrp_net::vrrp_core::track::Impact;
use vrrp_net::vrrp_core::{
    Addressing, After, Gate, Instant, Interval, Preempt, Priority, RouterId, Version, VirtualAddr, Vrid, Yield,
};
use vrrp_net::{Address, Driver, DriverEvent, DriverThread, Guardian, RouterConfig, ThreadOptions, VirtualMac};

use super::PATIENCE;

/// Says to the test binary that it is to be an agent.
const ASKED: &str = "VRRP_TEST_AGENT";

/// Says to it that it is to have a guardian.
const GUARDED: &str = "VRRP_TEST_GUARDED";

/// An agent on a host of the lab.
pub(crate) struct Agent {
    process: Process,
    commands: ChildStdin,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    pub(crate) fn start(host: &Host) -> Self {
        Self::start_with(host, &[])
    }

    /// With a guardian.
    pub(crate) fn start_guarded(host: &Host) -> Self {
        Self::start_with(host, &[(GUARDED, "1")])
    }

    fn start_with(host: &Host, variables: &[(&str, &str)]) -> Self {
        let mut command = host.command(std::env::current_exe().unwrap());
        command.args(["--exact", "agent", "--nocapture"]).env(ASKED, "1").envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command).unwrap();
        let (commands, output) = (process.take_stdin().unwrap(), process.take_stdout().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                seen.lock().unwrap().push(line);
            }
        });
        Self { process, commands, lines }
    }

    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for the `count`th line that contains `text`.
    pub(crate) fn says(&self, text: &str, count: usize) -> bool {
        super::eventually(|| self.lines().iter().filter(|line| line.contains(text)).count() >= count)
    }

    pub(crate) fn expect(&self, text: &str) {
        assert!(self.says(text, 1), "no {text:?} in {:#?}", self.lines());
    }

    /// Whether it has said so up to now.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }

    /// Whether more than `count` lines up to now contain it.
    pub(crate) fn says_more_than(&self, text: &str, count: usize) -> bool {
        self.lines().iter().filter(|line| line.contains(text)).count() > count
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) {
        self.tell("stop");
        let status = self.process.wait(PATIENCE).unwrap().expect("it ends");
        assert!(status.success(), "{:#?}", self.lines());
    }
}

pub(crate) fn run_if_asked() {
    if std::env::var_os(ASKED).is_none() {
        return;
    }
    let mut driver = Driver::new().unwrap();
    if std::env::var_os(GUARDED).is_some() {
        driver.set_guardian(Guardian::spawn().unwrap()).unwrap();
    }
    let thread = driver.spawn(ThreadOptions::default()).unwrap();
    let (tell, commands) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    let mut routers = Vec::new();
    let mut claim = None;
    println!("ready");
    loop {
        loop {
            let event = match thread.events().recv_timeout(Duration::from_millis(2)) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => panic!("{:?}", thread.stop()),
            };
            if let DriverEvent::Prepare { router, claim: name } = event {
                claim = Some((router, name));
            }
            println!("{event}");
        }
        match commands.try_recv().as_deref() {
            Ok("stop") => break,
            Ok(command) => obey(&thread, &mut routers, claim, command),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => break,
        }
    }
    thread.stop().unwrap().iter().for_each(|event| println!("{event}"));
}

fn obey(thread: &DriverThread, routers: &mut Vec<RouterId>, claim: Option<(RouterId, Instant)>, command: &str) {
    let mut words = command.split_whitespace();
    let first = routers.first().copied();
    match words.next().unwrap() {
        "add" => {
            let config = config(words);
            routers.push(thread.with(|driver| driver.add(config)).unwrap().unwrap());
        }
        "group" => {
            let members = routers.clone();
            thread.with(move |driver| driver.add_group(&members)).unwrap().unwrap();
        }
        "confirm" => thread.with(move |driver| driver.confirm(claim.unwrap().0, claim.unwrap().1)).unwrap().unwrap(),
        "refuse" => thread.with(move |driver| driver.refuse(claim.unwrap().0, claim.unwrap().1)).unwrap().unwrap(),
        "hand-over" => thread.with(move |driver| driver.hand_over(first.unwrap(), After::Stay)).unwrap().unwrap(),
        "priority" => {
            let priority = Priority::new(words.next().unwrap().parse().unwrap()).unwrap();
            thread.with(move |driver| driver.set_priority(first.unwrap(), priority)).unwrap().unwrap();
        }
        "status" => println!("{:?}", thread.with(|driver| driver.status()).unwrap()),
        other => panic!("no command {other:?}"),
    }
}

/// From words such as `priority=150`; addresses stand alone.
fn config<'w>(words: impl Iterator<Item = &'w str>) -> RouterConfig {
    let mut addresses: Vec<VirtualAddr> = Vec::new();
    let (mut interface, mut vrid, mut priority, mut interval) = ("eth0", 51, 100, 100);
    let (mut excluded, mut gate, mut preempt) = (0, None, Preempt::Immediately);
    let (mut peers, mut virtual_mac, mut tracking, mut version) = (Vec::new(), false, Vec::new(), None);
    let mut yield_when = Yield::Auto;
    for word in words {
        match word.split_once('=') {
            None => addresses.push(word.parse().unwrap()),
            Some(("interface", name)) => interface = name,
            Some(("vrid", number)) => vrid = number.parse().unwrap(),
            Some(("priority", number)) => priority = number.parse().unwrap(),
            Some(("interval", number)) => interval = number.parse().unwrap(),
            Some(("excluded", number)) => excluded = number.parse().unwrap(),
            Some(("gate", millis)) => gate = Some(Duration::from_millis(millis.parse().unwrap())),
            Some(("peer", address)) => peers.push(address.parse().unwrap()),
            Some(("mac", "virtual")) => virtual_mac = true,
            Some(("track", name)) => {
                let impact = Impact::Weight(-60);
                tracking.push(Source::Interface(TrackedInterface { name: name.to_owned(), impact, inverted: false }));
            }
            Some(("version", "2")) => version = Some(Version::V2),
            Some(("yield", "degraded")) => yield_when = Yield::WhenDegraded,
            Some(("preempt", "never")) => preempt = Preempt::Never,
            Some(other) => panic!("no setting {other:?}"),
        }
    }
    let config = RouterConfig::new(interface, Vrid::new(vrid).unwrap(), addresses)
        .with_priority(Priority::new(priority).unwrap())
        .with_interval(Interval::from_centiseconds(interval).unwrap())
        .with_preempt(preempt)
        .with_yield(yield_when)
        .with_tracking(tracking);
    let config = if peers.is_empty() { config } else { config.with_addressing(Addressing::unicast(peers)) };
    let config = if virtual_mac { config.with_virtual_mac(VirtualMac::default()) } else { config };
    let config = match version {
        Some(version) => config.with_version(version),
        None => config,
    };
    let config = match gate {
        Some(timeout) => config.with_gate(Gate { timeout, back_off: Duration::from_millis(500) }),
        None => config,
    };
    (0..excluded).fold(config, |config, number: u16| {
        let address: Address = format!("10.1.{}.{}", number / 250, number % 250 + 1).parse().unwrap();
        config.with_address(address.excluded())
    })
}
