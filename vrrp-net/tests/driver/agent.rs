//! A small application that embeds the driver: commands come on its standard input, events go to its standard output.

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::thread::CapabilitySet;
use vrrp_net::lab::{Host, Process};
use vrrp_net::netlink::{Label, Scope};
use vrrp_net::tracking::{Source, TrackedInterface};
use vrrp_net::vrrp_core::track::Impact;
use vrrp_net::vrrp_core::{
    Addressing, After, Family, Gate, Instant, Interval, Preempt, Priority, RouterId, Version, VirtualAddr, Vrid, Yield,
};
use vrrp_net::{
    Address, Announcements, Descriptors, Driver, DriverEvent, DriverThread, Guardian, Lease, RouterConfig,
    ThreadOptions, VirtualMac,
};

use super::PATIENCE;

/// Says to the test binary that it is to be an agent.
const ASKED: &str = "VRRP_TEST_AGENT";

/// Says to it that it is to be another user, and with what.
const UNPRIVILEGED: &str = "VRRP_TEST_UNPRIVILEGED_AGENT";

/// Says to it that it is to await events.
#[cfg(feature = "tokio")]
const ASYNC: &str = "VRRP_TEST_TOKIO";

/// Says to it what real-time priority its thread is to have.
const REAL_TIME: &str = "VRRP_TEST_REAL_TIME";

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

    /// In a tokio runtime.
    #[cfg(feature = "tokio")]
    pub(crate) fn start_in_tokio(host: &Host) -> Self {
        Self::start_with(host, &[(ASYNC, "1")])
    }

    /// With this real-time priority.
    pub(crate) fn start_real_time(host: &Host, priority: u8) -> Self {
        Self::start_with(host, &[(REAL_TIME, &priority.to_string())])
    }

    /// As another user, with these capabilities only; `sockets`: with those that it had opened before.
    pub(crate) fn start_unprivileged(host: &Host, capabilities: &str, sockets: bool) -> Self {
        let how = if sockets { "with" } else { "without" };
        Self::start_with(host, &[(UNPRIVILEGED, &format!("{how} {capabilities}"))])
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

/// The same with a driver whose events are awaited, for `add`, `able no` and `stop` alone.
#[cfg(feature = "tokio")]
fn run_in_tokio(driver: Driver) {
    let (tell, commands) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)));
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut driver = vrrp_net::AsyncDriver::new(driver).unwrap();
        println!("ready");
        loop {
            // Given up again and again: no event may be lost by that.
            if let Ok(event) = tokio::time::timeout(Duration::from_millis(3), driver.next_event()).await {
                println!("{}", event.unwrap());
            }
            match commands.try_recv().as_deref() {
                Ok("stop") | Err(TryRecvError::Disconnected) => break,
                Ok("able no") => {
                    let id = driver.driver().router().ids().next().expect("a virtual router");
                    driver.driver().set_able(id, false).unwrap();
                }
                Ok(command) => {
                    let words = command.strip_prefix("add ").expect("an add");
                    driver.driver().add(config(words.split_whitespace())).unwrap();
                }
                Err(TryRecvError::Empty) => {}
            }
        }
        driver.shutdown().unwrap().iter().for_each(|event| println!("{event}"));
    });
}

/// Starts this program again in its place, as another user.
fn become_unprivileged(capabilities: &str, sockets: Option<Descriptors>) -> ! {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    command.args([format!("--inh-caps=-all{capabilities}"), format!("--ambient-caps=-all{capabilities}")]);
    command
        .args([std::env::current_exe().unwrap().to_str().unwrap(), "--exact", "agent", "--nocapture"])
        .env_remove(UNPRIVILEGED);
    if let Some(sockets) = sockets {
        sockets.pass_to(&mut command);
    }
    panic!("{}", command.exec());
}

pub(crate) fn run_if_asked() {
    if std::env::var_os(ASKED).is_none() {
        return;
    }
    if let Some(command) = std::env::var_os(UNPRIVILEGED) {
        let (how, capabilities) = command.to_str().unwrap().split_once(' ').unwrap();
        let sockets = (how == "with").then(|| {
            let sockets = Descriptors::open([("eth0", Family::V4), ("eth0", Family::V6)]).unwrap();
            sockets.with_spares(Family::V4, 1).unwrap().with_spares(Family::V6, 1).unwrap()
        });
        become_unprivileged(capabilities, sockets);
    }
    let driver = match Descriptors::inherited().unwrap() {
        Some(descriptors) => Driver::with_descriptors(descriptors),
        None => Driver::new(),
    };
    let mut driver = match driver {
        Ok(driver) => driver,
        Err(error) => return println!("not started: {error}"),
    };
    if std::env::var_os(GUARDED).is_some() {
        driver.set_guardian(Guardian::spawn().unwrap()).unwrap();
    }
    #[cfg(feature = "tokio")]
    if std::env::var_os(ASYNC).is_some() {
        return run_in_tokio(driver);
    }
    let mut options = ThreadOptions::default();
    options.real_time_priority =
        std::env::var(REAL_TIME).ok().map(|priority| priority.parse().expect("a number up to 255"));
    let thread = match driver.spawn(options) {
        Ok(thread) => thread,
        Err(error) => return println!("not started: {error}"),
    };
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
            // Makes way for a successor without CAP_NET_RAW, which has this one's sockets.
            Ok("succeed") => {
                let sockets = thread.with(|driver| driver.descriptors()).unwrap().unwrap();
                thread.stop().unwrap().iter().for_each(|event| println!("{event}"));
                become_unprivileged(",+net_admin", Some(sockets));
            }
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
        "try-add" => {
            let config = config(words);
            match thread.with(|driver| driver.add(config)).unwrap() {
                Ok(id) => routers.push(id),
                Err(error) => println!("refused: {error}"),
            }
        }
        // Of the first one.
        "reconfigure" => {
            let config = config(words);
            match thread.with(move |driver| driver.reconfigure(first.unwrap(), config)).unwrap() {
                Ok(before) => println!("reconfigured from {:?}", before.addresses()),
                Err(error) => println!("refused: {error}"),
            }
        }
        "clean-up" => println!("removed: {:?}", thread.with(|driver| driver.remove_leftovers()).unwrap().unwrap()),
        "remove-second" => {
            let second = routers.get(1).copied().unwrap();
            thread.with(move |driver| driver.remove(second)).unwrap().unwrap();
        }
        "statics" => {
            let statics = super::paths::statics(words);
            thread.with(move |driver| driver.set_statics(statics)).unwrap().unwrap();
        }
        "remove" => thread.with(move |driver| driver.remove(first.unwrap())).unwrap().unwrap(),
        "group" => {
            let members = routers.clone();
            thread.with(move |driver| driver.add_group(&members)).unwrap().unwrap();
        }
        "confirm" => thread.with(move |driver| driver.confirm(claim.unwrap().0, claim.unwrap().1)).unwrap().unwrap(),
        "refuse" => thread.with(move |driver| driver.refuse(claim.unwrap().0, claim.unwrap().1)).unwrap().unwrap(),
        "leave" => thread.with(move |driver| driver.hand_over(first.unwrap(), After::Leave)).unwrap().unwrap(),
        "rejoin" => thread.with(move |driver| driver.rejoin(first.unwrap())).unwrap().unwrap(),
        "hand-over" => thread.with(move |driver| driver.hand_over(first.unwrap(), After::Stay)).unwrap().unwrap(),
        #[cfg(feature = "serde")]
        "status-json" => {
            let status = thread.with(|driver| driver.status()).unwrap();
            println!("json: {}", serde_json::to_string(&status).unwrap());
        }
        "priority" => {
            let priority = Priority::new(words.next().unwrap().parse().unwrap()).unwrap();
            thread.with(move |driver| driver.set_priority(first.unwrap(), priority)).unwrap().unwrap();
        }
        "rejoin-every" => {
            let period = Duration::from_millis(words.next().unwrap().parse().unwrap());
            thread.with(move |driver| driver.set_membership_refresh(Some(period))).unwrap().unwrap();
        }
        // Of the driver's thread.
        "lose-net-admin" => thread.with(|_| lose(CapabilitySet::NET_ADMIN)).unwrap(),
        "lose-net-raw" => thread.with(|_| lose(CapabilitySet::NET_RAW)).unwrap(),
        "status" => println!("{:?}", thread.with(|driver| driver.status()).unwrap()),
        other => panic!("no command {other:?}"),
    }
}

fn lose(capability: CapabilitySet) {
    let mut sets = rustix::thread::capabilities(None).unwrap();
    sets.effective.remove(capability);
    sets.permitted.remove(capability);
    rustix::thread::set_capabilities(None, sets).unwrap();
}

/// From words such as `priority=150`; addresses stand alone.
fn config<'w>(words: impl Iterator<Item = &'w str>) -> RouterConfig {
    let mut addresses: Vec<VirtualAddr> = Vec::new();
    let (mut interface, mut vrid, mut priority, mut interval) = ("eth0", 51, 100, 100);
    let (mut excluded, mut gate, mut preempt) = (0, None, Preempt::Immediately);
    let (mut peers, mut virtual_mac, mut tracking, mut version) = (Vec::new(), false, Vec::new(), None);
    let (mut label, mut scope, mut lease, mut source) = (None, None, Lease::Auto, None);
    let (mut accept, mut link_delay) = (true, Duration::ZERO);
    let mut elsewhere: Vec<Address> = Vec::new();
    let (mut routes, mut rules) = (Vec::new(), Vec::new());
    #[cfg(feature = "auth-hmac")]
    let mut keys = None;
    let (mut yield_when, mut group, mut absent, mut announces) = (Yield::Auto, None, false, true);
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
            Some(("group", address)) => group = Some(address.parse().unwrap()),
            Some(("mac", "virtual")) => virtual_mac = true,
            Some(("label", name)) => label = Some(name.parse::<Label>().unwrap()),
            Some(("scope", number)) => scope = Some(Scope::Other(number.parse().unwrap())),
            Some(("elsewhere", place)) => {
                let (address, name) = place.split_once('@').unwrap();
                elsewhere.push(address.parse::<Address>().unwrap().on_interface(name).excluded());
            }
            Some(("accept", "no")) => accept = false,
            Some(("announce", "never")) => announces = false,
            Some(("absent", "yes")) => absent = true,
            Some(("link-delay", millis)) => link_delay = Duration::from_millis(millis.parse().unwrap()),
            Some(("lease", "off")) => lease = Lease::Off,
            Some(("lease", seconds)) => lease = Lease::Fixed(seconds.parse().unwrap()),
            Some(("source", address)) => source = Some(address.parse().unwrap()),
            Some(("route", text)) => routes.push(super::paths::route(text)),
            Some(("rule", text)) => rules.push(super::paths::rule(text)),
            Some(("track", name)) => {
                let impact = Impact::Weight(-60);
                tracking.push(Source::Interface(TrackedInterface { name: name.to_owned(), impact, inverted: false }));
            }
            #[cfg(feature = "auth-hmac")]
            Some(("keys", list)) => keys = Some(list),
            Some(("version", "2")) => version = Some(Version::V2),
            Some(("yield", "degraded")) => yield_when = Yield::WhenDegraded,
            Some(("preempt", "never")) => preempt = Preempt::Never,
            Some(other) => panic!("no setting {other:?}"),
        }
    }
    // The first address is what the family follows from; those with more to say are added one by one.
    let (plain, special) = addresses.split_at(if label.is_some() || scope.is_some() { 0 } else { addresses.len() });
    let config = RouterConfig::new(interface, Vrid::new(vrid).unwrap(), plain.to_vec())
        .with_lease(lease)
        .with_accept_mode(accept)
        .with_link_delay(link_delay)
        .with_absent_interface(absent)
        .with_priority(Priority::new(priority).unwrap())
        .with_interval(Interval::from_centiseconds(interval).unwrap())
        .with_preempt(preempt)
        .with_yield(yield_when)
        .with_tracking(tracking);
    let family = addresses.first().map(|address| address.family());
    let config = family.map_or(config.clone(), |family| config.clone().with_version(Version::V3(family)));
    let config = special.iter().fold(config, |config, address| {
        let address = Address::from(*address);
        let address = label.map_or(address.clone(), |label| address.clone().with_label(label));
        config.with_address(scope.map_or(address.clone(), |scope| address.clone().with_scope(scope)))
    });
    let config = elsewhere.into_iter().fold(config, RouterConfig::with_address);
    let config = routes.into_iter().fold(config, RouterConfig::with_route);
    let config = rules.into_iter().fold(config, RouterConfig::with_rule);
    let config = source.map_or(config.clone(), |source| config.clone().with_source(source));
    let config = if peers.is_empty() { config } else { config.with_addressing(Addressing::unicast(peers)) };
    let config = group.map_or(config.clone(), |group| config.clone().with_addressing(Addressing::multicast_to(group)));
    let config = if virtual_mac { config.with_virtual_mac(VirtualMac::default()) } else { config };
    let never = Announcements { repeat: 0, delay: Duration::ZERO, ..Announcements::default() };
    let config = if announces { config } else { config.with_announcements(never) };
    let config = match version {
        Some(version) => config.with_version(version),
        None => config,
    };
    #[cfg(feature = "auth-hmac")]
    let config = match keys {
        Some(list) => config.with_hmac(hmac(list, Interval::from_centiseconds(interval).unwrap())),
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

/// From `1:one,2:another`; the first one signs.
#[cfg(feature = "auth-hmac")]
fn hmac(list: &str, interval: Interval) -> vrrp_core::hmac::Config {
    use vrrp_core::hmac::{Config, Key, KeyId, Keys};
    let mut keys = list.split(',').map(|entry| {
        let (id, key) = entry.split_once(':').unwrap();
        // A key has at least sixteen octets.
        (KeyId::new(id.parse().unwrap()).unwrap(), Key::new(key.repeat(16).as_bytes()).unwrap())
    });
    let (id, key) = keys.next().unwrap();
    Config::new(keys.fold(Keys::new(id, key), |keys, (id, key)| keys.with(id, key).unwrap()), interval)
}
