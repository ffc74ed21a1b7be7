//! `authentication` and `auth_hmac`: how advertisements are told from forged ones.

use serde::Serialize;
use vrrp_net::vrrp_core::hmac::{Key, KeyId, Mode};

use super::value::{Name, Seconds, Secret};
use crate::keepalived::diagnostic::Diagnostic;
use crate::keepalived::entry::Entry;
use crate::keepalived::keyword::{Keyword, read};

/// `authentication`: that of VRRPv2.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Legacy {
    /// `PASS` is all there is; `None` if the type is not given, or not supported.
    pub auth_type: Option<AuthType>,
    /// The password: its first 8 octets count.
    pub auth_pass: Option<Secret>,
}

/// A type of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum AuthType {
    /// A password that everybody on the link can read.
    #[serde(rename = "PASS")]
    Pass,
}

pub(super) const AUTHENTICATION: &[Keyword<Legacy>] = &[
    read(&["auth_type"], |legacy, entry| {
        legacy.auth_type = match entry.one_of(&[("PASS", true), ("AH", false), ("SIMPLE_PASSWORD", true)])? {
            true => Some(AuthType::Pass),
            false => {
                entry.unsupported("use auth_hmac, which protects what AH does; without it nothing is signed");
                None
            }
        };
        Ok(())
    }),
    read(&["auth_pass"], |legacy, entry| {
        let password = entry.text("a password")?;
        if password.is_empty() {
            return Err(entry.wrong("an empty password"));
        }
        if password.len() > 8 {
            let span = entry.last_span();
            let message = "only the first 8 octets of the password are used";
            entry.push(Diagnostic::warning(span, message).with_help("VRRPv2 has room for 8; shorten it on all hosts"));
        }
        legacy.auth_pass = Some(Secret(password));
        Ok(())
    }),
];

/// `auth_hmac`: signatures, as keepalived 2.4.2 and later have them.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Hmac {
    /// The keys.
    pub keys: Vec<HmacKey>,
    /// The one that signs. Each configuration must say it.
    pub active_key: Option<KeyNumber>,
    /// How a replay is found out.
    pub anti_replay: AntiReplay,
    /// How far clocks may be apart. Default: three advertisement intervals, 5 to 300 s.
    pub time_window: Option<Seconds>,
    /// What of unsigned ones.
    pub mode: HmacMode,
    /// Where it stands.
    #[serde(skip)]
    pub span: crate::keepalived::source::Span,
}

/// The number of a key: 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KeyNumber(pub u8);

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HmacKey {
    /// Its number.
    pub id: KeyNumber,
    /// The key itself, or `hex:` and its digits; not if it is in a file.
    pub value: Option<Secret>,
    /// The file that it is in.
    pub file: Option<String>,
    /// Where it stands.
    #[serde(skip)]
    pub span: crate::keepalived::source::Span,
}

/// How a replay is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AntiReplay {
    /// By the time in it, and by what came before.
    #[default]
    Time,
    /// By what came before.
    Monotonic,
}

/// What becomes of advertisements without a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HmacMode {
    /// They are dropped.
    #[default]
    Enforce,
    /// They are accepted.
    Permissive,
    /// They are accepted, and ours have none.
    ReceiveOnly,
}

impl From<HmacMode> for Mode {
    fn from(mode: HmacMode) -> Self {
        match mode {
            HmacMode::Enforce => Self::Enforce,
            HmacMode::Permissive => Self::Permissive,
            HmacMode::ReceiveOnly => Self::ReceiveOnly,
        }
    }
}

pub(super) const HMAC: &[Keyword<Hmac>] = &[
    read(&["key"], |hmac, entry| {
        let id = key_number(entry)?;
        let span = entry.last_span();
        let value = entry.word("a key")?;
        if hmac.keys.iter().any(|key| key.id == id) {
            return Err(Diagnostic::error(span, format!("key {} is there already", id.0)));
        }
        let file = value.text.strip_prefix("file:").map(str::to_owned);
        let key = match (&file, value.text.strip_prefix("hex:")) {
            (Some(_), _) => None,
            (None, Some(digits)) => {
                let digits: String = digits.split_whitespace().collect();
                check(Key::from_hex(&digits), entry)?;
                Some(Secret(format!("hex:{digits}")))
            }
            (None, None) => {
                check(Key::new(value.text.as_bytes()), entry)?;
                Some(Secret(value.text.clone()))
            }
        };
        hmac.keys.push(HmacKey { id, value: key, file, span: value.span });
        Ok(())
    }),
    read(&["active_key"], |hmac, entry| {
        hmac.active_key = Some(key_number(entry)?);
        Ok(())
    }),
    read(&["anti_replay"], |hmac, entry| {
        hmac.anti_replay = entry.one_of(&[("time", AntiReplay::Time), ("monotonic", AntiReplay::Monotonic)])?;
        Ok(())
    }),
    read(&["time_window"], |hmac, entry| {
        hmac.time_window = Some(Seconds::new(entry.number(1..=300)?));
        Ok(())
    }),
    read(&["mode"], |hmac, entry| {
        hmac.mode = entry.one_of(&[
            ("enforce", HmacMode::Enforce),
            ("permissive", HmacMode::Permissive),
            ("receive-only", HmacMode::ReceiveOnly),
        ])?;
        Ok(())
    }),
];

fn key_number(entry: &mut Entry<'_>) -> Result<KeyNumber, Diagnostic> {
    Ok(KeyNumber(entry.checked::<KeyId>()?.get()))
}

fn check<T, E: std::fmt::Display>(key: Result<T, E>, entry: &Entry<'_>) -> Result<T, Diagnostic> {
    key.map_err(|error| entry.wrong(error.to_string()))
}

impl Hmac {
    /// What is wrong with it as a whole. keepalived would then go on without signatures, which is no safe way out.
    pub(super) fn problem(&self, instance: &Name) -> Option<Diagnostic> {
        let wrong =
            |message: &str| Some(Diagnostic::error(self.span, format!("auth_hmac of {}: {message}", instance.text)));
        match self.active_key {
            None => wrong("no active_key says which key signs"),
            Some(active) if !self.keys.iter().any(|key| key.id == active) => {
                wrong(&format!("active_key {} is none of its keys", active.0))
            }
            Some(_) => None,
        }
    }
}
