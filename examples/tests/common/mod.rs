//! What the tests of the daemons share: a lab or a loud skip, our `vrrpd` in it, and what went over the wire.

// Every test program takes the part that it needs.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Clock};

use rustix::process::{Pid, Signal, kill_process};
use vrrp_net::lab::{Frame, Host, Lab, Process};
/// The clock of [`Frame::at`].
pub use vrrp_net::now;
use vrrp_net::vrrp_core::wire::{ChecksumForm, Envelope, PROTOCOL, Packet};
use vrrp_net::vrrp_core::{Instant, Priority};

/// Longer than anything here takes: a busy kernel can take half a minute to close a packet socket.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A lab, or `None` where none is allowed: then the test is skipped, loudly; with `VRRP_TEST_REQUIRE=all` it fails.
pub fn lab() -> Option<Lab> {
    // The error names the way out.
    Lab::new().map_err(|error| skip(&error.to_string())).ok()
}

/// A program, or `None` if it is not installed: then the test is skipped as with [`lab`].
pub fn tool(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin", "/usr/lib/frr"].map(PathBuf::from);
    // Debian has a folder for each version.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.map(|version| version.path().join("bin"));
    let folders = std::env::split_paths(&path).chain(extra).chain(versions);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("there is no {name} here. Way out: apt-get install {package}"));
    }
    found
}

/// Whether the tests run as root; otherwise what needs it is skipped as with [`lab`].
pub fn root(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip(&format!("{what}. Way out: run the tests as root"));
    }
    is_root
}

fn skip(reason: &str) {
    let required = std::env::var("VRRP_TEST_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!required, "VRRP_TEST_REQUIRE=all, but {reason}");
    // Not by a macro: the test harness would keep that to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED test: {reason}");
}

/// Try every few milliseconds until it is so. Returns whether it became so within `limit`.
#[must_use]
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let patience = Clock::now() + limit;
    while !condition() {
        if Clock::now() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A folder that is removed when this is dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Short, because sockets are made in it, whose paths can have 107 characters.
        let path = std::env::temp_dir().join(format!("vrrp-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A new file in it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a program prints, read by threads, so that it never waits for us.
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Log {
    /// Of a process that was started with pipes for what is wanted of it.
    pub fn of(process: &mut Process) -> Self {
        let lines = Arc::default();
        let stdout = process.take_stdout().map(|pipe| reader(pipe, &lines));
        let stderr = process.take_stderr().map(|pipe| reader(pipe, &lines));
        Self { lines, readers: stdout.into_iter().chain(stderr).collect() }
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        lock(&self.lines).clone()
    }

    /// The lines so far that contain `text`.
    pub fn matching(&self, text: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(text)).collect()
    }

    /// Whether a line that contains `text` is there, or comes within `limit`.
    #[must_use]
    pub fn wait_for(&self, limit: Duration, text: &str) -> bool {
        wait_until(limit, || lock(&self.lines).iter().any(|line| line.contains(text)))
    }

    /// The last lines, when the program has ended.
    pub fn finish(self) -> Vec<String> {
        for reader in self.readers {
            let _ = reader.join();
        }
        lock(&self.lines).clone()
    }
}

fn reader(pipe: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            lock(&lines).push(String::from_utf8_lossy(&line).into_owned());
        }
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Our `vrrpd`, or another program of ours, on a host.
pub struct Node {
    process: Process,
    log: Log,
}

impl Node {
    pub fn start<Argument: AsRef<OsStr>>(host: &Host, arguments: impl IntoIterator<Item = Argument>) -> Self {
        Self::run(host, env!("CARGO_BIN_EXE_vrrpd"), arguments)
    }

    /// Another program; its log is all that it prints.
    pub fn run<Argument: AsRef<OsStr>>(
        host: &Host,
        program: &str,
        arguments: impl IntoIterator<Item = Argument>,
    ) -> Self {
        let mut command = host.command(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).env("NO_COLOR", "1");
        let mut process = Process::start(&mut command).expect("start a program");
        let log = Log::of(&mut process);
        Self { process, log }
    }

    /// Its log so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// End it as a crash does.
    pub fn kill(&mut self) {
        self.process.kill().expect("kill the program");
    }

    /// Ask it to end at once, as Ctrl-C does, and wait until it has.
    pub fn interrupt(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process number");
        kill_process(pid, Signal::INT).expect("interrupt the program");
        self.ended()
    }

    /// Ask it to hand over and end, and wait until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate().expect("terminate the program");
        self.ended()
    }

    fn ended(&mut self) -> ExitStatus {
        match self.process.wait(PATIENCE).expect("wait for the program") {
            Some(status) => status,
            None => panic!("it did not end: {:#?}", self.log.lines()),
        }
    }
}

/// An advertisement that was seen on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    pub at: Instant,
    pub source_mac: [u8; 6],
    pub destination_mac: [u8; 6],
    pub source: IpAddr,
    /// 2 or 3.
    pub version: u8,
    pub vrid: u8,
    /// 0: the sender resigns.
    pub priority: u8,
    pub interval: Duration,
    pub addresses: Vec<IpAddr>,
    /// VRRPv2: 1 is a password.
    pub auth_type: Option<u8>,
    /// VRRPv2: the password, with zeros behind.
    pub auth_data: Option<[u8; 8]>,
    /// VRRPv3 over IPv4 has two forms.
    pub checksum_form: Option<ChecksumForm>,
}

/// The VRRP advertisements among the frames, in their order.
///
/// # Panics
/// If one is not sound, whoever sent it.
pub fn adverts(frames: &[Frame]) -> Vec<Advert> {
    let is_advert = |frame: &&Frame| match octets(frame, 12) {
        // The rest is the joining of groups and neighbor discovery.
        Some([0x08, 0x00]) => octets(frame, 23) == Some([VRRP]),
        Some([0x86, 0xdd]) => octets(frame, 20) == Some([VRRP]),
        _ => false,
    };
    frames.iter().filter(is_advert).map(advert).collect()
}

fn advert(frame: &Frame) -> Advert {
    let unsound = |error| -> ! { panic!("unsound advert on the wire: {error:?}: {:02x?}", frame.bytes) };
    let datagram = &frame.bytes[14..];
    let (envelope, payload) = match datagram[0] >> 4 {
        4 => Envelope::split_ipv4(datagram).unwrap_or_else(|error| unsound(error)),
        // Without extension headers (RFC 8200 §3).
        _ => {
            let [source, destination] =
                [22, 38].map(|at| IpAddr::from(octets::<16>(frame, at).expect("an IPv6 header")));
            let length = usize::from(u16::from_be_bytes([datagram[4], datagram[5]]));
            (Envelope { source, destination, ttl: Some(datagram[7]) }, &datagram[40..40 + length])
        }
    };
    let packet = Packet::parse(&envelope, payload).unwrap_or_else(|error| unsound(error));
    Advert {
        at: frame.at,
        source_mac: octets(frame, 6).expect("an Ethernet header"),
        destination_mac: octets(frame, 0).expect("an Ethernet header"),
        source: envelope.source,
        version: packet.version().number(),
        vrid: packet.vrid_octet(),
        priority: packet.priority().map_or(0, Priority::get),
        interval: packet.interval().map(|interval| interval.as_duration()).unwrap_or_default(),
        addresses: packet.addresses().collect(),
        auth_type: packet.auth_type(),
        auth_data: packet.auth_data().copied(),
        checksum_form: packet.checksum_form(),
    }
}

/// A host that told all others, unasked, at which MAC address an IP address is: by gratuitous ARP (RFC 5227 §3), or by a
/// neighbor advertisement to all nodes (RFC 4861 §7.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub at: Instant,
    pub mac: [u8; 6],
    pub address: IpAddr,
}

/// The announcements among the frames, in their order.
pub fn announcements(frames: &[Frame]) -> Vec<Announcement> {
    let by_arp = |frame: &Frame| {
        // Ethernet and IPv4, whose addresses have 6 and 4 octets.
        let is_arp = octets(frame, 12)? == [0x08, 0x06] && octets(frame, 14)? == [0, 1, 8, 0, 6, 4];
        let (mac, sender, target) = (octets(frame, 22)?, octets::<4>(frame, 28)?, octets::<4>(frame, 38)?);
        (is_arp && sender == target).then(|| Announcement { at: frame.at, mac, address: sender.into() })
    };
    let by_neighbor_advertisement = |frame: &Frame| {
        let is_ipv6 = octets(frame, 12)? == [0x86, 0xdd] && octets(frame, 38)? == ALL_NODES;
        // Its type is 136, and its option the target's link-layer address, of 8 octets in all.
        let is_it = is_ipv6 && octets(frame, 54)? == [136] && octets(frame, 78)? == [2, 1];
        let (address, mac) = (octets::<16>(frame, 62)?, octets(frame, 80)?);
        is_it.then(|| Announcement { at: frame.at, mac, address: address.into() })
    };
    frames.iter().filter_map(|frame| by_arp(frame).or_else(|| by_neighbor_advertisement(frame))).collect()
}

const VRRP: u8 = PROTOCOL;
/// ff02::1
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fn octets<const N: usize>(frame: &Frame, at: usize) -> Option<[u8; N]> {
    frame.bytes.get(at..at + N)?.try_into().ok()
}

/// A time in which one host was Active, as far as the wire tells: it advertised without a pause and without priority 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reign {
    pub source: IpAddr,
    /// The first and the last advertisement of priority 1 or more.
    pub from: Instant,
    pub to: Instant,
    pub adverts: usize,
    /// The priority 0 that ended it.
    pub resigned: Option<Instant>,
}

/// The reigns of all hosts, by their beginnings. Two and a half intervals without an advertisement end one.
pub fn reigns(adverts: &[Advert]) -> Vec<Reign> {
    let mut reigns: Vec<Reign> = Vec::new();
    for advert in adverts {
        let last = reigns.iter_mut().rev().find(|reign| reign.source == advert.source);
        let open = last.filter(|it| it.resigned.is_none() && advert.at.since(it.to) < advert.interval * 5 / 2);
        match open {
            Some(reign) if advert.priority == 0 => reign.resigned = Some(advert.at),
            Some(reign) => {
                reign.to = advert.at;
                reign.adverts += 1;
            }
            // It resigns again, or had nothing to resign from.
            None if advert.priority == 0 => {}
            None => {
                let (source, at) = (advert.source, advert.at);
                reigns.push(Reign { source, from: at, to: at, adverts: 1, resigned: None });
            }
        }
    }
    reigns
}

/// Check that there were never two Actives for longer than it takes to hear of each other: when two hosts' reigns
/// overlap, one of the two sends at most two advertisements in the overlap.
///
/// # Panics
/// If there were.
pub fn assert_no_two_actives(adverts: &[Advert]) {
    let reigns = reigns(adverts);
    for (number, one) in reigns.iter().enumerate() {
        for other in reigns.iter().skip(number + 1).filter(|other| other.source != one.source) {
            let (from, to) = (one.from.max(other.from), one.to.min(other.to));
            let sent = |source| {
                let of_it = adverts.iter().filter(|it| it.source == source && it.priority > 0);
                of_it.filter(|it| (from..=to).contains(&it.at)).count()
            };
            let rivalry = sent(one.source).min(sent(other.source));
            assert!(from > to || rivalry <= 2, "two Actives: {one:?} and {other:?}\n{}", table(adverts));
        }
    }
}

/// The advertisements in lines, for messages.
pub fn table(adverts: &[Advert]) -> String {
    let start = adverts.first().map_or(Instant::ZERO, |advert| advert.at);
    let line = |advert: &Advert| {
        let millis = advert.at.since(start).as_secs_f64() * 1000.0;
        format!("{millis:10.1} ms  {}  v{} priority {}\n", advert.source, advert.version, advert.priority)
    };
    adverts.iter().map(line).collect()
}

/// Run all cases of a test at once, in a thread each.
///
/// A case that fails while the machine stood still is run again, a few times, loudly: its timers are worth nothing.
///
/// # Panics
/// After all have ended, with the names of those that panicked.
pub fn in_parallel<Case: Clone + Send>(cases: impl IntoIterator<Item = (String, Case)>, run: impl Fn(Case) + Sync) {
    const ATTEMPTS: u32 = 5;
    let attempt = |name: &str, case: &Case| {
        for attempt in 1.. {
            let start = now();
            let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(case.clone()))) else { return };
            let stall = Stalls::meter().longest_since(start);
            if stall < Stalls::WORTH_TELLING || attempt == ATTEMPTS {
                resume_unwind(panic);
            }
            eprintln!("{name}: once more, because the machine stood still for {stall:?} in attempt {attempt}");
        }
    };
    let attempt = &attempt;
    Stalls::meter();
    std::thread::scope(|scope| {
        let spawn = |(name, case): (String, Case)| {
            let (thread, label) = (std::thread::Builder::new().name(name.clone()), name.clone());
            (name, thread.spawn_scoped(scope, move || attempt(&label, &case)).expect("start a thread"))
        };
        let threads: Vec<_> = cases.into_iter().map(spawn).collect();
        let failed: Vec<String> =
            threads.into_iter().filter_map(|(name, thread)| thread.join().is_err().then_some(name)).collect();
        assert!(failed.is_empty(), "these cases failed, see above: {failed:#?}");
    });
}

/// The times when this machine stood still: when a thread that wanted to run did not, or when a change of a network
/// waited for others. All network namespaces of a machine share one lock for changes, and a program that removes many
/// of them can hold it for seconds.
struct Stalls {
    /// Their ends and lengths.
    past: Mutex<Vec<(Instant, Duration)>>,
    turns: AtomicU32,
}

impl Stalls {
    /// Half of what the tests allow a timer to be late.
    const WORTH_TELLING: Duration = Duration::from_millis(250);

    /// The one of this process.
    fn meter() -> &'static Self {
        static METER: OnceLock<&Stalls> = OnceLock::new();
        METER.get_or_init(|| {
            let stalls: &Self = Box::leak(Box::new(Self { past: Mutex::default(), turns: AtomicU32::new(0) }));
            std::thread::spawn(|| stalls.measure());
            stalls
        })
    }

    fn measure(&self) {
        const STEP: Duration = Duration::from_millis(10);
        let lab = Lab::new().expect("a lab");
        let mut netlink = lab.host("meter").and_then(|host| host.netlink()).expect("a netlink socket");
        let loopback = netlink.link_by_name("lo").expect("a loopback interface").index;
        loop {
            let start = now();
            let _ = netlink.set_up(loopback, true);
            std::thread::sleep(STEP);
            let late = now().since(start).saturating_sub(STEP);
            if late >= Self::WORTH_TELLING {
                lock(&self.past).push((now(), late));
            }
            self.turns.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn longest_since(&self, start: Instant) -> Duration {
        // The current turn is over in the next but one.
        let turns = self.turns.load(Ordering::Relaxed);
        let _ = wait_until(PATIENCE, || self.turns.load(Ordering::Relaxed) >= turns + 2);
        let past = lock(&self.past);
        past.iter().filter(|(end, _)| *end >= start).map(|(_, length)| *length).max().unwrap_or_default()
    }
}
