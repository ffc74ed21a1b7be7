//! Conversations of HTTP, octet by octet.

use vrrp_ipvs::check::http::{Http, HttpError, HttpExchange, Pattern, StatusRange, Url, Version, WINDOW};
use vrrp_ipvs::check::{Exchange, Failure, Part, Progress};

use crate::servers::talk;

fn of(url: Url) -> HttpExchange {
    let http = Http { urls: vec![url], body_limit: 1 << 20, ..Http::default() };
    HttpExchange::new(http.requests("192.0.2.1").unwrap())
}

/// What an answer comes to, the same in pieces of any size; at its end if it has none by itself.
fn answered(url: &Url, answer: &[u8]) -> Progress {
    let come_to = |piece| {
        let mut exchange = of(url.clone());
        match talk(&mut exchange, answer, piece).1 {
            Progress::Pending => exchange.ended(),
            over => over,
        }
    };
    let whole = come_to(answer.len().max(1));
    for piece in [1, 2, 3, 7, 1000] {
        assert_eq!(come_to(piece), whole, "in pieces of {piece}: {}", String::from_utf8_lossy(answer));
    }
    whole
}

fn plain(answer: &[u8]) -> Progress {
    answered(&Url::default(), answer)
}

#[test]
fn a_request_is_a_get_with_a_host() {
    let said = |http: &Http| {
        let mut exchange = HttpExchange::new(http.requests("[2001:db8::1]:8080").unwrap());
        String::from_utf8(talk(&mut exchange, &[], 1).0).unwrap()
    };
    let rest = "\r\nUser-Agent: vrrp-ipvs\r\nAccept: */*\r\nConnection: close\r\n\r\n";
    let url = Url { path: "/health?deep=1".into(), ..Url::default() };
    let http = Http { urls: vec![url.clone()], ..Http::default() };
    assert_eq!(said(&http), format!("GET /health?deep=1 HTTP/1.1\r\nHost: [2001:db8::1]:8080{rest}"));
    let named = Http { virtual_host: Some("www.example".into()), ..http };
    assert_eq!(said(&named), format!("GET /health?deep=1 HTTP/1.1\r\nHost: www.example{rest}"));
    let own = Url { virtual_host: Some("own.example".into()), ..url };
    let own = Http { urls: vec![own], ..named };
    assert_eq!(said(&own), format!("GET /health?deep=1 HTTP/1.1\r\nHost: own.example{rest}"));
    let old = Http { version: Version::Http10Close, ..own };
    assert_eq!(said(&old), format!("GET /health?deep=1 HTTP/1.0\r\nHost: own.example{rest}"));
    let older = Http { version: Version::Http10, ..old };
    let rest = rest.replace("Connection: close\r\n", "");
    assert_eq!(said(&older), format!("GET /health?deep=1 HTTP/1.0\r\nHost: own.example{rest}"));
    assert_eq!(serde_json::from_str::<Version>("\"1.0C\"").unwrap(), Version::Http10Close);
}

#[test]
fn any_framing_of_the_body_is_read_to_its_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.0 200 OK\n\nok",
        "HTTP/1.1 200 \r\n\r\nok until the end",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n2 \r\nok\r\n00\r\nTrailer: yes\r\nAnother: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\n\nA\n0123456789\n0\n\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and what nobody asked for",
    ] {
        assert_eq!(plain(answer.as_bytes()), Progress::PASSED, "{answer}");
    }
}

#[test]
fn an_answer_that_ends_early_fails() {
    for answer in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        assert_eq!(plain(answer.as_bytes()), Progress::failed(Failure::Ended), "{answer}");
    }
}

#[test]
fn an_answer_that_cannot_be_read_fails() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "220 mail\r\n",
        "\0\0\0\0",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno header at all\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nok\r\n",
    ] {
        let progress = plain(answer.as_bytes());
        assert!(matches!(progress, Progress::Done(Err(Failure::Malformed(_)))), "{answer}: {progress:?}");
    }
}

#[test]
fn a_head_may_have_many_fields_but_not_any_number() {
    let answer = |fields: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(fields)).into_bytes();
    assert_eq!(plain(&answer(256)), Progress::PASSED);
    assert!(matches!(plain(&answer(257)), Progress::Done(Err(Failure::Malformed(_)))));
}

#[test]
fn the_status_must_be_one_of_those_expected() {
    let answer = |status: u16| format!("HTTP/1.1 {status} What\r\nContent-Length: 0\r\n\r\n").into_bytes();
    assert_eq!(plain(&answer(299)), Progress::PASSED);
    assert_eq!(plain(&answer(301)), Progress::failed(Failure::Status(301)));
    assert_eq!(plain(&answer(503)), Progress::failed(Failure::Status(503)));
    let range = |first, last| StatusRange { first, last };
    let url = Url { status: vec![range(200, 200), range(400, 499), range(503, 503)], ..Url::default() };
    for (status, right) in [(200, true), (201, false), (400, true), (499, true), (500, false), (503, true)] {
        let expected = if right { Progress::PASSED } else { Progress::failed(Failure::Status(status)) };
        assert_eq!(answered(&url, &answer(status)), expected);
    }
}

#[test]
fn a_wrong_status_does_not_wait_for_the_body() {
    let mut exchange = of(Url::default());
    let progress = talk(&mut exchange, b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\n", 100).1;
    assert_eq!(progress, Progress::failed(Failure::Status(500)));
}

#[test]
fn the_digest_is_the_md5_of_the_body_however_framed() {
    // What `printf hello | md5sum` prints, which is also what keepalived's genhash does for such a page.
    let url = |digest: &str| Url { digest: Some(digest.into()), ..Url::default() };
    let right = url("5d41402abc4b2a76b9719d911017c592");
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    ] {
        assert_eq!(answered(&right, answer.as_bytes()), Progress::PASSED, "{answer}");
        assert_eq!(answered(&url("5D41402ABC4B2A76B9719D911017C592"), answer.as_bytes()), Progress::PASSED);
        let got = Progress::failed(Failure::Digest("5d41402abc4b2a76b9719d911017c592".into()));
        assert_eq!(answered(&url("00000000000000000000000000000000"), answer.as_bytes()), got);
    }
    let empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answered(&url("d41d8cd98f00b204e9800998ecf8427e"), empty), Progress::PASSED);
}

fn with_regex(expression: &str, change: impl Fn(&mut Pattern)) -> Url {
    let mut pattern = Pattern { expression: expression.into(), ..Pattern::default() };
    change(&mut pattern);
    Url { regex: Some(pattern), ..Url::default() }
}

#[test]
fn the_body_must_match_or_must_not() {
    let body = b"HTTP/1.1 200 OK\r\n\r\nstatus: \xffOK, 3 nodes\n";
    assert_eq!(answered(&with_regex(r"OK, [1-9]\d* nodes", |_| {}), body), Progress::PASSED);
    assert_eq!(answered(&with_regex("(?i)STATUS", |_| {}), body), Progress::PASSED);
    assert_eq!(answered(&with_regex("FAILED", |_| {}), body), Progress::failed(Failure::NoMatch));
    assert_eq!(answered(&with_regex("OK", |regex| regex.negate = true), body), Progress::failed(Failure::Match));
    assert_eq!(answered(&with_regex("FAILED", |regex| regex.negate = true), body), Progress::PASSED);
}

#[test]
fn a_match_is_looked_for_between_its_offsets() {
    let body = b"HTTP/1.1 200 OK\r\n\r\n0123456789";
    let between = |expression: &str, min, max| {
        let url = with_regex(expression, |regex| {
            regex.min_offset = min;
            regex.max_offset = max;
        });
        answered(&url, body) == Progress::PASSED
    };
    assert!(between("3", 3, None) && !between("3", 4, None));
    assert!(between("5", 0, Some(5)) && !between("5", 0, Some(4)));
    assert!(between("56789", 2, Some(5)), "it may end later");
    assert!(!between("9", 100, None));
}

#[test]
fn only_a_window_of_the_body_is_looked_at() {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.extend(vec![b'.'; WINDOW]);
    answer.extend(b"past it");
    let mut exchange = of(with_regex("past", |_| {}));
    talk(&mut exchange, &answer, 4096);
    assert_eq!(exchange.ended(), Progress::failed(Failure::NoMatch));
    let mut exchange = of(with_regex("past", |regex| regex.min_offset = 10));
    talk(&mut exchange, &answer, 4096);
    assert_eq!(exchange.ended(), Progress::PASSED);
}

#[test]
fn every_page_is_asked_for_over_its_own_connection_and_all_must_be_right() {
    let url = |path: &str| Url { path: path.into(), ..Url::default() };
    let http = Http { urls: vec![url("/a"), url("/b")], ..Http::default() };
    let mut exchange = HttpExchange::new(http.requests("192.0.2.1").unwrap());
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (said, progress) = talk(&mut exchange, ok, 100);
    assert!(said.starts_with(b"GET /a "));
    assert_eq!(progress, Progress::Again);
    let (said, progress) = talk(&mut exchange, b"HTTP/1.1 404 No\r\n\r\n", 100);
    assert!(said.starts_with(b"GET /b "));
    assert_eq!(progress, Progress::failed(Failure::Status(404)));
}

#[test]
fn what_has_no_end_fails_at_its_limit() {
    /// Gives it again and again, and returns what it came to and after how many octets.
    fn endless(first: &[u8], again: &[u8]) -> (Progress, usize) {
        let mut exchange = of(Url { digest: Some("0".repeat(32)), ..with_regex("never", |_| {}) });
        let mut progress = talk(&mut exchange, first, first.len()).1;
        let mut given = first.len();
        while progress == Progress::Pending {
            progress = exchange.received(again, &mut Vec::new());
            given += again.len();
            assert!(given < 8 << 20, "no end after {given} octets");
        }
        (progress, given)
    }
    let head = Progress::failed(Failure::TooLong { part: Part::Head, limit: 16 << 10 });
    let body = Progress::failed(Failure::TooLong { part: Part::Body, limit: 1 << 20 });
    let at_most = |(progress, given): (Progress, usize), expected: &Progress, most: usize| {
        assert_eq!(&progress, expected);
        assert!(given <= most, "{given} octets");
    };
    at_most(endless(b"HTTP/1.1 200 OK\r\n", b"X-Again: and again\r\n"), &head, 17 << 10);
    at_most(endless(b"HTTP/1.1 200 ", b"reason "), &head, 17 << 10);
    at_most(endless(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"), &head, 17 << 10);
    let zeros = [0; 5000];
    at_most(endless(b"HTTP/1.1 200 OK\r\n\r\n", &zeros), &body, (1 << 20) + 6000);
    at_most(endless(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", &zeros), &body, 100);
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    at_most(endless(chunked, b"1\r\nx\r\n"), &body, 7 << 20);
    for (again, what) in [(&b"0"[..], "a size"), (b"1;x=y;", "an extension"), (b"0\r\nT: x\r\n\r", "trailers")] {
        let (progress, given) = match what {
            "trailers" => endless(&[&chunked[..], b"0\r\n"].concat(), b"Trailer: again\r\n"),
            _ => endless(chunked, again),
        };
        assert!(matches!(progress, Progress::Done(Err(Failure::Malformed(_)))), "{what}: {progress:?}");
        assert!(given < 6000, "{what}: {given} octets");
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused_with_the_reason() {
    let url = Url::default();
    let refused = |http: Http| http.requests("192.0.2.1").unwrap_err();
    let one = |url: Url| refused(Http { urls: vec![url], ..Http::default() });
    assert_eq!(refused(Http::default()), HttpError::NoUrl);
    for path in ["", "index.html", "/a b", "/a\r\nX: y", "/\u{7f}"] {
        assert_eq!(one(Url { path: path.into(), ..url.clone() }), HttpError::Path(path.into()));
    }
    for host in ["", "a b", "a\nb"] {
        let url = Url { virtual_host: Some(host.into()), ..url.clone() };
        assert_eq!(one(url), HttpError::VirtualHost(host.into()));
    }
    for (first, last) in [(300, 200), (99, 200), (200, 1000)] {
        let status = vec![StatusRange { first, last }];
        assert_eq!(one(Url { status, ..url.clone() }), HttpError::Status { first, last });
    }
    assert_eq!(one(Url { status: Vec::new(), ..url.clone() }), HttpError::NoStatus("/".into()));
    for digest in
        ["", "5d41402abc4b2a76b9719d911017c59", "5d41402abc4b2a76b9719d911017c592a", "gg41402abc4b2a76b9719d911017c592"]
    {
        assert_eq!(one(Url { digest: Some(digest.into()), ..url.clone() }), HttpError::Digest(digest.into()));
    }
    assert!(matches!(one(with_regex("(", |_| {})), HttpError::Regex(_)));
    assert!(matches!(one(with_regex(r"(\w{1000}){1000}", |_| {})), HttpError::Regex(_)), "it would take all memory");
}
