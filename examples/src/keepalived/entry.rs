//! The arguments of one keyword, taken one after the other, each checked where it stands.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::config::{Name, Script, Seconds, Weight};
use super::diagnostic::{Diagnostic, Report, nearest};
use super::keyword::{Keyword, read_all};
use super::lexer::{Word, command};
use super::source::Span;
use super::tree::Node;

/// One keyword with its arguments and its block; or a line of a list.
pub(super) struct Entry<'a> {
    node: &'a Node,
    /// The next word.
    next: usize,
    block_is_read: bool,
    report: &'a mut Report,
}

impl<'a> Entry<'a> {
    /// From after the keyword.
    pub(super) fn new(node: &'a Node, report: &'a mut Report) -> Self {
        Self { node, next: 1, block_is_read: false, report }
    }

    /// A line of a list, which has no keyword.
    fn line(node: &'a Node, report: &'a mut Report) -> Self {
        Self { node, next: 0, block_is_read: false, report }
    }

    pub(super) fn keyword(&self) -> &'a str {
        self.node.keyword()
    }

    /// The keyword's place.
    pub(super) fn span(&self) -> Span {
        self.node.span()
    }

    /// The last word that was taken.
    pub(super) fn last_span(&self) -> Span {
        let last = self.next.checked_sub(1).and_then(|last| self.node.words.get(last));
        last.map_or_else(|| self.span(), |word| word.span)
    }

    /// The last word that was taken.
    pub(super) fn last_text(&self) -> &'a str {
        let last = self.next.checked_sub(1).and_then(|last| self.node.words.get(last));
        last.map_or("", |word| &word.text)
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.report.push(diagnostic);
    }

    /// A warning that an option, the last word, has no effect.
    pub(super) fn unsupported(&mut self, why: &str) {
        let span = self.last_span();
        let message = format!("{} is not supported and has no effect", self.last_text());
        self.push(Diagnostic::warning(span, message).with_help(why));
    }

    /// An error about the last word.
    pub(super) fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.last_span(), message)
    }

    /// Whether there are no more words.
    pub(super) fn is_over(&self) -> bool {
        self.next >= self.node.words.len()
    }

    /// The next word, if there is one.
    pub(super) fn optional(&mut self) -> Option<&'a Word> {
        let word = self.node.words.get(self.next)?;
        self.next += 1;
        Some(word)
    }

    /// The next word, if it is this one.
    pub(super) fn optional_word(&mut self, word: &str) -> bool {
        let is = self.node.words.get(self.next).is_some_and(|next| next.text == word);
        self.next += usize::from(is);
        is
    }

    /// The next word, without taking it.
    pub(super) fn peek(&self) -> Option<&'a Word> {
        self.node.words.get(self.next)
    }

    /// The next word. `what` says what it is: `a name`.
    pub(super) fn word(&mut self, what: &str) -> Result<&'a Word, Diagnostic> {
        let span = self.last_span();
        let after = self.next.checked_sub(1).and_then(|last| self.node.words.get(last)).map_or("", |word| &word.text);
        self.optional().ok_or_else(|| Diagnostic::error(span, format!("{what} is missing after {after}")))
    }

    pub(super) fn text(&mut self, what: &str) -> Result<String, Diagnostic> {
        Ok(self.word(what)?.text.clone())
    }

    /// A word that others refer to.
    pub(super) fn name(&mut self, what: &str) -> Result<Name, Diagnostic> {
        let word = self.word(what)?;
        Ok(Name { text: word.text.clone(), span: word.span })
    }

    /// The name of an interface: at most 15 octets (`IFNAMSIZ`), without `/` and white space.
    pub(super) fn interface(&mut self) -> Result<Name, Diagnostic> {
        let name = self.name("the name of an interface")?;
        let odd = |character: char| character == '/' || character.is_whitespace() || character.is_control();
        if name.text.is_empty() || name.text.len() > 15 || name.text.contains(odd) {
            return Err(self.wrong(format!("{:?} is no name of an interface: 1 to 15 characters", name.text)));
        }
        Ok(name)
    }

    /// All words that are left.
    pub(super) fn rest(&mut self) -> &'a [Word] {
        let rest = self.node.words.get(self.next..).unwrap_or_default();
        self.next = self.node.words.len();
        rest
    }

    /// A whole number within a range.
    pub(super) fn number<T>(&mut self, range: RangeInclusive<i64>) -> Result<T, Diagnostic>
    where
        T: TryFrom<i64>,
    {
        let word = self.word("a whole number")?;
        number_of(word, range)
    }

    /// A value of a type that says itself what is wrong with a number.
    pub(super) fn checked<T>(&mut self) -> Result<T, Diagnostic>
    where
        T: TryFrom<u64, Error: std::fmt::Display>,
    {
        let word = self.word("a whole number")?;
        let number: u64 = number_of(word, 0..=i64::MAX)?;
        T::try_from(number).map_err(|error| Diagnostic::error(word.span, error.to_string()))
    }

    /// A length of time in decimal seconds, to the microsecond, within a range of whole seconds.
    pub(super) fn seconds(&mut self, range: RangeInclusive<u64>) -> Result<Seconds, Diagnostic> {
        let word = self.word("a number of seconds")?;
        let duration = seconds(&word.text).ok_or_else(|| {
            Diagnostic::error(word.span, format!("{:?} is no number of seconds, as 3 or 0.5", word.text))
        })?;
        let (least, most) = (Duration::from_secs(*range.start()), Duration::from_secs(*range.end()));
        if duration < least || duration > most {
            let message = format!("{} seconds is not {}..={}", word.text, range.start(), range.end());
            return Err(Diagnostic::error(word.span, message));
        }
        Ok(Seconds(duration))
    }

    /// `on`, `off`, `true`, `false`, `yes` or `no`; on if nothing is said.
    pub(super) fn boolean(&mut self) -> Result<bool, Diagnostic> {
        if self.is_over() {
            return Ok(true);
        }
        const WORDS: &[(&str, bool)] =
            &[("on", true), ("off", false), ("true", true), ("false", false), ("yes", true), ("no", false)];
        self.one_of(WORDS)
    }

    /// One of some words.
    pub(super) fn one_of<T: Copy>(&mut self, words: &[(&'static str, T)]) -> Result<T, Diagnostic> {
        let names = || words.iter().map(|(name, _)| *name);
        let word = self.word(&format!("one of {}", names().collect::<Vec<_>>().join(", ")))?;
        if let Some((_, value)) = words.iter().find(|(name, _)| *name == word.text) {
            return Ok(*value);
        }
        let message = format!("{:?} is not one of {}", word.text, names().collect::<Vec<_>>().join(", "));
        let diagnostic = Diagnostic::error(word.span, message);
        Err(match nearest(&word.text, names()) {
            Some(near) => diagnostic.with_help(format!("did you mean {near}?")),
            None => diagnostic,
        })
    }

    /// What a type can read itself.
    pub(super) fn parse<T: FromStr>(&mut self, what: &str) -> Result<T, Diagnostic> {
        let word = self.word(what)?;
        let wrong = |_| Diagnostic::error(word.span, format!("{:?} is not {what}", word.text));
        word.text.parse().map_err(wrong)
    }

    pub(super) fn address(&mut self) -> Result<IpAddr, Diagnostic> {
        self.parse("an IP address")
    }

    /// An address with the length of its prefix, if that is given.
    pub(super) fn network(&mut self) -> Result<(IpAddr, Option<u8>), Diagnostic> {
        let word = self.word("an IP address")?;
        network(word)
    }

    /// A number of a port.
    pub(super) fn port(&mut self) -> Result<u16, Diagnostic> {
        self.number(1..=65_535)
    }

    /// A command, and the user and group that it runs as.
    pub(super) fn script(&mut self) -> Result<Script, Diagnostic> {
        let word = self.word("a script")?;
        let command = command(&word.text);
        if command.is_empty() {
            return Err(Diagnostic::error(word.span, "this command is empty"));
        }
        let user = self.optional().map(|word| word.text.clone());
        let group = self.optional().map(|word| word.text.clone());
        Ok(Script { line: word.text.clone(), command, user, group, span: word.span })
    }

    /// A weight, `reverse` and its opposites.
    pub(super) fn weight(&mut self, most: i64) -> Result<Weight, Diagnostic> {
        let value = self.number(-most..=most)?;
        let reverse =
            !self.is_over() && self.one_of(&[("reverse", true), ("noreverse", false), ("no_reverse", false)])?;
        Ok(Weight { value, reverse })
    }

    /// Its block, as keywords.
    pub(super) fn block<T>(&mut self, tables: &[&[Keyword<T>]], place: &str, target: &mut T) -> Result<(), Diagnostic> {
        let nodes = self.nodes()?;
        read_all(nodes, tables, place, target, self.report);
        Ok(())
    }

    /// Its block, as a list: `read` takes each line.
    pub(super) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Entry<'_>) -> Result<T, Diagnostic>,
    ) -> Result<Vec<T>, Diagnostic> {
        let mut found = Vec::new();
        for node in self.nodes()? {
            let mut entry = Entry::line(node, self.report);
            match read(&mut entry) {
                Ok(value) => {
                    found.push(value);
                    entry.finish();
                }
                Err(diagnostic) => self.report.push(diagnostic),
            }
        }
        Ok(found)
    }

    /// Whether a keyword is in its block.
    pub(super) fn block_has(&self, keyword: &str) -> bool {
        self.node.block.iter().flatten().any(|node| node.keyword() == keyword)
    }

    fn nodes(&mut self) -> Result<&'a [Node], Diagnostic> {
        self.block_is_read = true;
        let missing = || {
            let message = format!("{} has no block", self.keyword());
            Diagnostic::error(self.span(), message).with_help("a '{' is missing after it")
        };
        self.node.block.as_deref().ok_or_else(missing)
    }

    /// Says what nobody has asked for.
    pub(super) fn finish(mut self) {
        if let Some(word) = self.optional() {
            let message = format!("{:?} is one word too many and has no effect", word.text);
            let help = "put it in quotes with the word before it if the two are one";
            self.report.push(Diagnostic::warning(word.span, message).with_help(help));
        }
        if self.node.block.is_some() && !self.block_is_read {
            let message = format!("{} takes no block", self.keyword());
            self.report
                .push(Diagnostic::error(self.span(), message).with_help("take the '{' after it and its '}' away"));
        }
    }
}

/// A whole number within a range.
pub(super) fn number_of<T: TryFrom<i64>>(word: &Word, range: RangeInclusive<i64>) -> Result<T, Diagnostic> {
    let wrong = |message: String| Diagnostic::error(word.span, message);
    let digits = word.text.trim_start_matches(['-', '+']);
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(wrong(format!("{:?} is no whole number", word.text)));
    }
    let number = word.text.parse::<i64>().ok().filter(|number| range.contains(number));
    let fits = number.and_then(|number| T::try_from(number).ok());
    fits.ok_or_else(|| wrong(format!("{} is not {}..={}", word.text, range.start(), range.end())))
}

/// An address with the length of its prefix, if that is given.
pub(super) fn network(word: &Word) -> Result<(IpAddr, Option<u8>), Diagnostic> {
    let (address, prefix) = match word.text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (word.text.as_str(), None),
    };
    let address: IpAddr =
        address.parse().map_err(|_| Diagnostic::error(word.span, format!("{address:?} is no IP address")))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = |prefix: &str| {
        let length = prefix.parse::<u8>().ok().filter(|length| *length <= most && !prefix.starts_with('+'));
        length.ok_or_else(|| Diagnostic::error(word.span, format!("prefix length {prefix:?} is not 0..={most}")))
    };
    Ok((address, prefix.map(length).transpose()?))
}

/// Decimal seconds, to the microsecond; what is finer is cut off.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let micros: u32 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some(Duration::new(whole, micros.checked_mul(1000)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_decimal_to_the_microsecond() {
        let of = |text| seconds(text).map(|duration| duration.as_micros());
        assert_eq!(of("3"), Some(3_000_000));
        assert_eq!(of("2.71828"), Some(2_718_280));
        assert_eq!(of("0.00000199"), Some(1));
        assert_eq!((of(".5"), of("5.")), (Some(500_000), Some(5_000_000)));
        for text in ["", ".", "-1", "+1", "1e3", "1s", "1.5.2", "99999999999999999999"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_is_digits_within_its_range() {
        let of = |text: &str| {
            let word = Word { text: text.into(), span: Span::default(), quoted: false };
            number_of::<u8>(&word, 1..=300).map_err(|diagnostic| diagnostic.message)
        };
        assert_eq!(of("255"), Ok(255));
        assert_eq!(of("0"), Err("0 is not 1..=300".into()));
        assert_eq!(of("256"), Err("256 is not 1..=300".into()), "it does not fit the type");
        assert_eq!(of("99999999999999999999"), Err("99999999999999999999 is not 1..=300".into()));
        for text in ["", "-", "0x1", "1 ", "1.0", "\u{661}"] {
            assert!(of(text).unwrap_err().ends_with("is no whole number"), "{text}");
        }
    }

    #[test]
    fn a_prefix_is_as_long_as_the_address_allows() {
        let of = |text: &str| {
            let word = Word { text: text.into(), span: Span::default(), quoted: false };
            network(&word).map_err(|diagnostic| diagnostic.message)
        };
        assert_eq!(of("192.0.2.1/24"), Ok(("192.0.2.1".parse().unwrap(), Some(24))));
        assert_eq!(of("192.0.2.1/33"), Err("prefix length \"33\" is not 0..=32".into()));
        assert_eq!(of("2001:db8::1/129"), Err("prefix length \"129\" is not 0..=128".into()));
        assert_eq!(of("192.0.2.1/"), Err("prefix length \"\" is not 0..=32".into()));
        assert_eq!(of("300.0.2.1"), Err("\"300.0.2.1\" is no IP address".into()));
    }
}
