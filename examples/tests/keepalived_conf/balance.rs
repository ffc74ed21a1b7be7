//! What a director is to do for what a keepalived.conf says.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use examples::daemon::config::{Command, DirectorConfig, RealServerNotify, ServerNotify, User};
use examples::keepalived::{Disk, Options, build, read};
use vrrp_ipvs::check::dns::{Dns, Record};
use vrrp_ipvs::check::http::{Http, Pattern, StatusRange, Url, Version};
use vrrp_ipvs::check::smtp::Smtp;
use vrrp_ipvs::check::tls::Tls;
use vrrp_ipvs::check::udp::{Reply, Udp};
use vrrp_ipvs::check::{Check, Origin, Probe, Schedule, command, file};
use vrrp_ipvs::director::{Exception, Standby, Sync, VirtualServer};
use vrrp_ipvs::service::{Family, Frontend, RealServer, SorryServer};
use vrrp_ipvs::{
    Forwarding, Granularity, Persistence, PersistenceEngine, Protocol, Scheduler, SchedulerFlags, Timeouts, Tunnel,
    TunnelChecksum,
};

use crate::reading;

/// What the director is to do, and what is said about the text.
#[track_caller]
fn built(text: &str) -> (DirectorConfig, String) {
    let mut reading = reading(text);
    let director = build::config(&mut reading).director.expect("something is balanced");
    (director, reading.report.display(&reading.sources).to_string())
}

/// The same, without a word about the text.
#[track_caller]
fn silent(text: &str) -> DirectorConfig {
    let (director, said) = built(text);
    assert_eq!(said, "");
    director
}

/// The only virtual server.
#[track_caller]
fn server(text: &str) -> VirtualServer {
    let director = silent(text);
    let [server] = <[VirtualServer; 1]>::try_from(director.config.virtual_servers).expect("one virtual server");
    server
}

/// With these lines in a virtual server that has one real server.
fn virtual_server(lines: &str) -> String {
    format!("virtual_server 192.0.2.1 80 {{ protocol TCP\n{lines}\nreal_server 192.0.2.2 8080\n{{\n}}\n}}\n")
}

/// The only check of a real server with these lines.
#[track_caller]
fn check(lines: &str) -> Check {
    only_check(&format!(
        "virtual_server 192.0.2.1 80 {{ protocol TCP\nreal_server 192.0.2.2 8080 {{\n{lines}\n}}\n}}\n"
    ))
}

#[track_caller]
fn only_check(text: &str) -> Check {
    let [real] = <[RealServer; 1]>::try_from(server(text).pool.servers).expect("one real server");
    let [check] = <[Check; 1]>::try_from(real.checks).expect("one check");
    check
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

fn run(words: &str, user: Option<User>) -> Option<Command> {
    Some(Command::from_words(words.split(' ').map(str::to_owned)).unwrap().as_user(user))
}

const ROOT: Option<User> = Some(User { uid: 0, gid: 0 });

#[test]
fn lvs_dr_becomes_what_its_row_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/lvs-dr/node1.conf");
    let mut reading = read(&path, &Disk, &Options::new("main"));
    let config = build::config(&mut reading);
    assert!(!reading.report.has_errors(), "{}", reading.report.display(&reading.sources));
    config.validate().unwrap();
    let group: IpAddr = "224.0.100.19".parse().unwrap();
    assert!(format!("{:?}", config.routers[0].config).contains(&group.to_string()));
    let director = config.director.unwrap();
    // Each is a real server of the other.
    assert_eq!(director.config.standby, Standby::Cold);
    assert_eq!(director.routers, ["VI_1"]);
    let [server] = director.config.virtual_servers.as_slice() else { panic!("one virtual server") };
    assert_eq!(server.frontends.frontends(), [Frontend::Address("172.25.0.200".parse().unwrap(), 80)]);
    assert_eq!((server.protocol, &server.scheduler), (Protocol::Tcp, &Scheduler::ROUND_ROBIN));
    assert_eq!((server.forwarding, server.persistence), (Forwarding::Direct, None));
    assert_eq!(server.pool.sorry_server, Some(SorryServer { address: address("127.0.0.1:80"), inhibit: false }));
    for (real, host) in server.pool.servers.iter().zip(["172.25.0.33:80", "172.25.0.34:80"]) {
        assert_eq!((real.address, real.weight, real.inhibit_on_failure), (address(host), 1, false));
        let [check] = real.checks.as_slice() else { panic!("one check") };
        let page = Url { path: "/index.html".into(), ..Url::default() };
        let http = Http { urls: vec![page], version: Version::Http10, ..Http::default() };
        assert_eq!((check.target, &check.probe), (address(host), &Probe::Http(http)));
        let schedule = Schedule {
            delay_loop: 6 * SECOND,
            connect_timeout: 3 * SECOND,
            retry: Some(3),
            delay_before_retry: Some(3 * SECOND),
            ..Schedule::default()
        };
        assert_eq!(check.schedule, schedule);
    }
    assert_eq!(server.pool.servers.len(), 2);
    assert_eq!(director.notify[0].label, "[172.25.0.200]:tcp:80");
}

#[test]
fn a_virtual_server_has_what_each_of_its_keywords_says() {
    let default = server(&virtual_server(""));
    assert_eq!(default.scheduler, Scheduler::WEIGHTED_LEAST_CONNECTION);
    assert_eq!((default.forwarding, default.protocol), (Forwarding::Masquerade, Protocol::Tcp));
    let after = |lines| server(&virtual_server(lines));

    assert_eq!(after("lb_algo mh").scheduler, Scheduler::MAGLEV_HASH);
    let flags = |flag_1, flag_2, flag_3| SchedulerFlags { flag_1, flag_2, flag_3 };
    assert_eq!(after("sh-fallback").scheduler_flags, flags(true, false, false));
    assert_eq!(after("mh-port").scheduler_flags, flags(false, true, false));
    assert_eq!(after("flag-3").scheduler_flags, flags(false, false, true));
    assert!(after("protocol UDP\nops").one_packet);
    assert_eq!(after("protocol SCTP").protocol, Protocol::Sctp);
    // Nobody would think so, and keepalived does.
    let (unsaid, said) = built(&virtual_server("").replace("protocol TCP", ""));
    assert_eq!(unsaid.config.virtual_servers[0].protocol, Protocol::Udp);
    assert!(said.contains("no protocol is given: UDP is balanced, as by keepalived"), "{said}");
    assert_eq!(after("lb_kind DR").forwarding, Forwarding::Direct);
    assert_eq!(after("lvs_method TUN").forwarding, Forwarding::Tunnel(Tunnel::Ipip));
    assert_eq!(after("lvs_method TUN type gre csum").forwarding, Forwarding::Tunnel(Tunnel::Gre { checksum: true }));
    let gue = Tunnel::Gue { port: 6080.try_into().unwrap(), checksum: TunnelChecksum::Remote };
    assert_eq!(after("lvs_method TUN type gue port 6080 remcsum").forwarding, Forwarding::Tunnel(gue));

    let persistence = |timeout_seconds, granularity| Some(Persistence { timeout_seconds, granularity });
    assert_eq!(after("persistence_timeout 0").persistence, None);
    assert_eq!(after("persistence_timeout").persistence, persistence(360, Granularity::Host));
    let mask = Granularity::Netmask("255.255.255.0".parse().unwrap());
    let both = after("persistence_timeout 50\npersistence_granularity 255.255.255.0");
    assert_eq!(both.persistence, persistence(50, mask));
    assert_eq!(
        after("protocol UDP\npersistence_timeout 5\npersistence_engine sip").engine,
        Some(PersistenceEngine::SIP)
    );

    let pool = after("quorum 5\nhysteresis 2\nomega\nalpha").pool;
    assert_eq!((pool.quorum, pool.hysteresis, pool.omega, pool.ha_suspend), (5, 2, true, false));
    assert_eq!(after("weight 7").pool.servers[0].weight, 7);
    assert!(after("inhibit_on_failure").pool.servers[0].inhibit_on_failure);
    let sorry = after("sorry_server 192.0.2.9\nsorry_server_inhibit\nsorry_server_lvs_method DR");
    assert_eq!(sorry.pool.sorry_server, Some(SorryServer { address: address("192.0.2.9:80"), inhibit: true }));
    let exception = |server, forwarding, upper_threshold, lower_threshold| Exception {
        server: address(server),
        forwarding,
        upper_threshold,
        lower_threshold,
    };
    assert_eq!(sorry.exceptions, [exception("192.0.2.9:80", Some(Forwarding::Direct), 0, 0)]);

    let text = "virtual_server 192.0.2.1 80 { protocol TCP\nreal_server 192.0.2.2 {\nweight 3\nlvs_method DR\nuthreshold 9\nlthreshold 4\n\
                inhibit_on_failure\n}\n}\n";
    let own = server(text);
    assert_eq!(own.exceptions, [exception("192.0.2.2:80", Some(Forwarding::Direct), 9, 4)]);
    let real = RealServer { weight: 3, inhibit_on_failure: true, ..RealServer::new(address("192.0.2.2:80")) };
    assert_eq!(own.pool.servers, [real]);
}

#[test]
fn a_virtual_server_is_reached_where_it_says() {
    let text =
        |frontend: &str| format!("virtual_server {frontend} {{ protocol TCP\nreal_server 192.0.2.2 80 {{\n}}\n}}\n");
    let at = |text: &str| server(text).frontends.frontends();
    let label = |text: &str| silent(text).notify[0].label.clone();
    assert_eq!(at(&text("fwmark 5")), [Frontend::Mark(5, Family::Inet)]);
    assert_eq!(label(&text("fwmark 5")), "FWM 5");
    let group = "virtual_server_group web {\n192.0.2.1-2 80\nfwmark 3\n}\n".to_owned() + &text("group web");
    let frontend = |address: &str| Frontend::Address(address.parse().unwrap(), 80);
    assert_eq!(at(&group), [frontend("192.0.2.1"), frontend("192.0.2.2"), Frontend::Mark(3, Family::Inet)]);
    assert_eq!(label(&group), "[web]:0");
    assert_eq!(label(&text("2001:db8::1 53").replace("192.0.2.2", "2001:db8::2")), "[2001:db8::1]:tcp:53");
    // A mark has the family of what gets its packets.
    let v6 = text("fwmark 5").replace("192.0.2.2", "2001:db8::2");
    assert_eq!(at(&v6), [Frontend::Mark(5, Family::Inet6)]);
    let tunnelled = "virtual_server fwmark 5 {\nip_family inet6\nlvs_method TUN\nreal_server 192.0.2.2 {\n}\n}\n";
    assert_eq!(at(tunnelled), [Frontend::Mark(5, Family::Inet6)]);
}

#[test]
fn timing_comes_from_the_checker_then_the_real_server_then_the_virtual_server() {
    let text = |server: &str, real: &str, check: &str| {
        format!(
            "virtual_server 192.0.2.1 80 {{ protocol TCP\n{server}\nreal_server 192.0.2.2 80 {{\n{real}\nTCP_CHECK {{\n{check}\n}}\n}}\n}}\n"
        )
    };
    let schedule = |server: &str, real: &str, check: &str| only_check(&text(server, real, check)).schedule;
    assert_eq!(schedule("", "", ""), Schedule::default());
    let lines = |number: u32| {
        format!(
            "delay_loop {number}\nconnect_timeout {number}\nretry {number}\ndelay_before_retry {number}\nwarmup {number}"
        )
    };
    let all = |number: u32| Schedule {
        delay_loop: number * SECOND,
        connect_timeout: number * SECOND,
        retry: Some(number),
        delay_before_retry: Some(number * SECOND),
        warmup: Some(number * SECOND),
        ..Schedule::default()
    };
    assert_eq!(schedule(&lines(1), "", ""), all(1));
    assert_eq!(schedule(&lines(1), &lines(2), ""), all(2));
    assert_eq!(schedule(&lines(1), &lines(2), &lines(3)), all(3));
    assert!(schedule("alpha", "", "").alpha && !schedule("alpha", "alpha off", "").alpha);
    assert_eq!(schedule("delay_loop 0.25", "", "").delay_loop, SECOND / 4);
    assert_eq!(schedule("warmup 0", "", "").warmup, Some(Duration::ZERO));
}

#[test]
fn each_checker_asks_what_it_says() {
    let common = "connect_ip 192.0.2.3\nconnect_port 81\nbindto 192.0.2.4\nbind_port 82\nbind_if eth1\nfwmark 6\nlog_all_failures";
    let tcp = check(&format!("TCP_CHECK {{\n{common}\n}}"));
    let origin = Origin {
        address: Some("192.0.2.4".parse().unwrap()),
        port: Some(82),
        interface: Some("eth1".into()),
        fwmark: Some(6),
    };
    assert_eq!((tcp.target, tcp.origin, tcp.probe), (address("192.0.2.3:81"), origin, Probe::Tcp));
    assert!(tcp.say_all_failures);
    let plain = check("PING_CHECK {\n}");
    assert_eq!(plain, Check::new(address("192.0.2.2:8080"), Probe::Ping));

    let smtp = Smtp { helo_name: "us".into() };
    assert_eq!(check("SMTP_CHECK {\nhelo_name us\n}").probe, Probe::Smtp(smtp));
    let dns = Dns { name: "example.org".into(), record: Record::Aaaa };
    assert_eq!(check("DNS_CHECK {\ntype AAAA\nname example.org\n}").probe, Probe::Dns(dns));
    let reply = Reply { prefix: vec![0xff, 0], mask: vec![0xff, 0xf0], min_length: 1, max_length: 9 };
    let udp = Udp { payload: Some(vec![0xab, 0x12]), reply: Some(reply) };
    let lines = "payload Ab12\nrequire_reply ff0x\nmin_reply_length 1\nmax_reply_length 9";
    assert_eq!(check(&format!("UDP_CHECK {{\n{lines}\n}}")).probe, Probe::Udp(udp));

    let track = "track_file load {\nfile /run/load\nweight -3\n}\n";
    let text = |lines: &str| {
        let check = format!("FILE_CHECK {{\ntrack_file load\n{lines}\n}}");
        format!(
            "{track}virtual_server 192.0.2.1 80 {{ protocol TCP\nretry 9\nreal_server 192.0.2.2 80 {{\n{check}\n}}\n}}\n"
        )
    };
    let file = |weight, reverse, fixed| file::File { path: "/run/load".into(), weight, reverse, fixed };
    assert_eq!(only_check(&text("")).probe, Probe::File(file(-3, false, true)));
    assert_eq!(only_check(&text("weight 5 reverse\ndynamic")).probe, Probe::File(file(5, true, false)));
    assert_eq!(only_check(&text("")).schedule.retry, None, "a file is not asked again");
}

#[test]
fn pages_are_asked_for_as_they_are_described() {
    let digest = "9b3a0c85a887a256d6939da88aabd8cd";
    let lines = format!(
        "http_protocol 1.1\nvirtualhost three\nurl {{\npath /a\ndigest {digest}\nvirtualhost four\n}}\n\
         url {{\npath /b\nstatus_code 200 300-399\nregex \"up|ok\"\nregex_no_match\nregex_options caseless\n\
         regex_min_offset 3\nregex_max_offset 9\n}}"
    );
    let status = |first, last| StatusRange { first, last };
    let one =
        Url { path: "/a".into(), digest: Some(digest.into()), virtual_host: Some("four".into()), ..Url::default() };
    let pattern = Pattern { expression: "(?i)up|ok".into(), negate: true, min_offset: 3, max_offset: Some(9) };
    let two = Url {
        path: "/b".into(),
        status: vec![status(200, 200), status(300, 399)],
        regex: Some(pattern),
        ..Url::default()
    };
    let http = |host: Option<&str>, urls: &[&Url]| Http {
        urls: urls.iter().map(|url| (*url).clone()).collect(),
        virtual_host: host.map(str::to_owned),
        ..Http::default()
    };
    let text = |hosts: [&str; 2], check: &str| {
        let [outer, inner] = hosts;
        format!(
            "virtual_server 192.0.2.1 80 {{ protocol TCP\n{outer}\nreal_server 192.0.2.2 80 {{\n{inner}\n{check}\n}}\n}}\n"
        )
    };
    let probe = |hosts, check: &str| only_check(&text(hosts, check)).probe;
    assert_eq!(
        probe(["virtualhost one", "virtualhost two"], &format!("HTTP_GET {{\n{lines}\n}}")),
        Probe::Http(http(Some("three"), &[&one, &two]))
    );
    // The host of the real server, then that of the virtual server; HTTP/1.0 unless another is asked for.
    let page = "url {\npath /\n}";
    let old = |host| Probe::Http(Http { version: Version::Http10, ..http(host, &[&Url::default()]) });
    let get = format!("HTTP_GET {{\n{page}\n}}");
    assert_eq!(probe(["virtualhost one", "virtualhost two"], &get), old(Some("two")));
    assert_eq!(probe(["virtualhost one", ""], &get), old(Some("one")));
    assert_eq!(probe(["", ""], &get), old(None));

    let Probe::Https { http, tls } = probe(["", ""], &format!("SSL_GET {{\nvirtualhost v\nenable_sni\n{page}\n}}"))
    else {
        panic!("SSL_GET is TLS")
    };
    assert_eq!(http.virtual_host.as_deref(), Some("v"));
    assert_eq!(tls, Tls { server_name: Some("v".into()), ..Tls::default() });
    let Probe::Https { tls, .. } = probe(["virtualhost v", ""], &format!("SSL_GET {{\n{page}\n}}")) else {
        panic!("SSL_GET is TLS")
    };
    assert_eq!(tls, Tls::default());
}

#[test]
fn programs_run_as_their_user_or_as_that_of_all() {
    let misc = |global: &str, lines: &str| {
        let text = "virtual_server 192.0.2.1 80 { protocol TCP\nreal_server 192.0.2.2 80 {\nMISC_CHECK {\n";
        only_check(&format!("global_defs {{\n{global}\n}}\n{text}{lines}\n}}\n}}\n}}\n")).probe
    };
    let command = command::Command {
        program: "/bin/check".into(),
        arguments: vec!["a b".into(), "c".into()],
        timeout: None,
        dynamic: false,
        user: Some(0),
        group: Some(0),
    };
    let path = "misc_path \"/bin/check 'a b' c\"";
    assert_eq!(misc("script_user root", path), Probe::Command(command.clone()));
    let all = format!("{path}\nmisc_timeout 4\nmisc_dynamic\nuser root daemon");
    let own = command::Command { timeout: Some(4 * SECOND), dynamic: true, group: Some(1), ..command };
    assert_eq!(misc("", &all), Probe::Command(own));
    // One that is named without a folder is looked for once, here.
    let Probe::Command(found) = misc("script_user root", "misc_path true") else { panic!("a program") };
    assert!(found.program.is_absolute(), "{found:?}");
}

#[test]
fn who_is_told_of_servers_is_as_the_file_says() {
    let text = "global_defs {\nscript_user root\n}\nvirtual_server 192.0.2.1 80 { protocol TCP\nquorum_up \"/bin/q up\"\n\
                quorum_down /bin/down root\nreal_server 192.0.2.2 80 {\nnotify_up \"/bin/up 1\"\nnotify_down /bin/down\n}\n}\n";
    let told = |more: &str| {
        let text = text.replace("script_user", &format!("{more}\nscript_user"));
        let [told] = <[ServerNotify; 1]>::try_from(silent(&text).notify).expect("one virtual server");
        told
    };
    let real = RealServerNotify {
        server: address("192.0.2.2:80"),
        up: run("/bin/up 1", ROOT),
        down: run("/bin/down", ROOT),
        mail: true,
    };
    let expected = ServerNotify {
        virtual_server: "[192.0.2.1]:tcp:80".into(),
        label: "[192.0.2.1]:tcp:80".into(),
        quorum_up: run("/bin/q up", ROOT),
        quorum_down: run("/bin/down", ROOT),
        mail: false,
        real_servers: vec![real],
    };
    assert_eq!(told(""), expected);
    let mails = |more: &str| {
        let told = told(more);
        (told.mail, told.real_servers[0].mail)
    };
    assert_eq!(mails("smtp_alert"), (true, true));
    assert_eq!(mails("smtp_alert off"), (false, false));
    assert_eq!(mails("smtp_alert\nsmtp_alert_checker off"), (false, false));
    let own = text.replace("quorum_up", "smtp_alert\nquorum_up").replace("notify_up", "smtp_alert off\nnotify_up");
    let own = silent(&own).notify;
    assert_eq!((own[0].mail, own[0].real_servers[0].mail), (true, false));
}

const ROUTER: &str =
    "vrrp_instance V {\ninterface eth0\nvirtual_router_id 7\npriority 100\nvirtual_ipaddress {\n192.0.2.1/24\n}\n}\n";

#[test]
fn what_holds_for_all_of_ipvs_reaches_the_director() {
    let with = |global: &str| silent(&format!("global_defs {{\n{global}\n}}\n{ROUTER}{}", virtual_server("")));
    let default = with("");
    assert!(!default.whole_table && !default.initial_notices && default.timeouts.is_none());
    assert_eq!(default.config.sync, None);
    assert!(with("lvs_flush").whole_table);
    assert!(with("lvs_flush_on_stop VS").config.sync.is_none());
    assert!(with("rs_init_notifies").initial_notices);
    let timeouts = Timeouts { tcp_seconds: 5, tcp_fin_seconds: 0, udp_seconds: 7 };
    assert_eq!(with("lvs_timeouts tcp 5 udp 7").timeouts, Some(timeouts));
    let follows = with("lvs_sync_daemon eth1 V");
    assert_eq!(follows.config.sync, Some(Sync::new("eth1", 7)));
    assert_eq!(follows.routers, ["V"]);
    let group = Some("224.0.0.82".parse().unwrap());
    let all = with("lvs_sync_daemon eth1 inst V id 9 maxlen 1000 port 99 ttl 3 group 224.0.0.82");
    let sync = Sync { max_length: Some(1000), group, port: Some(99), ttl: Some(3), ..Sync::new("eth1", 9) };
    assert_eq!(all.config.sync, Some(sync));
    let server = &silent(&format!(
        "global_defs {{\nchecker_log_all_failures\n}}\n{}",
        virtual_server("").replace("8080\n{", "8080 {\nTCP_CHECK {\n}")
    ))
    .config
    .virtual_servers[0];
    assert!(server.pool.servers[0].checks[0].say_all_failures);
    // Without a virtual server too, for those that ipvsadm has made.
    assert!(silent(&format!("global_defs {{\nlvs_sync_daemon eth1 V\n}}\n{ROUTER}")).config.sync.is_some());
    assert!(build::config(&mut reading(ROUTER)).director.is_none());
}

#[test]
fn the_table_of_a_backup_is_empty_where_packets_could_go_round_in_circles() {
    let standby = |more: &str, lines: &str| silent(&format!("{more}{}", virtual_server(lines))).config.standby;
    assert_eq!(standby(ROUTER, "lb_kind DR"), Standby::Cold);
    assert_eq!(standby(ROUTER, "lb_kind TUN"), Standby::Cold);
    assert_eq!(standby(ROUTER, "lb_kind NAT"), Standby::Warm);
    // It must be balanced whatever the roles are.
    assert_eq!(standby("", "lb_kind DR"), Standby::Warm);
    assert_eq!(standby(&ROUTER.replace("192.0.2.1/", "192.0.2.5/"), "lb_kind DR"), Standby::Warm);
    let mark = format!(
        "{ROUTER}{}virtual_server fwmark 5 {{\nreal_server 192.0.2.2 {{\n}}\n}}\n",
        virtual_server("lb_kind DR")
    );
    assert_eq!(silent(&mark).config.standby, Standby::Warm);
    // All addresses of a group count.
    let group = |last: &str| {
        let group = format!("virtual_server_group g {{\n192.0.2.1{last} 80\n}}\n");
        silent(&(ROUTER.to_owned() + &group + &virtual_server("lb_kind DR").replace("192.0.2.1 80", "group g")))
    };
    assert_eq!((group("").config.standby, group("").routers), (Standby::Cold, vec!["V".to_owned()]));
    assert_eq!((group("-2").config.standby, group("-2").routers), (Standby::Warm, vec!["V".to_owned()]));
}

/// What is said about a text, in one line each.
fn lines(text: &str) -> Vec<String> {
    let mut reading = reading(text);
    build::config(&mut reading);
    reading.report.diagnostics().iter().map(|diagnostic| diagnostic.line(&reading.sources)).collect()
}

#[test]
fn what_cannot_be_done_is_said_with_its_place() {
    let misc = "virtual_server 192.0.2.1 80 { protocol TCP\nreal_server 192.0.2.2 80 {\nMISC_CHECK {\nmisc_path /no/such\nuser root\n}\n}\n}\n";
    let ssl = |lines: &str| {
        format!(
            "SSL {{\n{lines}\n}}\nvirtual_server 192.0.2.1 80 {{ protocol TCP\nreal_server 192.0.2.2 80 {{\nSSL_GET {{\nurl {{\npath /\n}}\n}}\n}}\n}}\n"
        )
    };
    let global = |lines: &str| format!("global_defs {{\n{lines}\n}}\n{ROUTER}");
    let nobody = virtual_server("quorum_up /bin/x nobody-at-all");
    for (text, expected) in [
        (
            virtual_server("persistence_granularity 255.0.0.0"),
            "k.conf:1:1: warning: persistence_granularity has no effect",
        ),
        (global("lvs_sync_daemon eth0"), "k.conf:2:17: warning: no synchronisation daemon runs"),
        (global("lvs_sync_daemon eth0 id 5"), "k.conf:2:17: warning: one synchronisation daemon runs"),
        (global("lvs_flush\nlvs_flush_on_stop"), "k.conf:3:1: warning: lvs_flush_on_stop is not supported"),
        (virtual_server("ha_suspend"), ""),
        (ROUTER.to_owned() + &virtual_server("ha_suspend"), ""),
        (ROUTER.replace(".1/", ".5/") + &virtual_server("ha_suspend"), "while no vrrp_instance is MASTER here"),
        (ROUTER.replace("V {", "W {") + ROUTER + &virtual_server("ha_suspend"), "warning: ha_suspend: the checks rest"),
        (nobody, "k.conf:2:11: warning: there is no user \"nobody-at-all\" on this host"),
        (ssl("ca /etc/ca.pem"), "k.conf:2:4: warning: ca has no effect"),
        (ssl("key /etc/key.pem"), "k.conf:2:5: warning: key has no effect without certificate"),
        (ssl("certificate /no/such.pem"), "k.conf:2:13: error: cannot read /no/such.pem"),
        (format!("global_defs {{\nenable_script_security\n}}\n{misc}"), ":7:11: warning: this check is not made"),
        (
            "virtual_server fwmark 5 {\nreal_server 192.0.2.2 {\nTCP_CHECK {\n}\n}\n}\n".into(),
            "k.conf:3:1: error: there is no port to ask: write connect_port",
        ),
        (
            "virtual_server fwmark 5 {\nreal_server 192.0.2.2 {\nDNS_CHECK {\n}\n}\n}\n".into(),
            "k.conf:3:1: warning: port 53 is asked",
        ),
        (
            virtual_server("") + &virtual_server(""),
            "k.conf:7:1: error: there is a virtual_server [192.0.2.1]:tcp:80 already",
        ),
        (
            virtual_server("real_server 192.0.2.2 8080 {\n}"),
            "k.conf:1:1: error: virtual server \"[192.0.2.1]:tcp:80\": 192.0.2.2:8080 is there twice",
        ),
        (
            virtual_server("").replace("{\n}", "{\nTCP_CHECK {\nbindto 2001:db8::1\n}\n}"),
            "k.conf:5:1: error: source address 2001:db8::1 and target 192.0.2.2 are of different families",
        ),
    ] {
        let said = lines(&text);
        let found = if expected.is_empty() { said.is_empty() } else { said.iter().any(|line| line.contains(expected)) };
        assert!(found, "{expected:?} is not in {said:#?} about\n{text}");
    }
}

#[test]
fn a_certificate_and_its_key_are_shown_to_those_who_ask() {
    let folder = std::env::temp_dir().join(format!("keepalived-ssl-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let subject = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=us", "-days", "2"];
    let made = std::process::Command::new("openssl")
        .args(subject)
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output();
    assert!(made.is_ok_and(|output| output.status.success()), "openssl makes a certificate");
    let text = format!(
        "SSL {{\ncertificate {}\nkey {}\n}}\nvirtual_server 192.0.2.1 443 {{ protocol TCP\nreal_server 192.0.2.2 443 {{\nSSL_GET {{\nurl {{\npath /\n}}\n}}\n}}\n}}\n",
        certificate.display(),
        key.display()
    );
    let Probe::Https { tls, .. } = only_check(&text).probe else { panic!("SSL_GET is TLS") };
    let identity = tls.identity.expect("an identity");
    assert_eq!(identity.certificates, std::fs::read_to_string(&certificate).unwrap());
    assert_eq!(identity.key, std::fs::read_to_string(&key).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}
