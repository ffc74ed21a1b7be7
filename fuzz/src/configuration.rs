//! Any octets as a keepalived.conf: they are read in bounded time and room, what is said of them can be shown, and what they
//! say can be dumped.

use std::path::Path;

use examples::keepalived::{self, Limits, Memory, Options, Reading};

/// Longest report, in octets: 200 warnings and 200 errors, each with some of its line.
const LONGEST: usize = 1 << 20;

/// Reads them.
pub fn read(input: &[u8]) {
    let mut files =
        Memory::new([("/k/one.inc", "$ONE=1\ny ${_PWD} $ONE\n"), ("/k/two.inc", "include one.inc\n}\n{\n\"")]);
    files.0.insert("/k/k.conf".into(), input.to_vec());
    let options = Options { limits: Limits { octets: 1 << 16, files: 16 }, ..Options::new("host") };
    let Reading { configuration, sources, report } = keepalived::read(Path::new("/k/k.conf"), &files, &options);

    let shown = report.display(&sources).to_string();
    assert!(shown.len() < LONGEST, "{} octets are said", shown.len());
    assert!(!shown.contains(|character: char| character.is_control() && character != '\n' && character != '\t'));
    for diagnostic in report.diagnostics() {
        let line = diagnostic.line(&sources);
        assert!(!line.is_empty());
        if let Some(span) = diagnostic.span {
            let position = sources.position(span);
            assert!(position.line > 0 && position.column > 0 && span.start <= span.end, "{line}");
        }
    }
    assert_eq!(report.has_errors(), report.errors().next().is_some());
    let dump = serde_json::to_string(&configuration).expect("plain data is JSON");

    // The same text says the same.
    let again = keepalived::read(Path::new("/k/k.conf"), &files, &options);
    assert_eq!(shown, again.report.display(&again.sources).to_string());
    assert_eq!(dump, serde_json::to_string(&again.configuration).expect("plain data is JSON"));
}
