//! The conversations of the health checks with a server that says anything: none panics, an answer means the same in whatever
//! pieces it comes, nobody says more than a few words, and what does not end by itself ends with the time.
//!
//! An input is an octet that names the check, one that says in which pieces a stream comes, and what the server sends:
//!
//! | first octet | check |
//! |---|---|
//! | h | HTTP: status 200 to 299 |
//! | d | HTTP: and a digest |
//! | r | HTTP: and a regular expression from octet 3 on |
//! | s | SMTP |
//! | n | DNS: the A record of `a.example`, number 7 |
//! | u | UDP: a reply of at most 9 octets that begins with x, whatever its case |
//! | p | ping over IPv4 |
//! | P | ping over IPv6 |

use std::mem::discriminant;
use std::sync::LazyLock;

use vrrp_ipvs::check::dns::{Dns, DnsExchange, Record};
use vrrp_ipvs::check::http::{Http, HttpExchange, Pattern, Requests, Url};
use vrrp_ipvs::check::ping::PingExchange;
use vrrp_ipvs::check::smtp::{Smtp, SmtpExchange};
use vrrp_ipvs::check::udp::{Reply, Udp, UdpExchange};
use vrrp_ipvs::check::{Exchange, Progress};

/// Lets a server say an input; false if it names no check.
pub fn read(input: &[u8]) -> bool {
    let [kind, pieces, said @ ..] = input else { return false };
    let Some(whole) = converse(*kind, said, said.len()) else { return false };
    if matches!(kind, b'h' | b'd' | b'r' | b's') {
        let piece = usize::from(*pieces) + 1;
        let in_pieces = converse(*kind, said, piece).expect("there is such a check");
        assert_eq!(kind_of(&whole), kind_of(&in_pieces), "{whole:?} at once, {in_pieces:?} in pieces of {piece}");
    }
    true
}

/// Whether it passed, failed or goes on. Why it failed may depend on what is there already when it is seen.
fn kind_of(progress: &Progress) -> (std::mem::Discriminant<Progress>, bool) {
    (discriminant(progress), matches!(progress, Progress::Done(Ok(_))))
}

/// What the check makes of it, the end of the stream or of the time included.
fn converse(kind: u8, said: &[u8], piece: usize) -> Option<Progress> {
    let mut exchange = exchange(kind)?;
    let mut output = Vec::new();
    let mut progress = exchange.opened(&mut output);
    // An empty datagram arrives too.
    let pieces: Vec<&[u8]> = if said.is_empty() { vec![said] } else { said.chunks(piece.max(1)).collect() };
    for part in pieces {
        if progress != Progress::Pending {
            break;
        }
        progress = exchange.received(part, &mut output);
    }
    if progress == Progress::Pending {
        progress = exchange.ended();
    }
    if progress == Progress::Pending {
        progress = Progress::Done(exchange.expired(true));
    }
    // Nobody may ask it any more, but that is no reason to fall.
    let _ = (exchange.received(said, &mut output), exchange.ended());
    assert!(output.len() < 1000, "it says {} octets", output.len());
    if let Progress::Done(Err(failure)) = &progress {
        assert!(failure.to_string().len() < 1000, "{failure}");
    }
    Some(progress)
}

fn exchange(kind: u8) -> Option<Box<dyn Exchange>> {
    Some(match kind {
        b'h' => Box::new(HttpExchange::new(PLAIN.clone())),
        b'd' => Box::new(HttpExchange::new(DIGEST.clone())),
        b'r' => Box::new(HttpExchange::new(REGEX.clone())),
        b's' => Box::new(SmtpExchange::new(&Smtp::default())),
        b'n' => {
            let question = Dns { name: "a.example".into(), record: Record::A }.question().expect("a name");
            Box::new(DnsExchange::new(question, 7))
        }
        b'u' => {
            let reply = Reply { prefix: b"x".to_vec(), mask: vec![0xdf], max_length: 9, ..Reply::default() };
            Box::new(UdpExchange::new(&Udp { payload: None, reply: Some(reply) }, [0; 16]))
        }
        b'p' | b'P' => Box::new(PingExchange::new(kind == b'P', 0x0102, *b"sixteen octets!!")),
        _ => return None,
    })
}

static PLAIN: LazyLock<Requests> = LazyLock::new(|| pages(Url::default()));

/// Of an empty body.
static DIGEST: LazyLock<Requests> =
    LazyLock::new(|| pages(Url { digest: Some("d41d8cd98f00b204e9800998ecf8427e".into()), ..Url::default() }));

static REGEX: LazyLock<Requests> = LazyLock::new(|| {
    let pattern = Pattern { expression: "(?i)o+k$".into(), min_offset: 3, ..Pattern::default() };
    pages(Url { regex: Some(pattern), ..Url::default() })
});

/// A body of more than 1,000 octets is too long.
fn pages(url: Url) -> Requests {
    Http { urls: vec![url], body_limit: 1000, ..Http::default() }.requests("192.0.2.1").expect("a request")
}
