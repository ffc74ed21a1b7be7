//! What an operator sees and does while it runs.

use std::process::Output;

use crate::checks::Programs;
use crate::common::{PATIENCE, wait_until};
use crate::network::{Network, transitions};

#[test]
fn an_operator_sees_everything_and_can_hand_over_pause_and_set_priorities() {
    let Some(net) = Network::new() else { return };
    let programs = Programs::new();
    let socket = programs.file("run").join("control.sock");
    let check = programs.shell("check", "exit 0");
    let before = format!(
        "control = \"{}\"\n[script.chk]\ncommand = \"{check}\"\ninterval = \"100ms\"\nweight = 10",
        socket.display()
    );
    let mut a = programs.start(&net.a, 150, "name = \"VI_1\"\ntrack-scripts = [\"chk\"]", &before);
    assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
    let control = |words: &[&str]| -> Output {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vrrpctl"));
        command.arg("--socket").arg(&socket).args(words).output().expect("vrrpctl")
    };
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let seen = || text(&control(&["show"]));
    assert!(
        wait_until(PATIENCE, || seen().contains("\"priority\": 160") || seen().contains("\"priority\":160")),
        "{}",
        seen()
    );
    assert!(seen().contains("chk"), "{}", seen());

    let done = |words: &[&str]| {
        let output = control(words);
        assert!(output.status.success(), "{words:?}: {output:?} {:#?}", a.log().lines());
    };
    done(&["pause", "VI_1"]);
    assert!(net.a.loses_vip(PATIENCE), "{:#?}", a.log().lines());
    done(&["resume", "VI_1"]);
    assert!(net.a.gets_vip(PATIENCE), "{:#?}", a.log().lines());
    done(&["set-priority", "VI_1", "99"]);
    assert!(wait_until(PATIENCE, || net.adverts_of(&net.a).last().is_some_and(|advert| advert.priority == 109)));
    let refused = control(&["pause", "VI_2"]);
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("have: VI_1"),
        "{refused:?}"
    );
    assert!(a.interrupt().success(), "{:#?}", transitions(&a));
    assert!(!socket.exists());
}
