//! Authentication: passwords and signatures. Whatever arrives, nothing panics; what has the secret is taken once; what was
//! altered, or has another secret, never.

use arbitrary::Arbitrary;
use vrrp_core::hmac::{AntiReplay, Authenticator, Config, Key, KeyId, Keys, Mode, Sequence, Signer, WallClock, Window};
use vrrp_core::wire::{Authentication, ChecksumForm, Discard, Envelope, Expected, Packet, Password, Reason, Repr};
use vrrp_core::{Family, Version, Vrid};

use crate::packet;

/// A receiver, and what it receives.
#[derive(Arbitrary, Debug)]
pub struct Session {
    mode: u8,
    monotonic: bool,
    window: u8,
    keys: u8,
    start: u32,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// So many 1/16 s pass.
    Time(i16),
    /// Somebody with a key signs, and some octets are altered on the way.
    Signed { sender: u8, key: u8, ahead: i16, altered: Vec<(u8, u8)>, pseudo_header: bool, family: bool },
    /// The last one again.
    Again,
    /// Anything.
    Octets(Vec<u8>),
    /// Without a signature.
    Unsigned { sender: u8 },
    /// The receiver signs.
    Stamp,
    /// Other modes and windows, with the marks in place.
    Reconfigure { mode: u8, monotonic: bool, window: u8 },
    /// VRRPv2 with a password, at a router with one.
    Password { sent: [u8; 8], configured: [u8; 8] },
}

fn mode(octet: u8) -> Mode {
    [Mode::Enforce, Mode::Permissive, Mode::ReceiveOnly][usize::from(octet % 3)]
}

fn anti_replay(monotonic: bool, window: u8) -> AntiReplay {
    match monotonic {
        true => AntiReplay::Monotonic,
        false => AntiReplay::Time(Window::new(1 + u64::from(window)).unwrap()),
    }
}

fn key(n: u8) -> Key {
    Key::new(&[n; 32]).unwrap()
}

fn key_id(n: u8) -> KeyId {
    KeyId::new(n).unwrap()
}

fn vrid() -> Vrid {
    Vrid::new(51).unwrap()
}

fn v3(family: Family) -> (Version, std::net::IpAddr) {
    let vip = match family {
        Family::V4 => [10, 0, 0, 100].into(),
        Family::V6 => [0xfe80, 0, 0, 0, 0, 0, 0, 0x100].into(),
    };
    (Version::V3(family), vip)
}

fn envelope(family: Family, sender: u8) -> Envelope {
    let source = match family {
        Family::V4 => [10, 0, 0, sender % 20 + 1].into(),
        Family::V6 => [0xfe80, 0, 0, 0, 0, 0, 0, u16::from(sender % 20 + 1)].into(),
    };
    Envelope { source, destination: family.group(), ttl: Some(255) }
}

/// Runs one.
pub fn run(session: &Session) {
    let known = 1 + session.keys % 3;
    let mut keys = Keys::new(key_id(1), key(1));
    for n in 2..=known {
        keys = keys.with(key_id(n), key(n)).unwrap();
    }
    let config = Config { keys, mode: mode(session.mode), anti_replay: anti_replay(session.monotonic, session.window) };
    let mut hmac = Authenticator::new(config);
    let mut sixteenths = u64::from(session.start) << 4;
    let mut last: Option<(Envelope, Vec<u8>)> = None;
    for step in &session.steps {
        let now = WallClock::new(sixteenths >> 4, u32::try_from((sixteenths & 15) * 62_500_000).unwrap());
        match step {
            Step::Time(by) => sixteenths = sixteenths.saturating_add_signed((*by).into()),
            Step::Signed { sender, key: signing, ahead, altered, pseudo_header, family } => {
                let family = if *family { Family::V6 } else { Family::V4 };
                let signing = 1 + signing % 4;
                let (envelope, (version, vip)) = (envelope(family, *sender), v3(family));
                let at = WallClock::new((sixteenths >> 4).saturating_add_signed((*ahead).into()), 0);
                let signer = Signer { key_id: key_id(signing), key: &key(signing), sequence: Sequence::at(at) };
                let form = if *pseudo_header { ChecksumForm::PseudoHeader } else { ChecksumForm::MessageOnly };
                let mut octets = vec![0; Repr::MAX_SIGNED_LEN];
                let Envelope { source, destination, .. } = envelope;
                let list = [vip];
                let repr = Repr::new(version, vrid(), &list);
                let len = repr.emit_signed(source, destination, form, signer, &mut octets).unwrap();
                octets.truncate(len);
                let sent = octets.clone();
                for (at, mask) in altered {
                    octets[usize::from(*at) % len] ^= mask;
                }
                let result = receive(&mut hmac, now, &envelope, &octets);
                if result == Ok(false) {
                    // With another count and checksum it can be an unsigned one of more addresses.
                    assert!(hmac.config().mode != Mode::Enforce && octets[3] != sent[3]);
                } else if result == Ok(true) {
                    assert!(signing <= known, "key {signing} of {known}");
                    // The signature does not cover the checksum, which has two forms and two ways to write zero.
                    assert!(octets[..6] == sent[..6] && octets[8..] == sent[8..], "altered: {sent:02x?} {octets:02x?}");
                } else if octets == sent && signing <= known {
                    let reason = result.unwrap_err().reason();
                    assert!(matches!(reason, Reason::AuthExtStale | Reason::AuthExtReplay), "{reason}");
                }
                last = Some((envelope, octets));
            }
            Step::Again => {
                let Some((envelope, octets)) = &last else { continue };
                if receive(&mut hmac, now, envelope, octets).is_ok_and(|signed| signed) {
                    let replay = receive(&mut hmac, now, envelope, octets);
                    assert_eq!(replay, Err(Discard::AuthExtReplay));
                }
            }
            Step::Octets(octets) => {
                for family in [Family::V4, Family::V6] {
                    let result = receive(&mut hmac, now, &envelope(family, 0), octets);
                    assert!(result != Ok(true), "forged: {octets:02x?}");
                }
                if let Some((envelope, payload)) = packet::split(octets) {
                    assert!(receive(&mut hmac, now, &envelope, payload) != Ok(true), "forged: {payload:02x?}");
                }
            }
            Step::Unsigned { sender } => {
                let (envelope, (version, vip)) = (envelope(Family::V4, *sender), v3(Family::V4));
                let mut octets = [0; 12];
                let list = [vip];
                let repr = Repr::new(version, vrid(), &list);
                repr.emit(envelope.source, envelope.destination, ChecksumForm::MessageOnly, &mut octets).unwrap();
                let wanted = match hmac.config().mode {
                    Mode::Enforce => Err(Discard::AuthExtMissing),
                    Mode::Permissive | Mode::ReceiveOnly => Ok(false),
                };
                assert_eq!(receive(&mut hmac, now, &envelope, &octets), wanted);
            }
            Step::Stamp => {
                let stamp = hmac.stamp(now);
                assert_eq!(hmac.last_stamp(), Some(stamp));
            }
            Step::Reconfigure { mode: octet, monotonic, window } => {
                let keys = hmac.config().keys.clone();
                let anti_replay = anti_replay(*monotonic, *window);
                hmac.reconfigure(Config { keys, mode: mode(*octet), anti_replay });
            }
            Step::Password { sent, configured } => password(*sent, *configured),
        }
    }
}

/// Receives and commits; whether it was signed.
fn receive(hmac: &mut Authenticator, now: WallClock, envelope: &Envelope, payload: &[u8]) -> Result<bool, Discard> {
    let (version, vip) = v3(Family::of(envelope.source));
    let list = [vip];
    let mut expected = Expected::new(version, vrid());
    expected.addresses = &list;
    let received = hmac.receive(now, envelope, payload, &expected)?;
    let signed = received.pending.is_signed();
    hmac.commit(received.pending);
    Ok(signed)
}

/// Two passwords are the same if and only if all 8 octets are.
fn password(sent: [u8; 8], configured: [u8; 8]) {
    let (envelope, list) = (envelope(Family::V4, 1), [v3(Family::V4).1]);
    let of = |octets| Authentication::SimpleText(Password::new(octets).unwrap());
    let repr = Repr { authentication: of(sent), ..Repr::new(Version::V2, vrid(), &list) };
    let mut octets = [0; 20];
    repr.emit(envelope.source, envelope.destination, ChecksumForm::MessageOnly, &mut octets).unwrap();
    let packet = Packet::parse(&envelope, &octets).unwrap();
    let mut expected = Expected::new(Version::V2, vrid());
    expected.addresses = &list;
    assert_eq!(packet.accept(&envelope, &expected).map(|_| ()), Err(Discard::AuthTypeMismatch));
    expected.authentication = of(configured);
    let wanted = if sent == configured { Ok(()) } else { Err(Discard::AuthFailure) };
    assert_eq!(packet.accept(&envelope, &expected).map(|_| ()), wanted);
}

/// Reads an input of [`packet`]'s form with its trailer, if it has one.
pub fn parse_signed(input: &[u8]) {
    let Some((envelope, payload)) = packet::split(input) else { return };
    let Ok(packet) = Packet::parse_signed(&envelope, payload) else { return };
    let _ = format!("{packet} {packet:?} {:?}", packet.trailer());
    // None of the inputs was signed with this one.
    assert!(!packet.is_signed_by(envelope.source, &key(0xee)));
}
