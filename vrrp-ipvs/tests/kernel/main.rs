//! Against the running kernel: with IPVS the answers are compared with what it says elsewhere, without it the error is.

use std::fs;

use vrrp_ipvs::{Error, Ipvs};

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
