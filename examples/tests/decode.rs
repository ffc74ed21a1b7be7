//! `decode` as people call it: packets in hexadecimal, captures, test vectors, and things that are none of these.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// V3-4-01M: VRRPv3 over IPv4, VRID 51, priority 100, 1 s, 192.0.2.100.
const PAYLOAD: &str = "313364010064a802c0000264";
/// The same in its IP datagram.
const DATAGRAM: &str = "45c0002000010000ff701898c0000202e0000012313364010064a802c0000264";
const ETHERNET: &str = "01005e00001202000000000b0800";
/// K-03 of keepalived: VRRPv2 with the password 1234 and three addresses.
const PASSWORD: &str =
    "45c0003000010000ff701889c0000201e00000122133960301019c30c0000264c0000265c00002663132333400000000";
/// K-11 of keepalived: signed with key 1 at 1795173938.
const SIGNED: &str = "45c0003c00010000ff70187dc0000201e0000012313396010064d371c0000264010100006b003224bfee000034dc25009bf440c0569cc09da30e107f";
const KEY: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct Answer {
    code: i32,
    out: String,
    complaint: String,
}

impl Answer {
    /// The value of a field of the only packet.
    fn field(&self, name: &str) -> &str {
        let rows = self.out.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(' '));
        let mut values = rows.filter(|(field, _)| *field == name).map(|(_, value)| value.trim());
        let value = values.next().unwrap_or_else(|| panic!("no {name} in {}{}", self.out, self.complaint));
        assert_eq!(values.next(), None, "{name} twice in {}", self.out);
        value
    }

    #[track_caller]
    fn accepts(&self) {
        assert_eq!((self.code, self.field("verdict")), (0, "accept"), "{}", self.out);
    }

    #[track_caller]
    fn discards(&self, reason: &str) {
        assert_eq!((self.code, self.field("verdict")), (0, "discard"), "{}", self.out);
        assert_eq!(self.field("reason").split(": ").next(), Some(reason), "{}", self.out);
    }
}

fn decode(arguments: &[&str]) -> Answer {
    decode_stdin(arguments, b"")
}

fn decode_stdin(arguments: &[&str], input: &[u8]) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decode"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It need not read it all.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    let answer =
        Answer { code: output.status.code().unwrap(), out: text(output.stdout), complaint: text(output.stderr) };
    assert!(!answer.complaint.contains("panicked"), "{}", answer.complaint);
    answer
}

/// A file for one test, which goes with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("decode-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_datagram_is_shown_field_by_field() {
    let answer = decode(&[DATAGRAM]);
    answer.accepts();
    assert!(answer.out.starts_with("1: 192.0.2.2 > 224.0.0.18, TTL 255, 12 octets\n"), "{}", answer.out);
    let fields = ["version", "type", "vrid", "priority", "interval", "count", "addresses", "checksum", "trailer"];
    let wanted = ["3", "1 (ADVERTISEMENT)", "51", "100", "1.00 s", "1", "192.0.2.100", "0xa802 (message only)", "none"];
    assert_eq!(fields.map(|field| answer.field(field)), wanted);
}

#[test]
fn octets_may_be_set_in_any_way() {
    let with = |separator: &str| {
        let pairs: Vec<_> = (0..DATAGRAM.len()).step_by(2).map(|at| &DATAGRAM[at..at + 2]).collect();
        pairs.join(separator)
    };
    let plain = decode(&[DATAGRAM]).out;
    for text in
        [with(" "), with(":"), DATAGRAM.to_uppercase(), format!("0x{DATAGRAM}"), format!("{ETHERNET}{DATAGRAM}")]
    {
        assert_eq!(decode(&[&text]).out, plain, "{text}");
    }
    let pieces = with(" ");
    assert_eq!(decode(&pieces.split(' ').collect::<Vec<_>>()).out, plain);
    let vlan = format!("01005e00001202000000000b8100000a0800{DATAGRAM}");
    assert_eq!(decode(&[&vlan]).out, plain);
}

#[test]
fn a_payload_needs_its_addresses() {
    let answer = decode(&["--source", "192.0.2.2", PAYLOAD]);
    answer.accepts();
    assert_eq!(answer.out, decode(&[DATAGRAM]).out);
    decode(&["--source", "192.0.2.2", "--ttl", "254", PAYLOAD]).discards("ip-ttl");
    // Another destination, another pseudo-header.
    let unicast = ["--source", "192.0.2.2", "--destination", "192.0.2.1", "3133640100642382c0000264"];
    assert_eq!(decode(&unicast).field("checksum"), "0x2382 (with pseudo-header)");
    let answer = decode(&[PAYLOAD]);
    assert_eq!(answer.code, 2);
    assert!(answer.complaint.contains("--source"), "{}", answer.complaint);
}

#[test]
fn what_is_discarded_is_shown_with_reason_and_counter() {
    let answer = decode(&["--source", "192.0.2.2", "313364010064a803c0000264"]);
    answer.discards("checksum");
    assert_eq!(answer.field("reason"), "checksum: the checksum does not verify");
    assert_eq!(answer.field("counter"), "checksum-errors (RFC 8347)");
    let wrong = "0xa803 (wrong: it would be 0xa802 (message only) or 0x0571 (with pseudo-header))";
    assert_eq!(answer.field("checksum"), wrong);
    let short = decode(&["--source", "192.0.2.2", "31336401"]);
    short.discards("too-short");
    assert_eq!(short.field("counter"), "packet-length-errors (RFC 8347)");
    assert_eq!(
        decode(&["45c0002000010000ff061898c0000202e0000012313364010064a802c0000264"]).field("counter"),
        "none in RFC 8347"
    );
}

#[test]
fn what_is_stated_is_judged() {
    decode(&["--vrrp", "3", "--vrid", "51", "--interval", "1s", "--address", "192.0.2.100", DATAGRAM]).accepts();
    decode(&["--vrid", "52", DATAGRAM]).discards("vrid");
    decode(&["--vrrp", "2", DATAGRAM]).discards("version");
    // In VRRPv3 another interval is noted, in VRRPv2 it is a reason; so with the list.
    assert!(decode(&["--interval", "2s", DATAGRAM]).field("note").contains("interval-errors"));
    assert!(decode(&["--address", "192.0.2.9", DATAGRAM]).field("note").contains("address-list-errors"));
    decode(&["--interval", "2s", PASSWORD]).discards("interval");
    decode(&["--address", "192.0.2.9", PASSWORD]).discards("address-list");
    decode(&["--address", "192.0.2.100,192.0.2.101", "--address", "192.0.2.102", PASSWORD]).accepts();
}

#[test]
fn a_password_is_shown_and_judged() {
    let answer = decode(&[PASSWORD]);
    answer.accepts();
    assert_eq!(answer.field("auth"), "1 (simple text \"1234\")");
    assert_eq!(answer.field("addresses"), "192.0.2.100, 192.0.2.101, 192.0.2.102");
    decode(&["--auth", "1234", PASSWORD]).accepts();
    decode(&["--auth", "12345", PASSWORD]).discards("auth-failure");
    decode(&["--no-auth", PASSWORD]).discards("auth-type-mismatch");
    assert_eq!(decode(&["--auth", "too long for it", PASSWORD]).code, 2);
}

#[test]
fn a_signature_is_shown_and_judged() {
    let answer = decode(&[SIGNED]);
    answer.discards("length");
    assert!(answer.field("trailer").starts_with("auth_hmac, key 1, signed at 1795174948."), "{}", answer.out);
    decode(&["--hmac-key", KEY, "--time", "1795174950", SIGNED]).accepts();
    decode(&["--hmac-key", KEY, "--time", "1795175000", SIGNED]).discards("auth-ext-stale");
    decode(&["--hmac-key", KEY, "--hmac-window", "60", "--time", "1795175000.5", SIGNED]).accepts();
    decode(&["--hmac-key", &KEY.replace("1:", "2:"), "--time", "1795174950", SIGNED]).discards("auth-ext-unknown-key");
    decode(&["--hmac-key", &KEY.replace("1f", "ff"), "--time", "1795174950", SIGNED]).discards("auth-ext-invalid-hmac");
    decode(&["--hmac-key", KEY, DATAGRAM]).discards("auth-ext-missing");
    decode(&["--hmac-key", KEY, "--hmac-mode", "permissive", DATAGRAM]).accepts();
    // The same again is a replay.
    let twice = decode(&["--hmac-key", KEY, "--time", "1795174950", SIGNED, SIGNED]).out;
    assert!(twice.contains("verdict    accept") && twice.contains("auth-ext-replay"), "{twice}");
}

#[test]
fn lines_of_standard_input_are_packets_and_a_bad_one_is_named() {
    let lines = format!("# a remark\n{DATAGRAM}\n\nnonsense\n{ETHERNET}{DATAGRAM}\n");
    let answer = decode_stdin(&[], lines.as_bytes());
    assert_eq!((answer.code, answer.out.matches("verdict    accept").count()), (2, 2), "{}", answer.out);
    assert!(answer.complaint.contains("standard input, line 4: 'n' at position 0"), "{}", answer.complaint);
    let file = File::new("lines", DATAGRAM.as_bytes());
    assert_eq!(decode(&[file.path()]).out, decode(&[DATAGRAM]).out);
}

/// A classic capture of these packets, with the integers in either byte order.
fn pcap(big_endian: bool, magic: u32, linktype: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let version = if big_endian { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    let mut file = [word(magic), version, word(0), word(0), word(65_535), word(linktype)].concat();
    for packet in packets {
        let len = u32::try_from(packet.len()).unwrap();
        file.extend([word(1_795_174_950), word(5), word(len), word(len)].concat());
        file.extend(packet);
    }
    file
}

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

#[test]
fn captures_are_read_in_every_form() {
    let sll = "0004000100060200000000 0b00000800".replace(' ', "");
    let sll2 = "0800000000000002 0001040602000000000b0000".replace(' ', "");
    let wanted = decode(&[DATAGRAM]).out;
    for (linktype, header) in [(1, ETHERNET), (101, ""), (228, ""), (113, &sll), (276, &sll2)] {
        let packet = octets(&format!("{header}{DATAGRAM}"));
        for big_endian in [false, true] {
            for magic in [MICROSECONDS, NANOSECONDS] {
                let capture = pcap(big_endian, magic, linktype, std::slice::from_ref(&packet));
                let name = format!("{linktype}-{big_endian}-{magic}.pcap");
                let file = File::new(&name, &capture);
                let answer = decode(&[file.path()]);
                assert_eq!((answer.code, &answer.out), (0, &wanted), "{name} {}", answer.complaint);
                assert_eq!(decode_stdin(&["-"], &capture).out, wanted, "{name}");
            }
        }
    }
}

/// A pcapng of one interface.
fn pcapng(packet: &[u8]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let len = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &len, body, &len].concat()
    };
    let mut body = vec![0; 20];
    // 1795174950 s in microseconds.
    let ticks = 1_795_174_950_000_000_u64;
    body[4..8].copy_from_slice(&u32::try_from(ticks >> 32).unwrap().to_le_bytes());
    body[8..12].copy_from_slice(&u32::try_from(ticks & 0xffff_ffff).unwrap().to_le_bytes());
    let len = u32::try_from(packet.len()).unwrap().to_le_bytes();
    body[12..16].copy_from_slice(&len);
    body[16..20].copy_from_slice(&len);
    body.extend(packet);
    body.resize(body.len().next_multiple_of(4), 0);
    let header = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    [block(0x0a0d_0d0a, &header), block(1, &[1, 0, 0, 0, 0, 0, 0, 0]), block(6, &body)].concat()
}

#[test]
fn signatures_in_a_capture_are_judged_by_the_time_of_capture() {
    let packet = octets(&format!("{ETHERNET}{SIGNED}"));
    for (name, capture) in [
        ("signed.pcap", pcap(false, MICROSECONDS, 1, std::slice::from_ref(&packet))),
        ("signed.pcapng", pcapng(&packet)),
    ] {
        let file = File::new(name, &capture);
        decode(&["--hmac-key", KEY, file.path()]).accepts();
        decode(&["--hmac-key", KEY, "--time", "1795175950", file.path()]).discards("auth-ext-stale");
    }
}

#[test]
fn in_a_capture_announcements_are_shown_and_the_rest_is_counted() {
    let announcement = "ffffffffffff02000000000a0806000108000604000102000000000ac0000264ffffffffffffc0000264";
    let question = announcement.replace("c0000264ff", "c0000201ff");
    let tcp = "45c0002000010000ff061898c0000202e0000012313364010064a802c0000264";
    let frames = [format!("{ETHERNET}{DATAGRAM}"), announcement.into(), question, format!("{ETHERNET}{tcp}")];
    let capture = pcap(false, MICROSECONDS, 1, &frames.map(|frame| octets(&frame)));
    let file = File::new("mixed.pcap", &capture);
    let answer = decode(&[file.path()]);
    answer.accepts();
    assert!(answer.out.contains("\n2: Gratuitous ARP for 192.0.2.100 (Request)\n"), "{}", answer.out);
    assert!(answer.out.ends_with("mixed.pcap: 2 other packets\n"), "{}", answer.out);
}

#[test]
fn a_capture_that_is_cut_off_shows_what_it_has_and_fails() {
    let packet = octets(&format!("{ETHERNET}{DATAGRAM}"));
    let whole = pcap(false, MICROSECONDS, 1, &[packet.clone(), packet]);
    for len in [5, 23, 30, 40, whole.len() - 1] {
        let file = File::new("cut.pcap", &whole[..len]);
        let answer = decode(&[file.path()]);
        assert_eq!(answer.code, 2, "{len} {}", answer.out);
        let complete = usize::from(len > 90);
        assert!(answer.complaint.contains(&format!("broken after {complete} packets")), "{len} {}", answer.complaint);
        assert_eq!(answer.out.matches("verdict    accept").count(), complete, "{len}");
    }
}

#[test]
fn garbage_is_named_and_nothing_panics() {
    for arguments in [
        &["--vrid", "0", DATAGRAM][..],
        &["--vrid", "256", DATAGRAM],
        &["--interval", "0s", DATAGRAM],
        &["--hmac-key", "1:00", DATAGRAM],
        &["--hmac-key", KEY, "--hmac-key", KEY, DATAGRAM],
        &["--hmac-key", KEY, "--hmac-window", "301", DATAGRAM],
        &["--time", "yesterday", DATAGRAM],
        &["--destination", "192.0.2.1", PAYLOAD],
        &["--vectors"],
        &["--vectors", "/nonexistent.json"],
        &["/nonexistent.pcap"],
        &["123"],
        &["00"],
        &["--nonsense"],
    ] {
        let answer = decode(arguments);
        assert_eq!(answer.code, 2, "{arguments:?}: {}", answer.out);
        assert!(!answer.complaint.is_empty(), "{arguments:?}");
    }
    assert_eq!(decode_stdin(&[], &[0xff, 0xfe, 0, 1]).code, 2);
    // Every start of every kind of packet.
    let frame = format!("{ETHERNET}{SIGNED}");
    for packet in [DATAGRAM, PASSWORD, SIGNED, &frame] {
        let starts: String = (1..packet.len() / 2).map(|len| packet[..2 * len].to_owned() + "\n").collect();
        let answer = decode_stdin(&["--hmac-key", KEY], starts.as_bytes());
        assert!(!answer.out.contains("verdict    accept"), "{}", answer.out);
    }
}

fn vectors(name: &str) -> String {
    format!("{}/../vrrp-core/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_vector_of_the_rfcs_and_every_captured_frame_is_as_stated() {
    let (rfc, captured, frames) = (vectors("rfc_vectors"), vectors("captured"), vectors("frames"));
    let answer = decode(&["--vectors", &rfc, &captured, &frames]);
    assert_eq!((answer.code, answer.out.lines().count()), (0, 94 + 14 + 7), "{}", answer.out);
    let has = |line: &str| assert!(answer.out.lines().any(|other| other == line), "{line} not in {}", answer.out);
    has("V2-01: accept");
    has("M-12: discard: checksum (the checksum does not verify)");
    has("K-05: discard: ip-protocol (IP protocol 51 is not 112 (VRRP))");
    has("A-02: ARP Announcement for 192.0.2.100 [1||||]");
}

#[test]
fn vectors_of_keepalived_differ_by_decision_or_not_at_all() {
    for (name, vectors, total, differing) in [
        ("keepalived_vectors", vectors("keepalived_vectors"), 49, 12),
        ("auth_hmac_vectors", vectors("auth_hmac_vectors"), 149, 9),
    ] {
        let answer = decode(&["--vectors", &vectors]);
        let differ: Vec<_> = answer.out.lines().filter(|line| line.contains(": differs: expected ")).collect();
        assert_eq!((answer.code, answer.out.lines().count(), differ.len()), (1, total, differing), "{name}");
        assert!(differ.iter().all(|line| line.contains("; by decision: ")), "{differ:#?}");
        let excused = decode(&["--vectors", &vectors, "--known-deviations"]);
        assert_eq!((excused.code, excused.out), (0, answer.out), "{name}");
    }
}

/// A file with each vector of a repository's file as `change` makes it, run.
fn run_changed(name: &str, change: impl Fn(&mut serde_json::Value)) -> Answer {
    let text = std::fs::read_to_string(vectors(name)).unwrap();
    let mut all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    all.iter_mut().for_each(change);
    let file = File::new(&format!("changed-{name}-{:p}.json", &all), serde_json::to_string(&all).unwrap().as_bytes());
    decode(&["--vectors", file.path()])
}

#[test]
fn a_vector_with_another_verdict_differs_and_fails() {
    let file = File::new(
        "wrong.json",
        format!(
            r#"[{{"id": "good", "ip": "{DATAGRAM}", "verdict": "accept", "more": [1]}},
                {{"id": "bad", "ip": "{DATAGRAM}", "verdict": "drop: checksum"}}]"#
        )
        .as_bytes(),
    );
    let answer = decode(&["--vectors", file.path()]);
    assert_eq!(answer.out, "good: accept\nbad: differs: expected drop: checksum, got accept\n");
    assert_eq!(answer.code, 1);
    // No decision excuses it.
    assert_eq!(decode(&["--vectors", file.path(), "--known-deviations"]).code, 1);
}

#[test]
fn every_vector_can_differ() {
    let answer = run_changed("rfc_vectors", |vector| {
        let accept = vector["verdict"].as_str().unwrap().starts_with("accept") || vector["cls"] == "unicast";
        vector["verdict"] = if accept { "drop: packet-length" } else { "accept" }.into();
    });
    let alike: Vec<_> = answer.out.lines().filter(|line| !line.contains(": differs: expected ")).collect();
    // The verdict alone says that these instances are strict, or of the other version.
    let open = ["V3-4-09M", "V3-4-09P", "V3-4-09Q", "M-06", "M-27", "M-44"];
    assert!(alike.iter().all(|line| open.iter().any(|name| line.starts_with(name))), "{alike:#?}");
    assert_eq!(answer.code, 1);
    for name in ["keepalived_vectors", "auth_hmac_vectors"] {
        let answer = run_changed(name, |vector| {
            let accept = vector["expect"] == "accept";
            vector["expect"] = if accept { "reject:type" } else { "accept" }.into();
        });
        // Those that differ by decision may now be alike.
        let alike = answer.out.lines().filter(|line| !line.contains(": differs: expected ")).count();
        assert!(answer.code == 1 && alike <= 12, "{name}: {alike} {}", answer.out);
    }
    let answer = run_changed("frames", |vector| {
        let stated = vector["ts"].as_str().unwrap().replace("192.0.2.100", "192.0.2.1").replace("1|1", "0|1");
        vector["ts"] = stated.replace("|||||1", "|||||0").into();
    });
    assert_eq!((answer.code, answer.out.matches(": differs: expected ").count()), (1, 7), "{}", answer.out);
}

#[test]
fn a_flipped_bit_in_a_packet_makes_a_vector_differ() {
    let answer = run_changed("auth_hmac_vectors", |vector| {
        // The VRID of an advertisement that is taken.
        let packet = vector["ip_packet_hex"].as_str().unwrap().to_owned();
        let at = if vector["ip_version"] == 4 { 42 } else { 82 };
        if vector["expect"] == "accept" {
            vector["ip_packet_hex"] = format!("{}77{}", &packet[..at], &packet[at + 2..]).into();
        }
    });
    let accepted = answer.out.lines().filter(|line| line.ends_with(": accept")).count();
    assert_eq!((answer.code, accepted), (1, 0), "{}", answer.out);
}

#[test]
fn broken_vectors_are_named_and_the_others_are_run() {
    let file = File::new(
        "broken.json",
        format!(
            r#"[{{"id": "good", "ip": "{DATAGRAM}", "verdict": "accept"}},
                {{"id": "digits", "ip": "4g", "verdict": "accept"}},
                {{"id": "words", "ip": "{DATAGRAM}", "verdict": "perhaps"}},
                {{"id": "nothing"}},
                {{"name": "keys", "ip_packet_hex": "{DATAGRAM}", "ip_version": 4, "vrrp_version": 3, "vrid": 51,
                  "dst": "224.0.0.18", "expect": "accept", "mode": "enforce", "keys": []}},
                {{"name": "vrid", "ip_packet_hex": "{DATAGRAM}", "ip_version": 4, "vrrp_version": 3, "vrid": 300,
                  "dst": "224.0.0.18", "expect": "accept"}},
                {{"id": "frame", "hex": "00"}},
                {{"ip": 5, "verdict": "accept"}},
                17]"#
        )
        .as_bytes(),
    );
    let answer = decode(&["--vectors", file.path()]);
    assert_eq!((answer.code, &*answer.out), (2, "good: accept\n"));
    for name in ["vector 2 (digits)", "vector 3 (words)", "vector 4 (nothing)", "vector 5 (keys)", "vector 6 (vrid)"] {
        assert!(answer.complaint.contains(name), "{name} not in {}", answer.complaint);
    }
    assert!(answer.complaint.contains("1 as stated, 0 differ, 8 could not be read"), "{}", answer.complaint);
    for text in ["", "{", "[]", "17", "[[[[[[[["] {
        let file = File::new("no.json", text.as_bytes());
        assert_eq!(decode(&["--vectors", file.path()]).code, 2, "{text}");
    }
}
