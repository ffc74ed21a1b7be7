//! Who is told of changes: each time once, in order, by nothing that hangs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vrrp_net::lab::Process;

use crate::checks::{Programs, configuration};
use crate::common::{Log, PATIENCE, wait_until};
use crate::network::{Network, VIP};

/// The lines of a file so far.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn each_entry_of_a_state_is_told_once_in_order_with_its_arguments() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let (told, marker) = (programs.file("told"), programs.file("broken"));
    // Later ones are faster: order is not by chance.
    let tell =
        programs.shell("tell", &format!("sleep 0.0$(( 9 - $(wc -l < {0}) % 9 )); echo \"$*\" >> {0}", told.display()));
    std::fs::write(&told, "").expect("a file");
    let check = programs.shell("check", &format!("test ! -e {}", marker.display()));
    let before = format!(
        "[script.chk]\ncommand = \"{check}\"\ninterval = \"50ms\"\n[group.G]\nmembers = [\"VI_1\"]\nnotify = {{ any = \"{tell}.g\" }}"
    );
    programs.shell("tell.g", &format!("echo \"$*\" >> {}.g", told.display()));
    let states = ["active", "backup", "fault", "stop"].map(|state| format!("{state} = \"{tell} to '{state} x'\""));
    let router = format!(
        "name = \"VI_1\"\ntrack-scripts = [\"chk\"]\nnotify = {{ {}, any = \"{tell} any\" }}",
        states.join(", ")
    );
    let mut a = programs.start(&net.a, 150, &router, &before);
    let count = |number| wait_until(PATIENCE, || lines(&told).len() >= number);
    assert!(count(4), "{:#?} {:#?}", lines(&told), a.log().lines());
    std::fs::write(&marker, "").expect("a file");
    assert!(count(6), "{:#?} {:#?}", lines(&told), a.log().lines());
    std::fs::remove_file(&marker).expect("a file");
    assert!(count(10), "{:#?} {:#?}", lines(&told), a.log().lines());
    assert!(a.interrupt().success());
    let expected = [
        ("backup", "BACKUP"),
        ("active", "MASTER"),
        ("fault", "FAULT"),
        ("backup", "BACKUP"),
        ("active", "MASTER"),
        ("stop", "STOP"),
    ];
    let all = expected.iter().flat_map(|(own, word)| [format!("to {own} x"), format!("any INSTANCE VI_1 {word} 150")]);
    assert_eq!(lines(&told), all.collect::<Vec<_>>(), "{:#?}", a.log().lines());
    let of_group = expected.iter().map(|(_, word)| format!("GROUP G {word} 0"));
    assert_eq!(lines(&told.with_extension("g")), of_group.collect::<Vec<_>>());
}

#[test]
fn members_of_a_group_are_told_of_no_state_that_they_only_pass_through() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let (told, marker) = (programs.file("told"), programs.file("broken"));
    let tell = programs.shell("tell", &format!("echo $3 >> {}.$2", told.display()));
    let check = programs.shell("check", &format!("test ! -e {}", marker.display()));
    let before = format!(
        "[script.chk]\ncommand = \"{check}\"\ninterval = \"50ms\"\n\
         [group.G]\nmembers = [\"one\", \"two\"]\ntrack-scripts = [\"chk\"]"
    );
    let notify = format!("notify = {{ any = \"{tell}\" }}");
    let other = "[[router]]\ninterface = \"eth0\"\nvrid = 52\ninterval = \"100ms\"\naddresses = [\"192.0.2.101\"]";
    let routers = format!("name = \"one\"\n{notify}\n{other}\nname = \"two\"\n{notify}");
    let a = programs.start(&net.a, 150, &routers, &before);
    let both = |count| {
        let of = |name| lines(&told.with_extension(name)).len();
        wait_until(PATIENCE, || of("one") >= count && of("two") >= count)
    };
    assert!(both(2), "{:#?}", a.log().lines());
    std::fs::write(&marker, "").expect("a file");
    assert!(both(3), "{:#?}", a.log().lines());
    std::fs::remove_file(&marker).expect("a file");
    assert!(both(5), "{:#?}", a.log().lines());
    for name in ["one", "two"] {
        let expected = ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER"];
        assert_eq!(lines(&told.with_extension(name)), expected, "{name}: {:#?}", a.log().lines());
    }
}

#[test]
fn a_notification_that_hangs_delays_no_election_and_is_ended_so_that_the_next_one_runs() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let told = programs.file("told");
    let hang = programs.shell("hang", "sleep 1000");
    let tell = programs.shell("tell", &format!("echo active >> {}", told.display()));
    let router = format!("notify = {{ backup = \"{hang}\", active = \"{tell}\" }}");
    let mut a = programs.start(&net.a, 150, &router, "notify-timeout = \"1500ms\"\nstop-timeout = \"500ms\"");
    assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
    assert!(lines(&told).is_empty(), "two notifications of one virtual router at once");
    assert!(wait_until(PATIENCE, || lines(&told).len() == 1), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "hang did not end within 1.5s"), "{:#?}", a.log().lines());
    assert!(a.interrupt().success());
}

#[test]
fn a_pipe_is_told_a_line_for_each_change() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let (pipe, told) = (programs.file("pipe"), programs.file("told"));
    let reader = programs.shell("reader", &format!("exec cat \"$1\" >> {}", told.display()));
    let before = format!("[[fifo]]\npath = \"{}\"\nscript = \"{reader}\"", pipe.display());
    let mut a = programs.start(&net.a, 150, "name = \"VI_1\"", &before);
    let expected = ["INSTANCE \"VI_1\" BACKUP 150", "INSTANCE \"VI_1\" MASTER 150"];
    assert!(wait_until(PATIENCE, || lines(&told) == expected), "{:#?} {:#?}", lines(&told), a.log().lines());
    assert!(a.interrupt().success());
    assert!(!pipe.exists(), "it was made by the daemon");
}

/// A mail server for one test: takes every mail, and keeps what was said.
fn mail_server(listener: std::net::TcpListener) -> Arc<Mutex<Vec<String>>> {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&said);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut writer = stream.try_clone().expect("a socket");
            let _ = writer.write_all(b"220 test\r\n");
            let mut data = false;
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let answer: &[u8] = match line.as_str() {
                    "." => b"250 taken\r\n",
                    "DATA" => b"354 go on\r\n",
                    _ if data => b"",
                    "QUIT" => b"221 bye\r\n",
                    _ => b"250 ok\r\n",
                };
                data = line == "DATA" || (data && line != ".");
                kept.lock().expect("a lock").push(line);
                let _ = writer.write_all(answer);
            }
        }
    });
    said
}

#[test]
fn changes_are_mailed_and_a_server_that_is_down_delays_nothing_and_is_named_once() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let marker = programs.file("broken");
    let check = programs.shell("check", &format!("test ! -e {}", marker.display()));
    let before = format!(
        "name = \"lb1\"\nmail = {{ server = \"192.0.2.1\", port = 2525, helo = \"lb1.test\", from = \"vrrp@test\", to = [\"a@test\", \"b@test\"], timeout = \"5s\" }}\n[script.chk]\ncommand = \"{check}\"\ninterval = \"50ms\""
    );
    // Nobody listens at first: the address is this host's own.
    let a = programs.start(&net.a, 150, "name = \"VI_1\"\nmail = true\ntrack-scripts = [\"chk\"]", &before);
    assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "cannot mail"), "{:#?}", a.log().lines());

    let family = i32::from(rustix::net::AddressFamily::INET.as_raw());
    let kind = i32::try_from(rustix::net::SocketType::STREAM.as_raw()).expect("a kind");
    let socket = net.a.host.socket(family, kind, 0).expect("a socket");
    rustix::net::bind(&socket, &std::net::SocketAddr::from(([0, 0, 0, 0], 2525))).expect("a port");
    rustix::net::listen(&socket, 8).expect("a port");
    let said = mail_server(socket.into());
    std::fs::write(&marker, "").expect("a file");
    let has = |text: &str| said.lock().expect("a lock").iter().any(|line| line.contains(text));
    assert!(wait_until(PATIENCE, || has("Entering FAULT state")), "{:#?}", a.log().lines());
    assert!(a.log().wait_for(PATIENCE, "mail goes out again"), "{:#?}", a.log().lines());
    for text in [
        "EHLO lb1.test",
        "MAIL FROM:<vrrp@test>",
        "RCPT TO:<a@test>",
        "RCPT TO:<b@test>",
        "Subject: [lb1] VRRP Instance VI_1",
    ] {
        assert!(has(text), "{text:?} is not in {:#?}", said.lock().expect("a lock"));
    }
    assert_eq!(a.log().matching("cannot mail").len(), 1, "{:#?}", a.log().lines());
}

#[test]
fn a_service_manager_hears_of_the_start_each_reload_its_watchdog_and_the_end() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let socket = programs.file("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let next = |wanted: &str| {
        let mut octets = [0; 512];
        loop {
            let length = manager.recv(&mut octets).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            let text = String::from_utf8_lossy(&octets[..length]).into_owned();
            if text.lines().any(|line| line.starts_with(wanted)) {
                return text;
            }
        }
    };
    let path = programs.0.write("a.toml", &configuration(150, "", ""));
    let mut command = net.a.host.command(env!("CARGO_BIN_EXE_vrrpd"));
    command.args(["--config", &path.display().to_string()]).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "200000");
    let mut process = Process::start(&mut command).expect("vrrpd");
    let log = Log::of(&mut process);
    next("READY=1");
    next("WATCHDOG=1");
    next("WATCHDOG=1");
    next("STATUS=Active for 1,");
    let signal = |signal| {
        let pid = i32::try_from(process.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a number");
        rustix::process::kill_process(pid, signal).expect("a signal");
    };
    signal(rustix::process::Signal::HUP);
    let text = next("RELOADING=1");
    let stamp = text.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("a time");
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = u64::try_from(now.tv_sec).expect("a time") * 1_000_000;
    assert!(stamp.parse::<u64>().is_ok_and(|stamp| stamp <= now + 1_000_000 && stamp + 60_000_000 > now), "{text}");
    next("READY=1");
    signal(rustix::process::Signal::TERM);
    next("STOPPING=1");
    assert!(process.wait(PATIENCE).expect("wait").is_some_and(|status| status.success()), "{:#?}", log.lines());
    assert!(net.a.loses_vip(Duration::from_millis(1)), "{VIP} is still there");
}
