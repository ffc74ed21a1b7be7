//! The kernel as a whole: whether it has IPVS, whether we may use it, and what it says about itself.

use std::fs;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use vrrp_ipvs::{Error, Ipvs, Timeouts};

use crate::guest::{in_a_guest, on_ipvs};
use crate::net::{Host, run, wait_for};

/// What `/proc/net/ip_vs` begins with: `IP Virtual Server version 1.2.1 (size=4096)`. None: no IPVS in this kernel.
fn first_line_of_proc() -> Option<String> {
    let text = fs::read_to_string("/proc/net/ip_vs").ok()?;
    text.lines().next().map(str::to_owned)
}

/// Whether this process has `CAP_NET_ADMIN` (bit 12) and is not in a user namespace, where it does not count for IPVS.
fn may_use_ipvs() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap();
    let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap();
    effective & (1 << 12) != 0 && uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// On whatever kernel runs: with IPVS the answer is compared with what it says elsewhere, without it the error is.
#[test]
fn the_kernel_answers_or_the_error_says_how_to_make_it() {
    let result = Ipvs::open().and_then(|mut ipvs| {
        let first = ipvs.info()?;
        assert_eq!(ipvs.info()?, first, "two answers differ");
        Ok(first)
    });
    match (first_line_of_proc(), result) {
        (Some(line), Ok(info)) => {
            let ours = format!("IP Virtual Server version {} (size={})", info.version, info.connection_table_size);
            assert_eq!(line, ours);
        }
        (Some(_), Err(Error::NotPermitted)) => assert!(!may_use_ipvs(), "refused although permitted"),
        (None, Err(error @ Error::ModuleMissing)) => {
            assert_eq!(error.to_string(), "this kernel has no IPVS: load the module ip_vs (as root: modprobe ip_vs)");
        }
        (proc, result) => panic!("/proc/net/ip_vs: {proc:?}, but: {result:?}"),
    }
}

#[test]
fn info_is_what_proc_says() {
    on_ipvs(|| {
        let info = Ipvs::open().unwrap().info().unwrap();
        let ours = format!("IP Virtual Server version {} (size={})", info.version, info.connection_table_size);
        assert_eq!(first_line_of_proc(), Some(ours));
    });
}

#[test]
fn without_the_capability_the_error_says_so() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        let error = host.inside(|| {
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
            ipvs.services().unwrap_err()
        });
        assert!(matches!(error, Error::NotPermitted), "{error:?}");
    });
}

#[test]
fn timeouts_are_read_back_and_0_leaves_one() {
    on_ipvs(|| {
        let host = Host::new();
        let mut ipvs = host.ipvs();
        assert_eq!(ipvs.timeouts().unwrap(), Timeouts { tcp_seconds: 900, tcp_fin_seconds: 120, udp_seconds: 300 });
        ipvs.set_timeouts(&Timeouts { tcp_seconds: 901, tcp_fin_seconds: 0, udp_seconds: 301 }).unwrap();
        assert_eq!(ipvs.timeouts().unwrap(), Timeouts { tcp_seconds: 901, tcp_fin_seconds: 120, udp_seconds: 301 });
        assert_eq!(host.ipvsadm("-Ln --timeout").trim(), "Timeout (tcp tcpfin udp): 901 120 301");
        // More than the kernel's signed number of clock ticks.
        let error = ipvs.set_timeouts(&Timeouts { tcp_seconds: u32::MAX, tcp_fin_seconds: 0, udp_seconds: 0 });
        assert!(error.unwrap_err().to_string().ends_with("Invalid argument (os error 22)"));
    });
}

#[test]
fn each_namespace_has_its_own_table() {
    on_ipvs(|| {
        let (one, other) = (Host::new(), Host::new());
        one.ipvsadm("-A -t 192.0.2.1:80 -s rr");
        // The client is of the namespace that it was opened in, wherever it is used.
        assert_eq!(one.ipvs().services().unwrap().len(), 1);
        assert_eq!(other.ipvs().services().unwrap().len(), 0);
    });
}

#[test]
fn a_module_that_was_unloaded_is_found_again_or_named() {
    on_ipvs(|| {
        if !in_a_guest() {
            // Not on a kernel that others use.
            return;
        }
        let mut ipvs = Ipvs::open().unwrap();
        ipvs.info().unwrap();
        let unload = || {
            let gone = wait_for(std::time::Duration::from_secs(20), || {
                let modules = fs::read_to_string("/proc/modules").unwrap();
                let names: Vec<_> = modules.lines().filter_map(|line| line.split(' ').next()).collect();
                // Those that use it first, as the list has it.
                for name in names.iter().filter(|name| name.starts_with("ip_vs")) {
                    let _ = std::process::Command::new("busybox").args(["rmmod", name]).output();
                }
                first_line_of_proc().is_none().then_some(())
            });
            assert!(gone.is_some(), "the module cannot be unloaded: {}", run("busybox", "lsmod"));
        };
        unload();
        // The kernel loads it again because the client asks for it.
        ipvs.info().unwrap();
        assert!(first_line_of_proc().is_some());
        unload();
        let loader = fs::read_to_string("/proc/sys/kernel/modprobe").unwrap();
        fs::write("/proc/sys/kernel/modprobe", "/bin/false").unwrap();
        let error = ipvs.info().unwrap_err();
        let opened = Ipvs::open().map(|_| ());
        fs::write("/proc/sys/kernel/modprobe", loader.trim()).unwrap();
        assert!(matches!(error, Error::ModuleMissing), "{error:?}");
        assert!(matches!(opened, Err(Error::ModuleMissing)), "{opened:?}");
        ipvs.info().unwrap();
    });
}
