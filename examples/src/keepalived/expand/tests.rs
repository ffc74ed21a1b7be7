use super::*;
use crate::keepalived::source::Memory;

fn shape(nodes: &[Node]) -> String {
    let one = |node: &Node| {
        let words: Vec<_> = node.words.iter().map(|word| word.text.as_str()).collect();
        let block = node.block.as_ref().map(|block| format!("({})", shape(block))).unwrap_or_default();
        words.join(" ") + &block
    };
    nodes.iter().map(one).collect::<Vec<_>>().join(";")
}

fn expanded_with(files: &Memory, limits: Limits) -> (String, Vec<String>) {
    let expander = Expander::new(files, "main", limits, 1);
    let (nodes, sources, report) = expander.read(Path::new("/etc/k.conf"));
    (shape(&nodes), report.diagnostics().iter().map(|diagnostic| diagnostic.line(&sources)).collect())
}

fn expanded(text: &str) -> String {
    let (shape, problems) = expanded_with(&Memory::new([("/etc/k.conf", text)]), Limits::default());
    assert_eq!(problems, [""; 0], "{text}");
    shape
}

fn problems(text: &str) -> Vec<String> {
    expanded_with(&Memory::new([("/etc/k.conf", text)]), Limits::default()).1
}

#[test]
fn a_condition_holds_for_its_host() {
    assert_eq!(expanded("@main a\n@other b\n@^main c\n@^other d\n\t@main\te f {\n}\n@ g\n@main"), "a;d;e f()");
}

#[test]
fn definitions_are_replaced_where_they_are_used() {
    let text = "$ADDRESS_BASE=10.2.${ADDRESS_BASE_SUB}\n$ADDRESS_BASE_SUB=0\n${ADDRESS_BASE}.100/32\n\
                $ADDRESS_BASE_SUB=10\n${ADDRESS_BASE}.100/32";
    assert_eq!(expanded(text), "10.2.0.100/32;10.2.10.100/32");
    assert_eq!(expanded("@main $P=240\n@backup $P=200\npriority $P"), "priority 240");
    assert_eq!(expanded("$IF_MAIN=@main\n$IF_OTHER=@other\n$IF_MAIN a\n$IF_OTHER b"), "a");
    assert_eq!(expanded("$A=1 # 2\nx $A"), "x 1");
    assert_eq!(expanded("x \"${_HASH}a${_BANG}\" ${_HASH}b ${UNDEFINED}"), "x #a! #b ${UNDEFINED}");
}

#[test]
fn definitions_of_several_lines_nest() {
    let text = "$RS= \\\nreal 1.${VS}.${RS_NUM} { \\\n weight 1 \\\n\n  @main x \\\n @other y \\\n}\n\
                $V= \\\nvirtual ${VS} { \\\n $RS_NUM=1 \\\n $RS \\\n $RS_NUM=2 \\\n $RS \\\n}\n\
                $VS=7\n$V\n$VS=8\n$V\n";
    let one = |vs| format!("virtual {vs}(real 1.{vs}.1(weight 1;x);real 1.{vs}.2(weight 1;x))");
    assert_eq!(expanded(text), format!("{};{}", one(7), one(8)));
}

#[test]
fn a_line_goes_on_after_a_backslash() {
    assert_eq!(expanded("a \\\n b \\\n c\nd"), "a b c;d");
    assert_eq!(expanded("a \\"), "a");
}

#[test]
fn sequences_and_lists_repeat_the_rest_of_the_line() {
    assert_eq!(expanded("~SEQ(N, 0, 3) ip 10.0.${N}.1"), "ip 10.0.0.1;ip 10.0.1.1;ip 10.0.2.1;ip 10.0.3.1");
    let text = "~LST({IP, IP1}, {10,1},{20,4}) ~SEQ(IP2,168,2,170) 192.${IP2}.${IP}.${IP1}";
    assert_eq!(expanded(text), "192.168.10.1;192.170.10.1;192.168.20.4;192.170.20.4");
    assert_eq!(expanded("$END=2\n~SEQ(N, $END ) x $N"), "x 1;x 2");
    let text = "$V=\\\nv${A}.${B} {\\\n x ${B} \\\n}\n~SEQ(A,0,1) ~SEQ(B,1,2) $V";
    assert_eq!(expanded(text), "v0.1(x 1);v0.2(x 2);v1.1(x 1);v1.2(x 2)");
}

#[test]
fn carriage_returns_and_tabs_are_white_space() {
    assert_eq!(expanded("a\tb\r\n{\r\nc\r\n}\r\n"), "a b(c)");
}

#[test]
fn includes_are_read_where_they_stand_relative_to_their_file() {
    let files = Memory::new([
        ("/etc/k.conf", "a {\ninclude sub/*.conf\nb\n}\n"),
        ("/etc/sub/1.conf", "c ${_PWD}\ninclude ../x.inc\ninclude x.inc\n"),
        ("/etc/sub/2.conf", "d {\n}"),
        ("/etc/sub/x.inc", "e"),
    ]);
    let (shape, problems) = expanded_with(&files, Limits::default());
    assert_eq!(shape, "a(c /etc/sub;e;d();b)");
    assert_eq!(problems, ["/etc/sub/1.conf:2:9: warning: no file is named ../x.inc"]);
}

#[test]
fn an_include_that_fails_is_an_error_if_it_is_checked() {
    assert_eq!(problems("includea x"), ["/etc/k.conf:1:10: error: no file is named x"]);
    assert_eq!(problems("includer x"), ["/etc/k.conf:1:10: warning: no file is named x"]);
    assert_eq!(problems("include_check\ninclude x*"), ["/etc/k.conf:2:9: error: no file is named x*"]);
    assert_eq!(problems("include"), ["/etc/k.conf:1:1: error: the name of a file is missing after this"]);
    assert_eq!(
        problems("include_check +wildcard_macth"),
        ["/etc/k.conf:1:15: error: \"+wildcard_macth\" is not one of readable, match, wildcard_match, brace_match \
          (did you mean wildcard_match?)"]
    );
}

#[test]
fn files_that_include_themselves_come_to_an_end() {
    assert_eq!(problems("a\ninclude k.conf"), ["/etc/k.conf:2:9: error: /etc/k.conf includes itself"]);
    let chain = (0..100).map(|n| (format!("/etc/{n}"), format!("include {}", n + 1)));
    let mut files: Vec<_> = chain.collect();
    files.push(("/etc/k.conf".into(), "include 0".into()));
    let files = Memory::new(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    let (_, problems) = expanded_with(&files, Limits::default());
    assert!(problems.len() == 1 && problems[0].contains("is included by 32 files"), "{problems:?}");
}

#[test]
fn definitions_that_use_themselves_come_to_an_end() {
    for text in ["$R=${R}a\nx $R", "$A=$B\n$B=$A\nx $A", "$A= \\\n$A \\\n$A\n$A"] {
        let problems = problems(text);
        assert!(problems.iter().all(|problem| problem.contains("use each other more than 32 deep")), "{problems:?}");
        assert!(!problems.is_empty());
    }
}

#[test]
fn what_repeats_too_much_comes_to_an_end() {
    let laugh = (0..30).map(|n| format!("$A{n}=${{A{}}}${{A{}}}\n", n + 1, n + 1)).collect::<String>();
    for text in [
        "~SEQ(A, 1000000000) ~SEQ(B, 1000000000) x $A $B".to_owned(),
        format!("{laugh}$A30=lol\n${{A0}}\n"),
        "~SEQ(A, 1000000000) {".to_owned(),
    ] {
        let files = Memory::new([("/etc/k.conf", text.as_str())]);
        let (_, problems) = expanded_with(&files, Limits { octets: 1 << 16, files: 4 });
        assert!(problems.iter().any(|problem| problem.contains("longer than 65536 octets")), "{problems:?}");
    }
}

#[test]
fn a_word_that_was_put_in_is_shown_where_it_is_used() {
    let files = Memory::new([("/etc/k.conf", "$A=\"\n  x $A\n$B= \\\n y \\\n z \"\n$B\n")]);
    let (_, problems) = expanded_with(&files, Limits::default());
    let quote =
        |at| format!("/etc/k.conf:{at}: error: no \" ends what this one begins (a quoted string ends on its line)");
    assert_eq!(problems, [quote("2:5"), quote("5:4")]);
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let (_, problems) = expanded_with(&Memory::default(), Limits::default());
    assert_eq!(problems, ["error: cannot read /etc/k.conf: entity not found"]);
}
