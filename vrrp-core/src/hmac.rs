//! Signed advertisements: the `auth_hmac` extension of keepalived 2.4.2 and later (feature `auth-hmac`).
//!
//! Each advertisement carries a trailer with a time and a code that only who has the key can make. A receiver drops
//! what is forged, altered, from another source, too old, or a replay. That makes VRRP safe from somebody on the link who
//! has no key; not from somebody who can suppress packets, which no signature can prevent.
//!
//! The time is the time of day: [`WallClock`] is an argument like every other, and the hosts' clocks must agree to
//! within the [`Window`].
//!
//! | | no trailer | valid trailer | any other trailer | sends a trailer |
//! |---|---|---|---|---|
//! | [`Mode::Enforce`] | dropped | accepted | dropped | yes |
//! | [`Mode::Permissive`] | accepted | accepted | dropped | yes |
//! | [`Mode::ReceiveOnly`] | accepted | accepted | dropped | no |
//! | not configured | accepted | dropped: length | dropped: length | no |
//!
//! To introduce it without an outage, configure receive-only on every router, then permissive on every router, then see
//! that all sign ([`Counters::adverts_unsigned`](crate::Counters::adverts_unsigned) stands still), then enforce. Until
//! then a forged advertisement without a trailer is accepted. To change the key, [add](Keys::with) the new one on every
//! router, then [activate](Keys::activate) it on every router, then [remove](Keys::without) the old one.
//!
//! Where this differs from keepalived 2.4.3, it is stricter, and the two work together:
//! - What fails any check, the checksum for instance, does not count as the sender's last advertisement.
//! - Surplus octets are never taken for padding: the length is that of the message, or 28 octets more.
//! - A bad key is an error; it never turns the extension off.
//! - New keys, modes and windows leave the marks against replays in place, and the sender's sequence too.
//! - There are marks for 16 senders, not for 4, and what is dropped does not change which one is forgotten first.
//!
//! ```
//! use vrrp_core::hmac::{Authenticator, Config, Key, KeyId, Keys, WallClock};
//! use vrrp_core::wire::{ChecksumForm, Discard, Envelope, Expected, Repr};
//! use vrrp_core::{Family, Interval, Version, Vrid};
//!
//! let key = Key::from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")?;
//! let config = Config::new(Keys::new(KeyId::new(1)?, key), Interval::DEFAULT);
//! let (mut sender, mut receiver) = (Authenticator::new(config.clone()), Authenticator::new(config));
//! let wall = WallClock::new(1_795_173_231, 865_000_000);
//!
//! let (version, vrid) = (Version::V3(Family::V4), Vrid::new(51)?);
//! let envelope = Envelope { source: "192.0.2.2".parse()?, destination: Family::V4.group(), ttl: Some(255) };
//! let addresses = ["192.0.2.100".parse()?];
//! let advert = Repr::new(version, vrid, &addresses);
//! let mut buffer = [0; 1500];
//! let stamp = sender.stamp(wall);
//! let form = ChecksumForm::PseudoHeader;
//! let len = sender.emit(stamp, &advert, envelope.source, envelope.destination, form, &mut buffer)?;
//!
//! let mut expected = Expected::new(version, vrid);
//! expected.addresses = &addresses;
//! let received = receiver.receive(wall, &envelope, &buffer[..len], &expected)?;
//! assert_eq!(received.accepted.advert.source, envelope.source);
//! receiver.commit(received.pending);
//!
//! // The same octets once more.
//! assert_eq!(receiver.receive(wall, &envelope, &buffer[..len], &expected), Err(Discard::AuthExtReplay));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod keys;
mod marks;

use core::net::IpAddr;

use crate::Interval;
use crate::wire::accept::check_addressing;
use crate::wire::{Accepted, ChecksumForm, Discard, EmitError, Envelope, Expected, Packet, Repr};

pub use crate::wire::hmac::{HmacError, Key, KeyId, Sequence, Signer, Trailer, WallClock};
pub use keys::Keys;
use marks::Marks;

/// What a virtual router does with advertisements that carry no trailer, and whether it sends one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Mode {
    /// Drops them, sends one. The only mode that protects.
    #[default]
    Enforce,
    /// Accepts them, sends one: for the time in which not all routers sign.
    Permissive,
    /// Accepts them, sends none: for the time in which not all routers can read one.
    ReceiveOnly,
}

/// How far the time in a trailer may be from the receiver's clock, either way: 1..=300 s.
///
/// It is not on the wire: give all routers the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(u16);

impl Window {
    /// A window of this many seconds.
    ///
    /// # Errors
    /// [`HmacError::Window`] unless `seconds` is 1..=300.
    pub fn new(seconds: u64) -> Result<Self, HmacError> {
        match u16::try_from(seconds) {
            Ok(seconds @ 1..=300) => Ok(Self(seconds)),
            _ => Err(HmacError::Window(seconds)),
        }
    }

    /// keepalived's default: three advertisement intervals in whole seconds, at least 5 s and at most 300 s.
    pub fn for_interval(interval: Interval) -> Self {
        let seconds = interval.as_centiseconds() / 100;
        Self(seconds.saturating_mul(3).clamp(5, 300))
    }

    /// The length in seconds.
    pub const fn seconds(self) -> u16 {
        self.0
    }

    /// Whether something so old is inside; both ends are.
    fn contains(self, age: i32) -> bool {
        age.unsigned_abs() <= u32::from(self.0)
    }
}

/// What keeps an old advertisement from being taken for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AntiReplay {
    /// Its time must be within the window, and later than the last one of the same sender. Needs clocks that agree.
    Time(Window),
    /// It must be later than the last one of the same sender, and that is all: the first one that a receiver hears
    /// after it started may be of any age, and a sender whose clock was set back is not trusted until it caught up.
    Monotonic,
}

impl AntiReplay {
    const fn window(self) -> Option<Window> {
        match self {
            Self::Time(window) => Some(window),
            Self::Monotonic => None,
        }
    }
}

/// The `auth_hmac` of one virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The keys that verify, and which one signs.
    pub keys: Keys,
    /// What is accepted, and whether to sign.
    pub mode: Mode,
    /// Against replays; the same on all routers.
    pub anti_replay: AntiReplay,
}

impl Config {
    /// keepalived's defaults: enforce, by time, with the window for this `Advertisement_Interval`.
    pub fn new(keys: Keys, interval: Interval) -> Self {
        Self { keys, mode: Mode::Enforce, anti_replay: AntiReplay::Time(Window::for_interval(interval)) }
    }
}

/// Signs and verifies for one virtual router, and knows what it sent and received last.
///
/// It does not outlive the process: after a restart an advertisement that was recorded is accepted once more, if it is
/// still within the window. Put the configuration in with [`reconfigure`](Self::reconfigure) for as long as it lives.
#[derive(Clone, Debug)]
pub struct Authenticator {
    config: Config,
    /// What was sent last. Nothing yet is no number: a clock past 2038 would compare as before number 0.
    sent: Option<Sequence>,
    marks: Marks,
}

/// The sequence of one advertisement, the same for all its copies; none if it is to be sent unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(Option<Sequence>);

/// A received advertisement that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// What the election needs of it.
    pub accepted: Accepted,
    /// To be [committed](Authenticator::commit), so that it is not accepted again.
    pub pending: Pending,
}

/// What an advertisement that was accepted leaves behind, once it is [committed](Authenticator::commit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what is not committed can be replayed"]
pub struct Pending(Option<Verified>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verified {
    source: IpAddr,
    sequence: Sequence,
    wall: WallClock,
    skewed: bool,
}

impl Pending {
    /// Whether there was a trailer; always, in [`Mode::Enforce`].
    pub const fn is_signed(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the sender's clock and ours are more than half a window apart: soon its advertisements are dropped.
    pub fn is_skewed(&self) -> bool {
        self.0.is_some_and(|verified| verified.skewed)
    }
}

impl Authenticator {
    /// One that has neither sent nor received anything.
    pub const fn new(config: Config) -> Self {
        Self { config, sent: None, marks: Marks::NONE }
    }

    /// The configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Replaces the configuration. What was sent and received stays known.
    pub fn reconfigure(&mut self, config: Config) {
        self.config = config;
    }

    /// The whole receive path of a virtual router with this configuration: as [`Packet::parse`] and
    /// [`Packet::accept`], with the trailer verified before the checksum.
    ///
    /// Nothing changes by it: [commit](Self::commit) what was accepted, before the next datagram.
    ///
    /// # Errors
    /// The [`Discard`] to count. Of the trailer the first that applies: missing, not from a peer, malformed, stale,
    /// unknown key, invalid, replay.
    pub fn receive(
        &self,
        wall: WallClock,
        envelope: &Envelope,
        payload: &[u8],
        expected: &Expected<'_>,
    ) -> Result<Received, Discard> {
        let packet = Packet::dissect_signed(envelope, payload, expected.ttl)?;
        packet.check_version(expected)?;
        let pending = match (packet.trailer(), self.config.mode) {
            (None, Mode::Enforce) => return Err(Discard::AuthExtMissing),
            (None, Mode::Permissive | Mode::ReceiveOnly) => Pending(None),
            (Some(trailer), Mode::Enforce | Mode::Permissive | Mode::ReceiveOnly) => {
                check_addressing(envelope, expected)?;
                Pending(Some(self.verify(wall, envelope.source, &packet, &trailer)?))
            }
        };
        let accepted = packet.check_checksum_signed(envelope, payload)?.accept(envelope, expected)?;
        Ok(Received { accepted, pending })
    }

    /// Remembers an advertisement that was accepted: the sender's next one must be later.
    pub fn commit(&mut self, pending: Pending) {
        if let Some(Verified { source, sequence, wall, .. }) = pending.0 {
            self.marks.set(source, sequence, |mark| self.config.forgets(mark, wall));
        }
    }

    /// The stamp of the next advertisement. Take one for all the copies that go to unicast peers.
    ///
    /// It is that of the clock, or one more than the last if the clock did not move on. By time, a clock that was set
    /// back by more than the window is followed at once: the receivers have forgotten, or reject either.
    pub fn stamp(&mut self, wall: WallClock) -> Stamp {
        match self.config.mode {
            Mode::ReceiveOnly => Stamp(None),
            Mode::Enforce | Mode::Permissive => {
                let clock = Sequence::at(wall);
                let next = match self.sent {
                    Some(last) if !clock.is_after(last) && !self.config.was_set_back(last, wall) => last.next(),
                    Some(_) | None => clock,
                };
                self.sent = Some(next);
                Stamp(self.sent)
            }
        }
    }

    /// The stamp taken last, for one more copy of the same advertisement; `None` if none was taken yet.
    pub fn last_stamp(&self) -> Option<Stamp> {
        match self.config.mode {
            Mode::ReceiveOnly => Some(Stamp(None)),
            Mode::Enforce | Mode::Permissive => self.sent.map(|sequence| Stamp(Some(sequence))),
        }
    }

    /// Writes an advertisement with this stamp, as [`Repr::emit_signed`], or as [`Repr::emit`] if the stamp says so.
    ///
    /// # Errors
    /// [`EmitError`]; the buffer may then hold a part of an advertisement.
    pub fn emit(
        &self,
        stamp: Stamp,
        repr: &Repr<'_>,
        source: IpAddr,
        destination: IpAddr,
        form: ChecksumForm,
        buffer: &mut [u8],
    ) -> Result<usize, EmitError> {
        match stamp.0 {
            Some(sequence) => {
                let (key_id, key) = self.config.keys.active();
                repr.emit_signed(source, destination, form, Signer { key_id, key, sequence }, buffer)
            }
            None => repr.emit(source, destination, form, buffer),
        }
    }

    fn verify(
        &self,
        wall: WallClock,
        source: IpAddr,
        packet: &Packet<'_>,
        trailer: &Trailer,
    ) -> Result<Verified, Discard> {
        if !trailer.is_well_formed() {
            return Err(Discard::AuthExtMalformed);
        }
        let (sequence, age) = (trailer.sequence(), trailer.sequence().age(wall));
        let skewed = match self.config.anti_replay {
            // Before the code is computed: old ones cost next to nothing.
            AntiReplay::Time(window) if !window.contains(age) => {
                return Err(Discard::AuthExtStale { age, window: window.seconds() });
            }
            AntiReplay::Time(window) => !Window(window.seconds() / 2).contains(age),
            AntiReplay::Monotonic => false,
        };
        let key = self.config.keys.of_octet(trailer.key_id()).ok_or(Discard::AuthExtUnknownKey(trailer.key_id()))?;
        if !packet.is_signed_by(source, key) {
            return Err(Discard::AuthExtInvalidHmac);
        }
        let mark = self.marks.of(source).filter(|mark| !self.config.forgets(*mark, wall));
        if mark.is_some_and(|mark| !sequence.is_after(mark)) {
            return Err(Discard::AuthExtReplay);
        }
        Ok(Verified { source, sequence, wall, skewed })
    }
}

impl Config {
    /// Whether a mark stands for nothing any more: by time, whatever is not later than an old mark is stale as well, and
    /// one from the future was made before our clock was corrected.
    fn forgets(&self, mark: Sequence, wall: WallClock) -> bool {
        self.anti_replay.window().is_some_and(|window| !window.contains(mark.age(wall)))
    }

    /// Whether the clock is more than the window behind what was sent last.
    fn was_set_back(&self, last: Sequence, wall: WallClock) -> bool {
        self.anti_replay.window().is_some_and(|window| last.age(wall) < -i32::from(window.seconds()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_id(value: u8) -> KeyId {
        KeyId::new(value).unwrap()
    }

    fn keys() -> Keys {
        Keys::new(key_id(1), Key::new(&[1; 32]).unwrap())
    }

    fn cs(value: u64) -> Interval {
        Interval::from_centiseconds(value).unwrap()
    }

    fn sender(anti_replay: AntiReplay) -> Authenticator {
        Authenticator::new(Config { anti_replay, ..Config::new(keys(), Interval::DEFAULT) })
    }

    fn window(seconds: u64) -> AntiReplay {
        AntiReplay::Time(Window::new(seconds).unwrap())
    }

    /// The stamps at these times, each as seconds and the 32 bits after them.
    fn stamps(anti_replay: AntiReplay, times: &[u64]) -> Vec<(u32, u32)> {
        let mut sender = sender(anti_replay);
        let stamp = |time: &u64| sender.stamp(WallClock::new(*time, 500_000_000)).0.unwrap();
        let split = |sequence: Sequence| (sequence.seconds(), u32::try_from(sequence.to_bits() & 0xffff_ffff).unwrap());
        times.iter().map(stamp).map(split).collect()
    }

    #[test]
    fn the_default_window_is_three_whole_intervals_of_5_to_300_s() {
        for (interval, seconds) in
            [(1, 5), (25, 5), (100, 5), (190, 5), (199, 5), (200, 6), (250, 6), (1_000, 30), (4_095, 120)]
        {
            assert_eq!(Window::for_interval(cs(interval)).seconds(), seconds, "{interval} cs");
        }
        assert_eq!(Window::for_interval(Interval::from_seconds(255).unwrap()).seconds(), 300);
    }

    #[test]
    fn a_window_is_1_to_300_s() {
        for seconds in [0, 301, 65_537, u64::MAX] {
            assert_eq!(Window::new(seconds), Err(HmacError::Window(seconds)));
        }
        assert_eq!(Window::new(300).map(Window::seconds), Ok(300));
        assert_eq!(HmacError::Window(301).to_string(), "time window of 301 s is not 1..=300 s");
    }

    #[test]
    fn both_ends_of_the_window_are_inside() {
        let window = Window::new(5).unwrap();
        for (age, inside) in [(5, true), (-5, true), (6, false), (-6, false), (i32::MIN, false), (i32::MAX, false)] {
            assert_eq!(window.contains(age), inside, "{age}");
        }
    }

    #[test]
    fn a_clock_that_moves_on_is_followed() {
        assert_eq!(
            stamps(window(5), &[100, 101, 3_000]),
            [(100, 0x8000_0000), (101, 0x8000_0000), (3_000, 0x8000_0000)]
        );
    }

    #[test]
    fn a_clock_that_stands_still_is_counted_on() {
        for anti_replay in [window(5), AntiReplay::Monotonic] {
            assert_eq!(stamps(anti_replay, &[100; 3]), [(100, 0x8000_0000), (100, 0x8000_0001), (100, 0x8000_0002)]);
        }
    }

    #[test]
    fn a_clock_set_back_within_the_window_freezes_until_it_caught_up() {
        let frozen = [1, 2, 3, 4].map(|tie| (100, 0x8000_0000 + tie));
        let expected = [&[(100, 0x8000_0000)], &frozen[..], &[(101, 0x8000_0000)]].concat();
        assert_eq!(stamps(window(5), &[100, 97, 98, 99, 100, 101]), expected);
        // Exactly the window is within.
        assert_eq!(stamps(window(5), &[100, 95])[1], (100, 0x8000_0001));
    }

    #[test]
    fn a_clock_set_back_past_the_window_is_followed_at_once() {
        for back in [6, 10, 3_600] {
            assert_eq!(stamps(window(5), &[10_000, 10_000 - back])[1].0, 10_000 - u32::try_from(back).unwrap());
        }
    }

    #[test]
    fn a_monotonic_sender_never_goes_back() {
        for back in [3, 10, 3_600] {
            assert_eq!(stamps(AntiReplay::Monotonic, &[10_000, 10_000 - back])[1], (10_000, 0x8000_0001));
        }
    }

    #[test]
    fn a_sender_that_starts_after_2038_has_the_right_time() {
        for anti_replay in [window(5), AntiReplay::Monotonic] {
            for time in [1 << 31, (1 << 32) - 1] {
                assert_eq!(
                    stamps(anti_replay, &[time, time]),
                    [(u32::try_from(time).unwrap(), 0x8000_0000), (u32::try_from(time).unwrap(), 0x8000_0001)]
                );
            }
        }
        // And goes on in 2106.
        assert_eq!(stamps(AntiReplay::Monotonic, &[(1 << 32) - 1, 1 << 32])[1], (0, 0x8000_0000));
    }

    #[test]
    fn the_tie_breaker_carries_into_the_fraction() {
        let mut sender = sender(AntiReplay::Monotonic);
        let stamp = |sender: &mut Authenticator| sender.stamp(WallClock::new(9, 0)).0.unwrap().to_bits();
        assert_eq!(stamp(&mut sender), 9 << 32);
        for _ in 0..0xffff {
            stamp(&mut sender);
        }
        assert_eq!(stamp(&mut sender), 9 << 32 | 1 << 16);
    }

    #[test]
    fn receive_only_signs_nothing() {
        let mut sender = sender(window(5));
        assert_eq!(sender.last_stamp(), None);
        let stamp = sender.stamp(WallClock::new(100, 0));
        assert_eq!(sender.last_stamp(), Some(stamp));
        sender.reconfigure(Config { mode: Mode::ReceiveOnly, ..sender.config().clone() });
        assert_eq!(sender.stamp(WallClock::new(100, 0)), Stamp(None));
        assert_eq!(sender.last_stamp(), Some(Stamp(None)));
        // What was sent before stays known.
        sender.reconfigure(Config { mode: Mode::Permissive, ..sender.config().clone() });
        assert_eq!(sender.stamp(WallClock::new(100, 0)), Stamp(stamp.0.map(Sequence::next)));
    }
}
