//! Together with FRR's vrrpd, over real packets: VRRPv3 over IPv4.
//!
//! FRR has the virtual address on a macvlan device with the virtual MAC all the time, and turns that device on and off
//! ("protodown", which its zebra does for it). Debian's FRR 8.4.4 is known to pass.

mod common;

use std::path::Path;
use std::process::Stdio;

use common::election::{Dialect, Peer, Policy, Side, V3, VIP, VRID, roles_pass};
use common::{Log, PATIENCE, TempDir, lab, tool, wait_until};
use vrrp_net::lab::{Host, Interface, Process};
use vrrp_net::netlink::{AddressChange, AddressRequest};
use vrrp_net::vrrp_core::{Family, VirtualAddr, Vrid};

#[test]
fn vrrpv3_roles_pass_between_us_and_frr_when_we_are_active_first() {
    if can_run() {
        roles_pass::<Frr>(&V3, Side::Ours);
    }
}

#[test]
fn vrrpv3_roles_pass_between_us_and_frr_when_it_is_active_first() {
    if can_run() {
        roles_pass::<Frr>(&V3, Side::Peer);
    }
}

fn can_run() -> bool {
    let packages = [("zebra", "frr"), ("vrrpd", "frr"), ("unshare", "util-linux"), ("mount", "mount")];
    packages.into_iter().all(|(name, package)| tool(name, package).is_some()) && lab().is_some()
}

/// FRR's vrrpd, and its zebra.
struct Frr {
    vrrpd: Process,
    log: Log,
    _zebra: Process,
    _zebra_log: Log,
    _folder: TempDir,
}

impl Peer for Frr {
    const IS_BACKUP: &str = "Initialize -> Backup";
    const COMPLAINS: &[&str] = &["iscard", "nvalid", "ncorrect", "rror", "ailed", "ismatch", "not match"];
    /// It tells of every advertisement that it is about to beat.
    const IS_CONTENT: &[&str] = &["Discarding advertisement from 192.0.2.2 (100 <"];
    /// It waits until the kernel has turned its device on, which can take seconds on a busy machine.
    const IS_PROMPT: bool = false;

    fn prepare(host: &Host, interface: &Interface) {
        let mut netlink = host.netlink().expect("a netlink socket");
        let device = netlink.create_macvlan("vrrp4", interface.index(), Self::mac(interface)).expect("a macvlan");
        let address = VirtualAddr::host(VIP.into()).expect("an address");
        let request = AddressRequest::new(device.index, address);
        netlink.change_address(AddressChange::Set(request)).expect("the virtual address");
        netlink.set_up(device.index, true).expect("the macvlan up");
    }

    fn mac(_interface: &Interface) -> [u8; 6] {
        Vrid::new(VRID).expect("a VRID").virtual_mac(Family::V4)
    }

    fn start(host: &Host, dialect: &Dialect, policy: Policy) -> Self {
        let folder = TempDir::new();
        // It wants its user to be in this group, and there is no user but root in an unprivileged lab.
        folder.write("group", "root:x:0:\nfrrvty:x:0:root\n");
        folder.write("zebra.conf", "");
        folder.write("vrrpd.conf", &configuration(dialect, policy));
        let (zebra, zebra_log) = daemon(host, "zebra", folder.path());
        let listens = || std::os::unix::net::UnixStream::connect(folder.file("zserv")).is_ok();
        assert!(wait_until(PATIENCE, listens), "zebra does not start: {:#?}", zebra_log.lines());
        let (vrrpd, log) = daemon(host, "vrrpd", folder.path());
        Self { vrrpd, log, _zebra: zebra, _zebra_log: zebra_log, _folder: folder }
    }

    fn kill(&mut self) {
        self.vrrpd.kill().expect("kill FRR's vrrpd");
    }

    fn terminate(&mut self) {
        self.vrrpd.terminate().expect("terminate FRR's vrrpd");
        let ended = self.vrrpd.wait(PATIENCE).expect("wait for FRR's vrrpd");
        assert!(ended.is_some(), "FRR's vrrpd did not end on SIGTERM: {:#?}", self.log.lines());
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

fn configuration(dialect: &Dialect, policy: Policy) -> String {
    let vrrp = format!(" vrrp {VRID}");
    let preempt = if policy.preempt { "" } else { " no" };
    format!(
        "debug vrrp protocol\ninterface eth0\n{vrrp} version {}\n{vrrp} priority {}\n\
         {vrrp} advertisement-interval {}\n{preempt}{vrrp} preempt\n{vrrp} ip {VIP}\n",
        dialect.version.number(),
        policy.priority,
        dialect.centiseconds * 10,
    )
}
