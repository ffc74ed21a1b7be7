//! `$NAME=value`, and what is put in the place of `$NAME` and `${NAME}`.

use std::collections::BTreeMap;

use super::source::Span;
use super::text::Text;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    /// Its lines; one that has several knows where each comes from.
    pub(super) lines: Vec<Text>,
}

/// The names that are defined at a place of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Definitions {
    named: BTreeMap<String, Definition>,
    random: u64,
}

/// What names are predefined as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Predefined<'a> {
    /// `${_PWD}`: the folder of the file.
    pub(super) folder: &'a str,
    /// `${_INSTANCE}`: the host's name, or what `-i` says.
    pub(super) config_id: &'a str,
}

/// `NAME=` after a `$`: the name, and the octet that its value begins at.
pub(super) fn definition(line: &str) -> Option<(&str, usize)> {
    let rest = line.strip_prefix('$')?;
    let name = name(rest);
    rest.get(name.len()..)?.starts_with('=').then_some((name, name.len() + 2)).filter(|_| !name.is_empty())
}

/// The name that a text begins with: letters, digits and `_`, not a digit first.
fn name(text: &str) -> &str {
    let ends = |character: char| !(character.is_ascii_alphanumeric() || character == '_');
    let name = text.split(ends).next().unwrap_or_default();
    if name.starts_with(|first: char| first.is_ascii_digit()) { "" } else { name }
}

impl Definitions {
    /// Starts `${_RANDOM}` anew.
    pub(super) fn seed(&mut self, seed: u64) {
        self.random = seed;
    }

    /// Defines a name, or gives it another meaning.
    pub(super) fn define(&mut self, name: &str, definition: Definition) {
        self.named.insert(name.to_owned(), definition);
    }

    /// Defines a name as a word that stands at a place.
    pub(super) fn define_word(&mut self, name: &str, word: &str, span: Span) {
        let mut line = Text::default();
        line.push_str(word, span);
        self.define(name, Definition { lines: vec![line] });
    }

    /// A line with all of its names replaced, once: what is put in may hold others. `None`: it names none. One line becomes
    /// several if a name stands for several.
    pub(super) fn substitute(&mut self, line: &Text, predefined: Predefined<'_>) -> Option<Vec<Text>> {
        let text = line.as_str();
        let mut lines = Vec::new();
        let mut current = Text::default();
        let mut copied = 0;
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find('$')).map(|found| from + found) {
            let Some((content, end)) = reference(text, at) else {
                from = at + 1;
                continue;
            };
            let span = line.span(at..end);
            from = end;
            if let Some(definition) = self.named.get(content) {
                current.push(line, copied..at);
                append(&mut current, &mut lines, definition, span);
            } else if let Some(value) = self.predefined(content, predefined) {
                current.push(line, copied..at);
                current.push_str(&value, span);
            } else {
                continue;
            }
            copied = end;
        }
        if copied == 0 {
            return None;
        }
        current.push(line, copied..text.len());
        lines.push(current);
        Some(lines)
    }

    fn predefined(&mut self, content: &str, predefined: Predefined<'_>) -> Option<String> {
        let mut words = content.split_whitespace();
        match words.next()? {
            "_PWD" => Some(predefined.folder.to_owned()),
            "_INSTANCE" => Some(predefined.config_id.to_owned()),
            "_HASH" => Some("#".to_owned()),
            "_BANG" => Some("!".to_owned()),
            "_RANDOM" => {
                let mut number = |otherwise| words.next().map_or(Some(otherwise), |word| word.parse::<u32>().ok());
                let (least, most) = (number(0)?, number(32_767)?);
                let width = u64::from(most.checked_sub(least)?) + 1;
                Some((u64::from(least) + self.next_random() % width).to_string())
            }
            _ => None,
        }
    }

    /// SplitMix64: the same numbers for the same seed, which is all that is wanted of them.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Puts a definition in. What is wrong with a word is shown where it is used; with a line of several, where that stands.
fn append(current: &mut Text, lines: &mut Vec<Text>, definition: &Definition, span: Span) {
    match definition.lines.as_slice() {
        [] => {}
        [only] => current.push_str(only.as_str(), span),
        several => {
            for (number, line) in several.iter().enumerate() {
                if number > 0 {
                    lines.push(std::mem::take(current));
                }
                current.push(line, 0..line.as_str().len());
            }
        }
    }
}

/// Longest name in braces.
const LONGEST_REFERENCE: usize = 256;

/// What stands in the `${...}` or after the `$` at a place, and where it ends. Without braces white space must follow.
fn reference(text: &str, at: usize) -> Option<(&str, usize)> {
    let rest = text.get(at + 1..)?;
    if let Some(inside) = rest.strip_prefix('{') {
        // Not far: a file of nothing but beginnings must not be read once for each.
        let length = inside.bytes().take(LONGEST_REFERENCE).position(|octet| octet == b'}')?;
        let content = inside.get(..length)?;
        return name(content).chars().next().map(|_| (content, at + 2 + length + 1));
    }
    let name = name(rest);
    let follows = rest.get(name.len()..)?.chars().next();
    (!name.is_empty() && follows.is_none_or(char::is_whitespace)).then_some((name, at + 1 + name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREDEFINED: Predefined<'static> = Predefined { folder: "/etc/keepalived", config_id: "host" };

    fn substituted(definitions: &mut Definitions, text: &str) -> Option<Vec<String>> {
        let line = Text::verbatim(text, Span { source: 0, start: 0, end: u32::try_from(text.len()).unwrap() });
        let lines = definitions.substitute(&line, PREDEFINED)?;
        Some(lines.iter().map(|line| line.as_str().to_owned()).collect())
    }

    fn defined() -> Definitions {
        let mut definitions = Definitions::default();
        definitions.define_word("A", "1 2", Span::default());
        definitions.define_word("EMPTY", "", Span::default());
        let lines = ["x", "y"].map(|line| Text::verbatim(line, Span::default())).into();
        definitions.define("TWO", Definition { lines });
        definitions
    }

    #[test]
    fn a_definition_has_a_name_and_no_space() {
        assert_eq!(definition("$NAME=value"), Some(("NAME", 6)));
        assert_eq!(definition("$_1="), Some(("_1", 4)));
        for line in ["$NAME =x", "$1=x", "$=x", "NAME=x", "$A", "$A-B=x"] {
            assert_eq!(definition(line), None, "{line}");
        }
    }

    #[test]
    fn a_name_is_replaced_where_white_space_or_braces_end_it() {
        let mut definitions = defined();
        let mut one = |text| substituted(&mut definitions, text).map(|lines| lines.join("|"));
        assert_eq!(one("a $A b${A}c x$A").as_deref(), Some("a 1 2 b1 2c x1 2"));
        assert_eq!(one("\"$A \"").as_deref(), Some("\"1 2 \""));
        assert_eq!(one("a${EMPTY}b").as_deref(), Some("ab"));
        assert_eq!(one("p $TWO q").as_deref(), Some("p x|y q"));
        for undefined in ["$B", "${B}", "$A.", "$", "${", "${}", "${A", "$A\u{e9}"] {
            assert_eq!(one(undefined), None, "{undefined}");
        }
    }

    #[test]
    fn some_names_are_predefined() {
        let mut definitions = Definitions::default();
        let mut one = |text| substituted(&mut definitions, text).map(|lines| lines.join("|"));
        assert_eq!(one("${_PWD}/x ${_INSTANCE} ${_HASH}${_BANG}").as_deref(), Some("/etc/keepalived/x host #!"));
        assert_eq!(one("${_RANDOM 5 5}").as_deref(), Some("5"));
        assert_eq!(one("${_RANDOM 6 5} ${_RANDOM a}"), None);
        let number: u32 = one("${_RANDOM}").unwrap().parse().unwrap();
        assert!(number <= 32_767);
    }
}
