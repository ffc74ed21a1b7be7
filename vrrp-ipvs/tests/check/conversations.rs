//! Conversations of the small protocols, octet by octet.

use vrrp_ipvs::check::command::{Command, End};
use vrrp_ipvs::check::dns::{Dns, DnsExchange, Record};
use vrrp_ipvs::check::file::File;
use vrrp_ipvs::check::http::{Http, HttpExchange, Url};
use vrrp_ipvs::check::ping::PingExchange;
use vrrp_ipvs::check::smtp::{Smtp, SmtpExchange};
use vrrp_ipvs::check::tcp::TcpExchange;
use vrrp_ipvs::check::udp::{Reply, Udp, UdpExchange};
use vrrp_ipvs::check::{Exchange, Failure, Part, Passed, Progress, Stage, Weight};

use crate::servers::talk;

#[test]
fn tcp_is_content_with_a_connection() {
    assert_eq!(TcpExchange.opened(&mut Vec::new()), Progress::PASSED);
    assert_eq!(TcpExchange.expired(false), Err(Failure::TimedOut(Stage::Connect)));
}

fn smtp(input: &[u8]) -> (String, Progress) {
    let whole = talk(&mut SmtpExchange::new(&Smtp::default()), input, input.len().max(1));
    let by_octet = talk(&mut SmtpExchange::new(&Smtp::default()), input, 1);
    assert_eq!(whole, by_octet, "{}", String::from_utf8_lossy(input));
    (String::from_utf8(whole.0).unwrap(), whole.1)
}

#[test]
fn smtp_greets_and_says_good_bye() {
    let (said, progress) = smtp(b"220 mail ESMTP\r\n250 hello\r\n221 bye\r\n");
    assert_eq!(said, "HELO smtpchecker.keepalived.org\r\nQUIT\r\n");
    assert_eq!(progress, Progress::PASSED);
    let named = Smtp { helo_name: "director.example".into() };
    let (said, _) = talk(&mut SmtpExchange::new(&named), b"220 mail\r\n", 3);
    assert_eq!(said, b"HELO director.example\r\n");
}

#[test]
fn smtp_waits_for_the_last_line_of_a_reply() {
    let (said, progress) = smtp(b"220-mail\r\n220-of many lines\r\n");
    assert_eq!((&*said, progress), ("", Progress::Pending));
    let (said, progress) = smtp(b"220-mail\r\n220\r\n250-mail\r\n250-SIZE\n250 HELP\r\n");
    assert_eq!((&*said, progress), ("HELO smtpchecker.keepalived.org\r\nQUIT\r\n", Progress::Pending));
}

#[test]
fn smtp_fails_with_the_code_that_came_and_the_one_expected() {
    let failed = |code, expected| Progress::failed(Failure::SmtpReply { code, expected });
    assert_eq!(smtp(b"554 go away\r\n").1, failed(554, 220));
    assert_eq!(smtp(b"421-too\r\n421 busy\r\n").1, failed(421, 220));
    assert_eq!(smtp(b"220 mail\r\n550 no such host\r\n").1, failed(550, 250));
    // How it says good-bye is its own affair.
    assert_eq!(smtp(b"220 mail\r\n250 hello\r\n500 what?\r\n").1, Progress::PASSED);
}

#[test]
fn smtp_that_ends_before_good_bye_fails() {
    let end = |input: &[u8]| {
        let mut exchange = SmtpExchange::new(&Smtp::default());
        talk(&mut exchange, input, 5);
        exchange.ended()
    };
    assert_eq!(end(b""), Progress::failed(Failure::Ended));
    assert_eq!(end(b"220 mail\r\n250"), Progress::failed(Failure::Ended));
    assert_eq!(end(b"220 mail\r\n250 hello\r\n"), Progress::PASSED);
}

#[test]
fn smtp_garbage_and_endless_lines_fail() {
    for garbage in
        [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"\r\n", b"22\r\n", b"220x\r\n", b"120 soon\r\n", b"\xff\xfe\n"]
    {
        assert!(matches!(smtp(garbage).1, Progress::Done(Err(Failure::Malformed(_)))), "{garbage:?}");
    }
    let endless = Progress::failed(Failure::TooLong { part: Part::Reply, limit: 8192 });
    assert_eq!(smtp(&[b'2'; 9000]).1, endless);
    assert_eq!(smtp(&b"220-more\r\n".repeat(1000)).1, endless);
}

fn dns_question(name: &str, record: Record) -> Vec<u8> {
    Dns { name: name.into(), record }.question().unwrap()
}

/// A response to that question with this code, and an answer that nobody looks at.
fn dns_response(id: u16, code: u8, question: &[u8]) -> Vec<u8> {
    let mut response = id.to_be_bytes().to_vec();
    response.extend([0x81, 0x80 | code, 0, 1, 0, 1, 0, 0, 0, 0]);
    response.extend(question);
    response.extend([0xc0, 12, 0, 6, 0, 1]);
    response
}

#[test]
fn dns_asks_one_question() {
    let question = dns_question(".", Record::Soa);
    let (asked, _) = talk(&mut DnsExchange::new(question, 0x1234), &[], 1);
    assert_eq!(asked, [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1]);
    assert_eq!(dns_question("a.bc.", Record::Aaaa), [1, b'a', 2, b'b', b'c', 0, 0, 28, 0, 1]);
    assert_eq!(dns_question("a.bc", Record::Aaaa), dns_question("a.bc.", Record::Aaaa));
    let numbers = [Record::A, Record::Ns, Record::Cname, Record::Soa, Record::Mx, Record::Txt, Record::Aaaa];
    assert_eq!(numbers.map(|record| dns_question(".", record)[2]), [1, 2, 5, 6, 15, 16, 28]);
}

#[test]
fn dns_passes_with_an_answer_to_its_question_and_fails_with_its_error() {
    let question = dns_question("www.example.", Record::A);
    let answer = |response: &[u8]| talk(&mut DnsExchange::new(question.clone(), 7), response, 65_535).1;
    assert_eq!(answer(&dns_response(7, 0, &question)), Progress::PASSED);
    assert_eq!(answer(&dns_response(7, 0, &dns_question("WWW.Example", Record::A))), Progress::PASSED);
    for (code, name) in [(2, "SERVFAIL"), (3, "NXDOMAIN"), (5, "REFUSED")] {
        assert_eq!(answer(&dns_response(7, code, &question)), Progress::failed(Failure::DnsCode(code)), "{name}");
    }
    // A server that refuses may leave the question out.
    assert_eq!(answer(&[0, 7, 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0]), Progress::failed(Failure::DnsCode(5)));
}

#[test]
fn dns_passes_over_what_is_no_answer_to_its_question() {
    let question = dns_question("www.example.", Record::A);
    let whole = dns_response(7, 0, &question);
    let passed_over =
        |response: &[u8]| talk(&mut DnsExchange::new(question.clone(), 7), response, 65_535).1 == Progress::Pending;
    assert!(passed_over(&dns_response(8, 0, &question)), "another number");
    assert!(passed_over(&dns_response(7, 0, &dns_question("www.example.", Record::Aaaa))), "another question");
    assert!(passed_over(&[0, 7, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "no question and no error");
    let mut asked = whole.clone();
    asked[2] = 1;
    assert!(passed_over(&asked), "a question like ours");
    for length in 0..12 + question.len() {
        assert!(passed_over(&whole[..length]), "cut to {length} octets");
    }
}

#[test]
fn dns_refuses_a_name_that_cannot_be_asked_for() {
    let long = "a".repeat(64);
    let longer = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
    for name in ["a..b", ".a", "..", &long, &longer] {
        let error = Dns { name: name.into(), record: Record::A }.question().unwrap_err().to_string();
        let expected = format!("{name:?} is no name of the DNS: labels of 1..=63 octets, 255 octets in all");
        assert_eq!(error, expected);
    }
}

#[test]
fn udp_sends_its_payload_or_something_random() {
    let given = Udp { payload: Some(vec![1, 2, 3]), reply: None };
    assert_eq!(talk(&mut UdpExchange::new(&given, [9; 16]), &[], 1).0, [1, 2, 3]);
    assert_eq!(talk(&mut UdpExchange::new(&Udp::default(), [9; 16]), &[], 1).0, [9; 16]);
}

#[test]
fn udp_without_require_reply_passes_with_the_time() {
    let mut exchange = UdpExchange::new(&Udp::default(), [0; 16]);
    assert_eq!(exchange.expired(true), Ok(Passed::default()));
    assert_eq!(talk(&mut exchange, b"whatever", 100).1, Progress::PASSED);
}

#[test]
fn udp_with_require_reply_wants_it_as_it_should_be() {
    let reply = Reply { prefix: vec![0xab, 0x12], mask: vec![0xff, 0xf0], min_length: 1, max_length: 4 };
    let udp = Udp { payload: None, reply: Some(reply) };
    let answer = |input: &[u8]| talk(&mut UdpExchange::new(&udp, [0; 16]), input, 100).1;
    assert_eq!(answer(&[0xab, 0x12]), Progress::PASSED);
    assert_eq!(answer(&[0xab, 0x1f, 0, 0]), Progress::PASSED, "the mask leaves four bits alone");
    assert_eq!(answer(&[0xab]), Progress::PASSED, "as far as both go");
    assert_eq!(answer(&[0xab, 0x22]), Progress::failed(Failure::ReplyContent));
    assert_eq!(answer(&[0xac]), Progress::failed(Failure::ReplyContent));
    assert_eq!(answer(&[0xab; 5]), Progress::failed(Failure::ReplyLength(5)));
    let mut empty = UdpExchange::new(&udp, [0; 16]);
    assert_eq!(empty.received(&[], &mut Vec::new()), Progress::failed(Failure::ReplyLength(0)));
    assert_eq!(empty.expired(true), Err(Failure::TimedOut(Stage::Reply)));
}

/// Turns a request into its reply, with a right checksum.
fn ping_reply(request: &[u8], kind: u8) -> Vec<u8> {
    let mut reply = request.to_vec();
    reply[0] = kind;
    reply[2..4].fill(0);
    let sum: u32 = reply.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    reply[2..4].copy_from_slice(&checksum.to_be_bytes());
    reply
}

#[test]
fn ping_asks_for_an_echo_and_knows_it_again() {
    for (v6, kind, answer) in [(false, 8, 0), (true, 128, 129)] {
        let mut exchange = PingExchange::new(v6, 0x0102, [7; 16]);
        let (request, _) = talk(&mut exchange, &[], 1);
        assert_eq!((request.len(), request[0], request[1], &request[4..8]), (24, kind, 0, &[1, 2, 0, 1][..]));
        if !v6 {
            // With its own checksum in it, a message sums up to nothing.
            assert_eq!(ping_reply(&request, kind), request);
        }
        let reply = ping_reply(&request, answer);
        let mut received = |input: &[u8]| exchange.received(input, &mut Vec::new());
        assert_eq!(received(&reply), Progress::PASSED);
        assert_eq!(received(&request), Progress::Pending, "our own request, on loopback");
        let mut renamed = reply.clone();
        renamed[4] = 99;
        assert_eq!(received(&ping_reply(&renamed, answer)), Progress::PASSED, "the kernel chooses the identifier");
        let mut other = reply.clone();
        other[23] = 0;
        assert_eq!(received(&ping_reply(&other, answer)), Progress::Pending, "somebody else's");
        for length in 0..reply.len() {
            assert_eq!(received(&reply[..length]), Progress::Pending, "{length} octets");
        }
        if !v6 {
            let mut damaged = reply.clone();
            damaged[2] ^= 1;
            assert_eq!(received(&damaged), Progress::Pending, "a wrong checksum");
        }
    }
}

#[test]
fn a_command_s_exit_status_is_its_word_and_its_weight_if_dynamic() {
    let plain = Command::default();
    let dynamic = Command { dynamic: true, ..Command::default() };
    let weight = |weight| Ok(Passed { weight: Some(Weight::Is(weight)) });
    assert_eq!(plain.judge(End::Exit(0)), Ok(Passed::default()));
    assert_eq!(plain.judge(End::Exit(2)), Err(Failure::Exit(2)));
    assert_eq!(dynamic.judge(End::Exit(0)), Ok(Passed::default()));
    assert_eq!(dynamic.judge(End::Exit(1)), Err(Failure::Exit(1)));
    assert_eq!(dynamic.judge(End::Exit(2)), weight(0));
    assert_eq!(dynamic.judge(End::Exit(255)), weight(253));
    assert_eq!(dynamic.judge(End::Signal(9)), Err(Failure::Signal(9)));
}

#[test]
fn a_file_s_number_is_added_to_the_weight() {
    let file = |weight, reverse| File { weight, reverse, ..File::default() };
    let more = |more| Ok(Passed { weight: Some(Weight::More(more)) });
    assert_eq!(file(2, false).judge(b"3\n"), more(6));
    assert_eq!(file(2, false).judge(b" -2 "), more(-4));
    assert_eq!(file(2, true).judge(b"3"), more(-6));
    assert_eq!(file(2, false).judge(b""), more(0), "a file just made");
    assert_eq!(file(0, false).judge(b"0\n"), Ok(Passed::default()));
    assert_eq!(file(0, false).judge(b"1\n"), Err(Failure::Value(1)), "without a weight any number is a failure");
    assert_eq!(file(0, true).judge(b"0"), Err(Failure::Value(0)), "or none is");
    assert_eq!(file(0, true).judge(b"-1"), Ok(Passed::default()));
}

#[test]
fn a_file_s_number_can_take_the_server_down() {
    let down = |weight, text: &[u8]| File { weight, ..File::default() }.judge(text);
    assert_eq!(down(1, b"-2147483647"), Err(Failure::Value(-2_147_483_647)));
    assert_eq!(down(1, b"-2147483646"), Ok(Passed { weight: Some(Weight::More(-2_147_483_646)) }));
    assert_eq!(down(i32::MIN, b"9223372036854775807"), Err(Failure::Value(i64::MAX)));
    let fixed = |text: &[u8]| File { weight: 1, fixed: true, ..File::default() }.judge(text);
    assert_eq!(fixed(b"-2147483646"), Ok(Passed::default()), "its weight stays");
    assert_eq!(fixed(b"-2147483647"), Err(Failure::Value(-2_147_483_647)));
}

#[test]
fn a_file_that_is_no_number_is_a_failure() {
    let judge = |text: &[u8]| File { weight: 1, ..File::default() }.judge(text);
    assert_eq!(judge(b"ok\n"), Err(Failure::File("\"ok\" is no number".into())));
    assert_eq!(judge(b"1 2"), Err(Failure::File("\"1 2\" is no number".into())));
    assert!(matches!(judge(b"\xff"), Err(Failure::File(_))));
    assert_eq!(judge(&[b'1'; 65]), Err(Failure::TooLong { part: Part::File, limit: 64 }));
}

#[test]
fn every_failure_can_be_read() {
    assert_eq!(Failure::TimedOut(Stage::Reply).to_string(), "no whole answer in time");
    assert_eq!(Failure::SmtpReply { code: 554, expected: 220 }.to_string(), "SMTP reply 554 instead of 220");
    assert_eq!(Failure::TooLong { part: Part::Body, limit: 9 }.to_string(), "the body is longer than 9 octets");
    assert_eq!(Failure::Status(503).to_string(), "status 503");
}

/// Numbers that look random and are the same in each run (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

#[test]
fn whatever_arrives_nothing_panics_and_an_end_stays_the_end() {
    let question = dns_question("www.example.", Record::A);
    let seeds: Vec<Vec<u8>> = vec![
        b"220 mail\r\n250-hello\r\n250 there\r\n221 bye\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n".to_vec(),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
        dns_response(7, 0, &question),
        ping_reply(&[0, 0, 0, 0, 1, 2, 0, 1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7], 0),
    ];
    let url = Url { digest: Some("0".repeat(32)), ..Url::default() };
    let http = Http { urls: vec![url], ..Http::default() }.requests("192.0.2.1").unwrap();
    let mut state = 1;
    for round in 0..20_000 {
        let mut input = seeds[round % seeds.len()].clone();
        for _ in 0..1 + random(&mut state) % 4 {
            let at = usize::try_from(random(&mut state)).unwrap() % input.len();
            match random(&mut state) % 4 {
                0 => input[at] = random(&mut state).to_le_bytes()[0],
                1 => input.insert(at, random(&mut state).to_le_bytes()[0]),
                2 => input.truncate(at + 1),
                _ => input.extend_from_within(at..),
            }
        }
        let exchanges: [Box<dyn Exchange>; 5] = [
            Box::new(SmtpExchange::new(&Smtp::default())),
            Box::new(HttpExchange::new(http.clone())),
            Box::new(DnsExchange::new(question.clone(), 7)),
            Box::new(UdpExchange::new(&Udp { payload: None, reply: Some(Reply::default()) }, [0; 16])),
            Box::new(PingExchange::new(false, 0x0102, [7; 16])),
        ];
        let piece = 1 + usize::try_from(random(&mut state) % 40).unwrap();
        for mut exchange in exchanges {
            let mut output = Vec::new();
            exchange.opened(&mut output);
            for piece in input.chunks(piece) {
                if exchange.received(piece, &mut output) != Progress::Pending {
                    break;
                }
            }
            // The end may come twice, and more after it.
            exchange.ended();
            exchange.received(&input, &mut output);
            exchange.ended();
            let _ = exchange.expired(true);
            assert!(output.len() < 1000, "it says {} octets", output.len());
        }
    }
}
