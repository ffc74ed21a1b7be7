//! Netlink attributes: type, length and value, each padded to four octets (`linux/netlink.h`, `struct nlattr`).

/// Octets of the length and the type before a value.
const HEADER_LEN: usize = 4;

/// The type without its two flags, `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const TYPE_MASK: u16 = 0x3fff;

/// `NLA_F_NESTED`: the value is attributes.
const NESTED: u16 = 0x8000;

/// One attribute: its type without flags, and its value without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The attributes in the value.
    pub(crate) fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.value)
    }

    /// The value as text, without the NUL that ends it.
    ///
    /// # Errors
    /// [`AttrError::Text`] unless it is UTF-8.
    pub(crate) fn text(&self) -> Result<&'a str, AttrError> {
        let end = self.value.iter().position(|&octet| octet == 0).unwrap_or(self.value.len());
        std::str::from_utf8(self.value.get(..end).unwrap_or_default()).map_err(|_| AttrError::Text { kind: self.kind })
    }

    /// The value as an octet.
    ///
    /// # Errors
    /// [`AttrError::Size`] unless it has one.
    pub(crate) fn u8(&self) -> Result<u8, AttrError> {
        self.array().map(|[octet]| octet)
    }

    /// The value as a number in the network's byte order: ports.
    ///
    /// # Errors
    /// [`AttrError::Size`] unless it has two octets.
    pub(crate) fn be_u16(&self) -> Result<u16, AttrError> {
        self.array().map(u16::from_be_bytes)
    }

    /// The value as a number in the machine's byte order.
    ///
    /// # Errors
    /// [`AttrError::Size`] unless it has eight octets, or the four of an older kernel.
    pub(crate) fn u64(&self) -> Result<u64, AttrError> {
        self.u32().map(u64::from).or_else(|_| self.array().map(u64::from_ne_bytes))
    }

    /// The value as a number in the machine's byte order.
    ///
    /// # Errors
    /// [`AttrError::Size`] unless it has two octets.
    pub(crate) fn u16(&self) -> Result<u16, AttrError> {
        self.array().map(u16::from_ne_bytes)
    }

    /// The value as a number in the machine's byte order.
    ///
    /// # Errors
    /// [`AttrError::Size`] unless it has four octets.
    pub(crate) fn u32(&self) -> Result<u32, AttrError> {
        self.array().map(u32::from_ne_bytes)
    }

    /// The first octets of the value.
    ///
    /// # Errors
    /// [`AttrError::Size`] if it has fewer.
    pub(crate) fn prefix<const N: usize>(&self) -> Result<[u8; N], AttrError> {
        let size = AttrError::Size { kind: self.kind, expected: N, actual: self.value.len() };
        self.value.first_chunk().copied().ok_or(size)
    }

    fn array<const N: usize>(&self) -> Result<[u8; N], AttrError> {
        let size = AttrError::Size { kind: self.kind, expected: N, actual: self.value.len() };
        self.value.try_into().map_err(|_| size)
    }
}

/// The attributes in a message, or in the value of an attribute that nests others.
///
/// Every input gives some sequence of attributes, also of types nobody knows, and at most one error, which is the last
/// item: after a wrong length nothing says where the next attribute would start.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, AttrError>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.rest);
        if bytes.is_empty() {
            return None;
        }
        let Some((&[length_0, length_1, kind_0, kind_1], _)) = bytes.split_first_chunk() else {
            return Some(Err(AttrError::Truncated { needed: HEADER_LEN, left: bytes.len() }));
        };
        let length = usize::from(u16::from_ne_bytes([length_0, length_1]));
        let kind = u16::from_ne_bytes([kind_0, kind_1]) & TYPE_MASK;
        // `get` of a length shorter than the header is None as well: the range is backwards.
        let Some(value) = bytes.get(HEADER_LEN..length) else {
            return Some(Err(AttrError::Truncated { needed: length.max(HEADER_LEN), left: bytes.len() }));
        };
        // The last one may come without its padding.
        self.rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Attribute { kind, value }))
    }
}

/// Attributes being written, in the order they are pushed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// Appends an attribute and its padding.
    ///
    /// # Errors
    /// [`AttrError::TooLong`] if the length does not fit its 16 bits; nothing is appended then.
    pub(crate) fn push(&mut self, kind: u16, value: &[u8]) -> Result<(), AttrError> {
        let length = HEADER_LEN + value.len();
        let Ok(field) = u16::try_from(length) else {
            return Err(AttrError::TooLong { kind, length: value.len() });
        };
        self.bytes.extend_from_slice(&field.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        Ok(())
    }

    /// Appends text with the NUL that ends it in the kernel.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(crate) fn push_str(&mut self, kind: u16, text: &str) -> Result<(), AttrError> {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.push(kind, &value)
    }

    /// Appends attributes as the value of one.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(crate) fn push_nested(&mut self, kind: u16, attributes: Self) -> Result<(), AttrError> {
        self.push(kind | NESTED, &attributes.bytes)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Attributes that cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AttrError {
    #[error("an attribute of {needed} octets with {left} left")]
    Truncated { needed: usize, left: usize },
    #[error("attribute {kind} has {actual} octets instead of {expected}")]
    Size { kind: u16, expected: usize, actual: usize },
    #[error("attribute {kind} is missing")]
    Missing { kind: u16 },
    #[error("attribute {kind} is not text")]
    Text { kind: u16 },
    #[error("attribute {kind} has the value {value}, which nothing has")]
    Value { kind: u16, value: u64 },
    #[error("attribute {kind} with a value of {length} octets: at most 65531 fit")]
    TooLong { kind: u16, length: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut builder = Builder::default();
        builder.push(1, &7_u16.to_ne_bytes()).unwrap();
        builder.push_str(2, "IPVS").unwrap();
        builder.push(3, &[]).unwrap();
        builder.push(4, &1_000_000_u32.to_ne_bytes()).unwrap();
        builder.into_bytes()
    }

    fn header(length: u16, kind: u16) -> Vec<u8> {
        [length.to_ne_bytes(), kind.to_ne_bytes()].concat()
    }

    #[test]
    fn what_was_built_is_read_back_in_order() {
        let bytes = sample();
        assert_eq!(bytes.len() % 4, 0);
        let read: Vec<_> = Attributes::new(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(read.iter().map(|attribute| attribute.kind).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(read[0].u16(), Ok(7));
        assert_eq!(read[1].value, b"IPVS\0");
        assert_eq!(read[2].value, b"");
        assert_eq!(read[3].u32(), Ok(1_000_000));
    }

    #[test]
    fn a_number_of_another_size_is_an_error_that_names_it() {
        let attribute = Attribute { kind: 9, value: &[1, 2, 3] };
        assert_eq!(attribute.u32(), Err(AttrError::Size { kind: 9, expected: 4, actual: 3 }));
        assert_eq!(attribute.u32().unwrap_err().to_string(), "attribute 9 has 3 octets instead of 4");
    }

    #[test]
    fn a_nested_sequence_is_read_back() {
        let mut inner = Builder::default();
        inner.push(1, &80_u16.to_be_bytes()).unwrap();
        inner.push(2, &[9]).unwrap();
        inner.push(3, &(1_u64 << 40).to_ne_bytes()).unwrap();
        inner.push(4, &7_u32.to_ne_bytes()).unwrap();
        let mut outer = Builder::default();
        outer.push_nested(6, inner).unwrap();
        let bytes = outer.into_bytes();
        let nest = Attributes::new(&bytes).next().unwrap().unwrap();
        assert_eq!(nest.kind, 6);
        let read: Vec<_> = nest.nested().collect::<Result<_, _>>().unwrap();
        assert_eq!(read[0].be_u16(), Ok(80));
        assert_eq!(read[1].u8(), Ok(9));
        assert_eq!(read[2].u64(), Ok(1 << 40));
        assert_eq!(read[3].u64(), Ok(7));
        assert_eq!(read[2].prefix::<2>().map(|prefix| prefix.len()), Ok(2));
        assert_eq!(read[1].prefix::<2>(), Err(AttrError::Size { kind: 2, expected: 2, actual: 1 }));
    }

    #[test]
    fn text_ends_at_its_nul_or_with_the_value() {
        for (value, text) in [(&b"rr\0"[..], Ok("rr")), (b"rr", Ok("rr")), (b"rr\0x\0", Ok("rr")), (b"", Ok(""))] {
            assert_eq!(Attribute { kind: 6, value }.text(), text);
        }
        assert_eq!(Attribute { kind: 6, value: b"\xff\0" }.text(), Err(AttrError::Text { kind: 6 }));
    }

    #[test]
    fn flags_are_not_part_of_the_type() {
        let bytes = header(4, 0x8000 | 0x4000 | 5);
        assert_eq!(Attributes::new(&bytes).next(), Some(Ok(Attribute { kind: 5, value: &[] })));
    }

    #[test]
    fn cut_anywhere_it_gives_a_prefix_and_at_most_one_error_at_the_end() {
        let whole = sample();
        let all: Vec<_> = Attributes::new(&whole).collect::<Result<_, _>>().unwrap();
        for length in 0..whole.len() {
            let mut read: Vec<_> = Attributes::new(&whole[..length]).collect();
            if read.last().is_some_and(Result::is_err) {
                read.pop();
            }
            let read: Vec<_> = read.into_iter().collect::<Result<_, _>>().unwrap();
            assert_eq!(read[..], all[..read.len()], "cut at {length}");
        }
    }

    #[test]
    fn the_last_value_may_lack_its_padding() {
        let mut bytes = header(5, 1);
        bytes.push(42);
        assert_eq!(Attributes::new(&bytes).collect::<Vec<_>>(), [Ok(Attribute { kind: 1, value: &[42] })]);
    }

    #[test]
    fn a_length_shorter_than_the_header_ends_it() {
        for length in 0..4 {
            let mut bytes = header(length, 1);
            bytes.extend(sample());
            let read: Vec<_> = Attributes::new(&bytes).collect();
            assert_eq!(read, [Err(AttrError::Truncated { needed: 4, left: bytes.len() })], "length {length}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_ends_it() {
        let bytes = header(u16::MAX, 1);
        let read: Vec<_> = Attributes::new(&bytes).collect();
        assert_eq!(read, [Err(AttrError::Truncated { needed: 65535, left: 4 })]);
    }

    #[test]
    fn every_length_field_comes_to_an_end() {
        for length in 0..=u16::MAX {
            let bytes = header(length, 1).repeat(3);
            assert!(Attributes::new(&bytes).count() <= 3, "length {length}");
        }
    }

    #[test]
    fn a_value_too_long_for_its_length_field_is_refused_whole() {
        let mut builder = Builder::default();
        assert_eq!(builder.push(1, &[0; 65532]), Err(AttrError::TooLong { kind: 1, length: 65532 }));
        assert!(builder.bytes.is_empty());
        builder.push(1, &[0; 65531]).unwrap();
        assert_eq!(Attributes::new(&builder.into_bytes()).count(), 1);
    }
}
