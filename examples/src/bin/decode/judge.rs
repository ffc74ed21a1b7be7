//! Whether a virtual router takes an advertisement.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use examples::settings::Span;
use vrrp_core::hmac::{AntiReplay, Authenticator, Config, Key, KeyId, Keys, Mode, WallClock, Window};
use vrrp_core::wire::{Accepted, Authentication, Discard, Envelope, Expected, Packet, Password};
use vrrp_core::{Family, Interval, Version, Vrid};

use crate::fields::Fields;

/// What the virtual router is configured with, as far as it is stated.
#[derive(Args, Default)]
pub(crate) struct Expectations {
    /// Protocol version, 2 or 3
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u8).range(2..=3))]
    vrrp: Option<u8>,

    /// Virtual Router Identifier, 1..=255
    #[arg(long, value_name = "ID", value_parser = vrid)]
    vrid: Option<Vrid>,

    /// Advertisement interval: 10ms, 1s, or a number of seconds
    #[arg(long, value_name = "TIME", value_parser = interval)]
    interval: Option<Interval>,

    /// Virtual address; may be given several times, or several with commas
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    address: Vec<IpAddr>,

    /// Simple-text password (VRRPv2)
    #[arg(long, value_name = "PASSWORD", conflicts_with = "no_auth")]
    auth: Option<String>,

    /// No authentication (VRRPv2)
    #[arg(long)]
    no_auth: bool,

    /// Key of auth_hmac: its number, a colon, its octets in hexadecimal; may be given several times
    #[arg(long, value_name = "ID:HEX", value_parser = key)]
    hmac_key: Vec<(KeyId, Key)>,

    /// Whether an advertisement without a signature is taken
    #[arg(long, value_name = "MODE", requires = "hmac_key", value_enum, default_value_t = HmacMode::Enforce)]
    hmac_mode: HmacMode,

    /// How far the time of signing may be from --time, in seconds, 1..=300
    #[arg(long, value_name = "SECONDS", requires = "hmac_key", default_value_t = 5)]
    hmac_window: u64,

    /// The time of day in seconds since 1970, which signatures are judged by [default: when it was captured, or now]
    #[arg(long, value_name = "SECONDS", value_parser = time)]
    time: Option<WallClock>,
}

/// The modes of `auth_hmac`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum HmacMode {
    /// It is not
    #[default]
    Enforce,
    /// It is
    Permissive,
    /// It is
    ReceiveOnly,
}

fn vrid(text: &str) -> Result<Vrid, String> {
    let number = text.parse::<u64>().map_err(|_| format!("{text:?} is no number: give 1..=255"))?;
    Vrid::try_from(number).map_err(|error| error.to_string())
}

fn interval(text: &str) -> Result<Interval, String> {
    Interval::from_duration(text.parse::<Span>()?.0).map_err(|error| error.to_string())
}

fn key(text: &str) -> Result<(KeyId, Key), String> {
    let form = || "give a number, a colon and 64 to 128 hexadecimal digits".to_owned();
    let (id, digits) = text.split_once(':').ok_or_else(form)?;
    let id = id.parse::<u64>().map_err(|_| form())?;
    let id = KeyId::try_from(id).map_err(|error| error.to_string())?;
    let key = Key::from_hex(digits.strip_prefix("hex:").unwrap_or(digits)).map_err(|error| error.to_string())?;
    Ok((id, key))
}

fn time(text: &str) -> Result<WallClock, String> {
    let wrong = || format!("{text:?} is no time: give seconds since 1970, as `date +%s` prints them");
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = fraction.len().min(9);
    let nanos = format!("{:0<9}", fraction.get(..digits).ok_or_else(wrong)?);
    match (seconds.parse(), nanos.parse()) {
        (Ok(seconds), Ok(nanos)) => Ok(WallClock::new(seconds, nanos)),
        _ => Err(wrong()),
    }
}

/// Gives the verdicts, and knows what was signed before.
pub(crate) struct Judge {
    expectations: Expectations,
    password: Option<Password>,
    hmac: Option<Config>,
    /// By family, version and VRID.
    authenticators: BTreeMap<(bool, u8, u8), Authenticator>,
}

impl Judge {
    /// One with these expectations.
    ///
    /// # Errors
    /// What of them cannot be.
    pub(crate) fn new(expectations: Expectations) -> anyhow::Result<Self> {
        let password = expectations.auth.as_ref().map(Password::new).transpose()?;
        let mut keys: Option<Keys> = None;
        for (id, key) in expectations.hmac_key.iter().cloned() {
            keys = Some(match keys {
                None => Keys::new(id, key),
                Some(keys) => keys.with(id, key)?,
            });
        }
        let mode = match expectations.hmac_mode {
            HmacMode::Enforce => Mode::Enforce,
            HmacMode::Permissive => Mode::Permissive,
            HmacMode::ReceiveOnly => Mode::ReceiveOnly,
        };
        let hmac = match keys {
            Some(keys) => {
                Some(Config { keys, mode, anti_replay: AntiReplay::Time(Window::new(expectations.hmac_window)?) })
            }
            None => None,
        };
        Ok(Self { expectations, password, hmac, authenticators: BTreeMap::new() })
    }

    /// What a virtual router with what was stated, and for the rest with what the packet has, makes of it. `captured` is
    /// when, if that is known.
    pub(crate) fn judge(
        &mut self,
        captured: Option<WallClock>,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<Accepted, Discard> {
        let family = Family::of(envelope.source);
        let fields = Fields::read(family, payload);
        let packets = fields.as_ref().map_or(0, Fields::version);
        let version = match (self.expectations.vrrp.unwrap_or(packets), family) {
            (2, _) => Version::V2,
            (_, family) => Version::V3(family),
        };
        // No virtual router has VRID 0: whichever is expected, it is another one.
        let packets = fields.as_ref().and_then(|fields| Vrid::new(fields.vrid()).ok());
        let any = Vrid::new(1).map_err(|_| Discard::Vrid(0))?;
        let mut expected = Expected::new(version, self.expectations.vrid.or(packets).unwrap_or(any));
        let packets = fields.as_ref().and_then(|fields| Interval::from_centiseconds(fields.interval().into()).ok());
        expected.interval = self.expectations.interval.or(packets).unwrap_or_default();
        expected.authentication = self.authentication(fields.as_ref());
        expected.destination = envelope.destination;
        let packets = fields.as_ref().map_or(&[][..], |fields| &fields.addresses);
        let stated = &self.expectations.address[..];
        expected.addresses = if stated.is_empty() { packets } else { stated };

        let Some(hmac) = &self.hmac else { return Packet::parse(envelope, payload)?.accept(envelope, &expected) };
        let own = (family == Family::V6, version.number(), expected.vrid.get());
        let authenticator = self.authenticators.entry(own).or_insert_with(|| Authenticator::new(hmac.clone()));
        let now = self.expectations.time.or(captured).unwrap_or_else(now);
        let received = authenticator.receive(now, envelope, payload, &expected)?;
        authenticator.commit(received.pending);
        Ok(received.accepted)
    }

    fn authentication(&self, fields: Option<&Fields<'_>>) -> Authentication {
        match (self.password, self.expectations.no_auth, fields.and_then(|fields| fields.auth_type())) {
            (Some(password), _, _) => Authentication::SimpleText(password),
            (None, false, Some(1)) => {
                let data = fields.and_then(|fields| fields.auth_data).unwrap_or_default();
                Password::new(data).map_or(Authentication::None, Authentication::SimpleText)
            }
            (None, _, _) => Authentication::None,
        }
    }
}

fn now() -> WallClock {
    WallClock::from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}
