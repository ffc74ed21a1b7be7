//! FRR's vrrpd, with its zebra.
//!
//! FRR has the virtual addresses on a macvlan device with the virtual MAC all the time, and turns that device on and off
//! ("protodown", which its zebra does for it).

use std::path::Path;
use std::process::Stdio;

use vrrp_net::lab::{Host, Interface, Process};
use vrrp_net::netlink::{AddressChange, AddressRequest};
use vrrp_net::vrrp_core::{Family, Vrid};

use crate::common::{Log, PATIENCE, TempDir, tool, wait_until};
use crate::lan::{Dialect, VRID};
use crate::member::{Member, Program};

pub(crate) struct Frr {
    vrrpd: Process,
    log: Log,
    _zebra: Process,
    _zebra_log: Log,
    _folder: TempDir,
}

impl Frr {
    pub(crate) const IS_BACKUP: &str = "-> Backup";
    pub(crate) const COMPLAINS: &[&str] = &["iscard", "nvalid", "ncorrect", "rror", "ailed", "ismatch", "not match"];
    /// It tells of every advertisement that it is about to beat, and of its device while that is off.
    pub(crate) const IS_CONTENT: &[&str] = &["(100 <", "(150 <", "Failed to find address to bind on vrrp6"];

    /// The device that it wants to find.
    pub(crate) fn prepare(host: &Host, interface: &Interface, dialect: &Dialect) {
        let name = match dialect.family() {
            Family::V4 => "vrrp4",
            Family::V6 => "vrrp6",
        };
        let mac = Vrid::new(VRID).expect("a VRID").virtual_mac(dialect.family());
        let mut netlink = host.netlink().expect("a netlink socket");
        let device = netlink.create_macvlan(name, interface.index(), mac).expect("a macvlan");
        // FRR leaves these to the administrator. Otherwise the host answers for the addresses while it is a Backup, and says
        // in its own questions that they are at its own MAC address.
        for (setting, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
            host.sysctl(&format!("net.ipv4.conf.{}.{setting}", interface.name()), value).expect("a setting for ARP");
        }
        // It advertises from the device's link-local address, which must not be derived from the virtual MAC address.
        host.sysctl(&format!("net.ipv6.conf.{name}.addr_gen_mode"), "3").expect("a random link-local address");
        for text in dialect.addresses() {
            let request = AddressRequest::new(device.index, text.parse().expect("an address"));
            netlink.change_address(AddressChange::Set(request)).expect("the virtual address");
        }
        netlink.set_up(device.index, true).expect("the macvlan up");
    }

    pub(crate) fn start(member: &Member) -> Self {
        let folder = TempDir::new();
        // It wants its user to be in this group, and there is no user but root in an unprivileged lab.
        folder.write("group", "root:x:0:\nfrrvty:x:0:root\n");
        folder.write("zebra.conf", "");
        folder.write("vrrpd.conf", &configuration(member));
        let (zebra, zebra_log) = daemon(&member.host, "zebra", folder.path());
        let listens = || std::os::unix::net::UnixStream::connect(folder.file("zserv")).is_ok();
        assert!(wait_until(PATIENCE, listens), "zebra does not start: {:#?}", zebra_log.lines());
        let (vrrpd, log) = daemon(&member.host, "vrrpd", folder.path());
        Self { vrrpd, log, _zebra: zebra, _zebra_log: zebra_log, _folder: folder }
    }
}

impl Program for Frr {
    fn kill(&mut self) {
        self.vrrpd.kill().expect("kill FRR's vrrpd");
    }

    fn terminate(&mut self) {
        self.vrrpd.terminate().expect("terminate FRR's vrrpd");
        let ended = self.vrrpd.wait(PATIENCE).expect("wait for FRR's vrrpd");
        assert!(ended.is_some(), "FRR's vrrpd did not end on SIGTERM: {:#?}", self.log.lines());
    }

    fn pause(&mut self) {
        self.vrrpd.stop().expect("stop FRR's vrrpd");
    }

    fn resume(&mut self) {
        self.vrrpd.resume().expect("resume FRR's vrrpd");
    }

    fn log(&self) -> &Log {
        &self.log
    }
}

/// Start one of FRR's daemons with all its files in one folder. It sees that folder's `group` as /etc/group, and has a
/// /var/tmp of its own.
fn daemon(host: &Host, name: &str, folder: &Path) -> (Process, Log) {
    let program = tool(name, "frr").expect("FRR");
    let script = "mount --bind \"$1/group\" /etc/group && mount -t tmpfs none /var/tmp && shift && exec \"$@\"";
    let mut command = host.command("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(folder).arg(program);
    command.args(["--user", "root", "--group", "root", "--vty_port", "0", "--log", "stdout"]);
    command.arg("--socket").arg(folder.join("zserv")).arg("--vty_socket").arg(folder);
    command.arg("--pid_file").arg(folder.join(format!("{name}.pid")));
    command.arg("--config_file").arg(folder.join(format!("{name}.conf")));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(&mut command).expect("start a daemon of FRR");
    let log = Log::of(&mut process);
    (process, log)
}

fn configuration(member: &Member) -> String {
    let (dialect, policy) = (&member.dialect, member.policy);
    let vrrp = format!(" vrrp {VRID}");
    let preempt = if policy.preempt { "" } else { " no" };
    let ip = match dialect.family() {
        Family::V4 => "ip",
        Family::V6 => "ipv6",
    };
    let addresses = dialect.addresses().iter().map(|address| format!("{vrrp} {ip} {address}\n"));
    format!(
        "debug vrrp protocol\ninterface eth0\n{vrrp} version {}\n{vrrp} priority {}\n\
         {vrrp} advertisement-interval {}\n{preempt}{vrrp} preempt\n{}",
        dialect.version.number(),
        policy.priority,
        dialect.centiseconds * 10,
        addresses.collect::<String>(),
    )
}
