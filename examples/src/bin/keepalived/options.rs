//! keepalived's command line: the same options with the same meaning, so that service files and scripts go on to work.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Parser};

/// Runs the virtual routers, checks and virtual servers of an unmodified keepalived.conf.
///
/// Stays in the foreground, as one process. SIGTERM hands the addresses over to the next host, without a gap, and ends; SIGINT
/// releases them at once; SIGHUP reads the configuration again. If the process is killed, its guardian (a small child process)
/// releases the addresses at once.
#[derive(Debug, Parser)]
#[command(name = "keepalived", version, disable_version_flag = true, args_override_self = true)]
pub(crate) struct Options {
    /// The configuration
    #[arg(short = 'f', long, value_name = "FILE", default_value = "/etc/keepalived/keepalived.conf")]
    pub(crate) use_file: PathBuf,

    /// Only VRRP, without virtual servers
    #[arg(short = 'P', long, conflicts_with = "check")]
    pub(crate) vrrp: bool,

    /// Only virtual servers and their checks, without VRRP
    #[arg(short = 'C', long)]
    pub(crate) check: bool,

    /// What `@` lines of the configuration are compared with [default: the host name without its domain]
    #[arg(short = 'i', long, value_name = "ID")]
    pub(crate) config_id: Option<String>,

    /// Check the configuration and end: with 0 if it can be run. What is wrong with it goes to standard error, or to FILE
    #[arg(short = 't', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(crate) config_test: Option<Option<PathBuf>>,

    /// Print the configuration as it was understood, as JSON, and end
    #[arg(long)]
    pub(crate) dump: bool,

    /// Log the configuration as it was understood, as JSON
    #[arg(short = 'd', long)]
    pub(crate) dump_conf: bool,

    /// Log to standard error, besides
    #[arg(short = 'l', long)]
    pub(crate) log_console: bool,

    /// Log more
    #[arg(short = 'D', long, action = ArgAction::Count)]
    pub(crate) log_detail: u8,

    /// The facility of syslog: 0 to 7 (local0 to local7), local0 to local7, user or daemon
    #[arg(short = 'S', long, value_name = "FACILITY", default_value = "daemon", value_parser = facilities())]
    pub(crate) log_facility: String,

    /// Log to a file, besides
    #[arg(short = 'g', long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,

    /// Do not log to syslog
    #[arg(short = 'G', long)]
    pub(crate) no_syslog: bool,

    /// The file with the number of this process [default: /run/keepalived.pid, if it can be written]
    #[arg(short = 'p', long, value_name = "FILE")]
    pub(crate) pid: Option<PathBuf>,

    /// Another file with that number: there is one process for everything
    #[arg(short = 'r', long = "vrrp_pid", value_name = "FILE")]
    pub(crate) vrrp_pid: Option<PathBuf>,

    /// Another file with that number
    #[arg(short = 'c', long = "checkers_pid", value_name = "FILE")]
    pub(crate) checkers_pid: Option<PathBuf>,

    /// The network namespace to run in, by its name for `ip netns`
    #[arg(short = 's', long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,

    /// Print the number of a signal and end: of STOP, RELOAD, DATA or STATS
    #[arg(long, value_name = "WHAT", value_parser = PossibleValuesParser::new(["STOP", "RELOAD", "DATA", "STATS"]))]
    pub(crate) signum: Option<String>,

    /// The control socket for vrrpctl; "none": there is none
    #[arg(long, value_name = "PATH", default_value = examples::control::DEFAULT_SOCKET)]
    pub(crate) control: PathBuf,

    /// Where Prometheus finds GET /metrics over HTTP [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Have no guardian: if the process is killed, its addresses stay until their lease ends
    #[arg(long)]
    pub(crate) no_guardian: bool,

    /// Print the version and end
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: (),

    #[command(flatten)]
    without_meaning: WithoutMeaning,
}

/// Options of keepalived that change nothing here; they are accepted, and a notice tells why.
#[derive(Debug, clap::Args)]
struct WithoutMeaning {
    #[arg(short = 'n', long, hide = true)]
    dont_fork: bool,
    #[arg(short = 'B', long = "no_bfd", hide = true)]
    no_bfd: bool,
    #[arg(long, hide = true)]
    all: bool,
    #[arg(long, hide = true)]
    flush_log_file: bool,
    #[arg(short = 'X', long, hide = true)]
    release_vips: bool,
    #[arg(short = 'V', long, hide = true)]
    dont_release_vrrp: bool,
    #[arg(short = 'I', long, hide = true)]
    dont_release_ipvs: bool,
    #[arg(short = 'R', long, hide = true)]
    dont_respawn: bool,
    #[arg(short = 'a', long, hide = true)]
    address_monitoring: bool,
    #[arg(short = 'b', long = "bfd_pid", value_name = "FILE", hide = true)]
    bfd_pid: Option<PathBuf>,
    #[arg(short = 'e', long, hide = true)]
    all_config: bool,
    #[arg(short = 'x', long, hide = true)]
    snmp: bool,
    #[arg(short = 'A', long, value_name = "FILE", hide = true)]
    snmp_agent_socket: Option<PathBuf>,
    #[arg(short = 'u', long, value_name = "NUMBER", hide = true)]
    umask: Option<String>,
    #[arg(short = 'm', long, hide = true)]
    core_dump: bool,
    #[arg(short = 'M', long, value_name = "PATTERN", num_args = 0..=1, require_equals = true, hide = true)]
    core_dump_pattern: Option<Option<String>>,
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, hide = true)]
    perf: Option<Option<String>>,
    #[arg(long, value_name = "OPTIONS", num_args = 0..=1, require_equals = true, hide = true)]
    debug: Option<Option<String>>,
    #[arg(long, hide = true)]
    no_mem_check: bool,
}

fn facilities() -> PossibleValuesParser {
    let numbers = ["0", "1", "2", "3", "4", "5", "6", "7"];
    let locals = ["local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"];
    PossibleValuesParser::new(numbers.into_iter().chain(locals).chain(["user", "daemon"]))
}

impl Options {
    /// The facility's number of RFC 5424 §6.2.1.
    pub(crate) fn facility(&self) -> u8 {
        match self.log_facility.as_str() {
            "user" => 1,
            "daemon" => 3,
            local => 16 + local.trim_start_matches("local").parse::<u8>().unwrap_or(0),
        }
    }

    /// The control socket, if there is to be one.
    pub(crate) fn control(&self) -> Option<PathBuf> {
        (self.control != Path::new("none")).then(|| self.control.clone())
    }

    /// What was asked for and makes no difference, with the reason.
    pub(crate) fn notices(&self) -> Vec<String> {
        let it = &self.without_meaning;
        let notices = [
            (it.no_bfd, "--no_bfd: there is no BFD here"),
            (it.all, "--all: what has no configuration does not run"),
            (it.flush_log_file, "--flush-log-file: every line is written at once"),
            (it.release_vips, "--release-vips: addresses are always released"),
            (
                it.dont_release_vrrp,
                "--dont-release-vrrp: the addresses are released at the end, for nobody would look after them",
            ),
            (it.dont_release_ipvs, "--dont-release-ipvs: the virtual servers are removed at the end"),
            (it.dont_respawn, "--dont-respawn: there is one process, and the service manager starts it again"),
            (it.address_monitoring, "--address-monitoring: what concerns a virtual router is always logged"),
            (it.bfd_pid.is_some(), "--bfd_pid: there is no BFD here"),
            (it.all_config, "--all-config: a file that cannot be read is always an error"),
            (it.snmp || it.snmp_agent_socket.is_some(), "--snmp: there is no SNMP here: see --metrics and vrrpctl"),
            (it.umask.is_some(), "--umask: nothing is created that it would matter to"),
            (
                it.core_dump || it.core_dump_pattern.is_some(),
                "--core-dump: that is for the service manager (LimitCORE)",
            ),
            (it.perf.is_some(), "--perf: use perf record --pid"),
            (it.debug.is_some(), "--debug: see --log-detail"),
        ];
        // Neither says anything: it never forks, and has no memory checks of its own.
        let _ = (it.dont_fork, it.no_mem_check);
        notices.into_iter().filter(|(given, _)| *given).map(|(_, text)| text.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Options {
        Options::try_parse_from(["keepalived"].into_iter().chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn the_options_of_service_files_are_taken() {
        let options = parse("--dont-fork -D -P -f /a.conf -p /p -r /v -c /c -x -S 7 -g /log -i lb1 -l");
        assert_eq!((options.facility(), options.log_detail, options.vrrp), (23, 1, true));
        assert_eq!(options.config_id.as_deref(), Some("lb1"));
        assert_eq!(options.notices().len(), 1, "{:?}", options.notices());
        assert_eq!(parse("").use_file, Path::new("/etc/keepalived/keepalived.conf"));
        assert_eq!(parse("-S local3 -nldD").facility(), 19);
    }

    #[test]
    fn of_an_option_that_is_given_twice_the_last_one_holds() {
        let options = parse("-n -f /a.conf -D -n -f /b.conf -D -p /p --pid=/q");
        assert_eq!((options.use_file.as_path(), options.log_detail), (Path::new("/b.conf"), 2));
        assert_eq!(options.pid.as_deref(), Some(Path::new("/q")));
    }

    #[test]
    fn a_test_of_the_configuration_may_have_a_file() {
        assert_eq!(parse("-t -f /a.conf").config_test, Some(None));
        assert_eq!(parse("--config-test=/out").config_test, Some(Some(PathBuf::from("/out"))));
        assert_eq!(parse("").config_test, None);
    }

    #[test]
    fn every_option_without_a_meaning_is_taken_with_a_notice() {
        let options = parse(
            "-B --all --flush-log-file -X -V -I -R -a -b /b -e -A /s -u 022 -m --core-dump-pattern=x --perf=all --debug=D",
        );
        assert_eq!(options.notices().len(), 15);
        assert!(parse("-n --no-mem-check").notices().is_empty());
    }

    #[test]
    fn there_need_be_no_control_socket() {
        assert_eq!(parse("--control none").control(), None);
        assert_eq!(parse("").control(), Some(PathBuf::from(examples::control::DEFAULT_SOCKET)));
    }
}
