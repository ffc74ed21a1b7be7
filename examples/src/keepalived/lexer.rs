//! Words, quoted strings, braces and comments of a line.

use super::diagnostic::Diagnostic;
use super::source::Span;
use super::text::Text;

/// What a line consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    Open(Span),
    Close(Span),
}

/// A word: what stands between white space, with its quotes taken off and its escapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) span: Span,
    /// Some of it stood in quotes: it is one word whatever it holds.
    pub(super) quoted: bool,
}

/// A line without its comment: from a `#` or `!` that is in no quotes. keepalived does not ask for a space before it.
pub(super) fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '#' | '!') => return line.get(..at).unwrap_or_default(),
            (None, '"' | '\'') => quote = Some(character),
            (None, _) => {}
        }
    }
    line
}

/// Takes a line apart. What is wrong with it is said, and what can be made of it is used, so that the rest is read too.
pub(super) fn tokens(line: &Text, problem: &mut dyn FnMut(Diagnostic)) -> Vec<Token> {
    let mut found = Vec::new();
    let mut characters = line.as_str().char_indices().peekable();
    while let Some((at, character)) = characters.peek().copied() {
        match character {
            '{' | '}' => {
                characters.next();
                let span = line.span(at..at + 1);
                found.push(if character == '{' { Token::Open(span) } else { Token::Close(span) });
            }
            _ if character.is_whitespace() => {
                characters.next();
            }
            _ => found.push(Token::Word(word(line, at, &mut characters, problem))),
        }
    }
    found
}

/// Takes the words of a command apart, as keepalived does: what stands in quotes is one, with its spaces.
pub(super) fn command(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    for character in text.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                current.get_or_insert_default();
            }
            (None, _) if character.is_whitespace() => words.extend(current.take()),
            _ => current.get_or_insert_default().push(character),
        }
    }
    words.extend(current);
    words
}

type Characters<'a> = std::iter::Peekable<std::str::CharIndices<'a>>;

fn word(line: &Text, start: usize, characters: &mut Characters<'_>, problem: &mut dyn FnMut(Diagnostic)) -> Word {
    let mut text = String::new();
    let mut quote: Option<(char, usize)> = None;
    let mut quoted = false;
    let mut end = start;
    // `${NAME}`, which nothing defines, is no block.
    let mut reference = false;
    while let Some((at, character)) = characters.peek().copied() {
        let is_reference = character == '{' && quote.is_none() && text.ends_with('$');
        let ends = match character {
            '{' => !is_reference,
            '}' => !reference,
            _ => character.is_whitespace(),
        };
        if quote.is_none() && ends {
            break;
        }
        characters.next();
        end = at + character.len_utf8();
        match (quote, character) {
            (Some((open, _)), _) if open == character => quote = None,
            (Some(_), '\\') => end = escape(&mut text, characters).unwrap_or(end),
            (None, '"' | '\'') => {
                quote = Some((character, at));
                quoted = true;
            }
            (_, '\0') => problem(
                Diagnostic::error(line.span(at..at + 1), "a NUL character")
                    .with_help("the file is damaged, or no text"),
            ),
            _ => text.push(character),
        }
        reference = is_reference || (reference && character != '}');
    }
    if let Some((open, at)) = quote {
        problem(
            Diagnostic::error(line.span(at..at + 1), format!("no {open} ends what this one begins"))
                .with_help("a quoted string ends on its line"),
        );
    }
    Word { text, span: line.span(start..end), quoted }
}

/// One escape of a quoted string: those of C and the shell, octal and hexadecimal. Where it ends.
fn escape(text: &mut String, characters: &mut Characters<'_>) -> Option<usize> {
    let (at, character) = characters.next()?;
    let end = at + character.len_utf8();
    let digits = |characters: &mut Characters<'_>, radix, most: u32| {
        let (mut value, mut end, mut count) = (0_u32, end, 0_u32);
        while let Some((at, digit)) = characters.peek().and_then(|(at, c)| Some((*at, c.to_digit(radix)?))) {
            if count == most {
                break;
            }
            characters.next();
            (value, end, count) = (value.wrapping_mul(radix).wrapping_add(digit) & 0xff, at + 1, count + 1);
        }
        (value, end, count)
    };
    let mut push = |value: u32| text.extend(char::from_u32(value).filter(|character| *character != '\0'));
    match character {
        'a' => push(7),
        'b' => push(8),
        'E' => push(27),
        'f' => push(12),
        'n' => push(10),
        'r' => push(13),
        't' => push(9),
        'v' => push(11),
        '0'..='7' => {
            let (rest, end, count) = digits(characters, 8, 2);
            let first = character.to_digit(8).unwrap_or_default();
            push((first.wrapping_mul(8_u32.pow(count)).wrapping_add(rest)) & 0xff);
            return Some(end);
        }
        'x' => {
            let (value, end, _) = digits(characters, 16, u32::MAX);
            push(value);
            return Some(end);
        }
        'c' => {
            let (at, control) = characters.next()?;
            push(u32::from(control) & 0x1f);
            return Some(at + control.len_utf8());
        }
        _ => push(u32::from(character)),
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Text {
        Text::verbatim(text, Span { source: 0, start: 0, end: u32::try_from(text.len()).unwrap() })
    }

    fn lexed(text: &str) -> (Vec<String>, Vec<String>) {
        let mut problems = Vec::new();
        let tokens = tokens(&line(text), &mut |diagnostic| problems.push(diagnostic.message));
        let shown = tokens.into_iter().map(|token| match token {
            Token::Word(word) => word.text,
            Token::Open(_) => "{".into(),
            Token::Close(_) => "}".into(),
        });
        (shown.collect(), problems)
    }

    fn words(text: &str) -> Vec<String> {
        let (words, problems) = lexed(text);
        assert_eq!(problems, [""; 0], "{text}");
        words
    }

    #[test]
    fn a_comment_begins_anywhere_but_in_quotes() {
        assert_eq!(without_comment("priority 10!0"), "priority 10");
        assert_eq!(without_comment("interface eth0#x"), "interface eth0");
        assert_eq!(without_comment("script \"a # b\" # c"), "script \"a # b\" ");
        assert_eq!(without_comment(r##"script "a \" # b" ! c"##), r##"script "a \" # b" "##);
        assert_eq!(without_comment("# don't"), "");
    }

    #[test]
    fn quotes_hold_words_together_and_vanish() {
        assert_eq!(words("abcd\" efg h jkl \"mnop"), ["abcd efg h jkl mnop"]);
        assert_eq!(words("abcd \"efg h jkl\" mnop"), ["abcd", "efg h jkl", "mnop"]);
        assert_eq!(words("script \"/x 'a b'\""), ["script", "/x 'a b'"]);
        assert_eq!(words("a '' b"), ["a", "", "b"]);
    }

    #[test]
    fn escapes_are_those_of_the_manual() {
        assert_eq!(words(r#""\a\b\E\f\n\r\t\v""#), ["\x07\x08\x1b\x0c\n\r\t\x0b"]);
        assert_eq!(words(r#""\101\60x\x41 \x4a\cA\\\"\.""#), ["A0xA J\x01\\\"."]);
        // Outside of quotes a backslash is one.
        assert_eq!(words(r"a\tb"), [r"a\tb"]);
        assert_eq!(words(r#""\0\x0""#), [""]);
    }

    #[test]
    fn a_brace_needs_no_space() {
        assert_eq!(words("a b{c}d"), ["a", "b", "{", "c", "}", "d"]);
        assert_eq!(words("\"a{b}\""), ["a{b}"]);
        assert_eq!(words("x ${UNDEFINED}y {"), ["x", "${UNDEFINED}y", "{"]);
    }

    #[test]
    fn what_is_wrong_is_said_and_the_rest_read() {
        let (found, problems) = lexed("a \"b c");
        assert_eq!((found, problems.len()), (vec!["a".into(), "b c".into()], 1));
        assert_eq!(lexed("a\0b").1, ["a NUL character"]);
        assert_eq!(lexed("\"a\\").1.len(), 1);
    }

    #[test]
    fn a_word_knows_its_place() {
        let found = tokens(&line("ab \"c d\"{"), &mut |_| {});
        let Some(Token::Word(word)) = found.get(1) else { panic!("{found:?}") };
        assert_eq!((word.span.start, word.span.end, word.quoted), (3, 8, true));
        assert_eq!(found.get(2), Some(&Token::Open(Span { source: 0, start: 8, end: 9 })));
    }

    #[test]
    fn a_command_is_split_as_keepalived_does() {
        assert_eq!(command("/x.sh  master 'a b' c\"d e\" ''"), ["/x.sh", "master", "a b", "cd e", ""]);
        assert_eq!(command("  "), [""; 0]);
    }
}
