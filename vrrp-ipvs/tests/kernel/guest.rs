//! Where these tests run: on the running kernel if it has IPVS and lets us use it, else all of them in one guest.
//!
//! Each test calls [`on_ipvs`]. Outside of a guest the first of them starts this same program in one (`tests/guest`), with
//! the same arguments; there the tests really run, and what became of each is what it reports here.

use std::any::type_name;
use std::collections::HashMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex, PoisonError};

use vrrp_ipvs::Ipvs;

/// Begins the line in which the guest says what became of a test.
const MARK: &str = "@@ kernel test ";
const PASSED: &str = "passed";

/// Runs `body` where there is IPVS. Skips it loudly if that is nowhere, or fails with `VRRP_TEST_REQUIRE=all`.
pub(crate) fn on_ipvs<Body: FnOnce()>(body: Body) {
    // Tests have namespaces of their own, but one processor.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let name = type_name::<Body>();
    if in_a_guest() {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let result = catch_unwind(AssertUnwindSafe(body));
        drop(alone);
        let outcome = match &result {
            Ok(()) => PASSED.to_owned(),
            Err(panic) => format!("{:?}", words_of(panic.as_ref())),
        };
        // Not by eprintln, which the harness keeps to itself, and at once, so that nothing of other tests gets between.
        let _ = std::io::stderr().write_all(format!("\n{MARK}{name} {outcome}\n").as_bytes());
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        return;
    }
    if the_running_kernel_will_do() {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        return body();
    }
    match &*GUEST {
        Guest::Missing(reason) => skip(reason),
        Guest::Ran { outcomes, log } => match outcomes.get(name).map(String::as_str) {
            Some(PASSED) => {}
            Some(panic) => panic!("in the guest: {panic}\nits whole output: {log}"),
            None => panic!("the guest did not come to this test; its whole output: {log}"),
        },
    }
}

/// Says that a test did not run, and why; with `VRRP_TEST_REQUIRE=all` that is a failure.
pub(crate) fn skip(reason: &str) {
    assert!(
        !std::env::var("VRRP_TEST_REQUIRE").is_ok_and(|value| value == "all"),
        "VRRP_TEST_REQUIRE=all, but {reason}"
    );
    // Not by a macro: the test harness would keep that to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

pub(crate) fn in_a_guest() -> bool {
    std::env::var_os("VRRP_IPVS_GUEST").is_some()
}

/// IPVS, and root: the tests make network namespaces, and touch nothing outside of them.
fn the_running_kernel_will_do() -> bool {
    static ANSWER: LazyLock<bool> = LazyLock::new(|| {
        let root = rustix::process::geteuid().is_root();
        root && Ipvs::open().is_ok_and(|mut ipvs| ipvs.info().is_ok())
    });
    *ANSWER
}

enum Guest {
    Missing(String),
    Ran { outcomes: HashMap<String, String>, log: String },
}

static GUEST: LazyLock<Guest> = LazyLock::new(|| {
    // Also the tests of another crate of the workspace run here.
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runner = ["tests/guest", "../vrrp-ipvs/tests/guest"].map(|path| crates.join(path));
    let Some(runner) = runner.iter().find(|path| path.exists()) else {
        return Guest::Missing(format!("{} is missing", runner[0].display()));
    };
    let program = std::env::current_exe().unwrap();
    let arguments = std::env::args_os().skip(1);
    let output = Command::new("bash").arg(runner).args(["--seconds", "560"]).arg(&program).args(arguments).output();
    let Output { status, stdout, stderr } = match output {
        Ok(output) => output,
        Err(error) => return Guest::Missing(format!("bash does not start: {error}")),
    };
    let (text, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.code() == Some(127) {
        return Guest::Missing(format!("this kernel has no IPVS, and there is no other: {}", errors.trim()));
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
    std::fs::write(&log, format!("{text}\n{errors}\n{status}\n")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix(MARK)?.split_once(' '));
    let outcomes = lines.map(|(name, outcome)| (name.to_owned(), outcome.to_owned())).collect();
    Guest::Ran { outcomes, log: log.display().to_string() }
});

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_else(|| "a panic".into())
}
