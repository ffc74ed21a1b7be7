//! The trailer of keepalived's `auth_hmac` (keepalived 2.4.2 and later, draft-cassen-vrrp-auth-hmac): what it looks like,
//! and the code in it.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! | Type: 1       |    Key id     |          Reserved: 0          |
//! +---------------+---------------+-------------------------------+
//! |                 Seconds since 1970, low 32 bits               |
//! +-------------------------------+-------------------------------+
//! |    Fraction, 1/65536 s        |          Tie breaker          |
//! +-------------------------------+-------------------------------+
//! |   Leftmost 16 octets of HMAC-SHA-256 over a pseudo-header,    |
//! |   the message without its checksum, and the 12 octets above   |
//! +---------------------------------------------------------------+
//! ```

use core::fmt;
use core::net::IpAddr;
use core::num::NonZeroU8;
use core::time::Duration;

use ::hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::HEADER_LEN;

/// Octets of the code in the trailer: half of what SHA-256 gives.
const CODE_LEN: usize = 16;

/// The only type of trailer there is: HMAC-SHA-256 cut to 128 bits.
const HMAC_SHA256_128: u8 = 1;

/// A key, a table of keys or a window that cannot be used. The message names the value and the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HmacError {
    /// A key that is too short or too long; its octets.
    #[error("the key has {0} octets, auth_hmac takes 32 to 64: make one with `openssl rand -hex 32`")]
    KeyLength(usize),
    /// Not a hexadecimal digit; where in the text, in octets from 0.
    #[error("the key has something that is no hexadecimal digit at position {0}: give 64 to 128 of 0-9, a-f")]
    HexDigit(usize),
    /// A digit is missing; how many there are. keepalived takes the last one for an octet of its own, so that the two
    /// would not agree.
    #[error("the key has {0} hexadecimal digits, an odd number: give two for each octet")]
    OddDigits(usize),
    /// A key id that is not 1..=255.
    #[error("key id {0} is not 1..=255")]
    KeyId(u64),
    /// Two keys of one id.
    #[error("key id {0} is given twice: use another id, or remove the old key first")]
    DuplicateKey(KeyId),
    /// More keys than one virtual router holds.
    #[error("no room for key id {0}, {max} keys are there: remove those that no router signs with any more", max = crate::hmac::Keys::MAX)]
    TooManyKeys(KeyId),
    /// There is no key of this id.
    #[error("there is no key with id {0}: add it first")]
    NoSuchKey(KeyId),
    /// The active key cannot be removed.
    #[error("key id {0} is the active one: make another key active before it is removed")]
    ActiveKey(KeyId),
    /// A time window that is not 1..=300 s.
    #[error("time window of {0} s is not 1..=300 s")]
    Window(u64),
}

/// The number of a key, 1..=255: by it a receiver finds the key that an advertisement was signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct KeyId(NonZeroU8);

impl KeyId {
    /// The key id with this number.
    ///
    /// # Errors
    /// [`HmacError::KeyId`] unless `value` is 1..=255.
    pub const fn new(value: u8) -> Result<Self, HmacError> {
        match NonZeroU8::new(value) {
            Some(value) => Ok(Self(value)),
            None => Err(HmacError::KeyId(0)),
        }
    }

    /// The number, 1..=255.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl TryFrom<u64> for KeyId {
    type Error = HmacError;

    fn try_from(value: u64) -> Result<Self, HmacError> {
        u8::try_from(value).ok().and_then(NonZeroU8::new).map(Self).ok_or(HmacError::KeyId(value))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A secret of 32 to 64 octets that all routers of a virtual router share.
///
/// Kept as the two hash states that it leads to, so that signing does not start from the key each time; the key itself
/// is not kept. Memory is wiped on drop, comparing takes the same time wherever two keys differ, `Debug` shows nothing.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Fewest octets of a key.
    pub const MIN_LEN: usize = 32;
    /// Most octets of a key.
    pub const MAX_LEN: usize = 64;

    /// The key of these octets: those of the text itself where keepalived is given a text.
    ///
    /// # Errors
    /// [`HmacError::KeyLength`] unless there are 32 to 64.
    pub fn new(key: &[u8]) -> Result<Self, HmacError> {
        match key.len() {
            Self::MIN_LEN..=Self::MAX_LEN => {
                Hmac::new_from_slice(key).map(Self).map_err(|_| HmacError::KeyLength(key.len()))
            }
            len => Err(HmacError::KeyLength(len)),
        }
    }

    /// The key of these hexadecimal digits, 64 to 128 in either case, with blanks anywhere: what follows `hex:` in the
    /// configuration of keepalived.
    ///
    /// # Errors
    /// [`HmacError::HexDigit`], [`HmacError::OddDigits`] or [`HmacError::KeyLength`].
    pub fn from_hex(text: &str) -> Result<Self, HmacError> {
        let mut octets = Zeroizing::new([0_u8; Self::MAX_LEN]);
        let mut digits = 0;
        for (at, digit) in text.char_indices().filter(|(_, digit)| !digit.is_ascii_whitespace()) {
            let value = digit.to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or(HmacError::HexDigit(at))?;
            if let Some(octet) = octets.get_mut(digits / 2) {
                *octet = *octet << 4 | value;
            }
            digits += 1;
        }
        if !digits.is_multiple_of(2) {
            return Err(HmacError::OddDigits(digits));
        }
        octets.get(..digits / 2).map_or(Err(HmacError::KeyLength(digits / 2)), Self::new)
    }

    /// The code over what is covered.
    fn sign(&self, covered: &Covered<'_>) -> [u8; CODE_LEN] {
        let mut code = [0; CODE_LEN];
        for (to, from) in code.iter_mut().zip(self.hash(covered).finalize().into_bytes()) {
            *to = from;
        }
        code
    }

    /// Whether this is the code over what is covered. Takes the same time wherever it differs.
    fn verifies(&self, covered: &Covered<'_>, code: &[u8; CODE_LEN]) -> bool {
        self.hash(covered).verify_truncated_left(code).is_ok()
    }

    fn hash(&self, covered: &Covered<'_>) -> Hmac<Sha256> {
        covered.pieces().into_iter().fold(self.0.clone(), Hmac::chain_update)
    }
}

/// In constant time. Keys that differ in zeros at their end alone are the same key (RFC 2104 §2).
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.clone().finalize() == other.0.clone().finalize()
    }
}

impl Eq for Key {}

/// Without the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The time of day: UTC, as a duration since 1970. Only `auth_hmac` needs it; the protocol runs on [`Instant`].
///
/// Every host must have it right to within the window. On Linux `CLOCK_REALTIME`.
///
/// [`Instant`]: crate::Instant
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallClock {
    seconds: u64,
    nanos: u32,
}

impl WallClock {
    /// `seconds` and `nanos` after 1970 began, as `clock_gettime` gives them. From 1,000,000,000 ns on it stands at the
    /// end of the second.
    pub const fn new(seconds: u64, nanos: u32) -> Self {
        Self { seconds, nanos: if nanos < 1_000_000_000 { nanos } else { 999_999_999 } }
    }

    /// Whole seconds since 1970.
    pub const fn seconds(self) -> u64 {
        self.seconds
    }

    /// Nanoseconds of the current second.
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// What it shows after `elapsed`.
    #[must_use]
    pub const fn after(self, elapsed: Duration) -> Self {
        let time = Duration::new(self.seconds, self.nanos).saturating_add(elapsed);
        Self::new(time.as_secs(), time.subsec_nanos())
    }
}

/// From what `SystemTime::now().duration_since(UNIX_EPOCH)` gives.
impl From<Duration> for WallClock {
    fn from(since_1970: Duration) -> Self {
        Self::new(since_1970.as_secs(), since_1970.subsec_nanos())
    }
}

/// When an advertisement was signed, and which of several at that time: 64 bits that grow from one to the next.
///
/// 32 bits of seconds, 16 of fraction, 16 to break ties, in serial number arithmetic: there is no end of time in 2106.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// The first one at this time.
    pub fn at(wall: WallClock) -> Self {
        let fraction = u64::from(wall.nanos) * 65_536 / 1_000_000_000;
        Self(wall.seconds << 32 | fraction << 16)
    }

    /// As the trailer carries it: seconds, fraction and tie breaker.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// What [`from_bits`](Self::from_bits) takes.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The next one, of the same time if there is room.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether it is later than `other`. Of two that are 2^63 apart neither is.
    pub const fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// Whole seconds since 1970, the low 32 bits.
    pub const fn seconds(self) -> u32 {
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// How many whole seconds before `wall` it was; negative if it is yet to come. Fractions do not count.
    pub const fn age(self, wall: WallClock) -> i32 {
        Self(wall.seconds << 32).seconds().wrapping_sub(self.seconds()).cast_signed()
    }
}

/// `1795173231.865+2`: seconds, thousandths, tie breaker.
impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, _, _, a, b, c, d] = self.0.to_be_bytes();
        let (fraction, tie) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        write!(f, "{}.{:03}+{tie}", self.seconds(), u32::from(fraction) * 1_000 / 65_536)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sequence({self})")
    }
}

/// A trailer as it was received: nothing about it is checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    kind: u8,
    key_id: u8,
    reserved: [u8; 2],
    sequence: Sequence,
    code: [u8; CODE_LEN],
}

impl Trailer {
    /// Octets of a trailer. The IP header's length includes them, the count of addresses does not.
    pub const LEN: usize = super::SIGNATURE_LEN;

    /// Reads a trailer.
    pub const fn from_octets(octets: &[u8; Self::LEN]) -> Self {
        let [kind, key_id, r0, r1, s0, s1, s2, s3, f0, f1, t0, t1, code @ ..] = *octets;
        let sequence = Sequence(u64::from_be_bytes([s0, s1, s2, s3, f0, f1, t0, t1]));
        Self { kind, key_id, reserved: [r0, r1], sequence, code }
    }

    /// Whether it is one that this crate knows how to verify: type 1, nothing in the reserved octets.
    pub const fn is_well_formed(&self) -> bool {
        matches!((self.kind, self.reserved), (HMAC_SHA256_128, [0, 0]))
    }

    /// The number of the key, as it was sent: 0 too, which no key has.
    pub const fn key_id(&self) -> u8 {
        self.key_id
    }

    /// When it was signed.
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// What comes before the code.
    fn stamp(&self) -> [u8; 12] {
        let [s0, s1, s2, s3, f0, f1, t0, t1] = self.sequence.0.to_be_bytes();
        let [r0, r1] = self.reserved;
        [self.kind, self.key_id, r0, r1, s0, s1, s2, s3, f0, f1, t0, t1]
    }

    /// Whether `key` gives this code for a message with this header and rest.
    pub(super) fn verifies(&self, key: &Key, source: IpAddr, header: &[u8; HEADER_LEN], rest: [&[u8]; 2]) -> bool {
        key.verifies(&Covered::new(source, header, rest, self.stamp()), &self.code)
    }
}

/// What an advertisement is signed with.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'k> {
    /// The key's number: receivers look for it.
    pub key_id: KeyId,
    /// The key.
    pub key: &'k Key,
    /// When, and which of several at that time. One for all copies of an advertisement that go to unicast peers: what
    /// they are sent to is not covered.
    pub sequence: Sequence,
}

impl Signer<'_> {
    /// Writes the trailer of a message with this header and rest.
    pub(super) fn write(
        &self,
        source: IpAddr,
        header: &[u8; HEADER_LEN],
        rest: &[u8],
        trailer: &mut [u8; Trailer::LEN],
    ) {
        let (key_id, reserved, code) = (self.key_id.get(), [0, 0], [0; CODE_LEN]);
        let stamp = Trailer { kind: HMAC_SHA256_128, key_id, reserved, sequence: self.sequence, code }.stamp();
        let code = self.key.sign(&Covered::new(source, header, [rest, &[]], stamp));
        for (to, from) in trailer.iter_mut().zip(stamp.into_iter().chain(code)) {
            *to = from;
        }
    }
}

/// What the code covers: of the IP header the version and the source alone, so that the copies for all unicast peers
/// have one code; of the message all but the checksum; of the trailer all but the code.
struct Covered<'p> {
    family: [u8; 4],
    source: [u8; 16],
    header: [u8; HEADER_LEN],
    rest: [&'p [u8]; 2],
    stamp: [u8; 12],
}

impl<'p> Covered<'p> {
    fn new(source: IpAddr, header: &[u8; HEADER_LEN], rest: [&'p [u8]; 2], stamp: [u8; 12]) -> Self {
        let [version_type, vrid, priority, count, a, b, _, _] = *header;
        // Left-aligned, and no IPv4-mapped address.
        let (ip_version, source) = match source {
            IpAddr::V4(source) => {
                let [a, b, c, d] = source.octets();
                (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            }
            IpAddr::V6(source) => (6, source.octets()),
        };
        let family = [ip_version, version_type >> 4, vrid, 0];
        Self { family, source, header: [version_type, vrid, priority, count, a, b, 0, 0], rest, stamp }
    }

    fn pieces(&self) -> [&[u8]; 7] {
        let [addresses, auth_data] = self.rest;
        [&self.family, &self.source, &self.header, addresses, auth_data, &self.stamp, &[0; CODE_LEN]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Envelope, Packet};
    use serde_json::Value;

    const VECTORS: &str = include_str!("../../tests/vectors/auth_hmac_vectors.json");

    fn octets(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn key() -> Key {
        Key::new(&[7; 32]).unwrap()
    }

    /// Every vector that states what a receiver hashes, and what comes out: 107 of them.
    #[test]
    fn what_is_covered_and_its_digest_are_those_of_the_vectors() {
        let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
        let mut seen = 0;
        for vector in &vectors {
            let (name, Some(input)) = (vector["name"].as_str().unwrap(), vector["receiver_mac_input_hex"].as_str())
            else {
                continue;
            };
            let datagram = octets(vector["ip_packet_hex"].as_str().unwrap());
            let payload = match Envelope::split_ipv4(&datagram) {
                Ok((_, payload)) => payload,
                Err(_) => &datagram[40..],
            };
            let (message, trailer) = payload.split_last_chunk().unwrap();
            let (header, rest) = message.split_first_chunk().unwrap();
            let trailer = Trailer::from_octets(trailer);
            let source = vector["src"].as_str().unwrap().parse().unwrap();
            let covered = Covered::new(source, header, [rest, &[]], trailer.stamp());
            assert_eq!(covered.pieces().concat(), octets(input), "{name}");

            let keys = vector["keys"].as_array().unwrap();
            let key = keys.iter().find(|key| key["id"] == trailer.key_id()).unwrap();
            let key = Key::from_hex(key["hex"].as_str().unwrap()).unwrap();
            let digest = octets(vector["receiver_hmac_sha256_hex"].as_str().unwrap());
            assert_eq!(key.hash(&covered).finalize().into_bytes()[..], digest[..], "{name}");
            assert_eq!(key.sign(&covered)[..], digest[..16], "{name}");
            assert_eq!(key.verifies(&covered, &trailer.code), trailer.code[..] == digest[..16], "{name}");
            seen += 1;
        }
        assert_eq!(seen, 107);
    }

    #[test]
    fn the_example_of_the_fact_sheet_is_read() {
        let hex = "01010000 6b002b80 f645 0000 dc708bac2d9c702ddf93c04f7b61f5ad".replace(' ', "");
        let trailer = Trailer::from_octets(octets(&hex).as_slice().try_into().unwrap());
        assert!(trailer.is_well_formed());
        assert_eq!((trailer.key_id(), trailer.sequence().to_bits()), (1, 0x6b00_2b80_f645_0000));
        assert_eq!(trailer.sequence().to_string(), "1795173248.961+0");
    }

    #[test]
    fn a_key_has_32_to_64_octets() {
        for len in 0..=80 {
            let key = Key::new(&vec![1; len]);
            assert_eq!(key.is_ok(), (32..=64).contains(&len), "{len}");
            assert_eq!(key.err(), (!(32..=64).contains(&len)).then_some(HmacError::KeyLength(len)));
        }
        assert_eq!(
            Key::new(b"secret").unwrap_err().to_string(),
            "the key has 6 octets, auth_hmac takes 32 to 64: make one with `openssl rand -hex 32`"
        );
    }

    #[test]
    fn a_key_is_read_from_hexadecimal_digits() {
        let digits = "0A".repeat(32);
        assert_eq!(Key::from_hex(&digits), Key::new(&[10; 32]));
        assert_eq!(Key::from_hex(&format!(" {} {}\n", &digits[..9], &digits[9..])), Key::new(&[10; 32]));
        assert_eq!(Key::from_hex(&"ff".repeat(64)), Key::new(&[255; 64]));
        assert_eq!(Key::from_hex(""), Err(HmacError::KeyLength(0)));
        assert_eq!(Key::from_hex(&"ff".repeat(31)), Err(HmacError::KeyLength(31)));
        assert_eq!(Key::from_hex(&"ff".repeat(65)), Err(HmacError::KeyLength(65)));
        // keepalived takes the last digit for an octet, so its key would have 33.
        assert_eq!(Key::from_hex(&"f".repeat(65)), Err(HmacError::OddDigits(65)));
        assert_eq!(Key::from_hex("00:01"), Err(HmacError::HexDigit(2)));
        assert_eq!(Key::from_hex("hex:00"), Err(HmacError::HexDigit(0)));
        assert_eq!(Key::from_hex("ä"), Err(HmacError::HexDigit(0)));
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", key()), "Key(..)");
        let signer = Signer { key_id: KeyId::new(1).unwrap(), key: &key(), sequence: Sequence(0) };
        assert!(!format!("{signer:?}").contains('7'));
    }

    #[test]
    fn two_keys_are_equal_if_their_octets_are() {
        assert_eq!(key(), key().clone());
        assert_ne!(key(), Key::new(&[7; 33]).unwrap());
        let mut other = [7; 32];
        other[31] ^= 1;
        assert_ne!(key(), Key::new(&other).unwrap());
    }

    #[test]
    fn a_key_id_is_1_to_255() {
        assert_eq!(KeyId::new(0), Err(HmacError::KeyId(0)));
        assert_eq!(KeyId::try_from(256), Err(HmacError::KeyId(256)));
        assert_eq!(HmacError::KeyId(256).to_string(), "key id 256 is not 1..=255");
        assert_eq!(KeyId::try_from(255).map(KeyId::get), Ok(255));
    }

    #[test]
    fn the_fraction_is_rounded_down() {
        for (nanos, fraction) in [(0, 0), (15_258, 0), (15_259, 1), (500_000_000, 0x8000), (999_999_999, 0xffff)] {
            assert_eq!(Sequence::at(WallClock::new(5, nanos)).to_bits(), 5 << 32 | fraction << 16, "{nanos}");
        }
        assert_eq!(WallClock::new(5, u32::MAX).nanos(), 999_999_999);
        assert_eq!(WallClock::new(5, 600_000_000).after(Duration::from_millis(500)), WallClock::new(6, 100_000_000));
        assert_eq!(WallClock::from(Duration::from_millis(1_500)), WallClock::new(1, 500_000_000));
    }

    #[test]
    fn sequences_are_serial_numbers() {
        let sequence = Sequence::from_bits;
        assert!(sequence(6).is_after(sequence(5)));
        assert!(!sequence(5).is_after(sequence(5)) && !sequence(5).is_after(sequence(6)));
        assert!(sequence(1).is_after(sequence(u64::MAX)));
        assert!(sequence(i64::MAX.unsigned_abs()).is_after(sequence(0)));
        // 2^63 apart: neither way.
        assert!(!sequence(1 << 63).is_after(sequence(0)) && !sequence(0).is_after(sequence(1 << 63)));
        assert_eq!(sequence(0xffff).next(), sequence(0x1_0000));
        assert_eq!(sequence(u64::MAX).next(), sequence(0));
    }

    #[test]
    fn ages_are_whole_seconds_modulo_2_to_the_32() {
        let second = |seconds| Sequence::at(WallClock::new(seconds, 999_999_999));
        assert_eq!(second(100).age(WallClock::new(105, 0)), 5);
        assert_eq!(second(100).age(WallClock::new(95, 999_999_999)), -5);
        assert_eq!(second(2).age(WallClock::new(u64::from(u32::MAX), 0)), -3);
        assert_eq!(second(u64::from(u32::MAX) - 1).age(WallClock::new(1 << 32, 0)), 2);
        // 2038 is no border.
        assert_eq!(second((1 << 31) - 1).age(WallClock::new(1 << 31, 0)), 1);
    }

    #[test]
    fn a_trailer_is_found_by_the_length_alone() {
        let envelope = Envelope { source: [192, 0, 2, 2].into(), destination: [224, 0, 0, 18].into(), ttl: Some(255) };
        let message = [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0xa8, 0x02, 192, 0, 2, 100];
        for surplus in 0..60 {
            let payload = [&message[..], &vec![0xff; surplus]].concat();
            let packet = Packet::parse_signed(&envelope, &payload);
            match surplus {
                0 => assert_eq!(packet.unwrap().trailer(), None),
                28 => assert!(!packet.unwrap().trailer().unwrap().is_well_formed()),
                _ => assert!(packet.is_err(), "{surplus}"),
            }
            assert_eq!(Packet::parse(&envelope, &payload).is_ok(), surplus == 0);
        }
    }
}
