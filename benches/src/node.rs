//! Our side: an application that embeds the driver, until SIGTERM.

use std::io::{BufRead, stdin};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use vrrp_core::{Interval, Priority, VirtualAddr, Vrid};
use vrrp_net::{Address, Announcements, Driver, Guardian, RouterConfig};

/// Virtual routers on `eth0`, `eth1` and so on, the same for both sides.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// How many virtual routers
    #[arg(long)]
    pub routers: u16,
    /// How many of them on each interface
    #[arg(long, default_value_t = 250)]
    pub on_each: u16,
    /// In centiseconds
    #[arg(long, default_value_t = 10)]
    pub interval: u16,
    /// Of each
    #[arg(long, default_value_t = 100)]
    pub priority: u8,
    /// Addresses of each one
    #[arg(long, default_value_t = 1)]
    pub addresses: u16,
    /// Announce each address once
    #[arg(long)]
    pub announce_once: bool,
    /// Say what happens
    #[arg(long)]
    pub log: bool,
    /// With a guardian
    #[arg(long)]
    pub guarded: bool,
    /// Die as standard input says: abort, segfault or oom
    #[arg(long)]
    pub obey: bool,
    /// The control group to be in
    #[arg(long)]
    pub group: Option<PathBuf>,
}

impl Arguments {
    /// With intervals of 0.1 s, 250 on each interface.
    pub fn new(routers: u16) -> Self {
        Self {
            routers,
            on_each: 250,
            interval: 10,
            priority: 100,
            addresses: 1,
            announce_once: false,
            log: false,
            guarded: false,
            obey: false,
            group: None,
        }
    }

    /// Those that win against priority 100.
    pub fn better(&self) -> Self {
        Self { priority: 200, ..self.clone() }
    }

    /// The advertisement interval.
    pub fn period(&self) -> Duration {
        Duration::from_millis(u64::from(self.interval) * 10)
    }

    /// How many interfaces they take.
    ///
    /// # Errors
    /// More than 255.
    pub fn interfaces(&self) -> anyhow::Result<u8> {
        u8::try_from(self.routers.div_ceil(self.on_each)).context("too many interfaces")
    }

    /// The interface, VRID and addresses of each.
    pub fn list(&self) -> impl Iterator<Item = (String, u8, Vec<Ipv4Addr>)> + '_ {
        (0..self.routers).map(|number| {
            let (interface, place) = (number / self.on_each, number % self.on_each);
            let vrid = u8::try_from(place + 1).unwrap_or(u8::MAX);
            let own = u32::from(number) * u32::from(self.addresses);
            let addresses =
                (0..u32::from(self.addresses)).map(|at| Ipv4Addr::from(FIRST.to_bits() + own + at)).collect();
            (format!("eth{interface}"), vrid, addresses)
        })
    }

    /// As options of the command line.
    pub fn options(&self) -> Vec<String> {
        let Self { routers, on_each, interval, priority, addresses, .. } = self;
        let text = format!(
            "node --routers {routers} --on-each {on_each} --interval {interval} --priority {priority} --addresses {addresses}"
        );
        let mut options: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let flags = [
            (self.announce_once, "--announce-once"),
            (self.log, "--log"),
            (self.guarded, "--guarded"),
            (self.obey, "--obey"),
        ];
        options.extend(flags.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name.to_owned()));
        if let Some(group) = &self.group {
            options.extend(["--group".to_owned(), group.display().to_string()]);
        }
        options
    }
}

/// The first virtual address; all are in [`is_virtual`].
pub const FIRST: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);

/// Whether it is an address of a virtual router, not of a host.
pub fn is_virtual(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 10 && (64..128).contains(&second)
}

/// As many addresses as an advertisement can tell of; the others are excluded.
pub const ADVERTISED: usize = 20;

/// For how long a hand-over is waited for.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

/// Runs the virtual routers until SIGTERM, which hands them over.
///
/// # Errors
/// One that cannot be run.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(group) = &arguments.group {
        let file = group.join("cgroup.procs");
        std::fs::write(&file, "0").with_context(|| format!("write {}", file.display()))?;
    }
    let (sender, signals) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, sender)?;
    let mut driver = Driver::new()?;
    if arguments.guarded {
        driver.set_guardian(Guardian::spawn()?)?;
    }
    if arguments.obey {
        std::thread::spawn(die_when_told);
    }
    for config in configurations(arguments) {
        driver.add(config?)?;
    }
    let mut leaving: Option<Instant> = None;
    while !leaving.is_some_and(|until| driver.is_idle() || Instant::now() >= until) {
        for event in driver.process()? {
            if arguments.log {
                eprintln!("{event}");
            }
        }
        let watched = [driver.as_fd(), signals.as_fd()];
        let mut ready = watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // Once it is told to leave, there is nothing more to hear.
        let number = if leaving.is_some() { 1 } else { 2 };
        let patience =
            leaving.and_then(|until| Timespec::try_from(until.saturating_duration_since(Instant::now())).ok());
        match poll(ready.get_mut(..number).unwrap_or_default(), patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for the driver"),
        }
        if leaving.is_none() && ready.get(1).is_some_and(|signal| !signal.revents().is_empty()) {
            driver.hand_over_all()?;
            leaving = Some(Instant::now() + HAND_OVER_WITHIN);
        }
    }
    driver.shutdown()?;
    Ok(())
}

fn configurations(arguments: &Arguments) -> impl Iterator<Item = anyhow::Result<RouterConfig>> + '_ {
    arguments.list().map(|(interface, vrid, addresses)| {
        let advertised = addresses.iter().take(ADVERTISED).map(|it| VirtualAddr::host((*it).into()));
        let mut config = RouterConfig::new(interface, Vrid::new(vrid)?, advertised.collect::<Result<_, _>>()?)
            .with_priority(Priority::new(arguments.priority)?)
            .with_interval(Interval::from_centiseconds(u64::from(arguments.interval))?);
        for address in addresses.iter().skip(ADVERTISED) {
            let address: Address = address.to_string().parse().context("an address")?;
            config = config.with_address(address.excluded());
        }
        if arguments.announce_once {
            let once = Announcements { repeat: 1, delay: Duration::ZERO, ..Announcements::default() };
            config = config.with_announcements(once);
        }
        Ok(config)
    })
}

/// Takes the process along as the first line of standard input says.
fn die_when_told() {
    let mut word = String::new();
    let _ = stdin().lock().read_line(&mut word);
    match word.trim() {
        "abort" => std::process::abort(),
        "segfault" => {
            let _ = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGSEGV);
        }
        "oom" => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(vec![1_u8; 1 << 20]);
            }
        }
        // Nobody told it anything.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn options_are_read_as_what_they_were_made_of() {
        let made = Arguments {
            on_each: 255,
            interval: 1,
            addresses: 7,
            announce_once: true,
            log: true,
            guarded: true,
            obey: true,
            group: Some("/a/b".into()),
            ..Arguments::new(300).better()
        };
        for arguments in [made, Arguments::new(1)] {
            // The first one is the subcommand, in the place of the program's name.
            let read = Line::try_parse_from(arguments.options()).unwrap().arguments;
            assert_eq!(format!("{read:?}"), format!("{arguments:?}"));
        }
    }

    #[test]
    fn each_virtual_router_has_addresses_of_its_own() {
        let arguments = Arguments { on_each: 2, addresses: 3, ..Arguments::new(3) };
        let list: Vec<_> = arguments.list().collect();
        assert_eq!(list[2].0, "eth1");
        assert_eq!(list.iter().map(|(_, vrid, _)| *vrid).collect::<Vec<_>>(), [1, 2, 1]);
        let addresses: Vec<_> = list.iter().flat_map(|(_, _, addresses)| addresses.clone()).collect();
        assert_eq!(addresses.first(), Some(&FIRST));
        assert_eq!(addresses.last(), Some(&Ipv4Addr::new(10, 64, 0, 9)));
        assert!(addresses.iter().all(|it| is_virtual(*it)));
        assert!(!is_virtual(Ipv4Addr::new(10, 0, 0, 1)));
    }
}
