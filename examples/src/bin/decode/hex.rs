//! Octets as people write them down.

use thiserror::Error;

/// What is wrong with digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum HexError {
    /// The character, and how many were before it.
    #[error("{0:?} at position {1} is no hexadecimal digit: give 0-9, a-f, blanks and colons")]
    Digit(char, usize),
    /// How many there are.
    #[error("{0} hexadecimal digits, an odd number: give two for each octet")]
    Odd(usize),
    /// There are none.
    #[error("no hexadecimal digits")]
    Empty,
}

/// The octets of hexadecimal digits, which may have blanks, colons or dashes between them and `0x` before them.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn octets(text: &str) -> Result<Vec<u8>, HexError> {
    let mut values = Vec::new();
    for (at, character) in characters(text) {
        let value = character.to_digit(16).and_then(|value| u8::try_from(value).ok());
        values.push(value.ok_or(HexError::Digit(character, at))?);
    }
    match (values.as_chunks::<2>(), values.len()) {
        (_, 0) => Err(HexError::Empty),
        ((pairs, []), _) => Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect()),
        (_, count) => Err(HexError::Odd(count)),
    }
}

/// Whether a word of the command line is digits, and not the name of a file.
pub(crate) fn looks_like(text: &str) -> bool {
    digits(text) > 0 && characters(text).all(|(_, character)| character.is_ascii_hexdigit())
}

/// How many characters there are that are not there to be looked at only.
pub(crate) fn digits(text: &str) -> usize {
    characters(text).count()
}

fn characters(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X")).unwrap_or(text);
    digits.chars().enumerate().filter(|(_, character)| !character.is_whitespace() && !matches!(character, ':' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_read_however_they_are_set() {
        for text in ["3133ff", "31 33 FF", "31:33:ff", " 0x3133ff\n", "31-33-ff"] {
            assert_eq!(octets(text), Ok(vec![0x31, 0x33, 0xff]), "{text}");
            assert!(looks_like(text), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(octets("31 3"), Err(HexError::Odd(3)));
        assert_eq!(octets("31g3"), Err(HexError::Digit('g', 2)));
        assert_eq!(octets(" :"), Err(HexError::Empty));
        assert!(!looks_like("capture.pcap") && !looks_like("") && !looks_like("-"));
    }
}
