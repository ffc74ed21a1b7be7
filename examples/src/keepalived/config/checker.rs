//! The checkers of a real server.

use std::net::IpAddr;

use serde::Serialize;
use vrrp_ipvs::check::dns::{Dns, Record};
use vrrp_ipvs::check::http::{Http, Pattern, StatusRange, Url, Version};
use vrrp_ipvs::check::smtp::Smtp;
use vrrp_ipvs::check::udp::{Reply, Udp};

use super::value::{Name, Script, Seconds, Weight};
use crate::keepalived::diagnostic::Diagnostic;
use crate::keepalived::entry::Entry;
use crate::keepalived::keyword::{Keyword, read, unsupported, unsupported_block};
use crate::keepalived::lexer::Word;

/// What a real server is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checker {
    /// Where to; `None`: the real server.
    pub connect_ip: Option<IpAddr>,
    /// To which port; `None`: the real server's.
    pub connect_port: Option<u16>,
    /// From which address.
    pub bindto: Option<IpAddr>,
    /// From which port.
    pub bind_port: Option<u16>,
    /// By which interface.
    pub bind_if: Option<Name>,
    /// With which mark on its packets.
    pub fwmark: Option<u32>,
    /// When.
    pub timing: Timing,
    /// Each failed attempt is logged.
    pub log_all_failures: Option<bool>,
    /// What.
    pub question: Question,
    /// Where it stands.
    #[serde(skip)]
    pub span: crate::keepalived::source::Span,
}

/// When and how often is asked. What is `None` is as the real server says, then the virtual server, then the checker's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Timing {
    /// From one attempt to the next. Default: 60 s.
    pub delay_loop: Option<Seconds>,
    /// How long a connection may take. Default: 5 s.
    pub connect_timeout: Option<Seconds>,
    /// How many failed attempts are made again. Default: 1; 3 for DNS, 0 for a program.
    pub retry: Option<u32>,
    /// From a failed attempt to the next. Default: 1 s; 3 s for HTTP, `delay_loop` for DNS.
    pub delay_before_retry: Option<Seconds>,
    /// Longest random wait before the first attempt. Default: `delay_loop`.
    pub warmup: Option<Seconds>,
    /// The server is down until it first passes.
    pub alpha: Option<bool>,
}

impl Timing {
    /// With what others say where this one says nothing.
    pub fn or(self, others: Self) -> Self {
        Self {
            delay_loop: self.delay_loop.or(others.delay_loop),
            connect_timeout: self.connect_timeout.or(others.connect_timeout),
            retry: self.retry.or(others.retry),
            delay_before_retry: self.delay_before_retry.or(others.delay_before_retry),
            warmup: self.warmup.or(others.warmup),
            alpha: self.alpha.or(others.alpha),
        }
    }

    /// Reads one of its keywords.
    pub(super) fn read(&mut self, entry: &mut Entry<'_>) -> Result<(), Diagnostic> {
        match entry.keyword() {
            "delay_loop" => self.delay_loop = Some(positive(entry)?),
            "connect_timeout" => self.connect_timeout = Some(positive(entry)?),
            "delay_before_retry" => self.delay_before_retry = Some(entry.seconds(0..=LONGEST)?),
            "warmup" => self.warmup = Some(entry.seconds(0..=LONGEST)?),
            "alpha" => self.alpha = Some(entry.boolean()?),
            _ => self.retry = Some(entry.number(0..=i64::from(u32::MAX))?),
        }
        Ok(())
    }
}

/// Longest time of a checker, in seconds.
const LONGEST: u64 = 4294;

fn positive(entry: &mut Entry<'_>) -> Result<Seconds, Diagnostic> {
    let seconds = entry.seconds(0..=LONGEST)?;
    if seconds.0.is_zero() { Err(entry.wrong("0 seconds: at least 0.001")) } else { Ok(seconds) }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// `TCP_CHECK`.
    Tcp,
    /// `HTTP_GET`.
    Http(Http),
    /// `SSL_GET`.
    Https {
        /// The pages.
        http: Http,
        /// The name of the server is sent before it is proved.
        enable_sni: bool,
    },
    /// `SMTP_CHECK`.
    Smtp(Smtp),
    /// `DNS_CHECK`.
    Dns(Dns),
    /// `UDP_CHECK`.
    Udp(Udp),
    /// `PING_CHECK`.
    Ping,
    /// `MISC_CHECK`.
    Misc {
        /// The program; missing is an error.
        path: Option<Script>,
        /// How long it may take. Default: `delay_loop`.
        timeout: Option<Seconds>,
        /// Its exit status is a weight.
        dynamic: bool,
    },
    /// `FILE_CHECK`.
    File {
        /// A `track_file`; missing is an error.
        track_file: Option<Name>,
        /// What the number in it is multiplied with; `None`: as the `track_file` says.
        weight: Option<Weight>,
        /// It changes the weight.
        dynamic: bool,
    },
}

/// Pages as keepalived asks for them unless told otherwise: by HTTP/1.0.
pub(super) fn http() -> Http {
    Http { version: Version::Http10, ..Http::default() }
}

/// Reads the block of a checker.
pub(super) fn checker(question: Question, entry: &mut Entry<'_>) -> Result<Checker, Diagnostic> {
    let tables: &[Table] = match &question {
        Question::Tcp | Question::Ping => &[CONNECTION, TIMING],
        Question::Http(_) | Question::Https { .. } => &[HTTP, CONNECTION, TIMING],
        Question::Smtp(_) => &[SMTP, CONNECTION, TIMING],
        Question::Dns(_) => &[DNS, CONNECTION, TIMING],
        Question::Udp(_) => &[UDP, CONNECTION, TIMING],
        Question::Misc { .. } => &[MISC, TIMING],
        Question::File { .. } => &[FILE],
    };
    let mut checker = Checker {
        connect_ip: None,
        connect_port: None,
        bindto: None,
        bind_port: None,
        bind_if: None,
        fwmark: None,
        timing: Timing::default(),
        log_all_failures: None,
        question,
        span: entry.span(),
    };
    let place = entry.keyword();
    entry.block(tables, place, &mut checker)?;
    if let Some(missing) = checker.missing() {
        return Err(Diagnostic::error(checker.span, format!("{missing} is missing in this {place}")));
    }
    Ok(checker)
}

impl Checker {
    fn missing(&self) -> Option<&'static str> {
        match &self.question {
            Question::Misc { path: None, .. } => Some("misc_path"),
            Question::File { track_file: None, .. } => Some("track_file"),
            Question::Http(http) | Question::Https { http, .. } if http.urls.is_empty() => Some("url"),
            _ => None,
        }
    }

    fn http(&mut self) -> Option<&mut Http> {
        match &mut self.question {
            Question::Http(http) | Question::Https { http, .. } => Some(http),
            _ => None,
        }
    }

    fn reply(&mut self) -> Option<&mut Reply> {
        match &mut self.question {
            Question::Udp(udp) => Some(udp.reply.get_or_insert_default()),
            _ => None,
        }
    }
}

type Table = &'static [Keyword<Checker>];

const CONNECTION: Table = &[
    read(&["connect_ip"], |checker, entry| {
        checker.connect_ip = Some(entry.address()?);
        Ok(())
    }),
    read(&["connect_port"], |checker, entry| {
        checker.connect_port = Some(entry.port()?);
        Ok(())
    }),
    read(&["bindto"], |checker, entry| {
        checker.bindto = Some(entry.address()?);
        Ok(())
    }),
    read(&["bind_if"], |checker, entry| {
        checker.bind_if = Some(entry.interface()?);
        Ok(())
    }),
    read(&["bind_port"], |checker, entry| {
        checker.bind_port = Some(entry.port()?);
        Ok(())
    }),
    read(&["fwmark"], |checker, entry| {
        checker.fwmark = Some(entry.number(0..=i64::from(u32::MAX))?);
        Ok(())
    }),
];

const TIMING: Table = &[
    read(&["delay_loop"], |checker, entry| checker.timing.read(entry)),
    read(&["connect_timeout"], |checker, entry| checker.timing.read(entry)),
    read(&["retry"], |checker, entry| checker.timing.read(entry)),
    read(&["delay_before_retry"], |checker, entry| checker.timing.read(entry)),
    read(&["warmup"], |checker, entry| checker.timing.read(entry)),
    read(&["alpha"], |checker, entry| checker.timing.read(entry)),
    read(&["log_all_failures"], |checker, entry| {
        checker.log_all_failures = Some(entry.boolean()?);
        Ok(())
    }),
];

const HTTP: Table = &[
    // Without TLS nobody is told.
    read(&["enable_sni"], |checker, entry| {
        let on = entry.boolean()?;
        if let Question::Https { enable_sni, .. } = &mut checker.question {
            *enable_sni = on;
        }
        Ok(())
    }),
    // The name of the time when only this kind had one.
    read(&["nb_get_retry"], |checker, entry| checker.timing.read(entry)),
    read(&["url"], |checker, entry| {
        let mut page = Page::default();
        entry.block(&[URL], "url", &mut page)?;
        if let Some(http) = checker.http() {
            http.urls.push(page.url());
        }
        Ok(())
    }),
    read(&["virtualhost"], |checker, entry| {
        let host = entry.text("a name")?;
        if let Some(http) = checker.http() {
            http.virtual_host = Some(host);
        }
        Ok(())
    }),
    read(&["http_protocol"], |checker, entry| {
        let version = entry.one_of(&[
            ("1.0", Version::Http10),
            ("1.0C", Version::Http10Close),
            ("1.0c", Version::Http10Close),
            ("1.1", Version::Http11),
        ])?;
        if let Some(http) = checker.http() {
            http.version = version;
        }
        Ok(())
    }),
    // All pages are fetched in one attempt anyway, and one that passes brings the server up.
    read(&["fast_recovery"], |_, entry| entry.boolean().map(|_| ())),
];

const SMTP: Table = &[
    read(&["helo_name"], |checker, entry| {
        let name = entry.text("a name")?;
        if let Question::Smtp(smtp) = &mut checker.question {
            smtp.helo_name = name;
        }
        Ok(())
    }),
    unsupported_block(
        &["host"],
        "write an SMTP_CHECK for each host",
        &["connect_ip", "connect_port", "bindto", "bind_port", "bind_if", "fwmark", "connect_timeout"],
    ),
];

const DNS: Table = &[
    read(&["type"], |checker, entry| {
        let record = entry.one_of(&[
            ("A", Record::A),
            ("NS", Record::Ns),
            ("CNAME", Record::Cname),
            ("SOA", Record::Soa),
            ("MX", Record::Mx),
            ("TXT", Record::Txt),
            ("AAAA", Record::Aaaa),
        ])?;
        if let Question::Dns(dns) = &mut checker.question {
            dns.record = record;
        }
        Ok(())
    }),
    read(&["name"], |checker, entry| {
        let name = entry.text("a name")?;
        if let Question::Dns(dns) = &mut checker.question {
            dns.name = name;
        }
        Ok(())
    }),
];

const UDP: Table = &[
    read(&["payload"], |checker, entry| {
        let (octets, _) = hexadecimal(entry, false)?;
        if let Question::Udp(udp) = &mut checker.question {
            udp.payload = Some(octets);
        }
        Ok(())
    }),
    read(&["require_reply"], |checker, entry| {
        let (prefix, mask) = if entry.is_over() { (Vec::new(), Vec::new()) } else { hexadecimal(entry, true)? };
        if let Some(reply) = checker.reply() {
            (reply.prefix, reply.mask) = (prefix, mask);
        }
        Ok(())
    }),
    read(&["min_reply_length"], |checker, entry| {
        let length = entry.number(0..=65_507)?;
        if let Some(reply) = checker.reply() {
            reply.min_length = length;
        }
        Ok(())
    }),
    read(&["max_reply_length"], |checker, entry| {
        let length = entry.number(0..=65_507)?;
        if let Some(reply) = checker.reply() {
            reply.max_length = length;
        }
        Ok(())
    }),
];

const MISC: Table = &[
    read(&["misc_path"], |checker, entry| {
        let mut script = entry.script()?;
        if let Question::Misc { path, .. } = &mut checker.question {
            if let Some(before) = path.take() {
                (script.user, script.group) = (before.user, before.group);
            }
            *path = Some(script);
        }
        Ok(())
    }),
    read(&["misc_timeout"], |checker, entry| {
        let seconds = positive(entry)?;
        if let Question::Misc { timeout, .. } = &mut checker.question {
            *timeout = Some(seconds);
        }
        Ok(())
    }),
    read(&["misc_dynamic"], |checker, _| {
        if let Question::Misc { dynamic, .. } = &mut checker.question {
            *dynamic = true;
        }
        Ok(())
    }),
    read(&["user"], |checker, entry| {
        let user = entry.text("the name of a user")?;
        let group = entry.optional().map(|word| word.text.clone());
        match &mut checker.question {
            Question::Misc { path: Some(script), .. } => (script.user, script.group) = (Some(user), group),
            _ => return Err(entry.wrong("user stands before misc_path").with_help("put it after misc_path")),
        }
        Ok(())
    }),
];

const FILE: Table = &[
    read(&["track_file"], |checker, entry| {
        let name = entry.name("the name of a track_file")?;
        if let Question::File { track_file, .. } = &mut checker.question {
            *track_file = Some(name);
        }
        Ok(())
    }),
    read(&["weight"], |checker, entry| {
        let read = entry.weight(i64::from(i32::MAX))?;
        if let Question::File { weight, .. } = &mut checker.question {
            *weight = Some(read);
        }
        Ok(())
    }),
    read(&["dynamic"], |checker, _| {
        if let Question::File { dynamic, .. } = &mut checker.question {
            *dynamic = true;
        }
        Ok(())
    }),
];

/// A page while it is read.
#[derive(Default)]
struct Page {
    url: Url,
    pattern: Pattern,
    /// Flags of the expression, in the words of the crate `regex`.
    flags: String,
    /// `status_code` was given: what it says is not added to the default.
    has_status: bool,
}

impl Page {
    fn url(self) -> Url {
        let Self { mut url, mut pattern, flags, .. } = self;
        if !flags.is_empty() {
            pattern.expression = format!("(?{flags}){}", pattern.expression);
        }
        url.regex = Some(pattern).filter(|pattern| !pattern.expression.is_empty());
        url
    }
}

/// Options of PCRE that the crate `regex` has too, or that change nothing there.
const REGEX_OPTIONS: &[(&str, &str)] = &[
    ("caseless", "i"),
    ("dotall", "s"),
    ("extended", "x"),
    ("multiline", "m"),
    ("ungreedy", "U"),
    ("utf", ""),
    ("ucp", ""),
    ("no_auto_capture", ""),
    ("no_auto_possess", ""),
    ("no_dotstar_anchor", ""),
    ("no_start_optimize", ""),
    ("never_backslash_c", ""),
    ("use_offset_limit", ""),
    ("dollar_endonly", ""),
];

/// Those that it has not.
const OTHER_REGEX_OPTIONS: &[&str] = &[
    "allow_empty_class",
    "alt_bsux",
    "auto_callout",
    "dupnames",
    "firstline",
    "match_unset_backref",
    "never_ucp",
    "never_utf",
    "alt_circumflex",
    "alt_verbnames",
];

const URL: &[Keyword<Page>] = &[
    read(&["path"], |page, entry| {
        page.url.path = entry.text("a path")?;
        can_be_asked(Url { path: page.url.path.clone(), ..Url::default() }, entry)
    }),
    read(&["digest"], |page, entry| {
        let digest = entry.text("an MD5 in hexadecimal")?;
        if digest.len() != 32 || !digest.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err(entry.wrong(format!("{digest:?} is no MD5: 32 hexadecimal digits")));
        }
        page.url.digest = Some(digest.to_lowercase());
        Ok(())
    }),
    read(&["status_code"], |page, entry| {
        if !std::mem::replace(&mut page.has_status, true) {
            page.url.status.clear();
        }
        loop {
            let word = entry.word("a status, as 200 or 200-299")?;
            page.url.status.push(status(word)?);
            if entry.is_over() {
                return Ok(());
            }
        }
    }),
    read(&["virtualhost"], |page, entry| {
        page.url.virtual_host = Some(entry.text("a name")?);
        Ok(())
    }),
    read(&["regex"], |page, entry| {
        page.pattern.expression = entry.text("a regular expression")?;
        can_be_asked(Url { regex: Some(page.pattern.clone()), ..Url::default() }, entry)
    }),
    read(&["regex_no_match"], |page, _| {
        page.pattern.negate = true;
        Ok(())
    }),
    read(&["regex_options"], |page, entry| {
        while let Some(next) = entry.peek() {
            if OTHER_REGEX_OPTIONS.contains(&next.text.as_str()) {
                entry.optional();
                entry.unsupported("regular expressions are those of the Rust crate regex");
            } else {
                page.flags.push_str(entry.one_of(REGEX_OPTIONS)?);
            }
        }
        Ok(())
    }),
    read(&["regex_min_offset"], |page, entry| {
        page.pattern.min_offset = entry.number(0..=i64::MAX)?;
        Ok(())
    }),
    read(&["regex_max_offset"], |page, entry| {
        page.pattern.max_offset = Some(entry.number(0..=i64::MAX)?);
        Ok(())
    }),
    unsupported(&["regex_stack"], "regular expressions here need no stack"),
];

/// Whether the checks of the library take it.
fn can_be_asked(url: Url, entry: &Entry<'_>) -> Result<(), Diagnostic> {
    let http = Http { urls: vec![url], ..Http::default() };
    // The crate regex draws the place over several lines, and says what is wrong in the last.
    let last = |text: String| text.lines().next_back().map(|line| line.trim_start_matches("error: ").to_owned());
    let wrong = |error: String| entry.wrong(last(error).unwrap_or_default());
    http.requests("localhost").map(|_| ()).map_err(|error| wrong(error.to_string()))
}

fn status(word: &Word) -> Result<StatusRange, Diagnostic> {
    let wrong = || {
        let message = format!("{:?} is no status: 100 to 999, or two with a - between", word.text);
        Diagnostic::error(word.span, message)
    };
    let number = |text: &str| text.parse().ok().filter(|status| (100..=999).contains(status));
    let (first, last) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(StatusRange { first, last }),
        _ => Err(wrong()),
    }
}

/// Octets in hexadecimal, with spaces anywhere between them, and which of their bits count: `x` stands for four that do not.
/// A digit that is alone between spaces is an octet.
fn hexadecimal(entry: &mut Entry<'_>, wild: bool) -> Result<(Vec<u8>, Vec<u8>), Diagnostic> {
    let (mut octets, mut mask) = (Vec::new(), Vec::new());
    loop {
        let word = entry.word("octets in hexadecimal")?;
        for group in word.text.split_whitespace() {
            let mut digits = group.chars();
            while let Some(first) = digits.next() {
                let digit = |character: char| match (character.to_digit(16), character) {
                    (Some(value), _) => Ok((u8::try_from(value).unwrap_or_default(), 0xf_u8)),
                    (None, 'x' | 'X') if wild => Ok((0, 0)),
                    _ => Err(Diagnostic::error(word.span, format!("{character:?} is no hexadecimal digit"))),
                };
                let (high, low) = match digits.next() {
                    Some(second) => (digit(first)?, digit(second)?),
                    None => ((0, 0xf), digit(first)?),
                };
                octets.push(high.0 << 4 | low.0);
                mask.push(high.1 << 4 | low.1);
            }
        }
        if entry.is_over() {
            return Ok((octets, mask));
        }
    }
}
