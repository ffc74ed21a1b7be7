//! Typical mistakes, and the exact text of what is said about them: each `NAME.conf` below `mistakes/` has it in `NAME.txt`.
//!
//! With `UPDATE=1` in the environment the texts are written anew, to be read in the difference.

use std::path::Path;

use super::{flawless, said};

#[test]
fn what_is_said_about_mistakes_is_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keepalived_conf/mistakes");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "conf")).collect();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let text = said(&std::fs::read_to_string(&file).unwrap());
        let golden = file.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&golden).unwrap(), "{}", file.display());
    }
}

#[test]
fn what_is_odd_but_right_is_read_without_a_word() {
    let configuration = flawless(
        "! comment\r\nglobal_defs{\r\nrouter_id \"a b\"!x\r\n}\nvrrp_instance VI_1\n{\ninterface\teth0 # why\n\
         virtual_router_id 51 advert_int_is_next\n}\n"
            .replace(" advert_int_is_next", "")
            .as_str(),
    );
    assert_eq!(configuration.global_defs.router_id.as_deref(), Some("a b"));
    let all = "vrrp_instance VI_1 { interface eth0\nvirtual_router_id 51\nvirtual_ipaddress { 192.0.2.1/24 dev eth1 scope \
               link label eth1:1 brd + no_track } unicast_peer { 192.0.2.2 min_ttl 1 max_ttl 255 } }";
    let configuration = flawless(all);
    let instance = &configuration.vrrp_instances[0];
    assert_eq!(instance.virtual_ipaddress.len(), 1);
    assert_eq!(instance.check_unicast_src, Some(true), "a TTL of a peer asks for it");
}

#[test]
fn what_nobody_would_write_is_an_error_and_no_panic() {
    for text in ["\0", "}", "{", "\"", "@", "~", "$", "${", "include", "vrrp_instance", "\u{feff}a", "a {\u{0}\n", "\\"]
    {
        said(text);
        said(&text.repeat(10_000));
        said(&format!("vrrp_instance a {{\npriority {text}\n{text}\n}}"));
    }
    let long = "x".repeat(1 << 20);
    assert!(said(&long).len() < 4096, "a megabyte of one word is not shown whole");
    assert!(said(&"a ".repeat(1 << 19)).len() < 4096);
}

#[test]
fn what_is_cut_off_anywhere_is_read_as_far_as_it_goes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keepalived_conf/mistakes");
    for file in ["instance", "servers", "versions", "expansion"] {
        let text = std::fs::read_to_string(folder.join(file).with_extension("conf")).unwrap();
        for (end, _) in text.char_indices() {
            said(&text[..end]);
            said(&text[end..]);
        }
    }
}
