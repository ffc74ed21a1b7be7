//! What our daemon sends is what Wireshark's decoder expects: every field, every checksum, without a remark.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Node, PATIENCE, TempDir, adverts, announcements, in_parallel, lab, tool, wait_until};
use vrrp_net::lab::Lab;

/// What an advertisement says, as `tshark` prints it.
#[derive(Clone)]
struct Wanted {
    arguments: &'static str,
    version: &'static str,
    vrid: &'static str,
    priority: &'static str,
    /// Seconds in VRRPv2, centiseconds in VRRPv3.
    interval: &'static str,
    auth_type: &'static str,
    password: &'static str,
}

const V2: Wanted = Wanted {
    arguments: "--version 2 --vrid 7 --priority 254 --interval 2s",
    version: "2",
    vrid: "7",
    priority: "254",
    interval: "2",
    auth_type: "0",
    password: "",
};

const V2_PASSWORD: Wanted = Wanted {
    arguments: "--version 2 --vrid 255 --priority 150 --interval 1s --auth-pass s3cret",
    version: "2",
    vrid: "255",
    priority: "150",
    interval: "1",
    auth_type: "1",
    password: "s3cret",
};

const V3: Wanted = Wanted {
    arguments: "--version 3 --vrid 51 --priority 1 --interval 250ms",
    version: "3",
    vrid: "51",
    priority: "1",
    interval: "25",
    auth_type: "",
    password: "",
};

#[test]
fn tshark_decodes_what_we_send_without_a_remark() {
    if tool("tshark", "tshark").is_none() || lab().is_none() {
        return;
    }
    let cases = [("VRRPv2", V2), ("VRRPv2 with a password", V2_PASSWORD), ("VRRPv3", V3)];
    in_parallel(cases.map(|(name, wanted)| (name.to_owned(), wanted)), |wanted| decodes(&wanted));
}

fn decodes(wanted: &Wanted) {
    let lab = Lab::new().expect("a lab");
    let lan = lab.bridge("lan").expect("a bridge");
    let capture = lan.capture().expect("a capture");
    let host = lab.host("host").expect("a host");
    let interface = host.attach(&lan, "eth0", &["192.0.2.1/24"]).expect("an interface");
    let common = "--interface eth0 --address 192.0.2.100 --address 192.0.2.101/24";
    let mut node = Node::start(&host, common.split(' ').chain(wanted.arguments.split(' ')));
    let has_advertised = || adverts(&capture.frames()).len() >= 3 && announcements(&capture.frames()).len() >= 2;
    assert!(wait_until(PATIENCE, has_advertised), "too few frames: {:#?}", node.log().lines());
    assert!(node.interrupt().success());
    let has_resigned = || adverts(&capture.frames()).iter().any(|advert| advert.priority == 0);
    assert!(wait_until(PATIENCE, has_resigned), "no priority 0: {:#?}", node.log().lines());

    let folder = TempDir::new();
    let file = folder.file("frames.pcap");
    capture.write_pcap(&file).expect("a file of the frames");
    let mac = interface.mac().map(|octet| format!("{octet:02x}")).join(":");

    assert_eq!(remarks(&folder, &file), Vec::<Vec<String>>::new());
    // It would say so if something were wrong.
    let mut octets = std::fs::read(&file).expect("the file of the frames");
    let found = octets.windows(12).position(|it| it[..4] == [192, 0, 2, 1] && it[4..8] == [224, 0, 0, 18]);
    octets[found.expect("an advert") + 10] ^= 1;
    let damaged = folder.file("damaged.pcap");
    std::fs::write(&damaged, octets).expect("another file of frames");
    assert!(!remarks(&folder, &damaged).is_empty(), "a wrong priority has a wrong checksum");

    #[rustfmt::skip]
    let expected = [
        ("eth.src", mac.as_str()), ("eth.dst", "01:00:5e:00:00:12"),
        ("ip.src", "192.0.2.1"), ("ip.dst", "224.0.0.18"), ("ip.ttl", "255"), ("ip.proto", "112"),
        ("ip.checksum.status", GOOD), ("vrrp.checksum.status", GOOD),
        ("vrrp.version", wanted.version), ("vrrp.type", "1"), ("vrrp.virt_rtr_id", wanted.vrid),
        ("vrrp.addr_count", "2"), ("vrrp.ip_addr", "192.0.2.100,192.0.2.101"),
        (if wanted.version == "2" { "vrrp.adver_int" } else { "vrrp.short_adver_int" }, wanted.interval),
        ("vrrp.auth_type", wanted.auth_type), ("vrrp.auth_string", wanted.password),
        // The last is checked below: it differs.
        ("vrrp.prio", wanted.priority),
    ];
    let rows = decode(&folder, &file, "vrrp", &expected.map(|(field, _)| field));
    assert_eq!(rows.len(), adverts(&capture.frames()).len(), "tshark takes all for VRRP");
    let (last, others) = rows.split_last().expect("adverts");
    for row in others {
        assert_eq!(row[..], expected.map(|(_, value)| value.to_owned()));
    }
    let resignation = [&others[0][..expected.len() - 1], &["0".to_owned()]].concat();
    assert_eq!(last[..], resignation, "the last advert has priority 0, and is like the others otherwise");

    let fields = ["eth.src", "eth.dst", "arp.isgratuitous", "arp.src.hw_mac", "arp.src.proto_ipv4"];
    let rows = decode(&folder, &file, "arp.isgratuitous", &fields);
    for address in ["192.0.2.100", "192.0.2.101"] {
        let row = [&mac, "ff:ff:ff:ff:ff:ff", "1", &mac, address].map(str::to_owned);
        assert!(rows.contains(&row.to_vec()), "{address}: {rows:#?}");
    }
}

/// What `tshark` does not like about VRRP and ARP frames.
fn remarks(folder: &TempDir, file: &Path) -> Vec<Vec<String>> {
    decode(folder, file, "(vrrp or arp) and (_ws.expert or _ws.malformed)", &["_ws.expert.message"])
}

/// `PROTO_CHECKSUM_E_GOOD`: it was checked, and fits.
const GOOD: &str = "1";

/// The fields of those frames that pass the filter.
fn decode(folder: &TempDir, file: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new(tool("tshark", "tshark").expect("tshark"));
    // Its settings are those that it comes with, whoever runs the test.
    command.env("HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path()).env("LC_ALL", "C");
    command.arg("-n").arg("-r").arg(file).args(["-o", "ip.check_checksum:TRUE", "-Y", filter, "-T", "fields"]);
    command.args(["-E", "separator=|"]).args(fields.iter().flat_map(|field| ["-e", field]));
    let output = command.output().expect("run tshark");
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text from tshark");
    text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}
